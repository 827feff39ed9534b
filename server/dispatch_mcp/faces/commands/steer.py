"""`dispatch-mcp steer ACTION RUN [TASK]`."""

from __future__ import annotations

import argparse

import anyio

from dispatch_mcp import config
from dispatch_mcp.engine import answers
from dispatch_mcp.faces import build, console
from dispatch_mcp.faces.commands import status


def main(options: argparse.Namespace, loaded: config.Loaded) -> int:
    """Applies the action and prints where the run stands."""
    answer = anyio.run(_steer, loaded.settings, options)
    status.show_steered(answer, as_json=options.json)
    return console.OK


async def _steer(settings: config.Settings, options: argparse.Namespace) -> answers.Steered:
    async with build.open_dispatcher(settings, drives=False) as app:
        return await app.steer(options.run, options.action, options.task, options.reason)
