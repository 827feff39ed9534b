"""Follows a run: a screen where there is a terminal, else a line for each change, until it is over or left."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import anyio
import rich.live

from dispatch_mcp import errors, model
from dispatch_mcp.cli import console
from dispatch_mcp.cli.live import keyboard, run_screen
from dispatch_mcp.engine import council_rounds, run_view
from dispatch_mcp.model import RunState, TaskState
from dispatch_mcp.service import steering, traces
from dispatch_mcp.store import sqlite_store

FRAME_S: Final = 0.2
"""Seconds between two screens."""

LOOK_S: Final = 2.0
"""Seconds after which the run is read again although nothing was written: leases and pauses end by the clock."""

SHARE: Final = 0.1
"""Share of the time that reading may take: a run of thousands of tasks is read less often."""

ENDINGS: Final = () if sys.platform == "win32" else (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a process at once, and would leave its terminal without a cursor and without echo."""

Steer = Callable[[steering.Kind], Awaitable[None]]
"""Applies an action to the run, such as `pause`."""

IsOver = Callable[[run_view.RunView], bool]
"""Whether there is nothing more to wait for."""


def is_final(view: run_view.RunView) -> bool:
    """Returns whether a run has ended."""
    return view.run.state in model.RUN_FINAL


@contextmanager
def _endings() -> Generator[AsyncIterator[signal.Signals] | None]:
    """Gives the signals that end this process, of those that nobody handles or ignores."""
    numbers = [number for number in ENDINGS if signal.getsignal(number) is signal.SIG_DFL]
    if not numbers:
        yield None
        return
    with anyio.open_signal_receiver(*numbers) as signals:
        yield signals


@dataclass(slots=True)
class LiveRun:
    """One run that is followed; `steer` carries out what a key asks for.

    Who carries the run on in this process cannot leave it without ending what is at work: `can_leave` says so.
    """

    store: sqlite_store.Store
    run_id: str
    principal: str
    steer: Steer
    is_over: IsOver = is_final
    can_leave: bool = True
    screen: run_screen.RunScreen | None = None
    _has_left: bool = False
    _ended_by: signal.Signals | None = None
    _due: float = 0.0
    _states: dict[str, TaskState] = field(default_factory=dict[str, TaskState])

    async def follow(self) -> run_view.RunView:
        """Returns the run as it was last seen: over, or left by whoever watched."""
        if console.err.is_terminal and not console.err.is_dumb_terminal:
            return await self._on_screen()
        return await self._in_lines()

    async def _on_screen(self) -> run_view.RunView:
        with _endings() as endings, keyboard.keyboard() as keys:
            screen = await self._look()
            screen.keys = run_screen.KEYS_OF_LEAVER if self.can_leave else run_screen.KEYS
            screen.keys = screen.keys if keys is not None else ""
            with rich.live.Live(screen, console=console.err, auto_refresh=False, transient=True) as live:
                async with anyio.create_task_group() as group:
                    if endings is not None:
                        group.start_soon(self._heed, endings, group.cancel_scope)
                    if keys is not None:
                        group.start_soon(self._obey, keys)
                    await self._draw(live)
                    group.cancel_scope.cancel()
        if self._ended_by is not None:  # the terminal is as it was before, and the signal does what it always does
            signal.raise_signal(self._ended_by)
        return screen.view if self.screen is None else self.screen.view

    async def _heed(self, endings: AsyncIterator[signal.Signals], scope: anyio.CancelScope) -> None:
        """Ends the screen when a signal comes."""
        self._ended_by = await anext(endings)
        scope.cancel()

    async def _draw(self, live: rich.live.Live) -> None:
        while True:
            screen = await self._newest()
            screen.now = self.store.now()
            live.update(screen, refresh=True)
            if self._has_left or self.is_over(screen.view):
                return
            await anyio.sleep(FRAME_S)

    async def _in_lines(self) -> run_view.RunView:
        while True:
            view = (await self._newest()).view
            self._tell(view)
            if self.is_over(view):
                return view
            await anyio.sleep(FRAME_S)

    def _tell(self, view: run_view.RunView) -> None:
        """Prints what has changed since the last look."""
        for task in view.tasks:
            if self._states.get(task.id) is not task.state and task.state is not TaskState.BLOCKED:
                console.note(f"{task.id}: {run_screen.WORDS.get(task.state, task.state.value)}")
            self._states[task.id] = task.state

    async def _newest(self) -> run_screen.RunScreen:
        """Returns the screen, read again if something was written or time is up."""
        now = anyio.current_time()
        if self.screen is not None and now < self._due:
            return self.screen
        if self.screen is not None and now < self._due + LOOK_S and not await self._is_new(self.screen.view):
            return self.screen
        return await self._look()

    async def _is_new(self, view: run_view.RunView) -> bool:
        return (await self.store.run(self.run_id, principal=self.principal)).revision != view.run.revision

    async def _look(self) -> run_screen.RunScreen:
        begin = anyio.current_time()
        view = await council_rounds.look(self.store, self.run_id, self.principal)
        attempts = await self.store.attempts(self.run_id)
        trace = await traces.summary(self.store, view)
        before, self.screen = self.screen, run_screen.RunScreen(view, trace, attempts, self.store.now())
        if before is not None:
            self.screen.place, self.screen.question = before.place, before.question
            self.screen.is_detailed, self.screen.keys = before.is_detailed, before.keys
        end = anyio.current_time()
        self._due = end + (end - begin) / SHARE
        return self.screen

    async def _obey(self, keys: keyboard.Keyboard) -> None:
        while key := await keys.key():
            screen = self.screen
            if screen is None:
                continue
            if key == "q" and self.can_leave:
                self._has_left = True
                return
            await self._press(key, screen)

    async def _press(self, key: str, screen: run_screen.RunScreen) -> None:
        """Does what a key means; cancelling needs a second key."""
        is_sure = screen.question.startswith("Cancel") and key == "y"
        screen.question = ""
        if is_sure:
            await self._steered("cancel")
        elif key == "c" and screen.view.run.state not in model.RUN_FINAL:
            screen.question = "Cancel this run? y cancels it, any other key does not."
        elif key == "p" and screen.view.run.state not in model.RUN_FINAL:
            is_paused = screen.view.run.paused or screen.view.run.state is RunState.PAUSED
            await self._steered("resume" if is_paused else "pause")
        elif key in ("up", "k", "down", "j"):
            screen.place = screen.cursor + (-1 if key in ("up", "k") else 1)
        elif key in ("d", "enter"):
            screen.place, screen.is_detailed = screen.cursor, not screen.is_detailed

    async def _steered(self, action: steering.Kind) -> None:
        try:
            await self.steer(action)
        except errors.DispatchError as error:
            if self.screen is not None:
                self.screen.question = error.message
        self._due = 0.0
