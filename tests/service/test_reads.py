"""How often a call of the dispatcher asks the store: every SELECT that SQLite really runs, on every connection.

The engine's own look at the run that a call wakes it for counts as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio
import dispatcher_setup
import pytest
from dispatcher_setup import started

from dispatch_mcp import model
from dispatch_mcp.engine import attempt_driver, attempt_services
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import ports, work_order
from dispatch_mcp.service import route_memory

pytestmark = pytest.mark.anyio

T = TypeVar("T")
DISPATCH, REPORT, TRACE = 8, 8, 5
"""Most SELECTs of a call."""
PROVEN_REPORT = REPORT + 4
"""Those of a report whose witness asks for everything."""


@dataclass
class Statements:
    """What SQLite has run on all connections, in order."""

    texts: list[str] = field(default_factory=list[str])

    async def during(self, call: Awaitable[T]) -> tuple[T, list[str]]:
        """Returns what a call returned, and the SELECTs until nothing is at work any more."""
        await _quiet(self)
        before = len(self.texts)
        answer = await call
        await _quiet(self)
        return answer, [text for text in self.texts[before:] if text.lstrip().upper().startswith(("SELECT", "WITH"))]


async def _quiet(statements: Statements) -> None:
    """Returns when nothing has been asked for a moment."""
    count = -1
    while count != len(statements.texts):
        count = len(statements.texts)
        await anyio.sleep(0.05)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    """Counts on every connection that is opened from now on; the engine looks at the store only when it is woken."""
    counted = Statements()
    connect = sqlite3.connect

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(counted.texts.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    monkeypatch.setattr(dispatcher_setup, "PACE", run_engine.Pace(look_s=3_600.0, takeover_s=3_600.0))
    return counted


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "state"


def host_task(task_id: str, *deps: str, **fields: Any) -> dict[str, Any]:
    return {"id": task_id, "do": f"Do the {task_id} part", "deps": list(deps), **fields}


async def test_a_dispatch_of_two_host_tasks_reads_the_store_eight_times_at_most(
    home: Path, statements: Statements
) -> None:
    async with dispatcher_setup.opened(home) as desk:
        plan_id = await desk.planned(host_task("left"), host_task("right"))
        progress, selects = await statements.during(desk.app.dispatch(plan_id=plan_id))
        assert len(progress.assignments) == 2
        assert len(selects) <= DISPATCH, selects


async def test_repeating_a_dispatch_reads_no_more_than_the_first(home: Path, statements: Statements) -> None:
    async with dispatcher_setup.opened(home) as desk:
        plan_id = await desk.planned(host_task("left"), host_task("right"))
        first = await desk.app.dispatch(plan_id=plan_id)
        again, selects = await statements.during(desk.app.dispatch(plan_id=plan_id))
        assert (again.run_id, again.reused) == (first.run_id, True)
        assert [one.call for one in again.assignments] == [one.call for one in first.assignments]
        assert len(selects) <= DISPATCH, selects


async def test_a_report_that_hands_out_the_next_task_reads_the_store_eight_times_at_most(
    home: Path, statements: Statements
) -> None:
    async with dispatcher_setup.opened(home) as desk:
        progress = await started(desk, host_task("first"), host_task("second", "first"))
        result = dispatcher_setup.said(progress.assignments[0])
        reported, selects = await statements.during(desk.app.report(progress.run_id, [result]))
        assert [one.task_id for one in reported.assignments] == ["second"]
        assert len(selects) <= REPORT, selects


async def test_a_report_reads_no_more_when_others_are_still_out_and_messages_wait(
    home: Path, statements: Statements
) -> None:
    async with dispatcher_setup.opened(home) as desk:
        progress = await started(desk, host_task("left"), host_task("right"), host_task("end", "left"))
        note = model.Message(
            run_id=progress.run_id, sender="right", recipient="all", kind="information", text="Mind the gap"
        )
        await desk.app.send(note)
        result = dispatcher_setup.said(progress.assignments[0])
        reported, selects = await statements.during(desk.app.report(progress.run_id, [result]))
        assert "Mind the gap" in reported.assignments[0].call.prompt
        assert len(selects) <= REPORT, selects


async def test_a_report_that_asks_for_a_change_is_answered_from_the_same_reads(
    home: Path, statements: Statements
) -> None:
    async with dispatcher_setup.opened(home) as desk:
        progress = await started(desk, host_task("left"), host_task("right"))
        request = {"to": "right", "kind": "request", "text": "Rename the flag"}
        handoff = {"completed_work": "done", "messages": [request]}
        result = {"task_id": "left", "attempt": 1, "handoff": handoff}
        reported, selects = await statements.during(desk.app.report(progress.run_id, [result]))
        assert [edit["op"] for edit in reported.proposed_edits] == ["add"]
        assert len(selects) <= REPORT, selects


async def test_a_report_that_teaches_routing_stays_within_the_same_reads(home: Path, statements: Statements) -> None:
    async with dispatcher_setup.opened(home) as desk:
        desk.app.memory = route_memory.Memory(desk.app.store, desk.app.principal)
        await desk.app.memory.refresh()
        progress = await started(desk, host_task("first"))
        result = dispatcher_setup.said(progress.assignments[0])
        reported, selects = await statements.during(desk.app.report(progress.run_id, [result]))
        assert reported.state is model.RunState.SUCCEEDED
        assert len(selects) <= REPORT, selects


@pytest.mark.parametrize("view", ["summary", "timeline", "results", "artifacts", "todo", "mermaid"])
async def test_every_view_of_a_run_reads_the_store_five_times_at_most(
    home: Path, statements: Statements, view: Any
) -> None:
    async with dispatcher_setup.opened(home) as desk:
        progress = await started(desk, host_task("first"), host_task("second", "first"))
        await desk.app.report(progress.run_id, [dispatcher_setup.said(progress.assignments[0])])
        trace, selects = await statements.during(desk.app.trace(run_id=progress.run_id, view=view))
        assert trace.run_id == progress.run_id
        assert len(selects) <= TRACE, selects


async def test_more_tasks_do_not_mean_more_reads(home: Path, statements: Statements) -> None:
    async with dispatcher_setup.opened(home, rules={"max_parallel": 12}) as desk:
        names = [f"part-{number}" for number in range(12)]
        plan_id = await desk.planned(*(host_task(name) for name in names))
        progress, selects = await statements.during(desk.app.dispatch(plan_id=plan_id))
        assert len(progress.assignments) == len(names)
        assert len(selects) <= DISPATCH, selects


class Asking:
    """A witness that asks for all that there is to ask of the store."""

    async def before(self, work: work_order.WorkOrder) -> dict[str, model.Json]:
        return {ports.LOOK: {"files": {work.task.id: "as it was"}}}

    async def receipts(
        self, work: work_order.WorkOrder, before: Mapping[str, model.Json], around: ports.Surroundings
    ) -> ports.Evidence:
        first = await around.first_look()
        detail = f"{before[ports.LOOK]}, {first[ports.LOOK]}, {[rival.name for rival in await around.rivals()]}"
        return ports.Evidence((model.Receipt(kind="diff", ok=True, detail=detail),))


async def test_more_results_that_are_proven_do_not_mean_more_reads(home: Path, statements: Statements) -> None:
    async with dispatcher_setup.opened(home, rules={"max_parallel": 12}) as desk:
        equipment = attempt_services.AttemptServices(verifier=Asking())
        desk.app.engine.means.driver = attempt_driver.AttemptDriver(desk.app.store, equipment)
        plan_id = await desk.planned(*(host_task(f"part-{number}", files=[f"{number}.py"]) for number in range(12)))
        progress = await desk.app.dispatch(plan_id=plan_id)
        results = [dispatcher_setup.said(assignment) for assignment in progress.assignments]
        reported, selects = await statements.during(desk.app.report(progress.run_id, results))
        names = [assignment.task_id for assignment in progress.assignments]
        assert [line.receipts[0].detail for line in reported.results] == [
            f"{{'files': {{'{name}': 'as it was'}}}}, {{'files': {{'part-0': 'as it was'}}}}, []" for name in names
        ]
        assert len(selects) <= PROVEN_REPORT, selects


async def test_a_run_that_nobody_else_moves_never_reads_its_tasks_again(home: Path, statements: Statements) -> None:
    async with dispatcher_setup.opened(home) as desk:
        plan_id = await desk.planned(host_task("first"), host_task("second"), host_task("third", "first"))
        progress, selects = await statements.during(desk.app.dispatch(plan_id=plan_id, dry_run=True))
        run = await desk.app.store.run(progress.run_id, principal=desk.app.principal)
        assert run.counts == {"succeeded": 3}
        assert not [text for text in selects if " ".join(text.split()).startswith("SELECT task.id, position")]
