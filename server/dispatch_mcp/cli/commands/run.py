"""`dispatch-mcp run FILE`: a plan from start to end, here and now, and its results (docs/rules.md#result-document)."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

import anyio

from dispatch_mcp import composition, configuration, errors, model, next_steps, workers_present
from dispatch_mcp.cli import catalog_arguments, console, input_files, logs, person_acts, shell_wording
from dispatch_mcp.cli.live import live_run
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import RunState, TaskState, WorkerKind, records, short_ids, transitions
from dispatch_mcp.planning import plan_documents, proof_proposals
from dispatch_mcp.service import dispatcher, plan_answers, steering
from dispatch_mcp.store import whereabouts

PLAN = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*-?")
"""How the beginning of a plan's id looks; names of files have a point or a slash, or are files."""
WAYS = {WorkerKind.API: "Set ANTHROPIC_API_KEY", WorkerKind.CLAUDE: "Install Claude Code"}
"""What makes a worker able to work that a task or an option names."""
MOST_NAMES = 5
"""Tasks that a refusal names."""
ENDS = {RunState.SUCCEEDED: console.OK, RunState.INCONCLUSIVE: console.INCONCLUSIVE}
"""Exit codes of runs that did not fail."""


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Runs the document and returns 0 if nothing failed and nothing was refuted, 1 for anything less.

    With `--strict`, what was only claimed is less too.
    """
    worker = _worker(options)
    names_plan = PLAN.fullmatch(options.file) and not Path(options.file).exists()
    document = None if names_plan else input_files.read(options.file)
    try:
        return anyio.run(_main, options, setup, document, worker)
    except KeyboardInterrupt:
        console.note("Finished work is kept: the same command goes on with it.", style="yellow")
        raise


async def _main(
    options: argparse.Namespace,
    setup: configuration.LoadedSettings,
    document: plan_documents.PlanDocument | None,
    worker: WorkerKind | None,
) -> int:
    redactor = logs.to_stderr(setup)
    settings, roster = catalog_arguments.with_roster(setup.settings, options.roster)
    purpose = composition.Purpose(begins=document is not None)
    async with composition.open_dispatcher(
        settings, default_worker=worker, chat=False, redactor=redactor, purpose=purpose
    ) as app:
        if document is None:
            plan_id = options.file
            await app.plans.route_in(plan_id, roster)
        else:
            plan_id = await _planned(app, document, options, roster)
        if document is not None and document.trace_dir and not options.trace_dir and not options.quiet:
            console.note(f"config.trace_dir {document.trace_dir!r} is only a hint; choose a folder with --trace-dir.")
        if not options.dry_run:
            await _refuse_without_workers(app, plan_id, worker, setup.settings)
        return await _run(app, options, plan_id, setup.settings.home)


def _worker(options: argparse.Namespace) -> WorkerKind | None:
    """Returns who does tasks that name nobody, None for whoever can: from a shell that is never the host."""
    if options.worker in ("auto", "host"):
        return None
    try:
        return WorkerKind(options.worker)
    except ValueError:
        names = ", ".join(kind.value for kind in WorkerKind if kind in transitions.SERVER_WORKERS)
        raise errors.InputError(
            f"There is no worker {options.worker!r}.", hint=f"Use auto or one of: {names}."
        ) from None


async def _planned(
    app: dispatcher.Dispatcher, document: plan_documents.PlanDocument, options: argparse.Namespace, roster: str
) -> str:
    """Returns the plan of a document, the same that planning it alone gives; says what was added and may not start."""
    proposal = await app.plans.plan_file(document, title=options.title, roster=roster)
    for notice in proposal.prepared.notices:
        if notice.code == proof_proposals.NOT_ALLOWED and not (options.dry_run or options.quiet):
            console.note(notice.message, style="yellow")
    if proposal.additions and not options.quiet:
        rows = ", ".join(f"{task_id} ({why})" for task_id, why in plan_answers.reasons(proposal).items())
        console.note(f"added: {rows}. {shell_wording.words(plan_answers.refusal_step(proposal))}")
    return proposal.plan.id


async def _refuse_without_workers(
    app: dispatcher.Dispatcher, plan_id: str, worker: WorkerKind | None, settings: configuration.Settings
) -> None:
    """Refuses a plan of which a task can be done by nobody here, before anything is stored of a run.

    Raises:
        WorkerError: which tasks, why, and what can be done.
    """
    plan = await app.store.plan(await app.handles.plan_id(plan_id), None, principal=app.principal)
    obstacle = without_workers(plan, worker, settings)
    if obstacle:
        raise errors.WorkerError(f"{obstacle[0]}. Nothing was started.", hint=obstacle[1])


def without_workers(
    plan: model.Plan, worker: WorkerKind | None, settings: configuration.Settings
) -> tuple[str, str] | None:
    """Returns which tasks of a plan can be done by nobody here and why, and what can be done; None where all can."""
    here = workers_present.workers_here(settings, os.environ, chat=False)
    kinds = {
        task.id: transitions.worker_of(task, worker or here.pick().kind)
        for task in plan.tasks
        if task.id not in plan.additions and task.worker not in (WorkerKind.HUMAN, WorkerKind.HOST)
    }
    stuck = [task_id for task_id, kind in kinds.items() if kind not in here.kinds]
    if not stuck:
        return None
    reason = here.missing(kinds[stuck[0]])
    ids = ", ".join(map(repr, stuck[:MOST_NAMES])) + (
        f" and {len(stuck) - MOST_NAMES} more" if stuck[MOST_NAMES:] else ""
    )
    name = short_ids.short(plan.id)
    is_named = worker is not None or any(task.id == stuck[0] and task.worker for task in plan.tasks)
    way = WAYS.get(kinds[stuck[0]], "Use --worker auto") if is_named else "Set ANTHROPIC_API_KEY or install Claude Code"
    return (
        f"Nobody here can do {ids}: {reason}",
        f"{way}; see the flow with `dispatch-mcp run {name} --dry-run`; or ask your assistant to dispatch plan {name}.",
    )


async def _run(app: dispatcher.Dispatcher, options: argparse.Namespace, plan_id: str, home: Path) -> int:
    progress = await app.dispatch(plan_id=plan_id, dry_run=options.dry_run, fresh=not options.reuse)
    run_id = progress.run_id
    if not options.quiet:
        word = "resuming" if progress.reused else "started"
        console.note(
            f"{word} run {short_ids.short(run_id)}" + (" (simulated)" if progress.simulated else ""), style="bold"
        )
        if progress.why_worker and not progress.simulated and options.worker == "auto":
            console.note(progress.why_worker)
    await _follow(app, run_id, quiet=options.quiet)
    view = await run_view.load(app.store, run_id, app.principal)
    if _is_stuck(app, view):
        raise errors.StoreUnavailable(
            f"{whereabouts.shortage(home)} Run {short_ids.short(run_id)} was stopped; what has ended is recorded.",
            hint="Free some space there; then the same command goes on with it.",
        )
    folder = Path(options.trace_dir) if options.trace_dir else home / "runs" / run_id / "traces"
    document = await _document(app, view, folder)
    console.emit(document)
    for loss in document.get("losses", []):
        console.note(loss, style="yellow")
    if not options.quiet:
        _advise(view)
    return exit_code(view, strict=options.strict)


def exit_code(view: run_view.RunView, *, strict: bool) -> int:
    """Returns the exit code of a run (docs/reference/states.md)."""
    is_unproven = view.simulations > 0 or any(task.state is TaskState.UNVERIFIED for task in view.tasks)
    return console.FAILED if strict and is_unproven else ENDS.get(view.run.state, console.FAILED)


def _advise(view: run_view.RunView) -> None:
    """Says on stderr how much is proven, and what to do about a run that did not end well or waits to be applied."""
    step = view.next_step()
    if (
        view.run.state is not RunState.SUCCEEDED
        or step.unproven
        or step.simulations
        or step.proof_losses
        or step.losses
        or step.has_changes
    ):
        console.note(shell_wording.words(step), style="yellow")


async def _follow(app: dispatcher.Dispatcher, run_id: str, *, quiet: bool) -> None:
    """Returns when the run is over or only the host could go on; shows progress meanwhile."""
    if not quiet and console.err.is_terminal:
        by_person = person_acts.is_by_person(app.store.home)

        over_here = _over_at_keys if sys.stdin.isatty() else _over_here

        def over(view: run_view.RunView) -> bool:
            return over_here(view) or _is_stuck(app, view)

        async def steer(action: steering.Kind) -> None:
            await app.steer(run_id, action, "", "", by_person=by_person)

        await live_run.LiveRun(app.store, run_id, app.principal, steer, over, can_leave=False).follow()
        return
    while True:
        pulse = app.engine.pulse
        view = await run_view.load(app.store, run_id, app.principal)
        if _over_here(view) or _is_stuck(app, view):
            return
        await pulse.wait()


def _is_stuck(app: dispatcher.Dispatcher, view: run_view.RunView) -> bool:
    """Whether the run goes on, and nothing more of it begins here, as the store's disk is full."""
    running = [
        task for task in view.tasks if task.state is TaskState.RUNNING and task.worker in transitions.SERVER_WORKERS
    ]
    return app.engine.is_short and view.run.state not in model.RUN_FINAL and not running


