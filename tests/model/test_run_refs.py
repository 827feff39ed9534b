from __future__ import annotations

import hashlib
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.model import run_refs

PART = re.compile(r"[a-z0-9][a-z0-9_.-]{0,80}")


@given(st.text())
def test_any_name_becomes_a_part_of_refs_and_paths(name: str) -> None:
    part = run_refs.safe_part(name)
    assert PART.fullmatch(part)
    assert ".." not in part
    assert not part.endswith((".", ".lock"))
    assert run_refs.safe_part(part) == part or "." in part


@given(st.text(max_size=8), st.text(max_size=8))
def test_two_names_never_become_one_part(first: str, second: str) -> None:
    assert (run_refs.safe_part(first) == run_refs.safe_part(second)) is (first == second)


def test_a_plain_name_stays_and_another_one_can_still_be_recognised() -> None:
    assert run_refs.safe_part("build-api_2") == "build-api_2"
    digest = hashlib.sha256(b"Build API").hexdigest()[:16]
    assert run_refs.safe_part("Build API") == f"build-api.{digest}"
    assert run_refs.safe_part("日本").startswith("x.")
    assert len(run_refs.safe_part("a" * 500)) < 60


def test_everything_of_a_run_lies_below_its_root_and_outside_the_branches() -> None:
    refs = run_refs.Refs("run-1")
    names = [refs.merged, refs.base, *(refs.change(state, "t", 2) for state in ("done", "conflicts", "kept"))]
    assert all(name.startswith(f"{refs.root}/") for name in names)
    assert len(set(names)) == len(names)
    assert refs.root.startswith(f"{run_refs.PREFIX}/")
    assert not refs.root.startswith("refs/heads/")
    assert refs.change("done", "t", 2) == "refs/dispatch/run-1/done/t/2"


@pytest.mark.parametrize("run_id", ["../main", "a/b", "x.lock", "@{1}", "", "HEAD~1"])
def test_no_run_id_leaves_its_own_folder(run_id: str) -> None:
    assert run_refs.Refs(run_id).merged.count("/") == 3
    assert run_refs.Refs(run_id).merged.split("/")[3] == "merged"


STATES: tuple[run_refs.State, ...] = ("done", "conflicts", "kept")


@pytest.mark.parametrize(
    "name",
    [
        "r1",
        "Build API",
        "日本",
        "a..b",
        "x.lock",
        "@{1}",
        "-rf",
        ".hidden",
        "a~1^2:3?*[",
        "end.",
        "a//b",
        "\x7f\n",
        "@",
    ],
)
def test_git_accepts_every_name_and_reads_it_as_it_is(name: str) -> None:
    refs = run_refs.Refs(name)
    for ref in (refs.merged, refs.base, *(refs.change(state, name, 1) for state in STATES)):
        checked = subprocess.run(
            ["git", "check-ref-format", "--normalize", ref], capture_output=True, text=True, check=True
        )
        assert checked.stdout == f"{ref}\n"


@given(st.text(max_size=6), st.text(max_size=6), st.integers(1, 99), st.integers(1, 99))
def test_no_two_attempts_share_a_name(task: str, other: str, attempt: int, later: int) -> None:
    refs = run_refs.Refs("r1")
    same = (task, attempt) == (other, later)
    assert (refs.change("done", task, attempt) == refs.change("done", other, later)) is same
    assert refs.change("done", task, attempt) != refs.change("kept", task, attempt)
    assert refs.change("done", task, attempt) != run_refs.Refs("r2").change("done", task, attempt)


@given(st.text("abc.-/", max_size=6), st.text("abc.-/", max_size=6))
def test_no_name_of_a_run_is_a_folder_of_another_ones(first: str, second: str) -> None:
    one, other = run_refs.Refs(first), run_refs.Refs(second)
    assert first == second or not one.merged.startswith(f"{other.root}/")
