"""Failures with a common cause: told once, with what can be done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.model import like_failures, transitions
from dispatch_mcp.model.like_failures import Failure


def failures(kind: str, *errors: str) -> list[Failure]:
    return [Failure(f"task-{place}", kind, error) for place, error in enumerate(errors)]


CASES = {
    "an outage of the provider": (
        "server_error",
        "The provider (503): upstream connect error (request_id: req_{n}aB3dE9fG)",
        "wait until it answers again",
    ),
    "an overload": ("rate_limit", "The provider (529): Overloaded", "The provider is the cause"),
    "no connection": (
        "no_connection",
        "The provider: Connection refused on port 4{n}3. Check the network and ANTHROPIC_BASE_URL.",
        "Check the network",
    ),
    "a missing program": (
        "no_program",
        "The program 'pytest' is not on the PATH. Install it, or check the PATH.",
        "Install it",
    ),
    "no key": (
        "not_logged_in",
        "The provider (401): invalid x-api-key. Check ANTHROPIC_API_KEY, or log in to Claude Code with `claude auth`.",
        "One valid key",
    ),
    "a refusal of the allow-list": (
        "not_allowed",
        "The command `make part-{n}` is not on the user's allow-list. Only the user can allow it: add `[{n}]`.",
        "Only the user can allow it",
    ),
    "the assistant's own words": (
        transitions.BY_WORKER,
        "Could not read /srv/build/wt-{n}/src/part_{n}.py: disk quota exceeded after {n}12 files",
        "common cause",
    ),
    "a deadline": (transitions.TIMEOUT, "No result after {n}00 s.", "timeout_s"),
    "a program that fails": (
        "exit_code",
        "`make part-{n}` ended with exit code 2. 1{n} lines of output; last: no space left on device",
        "Mend what the program needs",
    ),
    "an own id in the text": (transitions.BY_WORKER, "task-{n} could not begin: the queue is closed", "common cause"),
}


@pytest.mark.parametrize(("kind", "text", "advice"), CASES.values(), ids=CASES.keys())
def test_three_tasks_that_fail_alike_are_one_sentence_with_what_to_do(kind: str, text: str, advice: str) -> None:
    [like] = like_failures.alike(failures(kind, *[text.replace("{n}", str(place)) for place in range(3)]))
    assert (like.tasks, like.attempts) == (("task-0", "task-1", "task-2"), 3)
    assert like.cause.startswith(text.replace("{n}", "0")[:40])
    assert advice in f"{like.cause} {like.cure}"
    assert len(like.cause) < like_failures.CAUSE_CHARS + 10


@pytest.mark.parametrize(("kind", "text", "_advice"), CASES.values(), ids=CASES.keys())
def test_two_are_chance(kind: str, text: str, _advice: str) -> None:
    assert like_failures.alike(failures(kind, text, text)) == ()


@pytest.mark.parametrize(
    ("kind", "errors"),
    [
        ("no_program", [f"The program {name!r} is not on the PATH." for name in ("pytest", "ruff", "make")]),
        (transitions.BY_WORKER, ["the login test fails", "the page is empty", "no such table"]),
        (transitions.NEEDS_CHANGES, ["It blocks."] * 3),
        ("", ["?"] * 3),
    ],
)
def test_what_differs_or_is_about_each_task_has_no_common_cause(kind: str, errors: list[str]) -> None:
    assert like_failures.alike(failures(kind, *errors)) == ()


def test_other_kinds_with_the_same_words_are_other_failures() -> None:
    mixed = [Failure("a", "timeout", "no"), Failure("b", "signal", "no"), Failure("c", "exit_code", "no")]
    assert like_failures.alike(mixed) == ()


def test_attempts_of_one_task_count_too_and_the_largest_group_comes_first() -> None:
    many = failures("server_error", *["The provider (500): oops."] * 4)
    again = [Failure("z", transitions.BY_WORKER, f"stuck after {n} s") for n in range(3)]
    first, second = like_failures.alike([*again, *many])
    assert (len(first.tasks), second.tasks, second.attempts) == (4, ("z",), 3)


def test_a_failure_without_words_is_told_by_its_kind() -> None:
    [like] = like_failures.alike(failures("signal", "", "", ""))
    assert like.cause.startswith("`signal`.")


def test_the_same_words_are_told_once_and_short_ones_stay() -> None:
    long = "none of its files was changed in the workspace"
    texts = {"a": f"{long} 1", "b": f"{long} 2", "c": f"{long} 3", "d": "other"}
    assert like_failures.references(texts) == {"b": "the same as 'a'", "c": "the same as 'a'"}
    assert like_failures.references({"a": "no", "b": "no", "c": "no"}) == {}
    assert like_failures.references({"a": long, "b": long}) == {}


@given(st.lists(st.builds(Failure, st.text(max_size=8), st.sampled_from(["host", "exit_code"]), st.text(max_size=300))))
def test_any_failures_can_be_compared_and_no_task_is_made_up(some: list[Failure]) -> None:
    for like in like_failures.alike(some):
        assert like.attempts >= like_failures.LEAST
        assert set(like.tasks) <= {failure.task_id for failure in some}
        assert "\n" not in like.cause
