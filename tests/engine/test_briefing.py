"""What a worker is told of earlier runs of its workspace: what they decided and learned, as it stands now."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dispatcher_setup
import engine_conformance
import pytest

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.context import pack_gatherer
from dispatch_mcp.context.documents import knowledge_documents
from dispatch_mcp.engine import briefing
from dispatch_mcp.model import WorkerKind, records, work_order
from dispatch_mcp.runs import prompt_builder

pytestmark = pytest.mark.anyio


@dataclass
class Room:
    """Runs of one workspace, and briefs of their tasks."""

    desk: dispatcher_setup.Desk
    briefing: briefing.Briefing
    root: Path
    count: int = 0

    async def begin(self, *, inputs: dict[str, Any] | None = None, **more: Any) -> str:
        self.count += 1
        task = dispatcher_setup.task(f"t{self.count}", inputs=inputs or {})
        return (await dispatcher_setup.started(self.desk, task, **more)).run_id

    async def end(self, run_id: str, **handoff: Any) -> None:
        [row] = await self.desk.app.store.tasks(run_id)
        result = {"task_id": row.id, "attempt": 1, "handoff": {"completed_work": "Done.", **handoff}}
        await self.desk.app.report(run_id, [result])

    async def notes(self, run_id: str) -> list[str]:
        """Returns what a task of a run is told of earlier ones, line by line."""
        task = model.Task(id="now", do="Add the totals up")
        work = work_order.WorkOrder(run_id, task, 1, WorkerKind.HOST, workspace=str(self.root))
        blocks = (await self.briefing.brief(work)).work.gathered
        return [line for data in blocks if data.kind == prompt_builder.NOTES for line in data.text.splitlines()]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncGenerator[Room]:
    async with dispatcher_setup.opened(tmp_path / "state") as desk:
        with pack_gatherer.Gatherer(tmp_path / "index") as gatherer:
            library = knowledge_documents.Library(desk.app.store.home)
            made = briefing.Briefing(desk.app.store, gatherer, lambda: catalog.EMPTY, library, patience_s=60)
            yield Room(desk, made, tmp_path)


async def test_what_earlier_runs_decided_and_learned_is_told_once_the_newest_first(room: Room) -> None:
    for number in (1, 2):
        run_id = await room.begin()
        await room.end(run_id, decisions_made=["cents", f"decision {number}"], mistakes_learned=[f"mistake {number}"])
    assert await room.notes(await room.begin()) == [
        "- learned: mistake 2",
        "- decided: cents",
        "- decided: decision 2",
        "- learned: mistake 1",
        "- decided: decision 1",
    ]


async def test_what_a_run_decides_meanwhile_is_told_to_whoever_begins_after_it(room: Room) -> None:
    first, now = await room.begin(), await room.begin()
    assert await room.notes(now) == []
    await room.end(first, decisions_made=["cents"])
    assert await room.notes(now) == ["- decided: cents"]


async def test_what_was_decided_here_is_told_however_many_runs_there_were_elsewhere_since(room: Room) -> None:
    await room.end(await room.begin(), decisions_made=["cents"])
    store = room.desk.app.store
    await store.save_plan(model.Plan(id="p", tasks=(model.Task(id="a", do="Do it"),)), records.LOCAL)
    for number in range(2 * briefing.MAX_RUNS + 1):
        new = records.NewRun(
            id=f"r{number}", plan_id="p", plan_version=1, worker=WorkerKind.HOST, workspace="/elsewhere"
        )
        await store.create_run(new)
    assert await room.notes(await room.begin()) == ["- decided: cents"]


async def test_what_was_only_rehearsed_was_not_decided(room: Room) -> None:
    rehearsal = await room.begin(inputs=engine_conformance.script(handoff={"decisions_made": ["cents"]}), dry_run=True)
    await room.desk.ended(rehearsal)
    assert await room.notes(await room.begin()) == []


async def test_what_another_task_of_the_run_handed_over_is_given_to_who_asks_for_it_as_it_was_written(
    room: Room,
) -> None:
    run_id = await room.begin()
    [row] = await room.desk.app.store.tasks(run_id)
    await room.end(run_id, completed_work="Größen in Käse")
    task = model.Task(id="now", do="Add the totals up", context=(f"task:{row.id}",))
    work = work_order.WorkOrder(run_id, task, 1, WorkerKind.HOST, workspace=str(room.root))
    blocks = (await room.briefing.brief(work)).work.gathered
    assert any("Größen in Käse" in data.text for data in blocks)
