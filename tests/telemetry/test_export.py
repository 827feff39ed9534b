"""What an exporter of OpenTelemetry is handed; skipped where the extra is not installed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
from engine_conformance import ended, new_run, script, task

from dispatch_mcp import __version__
from dispatch_mcp.engine import executor
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import WorkerKind, records
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import scripted

pytest.importorskip("opentelemetry.sdk", reason="the extra `otel` is not installed")
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dispatch_mcp.telemetry import span_export

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    """Yields a store with a run that is over: one task that failed for good, one that never began, one done."""
    async with sqlite_store.open_store(tmp_path / "home") as opened:
        broken = task("broken", inputs=script(fail="permanent"))
        run_id = await new_run(opened, broken, task("never", ["broken"]), task("done"))
        workers = {WorkerKind.SCRIPTED: scripted.ScriptedWorker()}
        async with executor.open_engine(opened, workers, pace=run_engine.Pace(look_s=0.01)) as engine:
            await engine.start(run_id)
            await ended(engine, run_id)
        yield opened


def points(reader: InMemoryMetricReader, name: str) -> list[Any]:
    resources = reader.get_metrics_data().resource_metrics
    metrics = [metric for resource in resources for scope in resource.scope_metrics for metric in scope.metrics]
    return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


def spans_by_task(exporter: InMemorySpanExporter) -> Mapping[str, Any]:
    return {str(span.attributes.get("dispatch.task.id", span.name)): span for span in exporter.get_finished_spans()}


async def test_what_has_failed_is_an_error_with_its_kind_and_nothing_else_is(store: sqlite_store.Store) -> None:
    exporter = InMemorySpanExporter()
    active = span_export.telemetry(exporter, InMemoryMetricReader())
    await active.tell(store, "a" * 32)
    active.close()  # what has not been sent is sent
    spans = spans_by_task(exporter)
    assert spans["broken"].status.status_code.name == "ERROR"
    assert spans["broken"].attributes["error.type"] == "simulated_permanent"
    assert spans["dispatch.run"].attributes["error.type"] == "partial"
    assert spans["done"].status.status_code.name == "UNSET"
    assert "error.type" not in spans["done"].attributes
    assert "never" not in spans


async def test_spans_have_the_times_of_the_run_and_not_those_of_the_telling(store: sqlite_store.Store) -> None:
    exporter = InMemorySpanExporter()
    active = span_export.telemetry(exporter, InMemoryMetricReader())
    await active.tell(store, "a" * 32)
    active.close()
    run = await store.run("a" * 32, principal=records.ANYBODY)
    span = spans_by_task(exporter)["dispatch.run"]
    assert (span.start_time, span.end_time) == (int(run.created_at * 1e9), int(run.finished_at * 1e9))


async def test_runs_and_tasks_are_counted_by_the_state_in_which_they_ended(store: sqlite_store.Store) -> None:
    reader = InMemoryMetricReader()
    active = span_export.telemetry(InMemorySpanExporter(), reader)
    await active.tell(store, "a" * 32)
    await active.tell(store, "a" * 32)
    [runs] = points(reader, "dispatch.runs")
    assert (runs.value, dict(runs.attributes)) == (2, {"dispatch.run.state": "partial"})
    by_state = {point.attributes["dispatch.task.state"]: point.value for point in points(reader, "dispatch.tasks")}
    assert by_state == {"failed": 2, "skipped": 2, "succeeded": 2}
    active.close()


@pytest.mark.parametrize(("variable", "expected"), [(None, "dispatch-mcp"), ("team-runs", "team-runs")])
def test_the_service_bears_the_name_that_the_environment_gives_and_else_ours(
    monkeypatch: pytest.MonkeyPatch, variable: str | None, expected: str
) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    if variable:
        monkeypatch.setenv("OTEL_SERVICE_NAME", variable)
    active = span_export.telemetry(InMemorySpanExporter(), InMemoryMetricReader())
    attributes = active.spans.resource.attributes
    active.close()
    assert (attributes["service.name"], attributes["service.version"]) == (expected, __version__)
