"""Whether runs can be driven by Temporal here: what to install, and a look at its server."""

from __future__ import annotations

import os

from dispatch_mcp import configuration, errors


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
    return f"{look.address}, namespace {look.namespace}; who asks {settings.temporal_queue!r} for work: {hosts}"
