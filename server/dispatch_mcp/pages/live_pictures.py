"""Pictures of runs for pages that stay open: each answer comes as soon as there is something new."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio
from pydantic import ValidationError

from dispatch_mcp import errors, model
from dispatch_mcp.model import records
from dispatch_mcp.next_steps import Words
from dispatch_mcp.pages import picture_loader
from dispatch_mcp.process import computation
from dispatch_mcp.runs import budget
from dispatch_mcp.service import answers, dispatcher, plan_answers
from dispatch_mcp.text import json_types, redaction

WAIT_S: Final = 25.0
"""Seconds that a page waits for news: proxies give a request up after thirty."""

LEAST_PAUSE_S: Final = 0.06
MOST_PAUSE_S: Final = 30.0
PAUSE_FOR_WORK: Final = 10.0
"""Seconds that a page leaves the server alone for each second of its processors that the last answer took: what others
ask for meanwhile counts too, what other programs do does not."""

PATIENCE_S: Final = 0.5
"""Seconds after which one that waits looks whether the server is being stopped."""


class _Agreement(model.Value):
    """What a person has agreed to, as the page sends back what it showed."""

    plan_digest: str
    raises: records.Raises


@dataclass(slots=True)
class LivePictures:
    """Shows the runs of whose request it is; `app` returns that principal's dispatcher. Looking changes nothing.

    What a run may use is changed here too, by whoever looks: a person.
    """

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
            began = time.process_time()
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
        began = time.process_time()
        return await self._clean(await picture_loader.load(app.store, run_id, app.principal, after), began)

    async def limits(self, handle: str) -> dict[str, model.Json]:
        """Returns the ceilings of a run. Raises UnknownHandle."""
        app = await self.app()
        return await self._ceilings(app, await app.handles.run_id(handle))

    async def limit(self, handle: str, document: model.Json, by: str) -> dict[str, model.Json]:
        """Changes the ceilings of a run as a person asks, and returns them; a raise is first returned as a question.

        The person answers it by sending the same again with what they have agreed to.

        Raises:
            UnknownHandle: this principal has no such run.
            InputError: that asks for nothing that can be done.
            NotAllowed: the configuration allows less.
            StaleVersion: the plan or a ceiling has changed since the person was asked.
        """
        app = await self.app()
        run_id = await app.handles.run_id(handle)
        limits, word = read_wish(document, by)
        offer = await app.offer_raise(run_id, limits)
        if offer is not None and word is None:
            heights: list[model.Json] = [list(entry) for entry in offer.raises]
            return {
                "question": self.redactor.redact(offer.question),
                "plan_digest": offer.plan_digest,
                "raises": heights,
            }
        await app.limit(run_id, limits, word)
        return await self._ceilings(app, run_id)

    async def _ceilings(self, app: dispatcher.Dispatcher, run_id: str) -> dict[str, model.Json]:
        run = await app.store.run(run_id, principal=app.principal)
        return {"title": self.redactor.redact(run.title), "limits": {**budget.ceilings(run.limits)}}

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
        return {**clean, "pause_s": pause(time.process_time() - began)}


def read_wish(document: model.Json, by: str) -> tuple[model.Limits, records.PersonWord | None]:
    """Returns the ceilings that a page asks for, and what of them the person has agreed to before.

    Raises:
        InputError: they are none, or that is no answer to a question of ours.
    """
    limits = document.get("limits") if json_types.is_object(document) else None
    if not json_types.is_object(document) or not json_types.is_object(limits):
        raise errors.InputError("That asks for no ceilings.", hint='Send {"limits": {"dollars": 8}}.')
    if document.get("agreed") is None:
        return plan_answers.read_limits(limits), None
    try:
        answer = _Agreement.model_validate(document["agreed"])
    except ValidationError:
        raise errors.InputError("That answers no question.", hint="Send what it came with.") from None
    return plan_answers.read_limits(limits), records.PersonWord(by, answer.plan_digest, answer.raises)


def pause(work_s: float) -> float:
    """Returns how many seconds a page waits before it asks again, after an answer that took so long to make."""
    return min(MOST_PAUSE_S, max(LEAST_PAUSE_S, PAUSE_FOR_WORK * work_s))


def _digest(answer: answers.Trace) -> str:
    """Returns what tells two lists of runs apart; not by their age, which changes all the time."""
    lines = [[run.run_id, run.state, run.counts, run.updated, run.waits, run.ownerless] for run in answer.runs]
    return hashlib.sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()[:16]
