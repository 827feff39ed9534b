"""The files by which a verdict on a plan's work is recognised: it holds for the very change that was judged."""

from __future__ import annotations

from collections.abc import Mapping

import anyio.to_thread

from dispatch_mcp import model
from dispatch_mcp.engine import plan_review_attempt, review_attempt
from dispatch_mcp.model import AttemptState
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import unified_diff


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
        paths |= {file.path for file in unified_diff.parse(await review_attempt.read_text(store, digest)).files}
    states = await anyio.to_thread.run_sync(evidence.states_of, workspace, sorted(paths))
    footprints = {path: model.Footprint(state, state) for path, state in states.items()}
    return outcome.model_copy(update={"footprints": footprints})
