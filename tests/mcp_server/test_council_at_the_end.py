"""What planning adds by default: one council over the whole change, said first, refused for good, and it decides."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import memory_client
import pytest

pytestmark = pytest.mark.anyio

WRITE: Final[dict[str, Any]] = {"id": "write", "do": "Add a discount to app.py", "files": ["app.py"]}
TELL: Final[dict[str, Any]] = {
    "id": "tell",
    "do": "Describe it",
    "deps": ["write"],
    "files": ["README.md"],
    "agent": "prod-techwriter",
}
LOOK: Final[dict[str, Any]] = {"id": "look", "do": "Find out who calls total()"}
PASS: Final = '{"verdict": "PASS", "findings": []}'


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    chosen = chosen.model_copy(update={"review_policy": "standard"})
    async with memory_client.desk(memory_client.make_server(chosen)) as client:
        yield client


async def stored(desk: memory_client.Desk, plan_id: str) -> dict[str, dict[str, Any]]:
    """Returns the tasks of a plan by id."""
    return {task["id"]: task for task in json.loads(await desk.read(f"dispatch://plans/{plan_id}"))["tasks"]}


async def test_what_was_added_stands_first_with_the_way_to_refuse_it(desk: memory_client.Desk) -> None:
    answer = await desk.call("plan_dag", tasks=[WRITE, TELL, LOOK])
    assert list(answer)[:2] == ["added", "refuse"]
    assert set(answer["added"].values()) == {"reviews = end"}
    assert "op: remove" in answer["refuse"]
    tasks = await stored(desk, answer["plan_id"])
    assert set(tasks) == {"write", "tell", "look", *answer["added"]}
    assert {tuple(tasks[name]["reviews"]) for name in answer["added"]} == {("write", "tell")}
    assert not any(name in task.get("deps", []) for task in tasks.values() for name in answer["added"])


async def test_a_decision_is_refused_by_naming_an_agent_and_not_by_an_edit(tmp_path: Path) -> None:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    strict = chosen.model_copy(update={"review_policy": "strict"})
    doubtful = {"id": "tell", "do": "Zxqw vbnm", "files": ["README.md"]}
    async with memory_client.desk(memory_client.make_server(strict)) as desk:
        answer = await desk.call("plan_dag", tasks=[WRITE, doubtful])
    assert answer["added"]["decision"] == "a person decides: nobody is sure"
    assert "op: remove, id: council." in answer["refuse"]
    assert "name an agent for what waits for it" in answer["refuse"]


async def test_a_plan_that_changes_nothing_gains_nothing(desk: memory_client.Desk) -> None:
    answer = await desk.call("plan_dag", tasks=[LOOK, {"id": "log", "do": "Show it", "command": ["git", "ls-files"]}])
    assert "added" not in answer
    assert set(await stored(desk, answer["plan_id"])) == {"look", "log"}


async def test_what_was_refused_does_not_come_back_with_the_next_edit(desk: memory_client.Desk) -> None:
    answer = await desk.call("plan_dag", tasks=[WRITE])
    removals = [{"op": "remove", "id": name} for name in answer["added"]]
    plan_id = answer["plan_id"]
    without = await desk.call("plan_dag", plan_id=plan_id, base_version=1, edits=removals)
    assert "added" not in without
    edit = {"op": "modify", "id": "write", "task": {"output": ["app.py"]}}
    await desk.call("plan_dag", plan_id=plan_id, base_version=2, edits=[edit])
    assert set(await stored(desk, plan_id)) == {"write"}


async def test_a_run_may_end_only_when_every_seat_has_passed_it(desk: memory_client.Desk, tmp_path: Path) -> None:
    run = await desk.call("dispatch", plan_id=await desk.planned(WRITE))
    (tmp_path / "shop" / "app.py").write_text("def total(items):\n    return sum(items) * 9 // 10\n")
    done = {"task_id": "write", "attempt": 1, "text": "done"}
    council = (await desk.call("report", run_id=run["run_id"], results=[done]))["assignments"]
    assert len(council) == 3
    assert all(seat["task_id"].startswith("council.") for seat in council)
    results = [{"task_id": seat["task_id"], "attempt": 1, "text": PASS} for seat in council]
    waiting = await desk.call("report", run_id=run["run_id"], results=results[:2])
    assert waiting["state"] == "running"
    assert (await desk.call("report", run_id=run["run_id"], results=results[2:]))["state"] == "succeeded"


async def test_one_seat_that_objects_sends_the_work_back(desk: memory_client.Desk, tmp_path: Path) -> None:
    run = await desk.call("dispatch", plan_id=await desk.planned(WRITE))
    (tmp_path / "shop" / "app.py").write_text("def total(items):\n    return eval(items)\n")
    done = {"task_id": "write", "attempt": 1, "text": "done"}
    council = (await desk.call("report", run_id=run["run_id"], results=[done]))["assignments"]
    finding = {"severity": "critical", "file": "app.py", "line": 2, "quote": "return eval(items)", "claim": "It runs"}
    fails = json.dumps({"verdict": "FAIL", "findings": [{**finding, "evidence": "any text is run"}]})
    texts = [fails, *[PASS] * (len(council) - 1)]
    results = [
        {"task_id": seat["task_id"], "attempt": 1, "text": text} for seat, text in zip(council, texts, strict=True)
    ]
    back = await desk.call("report", run_id=run["run_id"], results=results)
    assert [given["task_id"] for given in back["assignments"]] == ["write"]


async def test_a_plan_of_six_tasks_is_answered_in_twelve_hundred_characters(desk: memory_client.Desk) -> None:
    tasks = [
        {"id": f"part-{number}", "do": f"Write part {number} and test it", "files": [f"part{number}.py"]}
        for number in range(1, 7)
    ]
    answer = await desk.call("plan_dag", tasks=tasks)
    assert answer["added"]
    assert len(json.dumps(answer, ensure_ascii=False, separators=(",", ":"))) <= 1_200
