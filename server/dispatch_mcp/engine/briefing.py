"""Fills work orders with what was gathered for them: the right parts of the workspace, within a budget of tokens."""

from __future__ import annotations

import functools
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import anyio
import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.context import pack_gatherer, packs, requirement_sources, requirements, search_scope
from dispatch_mcp.context.documents import knowledge_documents
from dispatch_mcp.model import WorkerKind, records, transitions, work_order
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.process import shared_looks
from dispatch_mcp.runs import prompt_builder
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import fences, json_types, token_count

log = logging.getLogger(__name__)

LEAST_TOKENS: Final = 1_000
"""What a pack may hold however much its task's predecessors have to say."""

PATIENCE_S: Final = 8.0
"""Seconds that a pack may take once the workspace has been read."""
HANDLE_S: Final = 0.2
"""Seconds that a call of the host waits for packs; those that take longer follow."""
READING_S, WORKER_S = 1.0, 30.0
"""Seconds for which somebody who reads a brief, and a worker of the server, wait for a large workspace to be read."""

MAX_RUNS, MAX_NOTES = 10, 30
"""How many earlier runs of a workspace the continuity notes are made of, and how many lines they have."""

_OPENS_REFERENCES = frozenset({WorkerKind.HOST})
"""Workers that can read resources of this server."""
_WHOLE_KNOWLEDGE: Final = 0.6
"""Share of the budget that a knowledge document may take for workers that cannot."""
PARTLY: Final = (
    "only {} of the {} files of the workspace have been searched so far. What is given is not all; look up the rest."
)
LATE: Final = "the search of the workspace has not ended in time. Look up what you need before you begin."
NAMELESS: Final = " DISPATCH_MCP_WORKSPACE names the project where the server is registered."
"""What is added where nobody has named a workspace; its readers are a worker, and the assistant that hands it on."""

FAILED: Final = "the workspace could not be searched: {}. Look up what you need before you begin."
MAX_TEXTS: Final = 200
"""Texts in the inputs of a task in which names of files are looked for."""

GAP: Final = "context_missing"
NO_KNOWLEDGE: Final = "knowledge_missing"
"""Events of an attempt whose brief lacks something."""

FACTS: Final = "context"
"""Where the heartbeat of an attempt keeps what its pack was."""


class BriefedOrder(NamedTuple):
    """An order with what its worker shall read, the figures of its pack if there is one, and what to keep of it.

    `beat` is what the judgement of the attempt needs to know of what was read, `notes` are events of its beginning.
    """

    work: work_order.WorkOrder
    facts: Mapping[str, model.Json]
    beat: Mapping[str, model.Json] = {}
    notes: Sequence[transitions.NewEvent] = ()


