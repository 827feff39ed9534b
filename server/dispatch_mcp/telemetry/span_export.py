"""Hands the spans and figures of runs to OpenTelemetry, which its own environment variables direct."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from opentelemetry import trace
from opentelemetry.sdk import metrics as sdk_metrics
from opentelemetry.sdk import resources
from opentelemetry.sdk import trace as sdk_trace
from opentelemetry.sdk.metrics import export as metric_export
from opentelemetry.sdk.trace import export as trace_export

from dispatch_mcp import __version__
from dispatch_mcp.model import records
from dispatch_mcp.process import computation
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.telemetry import span_tree

log = logging.getLogger(__name__)

NAME = "dispatch-mcp"
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RunTelemetry:
    """Where runs that are over are told of."""

    spans: sdk_trace.TracerProvider
    figures: sdk_metrics.MeterProvider

    async def tell(self, store: sqlite_store.Store, run_id: str) -> None:
        """Hands a run that is over on: its spans, and how many runs, tasks and tokens that makes."""
        whole = await store.whole_run(run_id, principal=records.ANYBODY)
        attempts = await store.attempts(run_id)
        self._write(span_tree.tree(whole.run, whole.plan.tasks, attempts), None)
        self._count(whole.run, whole.tasks, attempts)

    def _write(self, line: span_tree.SpanLine, above: trace.Span | None) -> None:
        tracer = self.spans.get_tracer(NAME, __version__)
        context = None if above is None else trace.set_span_in_context(above)
        span = tracer.start_span(line.name, context, start_time=int(line.start * NS), attributes=dict(line.attributes))
        if line.error:
            span.set_attribute("error.type", line.error)
            span.set_status(trace.Status(trace.StatusCode.ERROR))
        for child in line.children:
            self._write(child, span)
        span.end(int(line.end * NS))

    def _count(
        self, run: records.RunRecord, tasks: list[records.TaskRecord], attempts: list[records.AttemptRecord]
    ) -> None:
        meter = self.figures.get_meter(NAME, __version__)
        meter.create_counter("dispatch.runs").add(1, {"dispatch.run.state": run.state.value})
        task_counter = meter.create_counter("dispatch.tasks")
        for task in tasks:
            task_counter.add(1, {"dispatch.task.state": task.state.value, "dispatch.worker": task.worker.value})
        tokens = meter.create_histogram("gen_ai.client.token.usage", unit="{token}")
        duration = meter.create_histogram("dispatch.attempt.duration", unit="s")
        for attempt in attempts:
            labels = {"dispatch.worker": attempt.worker.value, "dispatch.attempt.state": attempt.state.value}
            duration.record((attempt.ended_at or run.updated_at) - attempt.started_at, labels)
            for kind, count in (("input", attempt.usage.input_tokens), ("output", attempt.usage.output_tokens)):
                if count:
                    tokens.record(count, {"gen_ai.token.type": kind, "gen_ai.provider.name": "anthropic"})

    def close(self) -> None:
        """Sends what has not been sent."""
        self.spans.shutdown()
        self.figures.shutdown()


def telemetry(spans: trace_export.SpanExporter, figures: metric_export.MetricReader) -> RunTelemetry:
    """Returns what tells an exporter and a reader of runs, under the name that `OTEL_SERVICE_NAME` gives."""
    resource = resources.Resource.create({"service.version": __version__})
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        resource = resource.merge(resources.Resource({"service.name": NAME}))
    provider = sdk_trace.TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(trace_export.BatchSpanProcessor(spans))
    return RunTelemetry(provider, sdk_metrics.MeterProvider([figures], resource=resource, shutdown_on_exit=False))


@asynccontextmanager
async def opened() -> AsyncGenerator[RunTelemetry]:
    """Yields what tells the OTLP endpoint of the environment of runs; what is not sent yet is sent at the end.

    Raises:
        ModuleNotFoundError: the exporter is not installed.
    """
    from opentelemetry.exporter.otlp.proto.http import metric_exporter, trace_exporter  # noqa: PLC0415  # half a second

    reader = metric_export.PeriodicExportingMetricReader(metric_exporter.OTLPMetricExporter())
    active = telemetry(trace_exporter.OTLPSpanExporter(), reader)
    try:
        yield active
    finally:
        with anyio.move_on_after(5, shield=True):
            await computation.detached(active.close)
