"""Pictures of runs for pages that stay open: each answer comes as soon as there is something new."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio

from dispatch_mcp import model
from dispatch_mcp.next_steps import Words
from dispatch_mcp.pages import picture_loader
from dispatch_mcp.process import computation
from dispatch_mcp.service import answers, dispatcher
from dispatch_mcp.text import redaction

WAIT_S: Final = 25.0
"""Seconds that a page waits for news: proxies give a request up after thirty."""

LEAST_PAUSE_S: Final = 0.06
MOST_PAUSE_S: Final = 30.0
PAUSE_FOR_WORK: Final = 10.0
"""Seconds that a page leaves the server alone for each second that its last answer took to make."""

PATIENCE_S: Final = 0.5
"""Seconds after which one that waits looks whether the server is being stopped."""


@dataclass(slots=True)
class LivePictures:
    """Shows the runs of whose request it is; `app` returns that principal's dispatcher. Looking changes nothing."""

    app: Callable[[], Awaitable[dispatcher.Dispatcher]]
    words: Words
    redactor: redaction.Redactor
    is_over: bool = False

    def end(self) -> None:
        """Lets nobody wait any longer: the server stops."""
        self.is_over = True

    async def runs(self, digest: str = "", cursor: str = "", wait_s: float = WAIT_S) -> dict[str, model.Json]:
        """Returns the principal's runs, newest first, once they are others than those with this digest."""
        app, end = await self.app(), anyio.current_time() + wait_s
        while True:
            pulse = app.engine.pulse  # taken before the look, so that no change falls between look and wait
            began = time.monotonic()
            answer = await app.trace(view="all", cursor=cursor)
            own = _digest(answer)
            if not digest or own != digest or not await self._news(pulse, end):
                return await self._clean(answer, began, digest=own)

    async def run(
        self, handle: str, after: int = 0, revision: int = -1, wait_s: float = WAIT_S
    ) -> dict[str, model.Json]:
        """Returns the picture of a run, once it is at another revision or has events after one.

        Some events, as those of messages, leave the revision as it is.

        Raises:
            UnknownHandle: this principal has no such run.
        """
        app = await self.app()
        run_id = await app.handles.run_id(handle)
        end = anyio.current_time() + wait_s
        while True:
            pulse = app.engine.pulse
            run = await app.store.run(run_id, principal=app.principal)
            is_new = run.revision != revision or bool(await app.store.events(run_id, after, limit=1))
            if is_new or not await self._news(pulse, end):
                break
        began = time.monotonic()
        return await self._clean(await picture_loader.load(app.store, run_id, app.principal, after), began)

    async def _news(self, pulse: anyio.Event, end: float) -> bool:
        """Returns whether anything was committed before a time, on the clock of the loop, or the server stops."""
        while not pulse.is_set():
            rest = min(PATIENCE_S, end - anyio.current_time())
            if self.is_over or rest <= 0:
                return False
            with anyio.move_on_after(rest):
                await pulse.wait()
        return not self.is_over and anyio.current_time() < end

    async def _clean(self, answer: answers.Answer, began: float, **more: model.Json) -> dict[str, model.Json]:
        """Returns an answer as JSON without secrets, and in how many seconds the page may ask again."""
        document = {**answer.wire(self.words), **more}
        clean: dict[str, model.Json] = await computation.apart(self.redactor.redact_json, document)
        return {**clean, "pause_s": pause(time.monotonic() - began)}


def pause(work_s: float) -> float:
    """Returns how many seconds a page waits before it asks again, after an answer that took so long to make."""
    return min(MOST_PAUSE_S, max(LEAST_PAUSE_S, PAUSE_FOR_WORK * work_s))


def _digest(answer: answers.Trace) -> str:
    """Returns what tells two lists of runs apart; not by their age, which changes all the time."""
    lines = [[run.run_id, run.state, run.counts, run.updated, run.waits, run.ownerless] for run in answer.runs]
    return hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()[:16]
