"""What a chat model can ask for with each task: proof, a deadline, a number of attempts, a person's decision."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest

pytestmark = pytest.mark.anyio

WRITE: dict[str, Any] = {"id": "write", "do": "Write the basket module", "files": ["basket.py"]}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return memory_client.repository(tmp_path / "shop")


@pytest.fixture
async def desk(tmp_path: Path, shop: Path) -> AsyncGenerator[memory_client.Desk]:
    with anyio.fail_after(60):
        async with memory_client.desk(memory_client.make_server(memory_client.settings(tmp_path / "home", shop))) as it:
            yield it


async def started(desk: memory_client.Desk, *tasks: dict[str, Any]) -> str:
    return (await desk.call("dispatch", plan_id=await desk.planned(*tasks)))["run_id"]


async def reported(desk: memory_client.Desk, run_id: str, **fields: Any) -> dict[str, Any]:
    result = {"task_id": "write", "attempt": 1, "text": "Written.", **fields}
    return await desk.call("report", run_id=run_id, results=[result])


async def test_acceptance_decides_whether_work_is_done(desk: memory_client.Desk, shop: Path) -> None:
    for content, state in (("ITEMS = []\n", "succeeded"), ("raise SystemExit(1)\n", "running")):
        acceptance = ["file:basket.py", "command: python -c 'import runpy; runpy.run_path(\"basket.py\")'"]
        run_id = await started(desk, {**WRITE, "acceptance": acceptance})
        (shop / "basket.py").write_text(content, encoding="utf-8")
        answer = await reported(desk, run_id)
        assert answer["results"][0]["state"] == state, answer


@pytest.mark.parametrize("name", ["attempts", "max_attempts"])
async def test_attempts_bound_how_often_a_task_is_tried(desk: memory_client.Desk, name: str) -> None:
    run_id = await started(desk, {**WRITE, name: 1})
    answer = await reported(desk, run_id, status="failed", error="It broke", retryable=True)
    assert answer["state"] == "failed"
    again = await started(desk, {**WRITE, name: 2})
    assert (await reported(desk, again, status="failed", error="It broke", retryable=True))["state"] == "running"


async def test_a_deadline_is_told_to_whoever_does_the_work(desk: memory_client.Desk) -> None:
    run = await desk.call("dispatch", plan_id=await desk.planned({**WRITE, "timeout_s": 90}))
    [assignment] = run["assignments"]
    assert assignment["timeout_s"] == 90


async def test_a_task_for_a_person_waits_for_one(desk: memory_client.Desk) -> None:
    gate = {"id": "gate", "do": "May the basket go live?", "worker": "human"}
    run = await desk.call("dispatch", plan_id=await desk.planned(gate, {**WRITE, "deps": ["gate"]}))
    assert run["state"] == "waiting_input"
    assert not run.get("assignments")
