"""A run as a value: waves, what events make of tasks, findings in their lines."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch_mcp import model
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, records
from dispatch_mcp.pages import run_picture
from dispatch_mcp.review import council_decision
from dispatch_mcp.text import unified_diff

BEGAN = 1_000.0
CHANGE = """diff --git a/shop/refund.py b/shop/refund.py
--- a/shop/refund.py
+++ b/shop/refund.py
@@ -10,6 +10,7 @@
 one
 two
-old line
+new line
+another
 three
 four
 five
"""


def view(*specs: dict[str, Any], **rows: Any) -> run_view.RunView:
    """Returns a run of these tasks, all of them blocked but where `rows` says otherwise."""
    plan = model.Plan(id="p", tasks=tuple(model.Task(**spec) for spec in specs))
    run = records.RunRecord(
        id="run", plan_id="p", plan_version=1, state=model.RunState.RUNNING, worker=WorkerKind.HOST, created_at=BEGAN
    )
    tasks = [
        rows.get(spec["id"], records.TaskRecord(spec["id"], place, WorkerKind.HOST, TaskState.BLOCKED))
        for place, spec in enumerate(specs)
    ]
    return run_view.RunView(run, plan, tasks)


def diamond() -> run_view.RunView:
    return view(
        {"id": "a", "do": "A"},
        {"id": "b", "do": "B", "deps": ("a",), "effort": "L"},
        {"id": "c", "do": "C", "deps": ("a",), "effort": "S"},
        {"id": "d", "do": "D", "deps": ("b", "c")},
    )


def event(kind: str, task_id: str = "a", attempt: int = 1, **data: Any) -> model.Event:
    return model.Event(seq=1, run_id="run", kind=kind, at=BEGAN + 2.5, task_id=task_id, attempt=attempt, data=data)


def test_layers_are_waves_and_the_longest_way_is_critical() -> None:
    tasks = run_picture.tasks(diamond())
    assert [task.wave for task in tasks] == [0, 1, 1, 2]
    assert [task.deps for task in tasks] == [(), (0,), (0,), (1, 2)]
    assert [task.id for task in tasks if task.critical] == ["a", "b", "d"]


def test_a_goal_gets_its_share_of_the_page() -> None:
    (task,) = run_picture.tasks(view({"id": "a", "do": "x" * 5_000}))
    assert len(task.goal) == run_picture.MOST_CHARS
    assert run_picture.share(1_000_000) == run_picture.LEAST_CHARS
    assert run_picture.share(0) == run_picture.MOST_CHARS


def test_who_stands_in_is_shown_with_whom_they_replace() -> None:
    row = records.TaskRecord("a", 0, WorkerKind.HOST, TaskState.RUNNING, stand_ins=(model.StandIn("general"),))
    (task,) = run_picture.tasks(view({"id": "a", "do": "A", "agent": "ghost"}, a=row))
    assert (task.agent, task.replaces) == ("general", "ghost")


def test_dependencies_that_planning_added_say_why() -> None:
    shown = diamond()
    edges = (
        model.AddedEdge(before="b", after="c", reason="both write x"),
        model.AddedEdge(before="z", after="c", reason=""),
    )
    shown = run_view.RunView(shown.run, shown.plan.model_copy(update={"added_edges": edges}), shown.tasks)
    assert run_picture.extra_edges(shown, {"a": 0, "b": 1, "c": 2}) == ((1, 2, "both write x"),)


def test_attempts_count_from_the_start_of_the_run() -> None:
    usage = model.Usage(input_tokens=10, output_tokens=5, cost_usd=0.5)
    rows = [
        records.AttemptRecord(run_id="run", task_id="a", attempt=1, state=AttemptState.FAILED, worker=WorkerKind.API,
                              started_at=BEGAN + 1, ended_at=BEGAN + 3, usage=usage, error="no", error_kind="timeout"),
        records.AttemptRecord(run_id="run", task_id="gone", attempt=1, state=AttemptState.RUNNING,
                              worker=WorkerKind.HOST, started_at=BEGAN + 4),
    ]  # fmt: skip
    first, second = run_picture.attempts(rows, {"a": 0}, BEGAN)
    assert first == (0, 1, "failed", "api", 1.0, 3.0, 15, 0.5, "timeout", "no")
    assert (second.task, second.ends, second.cost) == (-1, None, None)


@pytest.mark.parametrize(
    ("happening", "row", "state"),
    [
        (event("attempt_started"), {}, "running"),
        (event("attempt_finished", state="succeeded"), {}, "succeeded"),
        (event("attempt_finished", state="succeeded", unverified=True), {}, "unverified"),
        (event("attempt_finished", state="failed"), {"attempt": 2, "state": TaskState.RUNNING}, "ready"),
        (event("attempt_finished", state="failed"), {"attempt": 1, "state": TaskState.FAILED}, "failed"),
        (event("attempt_abandoned"), {"attempt": 2, "state": TaskState.SUCCEEDED}, "ready"),
        (event("attempt_abandoned"), {"attempt": 1, "state": TaskState.CANCELLED}, "cancelled"),
        (event("task_replayed", attempt=0), {"state": TaskState.SUCCEEDED}, "succeeded"),
        (event("task_skipped"), {}, "skipped"),
        (event("task_retried"), {}, "ready"),
        (event("task_sent_back"), {}, "ready"),
        (event("review_blocked"), {}, "blocked"),
        (event("rate_limited"), {}, ""),
        (event("attempt_finished", task_id="gone", state="failed"), {}, ""),
    ],
)
def test_an_event_says_what_becomes_of_its_task(happening: model.Event, row: dict[str, Any], state: str) -> None:
    task = records.TaskRecord("a", 0, WorkerKind.HOST, row.pop("state", TaskState.BLOCKED), **row)
    (line,) = run_picture.events([happening], view({"id": "a", "do": "A"}, a=task), {"a": 0})
    assert line.becomes == state
    assert line.at == 2.5


def test_what_an_event_says_is_one_short_line() -> None:
    happening = event("edits_proposed", edits=["x\ny"] * 500, none=None, nothing="")
    (line,) = run_picture.events([happening], view({"id": "a", "do": "A"}), {"a": 0})
    assert line.text.startswith("edits=")
    assert len(line.text) <= run_picture.EVENT_CHARS
    assert "none" not in line.text


def test_a_result_has_its_receipts_in_words() -> None:
    receipts = (
        model.Receipt(kind="exit_code", ok=True, detail="exit code 0", criterion="command: pytest"),
        model.Receipt(kind="claim", ok=False, detail="nobody could tell", checked=False),
        model.Receipt(kind="file", ok=False, detail="x.py is not there"),
    )
    outcome = model.Outcome(state=AttemptState.SUCCEEDED, summary="done " * 900, receipts=receipts)
    shown = run_picture.result(outcome, 200)
    assert [receipt.mark for receipt in shown.receipts] == ["ok", "unproven", "not ok"]
    assert len(shown.text) <= 200


def test_messages_name_those_who_have_read_them() -> None:
    note = model.Message(id=4, run_id="run", sender="a", recipient="all", kind="warning", text="careful", at=BEGAN + 9)
    mail = records.Mail(
        (note,), (records.Delivery(4, "b", "brief"), records.Delivery(4, "b", "turn"), records.Delivery(4, "c", "told"))
    )
    (line,) = run_picture.messages(mail, BEGAN)
    assert (line.at, line.sender, line.recipient, line.readers) == (9.0, "a", "all", ("b",))


def merged(**fields: Any) -> council_decision.MergedFinding:
    claims = (
        council_decision.FindingClaim(reviewer="r1", severity="high", claim="wrong", evidence="seen", fix="mend"),
        council_decision.FindingClaim(reviewer="r2", severity="low", claim="odd"),
    )
    usual = {"id": "f", "severity": "high", "standing": "open", "file": "shop/refund.py", "claims": claims}
    return council_decision.MergedFinding.model_validate({**usual, **fields})


def test_a_finding_stands_in_its_lines() -> None:
    shown = run_picture.finding(merged(line=12, last=13), unified_diff.parse(CHANGE), "council")
    assert [(line.mark, line.number, line.is_meant) for line in shown.lines if line.is_meant] == [
        ("+", 12, True),
        ("+", 13, True),
    ]
    assert [line.text for line in shown.lines] == [
        "one",
        "two",
        "old line",
        "new line",
        "another",
        "three",
        "four",
        "five",
    ]
    assert (shown.claim, shown.evidence, shown.fix, shown.reviewers) == ("wrong", "seen", "mend", ("r1", "r2"))
    assert "r2: odd" in shown.notes


def test_a_finding_about_a_removed_line_shows_that_one() -> None:
    shown = run_picture.finding(merged(line=12, removed=True), unified_diff.parse(CHANGE))
    assert [line.text for line in shown.lines if line.is_meant] == ["old line"]


@pytest.mark.parametrize("fields", [{"line": 0}, {"line": 99}, {"line": 12, "file": "other.py"}])
def test_a_finding_that_names_no_line_of_the_change_shows_none(fields: dict[str, Any]) -> None:
    assert run_picture.finding(merged(**fields), unified_diff.parse(CHANGE)).lines == ()


def test_waivers_and_refutations_are_said() -> None:
    shown = run_picture.finding(merged(line=12, waived="covered elsewhere", refuted_by=("r3",)), unified_diff.Diff())
    assert {"waived: covered elsewhere", "refuted by r3"} <= set(shown.notes)
