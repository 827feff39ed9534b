"""Runs as OpenTelemetry sees them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from engine_conformance import ended, script

from dispatch_mcp import model
from dispatch_mcp.engine import executor
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import AttemptState, RunState, WorkerKind, ports, records, work_order
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.telemetry import span_tree
from dispatch_mcp.workers import scripted

pytestmark = pytest.mark.anyio

WORDS = "Rebuild the vault of the Northwind bank"
SECRET = "sk-ant-" + "api03-not-a-real-one-but-long-enough"
PACE = run_engine.Pace(look_s=0.01)


class Model:
    """A worker that pays for what it says, and fails for good where its task says so."""

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        usage = model.Usage(input_tokens=120, output_tokens=30, cost_usd=0.01)
        if work.task.id == "broken":
            error = f"{WORDS} {SECRET}"
            return model.Outcome(state=AttemptState.FAILED, error=error, error_kind="refusal", usage=usage)
        return model.Outcome(state=AttemptState.SUCCEEDED, summary=f"{WORDS} {SECRET}", usage=usage)


def plan() -> model.Plan:
    flaky = model.Task(id="flaky", do=WORDS, worker=WorkerKind.SCRIPTED, inputs=script(fail=1))
    wise = model.Task(id="wise", do=WORDS, deps=("flaky",), worker=WorkerKind.API, model="some-model", agent="coder")
    broken = model.Task(id="broken", do=WORDS, worker=WorkerKind.CLAUDE)
    never = model.Task(id="never", do=WORDS, deps=("broken",), worker=WorkerKind.SCRIPTED)
    return model.Plan(id="plan", tasks=(flaky, wise, broken, never))


async def mixed_run(store: sqlite_store.Store) -> str:
    """Returns a run of several kinds of workers that is over."""
    await store.save_plan(plan(), records.LOCAL)
    new = records.NewRun(id="a" * 32, plan_id="plan", plan_version=1, worker=WorkerKind.SCRIPTED)
    await store.create_run(new)
    workers = {WorkerKind.SCRIPTED: scripted.ScriptedWorker(), WorkerKind.API: Model(), WorkerKind.CLAUDE: Model()}
    async with executor.open_engine(store, workers, pace=PACE) as engine:
        await engine.start(new.id)
        assert await ended(engine, new.id) is RunState.PARTIAL
    return new.id


async def tree(store: sqlite_store.Store) -> span_tree.SpanLine:
    run_id = await mixed_run(store)
    whole = await store.whole_run(run_id, principal=records.ANYBODY)
    return span_tree.tree(whole.run, whole.plan.tasks, await store.attempts(run_id))


def flat(line: span_tree.SpanLine) -> list[span_tree.SpanLine]:
    return [line, *(inner for child in line.children for inner in flat(child))]


def names(lines: Sequence[span_tree.SpanLine]) -> list[str]:
    return sorted(line.name for line in lines)


@pytest.fixture
async def store(tmp_path: Path) -> sqlite_store.Store:
    async with sqlite_store.open_store(tmp_path / "home") as opened:
        yield opened


async def test_a_run_is_a_tree_of_tasks_attempts_and_what_models_were_asked(store: sqlite_store.Store) -> None:
    run = await tree(store)
    assert (run.name, run.error, run.attributes["dispatch.run.state"]) == ("dispatch.run", "partial", "partial")
    tasks = {str(task.attributes["dispatch.task.id"]): task for task in run.children}
    assert set(tasks) == {"flaky", "wise", "broken"}  # what never began took no time
    assert [attempt.error for attempt in tasks["flaky"].children] == ["simulated_transient", ""]
    [attempt] = tasks["wise"].children
    [call] = attempt.children
    assert call.name == "chat some-model"
    assert call.attributes["gen_ai.usage.input_tokens"] == 120
    assert call.attributes["gen_ai.agent.name"] == "coder"
    assert tasks["broken"].error == "refusal"


async def test_each_span_lies_within_the_one_above(store: sqlite_store.Store) -> None:
    for line in flat(await tree(store)):
        assert line.start <= line.end
        assert all(line.start <= child.start and child.end <= line.end for child in line.children)


async def test_no_text_of_anybody_is_in_a_span(store: sqlite_store.Store) -> None:
    text = json.dumps([[line.name, dict(line.attributes), line.error] for line in flat(await tree(store))])
    assert "Northwind" not in text
    assert SECRET not in text


async def test_an_exporter_in_memory_sees_the_whole_tree_and_the_figures(store: sqlite_store.Store) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra `otel` is not installed")
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415  # needs the extra
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415

    from dispatch_mcp.telemetry import span_export  # noqa: PLC0415

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    active = span_export.telemetry(exporter, reader)
    expected = await tree(store)
    await active.tell(store, "a" * 32)
    data = reader.get_metrics_data()
    active.spans.force_flush()
    spans = exporter.get_finished_spans()
    active.close()
    assert sorted(span.name for span in spans) == names(flat(expected))
    assert len({span.context.trace_id for span in spans}) == 1
    by_id = {span.context.span_id: span.name for span in spans}
    assert {by_id.get(span.parent.span_id) if span.parent else None for span in spans} == {
        *(None, "dispatch.run", "dispatch.task", "dispatch.attempt"),
    }
    assert "Northwind" not in "".join(span.to_json() for span in spans)
    figures = {one.name for scope in data.resource_metrics for part in scope.scope_metrics for one in part.metrics}
    assert figures == {"dispatch.runs", "dispatch.tasks", "dispatch.attempt.duration", "gen_ai.client.token.usage"}
