from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.runs import capsules

HANDOFF = model.Handoff(
    completed_work="Registration works",
    files_modified=("src/routes/users.ts",),
    decisions_made=("bcrypt, not argon2",),
    open_questions=("rate limiting",),
    mistakes_learned=("first attempt had SQL injection",),
    artifacts=(model.Artifact(name="spec", path="api.json"),),
)


def test_a_capsule_says_the_most_important_first() -> None:
    outcome = model.Outcome(
        state=model.AttemptState.FAILED, error="tests fail", summary="half done", handoff=HANDOFF, unverified=True
    )
    assert capsules.capsule(outcome).split("\n") == [
        "error: tests fail",
        "UNVERIFIED: claimed, not proven",
        "half done",
        "Registration works",
        "question: rate limiting",
        "decided: bcrypt, not argon2",
        "changed: src/routes/users.ts",
        "learned: first attempt had SQL injection",
        "artifact: api.json",
    ]


def test_a_capsule_of_proven_work_is_what_was_done() -> None:
    outcome = model.Outcome(state=model.AttemptState.SUCCEEDED, summary="done", handoff=model.Handoff())
    assert capsules.capsule(outcome) == "done"


def test_how_the_answer_of_proven_work_was_written_is_no_error() -> None:
    outcome = model.Outcome(state=model.AttemptState.SUCCEEDED, error="the answer has no JSON block", summary="done")
    assert capsules.capsule(outcome) == "note: the answer has no JSON block\ndone"


def test_a_capsule_counts_what_it_leaves_out() -> None:
    handoff = model.Handoff(completed_work="done", files_modified=tuple(f"src/{n:03}.py" for n in range(500)))
    capsule = capsules.capsule(handoff)
    lines = capsule.split("\n")
    assert len(capsule) <= capsules.LIMIT
    assert lines[0] == "done"
    assert lines[-1] == f"(+{501 - (len(lines) - 1)} more)"


@pytest.mark.parametrize(("limit", "fitting"), [(32, 1), (33, 2), (44, 2), (45, 3), (56, 3), (57, 4)])
def test_a_capsule_holds_as_many_lines_as_fit_before_the_count(limit: int, fitting: int) -> None:
    names = [f"f{n}" for n in range(9)]
    lines = capsules.capsule(model.Handoff(files_modified=tuple(names)), limit).split("\n")
    assert lines == [*(f"changed: {name}" for name in names[:fitting]), f"(+{9 - fitting} more)"]


def test_the_answer_itself_stands_in_for_an_empty_result() -> None:
    assert capsules.capsule(model.Handoff(), text="It is\nall fine.") == "It is all fine."


@given(st.text(), st.lists(st.text()), st.integers(min_value=0, max_value=300))
def test_a_capsule_never_exceeds_its_limit(done: str, files: list[str], limit: int) -> None:
    assert len(capsules.capsule(model.Handoff(completed_work=done, files_modified=tuple(files)), limit)) <= limit


def test_a_capsule_says_why_work_is_unproven() -> None:
    receipt = model.Receipt(kind="words", ok=False, checked=False, detail="nobody looked", criterion="it is quick")
    file = model.Receipt(kind="file", ok=False, checked=False, detail="no such folder", criterion="exists: a.txt")
    outcome = model.Outcome(
        state=model.AttemptState.SUCCEEDED, summary="done", unverified=True, receipts=(receipt, file)
    )
    assert capsules.capsule(outcome).split("\n") == [
        "UNVERIFIED: claimed, not proven",
        "unproven: `exists: a.txt`: no such folder",
        "done",
    ]


def test_one_long_line_leaves_room_for_the_others() -> None:
    outcome = model.Outcome(state=model.AttemptState.FAILED, error="x" * 5_000, summary="half done")
    error, summary = capsules.capsule(outcome, 200).split("\n")
    assert len(error) <= 100
    assert summary == "half done"


def test_the_same_line_stands_once() -> None:
    outcome = model.Outcome(
        state=model.AttemptState.SUCCEEDED, summary="done", handoff=model.Handoff(completed_work="done")
    )
    assert capsules.capsule(outcome) == "done"
