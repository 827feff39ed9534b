from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.git import command_log
from dispatch_mcp.model import work_order
from dispatch_mcp.workers import attempt_scope

HOME = Path("/state")


def order(run: str, attempt: int = 1, git_log: str = "") -> work_order.WorkOrder:
    """Returns the order of a run's only task."""
    task = model.Task(id="t", do="Do it.")
    return work_order.WorkOrder(run, task, attempt, model.WorkerKind.API, git_log=git_log)


@given(st.text(), st.integers(1, 99))
def test_no_name_of_a_run_leads_out_of_the_state_folder(run: str, attempt: int) -> None:
    folder = attempt_scope.folder_of(HOME, order(run, attempt))
    assert folder.parts[:-3] == (*HOME.parts, "runs")
    assert ".." not in folder.parts
    assert "\0" not in str(folder)
    assert folder.name == str(attempt)


@pytest.mark.parametrize(
    ("run", "other"), [("a/b", "a_b"), ("a/b", "a/c"), ("..", "."), ("x" * 65, "x" * 66), ("a.", "a"), ("", " ")]
)
def test_runs_with_names_that_no_folder_may_have_share_none(run: str, other: str) -> None:
    assert attempt_scope.folder_of(HOME, order(run)) != attempt_scope.folder_of(HOME, order(other))


def test_another_attempt_of_the_same_task_lies_beside_this() -> None:
    folder = attempt_scope.folder_of(HOME, order("r", 2), 1)
    assert folder == attempt_scope.folder_of(HOME, order("r", 2)).with_name("1")


def test_a_removed_attempt_leaves_no_empty_folders_and_no_other_attempt_harmed(tmp_path: Path) -> None:
    first, second = (attempt_scope.folder_of(tmp_path, order("r", attempt)) for attempt in (1, 2))
    for folder in (first, second):
        folder.mkdir(parents=True)
        (folder / "output").write_text("text", "utf-8")
    attempt_scope.remove(first)
    assert (second / "output").read_text("utf-8") == "text"
    assert not first.exists()
    attempt_scope.remove(second)
    assert list((tmp_path / "runs").iterdir()) == []


def test_git_logs_the_commands_of_an_attempt_only_where_there_is_a_log() -> None:
    assert attempt_scope.git_log(order("r", git_log="/log")) == {command_log.VARIABLE: "/log"}
    assert attempt_scope.git_log(order("r")) == {}
