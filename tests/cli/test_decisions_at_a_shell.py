"""What a person decides at a shell: approvals, ceilings, and steps of a run; an assistant's shell may not."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import command_runs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.cli import person_acts
from dispatch_mcp.cli.commands import apply
from dispatch_mcp.model import merge_offer

GATE = {"id": "gate", "do": "May we go on?", "worker": "human"}
WORK = {"id": "work", "do": "Write it", "agent": "general-purpose", "deps": ["gate"], "worker": "host"}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    monkeypatch.setenv("DISPATCH_MCP_REVIEWS", "none")
    return command_runs.shell(monkeypatch, capsys)


@pytest.fixture
def run_id(shell: command_runs.Shell, tmp_path: Path) -> str:
    """A run that waits for a person."""
    return str(shell("run", command_runs.written(tmp_path, [GATE, WORK]), "--quiet").json["correlation_id"])


def test_a_run_that_waits_for_a_person_says_what_to_type(shell: command_runs.Shell, run_id: str) -> None:
    out = shell("status", run_id).out
    assert f"waits for a person: `dispatch-mcp approve {run_id}`" in out
    assert f"A person has to decide: gate. Say so with `dispatch-mcp approve {run_id}` (or --reject)." in out


def test_a_yes_lets_the_run_go_on(shell: command_runs.Shell, run_id: str) -> None:
    answer = shell("approve", run_id, "--reason", "looks right")
    assert answer.code == 0, answer.err
    assert f"run {run_id}: running" in answer.out
    assert f"ask your assistant to dispatch run {run_id}." in answer.out
    again = shell("approve", run_id)
    assert again.code == 2
    assert f"No decision waits in run {run_id}." in again.err


def test_a_no_ends_what_depends_on_it(shell: command_runs.Shell, run_id: str) -> None:
    answer = shell("approve", run_id, "--reject", "--json")
    assert answer.json["state"] == "failed"
    states = {task["id"]: task["state"] for task in shell("status", run_id, "--json").json["tasks"]}
    assert states == {"gate": "failed", "work": "skipped"}


def test_a_decision_cannot_be_skipped(shell: command_runs.Shell, run_id: str) -> None:
    for task in ("gate", "work"):
        answer = shell("steer", "skip", run_id, task)
        assert answer.code == 1
        assert "cannot be skipped" in answer.err
        assert f"A person has to decide: gate. Say so with `dispatch-mcp approve {run_id}`" in answer.err


@pytest.mark.parametrize("action", ["retry", "skip"])
def test_a_step_for_one_task_needs_the_task(shell: command_runs.Shell, run_id: str, action: str) -> None:
    answer = shell("steer", action, run_id)
    assert answer.code == 2
    assert answer.err.startswith(f"dispatch-mcp: '{action}' needs the id of a task.\n")
    assert f"`dispatch-mcp status {run_id}` lists its tasks." in answer.err


def test_a_task_that_is_not_there_is_named_with_where_the_others_are(shell: command_runs.Shell, run_id: str) -> None:
    answer = shell("steer", "retry", run_id, "nothing")
    assert answer.code == 2
    assert "has no task 'nothing'" in answer.err
    assert f"`dispatch-mcp status {run_id}` lists its tasks." in answer.err


def test_new_ceilings_are_shown_with_what_they_leave(shell: command_runs.Shell, run_id: str) -> None:
    answer = shell("limit", run_id, "dollars=8", "minutes=90.5", "attempts=4")
    assert answer.code == 0, answer.err
    assert "dollars at most 8" in answer.out
    assert "attempts 3 of 4" in answer.out
    limits = shell("limit", run_id, "dollars=7", "--json").json["limits"]
    assert (limits["dollars"], limits["minutes"]) == (7.0, 90.5)


def test_a_ceiling_of_a_run_that_is_over_is_said_to_count_only_for_what_is_tried_again(
    shell: command_runs.Shell, run_id: str
) -> None:
    assert "This run is over" not in shell("limit", run_id, "dollars=8").err
    shell("steer", "cancel", run_id)
    answer = shell("limit", run_id, "dollars=7")
    assert answer.code == 0
    assert "This run is over: the ceiling counts from when one of its tasks is tried again." in answer.err


def test_a_raise_is_shown_and_done_once_the_person_names_the_plan_that_they_saw(
    shell: command_runs.Shell, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell("limit", run_id, "dollars=8").code == 0
    shown = shell("limit", run_id, "dollars=9")
    assert (shown.code, shown.out) == (1, "")
    assert f"Raise what run {run_id} (May we go on?) may use? dollars from 8 to 9." in shown.err
    digest = shown.err.partition("digest ")[2][:12]
    assert f"`dispatch-mcp limit {run_id} dollars=9 --expect {digest}`" in shown.err
    for wrong in ("0" * 12, digest[:5]):
        other = shell("limit", run_id, "dollars=9", "--expect", wrong)
        assert other.code == 2
        assert f"The plan's digest is {digest}, not '{wrong}'." in other.err
    monkeypatch.setenv("CLAUDECODE", "1")
    assert shell("limit", run_id, "dollars=9", "--expect", digest).code == 1
    monkeypatch.delenv("CLAUDECODE")
    assert shell("limit", run_id, "dollars=9", "--expect", digest).code == 0
    events = shell("trace", run_id, "--view", "timeline", "--json").json["timeline"]
    [raised] = [event["data"] for event in events if event["kind"] == "limits_raised"]
    assert raised["by"].endswith(" at a shell")
    assert raised["plan_digest"].startswith(digest)
    assert (raised["raised"], raised["plan_version"]) == ([["dollars", 8.0, 9.0]], 1)


class Terminal(io.StringIO):
    """What a person types at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "height"), [("yes\n", 9.0), ("Y\n", 9.0), ("no\n", 8.0), ("\n", 8.0), ("", 8.0)])
