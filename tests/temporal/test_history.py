"""What a Temporal server sees of a run."""

from __future__ import annotations

import base64
import json

import anyio
import anyio.lowlevel
import engine_labs
import pytest
from engine_conformance import ended, new_run, script, task

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, WorkerKind, ports, work_order
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import scripted

pytestmark = pytest.mark.anyio

SECRET = "sk-ant-" + "api03-not-a-real-one-but-long-enough"
WORDS = "Rebuild the vault of the Northwind bank"


class Telling:
    """A worker that repeats everything it was told, in its result, its heartbeat and its failure."""

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        ctx.beat(session_id=f"session {SECRET}")
        await anyio.lowlevel.checkpoint()
        if work.attempt == 1 and work.task.id == "b":
            error = f"{WORDS}: {SECRET}"
            return model.Outcome(state=AttemptState.FAILED, error=error, error_kind="cut_off", retryable=True)
        return model.Outcome(state=AttemptState.SUCCEEDED, summary=WORDS, output={"said": [SECRET, "x" * 90_000]})


@pytest.fixture(params=engine_labs.KINDS[1:])
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> engine_labs.Lab:
    with engine_labs.serving(request.param, tmp_path_factory.mktemp("temporal")) as server:
        yield engine_labs.Lab(request.param, server.address)


async def histories(engine: object) -> str:
    """Returns all that the server keeps of every workflow, payloads read."""
    from dispatch_mcp.temporal import temporal_engine  # noqa: PLC0415  # needs the extra

    assert isinstance(engine, temporal_engine.TemporalEngine)
    client = engine.line.connection
    assert client is not None
    texts: list[str] = []
    for workflow_id in (f"{engine.control}/run/{'a' * 32}", *carries(engine.control)):
        history = json.loads((await client.get_workflow_handle(workflow_id).fetch_history()).to_json())
        texts.append(json.dumps(history) + _payloads(history))
    return "\n".join(texts)


def carries(control: str) -> list[str]:
    return [f"{control}/carry/{'a' * 32}/{name}" for name in ("a/1", "b/1", "b/2")]


def _payloads(value: object) -> str:
    if isinstance(value, dict):
        data = value.get("data")
        own = base64.b64decode(data).decode("utf-8", "replace") if isinstance(data, str) else ""
        return own + "".join(_payloads(inner) for inner in value.values())
    return "".join(map(_payloads, value)) if isinstance(value, list) else ""


async def test_a_history_holds_no_text_of_anybody_and_no_large_payload(
    lab: engine_labs.Lab, store: sqlite_store.Store
) -> None:
    tasks = [
        model.Task(id=name, do=f"{WORDS} {SECRET}", deps=deps, worker=WorkerKind.API, constraints=(WORDS,))
        for name, deps in (("a", ()), ("b", ("a",)))
    ]
    async with lab.open(store, {WorkerKind.API: Telling()}, distant=True) as engine:
        run_id = await new_run(store, *tasks)
        await engine.start(run_id)
        state = await ended(engine, run_id)
        text = await histories(engine)
    assert state is model.RunState.SUCCEEDED
    outcome = await store.outcome(run_id, "b")
    assert outcome is not None
    assert outcome.output["said"][0] == SECRET  # the store has it: it is this test's worker that redacts nothing
    assert run_id in text
    assert SECRET not in text
    assert "Northwind" not in text
    assert len(text) < 60_000


async def test_work_of_hosts_reaches_the_store_with_what_they_left(
    lab: engine_labs.Lab, store: sqlite_store.Store
) -> None:
    async with lab.open(store, {WorkerKind.API: Telling()}, distant=True) as engine:
        run_id = await new_run(store, model.Task(id="b", do="Do it", worker=WorkerKind.API))
        await engine.start(run_id)
        assert await ended(engine, run_id) is model.RunState.SUCCEEDED
        first, second = await store.attempts(run_id)
    assert (first.error_kind, second.state) == ("cut_off", AttemptState.SUCCEEDED)
    assert str(first.beat["session_id"]).startswith("session")


async def test_a_pause_before_another_attempt_is_over_in_time_and_its_timer_is_never_cancelled(
    lab: engine_labs.Lab, store: sqlite_store.Store
) -> None:
    from dispatch_mcp.temporal import temporal_engine  # noqa: PLC0415  # needs the extra

    tasks = [task(name, inputs=script(fail=times), max_attempts=3) for name, times in (("a", 2), ("b", 1), ("c", 0))]
    async with lab.open(store, {WorkerKind.SCRIPTED: scripted.ScriptedWorker()}) as engine:
        assert isinstance(engine, temporal_engine.TemporalEngine)
        run_id = await new_run(store, *tasks)
        await engine.start(run_id)
        assert await ended(engine, run_id) is model.RunState.SUCCEEDED
        assert engine.line.connection is not None
        handle = engine.line.connection.get_workflow_handle(temporal_engine.workflow_id(engine.control, run_id))
        events = [event.WhichOneof("attributes") for event in (await handle.fetch_history()).events]
    assert "timer_started_event_attributes" in events
    assert "timer_canceled_event_attributes" not in events


async def test_a_three_hundredth_event_goes_on_in_a_new_history(
    lab: engine_labs.Lab, store: sqlite_store.Store
) -> None:
    tasks = [task(f"t{number}", [f"t{number - 4}"] if number >= 4 else [], inputs=script()) for number in range(60)]
    workers = {WorkerKind.SCRIPTED: scripted.ScriptedWorker()}
    async with lab.open(store, workers, most_events=300) as engine:
        run_id = await new_run(store, *tasks)
        await engine.start(run_id)
        assert await ended(engine, run_id) is model.RunState.SUCCEEDED
        events = await store.events(run_id, limit=5_000)
        assert [event.kind for event in events].count("attempt_started") == 60
        from dispatch_mcp.temporal import temporal_engine  # noqa: PLC0415  # needs the extra

        assert isinstance(engine, temporal_engine.TemporalEngine)
        assert engine.line.connection is not None
        handle = engine.line.connection.get_workflow_handle(f"{engine.control}/run/{run_id}")
        newest = await handle.describe()
        assert newest.raw_description.workflow_execution_info.history_length <= 400
