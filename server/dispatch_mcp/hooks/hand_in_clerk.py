"""Who takes what hooks have kept: a process of its own, or the next server of the workspace, before it answers."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import anyio
import anyio.to_thread

from dispatch_mcp import composition, configuration, errors
from dispatch_mcp.hooks import hand_ins, hook_answers
from dispatch_mcp.service import dispatcher, host_assignments

Tell = Callable[[Exception], None]
"""What hears of an event that could not be taken."""

log = logging.getLogger(__name__)

POLL_S = 0.02
"""Seconds between looks at whether somebody else has taken everything."""


def take_alone(inbox: hand_ins.HandIns, tell: Tell) -> None:
    """Takes what is kept of a workspace, as its server would; call it with the turn."""
    settings = configuration.load({**os.environ, "DISPATCH_MCP_WORKSPACE": inbox.workspace}, cwd=Path.cwd()).settings
    if settings.hooks != "off":
        anyio.run(_take_alone, settings, inbox, tell)


async def _take_alone(settings: configuration.Settings, inbox: hand_ins.HandIns, tell: Tell) -> None:
    async with composition.open_dispatcher(settings, purpose=composition.ACT) as app:
        await _take_all(app, inbox, settings.hooks, tell)


@contextlib.asynccontextmanager
async def taking(
    app: dispatcher.Dispatcher, home: Path, level: host_assignments.Hooks, patience_s: float
) -> AsyncGenerator[None]:
    """Takes what is kept of a dispatcher's workspace before a block begins, or beside it what takes longer than that.

    What is not taken when the block ends is left to the next who comes.
    """
    async with anyio.create_task_group() as group:
        is_taken = anyio.Event()

        async def take_and_tell() -> None:
            await take(app, home, level, patience_s)
            is_taken.set()

        group.start_soon(take_and_tell)
        with anyio.move_on_after(patience_s):
            await is_taken.wait()
        yield
        group.cancel_scope.cancel()


async def take(app: dispatcher.Dispatcher, home: Path, level: host_assignments.Hooks, patience_s: float) -> None:
    """Takes what is kept of a dispatcher's workspace, or waits so many seconds for who does.

    What cannot be read or removed there keeps nobody from working: it is logged.
    """
    inbox = hand_ins.HandIns(str(home), app.handles.workspace)
    try:
        if level != "off" and inbox.waiting():
            await _take_in_turns(app, inbox, level, patience_s)
    except Exception as trouble:
        log.warning("what hooks have kept cannot be taken: %s", trouble)


async def _take_in_turns(
    app: dispatcher.Dispatcher, inbox: hand_ins.HandIns, level: host_assignments.Hooks, patience_s: float
) -> None:
    until = anyio.current_time() + patience_s
    while inbox.waiting():
        with inbox.turn(waits=False) as has_turn:
            if has_turn:
                await _take_all(app, inbox, level, _log)
        if has_turn or anyio.current_time() >= until:
            return
        await anyio.sleep(POLL_S)


def _log(trouble: Exception) -> None:
    log.error("what a hook has kept was not taken", exc_info=trouble)


async def _take_all(
    app: dispatcher.Dispatcher, inbox: hand_ins.HandIns, level: host_assignments.Hooks, tell: Tell
) -> None:
    """Takes one event after another; one that a damaged part of the store concerns stays, and holds nobody up.

    Raises StoreError for a store that cannot serve.
    """
    damage: set[Path] = set()
    while files := [file for file in inbox.waiting() if file not in damage]:
        for file in files:
            try:
                await _take(app, file, level, tell)
            except errors.StoreDamaged as trouble:
                damage.add(file)
                tell(errors.StoreDamaged(f"{file.name} stays: {trouble.message}", hint=trouble.hint))


async def _take(app: dispatcher.Dispatcher, file: Path, level: host_assignments.Hooks, tell: Tell) -> None:
    """Takes one event and removes it; a store that cannot serve leaves it for the next who comes."""
    try:
        question = hand_ins.read(file)
        await hook_answers.HookAnswers(app, hook_answers.memory_of(question), level).answer(question)
    except errors.StoreError:
        raise
    except Exception as trouble:  # whatever it is, the next event is taken
        tell(trouble)
        await anyio.to_thread.run_sync(hand_ins.put_aside, file)
    else:
        await anyio.Path(file).unlink(missing_ok=True)
