from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import attempt_driver, attempt_services
from dispatch_mcp.model import AttemptState, WorkerKind, ports, records, transitions, work_order
from dispatch_mcp.routing import learning
from dispatch_mcp.service import approvals, route_memory
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import redaction

pytestmark = pytest.mark.anyio

KNOWN = catalog.merge(
    catalog.Agent(name=name, description=description, roster="r", sha256=name)
    for name, description in (("db", "Database tables and SQL queries"), ("web", "Pages, forms and CSS of the website"))
)
QUERY: dict[str, Any] = {"id": "q", "do": "Speed up the SQL query of the orders table", "agent": "db"}
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


class Proving:
    """A witness for whom every criterion holds."""

    async def before(self, work: work_order.WorkOrder) -> dict[str, model.Json]:
        return {"task": work.task.id}

    async def receipts(
        self, work: work_order.WorkOrder, before: Mapping[str, model.Json], around: ports.Surroundings
    ) -> ports.Evidence:
        assert (before, [*around.declarations.names(but=work.task.id)]) == ({"task": work.task.id}, [])
        seen = [model.Receipt(kind="file", ok=True, detail="seen", criterion=one) for one in work.task.acceptance]
        return ports.Evidence(tuple(seen))


@pytest.fixture
async def strict_desk(desk: dispatcher_setup.Desk) -> dispatcher_setup.Desk:
    """A desk at which a task with `acceptance` is proven."""
    desk.app.engine.means.driver = attempt_driver.AttemptDriver(
        desk.app.store, attempt_services.AttemptServices(verifier=Proving())
    )
    return desk


PROVEN = {**QUERY, "acceptance": ["file:a"]}
REVIEW = {"id": "r", "do": "Review q", "agent": "web", "deps": ["q"], "reviews": ["q"], "rounds": 1}
GATE = {"id": "g", "do": "Is it right?", "deps": ["q"], "worker": "human"}


async def test_a_result_that_nobody_has_proved_teaches_nothing(strict_desk: dispatcher_setup.Desk) -> None:
    await reported(strict_desk, QUERY)
    assert await known(strict_desk) == []


async def test_a_result_that_receipts_prove_speaks_for_its_agent(strict_desk: dispatcher_setup.Desk) -> None:
    await reported(strict_desk, PROVEN)
    assert await known(strict_desk) == [("db", "accepted", 1.0)]
    [lesson] = await strict_desk.app.store.learned(records.LOCAL)
    assert (lesson.text, lesson.task_id, lesson.at) == (QUERY["do"], "q", strict_desk.clock.now)


@pytest.mark.parametrize(("approved", "lesson"), [(True, ("db", "accepted", 1.0)), (False, ("db", "failed", 0.5))])
async def test_what_a_person_says_of_a_result_speaks_for_or_against_its_agent(
    desk: dispatcher_setup.Desk, *, approved: bool, lesson: tuple[str, str, float]
) -> None:
    progress = await desk.app.dispatch(plan_id=await desk.planned(QUERY, GATE))
    await desk.app.report(progress.run_id, [dispatcher_setup.said(progress.assignments[0])])
    assert await known(desk) == []
    await desk.app.decide(progress.run_id, "g", approvals.PersonVerdict(approved, "Ann"))
    assert await known(desk) == [lesson]


@pytest.mark.parametrize(
    ("verdict", "lessons"),
    [
        (model.Outcome(state=AttemptState.FAILED, error_kind=transitions.NEEDS_CHANGES), [("db", "failed", 0.5)]),
        (model.Outcome(state=AttemptState.SUCCEEDED, summary="PASS"), [("db", "accepted", 1.0)]),
    ],
    ids=["blocks", "passes"],
)
async def test_proven_work_speaks_for_its_agent_once_its_review_has_passed_it_and_against_it_if_blocked(
    strict_desk: dispatcher_setup.Desk, verdict: model.Outcome, lessons: Lessons
) -> None:
    app = strict_desk.app
    progress = await app.dispatch(plan_id=await strict_desk.planned(PROVEN, REVIEW))
    await app.report(progress.run_id, [dispatcher_setup.said(progress.assignments[0])])
    assert await known(strict_desk) == [], "its review may still say no"
    end = transitions.Finished("r", 1, verdict)
    await app.store.advance(progress.run_id, records.Step(now=strict_desk.clock.now, finished=[end]))
    assert app.memory is not None
    await app.memory.learn_from_run(progress.run_id)
    assert await known(strict_desk) == lessons


