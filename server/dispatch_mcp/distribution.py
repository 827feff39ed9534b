"""Which extras there are here: whether runs can be driven by Temporal, a look at its server, and OpenTelemetry's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from dispatch_mcp import configuration, errors

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def not_installed(missing: ModuleNotFoundError) -> errors.ConfigError:
    """Returns the refusal of an engine whose extra is not there."""
    return errors.ConfigError(
        f"The engine 'temporal' is not installed: there is no module {missing.name!r}.",
        hint="Install `dispatch-mcp[temporal]`, or set DISPATCH_MCP_ENGINE to embedded.",
    )


async def distributed_engine(settings: configuration.Settings) -> str:
    """Returns what a look at the Temporal server shows, in a sentence for people.

    Raises:
        ConfigError: the engine is not installed, or Temporal's settings cannot be used.
        StoreUnavailable: no Temporal server answers.
    """
    try:
        from dispatch_mcp.temporal import doors  # noqa: PLC0415  # needs an extra, and half a second
    except ModuleNotFoundError as missing:
        raise not_installed(missing) from missing
    look = await doors.look(os.environ, settings.temporal_queue)
    hosts = ", ".join(f"{count} for {kind.value}" for kind, count in look.hosts.items())
    place = f"{look.address}, {look.protection}, namespace {look.namespace}"
    return f"{place}; who asks {settings.temporal_queue!r} for work: {hosts}"


def wants_telemetry(env: Mapping[str, str]) -> bool:
    """Returns whether OpenTelemetry's own variables name an endpoint and do not switch it off."""
    is_off = env.get("OTEL_SDK_DISABLED", "").lower() == "true" or "none" in env.get("OTEL_TRACES_EXPORTER", "")
    return not is_off and any(env.get(name) for name in _ENDPOINTS)


def telemetry_module() -> str:
    """Returns what tells OpenTelemetry of runs. Raises ConfigError where the extra is not installed."""
    try:
        from dispatch_mcp.telemetry import span_export  # noqa: PLC0415  # needs an extra
    except ModuleNotFoundError as missing:
        raise errors.ConfigError(
            f"An endpoint is set, and there is no module {missing.name!r}: nothing is sent.",
            hint="Install `dispatch-mcp[otel]`, or unset OTEL_EXPORTER_OTLP_ENDPOINT.",
        ) from missing
    return span_export.__name__