@dataclass(frozen=True, slots=True)
class Briefing:
    """Gathers for orders; `library` finds knowledge documents and says whether a workspace's rules are instructions."""

    store: sqlite_store.Store
    gatherer: pack_gatherer.Gatherer
    catalog: Callable[[], catalog.Catalog]
    library: knowledge_documents.Library
    redact: Callable[[str], str] = str
    budget: int = packs.BUDGET
    patience_s: float = PATIENCE_S
    worker_s: float = WORKER_S
    reading_s: float = READING_S
    handle_s: float = HANDLE_S
    is_urgent: bool = False
    _notes: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    _looks: shared_looks.SharedLooks[str] = field(default_factory=shared_looks.SharedLooks[str])

    @property
    def at_once(self) -> Briefing:
        """The same for orders of which somebody waits for the handle: what takes longer follows."""
        return replace(self, patience_s=self.handle_s, worker_s=0.0, is_urgent=True)

    @property
    def for_reader(self) -> Briefing:
        """The same for a brief that somebody reads now."""
        return replace(self, worker_s=self.reading_s)

    def expects(self, workspace: str) -> bool:
        """Returns whether nothing is to be begun for a workspace now: reading it has begun, or is switched off."""
        return self.budget <= 0 or self.gatherer.is_expected(workspace)

    def expect(self, workspace: str) -> None:
        """Begins to read a workspace for which there will probably be tasks; returns before that is done."""
        if self.budget > 0:
            self.gatherer.expect(workspace)

    @property
    def _index_s(self) -> float:
        """Seconds to wait for the workspace to be read: whoever is in a hurry takes no part of it."""
        return math.inf if self.is_urgent else self.worker_s

    async def brief(self, work: work_order.WorkOrder) -> BriefedOrder:
        """Returns the order with what its task should read; the order as it is where nothing can be gathered."""
        if self.budget <= 0 or work.worker not in transitions.MODEL_WORKERS or not work.workspace:
            return BriefedOrder(work, {})
        request = await self._request(work)
        gap = LATE
        with anyio.move_on_after(self.patience_s + self.worker_s):
            try:
                order = self._filled(request, await request.pack(self.gatherer, self._index_s))
                share = self.gatherer.share_read(work.workspace)
                if share is None or share.rest == 0 < share.files:
                    return order
                if share.files > share.rest:
                    return _with_gap(order, PARTLY.format(share.files - share.rest, share.files))
            except errors.DispatchError as refused:
                log.info("nothing was gathered for %s/%s: %s", work.run_id, work.task.id, refused)
                gap = FAILED.format(str(refused).rstrip("."))
                gap += NAMELESS if refused.hint == NextStep(StepKind.NAME_WORKSPACE) else ""
            except Exception as fault:
                log.exception("nothing could be gathered for %s/%s", work.run_id, work.task.id)
                gap = FAILED.format(f"a fault of this server ({type(fault).__name__})")
        if self.is_urgent and gap == LATE:
            return BriefedOrder(replace(work, follows=True), {}, notes=_notes_of(request))
        return await self._without_search(request, gap)

    async def _without_search(self, request: _Request, gap: str) -> BriefedOrder:
        """Returns the order with what needs no search: rules, knowledge, and files that are named by their path."""
        log.info("the brief of %s/%s lacks a search: %s", request.work.run_id, request.work.task.id, gap)
        try:
            order = self._filled(request, await request.plain_pack(self.gatherer))
        except Exception as fault:
            if not isinstance(fault, errors.DispatchError):
                log.exception("no named file could be read for %s/%s", request.work.run_id, request.work.task.id)
            order = BriefedOrder(request.work, {}, notes=_notes_of(request))
        return _with_gap(order, gap)

    async def _request(self, work: work_order.WorkOrder) -> _Request:
        agents = self.catalog()
        agent = agents.find(work.agent) if work.agent else None
        knowledge = self.library.of(agent, agents, work.workspace) if agent else knowledge_documents.NOTHING
        keys = _keys(work, knowledge.document)
        return _Request(
            work=work,
            keys=keys,
            knowledge=knowledge,
            budget=max(LEAST_TOKENS, self.budget - _said(work)),
            scope=search_scope.SearchScope(agent.receives, agent.excludes) if agent else search_scope.EVERYTHING,
            sources=await self._sources(work, knowledge.document, keys),
        )

    def _filled(self, request: _Request, pack: packs.Pack) -> BriefedOrder:
        work, notes = request.work, _notes_of(request)
        pack = _without_new_files(work.task, pack)
        if not pack.chosen and not pack.also and not pack.unresolved and not pack.left_out:
            return BriefedOrder(work, {}, notes=notes)
        document = request.knowledge.document
        instructions: list[packs.Why] = []
        if document and document.is_instruction:
            instructions.append("knowledge")
        if self.library.trusts(work.workspace):
            instructions.append("rules")
        rest = pack.data()
        data = (
            *(_as_data(item) for item in pack.of(*packs.READ_FIRST) if item.why not in instructions),
            *([rest] if rest.text else []),
        )
        facts = {
            "tokens": pack.tokens,
            "named_files": pack.whole,
            "items": len(pack.chosen),
            "left_out": len(pack.left_out),
            "withheld": list(pack.withheld),
            "unresolved": [requirement.key for requirement in pack.unresolved],
        }
        blocks = tuple(replace(block, text=self.redact(block.text)) for block in data)
        guides = tuple(_guide(item, self.redact(item.text)) for item in pack.of(*instructions))
        return BriefedOrder(replace(work, gathered=blocks, guides=guides), facts, notes=notes)

    async def _sources(
        self, work: work_order.WorkOrder, document: knowledge_documents.KnowledgeDocument | None, keys: Sequence[str]
    ) -> requirement_sources.Sources:
        requests = list(requirements.parse_all(keys))
        task_ids = {request.subject for request in requests if request.kind == "task"}
        task_ids -= {upstream.task_id for upstream in work.upstream}
        outcomes = await self.store.outcomes(work.run_id, task_ids) if task_ids else {}
        opens = work.worker in _OPENS_REFERENCES
        address = document.address if document else ""
        if not opens and address.startswith(knowledge_documents.RESOURCE):
            address = ""
        return requirement_sources.Sources(
            knowledge={document.name: document.text} if document else {},
            addresses={document.name: address} if document and address else {},
            notes=await self._continuity(work.run_id),
            handoffs={name: _handoff(outcome) for name, outcome in outcomes.items()},
            texts=tuple(_strings(work.task.inputs)),
            outputs=_outputs(work),
            new=frozenset(f"file:{path}" for path in work.task.files),
            knowledge_share=1 / 3 if opens else _WHOLE_KNOWLEDGE,
        )

    async def _continuity(self, run_id: str) -> str:
        """Returns what finished runs of the workspace have decided and learned, the newest first.

        The tasks of a wave are briefed side by side: one of them reads, as results may be large.
        """
        return await self._looks.get(run_id, functools.partial(self._notes_of_runs, run_id))

    async def _notes_of_runs(self, run_id: str) -> str:
        run = await self.store.run(run_id, principal=records.ANYBODY)
        key = f"{run.principal}\n{run.workspace}"
        past_runs = [
            past
            for past in await self.store.runs(run.principal, limit=5 * MAX_RUNS)
            if past.workspace == run.workspace and past.state in model.RUN_FINAL and not past.dry_run
        ][:MAX_RUNS]
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


