"""Keeps the index of a catalogue for the next process: building one takes longer than reading it."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path

from dispatch_mcp import configuration
from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.routing import agent_index, index_cache

MAX_STORED = 8
"""Index files that stay; the oldest go."""


def source(settings: configuration.Settings) -> loader.Source:
    """Returns the agents of all layers that the settings name, their index kept in the state folder."""
    return loader.Source.of(settings, ready=functools.partial(restore, settings.home / "cache"))


def restore(cache: Path, agents: catalog.Catalog) -> None:
    """Gives the catalogue its stored index, or builds and stores it."""
    fingerprint = agent_index.fingerprint(agents)
    path = cache / f"index-{fingerprint[:32]}.bin"
    try:
        agent_index.adopt(agents, index_cache.unpack(path.read_bytes(), fingerprint))
    except (OSError, ValueError, KeyError, TypeError):
        loader.write(path, index_cache.pack(agent_index.of(agents), fingerprint))
        _prune(cache)


def _prune(cache: Path) -> None:
    with contextlib.suppress(OSError):
        files = sorted(cache.glob("index-*.bin"), key=lambda path: path.stat().st_mtime_ns)
        for path in files[:-MAX_STORED]:
            path.unlink(missing_ok=True)
