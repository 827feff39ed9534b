"""Which failures are worth another attempt, decided in one place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import dispatch_mcp
from dispatch_mcp.model import failures, transitions

ROOMS = ("git", "workers")
BY_HAND = re.compile(r"retryable(?:=|\": )(?:True|False)")


def sources() -> list[Path]:
    root = Path(dispatch_mcp.__file__).parent
    return [path for room in ROOMS for path in (root / room).rglob("*.py")]


@pytest.mark.parametrize("kind", get_args(failures.MustFailAgain))
def test_what_must_fail_again_is_not_tried_again(kind: failures.FailureKind) -> None:
    assert not failures.is_retryable(kind)


@pytest.mark.parametrize("kind", get_args(failures.MayPass))
def test_what_may_pass_is_tried_again(kind: failures.FailureKind) -> None:
    assert failures.is_retryable(kind)


def test_no_kind_is_in_both_tables() -> None:
    assert not set(get_args(failures.MayPass)) & set(get_args(failures.MustFailAgain))


def test_a_rate_limit_is_the_kind_that_holds_a_worker() -> None:
    assert transitions.RATE_LIMIT in get_args(failures.MayPass)


@pytest.mark.parametrize("path", sources(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_neither_git_nor_a_worker_decides_it_by_itself(path: Path) -> None:
    assert BY_HAND.findall(path.read_text()) == []


@pytest.mark.parametrize("kind", [transitions.LOST_EDITS, "moved_branch"])
def test_what_takes_something_of_the_users_is_done_once_and_refutes_no_claim(kind: str) -> None:
    assert kind in get_args(failures.MustFailAgain)
    assert kind not in transitions.REFUTATIONS


def test_what_names_a_state_of_tasks_elsewhere_is_no_way_to_fail() -> None:
    kinds = {*get_args(failures.Ours), *get_args(failures.MayPass), *get_args(failures.MustFailAgain)}
    assert kinds.isdisjoint({transitions.MOVED, transitions.NEEDS_CHANGES, transitions.SENT_BACK})
