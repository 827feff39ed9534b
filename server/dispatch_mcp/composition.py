"""The one place where settings, store, workers, engine and dispatcher are put together."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dispatch_mcp import configuration, distribution, errors, prices, worker_setup, workers_present
from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.alerts import courier
from dispatch_mcp.context import pack_gatherer
from dispatch_mcp.context.documents import knowledge_documents
from dispatch_mcp.engine import (
    artifacts,
    attempt_services,
    briefing,
    executor,
    order_builder,
    outcome_redaction,
    plan_review_attempt,
    run_view,
)
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.engine.earlier_runs import blocked_changes, disputed_changes
from dispatch_mcp.git import branch_apply, diff_source, inner_repositories, workspace_provider
from dispatch_mcp.model import Task, WorkerKind, ports, records, short_ids, transitions, work_order
from dispatch_mcp.review import council_decision, review_scope
from dispatch_mcp.routing import confidence, router
from dispatch_mcp.runs import budget
from dispatch_mcp.service import checkouts, dispatcher, plan_proposals, review_subjects, route_memory
from dispatch_mcp.store import blobs, sqlite_store
from dispatch_mcp.text import redaction
from dispatch_mcp.workers import host, receipt_verifier, safe_look, workspace_snapshot

log = logging.getLogger(__name__)


def server_verifier(settings: configuration.Settings, env: Mapping[str, str], workers: ports.Workers) -> ports.Verifier:
    """Returns what collects receipts; commands in `acceptance` run as command tasks do."""
    snapshotter = workspace_snapshot.Snapshotter(checkouts.git(settings, env))
    return receipt_verifier.ReceiptVerifier(workers[WorkerKind.COMMAND], snapshotter)


def server_workspaces(settings: configuration.Settings) -> workspace_provider.WorktreeProvider:
    """Returns what gives attempts worktrees and merges what they change."""
    return workspace_provider.WorktreeProvider(checkouts.git(settings), settings.home)


def order_maker(settings: configuration.Settings, known: Callable[[], catalog.Catalog]) -> order_builder.MakeOrder:
    """Returns what fills a bare order with its agent's role and the default deadline."""

    def make(work: work_order.WorkOrder) -> work_order.WorkOrder:
        deadline = budget.deadline_s(work.task, work.timeout_s or settings.task_timeout_s, work.ceiling)
        timed = replace(work, timeout_s=deadline)
        return (
            timed
            if timed.worker in transitions.SERVER_WORKERS - transitions.MODEL_WORKERS
            else order_builder.with_agent(timed, known())
        )

    return make


def hints(settings: configuration.Settings) -> router.Hints:
    """Returns what the settings say about routing: from which confidence on which strategy."""
    bands = confidence.Bands(
        direct=settings.direct_from, review=settings.review_from, supervise=settings.supervise_from
    )
    return router.Hints(bands=bands)


def trusts(settings: configuration.Settings, workspace: str) -> bool:
    """Returns whether the user trusts what a workspace says of itself: it, or a folder above it, is in the settings."""
    real = Path(os.path.realpath(workspace))
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in settings.trusted_repositories)


def rules(settings: configuration.Settings) -> plan_proposals.PlanningRules:
    """Returns what the settings decide for every call."""
    return plan_proposals.PlanningRules(
        workspace=str(settings.workspace),
        max_parallel=settings.max_parallel,
        lease_s=settings.lease_minutes * 60.0,
        depth=settings.depth,
        depth_limit=settings.depth_limit,
        bands=hints(settings).bands,
        review_policy=settings.review_policy,
        reviews=settings.reviews,
        review_rounds=settings.council_rounds,
        ceilings=settings.ceilings(),
        price=prices.dollars,
        allow_list=settings.commands(),
        how_to_allow=settings.how_to_allow,
    )


def plan_without_secrets(
    redactor: redaction.Redactor, request: str, tasks: Sequence[Task]
) -> tuple[str, Sequence[Task]]:
    """Returns a request and tasks as they may be stored."""
    return redactor.redact(request), outcome_redaction.tasks(redactor, tasks)


@asynccontextmanager
async def _gatherer(home: Path, guess: Path | None) -> AsyncGenerator[pack_gatherer.Gatherer]:
    with pack_gatherer.Gatherer(home, guess=guess, beside=True) as found:
        yield found


async def _tell_nobody(_store: sqlite_store.Store, _run_id: str) -> None:
    return


