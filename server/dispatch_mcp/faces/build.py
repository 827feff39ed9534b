"""The one place where settings, book, workers, engine and dispatcher are put together."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from dispatch_mcp import config, errors, prices, resources, rosters
from dispatch_mcp.context import gather
from dispatch_mcp.core import applying as offers
from dispatch_mcp.core import budget, catalog, confidence, learning, order, records, redaction, remains, routing
from dispatch_mcp.core.council import deciding, scope
from dispatch_mcp.core.model import WorkerKind
from dispatch_mcp.engine import (
    answers,
    artifacts,
    attempts,
    briefing,
    dispatcher,
    embedded,
    handles,
    hosting,
    memory,
    planner,
    redacting,
    subjects,
    tracing,
)
from dispatch_mcp.faces import hiring
from dispatch_mcp.store import book as books
from dispatch_mcp.store import checkup
from dispatch_mcp.workers import (
    applying,
    changes,
    contract,
    host,
    leftovers,
    repository,
    snapshots,
    witness,
    worktrees,
)


def server_witness(settings: config.Settings, env: Mapping[str, str], workers: contract.Workers) -> contract.Witness:
    """Returns what collects receipts; commands in `acceptance` run as command tasks do."""
    camera = snapshots.Camera(settings.home, settings.child_policy(env))
    return witness.Witness(workers[WorkerKind.COMMAND], camera)


def server_grounds(settings: config.Settings, env: Mapping[str, str]) -> worktrees.Worktrees:
    """Returns what gives attempts worktrees and merges what they change."""
    return worktrees.Worktrees(repository.Git(settings.home, settings.child_policy(env)), settings.home)


def order_maker(settings: config.Settings, known: Callable[[], catalog.Catalog]) -> embedded.MakeOrder:
    """Returns what fills a bare order with its agent's role and the default deadline."""

    def make(work: order.WorkOrder) -> order.WorkOrder:
        deadline = budget.deadline_s(work.task, work.timeout_s or settings.task_timeout_s)
        timed = replace(work, timeout_s=deadline)
        return (
            timed if timed.worker in (WorkerKind.COMMAND, WorkerKind.SCRIPTED) else hosting.with_agent(timed, known())
        )

    return make


def hints(settings: config.Settings) -> routing.Hints:
    """Returns what the settings say about routing: from which confidence on which strategy."""
    bands = confidence.Bands(
        direct=settings.direct_from, review=settings.review_from, supervise=settings.supervise_from
    )
    return routing.Hints(bands=bands)


def document(name: str) -> str:
    """Returns the text of a knowledge document that an agent names, empty if it does not come with the product."""
    kind, _, rest = name.partition("/")
    if kind != "knowledgebase":
        return ""
    try:
        return resources.text("knowledgebase", rest.removesuffix(".md"))
    except errors.DispatchError:
        return ""


def rules(settings: config.Settings) -> planner.Rules:
    """Returns what the settings decide for every call."""
    return planner.Rules(
        workspace=str(settings.workspace),
        max_parallel=settings.max_parallel,
        lease_s=settings.lease_minutes * 60.0,
        depth=settings.depth,
        depth_limit=settings.depth_limit,
        bands=hints(settings).bands,
        review_policy=settings.review_policy,
        ceilings=settings.ceilings(),
        price=prices.dollars,
    )


@asynccontextmanager
async def _gatherer(home: Path) -> AsyncGenerator[gather.Gatherer]:
    with gather.Gatherer(home) as found:
        yield found


@asynccontextmanager
async def open_dispatcher(
    settings: config.Settings,
    *,
    default_worker: WorkerKind | None = None,
    chat: bool = True,
    drives: bool = True,
    principal: str = records.LOCAL,
    pace: embedded.Pace = embedded.Pace(),
    redactor: redaction.Redactor = redaction.Redactor(),
) -> AsyncGenerator[dispatcher.Dispatcher]:
    """Yields a dispatcher over the settings' book; its runs are free for others when the block ends.

    `chat` is whether an assistant calls; `default_worker` does the tasks that name nobody, None for whoever can.
    Without `drives` nothing is carried out meanwhile: what a moment begins it would only break off.
    """
    source = rosters.Source.of(settings)
    workers = hiring.server_workers(settings, os.environ, redactor)
    async with _gatherer(settings.home) as gatherer, books.open_book(settings.home, price=prices.dollars) as book:
        maker = order_maker(settings, source.catalog)
        past = memory.Memory(book, principal, on=settings.learn, redact=redactor.redact)
        await past.refresh()
        equipment = attempts.Equipment(
            witness=server_witness(settings, os.environ, workers),
            grounds=server_grounds(settings, os.environ),
            archive=artifacts.Archive(book.blobs, redactor.redact),
            briefing=briefing.Briefing(
                book, gatherer, source.catalog, document, redactor.redact, budget=settings.context_tokens
            ),
        )
        async with embedded.open_engine(
            book, workers, make_order=maker, pace=pace, equipment=equipment, drives=drives
        ) as engine:
            yield dispatcher.Dispatcher(
                book=book,
                engine=engine,
                rules=rules(settings),
                catalog=source.catalog,
                assign=host.assignment,
                installed=source.installed,
                principal=principal,
                default_worker=default_worker,
                hands=hiring.hands_here(settings, os.environ, chat=chat),
                redact=functools.partial(redacting.outcome, redactor),
                memory=past,
                means=council_means(settings, redactor),
                checkouts=applying.Applier(_git(settings)),
            )


