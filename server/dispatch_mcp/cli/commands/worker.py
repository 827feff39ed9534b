"""`dispatch-mcp worker`: carries on runs that nobody carries on, until it is stopped."""

from __future__ import annotations

import argparse
import signal

import anyio

from dispatch_mcp import composition, configuration, errors, model
from dispatch_mcp.cli import console, logs
from dispatch_mcp.service import dispatcher

LOOK_S = 0.5


def main(options: argparse.Namespace, loaded: configuration.Loaded) -> int:
    """Works until a signal comes or there was nothing to do for long enough; returns 0 either way."""
    if options.idle is not None and not options.idle >= 0:
        raise errors.InputError(f"--idle is {options.idle!r}.", hint="Give seconds, such as --idle 60.")
    done = anyio.run(_main, options, loaded)
    if options.json:
        console.emit({"runs": done})
    return console.OK


async def _main(options: argparse.Namespace, loaded: configuration.Loaded) -> dict[str, str]:
    redactor = logs.to_stderr(loaded)
    seen: dict[str, str] = {}
    async with anyio.create_task_group() as group:
        group.start_soon(_stop_on_signal, group.cancel_scope)
        async with composition.open_dispatcher(loaded.settings, chat=False, redactor=redactor) as app:
            _say(options, f"waiting for runs; who works here: {', '.join(sorted(app.available_workers.kinds))}")
            await _work(app, options, seen)
        group.cancel_scope.cancel()
    return seen


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    """Cancels everything on SIGINT or SIGTERM: children are stopped, sessions kept, runs set free for others."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _work(app: dispatcher.Dispatcher, options: argparse.Namespace, seen: dict[str, str]) -> None:
    """Tells what becomes of the runs; the engine takes them over by itself."""
    idle_since = anyio.current_time()
    while True:
        driven = app.engine.driven_runs
        for run_id in driven - seen.keys():
            seen[run_id] = model.RunState.RUNNING.value
            _say(options, f"run {run_id}: going on with it")
        for run_id in [run_id for run_id, state in seen.items() if state not in model.RUN_FINAL]:
            await _follow(app, options, seen, run_id)
        if driven:
            idle_since = anyio.current_time()
        elif options.idle is not None and anyio.current_time() - idle_since >= options.idle:
            return
        with anyio.move_on_after(LOOK_S):
            await app.engine.pulse.wait()


async def _follow(app: dispatcher.Dispatcher, options: argparse.Namespace, seen: dict[str, str], run_id: str) -> None:
    state = (await app.engine.status(run_id)).state.value
    if state != seen[run_id]:
        seen[run_id] = state
        _say(options, f"run {run_id}: {state}")


def _say(options: argparse.Namespace, text: str) -> None:
    if not options.quiet:
        console.note(text)
