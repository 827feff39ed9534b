"""The files by which a verdict is recognised: of the work that was judged and of the change that was shown."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping
from pathlib import Path

import pytest

from dispatch_mcp import model
from dispatch_mcp.engine import judged_files, plan_review_attempt, review_attempt
from dispatch_mcp.git import diff_source, git_process
from dispatch_mcp.model import AttemptState, WorkerKind, records, transitions
from dispatch_mcp.process import child_environment
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio

DIFF = "diff --git a/app/b.py b/app/b.py\n--- a/app/b.py\n+++ b/app/b.py\n@@ -1 +1 @@\n-old = 1\n+new = 2\n"
WORK = model.Task(id="work", do="Do it", files=("app/",))
REVIEW = model.Task(id="review", do="Review it", deps=("work",), reviews=("work",))
LEFT = [f"app/part{number}.py" for number in range(8)]
PASSED = model.Outcome(state=AttemptState.SUCCEEDED, summary="PASS")
BLOCKED = model.Outcome(state=AttemptState.FAILED, summary="FAIL", error_kind=transitions.NEEDS_CHANGES)


def states(_workspace: str, paths: Collection[str], /) -> Mapping[str, str]:
    return {path: f"{path} as it is" for path in paths}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    """Returns a store in which the work has left its files."""
    async with sqlite_store.open_store(tmp_path / "state") as opened:
        await opened.save_plan(model.Plan(id="p", tasks=(WORK, REVIEW)), records.LOCAL)
        await opened.create_run(records.NewRun(id="r", plan_id="p", plan_version=1, worker=WorkerKind.HOST))
        await opened.advance("r", records.Step(now=1.0, start=transitions.HOST_WORKERS))
        footprints = {name: model.Footprint("before", "after") for name in reversed(LEFT)}
        done = PASSED.model_copy(update={"footprints": footprints})
        await opened.advance("r", records.Step(now=2.0, finished=[transitions.Finished("work", 1, done)]))
        yield opened


async def judged(
    store: sqlite_store.Store, outcome: model.Outcome, workspace: str = "/shop", diff: str = ""
) -> list[str]:
    """Returns which files a verdict is recognised by, in order, each of which has to be as it is now."""
    changes = diff_source.GitChanges(git_process.Git(store.home, child_environment.ChildPolicy({})))
    evidence = plan_review_attempt.ReviewEvidence(changes, states_of=states)
    digest = await review_attempt.store_text(store, diff) if diff else ""
    beat: dict[str, model.Json] = {review_attempt.BEAT: {"attempt": 1, "diff": digest}}
    verdict = await judged_files.with_footprints(store, evidence, ("r", workspace, REVIEW), beat, outcome)
    assert verdict.model_copy(update={"footprints": {}}) == outcome
    for path, footprint in verdict.footprints.items():
        assert footprint == model.Footprint(f"{path} as it is", f"{path} as it is")
    return list(verdict.footprints)


async def test_a_pass_holds_for_what_the_work_left_and_what_its_reviewer_was_shown(store: sqlite_store.Store) -> None:
    assert await judged(store, PASSED) == LEFT
    assert await judged(store, PASSED, diff=DIFF) == ["app/b.py", *LEFT]


async def test_what_is_no_pass_holds_for_nothing(store: sqlite_store.Store) -> None:
    assert await judged(store, BLOCKED, diff=DIFF) == []
    assert await judged(store, PASSED, workspace="", diff=DIFF) == []


async def test_where_nobody_looks_at_files_a_pass_is_recognised_by_none(store: sqlite_store.Store) -> None:
    verdict = await judged_files.with_footprints(store, None, ("r", "/shop", REVIEW), {}, PASSED)
    assert verdict == PASSED
