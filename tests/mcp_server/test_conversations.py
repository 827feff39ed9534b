"""Whole conversations of an assistant with a server process: what it reads at each turn, and what it can do then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import memory_client
import pytest
import raw_server
from raw_server import Wire, done


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    shop = memory_client.repository(tmp_path / "shop")
    agents = shop / ".claude" / "agents"
    agents.mkdir(parents=True)
    for name, words in (("db-expert", "Database schema, index and table"), ("sql-tuner", "Slow database query")):
        text = f"---\nname: {name}\ndescription: {words}\n---\nYou are {name}.\n"
        (agents / f"{name}.md").write_text(text)
    with Wire(raw_server.environment(tmp_path / "home", shop), shop) as opened:
        yield opened


def task(task_id: str, *deps: str, **fields: Any) -> dict[str, Any]:
    return {"id": task_id, "do": f"Describe part {task_id}", "deps": list(deps), **fields}


def dispatched(wire: Wire, *tasks: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    plan = wire.call("plan_dag", tasks=list(tasks))
    answer = wire.call("dispatch", plan_id=plan["plan_id"], worker="host")
    return answer, {one["task_id"]: one for one in answer["assignments"]}


def failed(one: dict[str, Any], error: str, **more: Any) -> dict[str, Any]:
    return {"task_id": one["task_id"], "attempt": one["attempt"], "status": "failed", "error": error, **more}


def test_a_note_to_work_that_is_out_is_passed_on_and_one_that_came_too_late_is_said(wire: Wire) -> None:
    answer, out = dispatched(wire, task("api"), task("web"))
    run_id = answer["run_id"]
    note = {"run_id": run_id, "action": "send", "sender": "web", "kind": "warning", "text": "Paths begin with /v2"}
    [fate] = wire.call("message_agents", recipient="api", **note)["reaches"]
    assert "pass it on to its subagent" in fate
    reported = wire.call("report", run_id=run_id, results=[done(out["web"])])
    assert reported["pass_on"] == [{"sender": "web", "to": ["api"], "kind": "warning", "text": "Paths begin with /v2"}]
    assert "Pass `pass_on` on to 'api' now; where you cannot, check the result against it." in reported["next"]
    assert "pass_on" not in wire.call("report", run_id=run_id, results=[done(out["api"])]), "told once"
    [fate] = wire.call("message_agents", recipient="api", **note)["reaches"]
    assert fate.startswith("not read, it has ended")


def test_work_that_is_out_is_marked_and_only_new_work_counts(wire: Wire) -> None:
    answer, out = dispatched(wire, task("api"), task("web"), task("docs", "api"))
    run_id = answer["run_id"]
    again = wire.call("dispatch", run_id=run_id)
    assert all(one["already_out"].startswith("for ") for one in again["assignments"])
    assert again["next"].startswith("Nothing new: 2 assignments have already been out, the first for ")
    reported = wire.call("report", run_id=run_id, results=[done(out["api"])])
    assert [(one["task_id"], "already_out" in one) for one in reported["assignments"]] == [("docs", False)]
    assert reported["next"].startswith("Do 1 assignment now")


def test_the_pause_before_another_attempt_says_when_it_is_over(wire: Wire) -> None:
    answer, out = dispatched(wire, task("api"))
    reported = wire.call("report", run_id=answer["run_id"], results=[failed(out["api"], "busy", retryable=True)])
    assert "'api' is tried again in 1 s." in reported["next"]
    waiting = wire.call("get_trace", run_id=answer["run_id"], wait_s=20)
    assert waiting["next"].startswith("1 task ready for you: call `dispatch`")
    [one] = wire.call("dispatch", run_id=answer["run_id"])["assignments"]
    assert one["attempt"] == 2
    assert "busy" in one["call"]["prompt"]


def test_a_result_after_the_deadline_is_turned_away_with_the_reason(wire: Wire) -> None:
    answer, out = dispatched(wire, task("api", timeout_s=1))
    wire.call("get_trace", run_id=answer["run_id"], wait_s=20)
    reported = wire.call("report", run_id=answer["run_id"], results=[done(out["api"])])
    [line] = reported["results"]
    assert line.get("accepted", False) is False
    assert line["why"] == "timed out after 1 s; attempt 2 is out"
    [one] = reported["assignments"]
    assert one["attempt"] == 2
    assert "No result after 1 s." in one["call"]["prompt"]


def test_a_retry_after_an_edit_goes_on_with_the_new_version_of_the_plan(wire: Wire) -> None:
    answer, out = dispatched(wire, task("api"))
    run_id, plan_id = answer["run_id"], answer["plan_id"]
    reported = wire.call("report", run_id=run_id, results=[failed(out["api"], "impossible as written")])
    assert reported["state"] == "failed"
    assert "steer_run(action='retry')" in reported["next"]
    edit = {"op": "modify", "id": "api", "task": {"do": "Describe part api in one sentence"}}
    assert wire.call("plan_dag", plan_id=plan_id, base_version=1, edits=[edit])["version"] == 2
    steered = wire.call("steer_run", run_id=run_id, action="retry", task_id="api")
    assert (steered["state"], steered["plan_version"]) == ("running", 2)
    again = wire.call("dispatch", run_id=run_id)
    [one] = again["assignments"]
    assert (again["plan_version"], one["attempt"]) == (2, 2)
    assert "Describe part api in one sentence" in one["call"]["prompt"]


def test_a_subagent_that_the_host_lacks_is_replaced_also_after_the_server_was_killed(
    wire: Wire, tmp_path: Path
) -> None:
    goal = {"id": "api", "do": "Add an index to the slow database table", "agent": "db-expert"}
    answer, out = dispatched(wire, goal)
    run_id, first = answer["run_id"], out["api"]
    assert first["call"]["subagent_type"] == "db-expert"
    assert "No 'db-expert' here? Report that refusal as failed" in first["instructions"]
    [second] = wire.call("report", run_id=run_id, results=[failed(first, "Agent type 'db-expert' not found.")])[
        "assignments"
    ]
    assert second["in_place_of"] == ["db-expert"]
    assert second["agent"] not in ("", "db-expert")
    wire.kill()
    shop = tmp_path / "shop"
    with Wire(raw_server.environment(tmp_path / "home", shop), shop) as other:
        [again] = other.call("dispatch", run_id=run_id)["assignments"]
        assert [again[name] for name in ("attempt", "agent", "call")] == [
            second[name] for name in ("attempt", "agent", "call")
        ]
        timeline = other.call("get_trace", run_id=run_id, view="timeline")["timeline"]
        steps = [event["data"] for event in timeline if event["kind"] == "agent_replaced"]
        assert steps == [{"agent": "db-expert", "by": second["agent"]}]
        other.call("report", run_id=run_id, results=[done(again)])
        assert other.call("get_trace", run_id=run_id)["state"] == "succeeded"