def _over_at_keys(view: run_view.RunView) -> bool:
    """Whether there is nothing to wait for where a key resumes a run that is paused."""
    return view.run.state is not RunState.PAUSED and _over_here(view)


def _over_here(view: run_view.RunView) -> bool:
    """Whether the run is over, or only the host or a person can move it."""
    if view.run.state in model.RUN_FINAL:
        return True
    running = [task for task in view.tasks if task.state is TaskState.RUNNING]
    if view.run.state is RunState.PAUSED:
        return not any(task.worker in transitions.SERVER_WORKERS for task in running)
    ready = [task for task in view.tasks if task.state is TaskState.READY]
    if any(task.worker is WorkerKind.HUMAN for task in ready):
        return False  # the engine asks in a moment, and only then does the run wait for an answer
    return bool(running or ready) and not any(task.worker in transitions.SERVER_WORKERS for task in (*running, *ready))


async def _document(app: dispatcher.Dispatcher, view: run_view.RunView, folder: Path) -> dict[str, model.Json]:
    """Returns the results (docs/rules.md#result-document), and writes the trace files that they name.

    They are those of the tasks that the document has; what planning added decides how the run ends.
    """
    run_id = view.run.id
    tasks = [task for task in view.tasks if task.id not in view.plan.additions]
    outcomes = await app.store.outcomes(run_id, [task.id for task in tasks if task.result])
    attempts = await app.store.attempts(run_id)
    last = {attempt.task_id: attempt for attempt in attempts}
    traces = {task.id: _trace(view, task, outcomes.get(task.id), attempts) for task in tasks}
    files = input_files.write_traces(folder, traces)
    end = view.run.finished_at or view.run.updated_at
    answer = plan_documents.result_document(
        tasks,
        outcomes,
        last,
        total_s=max(0.0, end - view.run.created_at),
        trace_files=files,
        is_partial=view.run.state is not RunState.SUCCEEDED,
    )
    step, losses = view.next_step(), run_view.losses(attempts)
    proof, proof_losses = next_steps.proof(step), list(step.proof_losses)
    simulation = view.run.dry_run or any(map(_is_simulated, outcomes.values()))
    return {
        **({"proof": proof} if proof else {}),
        **({"proof_taken_out": proof_losses} if proof_losses else {}),
        **answer,
        **({} if view.run.state is RunState.SUCCEEDED else {"state": view.run.state.value}),
        "correlation_id": short_ids.short(run_id),
        **({"simulated": True} if simulation else {}),
        **({"losses": list(losses)} if losses else {}),
    }


def _is_simulated(outcome: model.Outcome) -> bool:
    return any(receipt.kind == "simulated" for receipt in outcome.receipts)


def _trace(
    view: run_view.RunView,
    task: records.TaskRecord,
    outcome: model.Outcome | None,
    attempts: list[records.AttemptRecord],
) -> dict[str, model.Json]:
    return {
        "correlation_id": short_ids.short(view.run.id),
        "task": task._asdict(),
        "attempts": [
            {**attempt._asdict(), "usage": attempt.usage.model_dump(mode="json")}
            for attempt in attempts
            if attempt.task_id == task.id
        ],
        "outcome": outcome.model_dump(mode="json", exclude={"footprints"}) if outcome else None,
    }