def council_means(settings: config.Settings, redactor: redaction.Redactor) -> subjects.Means:
    """Returns what reviews need: git for changes, the redactor, and the rules of the settings."""
    found = changes.GitChanges(settings.home, settings.child_policy(os.environ))
    applier = applying.Applier(_git(settings))

    async def candidate(loaded: tracing.Loaded) -> scope.Change | None:
        try:
            offer = await applier.look(loaded.run.workspace, loaded.run.id)
        except errors.DispatchError:
            return None
        change = await found.of_range(loaded.run.workspace, f"{offer.head}...{offer.revision}")
        return change._replace(about=f"what run {loaded.run.id[:8]} would merge")

    return subjects.Means(
        changes=found,
        candidate=candidate,
        clean=redactor.redact,
        rules=deciding.CouncilRules(
            inconclusive_blocks=settings.council_inconclusive_blocks,
            quorum=settings.council_quorum,
            devils_advocate=settings.council_devils_advocate,
            rounds=settings.council_rounds,
        ),
        reviewers=settings.council_reviewers,
    )


async def trace(
    settings: config.Settings, run_id: str, view: str, task_id: str = "", cursor: str = ""
) -> answers.Trace:
    """Returns a view of a run, or the list of runs; takes over no run and starts nothing."""
    async with books.open_book(settings.home) as book:
        if not run_id:
            return await tracing.overview(book, records.LOCAL, everything=view == "all", after=cursor)
        found = await handles.run_id(book, run_id, records.LOCAL, str(settings.workspace))
        loaded = await tracing.load(book, found, records.LOCAL)
        return await tracing.view(book, loaded, view, task_id, cursor)


async def lessons(settings: config.Settings) -> list[learning.Lesson]:
    """Returns what outcomes have taught routing."""
    async with books.open_book(settings.home) as book:
        return await book.learned(records.LOCAL)


async def forget(settings: config.Settings) -> int:
    """Deletes what outcomes have taught routing and returns how many there were."""
    async with books.open_book(settings.home) as book:
        return await book.forget(records.LOCAL)


def check_book(home: Path) -> list[checkup.Fact]:
    """Returns what there is to say about the book in `home`; reads only."""
    return checkup.facts(home)


async def offer(settings: config.Settings, run_id: str, expect: str = "") -> offers.Offer:
    """Returns what a run would bring into the checkout it was planned for; with `expect`, brings it there.

    Raises:
        DispatchError: there is nothing to apply, or it was refused; nothing was touched.
    """
    async with books.open_book(settings.home) as book:
        found = await handles.run_id(book, run_id, records.LOCAL, str(settings.workspace))
        record = await book.run(found, principal=records.LOCAL)
    applier = applying.Applier(_git(settings))
    act = applier.apply(record.workspace, record.id, expect) if expect else applier.look(record.workspace, record.id)
    return (await act).model_copy(update={"run_state": record.state.value})


async def left_over(settings: config.Settings, *, prune: bool = False) -> remains.Found:
    """Returns the worktrees and changes that runs have left; with `prune`, removes what is safe elsewhere first."""
    keeper = leftovers.Keeper(_git(settings), settings.home, checkup.open_runs(settings.home))
    return await (keeper.prune if prune else keeper.look)(str(settings.workspace))


def trees_left(settings: config.Settings) -> list[remains.Tree]:
    """Returns the worktrees of runs that are over; reads only."""
    return [tree for tree in leftovers.trees(settings.home, checkup.open_runs(settings.home)) if tree.left]


async def git_version(settings: config.Settings) -> tuple[int, int]:
    """Returns major and minor of the git that worktrees are made with. Raises WorkerError."""
    return await _git(settings).version()


def _git(settings: config.Settings) -> repository.Git:
    return repository.Git(settings.home, settings.child_policy(os.environ))