def test_in_a_terminal_a_person_is_asked(
    shell: command_runs.Shell, run_id: str, monkeypatch: pytest.MonkeyPatch, typed: str, height: float
) -> None:
    assert shell("limit", run_id, "dollars=8").code == 0
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    answer = shell("limit", run_id, "dollars=9")
    assert "dollars from 8 to 9." in answer.err
    assert ("Nothing was raised." in answer.err) == (height == 8.0)
    assert shell("status", run_id, "--json").json["limits"]["dollars"] == height


def test_a_person_alone_lets_work_begin_whose_forecast_does_not_fit(
    shell: command_runs.Shell, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell("limit", run_id).code == 2
    monkeypatch.setenv("CLAUDECODE", "1")
    refusal = shell("limit", run_id, "--begin-anyway")
    assert refusal.code == 1
    assert "a person has to decide" in refusal.err
    monkeypatch.delenv("CLAUDECODE")
    unasked = shell("limit", run_id, "dollars=0.01", "--begin-anyway")
    assert (unasked.code, unasked.out) == (1, "")
    command = re.search(r"`dispatch-mcp (limit [^`]*)`", unasked.err)
    assert command
    assert "work may begin with what is left although its forecast does not fit." in unasked.err
    answer = shell(*command[1].split())
    assert answer.code == 0, answer.err
    assert "dollars at most 0.01" in answer.out


NO_CEILINGS = ["dollars", "dollars=many", "dollars=-1", "=5", "dollars=nan", "tokens=inf", "beyond_forecast=1"]


@pytest.mark.parametrize("entry", NO_CEILINGS)
def test_a_ceiling_that_is_none_is_refused(shell: command_runs.Shell, run_id: str, entry: str) -> None:
    answer = shell("limit", run_id, entry)
    assert answer.code == 2
    assert answer.err.startswith("dispatch-mcp: ")


@given(st.sampled_from(person_acts.ASSISTANTS), st.booleans())
def test_an_assistants_shell_may_not_decide_without_a_terminal(variable: str, terminal: object) -> None:
    if terminal:
        person_acts.refuse_assistants({variable: "1"}, terminal=True)
    else:
        with pytest.raises(errors.NotAllowed, match=variable):
            person_acts.refuse_assistants({variable: "1"}, terminal=False)


LOOK = {"id": "look", "do": "Judge it", "reviews": ["work"], "worker": "host"}


def test_an_assistants_shell_lets_no_review_go_and_a_persons_does(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [GATE, WORK, LOOK]
    run_id = str(shell("run", command_runs.written(tmp_path, tasks), "--quiet").json["correlation_id"])
    assert shell("approve", run_id).code == 0
    monkeypatch.setenv("CLAUDECODE", "1")
    answer = shell("steer", "skip", run_id, "look")
    assert answer.code == 1
    assert "only a person can let it go" in answer.err
    monkeypatch.delenv("CLAUDECODE")
    assert shell("steer", "skip", run_id, "look").code == 0


def test_a_variable_that_is_empty_makes_no_assistant() -> None:
    person_acts.refuse_assistants({"CLAUDECODE": "", "HOME": "/home/ann"}, terminal=False)


OFFER = merge_offer.Offer(
    run_id="r", revision="0123456789abcdef", head="fedcba", branch="main", way="forward", commits=1, files=("a.py",)
)


def test_an_offer_comes_with_the_command_that_takes_it() -> None:
    assert apply.advice(OFFER) == ["Do it: dispatch-mcp apply r --expect 0123456789ab"]


def test_an_offer_of_a_run_that_goes_on_says_that_more_may_come() -> None:
    lines = apply.advice(OFFER.model_copy(update={"run_state": "running"}))
    assert lines[0] == "The run is still running: more may come."
    assert len(lines) == 2


@pytest.mark.parametrize(
    "change",
    [{"busy": "rebase"}, {"branch": ""}, {"clashes": ("a.py",)}, {"local": ("a.py",)}],
    ids=lambda c: next(iter(c)),
)
def test_an_offer_that_cannot_be_taken_says_why_and_not_how(change: dict[str, object]) -> None:
    lines = apply.advice(OFFER.model_copy(update=change))
    assert len(lines) == 2
    assert not [line for line in lines if line.startswith("Do it")]


@pytest.mark.parametrize("change", [{"way": "nothing"}, {"applied": True}], ids=["nothing", "applied"])
def test_nothing_is_advised_where_nothing_is_left_to_do(change: dict[str, object]) -> None:
    assert apply.advice(OFFER.model_copy(update=change)) == []
