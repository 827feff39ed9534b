"""A conversation with a model as the attempts of a task keep it: its turns in blobs, their digests in the beat."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from dispatch_mcp import errors, model
from dispatch_mcp.model import ports, work_order
from dispatch_mcp.text import json_types
from dispatch_mcp.workers import usage_meter

log = logging.getLogger(__name__)

BEAT: Final = "api"
Turn = dict[str, model.Json]


@dataclass(slots=True)
class Conversation:
    """Turns so far, what they used, and whether an earlier attempt began them.

    `usage` is of this attempt; `unseen` is what an earlier attempt used without reporting it, because its server was
    killed. `max_tokens` is the most that one answer may have, 0 for the default; `digests` name the kept turns,
    `unkept` are the others; `is_cut_off` is whether the attempt before has said nothing of its end.
    """

    ctx: ports.TaskContext
    directory: str
    turns: list[Turn] = field(default_factory=list[Turn])
    usage: model.Usage = usage_meter.NOTHING
    unseen: model.Usage = usage_meter.NOTHING
    max_tokens: int = 0
    resumes: bool = False
    is_cut_off: bool = False
    digests: list[str] = field(default_factory=list[str])
    unkept: list[Turn] = field(default_factory=list[Turn])

    @property
    def spent(self) -> model.Usage:
        """What the attempt has to report."""
        return usage_meter.total(self.usage, self.unseen)

    def add(self, *turns: Turn) -> None:
        """Appends turns and keeps them where the next attempt finds them, together with any that could not be kept."""
        self.turns += turns
        self.unkept += turns
        text = json.dumps(self.unkept, ensure_ascii=False)
        try:
            self.digests.append(self.ctx.blobs.put(text.encode("utf-8", "replace")))
            self.unkept = []
        except errors.StoreError as trouble:  # no reason to break off what is paid for
            log.warning("turns of %s/%s are not kept yet: %s", self.ctx.run_id, self.ctx.task_id, trouble)
        self.keep()

    def add_usage(self, usage: model.Usage) -> None:
        """Notes what a request used."""
        self.usage = usage_meter.total(self.usage, usage)
        self.keep()

    def keep(self) -> None:
        """Leaves everything that the next attempt needs."""
        detail: dict[str, model.Json] = {
            "turns": list(self.digests),
            "directory": self.directory,
            "usage": usage_meter.kept(self.spent),
            "max_tokens": self.max_tokens,
            "attempt": self.ctx.attempt,
        }
        session = self.digests[-1] if len(self.turns) > 1 and self.digests else ""
        # Its own use alone: what it adds of an earlier attempt, that one has left word of itself.
        self.ctx.beat(**{ports.SESSION: session, ports.SPENT: usage_meter.kept(self.usage), BEAT: detail})

    @property
    def last_words(self) -> str:
        """What the model had said last when the attempt before was cut off; empty when it still has to answer."""
        last = self.turns[-1] if self.resumes and self.is_cut_off else {}
        content = last.get("content") if last.get("role") == "assistant" else None
        blocks = (
            [dict(block) for block in content if json_types.is_object(block)] if json_types.is_list(content) else []
        )
        return "".join(usage_meter.text(block.get("text")) for block in blocks if block.get("type") == "text")

    def forget(self) -> None:
        """Lets the next attempt begin anew."""
        self.ctx.beat(**{ports.SESSION: "", BEAT: {}})


def resume(ctx: ports.TaskContext, work: work_order.WorkOrder) -> Conversation:
    """Returns the conversation that an attempt goes on with, or an empty one.

    An attempt that ended without a word about its failure was cut off with its server; what it used was never reported.
    """
    detail = work.last_beat.get(BEAT)
    talk = Conversation(ctx, work.cwd)
    if work.attempt == 1 or not json_types.is_object(detail):
        return talk
    if 0 < usage_meter.count(detail.get("attempt")) <= work.sent_back:
        return talk  # what it came to was accepted, and sent back
    talk.is_cut_off = not work.last_error
    if talk.is_cut_off and detail.get("usage"):
        talk.unseen = _usage(detail.get("usage"))
    talk.max_tokens = usage_meter.count(detail.get("max_tokens"))
    digests = detail.get("turns")
    if detail.get("directory") == work.cwd and json_types.is_list(digests):
        _restore(talk, [digest for digest in digests if isinstance(digest, str)])
    return talk


def _restore(talk: Conversation, digests: list[str]) -> None:
    turns: list[Turn] = []
    try:
        for digest in digests:
            turns += _turns(talk.ctx.blobs.get(digest))
    except (errors.DispatchError, ValueError):
        return
    talk.turns, talk.digests, talk.resumes = turns, digests, bool(turns)


def _turns(data: bytes) -> list[Turn]:
    turns = json.loads(data)
    if not json_types.is_list(turns):
        raise ValueError("no list of turns")
    return [dict(turn) for turn in turns if json_types.is_object(turn)]


def _usage(raw: model.Json) -> model.Usage:
    try:
        return model.Usage.model_validate(raw)
    except ValueError:
        return usage_meter.NOTHING


def cached(turns: list[Turn]) -> list[Turn]:
    """Returns the turns with a mark up to which the provider caches them: the end of the last one, if the user's."""
    *before, last = turns
    if last.get("role") != "user":
        return turns
    content = last.get("content")
    if not json_types.is_list(content) or not content or not json_types.is_object(content[-1]):
        return turns
    blocks: list[model.Json] = [*content[:-1], {**content[-1], "cache_control": {"type": "ephemeral"}}]
    return [*before, {**last, "content": blocks}]


def user_turn(text: str) -> Turn:
    """Returns a turn of the user."""
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def results(answers: list[tuple[str, str, bool]], news: str = "") -> Turn:
    """Returns the turn that answers tool calls: their ids, what they gave, whether they worked; and any news."""
    blocks: list[Mapping[str, model.Json]] = [
        {"type": "tool_result", "tool_use_id": call, "content": text, **({} if success else {"is_error": True})}
        for call, text, success in answers
    ]
    blocks += [{"type": "text", "text": news}] if news else []
    return {"role": "user", "content": blocks}
