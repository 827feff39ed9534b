"""A worker that could not read what it is to do says so, and its attempt fails: end to end, through a real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import fake_provider
import memory_client
import pytest
import raw_server

from dispatch_mcp.text.reading import reported_failures

REASON = "there is no tool for resources"
FORM = re.compile(r"end your answer with (\{.*?\})")
MEND: dict[str, Any] = {"id": "mend", "do": "Mend total_7 of the totals", "files": ["totals.py"]}
USE: dict[str, Any] = {"id": "use", "do": "Use the mended totals", "deps": ["mend"]}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Returns a workspace with a file that makes a brief too long for the host's call."""
    workspace = memory_client.repository(tmp_path / "shop")
    step = "    total = total + 1\n" * 20
    (workspace / "totals.py").write_text("\n\n".join(f"def total_{at}(total):\n{step}" for at in range(60)))
    return workspace


def prose(form: str) -> str:
    """Returns an answer that ends in the form that a worker is told, with a reason and something before it."""
    return f"I looked for the brief and found no way to read it.\n\n{form.replace('why', REASON)}"


def said_of(server: raw_server.Wire, run_id: str, task_id: str) -> str:
    """Returns what the trace says of the end of a task."""
    results = server.call("get_trace", run_id=run_id, view="results")["results"]
    return next(result["capsule"] for result in results if result["task_id"] == task_id)


def test_a_subagent_that_read_its_brief_nowhere_fails_its_task_and_nothing_builds_on_it(
    shop: Path, tmp_path: Path
) -> None:
    goal = f"Mend {', '.join(f'total_{at}' for at in range(30))}"  # so many that the brief is a long one
    with raw_server.Wire(raw_server.environment(tmp_path / "state", shop), shop) as server:
        plan_id = server.call("plan_dag", tasks=[{**MEND, "do": goal}, USE])["plan_id"]
        run = server.call("dispatch", plan_id=plan_id, worker="host")
        run_id, assignments = run["run_id"], run["assignments"]
        form = FORM.search(assignments[0]["call"]["prompt"])
        assert form is not None
        results = [{"task_id": "mend", "attempt": 1, "text": prose(form[1])}]
        answer = server.call("report", run_id=run_id, results=results)
        timeline = server.call("get_trace", run_id=run_id, view="timeline")["timeline"]
        end = next(event for event in timeline if event["kind"] == "attempt_finished")
        assert (end["task"], end["data"]["state"]) == ("mend", "failed")
        assert "use" not in {handout["task_id"] for handout in answer.get("assignments", ())}
        server.call("steer_run", run_id=run_id, action="cancel")
        assert said_of(server, run_id, "mend").startswith(reported_failures.LEAD)


@pytest.mark.parametrize("is_handoff", [False, True])
def test_a_model_that_reports_that_it_read_no_brief_fails_its_task_whatever_else_it_hands_over(
    shop: Path, tmp_path: Path, *, is_handoff: bool
) -> None:
    failure = {"status": "failed", "error": f"brief not read: {REASON}"}
    said = fake_provider.done(**failure) if is_handoff else {"text": prose('{"status": "failed", "error": "why"}')}
    with fake_provider.opened() as fake:
        fake.rules({"match": {}, "steps": [said]})
        env = raw_server.environment(tmp_path / "state", shop, **fake.env())
        with raw_server.Wire(env, shop) as server:
            plan_id = server.call("plan_dag", tasks=[{**MEND, "worker": "api", "model": "haiku"}, USE])["plan_id"]
            run_id = server.call("dispatch", plan_id=plan_id)["run_id"]
            raw_server.finish(server, [run_id])
            trace = server.call("get_trace", run_id=run_id)
            assert {task["id"]: task["state"] for task in trace["tasks"]} == {"mend": "failed", "use": "skipped"}
            assert said_of(server, run_id, "mend").startswith(reported_failures.LEAD)
            assert REASON in said_of(server, run_id, "mend")
