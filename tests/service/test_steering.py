"""What people and models may do to a run that is on its way, and what only a person may decide."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import Desk, said, started, task

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, RunState
from dispatch_mcp.service import approvals

pytestmark = pytest.mark.anyio

ASK: dict[str, Any] = {"id": "gate", "do": "Is this fit to ship?", "worker": "human"}
YES = approvals.PersonVerdict(approved=True, by="ann at a shell")
NO = approvals.PersonVerdict(approved=False, by="ann at a shell", reason="not yet")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as opened:
        yield opened


async def test_a_paused_run_hands_out_nothing_until_it_goes_on(desk: Desk) -> None:
    progress = await started(desk, task("a"), task("b", "a"))
    paused = await desk.app.steer(progress.run_id, "pause", "", "")
    reported = await desk.app.report(progress.run_id, [said(progress.assignments[0])])
    assert (paused.state, reported.assignments) == (RunState.PAUSED, ())
    assert reported.results[0].accepted
    await desk.app.steer(progress.run_id, "resume", "", "")
    assert [one.task_id for one in (await desk.app.dispatch(run_id=progress.run_id)).assignments] == ["b"]


async def test_steering_names_the_tasks_that_it_changed(desk: Desk) -> None:
    progress = await started(desk, task("a"), task("b", "a"), task("c"))
    steered = await desk.app.steer(progress.run_id, "skip", "a", "not needed")
    assert steered.changed == ("a", "b")
    assert steered.counts == {"ready": 1, "running": 1, "skipped": 1}


async def test_cancelling_ends_everything_that_was_not_over(desk: Desk) -> None:
    progress = await started(desk, task("a"), task("b", "a"))
    steered = await desk.app.steer(progress.run_id, "cancel", "", "enough")
    assert (steered.state, steered.changed) == (RunState.CANCELLED, ("a", "b"))


async def test_a_retry_opens_a_run_that_had_failed(desk: Desk) -> None:
    progress = await started(desk, task("a", max_attempts=1))
    await desk.app.report(progress.run_id, [{"task_id": "a", "attempt": 1, "status": "failed", "error": "no"}])
    steered = await desk.app.steer(progress.run_id, "retry", "a", "")
    assert (steered.state, steered.changed) == (RunState.RUNNING, ("a",))
    [again] = (await desk.app.dispatch(run_id=progress.run_id)).assignments
    assert again.attempt == 2


async def test_somebody_elses_run_cannot_be_steered(desk: Desk) -> None:
    for handle in ("nothing", "0" * 32):
        with pytest.raises(errors.UnknownHandle):
            await desk.app.steer(handle, "cancel", "", "")


async def test_a_run_waits_for_a_person_and_says_what_for(desk: Desk) -> None:
    progress = await started(desk, ASK, task("ship", "gate"))
    [decision] = await desk.app.decisions(progress.run_id)
    assert (decision.task_id, decision.question) == ("gate", "Is this fit to ship?")
    assert (await desk.app.trace(run_id=progress.run_id)).state == "waiting_input"


async def test_an_approval_lets_the_run_go_on(desk: Desk) -> None:
    progress = await started(desk, ASK, task("ship", "gate"))
    steered = await desk.app.decide(progress.run_id, "gate", YES)
    assert "gate" in steered.changed
    assert await desk.app.decisions(progress.run_id) == []
    [ship] = (await desk.app.dispatch(run_id=progress.run_id)).assignments
    assert "approved by ann at a shell" in ship.call.prompt


async def test_a_rejection_is_final_and_skips_what_depends_on_it(desk: Desk) -> None:
    progress = await started(desk, ASK, task("ship", "gate"))
    await desk.app.decide(progress.run_id, "", NO)
    assert await desk.states(progress.run_id) == {"gate": "failed", "ship": "skipped"}
    [line] = (await desk.app.trace(run_id=progress.run_id, task_id="gate")).results
    assert line.capsule == "rejected by ann at a shell: not yet"


async def test_no_report_of_a_model_answers_for_a_person(desk: Desk) -> None:
    progress = await started(desk, ASK)
    reported = await desk.app.report(progress.run_id, [{"task_id": "gate", "attempt": 1, "text": "approved"}])
    assert not reported.results[0].accepted
    assert "human worker" in reported.results[0].why
    assert len(await desk.app.decisions(progress.run_id)) == 1


async def test_which_of_several_decisions_is_meant_has_to_be_said(desk: Desk) -> None:
    progress = await started(desk, ASK, {**ASK, "id": "second", "do": "And this?"})
    with pytest.raises(errors.InputError, match="2 decisions wait") as refused:
        await desk.app.decide(progress.run_id, "", YES)
    assert refused.value.hint == "Waiting: gate, second."
    await desk.app.decide(progress.run_id, "second", YES)
    assert [decision.task_id for decision in await desk.app.decisions(progress.run_id)] == ["gate"]


async def test_a_decision_that_is_not_open_cannot_be_made(desk: Desk) -> None:
    progress = await started(desk, ASK, task("other"))
    with pytest.raises(errors.InputError, match="'other' does not wait for a decision"):
        await desk.app.decide(progress.run_id, "other", YES)
    await desk.app.decide(progress.run_id, "gate", YES)
    with pytest.raises(errors.InputError, match="does not wait") as refused:
        await desk.app.decide(progress.run_id, "gate", NO)
    assert refused.value.hint == "Waiting: none."


async def test_an_answer_to_an_earlier_question_is_fenced_off(desk: Desk) -> None:
    progress = await started(desk, ASK)
    [decision] = await desk.app.decisions(progress.run_id)
    stale = decision._replace(attempt=decision.attempt + 1)
    with pytest.raises(errors.InputError, match="no longer waits"):
        await approvals.record(desk.app.store, stale, YES, desk.clock())
    assert len(await desk.app.decisions(progress.run_id)) == 1


def test_a_decision_carries_who_made_it_as_its_receipt() -> None:
    for verdict, state in ((YES, AttemptState.SUCCEEDED), (NO, AttemptState.FAILED)):
        outcome = approvals.outcome(verdict)
        assert outcome.state is state
        [receipt] = outcome.receipts
        assert (receipt.kind, receipt.ok) == ("approval", verdict.approved)
        assert "ann at a shell" in receipt.detail
        assert not outcome.retryable
    assert approvals.outcome(NO).handoff == model.Handoff()