@asynccontextmanager
async def _telemetry(env: Mapping[str, str]) -> AsyncGenerator[Callable[[sqlite_store.Store, str], Awaitable[None]]]:
    """Yields what tells OpenTelemetry of a run, where its own variables name an endpoint; else nothing is loaded.

    That the extra is missing stands in the log of who asks for details, and in what `doctor` finds: every process of a
    session would say it again.
    """
    if not distribution.wants_telemetry(env):
        yield _tell_nobody
        return
    async with contextlib.AsyncExitStack() as stack:
        try:
            from dispatch_mcp.telemetry import span_export  # noqa: PLC0415  # needs an extra

            active = await stack.enter_async_context(span_export.opened())
        except ModuleNotFoundError as missing:
            log.debug("OpenTelemetry is told nothing: install `dispatch-mcp[otel]` (%s)", missing)
            yield _tell_nobody
        else:
            yield active.tell


async def _tell_end(past: route_memory.Memory, tell: Callable[[str], Awaitable[None]], run_id: str) -> None:
    """Passes on that a run is over: to what routing learns from, and to OpenTelemetry."""
    try:
        await past.learn_from_run(run_id)
    finally:
        await tell(run_id)


@asynccontextmanager
async def _open_engine(
    settings: configuration.Settings,
    store: sqlite_store.Store,
    workers: ports.Workers,
    *,
    make_order: order_builder.MakeOrder,
    pace: run_engine.Pace,
    services: attempt_services.AttemptServices,
    drives: bool,
) -> AsyncGenerator[run_engine.RunEngine]:
    """Yields the engine that the settings name. Raises ConfigError when it is not installed."""
    if settings.engine == "embedded":
        async with executor.open_engine(
            store, workers, make_order=make_order, pace=pace, services=services, drives=drives
        ) as engine:
            yield engine
        return
    try:
        from dispatch_mcp.temporal import doors  # noqa: PLC0415  # needs an extra, and half a second
    except ModuleNotFoundError as missing:
        raise distribution.not_installed(missing) from missing
    async with doors.open_engine(
        os.environ,
        store,
        workers,
        plan=doors.plan(settings, checkouts.git(settings)),
        make_order=make_order,
        pace=pace,
        services=services,
        drives=drives,
    ) as engine:
        yield engine


def serve_host(
    settings: configuration.Settings, redactor: redaction.Redactor
) -> AbstractAsyncContextManager[Sequence[str]]:
    """Takes work from the queues of Temporal until the block ends; yields their names.

    Raises:
        ConfigError: the engine is not installed, or Temporal's settings cannot be used.
        StoreUnavailable: no Temporal server answers.
    """
    try:
        from dispatch_mcp.temporal import doors  # noqa: PLC0415  # needs an extra, and half a second
    except ModuleNotFoundError as missing:
        raise distribution.not_installed(missing) from missing
    return doors.serve_host(
        os.environ,
        worker_setup.server_workers(settings, os.environ, redactor),
        blobs.FileBlobs(settings.home),
        doors.plan(settings, checkouts.git(settings)),
    )


class Purpose(NamedTuple):
    """What a dispatcher is opened for.

    Without `drives` nothing is carried out meanwhile: what a moment begins it would only break off. Without `begins`
    there has to be something already that is asked about: where there is no store, none is made. With `tells` people
    are told of their runs meanwhile: who only looks or plans leaves that to others.
    """

    drives: bool = True
    begins: bool = True
    tells: bool = True


WORK = Purpose()
PLAN = Purpose(drives=False, tells=False)
ACT = Purpose(drives=False, begins=False)
LOOK = Purpose(drives=False, begins=False, tells=False)


