"""Fills work orders with what was gathered for them: the right parts of the workspace, within a budget of tokens."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.context import pack_builder, packs, requirement_sources, requirements, search_scope
from dispatch_mcp.model import WorkerKind, records, work_order
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import token_count

log = logging.getLogger(__name__)

LEAST_TOKENS: Final = 1_000
"""What a pack may hold however much its task's predecessors have to say."""

PATIENCE_S: Final = 8.0
"""How long an attempt waits for its pack; a first look at a very large workspace goes on without it."""

MAX_RUNS, MAX_NOTES = 10, 30
"""How many earlier runs of a workspace the continuity notes are made of, and how many lines they have."""

_READERS = frozenset({WorkerKind.HOST, WorkerKind.API, WorkerKind.CLAUDE})
_NO_RULES_OF_THEIR_OWN = frozenset({WorkerKind.API})
"""Workers that read no project rules by themselves."""

FACTS: Final = "context"
"""Where the heartbeat of an attempt keeps what its pack was."""


class Briefed(NamedTuple):
    """An order with its pack, and the pack's figures; no figures if nothing was gathered."""

    work: work_order.WorkOrder
    facts: Mapping[str, model.Json]


@dataclass(frozen=True, slots=True)
class Briefing:
    """Gathers for orders. `document` returns the text of a knowledge document, empty if there is none."""

    store: sqlite_store.Store
    gatherer: pack_builder.Gatherer
    catalog: Callable[[], catalog.Catalog]
    document: Callable[[str], str]
    redact: Callable[[str], str] = str
    budget: int = packs.BUDGET
    patience_s: float = PATIENCE_S
    _notes: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])

    async def briefed(self, work: work_order.WorkOrder) -> Briefed:
        """Returns the order with what its task should read; the order as it is where nothing can be gathered."""
        if self.budget <= 0 or work.worker not in _READERS or not work.workspace:
            return Briefed(work, {})
        with anyio.move_on_after(self.patience_s):
            try:
                pack = await self._pack(work)
            except errors.DispatchError as refused:
                log.info("nothing was gathered for %s/%s: %s", work.run_id, work.task.id, refused)
                return Briefed(work, {})
            except Exception:
                log.exception("nothing could be gathered for %s/%s", work.run_id, work.task.id)
                return Briefed(work, {})
            return self._filled(work, pack)
        log.info("gathering for %s/%s takes longer than %g s", work.run_id, work.task.id, self.patience_s)
        return Briefed(work, {})

    def _filled(self, work: work_order.WorkOrder, pack: packs.Pack) -> Briefed:
        if not pack.chosen and not pack.also:
            return Briefed(work, {})
        data = pack.data()
        facts = {
            "tokens": pack.tokens,
            "gathered": max(pack.pool, pack.tokens),
            "items": len(pack.chosen),
            "left_out": len(pack.left_out),
            "withheld": list(pack.withheld),
            "unresolved": [one.key for one in pack.unresolved],
        }
        return Briefed(replace(work, gathered=(replace(data, text=self.redact(data.text)),)), facts)

    async def _pack(self, work: work_order.WorkOrder) -> packs.Pack:
        agent = self.catalog().find(work.task.agent) if work.task.agent else None
        keys = _keys(work, agent)
        pack = await self.gatherer.gather(
            work.workspace,
            _words(work.task),
            keys,
            budget=max(LEAST_TOKENS, self.budget - _said(work)),
            scope=search_scope.Scope(agent.receives, agent.excludes) if agent else search_scope.EVERYTHING,
            sources=await self._sources(work, agent, keys),
        )
        quiet = {f"file:{path}" for path in work.task.files} | {"rules:"}
        return replace(pack, unresolved=tuple(one for one in pack.unresolved if one.key not in quiet))

    async def _sources(
        self, work: work_order.WorkOrder, agent: catalog.Agent | None, keys: Sequence[str]
    ) -> requirement_sources.Sources:
        wanted = list(requirements.parse_all(keys))
        others = {one.subject for one in wanted if one.kind == "task"} - {done.task_id for done in work.upstream}
        found = await self.store.outcomes(work.run_id, others) if others else {}
        rules = any(one.kind == "rules" for one in wanted)
        text = self.document(agent.knowledge) if rules and agent and agent.knowledge else ""
        knowledge = {agent.knowledge: text} if agent and text else {}
        return requirement_sources.Sources(
            knowledge=knowledge,
            notes=await self._continuity(work.run_id) if rules else "",
            handoffs={name: _handoff(outcome) for name, outcome in found.items()},
        )

    async def _continuity(self, run_id: str) -> str:
        """Returns what finished runs of the workspace have decided and learned, the newest first."""
        run = await self.store.run(run_id, principal=records.ANYBODY)
        ended = [
            one
            for one in await self.store.runs(run.principal, limit=5 * MAX_RUNS)
            if one.workspace == run.workspace and one.state in model.RUN_FINAL and not one.dry_run
        ][:MAX_RUNS]
        key = f"{run.principal}\n{run.workspace}"
        if key in self._notes and self._notes[key][0] == hash(tuple(one.id for one in ended)):
            return self._notes[key][1]
        lines: dict[str, None] = {}
        for one in ended:
            outcomes = await self.store.outcomes(one.id, [task.id for task in await self.store.tasks(one.id)])
            for outcome in outcomes.values():
                said = outcome.handoff
                lines |= dict.fromkeys(f"- learned: {text}" for text in said.mistakes_learned)
                lines |= dict.fromkeys(f"- decided: {text}" for text in said.decisions_made)
        text = "\n".join(list(lines)[:MAX_NOTES])
        self._notes[key] = (hash(tuple(one.id for one in ended)), text)
        return text


def _keys(work: work_order.WorkOrder, agent: catalog.Agent | None) -> list[str]:
    """Returns the keys of an order: what it reads, what it asks for, what it will change."""
    task = work.task
    keys = [*(f"file:{path}" for path in task.reads), *task.context, *(f"file:{path}" for path in task.files)]
    asks = any(one.kind == "rules" for one in requirements.parse_all(task.context))
    if not asks and work.worker in _NO_RULES_OF_THEIR_OWN:
        keys.append("rules:")
    elif not asks and agent and agent.knowledge:
        keys.append(f"rules:{agent.knowledge}")
    return list(dict.fromkeys(keys))[: requirements.MAX_KEYS]


def _words(task: model.Task) -> str:
    """Returns what a task is about, for the search."""
    return "\n".join([task.goal, *task.constraints, *task.output])


def _said(work: work_order.WorkOrder) -> int:
    """Returns about how many tokens predecessors and messages take in the prompt."""
    texts = [_handoff_text(done.handoff, done.summary) for done in work.upstream]
    return token_count.count("\n".join([*texts, *(message.text for message in work.messages)]))


def _handoff(outcome: model.Outcome) -> str:
    return _handoff_text(outcome.handoff, outcome.summary)


def _handoff_text(handoff: model.Handoff, summary: str) -> str:
    said = handoff.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(said, ensure_ascii=False) if said else summary
