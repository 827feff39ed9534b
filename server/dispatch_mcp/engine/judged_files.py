"""The files by which a verdict on a plan's work is recognised: it holds for the very change that was judged."""

from __future__ import annotations

from collections.abc import Mapping

import anyio.to_thread

from dispatch_mcp import model
from dispatch_mcp.engine import claim_evidence, plan_review_attempt, review_attempt, run_view, whole_files
from dispatch_mcp.model import AttemptState, WorkerKind, problems, records
from dispatch_mcp.runs import task_isolation
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import file_states, path_globs, unified_diff


async def with_footprints(
    store: sqlite_store.Store,
    evidence: plan_review_attempt.ReviewEvidence | None,
    judgement: tuple[str, str, model.Task],
    beat: Mapping[str, model.Json],
    outcome: model.Outcome,
) -> model.Outcome:
    """Returns the outcome of a review that passed with the files of the work that it judged, as they are now.

    `judgement` is the run, its workspace and the review; `beat` says what the reviewer was shown.
    """
    run_id, workspace, review = judgement
    if evidence is None or outcome.state is not AttemptState.SUCCEEDED or not workspace:
        return outcome
    paths = {
        path
        for earlier in (await store.outcomes(run_id, [*review.reviews, *review.joins])).values()
        for path in earlier.footprints
    }
    digest = plan_review_attempt.exhibit_of(beat).diff
    if digest:
        names = [file.path for file in unified_diff.parse(await review_attempt.read_text(store, digest)).files]
        paths |= await anyio.to_thread.run_sync(whole_files.in_workspace, workspace, names)
    states = await anyio.to_thread.run_sync(evidence.states_of, workspace, sorted(paths))
    footprints = {path: model.Footprint(state, state) for path, state in states.items()}
    return outcome.model_copy(update={"footprints": footprints})


async def with_reviews_again(
    store: sqlite_store.Store,
    evidence: plan_review_attempt.ReviewEvidence | None,
    claim: claim_evidence.Claim,
    outcome: model.Outcome,
) -> model.Outcome:
    """Returns finished work with the reviews that passed files which were changed while it was under way.

    Who changed them nobody can tell, so it is held against nobody: the reviews are asked again. What tasks declare that
    such a review does not judge is theirs to change, and no matter of that review.
    """
    work = claim.work
    if evidence is None or outcome.state is not AttemptState.SUCCEEDED or work.worker is WorkerKind.SCRIPTED:
        return outcome
    view = claim.view or await run_view.load(store, work.run_id, records.ANYBODY)
    changes = {
        review.id: paths for review in _passes(view) if (paths := await _changed_since(store, evidence, view, review))
    }
    if not changes:
        return outcome
    paths = sorted({path for names in changes.values() for path in names})
    names = ", ".join(f"`{review}`" for review in changes)
    detail = (
        f"{problems.in_backticks(paths)} changed while this was under way, after {names} had passed it: asked again"
    )
    receipt = model.Receipt(kind="touched", ok=False, detail=detail)
    return outcome.model_copy(update={"asks_again": (*changes,), "receipts": (*outcome.receipts, receipt)})


def _passes(view: run_view.RunView) -> list[model.Task]:
    """Returns the reviews that decide and have passed work which lies in the workspace."""
    seats = {seat for task in view.plan.tasks for seat in task.joins}
    return [
        task
        for task in view.plan.tasks
        if task.reviews
        and task.id not in seats
        and view.states.get(task.id) in model.TASK_DONE
        and any(not task_isolation.is_own(view.spec(name), view.task(name).worker) for name in task.reviews)
    ]


async def _changed_since(
    store: sqlite_store.Store,
    evidence: plan_review_attempt.ReviewEvidence,
    view: run_view.RunView,
    review: model.Task,
) -> list[str]:
    """Returns the files that a review has judged and that are not as they were when it passed them."""
    outcomes = await store.outcomes(view.run.id, [review.id])
    footprints = outcomes[review.id].footprints if review.id in outcomes else {}
    root = view.run.workspace
    rest = [task for task in view.plan.tasks if task.id not in review.reviews and view.task(task.id).attempt]
    entries = [path_globs.normalise(path, root) for task in rest for path in task.files]
    open_paths = [path for path in footprints if not any(path_globs.touch(entry, path) for entry in entries)]
    if not open_paths:
        return []
    states = await anyio.to_thread.run_sync(evidence.states_of, root, sorted(open_paths))
    return sorted(path for path, state in states.items() if file_states.differ(footprints[path].after, state))
