"""Where runs stand, as a person reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import command_runs
import pytest

from dispatch_mcp import model
from dispatch_mcp.cli.commands import status, trace
from dispatch_mcp.model import RunState
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.service import answers


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


def line(name: str, **more: object) -> answers.TaskLine:
    return answers.TaskLine.model_validate({"id": name, "state": "ready", "worker": "host", **more})


def test_a_run_says_what_each_task_waits_for_in_the_words_of_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    status.show_run(
        answers.Trace(
            run_id="r",
            state="running",
            tasks=(line("a"), line("b", state="blocked"), line("c"), line("d", state="failed", error="bad_call")),
            blocked={"a": NextStep(StepKind.WAITS_FOR_ASSISTANT, "r", ("a",)), "b": "waits for a (ready)"},
            next=NextStep(StepKind.FETCH_ASSIGNMENTS, "r", count=2),
        )
    )
    out = capsys.readouterr().out
    assert "ready: your assistant gets it by dispatching run r" in out
    assert "waits for a (ready)" in out
    assert "bad_call" in out
    assert out.endswith("2 tasks ready for an assistant: ask your assistant to dispatch run r.\n")


def test_runs_are_listed_by_names_that_every_command_takes(shell: command_runs.Shell, tmp_path: Path) -> None:
    tasks = [{"id": "a", "do": "Write the tide table"}]
    plan_id = shell("plan", command_runs.written(tmp_path, tasks), "--title", "Harbour tides", "--json").json["plan_id"]
    assert plan_id.startswith("harbour-tides-")
    shell("run", plan_id[:10], "--dry-run", "--quiet")
    [line] = shell("status", "--all", "--json").json["runs"]
    assert (line["title"], line["progress"]) == ("Harbour tides", "5 of 5")
    listed = shell("status", "--all").out
    assert line["run_id"] in listed
    assert "Harbour tides" in listed
    for handle in (line["run_id"], "harbour", line["run_id"][-4:]):
        assert shell("status", handle).out.startswith(f"run {line['run_id']}: succeeded (simulated)\nHarbour tides; ")
    assert shell("trace", "harb", "--view", "results").code == 0
    assert shell("run", "nobody").code == 2


def test_a_result_that_was_taken_over_is_called_replayed() -> None:
    trace_of_run = answers.Trace(run_id="r")
    assert status.note_of(line("a", replayed=True), trace_of_run) == "replayed"
    assert status.note_of(line("a", error="timed_out"), trace_of_run) == "timed_out"


def test_a_simulated_run_is_labelled(capsys: pytest.CaptureFixture[str]) -> None:
    status.show_run(answers.Trace(run_id="r", state="succeeded", simulated=True))
    assert "run r: succeeded (simulated)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("trace_of_run", "lines"),
    [
        (answers.Trace(), []),
        (answers.Trace(spend=model.Usage()), []),
        (answers.Trace(spend=model.Usage(input_tokens=1_200, output_tokens=34)), ["used 1,234 tokens"]),
        (
            answers.Trace(spend=model.Usage(input_tokens=1_000, output_tokens=0, cost_usd=0.5)),
            ["used 1,000 tokens, $0.50"],
        ),
        (
            answers.Trace(limits={"dollars": 2.0, "fan_out": 3.0}, left={"dollars": 0.5}),
            ["left: dollars 0.5 of 2, fan_out at most 3"],
        ),
        (answers.Trace(held="limits.dollars is 2"), ["held: limits.dollars is 2"]),
        (
            answers.Trace(context={"sent": 250.0, "named_files": 1_000.0, "saved": 0.75}),
            ["context: 250 tokens given, 75% fewer than the files that tasks name have whole (1,000)"],
        ),
        (
            answers.Trace(context={"sent": 1_500.0, "named_files": 1_000.0, "tokens_more": 500.0}),
            ["context: 1,500 tokens given, 500 more than the files that tasks name have whole (1,000)"],
        ),
    ],
    ids=["nothing", "silent", "tokens", "dollars", "limits", "held", "context", "more context"],
)
def test_money_is_said_only_where_something_is_known(trace_of_run: answers.Trace, lines: list[str]) -> None:
    assert status.money(trace_of_run) == lines


def test_a_count_of_nothing_is_left_out() -> None:
    assert status.counts({"ready": 1, "failed": 0, "running": 2}) == "1 ready, 2 running"
    assert status.counts({}) == ""


@pytest.mark.parametrize("as_json", [False, True])
def test_a_steered_run_says_what_to_type_next(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:  # noqa: FBT001
    answer = answers.SteeringAnswer(
        run_id="r", state=RunState.PAUSED, counts={"ready": 1}, next=NextStep(StepKind.RESUME, "r")
    )
    status.show_steered(answer, as_json=as_json)
    assert "`dispatch-mcp steer resume r`" in capsys.readouterr().out


def test_the_list_of_runs_is_empty_with_advice_and_full_with_a_table(
    shell: command_runs.Shell, tmp_path: object
) -> None:
    begin = (
        "There are no runs yet. `dispatch-mcp run FILE` runs a task document; `dispatch-mcp demo` shows how that looks."
    )
    assert shell("status").out == f"{begin}\n"
    assert shell("status", "--json").json == {"next": begin}


CLAIMED = NextStep(StepKind.READ_RESULTS, "r", proven=1, unproven=2, total=3)


@pytest.mark.parametrize(
    "view",
    [
        {"timeline": (answers.EventLine(seq=1, t=0.0, kind="run_created"),)},
        {"results": (answers.ResultLine(task_id="a", state="unverified"),)},
        {"artifacts": (answers.ArtifactLine(task_id="a", name="report"),)},
        {"todo": ({"status": "completed", "priority": "high", "content": "a"},)},
        {},
    ],
    ids=lambda view: next(iter(view), "summary"),
)
def test_whatever_is_shown_of_a_run_that_is_over_begins_with_how_much_is_proven(
    view: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    trace.show(answers.Trace(run_id="r", state="succeeded", next=CLAIMED, **view))
    assert capsys.readouterr().out.startswith("1 of 3 proven\n")
    trace.show(answers.Trace(run_id="r", state="succeeded", next=NextStep(StepKind.READ_RESULTS, "r"), **view))
    assert "proven" not in capsys.readouterr().out


def test_a_page_of_results_shows_each_receipt(capsys: pytest.CaptureFixture[str]) -> None:
    receipt = model.Receipt(kind="exit_code", detail="make test", ok=True)
    result = answers.ResultLine(task_id="a", state="succeeded", capsule="All is well.", receipts=(receipt,))
    trace.show(answers.Trace(run_id="r", results=(result,)))
    out = capsys.readouterr().out
    assert out.startswith("a: succeeded\nAll is well.\n  ")
    assert "make test" in out


def test_an_artifact_without_a_digest_was_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    artifacts = (
        answers.ArtifactLine(
            task_id="a", name="report", path="out.md", digest="0123456789abcdef", size=1_234, text="Hi"
        ),
        answers.ArtifactLine(task_id="b", name="lost"),
    )
    trace.show(answers.Trace(run_id="r", artifacts=artifacts))
    assert capsys.readouterr().out == "a: out.md (1,234 bytes, 0123456789ab)\nHi\nb: lost (not read)\n"


def test_a_timeline_shows_when_what_happened_to_which_task(capsys: pytest.CaptureFixture[str]) -> None:
    events = (
        answers.EventLine(seq=1, t=0.0, kind="run_created"),
        answers.EventLine(seq=2, t=1.5, kind="attempt_started", task="a", attempt=2, data={"worker": "api"}),
    )
    trace.show_timeline(answers.Trace(run_id="r", timeline=events))
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["0.000", "run_created"]
    assert second.split() == ["1.500", "attempt_started", "a", "2", "worker=api"]


def test_what_has_no_view_of_its_own_is_shown_as_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    trace.show(answers.Trace(run_id="r", state="running"))
    assert "run r: running" in capsys.readouterr().out


def test_a_list_of_things_to_do_and_a_picture_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    trace.show(answers.Trace(run_id="r", todo=({"status": "pending", "priority": "high", "content": "Write it"},)))
    assert capsys.readouterr().out.splitlines()[1].split(maxsplit=2) == ["pending", "high", "Write it"]
    trace.show(answers.Trace(run_id="r", text="flowchart LR\n  a --> b"))
    assert capsys.readouterr().out == "flowchart LR\n  a --> b\n"