@dataclass(frozen=True, slots=True)
class _Request:
    """Everything that is to be gathered for one order."""

    work: work_order.WorkOrder
    keys: Sequence[str]
    knowledge: knowledge_documents.Knowledge
    budget: int
    scope: search_scope.SearchScope
    sources: requirement_sources.Sources

    async def pack(self, gatherer: pack_gatherer.Gatherer, wait_s: float) -> packs.Pack:
        ask = functools.partial(gatherer.gather, budget=self.budget, scope=self.scope, sources=self.sources)
        return await ask(self.work.workspace, _words(self.work.task), self.keys, wait_s=wait_s)

    async def plain_pack(self, gatherer: pack_gatherer.Gatherer) -> packs.Pack:
        """Returns what needs no index. Raises DispatchError."""
        ask = functools.partial(gatherer.plain, budget=self.budget, scope=self.scope, sources=self.sources)
        return await anyio.to_thread.run_sync(
            ask, self.work.workspace, _words(self.work.task), self.keys, abandon_on_cancel=True
        )


def _with_gap(order: BriefedOrder, gap: str) -> BriefedOrder:
    """Returns an order that says what it lacks, to its worker and in the trace."""
    work = replace(order.work, gap=gap)
    return BriefedOrder(work, {**order.facts, "missing": gap}, notes=(*order.notes, gap_event(work)))


def gap_event(work: work_order.WorkOrder) -> transitions.NewEvent:
    """Returns the event of an order that lacks something."""
    return transitions.NewEvent(GAP, work.task.id, work.attempt, {"why": work.gap})


def _keys(work: work_order.WorkOrder, document: knowledge_documents.KnowledgeDocument | None) -> list[str]:
    """Returns the keys of an order: what guides it, what it reads, what it asks for, what it will change."""
    task = work.task
    keys = [*(f"file:{path}" for path in task.reads), *task.context, *(f"file:{path}" for path in task.files)]
    asks = any(requirement.kind == "rules" for requirement in requirements.parse_all(task.context))
    guides = ["rules:"] if not asks else [f"rules:{document.name}"] if document else []
    return list(dict.fromkeys([*guides, *keys]))[: requirements.MAX_KEYS]


def _notes_of(request: _Request) -> tuple[transitions.NewEvent, ...]:
    """Returns the event of a knowledge document that is not there, with what stands in for it."""
    work, (document, missing) = request.work, request.knowledge
    if not missing:
        return ()
    data: dict[str, model.Json] = {"missing": missing, "stand_in": document.name if document else ""}
    return (transitions.NewEvent(NO_KNOWLEDGE, work.task.id, work.attempt, data),)


def _without_new_files(task: model.Task, pack: packs.Pack) -> packs.Pack:
    """Returns a pack that does not name what the task itself is to make."""
    new = {f"file:{path}" for path in task.files}
    unresolved = tuple(
        miss for miss in pack.unresolved if miss.key != "rules:" and (miss.key not in new or miss.why or miss.is_given)
    )
    return replace(pack, unresolved=unresolved)


_KINDS: Final = {
    "rules": prompt_builder.PROJECT_RULES,
    "notes": prompt_builder.NOTES,
    "knowledge": prompt_builder.KNOWLEDGE_OF_OTHERS,
}


def _as_data(item: packs.Item) -> fences.Data:
    return fences.Data(_KINDS[item.why], item.path, item.text)


def _guide(item: packs.Item, text: str) -> work_order.Guide:
    return work_order.Guide("knowledge" if item.why == "knowledge" else "rules", item.path, text)


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


def _outputs(work: work_order.WorkOrder) -> tuple[str, ...]:
    """Returns the files that the tasks before say that they have changed or made."""
    handoffs = [upstream.handoff for upstream in work.upstream]
    paths = (path for handoff in handoffs for path in (*handoff.files_modified, *(a.path for a in handoff.artifacts)))
    return tuple(dict.fromkeys(paths))


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
    fields = prompt_builder.handoff_fields(handoff)
    return json.dumps(fields, ensure_ascii=False) if fields else summary