@asynccontextmanager
async def open_dispatcher(
    settings: configuration.Settings,
    *,
    default_worker: WorkerKind | None = None,
    chat: bool = True,
    purpose: Purpose = WORK,
    principal: str = records.LOCAL,
    pace: run_engine.Pace = run_engine.Pace(),
    redactor: redaction.Redactor | None = None,
    guesses_workspace: bool = False,
) -> AsyncGenerator[dispatcher.Dispatcher]:
    """Yields a dispatcher over the settings' store; its runs are free for others when the block ends.

    `chat` is whether an assistant calls; `default_worker` does the tasks that name nobody, None for whoever can.
    `purpose` is what it is opened for. `redactor` takes secrets out of everything that is stored; without one, it knows
    the values of the environment. A workspace that nobody has named, so that it is where the program was started, is
    only guessed.
    """
    redactor = redactor or redaction.Redactor(configuration.secret_values(os.environ))
    source = loader.Source.from_settings(settings)
    workers = worker_setup.server_workers(settings, os.environ, redactor)
    async with (
        _gatherer(settings.home, settings.workspace if guesses_workspace else None) as gatherer,
        sqlite_store.open_store(
            settings.home,
            price=prices.dollars,
            unproven_end=settings.unproven_runs,
            states_of=safe_look.states,
            warn_share=settings.warn_at,
            begins=purpose.begins,
        ) as store,
        courier.open_courier(store, settings, os.environ) if purpose.tells else contextlib.nullcontext(),
    ):
        maker = order_maker(settings, source.catalog)
        past = route_memory.Memory(store, principal, on=settings.learn, redact=redactor.redact)
        await past.refresh()
        snapshotter = workspace_snapshot.Snapshotter(checkouts.git(settings))
        services = attempt_services.AttemptServices(
            verifier=server_verifier(settings, os.environ, workers),
            workspaces=server_workspaces(settings),
            archive=artifacts.Archive(store.blobs, redactor.redact),
            briefing=briefing.Briefing(
                store,
                gatherer,
                source.catalog,
                knowledge_documents.Library(settings.home, functools.partial(trusts, settings)),
                redactor.redact,
                budget=settings.context_tokens,
                worker_s=settings.worker_context_wait_s,
                reading_s=settings.context_wait_s,
                handle_s=settings.handle_wait_s,
            ),
            evidence=plan_review_attempt.ReviewEvidence(
                blocked_changes.BlockedChanges(store, principal, diff_source.GitChanges(checkouts.git(settings))),
                redactor.redact,
                snapshotter.unchanged,
                council_rules(settings),
                snapshotter.is_undone,
                snapshotter.changed_since,
                functools.partial(safe_look.states, seconds=safe_look.PATIENT_S),
            ),
            agents=source.catalog,
            disputes=disputed_changes.DisputedChanges(store, safe_look.states) if has_reviews(settings) else None,
        )
        async with (
            _telemetry(os.environ if purpose.drives else {}) as tell,
            _open_engine(
                settings, store, workers, make_order=maker, pace=pace, services=services, drives=purpose.drives
            ) as engine,
        ):
            engine.at_end = functools.partial(_tell_end, past, functools.partial(tell, store))
            yield dispatcher.Dispatcher(
                store=store,
                engine=engine,
                rules=rules(settings),
                catalog=source.catalog,
                assign=host.assignment,
                installed=source.installed,
                principal=principal,
                default_worker=default_worker,
                available_workers=workers_present.workers_here(settings, os.environ, chat=chat),
                redact=functools.partial(outcome_redaction.outcome, redactor),
                clean_plan=functools.partial(plan_without_secrets, redactor),
                chooser=None if chat and purpose.drives else worker_setup.agent_chooser(settings, os.environ, redactor),
                memory=past,
                means=council_means(settings, redactor),
                checkouts=branch_apply.BranchApply(checkouts.git(settings)),
                inner_folders=functools.partial(inner_repositories.inner_folders, checkouts.git(settings)),
            )


def has_reviews(settings: configuration.Settings) -> bool:
    """Returns whether work is reviewed here, so that what a review has blocked stays so."""
    return settings.reviews != "none" and settings.review_policy != "off"


def council_rules(settings: configuration.Settings) -> council_decision.CouncilRules:
    """Returns what the settings decide about the decision of a council."""
    return council_decision.CouncilRules(
        inconclusive_blocks=settings.council_inconclusive_blocks,
        quorum=settings.council_quorum,
        devils_advocate=settings.council_devils_advocate,
        rounds=settings.council_rounds,
    )


def council_means(settings: configuration.Settings, redactor: redaction.Redactor) -> review_subjects.ReviewMeans:
    """Returns what reviews need: git for changes, the redactor, and the rules of the settings."""
    found = diff_source.GitChanges(checkouts.git(settings))
    applier = branch_apply.BranchApply(checkouts.git(settings))

    async def candidate(loaded: run_view.RunView) -> review_scope.Change | None:
        try:
            offer = await applier.look(loaded.run.workspace, loaded.run.id)
        except errors.DispatchError:
            return None
        change = await found.of_range(loaded.run.workspace, f"{offer.head}...{offer.revision}")
        return change._replace(about=f"what run {short_ids.short(loaded.run.id)} would merge")

    return review_subjects.ReviewMeans(
        changes=found,
        candidate=candidate,
        clean=redactor.redact,
        rules=council_rules(settings),
        reviewers=settings.council_reviewers,
    )
