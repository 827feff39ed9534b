"""`dispatch-mcp watch [RUN]`: a run as it goes on, whoever carries it on."""

from __future__ import annotations

import argparse

import anyio

from dispatch_mcp import composition, configuration
from dispatch_mcp.cli import console, person_acts, shell_wording
from dispatch_mcp.cli.commands import run, status
from dispatch_mcp.cli.live import live_run
from dispatch_mcp.model import records
from dispatch_mcp.service import handles, steering, traces
from dispatch_mcp.store import sqlite_store


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Follows the run until it is over or `q` is typed, and prints where it stands then.

    Returns the exit code of a run that is over, else 0.
    """
    return anyio.run(_watch, options, setup.settings)


async def _watch(options: argparse.Namespace, settings: configuration.Settings) -> int:
    by_person = person_acts.is_by_person(settings.home)
    async with sqlite_store.open_store(settings.home, begins=False) as store:
        own = handles.Handles(store, records.LOCAL, str(settings.workspace))
        run_id = await own.run_id(options.run or "latest")

        async def steer(action: steering.Kind) -> None:
            async with composition.open_dispatcher(settings, purpose=composition.ACT) as app:
                await app.steer(run_id, action, "", "", by_person=by_person)

        view = await live_run.LiveRun(store, run_id, records.LOCAL, steer).follow()
        trace = await traces.summary(store, view)
    if options.json:
        console.emit(trace.wire(shell_wording.words))
    else:
        status.show_run(trace)
    return run.exit_code(view, strict=False) if live_run.is_final(view) else console.OK
