from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest

from dispatch_mcp import errors
from dispatch_mcp.agents import catalog
from dispatch_mcp.model import records
from dispatch_mcp.routing import learning
from dispatch_mcp.service import route_memory
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import redaction

pytestmark = pytest.mark.anyio

KNOWN = catalog.merge(
    catalog.Agent(name=name, description=description, roster="r", sha256=name)
    for name, description in (("db", "Database tables and SQL queries"), ("web", "Pages, forms and CSS of the website"))
)
QUERY = {"id": "q", "do": "Speed up the SQL query of the orders table", "agent": "db"}
Lessons = list[tuple[str, str, float]]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[dispatcher_setup.Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as opened:
        opened.app.catalog = lambda: KNOWN
        opened.app.memory = route_memory.Memory(opened.app.store, records.LOCAL)
        yield opened


async def known(desk: dispatcher_setup.Desk) -> Lessons:
    return [(one.agent, one.outcome, one.weight) for one in await desk.app.store.learned(records.LOCAL)]


async def reported(desk: dispatcher_setup.Desk, *tasks: dict[str, Any], dry_run: bool = False, **said: Any) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(*tasks), dry_run=dry_run)
    if dry_run:
        await desk.ended(progress.run_id)
        return
    await desk.app.report(progress.run_id, [dispatcher_setup.said(one, **said) for one in progress.assignments])


async def test_a_result_that_the_host_claims_counts_half(desk: dispatcher_setup.Desk) -> None:
    await reported(desk, QUERY)
    assert await known(desk) == [("db", "accepted", 0.5)]
    [lesson] = await desk.app.store.learned(records.LOCAL)
    assert (lesson.text, lesson.task_id, lesson.at) == (QUERY["do"], "q", desk.clock.now)


async def test_a_failure_speaks_against_the_agent_once_it_is_final(desk: dispatcher_setup.Desk) -> None:
    await reported(desk, QUERY, status="failed", error="no")
    assert await known(desk) == [("db", "failed", 0.5)]


async def test_a_report_that_comes_twice_teaches_once(desk: dispatcher_setup.Desk) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(QUERY))
    for _ in range(2):
        await desk.app.report(progress.run_id, [dispatcher_setup.said(one) for one in progress.assignments])
    assert len(await known(desk)) == 1


async def test_simulations_commands_and_tasks_without_an_agent_teach_nothing(desk: dispatcher_setup.Desk) -> None:
    await reported(desk, QUERY, dry_run=True)
    await reported(desk, {"id": "c", "do": "Run the tests", "command": ["true"]})
    await reported(desk, {"id": "n", "do": "Zzz qqq"})
    assert await known(desk) == []


async def test_an_agent_that_replaces_the_suggested_one_is_a_correction(desk: dispatcher_setup.Desk) -> None:
    assert desk.app.route("Speed up the SQL query of the orders page").specialist == "db"
    await desk.planned({**QUERY, "agent": "web"})
    assert await known(desk) == [("db", "corrected", 1.0), ("web", "rerouted", 1.0)]


async def test_an_agent_chosen_for_something_else_corrects_nothing(desk: dispatcher_setup.Desk) -> None:
    desk.app.route("Speed up the SQL query of the orders table")
    await desk.planned(QUERY, {"id": "w", "do": "Draw the page of the footer", "agent": "web"})
    assert await known(desk) == []


async def test_an_edit_that_changes_the_agent_is_a_correction(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(QUERY)
    await desk.app.plans.edit(plan_id, 1, [{"op": "modify", "id": "q", "task": {"agent": "web"}}])
    assert await known(desk) == [("db", "corrected", 1.0), ("web", "rerouted", 1.0)]


async def test_an_edit_that_changes_the_goal_too_corrects_nothing(desk: dispatcher_setup.Desk) -> None:
    plan_id = await desk.planned(QUERY)
    await desk.app.plans.edit(plan_id, 1, [{"op": "modify", "id": "q", "task": {"agent": "web", "do": "Draw a page"}}])
    assert await known(desk) == []


async def test_what_was_learned_moves_the_next_route(desk: dispatcher_setup.Desk) -> None:
    text = "Speed up the SQL query of the orders table"
    assert desk.app.route(text).specialist == "db"
    await desk.planned({**QUERY, "agent": "web"})
    route = desk.app.route(text)
    assert route.ranked[0].name == "web"
    assert any(piece.field == "history" for piece in route.evidence)


async def test_it_survives_the_process_and_is_gone_once_forgotten(desk: dispatcher_setup.Desk) -> None:
    await reported(desk, QUERY)
    later = route_memory.Memory(desk.app.store, records.LOCAL)
    await later.refresh()
    assert [past.agent for past in later.history.past] == ["db"]
    assert await desk.app.store.forget(records.LOCAL) == 1
    await later.refresh()
    assert later.history.past == ()
    await reported(desk, QUERY)
    await later.refresh()
    assert len(later.history.past) == 1


async def test_one_user_learns_nothing_from_another(desk: dispatcher_setup.Desk) -> None:
    await reported(desk, QUERY)
    other = route_memory.Memory(desk.app.store, "ann")
    await other.refresh()
    assert other.history.past == ()


async def test_switched_off_it_keeps_and_reads_nothing(desk: dispatcher_setup.Desk) -> None:
    await reported(desk, QUERY)
    desk.app.memory = off = route_memory.Memory(desk.app.store, records.LOCAL, on=False)
    await off.refresh()
    desk.app.route(QUERY["do"])
    await reported(desk, {**QUERY, "agent": "web"})
    assert off.history.past == ()
    assert await known(desk) == [("db", "accepted", 0.5)]


@pytest.mark.promise("S10")
async def test_a_secret_in_a_goal_is_not_kept(desk: dispatcher_setup.Desk) -> None:
    secret = "-".join(("hunter2", "hunter2", "hunter2"))
    redactor = redaction.Redactor([secret])
    desk.app.memory = route_memory.Memory(desk.app.store, records.LOCAL, redact=redactor.redact)
    await reported(desk, {**QUERY, "do": f"Log in to the database with {secret}"})
    [lesson] = await desk.app.store.learned(records.LOCAL)
    assert secret not in lesson.text


async def test_a_store_that_cannot_be_written_stops_no_work(desk: dispatcher_setup.Desk) -> None:
    class Refusing(sqlite_store.Store):
        async def learn(self, principal: str, lessons: object) -> None:
            raise errors.StoreBusy("busy")

    desk.app.memory = past = route_memory.Memory(Refusing(desk.app.store.home), records.LOCAL)
    await past.learn([learning.Lesson("a", "db", "accepted")])
    assert past.history.past == ()
