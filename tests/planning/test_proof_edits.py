"""What an edit takes out of what shows that work is done."""

from __future__ import annotations

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, transitions
from dispatch_mcp.planning import proof_edits


def task(*acceptance: str, files: tuple[str, ...] = (), name: str = "a") -> model.Task:
    return model.Task(id=name, do="Do it", acceptance=acceptance, files=files)


def row(attempt: int = 0, state: TaskState = TaskState.READY) -> transitions.TaskRow:
    return transitions.TaskRow("a", WorkerKind.HOST, state, attempt)


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [
        (("command: make test", "diff"), ("diff",), ("command: make test",)),
        (("file:a.txt",), ("file:b.txt",), ("file:a.txt",)),
        (("glob:*.py >= 3",), ("glob:*.py >= 2",), ("glob:*.py >= 3",)),
        (("glob:*.py >= 3",), ("glob:*.py >= 4",), ()),
        (("file:a.txt",), ("FILE: `a.txt`",), ()),
        (("works without a mouse",), ("works",), ("works without a mouse",)),
        (("diff",), ("diff", "command: make test"), ()),
        ((), ("diff",), ()),
    ],
)
def test_what_is_no_longer_asked_for_is_told_and_what_is_asked_for_more_strictly_is_not(
    before: tuple[str, ...], after: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    edit = proof_edits.losses([task(*before)], [task(*after)], [row()])
    assert edit.get("a", ()) == missing
    assert proof_edits.still_missing([edit], [task(*after)]).get("a", ()) == missing


def test_a_task_that_loses_all_its_files_loses_the_change_of_them() -> None:
    declared = task(files=("a.txt", "b.txt"))
    assert proof_edits.losses([declared], [task(files=("b.txt",))], [row()]) == {}
    assert proof_edits.losses([declared], [task()], [row()]) == {"a": (proof_edits.FILES,)}


@pytest.mark.parametrize(
    ("own", "is_told"),
    [
        (row(), False),
        (row(1), True),
        (row(2, TaskState.FAILED), True),
        (row(1, TaskState.SUCCEEDED), False),
        (row(1, TaskState.UNVERIFIED), False),
    ],
)
def test_a_task_that_is_taken_out_is_told_of_once_it_was_tried_in_vain(
    own: transitions.TaskRow, *, is_told: bool
) -> None:
    edit = proof_edits.losses([task("diff")], [], [own])
    assert edit == ({"a": ("diff",)} if is_told else {})
    assert proof_edits.still_missing([edit], []) == edit


def test_what_a_later_edit_asks_for_again_is_missing_no_more() -> None:
    edits = [{"a": ["diff"]}, {"a": ["file:a.txt", "diff"], "b": ["diff"]}]
    now = [task("diff"), task(name="b")]
    assert proof_edits.still_missing(edits, now) == {"a": ("file:a.txt",), "b": ("diff",)}
    assert proof_edits.still_missing(edits, [task("diff", "file:a.txt"), task("diff", name="b")]) == {}


CHECK = "command: sh tools/check.sh"


def owns(path: str, criterion: str = CHECK) -> str:
    return f"{path} outside of its files, as it decides {criterion}"


@pytest.mark.parametrize(
    ("criterion", "files", "path"),
    [
        (CHECK, ("a.txt", "tools/check.sh"), "tools/check.sh"),
        (CHECK, ("a.txt", "./tools/check.sh"), "tools/check.sh"),
        (CHECK, ("a.txt", "tools/"), "tools/check.sh"),
        (CHECK, ("a.txt", "**/*.sh"), "tools/check.sh"),
        ("command: make check", ("a.txt", "Makefile"), "Makefile"),
        ("command: pytest -q", ("a.txt", "tests/conftest.py"), "tests/conftest.py"),
        ("command: pytest -q tests/test_a.py::test_b", ("a.txt", "tests/test_a.py"), "tests/test_a.py"),
    ],
)
def test_an_edit_that_gives_a_failed_task_what_decides_its_proof_is_told_until_it_is_taken_back(
    criterion: str, files: tuple[str, ...], path: str
) -> None:
    before, after = task(criterion, files=("a.txt",)), task(criterion, files=files)
    edit = proof_edits.losses([before], [after], [row(1)])
    assert edit == {"a": (owns(path, criterion),)}
    assert proof_edits.still_missing([edit], [after]) == edit
    assert proof_edits.still_missing([edit], [before]) == {}


@pytest.mark.parametrize(
    ("before", "after", "own"),
    [
        (task(CHECK, files=("a.txt",)), task(CHECK, files=("a.txt", "b.txt")), row(1)),
        (task(CHECK, files=("tools/",)), task(CHECK, files=("tools/", "tools/check.sh")), row(1)),
        (task(CHECK, files=("a.txt",)), task(CHECK, files=("a.txt", "tools/check.sh")), row()),
        (task("file:tools/check.sh", files=("a.txt",)), task(files=("a.txt", "tools/check.sh")), row(0)),
        (task("diff", files=("a.txt",)), task("diff", files=("a.txt", "tools/check.sh")), row(1)),
    ],
    ids=["another file", "its own already", "not tried yet", "no command", "another criterion"],
)
def test_an_edit_of_files_that_decide_nothing_more_than_before_is_not_told(
    before: model.Task, after: model.Task, own: transitions.TaskRow
) -> None:
    edit = proof_edits.losses([before], [after], [own])
    assert not [text for texts in edit.values() for text in texts if "as it decides" in text]
