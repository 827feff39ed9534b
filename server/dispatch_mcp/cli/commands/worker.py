"""`dispatch-mcp worker`: carries on runs that nobody carries on, until it is stopped."""

from __future__ import annotations

import argparse
import logging
import signal
from dataclasses import replace

import anyio

from dispatch_mcp import composition, configuration, errors, model, next_steps
from dispatch_mcp.cli import console, logs
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import records, short_ids
from dispatch_mcp.process import private_files
from dispatch_mcp.service import dispatcher

log = logging.getLogger(__name__)

LOOK_S = 0.5
"""Seconds after which the worker looks even if nothing woke it: another process may have set a run free."""


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Works until a signal comes or there was nothing to do for long enough; returns 0 either way."""
    if options.idle is not None and not options.idle >= 0:
        raise errors.InputError(f"--idle is {options.idle!r}.", hint="Give seconds, such as --idle 60.")
    setup = replace(setup, settings=_chosen(options, setup.settings))
    obstacle = private_files.obstacle(setup.settings.home)
    if obstacle:
        raise errors.StoreUnavailable(
            f"There can be no runs in {str(setup.settings.home)!r}: {obstacle}.",
            hint="Set DISPATCH_MCP_HOME to a folder that can be written.",
        )
    if options.queue is not None:
        anyio.run(_serve_host, options, setup)
        return console.OK
    states = anyio.run(_main, options, setup)
    if options.json:
        console.emit({"runs": states})
    return console.OK


def _chosen(options: argparse.Namespace, settings: configuration.Settings) -> configuration.Settings:
    """Returns the settings as the options change them. Raises InputError for options that do not go together."""
    choices = {"engine": options.engine, "temporal_queue": options.queue, "temporal_slots": options.slots}
    if options.read_only:
        choices["temporal_read_only"] = True
    changes = {key: value for key, value in choices.items() if value is not None}
    engine = changes.get("engine", settings.engine)
    if engine != "temporal" and changes.keys() - {"engine"}:
        raise errors.InputError(
            f"--queue, --slots and --read-only say what is taken from Temporal, and the engine is {engine!r}.",
            hint="Add --engine temporal.",
        )
    try:
        return configuration.Settings.model_validate({**settings.model_dump(), **changes})
    except ValueError as wrong:
        raise errors.InputError(
            f"--queue {options.queue!r} or --slots {options.slots!r} cannot be used.",
            hint="A queue is a name of letters, digits, `.`, `_` and `-`; slots are 0 to 1000.",
        ) from wrong


async def _serve_host(options: argparse.Namespace, setup: configuration.LoadedSettings) -> None:
    """Does what the queues of Temporal hold until a signal comes; the runs are driven elsewhere."""
    redactor = logs.to_stderr(setup, waits=False)
    async with anyio.create_task_group() as group:
        group.start_soon(_stop_on_signal, group.cancel_scope)
        async with composition.serve_host(setup.settings, redactor) as queues:
            _say(options, f"taking work from {', '.join(queues) or 'no queue, as there is no worker here'}")
            await anyio.sleep_forever()


async def _main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> dict[str, str]:
    redactor = logs.to_stderr(setup, waits=False)
    states: dict[str, str] = {}
    async with anyio.create_task_group() as group:
        group.start_soon(_stop_on_signal, group.cancel_scope)
        async with composition.open_dispatcher(setup.settings, chat=False, redactor=redactor) as app:
            _say(options, f"waiting for runs; who works here: {', '.join(sorted(app.available_workers.kinds))}")
            await _work(app, options, states)
        group.cancel_scope.cancel()
    return states


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    """Cancels everything on SIGINT or SIGTERM: children are stopped, sessions kept, runs set free for others."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _work(app: dispatcher.Dispatcher, options: argparse.Namespace, states: dict[str, str]) -> None:
    """Tells what becomes of the runs; the engine takes them over by itself."""
    idle_since = anyio.current_time()
    while True:
        pulse, active = app.engine.pulse, app.engine.driven_runs
        for run_id in active - states.keys():
            states[run_id] = model.RunState.RUNNING.value
            _say(options, f"run {short_ids.short(run_id)}: going on with it")
        for run_id in [run_id for run_id, state in states.items() if state not in model.RUN_FINAL]:
            await _follow(app, options, states, run_id)
        if active:
            idle_since = anyio.current_time()
        elif (
            options.idle is not None
            and anyio.current_time() - idle_since >= options.idle
            and not await _takes_over(app)
        ):
            return
        with anyio.move_on_after(LOOK_S):
            await pulse.wait()


async def _takes_over(app: dispatcher.Dispatcher) -> bool:
    """Returns whether there is work after all, which on a slow machine the engine may not have come to in time."""
    try:
        await app.engine.take_over()
    except errors.StoreBusy:  # there is some: reading waits for nobody
        return True
    except errors.DispatchError as trouble:
        log.info("what may be left to do cannot be seen: %s", trouble)
    return bool(app.engine.driven_runs)


async def _follow(app: dispatcher.Dispatcher, options: argparse.Namespace, states: dict[str, str], run_id: str) -> None:
    view = await run_view.load(app.store, run_id, records.ANYBODY)
    state = view.run.state.value
    if state != states[run_id]:
        states[run_id] = state
        step = view.next_step()
        proof, proof_losses = next_steps.proof(step), next_steps.proof_loss_sentence(step)
        end = f"run {short_ids.short(run_id)}: {f'{proof}, ' if proof else ''}{state}"
        _say(options, next_steps.sentences(next_steps.loss_sentence(step), end, proof_losses and f"({proof_losses})"))


def _say(options: argparse.Namespace, text: str) -> None:
    if not options.quiet:
        console.note(text)
