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
from dispatch_mcp.model import WorkerKind, records, transitions, work_order
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import token_count

log = logging.getLogger(__name__)

LEAST_TOKENS: Final = 1_000
"""What a pack may hold however much its task's predecessors have to say."""

PATIENCE_S: Final = 8.0
"""How long an attempt waits for its pack; a first look at a very large workspace goes on without it."""

MAX_RUNS, MAX_NOTES = 10, 30
"""How many earlier runs of a workspace the continuity notes are made of, and how many lines they have."""

_NO_RULES_OF_THEIR_OWN = frozenset({WorkerKind.API})
"""Workers that read no project rules by themselves."""

FACTS: Final = "context"
"""Where the heartbeat of an attempt keeps what its pack was."""


class BriefedOrder(NamedTuple):
    """An order with what its worker shall read, the figures of its pack if there is one, and what to keep of it.

    `beat` is what the judgement of the attempt needs to know of what was read.
    """

    work: work_order.WorkOrder
    facts: Mapping[str, model.Json]
    beat: Mapping[str, model.Json] = {}


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

    async def brief(self, work: work_order.WorkOrder) -> BriefedOrder:
        """Returns the order with what its task should read; the order as it is where nothing can be gathered."""
        if self.budget <= 0 or work.worker not in transitions.MODEL_WORKERS or not work.workspace:
            return BriefedOrder(work, {})
        with anyio.move_on_after(self.patience_s):
            try:
                pack = await self._pack(work)
            except errors.DispatchError as refused:
                log.info("nothing was gathered for %s/%s: %s", work.run_id, work.task.id, refused)
                return BriefedOrder(work, {})
            except Exception:
                log.exception("nothing could be gathered for %s/%s", work.run_id, work.task.id)
                return BriefedOrder(work, {})
            return self._filled(work, pack)
        log.info("gathering for %s/%s takes longer than %g s", work.run_id, work.task.id, self.patience_s)
        return BriefedOrder(work, {})

    def _filled(self, work: work_order.WorkOrder, pack: packs.Pack) -> BriefedOrder:
        if not pack.chosen and not pack.also:
            return BriefedOrder(work, {})
        data = pack.data()
        facts = {
            "tokens": pack.tokens,
            "gathered": max(pack.pool, pack.tokens),
            "items": len(pack.chosen),
            "left_out": len(pack.left_out),
            "withheld": list(pack.withheld),
            "unresolved": [requirement.key for requirement in pack.unresolved],
        }
        return BriefedOrder(replace(work, gathered=(replace(data, text=self.redact(data.text)),)), facts)

    async def _pack(self, work: work_order.WorkOrder) -> packs.Pack:
        agent = self.catalog().find(work.agent) if work.agent else None
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
        unresolved = tuple(requirement for requirement in pack.unresolved if requirement.key not in quiet)
        return replace(pack, unresolved=unresolved)

    async def _sources(
        self, work: work_order.WorkOrder, agent: catalog.Agent | None, keys: Sequence[str]
    ) -> requirement_sources.Sources:
        requests = list(requirements.parse_all(keys))
        task_ids = {request.subject for request in requests if request.kind == "task"}
        task_ids -= {upstream.task_id for upstream in work.upstream}
        outcomes = await self.store.outcomes(work.run_id, task_ids) if task_ids else {}
        rules = any(request.kind == "rules" for request in requests)
        text = self.document(agent.knowledge) if rules and agent and agent.knowledge else ""
        knowledge = {agent.knowledge: text} if agent and text else {}
        return requirement_sources.Sources(
            knowledge=knowledge,
            notes=await self._continuity(work.run_id) if rules else "",
            handoffs={name: _handoff(outcome) for name, outcome in outcomes.items()},
        )

    async def _continuity(self, run_id: str) -> str:
        """Returns what finished runs of the workspace have decided and learned, the newest first."""
        run = await self.store.run(run_id, principal=records.ANYBODY)
        past_runs = [
            past
            for past in await self.store.runs(run.principal, limit=5 * MAX_RUNS)
            if past.workspace == run.workspace and past.state in model.RUN_FINAL and not past.dry_run
        ][:MAX_RUNS]
        key = f"{run.principal}\n{run.workspace}"
        if key in self._notes and self._notes[key][0] == hash(tuple(past.id for past in past_runs)):
            return self._notes[key][1]
        lines: dict[str, None] = {}
        for past in past_runs:
            outcomes = await self.store.outcomes(past.id, [task.id for task in await self.store.tasks(past.id)])
            for outcome in outcomes.values():
                handoff = outcome.handoff
                lines |= dict.fromkeys(f"- learned: {text}" for text in handoff.mistakes_learned)
                lines |= dict.fromkeys(f"- decided: {text}" for text in handoff.decisions_made)
        text = "\n".join(list(lines)[:MAX_NOTES])
        self._notes[key] = (hash(tuple(past.id for past in past_runs)), text)
        return text


def _keys(work: work_order.WorkOrder, agent: catalog.Agent | None) -> list[str]:
    """Returns the keys of an order: what it reads, what it asks for, what it will change."""
    task = work.task
    keys = [*(f"file:{path}" for path in task.reads), *task.context, *(f"file:{path}" for path in task.files)]
    asks = any(requirement.kind == "rules" for requirement in requirements.parse_all(task.context))
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
    texts = [_handoff_text(upstream.handoff, upstream.summary) for upstream in work.upstream]
    return token_count.count("\n".join([*texts, *(message.text for message in work.messages)]))


def _handoff(outcome: model.Outcome) -> str:
    return _handoff_text(outcome.handoff, outcome.summary)


def _handoff_text(handoff: model.Handoff, summary: str) -> str:
    fields = handoff.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(fields, ensure_ascii=False) if fields else summary
