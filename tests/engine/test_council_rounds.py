"""A round of the council ends with what it decides: recorded by whoever sees that everybody has answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import council_setup
import pytest
from council_setup import PASS, Chamber, fails

from dispatch_mcp import model
from dispatch_mcp.engine import council_rounds, run_view
from dispatch_mcp.model import AttemptState, RunState, records, transitions
from dispatch_mcp.service import review_answers, reviews, traces
from dispatch_mcp.store import owner_locks, sqlite_store

pytestmark = pytest.mark.anyio

LINE = "x = eval(text)"
DIFF = f"diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n import os\n-x = 1\n+{LINE}\n"
ENDS = pytest.mark.parametrize(
    ("answer", "state"),
    [
        (PASS, RunState.SUCCEEDED),
        (fails(LINE), RunState.NEEDS_CHANGES),
        ("I like it.", RunState.INCONCLUSIVE),
    ],
    ids=["pass", "block", "garbage"],
)


async def answered(room: Chamber, answer: str, *, leave: int = 0) -> review_answers.ReviewAnswer:
    """Returns a round of the host that everybody has answered so, but for the last `leave`."""
    started = await room.council.review(reviews.ReviewRequest(diff=DIFF, worker="host"))
    for _ in range(9):
        out = (await room.app.dispatch(run_id=started.run_id)).assignments
        if len(out) <= leave:
            return started
        results = [{"task_id": one.task_id, "attempt": one.attempt, "text": answer} for one in out[leave:]]
        await room.app.report(started.run_id, results)
    raise AssertionError("the round does not come to an end")


async def interrupted(room: Chamber, answer: str, spoil: Callable[[model.Plan], object] = id) -> str:
    """Returns a round whose last answer was accepted by a process that died before it settled the round.

    Before anybody answers, `spoil` may do something to what the round is about.
    """
    started = await room.council.review(reviews.ReviewRequest(diff=DIFF, worker="host"))
    store = room.app.store
    spoil((await store.whole_run(started.run_id, principal=records.ANYBODY)).plan)
    for _ in range(9):
        await store.advance(started.run_id, records.Step(now=room.app.clock(), start=transitions.HOST_WORKERS))
        ends: list[transitions.Finished] = []
        for row in await store.tasks(started.run_id):
            if row.state is model.TaskState.RUNNING:
                claim = model.Outcome(state=AttemptState.SUCCEEDED, summary=answer[:50], output=answer)
                ends.append(transitions.Finished(row.id, row.attempt, claim))
        if not ends:
            return started.run_id
        await store.advance(started.run_id, records.Step(now=room.app.clock(), finished=ends))
    raise AssertionError("the round does not come to an end")


async def decisions(room: Chamber, run_id: str) -> list[Any]:
    events = await council_rounds.events(room.app.store, run_id)
    return [event.data["outcome"] for event in events if event.kind == council_rounds.DECIDED]


@ENDS
async def test_a_round_of_the_host_ends_with_what_it_decides(tmp_path: Path, answer: str, state: RunState) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        started = await answered(room, answer)
        run = await room.app.store.run(started.run_id, principal=room.app.principal)
        assert run.state is state
        assert run.finished_at is not None
        assert len(await decisions(room, started.run_id)) == 1


@ENDS
async def test_a_round_of_the_server_ends_with_what_it_decides(tmp_path: Path, answer: str, state: RunState) -> None:
    everybody = {agent.name: answer for agent in council_setup.shipped().agents}
    async with council_setup.opened(tmp_path / "state", everybody) as room:
        with anyio.fail_after(120):
            review = await room.reviewed(DIFF)
        assert review.state == state.value
        assert len(await decisions(room, review.run_id)) == 1


@pytest.mark.parametrize("answer", [PASS, fails(LINE)])
async def test_a_round_that_is_over_but_not_settled_has_not_passed(tmp_path: Path, answer: str) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        run_id = await interrupted(room, answer)
        run = await room.app.store.run(run_id, principal=room.app.principal)
        assert (run.state, run.finished_at) == (RunState.RUNNING, None)
        assert run_id in [line.run_id for line in (await room.app.trace()).runs]


async def _look(room: Chamber, run_id: str) -> None:
    await room.council.look(run_id)


async def _trace(room: Chamber, run_id: str) -> None:
    await room.app.trace(run_id=run_id)


async def _wait(room: Chamber, run_id: str) -> None:
    with anyio.fail_after(traces.MAX_WAIT_S - 5):
        await room.app.trace(run_id=run_id, wait_s=45)


async def _dispatch(room: Chamber, run_id: str) -> None:
    await room.app.dispatch(run_id=run_id)


async def _review(room: Chamber, run_id: str) -> None:
    await room.council.review(reviews.ReviewRequest(diff=DIFF, worker="host"))


@ENDS
@pytest.mark.parametrize("read", [_look, _trace, _wait, _dispatch, _review])
async def test_whoever_looks_at_it_next_settles_it(tmp_path: Path, answer: str, state: RunState, read: Any) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        run_id = await interrupted(room, answer)
    async with council_setup.opened(tmp_path / "state") as room:
        await read(room, run_id)
        run = await room.app.store.run(run_id, principal=room.app.principal)
        assert run.state is state


@ENDS
async def test_a_server_takes_over_a_round_that_its_owner_left_unsettled(
    tmp_path: Path, answer: str, state: RunState
) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        started = await room.council.review(reviews.ReviewRequest(diff=DIFF, worker="host"))
        names = [row.id for row in await room.app.store.tasks(started.run_id)]
        plan = (await run_view.load(room.app.store, started.run_id, records.ANYBODY)).plan
        new = records.NewRun(id="served", plan_id=plan.id, plan_version=1, worker=model.WorkerKind.API)
        lock = owner_locks.OwnerLock(tmp_path / "state")
        store = room.app.store
        await store.create_run(new)
        owner = records.Owner(lock.id, await store.adopt("served", lock.id) or 0)
        for name in names:
            await store.advance("served", records.Step(now=1.0, owner=owner, start=transitions.SERVER_WORKERS))
            row = next(row for row in await store.tasks("served") if row.id == name)
            claim = model.Outcome(state=AttemptState.SUCCEEDED, summary="x", output=answer)
            end = transitions.Finished(name, row.attempt, claim)
            await store.advance("served", records.Step(now=1.0, owner=owner, finished=[end]))
        lock.close()
        with anyio.fail_after(120):
            async for _ in room.app.engine.events("served"):
                pass
        assert (await room.app.store.run("served", principal=records.ANYBODY)).state is state


async def test_settling_twice_records_one_decision_and_an_outdated_verdict_counts_for_nothing(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        run_id = await interrupted(room, fails(LINE))
        store = room.app.store
        view = await run_view.load(store, run_id, records.ANYBODY)
        await council_rounds.settle(store, view)
        await council_rounds.settle(store, view)
        assert await decisions(room, run_id) == ["BLOCK"]
        stale = records.RoundVerdict(RunState.SUCCEEDED, view.run.revision)
        await store.advance(
            run_id, records.Step(now=9.0, verdict=stale, notes=[transitions.NewEvent(council_rounds.DECIDED)])
        )
        assert (await store.run(run_id, principal=records.ANYBODY)).state is RunState.NEEDS_CHANGES
        assert await decisions(room, run_id) == ["BLOCK"]


async def test_what_a_person_lets_go_changes_how_the_round_ends(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        started = await answered(room, fails(LINE))
        [finding] = await room.council.waivable(started.run_id)
        waived = await room.council.waive(started.run_id, finding.id, "known", "Ada")
        assert (waived.outcome, waived.state) == ("PASS", "succeeded")
        assert await decisions(room, started.run_id) == ["BLOCK", "PASS"]
        async with sqlite_store.open_store(tmp_path / "state") as other:  # it knows the run by its rows alone
            await other.advance(started.run_id, records.Step(now=9.0, notes=[transitions.NewEvent("noted")]))
            assert (await other.run(started.run_id, principal=records.ANYBODY)).state is RunState.SUCCEEDED


async def test_a_reviewer_that_is_asked_again_opens_the_round_and_its_verdict(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        started = await answered(room, "I like it.")
        lost = next(row.id for row in await room.app.store.tasks(started.run_id) if row.state.value == "failed")
        steered = await room.app.steer(started.run_id, "retry", lost, "")
        assert steered.state is RunState.RUNNING
        assert await room.council.decision(started.run_id) is None


@pytest.mark.parametrize("damage", [None, b"", b"{}", b"other bytes"])
async def test_a_round_whose_change_is_lost_or_damaged_is_inconclusive(tmp_path: Path, damage: bytes | None) -> None:
    def spoil(plan: model.Plan) -> None:
        digest = council_setup.part_of(plan.tasks[0]).manifest
        manifest = tmp_path / "state" / "blobs" / digest[:2] / digest
        manifest.unlink()
        if damage is not None:
            manifest.write_bytes(damage)

    async with council_setup.opened(tmp_path / "state") as room:
        run_id = await interrupted(room, PASS, spoil)
        trace = await room.app.trace(run_id=run_id)
        assert trace.state == RunState.INCONCLUSIVE.value
        [event] = [
            event
            for event in await council_rounds.events(room.app.store, run_id)
            if event.kind == council_rounds.DECIDED
        ]
        assert (event.data["outcome"], event.data["blocks"]) == ("INCONCLUSIVE", True)
        assert str(event.data["why"]).startswith("What was reviewed can no longer be read: ")


async def test_the_event_of_a_decision_says_who_said_what_and_whether_it_blocks(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path) as room:
        started = await answered(room, fails(LINE))
        (event,) = [
            event
            for event in await council_rounds.events(room.app.store, started.run_id)
            if event.kind == "council_decided"
        ]
    assert (event.data["outcome"], event.data["blocks"], event.data["refuted"]) == ("BLOCK", True, [])
    assert (event.data["round"], event.data["waived"], event.data["gone"], len(event.data["open"])) == (1, [], [], 1)
    assert str(event.data["why"])
    assert str(event.data["rules"])
    assert set(event.data["verdicts"].values()) == {"FAIL"}


async def test_a_reviewer_of_the_host_is_told_where_its_brief_is_however_short_that_is(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path) as room:
        started = await room.council.review(reviews.ReviewRequest(diff=DIFF, worker="host"))
        out = (await room.app.dispatch(run_id=started.run_id)).assignments
        assert out
        for assignment in out:
            assert LINE not in assignment.call.prompt
            assert LINE in await room.app.brief(started.run_id, assignment.task_id)


async def test_who_gives_no_verdict_is_said_to_have_given_none(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path) as room:
        started = await answered(room, "I like it.")
        events = await council_rounds.events(room.app.store, started.run_id)
    [event] = [event for event in events if event.kind == council_rounds.DECIDED]
    assert set(event.data["verdicts"].values()) == {"INCONCLUSIVE"}


async def test_what_a_person_lets_go_counts_however_much_has_happened_before(tmp_path: Path) -> None:
    async with council_setup.opened(tmp_path / "state") as room:
        started = await answered(room, fails(LINE))
        noise = [transitions.NewEvent("noise")] * (2 * council_rounds.MANY_EVENTS)
        await room.app.store.note(started.run_id, noise)
        [finding] = await room.council.waivable(started.run_id)
        assert (await room.council.waive(started.run_id, finding.id, "known", "Ada")).outcome == "PASS"
        assert await decisions(room, started.run_id) == ["BLOCK", "PASS"]
