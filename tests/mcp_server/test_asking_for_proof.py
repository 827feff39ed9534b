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
    with anyio.fail_after(120):
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


@pytest.fixture
async def tested(tmp_path: Path, shop: Path) -> AsyncGenerator[memory_client.Desk]:
    """A server whose user allows `python -m unittest`, beside a project that has such tests."""
    (shop / "tests").mkdir()
    (shop / "tests" / "__init__.py").touch()
    (shop / "tests" / "test_app.py").write_text(
        "import unittest\n\nimport app\n\n\nclass Totals(unittest.TestCase):\n    def test_sum(self):\n"
        "        self.assertEqual(app.total([1, 2]), 3)\n",
        encoding="utf-8",
    )
    chosen = memory_client.settings(tmp_path / "home", shop).model_copy(
        update={"allow_commands": (("python", "-m", "unittest"),)}
    )
    with anyio.fail_after(120):
        async with memory_client.desk(memory_client.make_server(chosen)) as it:
            yield it


CODE = {"id": "code", "do": "Take 10 % off totals over 5,000", "files": ["app.py"]}
DOCS = {"id": "docs", "do": "Describe the discount", "files": ["README.md"]}


async def test_a_plan_without_proof_is_answered_with_proof_to_ask_for(tested: memory_client.Desk) -> None:
    plan = await tested.call("plan_dag", tasks=[CODE, {**CODE, "id": "more", "files": ["more.py"]}, DOCS])
    assert plan["prove"] == {"*": ["diff", "command: python -m unittest"], "docs": ["diff"]}
    stored = await tested.read(f"dispatch://plans/{plan['plan_id']}")
    assert "unittest" not in stored, "nothing is added unasked"


async def test_one_edit_takes_the_proof_and_the_server_then_checks_it(tested: memory_client.Desk, shop: Path) -> None:
    plan = await tested.call("plan_dag", tasks=[CODE, DOCS])
    taken = await tested.call("plan_dag", plan_id=plan["plan_id"], base_version=1, edits=[{"op": "prove", "id": "*"}])
    assert (taken["version"], "prove" in taken) == (2, False)
    run = await tested.call("dispatch", plan_id=plan["plan_id"])
    (shop / "app.py").write_text("def total(items):\n    return 0\n", encoding="utf-8")
    (shop / "README.md").write_text("# A shop with discounts\n", encoding="utf-8")
    results = [{"task_id": name, "attempt": 1, "text": "Done."} for name in ("code", "docs")]
    answer = await tested.call("report", run_id=run["run_id"], results=results)
    states = {line["task_id"]: line["state"] for line in answer["results"]}
    assert states == {"code": "running", "docs": "succeeded"}, "the tests fail, so the code is tried again"


async def test_without_leave_the_command_is_named_and_only_the_change_is_proposed(
    desk: memory_client.Desk, shop: Path
) -> None:
    (shop / "go.mod").write_text("module shop\n", encoding="utf-8")
    plan = await desk.call("plan_dag", tasks=[{**CODE, "files": ["cart.go"]}])
    assert plan["prove"] == {"*": ["diff"]}
    assert plan["prove_if_allowed"] == "go test ./..."


async def test_a_command_that_is_not_allowed_is_refused_with_the_line_that_allows_it(
    desk: memory_client.Desk, tmp_path: Path, shop: Path
) -> None:
    line = f'["go", "test", "./..."]]` in {tmp_path}/home/config.toml, or DISPATCH_MCP_ALLOW_COMMANDS='
    task = {**WRITE, "acceptance": ["command: go test ./..."]}
    plan = await desk.call("plan_dag", tasks=[task])
    [warning] = [one for one in plan["warnings"] if one["code"] == "not_allowed"]
    assert warning["tasks"] == ["write"]
    assert line in warning["message"]
    run = await desk.call("dispatch", plan_id=plan["plan_id"])
    (shop / "basket.py").write_text("ITEMS = []\n", encoding="utf-8")
    answer = await reported(desk, run["run_id"])
    assert answer["results"][0]["state"] == "unverified"
    assert "not on the user's allow-list" in answer["results"][0]["receipts"][0]["detail"]
    trace = await desk.call("get_trace", run_id=run["run_id"], view="results")
    details = [receipt["detail"] for receipt in trace["results"][0]["receipts"]]
    assert any(line in detail for detail in details), "the answer to a report is short, the trace is whole"


async def test_a_task_whose_command_is_not_allowed_ends_with_the_line_that_allows_it(desk: memory_client.Desk) -> None:
    run_id = await started(desk, {"id": "a", "do": "Build it", "command": ["make", "all"]})
    assert (await desk.finished(run_id))["state"] == "failed"
    [result] = (await desk.call("get_trace", run_id=run_id, view="results"))["results"]
    assert '["make", "all"]]` in ' in "".join(str(value) for value in result.values())