async def test_a_run_that_the_server_drives_teaches_at_its_end_and_only_its_own_user(
    strict_desk: dispatcher_setup.Desk,
) -> None:
    class Agent:
        async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
            ctx.beat()
            return model.Outcome(state=AttemptState.SUCCEEDED, summary=work.task.goal, unverified=True)

    app = strict_desk.app
    ann = route_memory.Memory(app.store, "ann")
    assert app.memory is not None
    app.engine.means.workers = {**app.engine.workers, WorkerKind.API: Agent()}
    app.available_workers = app.available_workers.__class__(key=True)
    app.engine.at_end = app.memory.learn_from_run
    progress = await app.dispatch(plan_id=await strict_desk.planned(PROVEN), worker="api")
    await strict_desk.ended(progress.run_id)
    await app.memory.learn_from_run(progress.run_id)
    await ann.learn_from_run(progress.run_id)
    assert await known(strict_desk) == [("db", "accepted", 1.0)]
    assert await app.store.learned("ann") == []


async def test_a_failure_speaks_against_the_agent_once_it_is_final(desk: dispatcher_setup.Desk) -> None:
    await reported(desk, QUERY, status="failed", error="no")
    assert await known(desk) == [("db", "failed", 0.5)]


async def test_a_report_that_comes_twice_teaches_once(strict_desk: dispatcher_setup.Desk) -> None:
    progress = await strict_desk.app.dispatch(plan_id=await strict_desk.planned(PROVEN))
    for _ in range(2):
        await strict_desk.app.report(progress.run_id, [dispatcher_setup.said(one) for one in progress.assignments])
    assert len(await known(strict_desk)) == 1


async def test_simulations_commands_and_tasks_without_an_agent_teach_nothing(desk: dispatcher_setup.Desk) -> None:
    await reported(desk, QUERY, dry_run=True)
    await reported(desk, {"id": "c", "do": "Run the tests", "command": ["true"]})
    await reported(desk, {"id": "n", "do": "Zzz qqq"})
    assert await known(desk) == []


async def test_an_agent_that_replaces_the_suggested_one_is_a_correction(desk: dispatcher_setup.Desk) -> None:
    assert desk.app.route(QUERY["do"]).sure
    await desk.planned({**QUERY, "agent": "web"})
    assert await known(desk) == [("db", "corrected", 1.0), ("web", "rerouted", 1.0)]


async def test_one_of_several_that_were_offered_is_learnt_as_a_choice(desk: dispatcher_setup.Desk) -> None:
    text = "Tidy the thing in the corner"
    assert not desk.app.route(text).sure
    await desk.planned({"id": "t", "do": text, "agent": "web"})
    assert await known(desk) == [("web", "rerouted", 1.0)]
    assert desk.app.route(text).ranked[0].name == "web"


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


async def test_it_survives_the_process_and_is_gone_once_forgotten(strict_desk: dispatcher_setup.Desk) -> None:
    await reported(strict_desk, PROVEN)
    later = route_memory.Memory(strict_desk.app.store, records.LOCAL)
    await later.refresh()
    assert [past.agent for past in later.history.past] == ["db"]
    assert await strict_desk.app.store.forget(records.LOCAL) == 1
    await later.refresh()
    assert later.history.past == ()
    await reported(strict_desk, PROVEN)
    await later.refresh()
    assert len(later.history.past) == 1


async def test_one_user_learns_nothing_from_another(strict_desk: dispatcher_setup.Desk) -> None:
    await reported(strict_desk, PROVEN)
    other = route_memory.Memory(strict_desk.app.store, "ann")
    await other.refresh()
    assert other.history.past == ()


async def test_switched_off_it_keeps_and_reads_nothing(strict_desk: dispatcher_setup.Desk) -> None:
    await reported(strict_desk, PROVEN)
    strict_desk.app.memory = off = route_memory.Memory(strict_desk.app.store, records.LOCAL, on=False)
    await off.refresh()
    strict_desk.app.route(str(PROVEN["do"]))
    await reported(strict_desk, {**PROVEN, "agent": "web"})
    assert off.history.past == ()
    assert await known(strict_desk) == [("db", "accepted", 1.0)]


@pytest.mark.promise("S10")
async def test_a_secret_in_a_goal_is_not_kept(desk: dispatcher_setup.Desk) -> None:
    secret = "-".join(("hunter2", "hunter2", "hunter2"))
    redactor = redaction.Redactor([secret])
    desk.app.memory = route_memory.Memory(desk.app.store, records.LOCAL, redact=redactor.redact)
    await reported(desk, {**QUERY, "do": f"Log in to the database with {secret}"}, status="failed")
    [lesson] = await desk.app.store.learned(records.LOCAL)
    assert secret not in lesson.text


async def test_a_store_that_cannot_be_written_stops_no_work(desk: dispatcher_setup.Desk) -> None:
    class Refusing(sqlite_store.Store):
        async def learn(self, principal: str, lessons: object) -> None:
            raise errors.StoreBusy("busy")

    desk.app.memory = past = route_memory.Memory(Refusing(desk.app.store.home), records.LOCAL)
    await past.learn([learning.Lesson("a", "db", "accepted")])
    assert past.history.past == ()
