"""Fills work orders with what was gathered for them: the right parts of the workspace, within a budget of tokens."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.context import pack_builder, packs, requirement_sources, requirements, search_scope
from dispatch_mcp.context.documents import file_mentions
from dispatch_mcp.model import WorkerKind, records, transitions, work_order
from dispatch_mcp.runs import prompt_builder
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import fences, json_types, token_count

log = logging.getLogger(__name__)

LEAST_TOKENS: Final = 1_000
"""What a pack may hold however much its task's predecessors have to say."""

PATIENCE_S: Final = 8.0
"""How long an attempt waits for its pack; a first look at a very large workspace goes on without it."""

MAX_RUNS, MAX_NOTES = 10, 30
"""How many earlier runs of a workspace the continuity notes are made of, and how many lines they have."""

_OPENS_REFERENCES = frozenset({WorkerKind.HOST})
"""Workers that can read the rest of a knowledge document where it is kept."""
_WHOLE_KNOWLEDGE: Final = 0.6
"""Share of the budget that a knowledge document may take for workers that cannot."""
LATE: Final = "the search of the workspace has not ended in time. Look up what you need before you begin."
FAILED: Final = "the workspace could not be searched: {}. Look up what you need before you begin."
MAX_TEXTS: Final = 200
"""Texts in the inputs of a task in which names of files are looked for."""

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
    """Gathers for orders. `document` returns the text of a knowledge document, empty if there is none.

    `is_trusted` is whether what a workspace says of itself is an instruction: the user's configuration says so.
    """

    store: sqlite_store.Store
    gatherer: pack_builder.Gatherer
    catalog: Callable[[], catalog.Catalog]
    document: Callable[[str], str]
    redact: Callable[[str], str] = str
    is_trusted: Callable[[str], bool] = lambda _workspace: False
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
                return _without(work, FAILED.format(str(refused).rstrip(".")))
            except Exception as fault:
                log.exception("nothing could be gathered for %s/%s", work.run_id, work.task.id)
                return _without(work, FAILED.format(f"a fault of this server ({type(fault).__name__})"))
            return self._filled(work, pack)
        log.info("gathering for %s/%s takes longer than %g s", work.run_id, work.task.id, self.patience_s)
        return _without(work, LATE)

    def _filled(self, work: work_order.WorkOrder, pack: packs.Pack) -> BriefedOrder:
        if not pack.chosen and not pack.also and not pack.unresolved and not pack.left_out:
            return BriefedOrder(work, {})
        is_trusted = self.is_trusted(work.workspace)
        guides = pack.of("knowledge", *(("rules",) if is_trusted else ()))
        data = (
            *(() if is_trusted else (_rules(item) for item in pack.of("rules"))),
            *(fences.Data(prompt_builder.NOTES, "this server", item.text) for item in pack.of("notes")),
            *([rest] if (rest := pack.data()).text else []),
        )
        facts = {
            "tokens": pack.tokens,
            "gathered": max(pack.pool, pack.tokens),
            "items": len(pack.chosen),
            "left_out": len(pack.left_out),
            "withheld": list(pack.withheld),
            "unresolved": [requirement.key for requirement in pack.unresolved],
        }
        blocks = tuple(replace(block, text=self.redact(block.text)) for block in data)
        texts = tuple(_guide(item, self.redact(item.text)) for item in guides)
        return BriefedOrder(replace(work, gathered=blocks, guides=texts), facts)

    async def _pack(self, work: work_order.WorkOrder) -> packs.Pack:
        agent = self.catalog().find(work.agent) if work.agent else None
        keys = _keys(work)
        pack = await self.gatherer.gather(
            work.workspace,
            _words(work.task),
            keys,
            budget=max(LEAST_TOKENS, self.budget - _said(work)),
            scope=search_scope.Scope(agent.receives, agent.excludes) if agent else search_scope.EVERYTHING,
            sources=await self._sources(work, agent, keys),
        )
        new = {f"file:{path}": path for path in work.task.files}
        unresolved = tuple(
            miss
            for miss in pack.unresolved
            if miss.key != "rules:" and (miss.key not in new or miss.why or _is_meant(new[miss.key], miss.nearest))
        )
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
            texts=tuple(_strings(work.task.inputs)),
            knowledge_share=1 / 3 if work.worker in _OPENS_REFERENCES else _WHOLE_KNOWLEDGE,
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


def _keys(work: work_order.WorkOrder) -> list[str]:
    """Returns the keys of an order: what it reads, what it asks for, what it will change."""
    task = work.task
    keys = [*(f"file:{path}" for path in task.reads), *task.context, *(f"file:{path}" for path in task.files)]
    asks = any(requirement.kind == "rules" for requirement in requirements.parse_all(task.context))
    return list(dict.fromkeys(keys if asks else ["rules:", *keys]))[: requirements.MAX_KEYS]


def _without(work: work_order.WorkOrder, why: str) -> BriefedOrder:
    """Returns an order for which nothing could be gathered, which it says."""
    return BriefedOrder(replace(work, gap=why), {"missing": why})


def _rules(item: packs.Item) -> fences.Data:
    return fences.Data(prompt_builder.PROJECT_RULES, item.path, item.text)


def _guide(item: packs.Item, text: str) -> work_order.Guide:
    return work_order.Guide("knowledge" if item.why == "knowledge" else "rules", item.path, text)


def _is_meant(path: str, nearest: str) -> bool:
    """Returns whether a file that is not there is another one's other name, and not one that is still to be made."""
    return bool(nearest) and bool(file_mentions.nearest(path, [nearest.removeprefix("file:")]))


def _strings(value: model.Json) -> Iterator[str]:
    """Yields the texts in a JSON value, at most MAX_TEXTS."""
    rest, count = [value], 0
    while rest and count < MAX_TEXTS:
        value = rest.pop()
        if isinstance(value, str):
            count += 1
            yield value
        elif json_types.is_object(value):
            rest += reversed(list(value.values()))
        elif json_types.is_list(value):
            rest += reversed(value)


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
