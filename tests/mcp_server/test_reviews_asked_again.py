"""What a review has passed is what stands at the end: work that goes on beside it changes nothing behind its back."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import memory_client
import pytest

pytestmark = pytest.mark.anyio

WRITE: Final[dict[str, Any]] = {"id": "write", "do": "Add a discount to app.py", "files": ["app.py"]}
LOOK: Final[dict[str, Any]] = {"id": "look", "do": "Find out who calls total()"}
GATE: Final[dict[str, Any]] = {"id": "rev", "do": "Review it", "agent": "security-sentinel", "deps": ["write"]}
PASS: Final = '{"verdict": "PASS", "files": ["app.py"], "findings": []}'
GOOD: Final = "def total(items):\n    return sum(items) * 9 // 10\n"
BAD: Final = "def total(items):\n    return eval(items)\n"


@pytest.fixture(params=["standard"])
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    async with memory_client.desk(
        memory_client.make_server(chosen.model_copy(update={"review_policy": request.param}))
    ) as client:
        yield client


class HostRun:
    """A run that the host works at."""

    def __init__(self, desk: memory_client.Desk, shop: Path) -> None:
        self.desk, self.shop, self.run_id, self.answer = desk, shop, "", dict[str, Any]()

    async def begin(self, *tasks: dict[str, Any]) -> None:
        self.answer = await self.desk.call("dispatch", plan_id=await self.desk.planned(*tasks))
        self.run_id = self.answer["run_id"]

    @property
    def out(self) -> list[str]:
        """The tasks that the last answer hands out."""
        return [one["task_id"] for one in self.answer.get("assignments", ())]

    async def report(self, *results: dict[str, Any]) -> None:
        self.answer = await self.desk.call("report", run_id=self.run_id, results=list(results))

    async def done(self, task_id: str, attempt: int = 1, text: str = "done") -> None:
        await self.report({"task_id": task_id, "attempt": attempt, "text": text})

    async def passed(self) -> None:
        """Has everybody whom the last answer asks for a review pass the change."""
        while self.out:
            await self.report(*({**self.keys(one), "text": PASS} for one in self.answer["assignments"]))

    @staticmethod
    def keys(one: dict[str, Any]) -> dict[str, Any]:
        return {"task_id": one["task_id"], "attempt": one["attempt"]}

    def write(self, text: str) -> None:
        (self.shop / "app.py").write_text(text)


@pytest.fixture
def run(desk: memory_client.Desk, tmp_path: Path) -> HostRun:
    return HostRun(desk, tmp_path / "shop")


async def test_a_council_is_asked_again_when_work_beside_it_ends_and_what_it_passed_has_changed(run: HostRun) -> None:
    await run.begin(WRITE, LOOK)
    run.write(GOOD)
    await run.done("write")
    await run.passed()
    assert run.answer["state"] == "running"
    run.write(BAD)
    await run.done("look")
    assert {name.partition(".")[0] for name in run.out} == {"council"}
    receipts = run.answer["results"][0]["receipts"]
    assert "`app.py` changed while this was under way, after `council` had passed it" in str(receipts)
    for one in run.answer["assignments"]:
        [address] = [word for word in one["call"]["prompt"].split() if word.startswith("dispatch://")]
        assert "eval(items)" in await run.desk.read(address)
    await run.passed()
    assert run.answer["state"] == "succeeded"


async def test_a_review_is_asked_again_when_a_task_that_came_after_it_has_changed_what_it_passed(run: HostRun) -> None:
    await run.begin(WRITE, GATE, {**LOOK, "deps": ["rev"]})
    run.write(GOOD)
    await run.done("write")
    await run.done("rev", text=PASS)
    run.write(BAD)
    await run.done("look")
    assert "rev" in run.out
    assert run.answer["state"] == "running"


async def test_work_that_leaves_what_was_passed_as_it_is_has_nobody_asked_again(run: HostRun) -> None:
    await run.begin(WRITE, LOOK)
    run.write(GOOD)
    await run.done("write")
    await run.passed()
    (run.shop / "notes.txt").write_text("mine\n")
    await run.done("look")
    assert (run.out, run.answer["state"]) == ([], "succeeded")


async def test_what_later_tasks_declare_is_theirs_to_change(run: HostRun) -> None:
    later = {"id": "later", "do": "Round the total in app.py", "files": ["app.py"], "deps": ["rev"]}
    await run.begin(WRITE, GATE, later, {**LOOK, "deps": ["rev"]})
    run.write(GOOD)
    await run.done("write")
    await run.done("rev", text=PASS)
    run.write(BAD)
    await run.done("look")
    assert "rev" not in run.out
    await run.done("later")
    assert "rev" not in run.out
