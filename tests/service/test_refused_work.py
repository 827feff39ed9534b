"""What a person has refused, or still has to decide: another plan does not do it without asking again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import Desk, task

from dispatch_mcp import configuration, errors
from dispatch_mcp.planning import gated_work
from dispatch_mcp.service import approvals, plan_answers, plan_proposals
from dispatch_mcp.service.housekeeping import old_work

pytestmark = pytest.mark.anyio

GATE = task("deploy-gate", worker="human")
DEPLOY = task("dep", "deploy-gate", do="Change the deployment", files=["deploy.sh"], agent="x")
SENT = task("sent", "deploy-gate", command=["./send.sh"])
TOLD = task("told", "deploy-gate", do="Tell all customers of it")
PLAN = (GATE, DEPLOY, SENT, TOLD)
AGAIN = task("again", do="Deploy it at last", files=["deploy.sh"])
YES = approvals.PersonVerdict(approved=True, by="a test")
NO = approvals.PersonVerdict(approved=False, by="a test", reason="never")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with dispatcher_setup.opened(tmp_path / "home") as opened:
        yield opened


async def asked(desk: Desk, *verdicts: approvals.PersonVerdict) -> str:
    """Returns a run whose gate waits for a person, or is decided."""
    progress = await dispatcher_setup.started(desk, *({**one, "agent": ""} for one in PLAN))
    for verdict in verdicts:
        await desk.app.decide(progress.run_id, "deploy-gate", verdict)
    return progress.run_id


async def planned(desk: Desk, *tasks: dict[str, Any]) -> plan_proposals.PlanProposal:
    return await desk.app.plans.plan(list(tasks))


def waiting(proposal: plan_proposals.PlanProposal) -> set[str]:
    """Returns which tasks wait for a decision that planning has added."""
    names = {name for name, why in proposal.additions.items() if why.startswith(gated_work.AGAIN)}
    return {task.id for task in proposal.plan.tasks if names.intersection(task.deps)}


def notices(proposal: plan_proposals.PlanProposal) -> list[str]:
    return [note.message for note in proposal.prepared.notices if note.code == gated_work.GATED]


@pytest.mark.parametrize(("verdicts", "state"), [((NO,), "was refused"), ((), "still waits")], ids=["no", "open"])
async def test_another_plan_for_work_that_a_person_has_not_let_go_on_asks_a_person_again(
    desk: Desk, verdicts: tuple[approvals.PersonVerdict, ...], state: str
) -> None:
    run_id = await asked(desk, *verdicts)
    commands = task("mail", command=["./send.sh"])
    words = task("letter", do="tell all  customers of it")
    proposal = await planned(
        desk, AGAIN, commands, words, task("free", files=["notes.md"]), task("all", files=["*.sh"])
    )
    assert waiting(proposal) == {"again", "mail", "letter", "all"}
    [message] = notices(proposal)
    assert f"'deploy-gate' of run {run_id[:9]}" in message
    assert state in message
    answer = plan_answers.plan_answer(proposal, str, diagram=False)
    assert state in answer["added"][gated_work.APPROVAL]
    refusable: tuple[list[dict[str, Any]], ...] = (
        [{"op": "remove", "id": gated_work.APPROVAL}],
        [{"op": "modify", "id": "again", "task": {"deps": []}}],
        [{"op": "skip", "id": gated_work.APPROVAL}],
    )
    for edits in refusable:
        with pytest.raises(errors.PlanRejected, match="1 problem"):
            await desk.app.plans.edit(proposal.plan.id, 1, edits)
    progress = await desk.app.dispatch(plan_id=proposal.plan.id)
    assert [one.task_id for one in progress.assignments] == ["free"]
    assert desk.commands.ran == []


@pytest.mark.parametrize(
    "work",
    [
        {"command": ["send.sh"]},
        {"command": ["./send.sh", "--quietly"]},
        {"command": ["env", "bash", "-c", "cd . && ./send.sh"]},
        {"files": ["notes.md"], "acceptance": ["command: ./send.sh"]},
        {"do": "Look whether it is sent, and change nothing", "acceptance": ["command: bash ./send.sh"]},
    ],
)
@pytest.mark.parametrize("verdicts", [(NO,), ()], ids=["no", "open"])
async def test_a_refused_command_asks_again_in_another_spelling_and_as_the_proof_of_other_work(
    desk: Desk, verdicts: tuple[approvals.PersonVerdict, ...], work: dict[str, Any]
) -> None:
    await asked(desk, *verdicts)
    assert waiting(await planned(desk, task("again", **{"do": "Another word", **work}))) == {"again"}


@pytest.mark.parametrize(
    "work",
    [
        {"command": ["./other.sh"], "files": ["notes.md"]},
        {"files": ["notes.md"], "acceptance": ["command: git status", "command: ./check.sh", "It was sent: ./send.sh"]},
    ],
)
async def test_other_commands_and_proofs_are_not_asked_about(desk: Desk, work: dict[str, Any]) -> None:
    await asked(desk, NO)
    assert waiting(await planned(desk, task("other", **work))) == set()


@pytest.mark.parametrize("verdicts", [(NO,), ()], ids=["no", "open"])
async def test_what_shares_the_common_steps_of_a_refused_line_is_not_asked_about_and_what_it_is_for_is(
    desk: Desk, verdicts: tuple[approvals.PersonVerdict, ...]
) -> None:
    line = "set -e; cd app; npm ci; make test && if true; then python3 deploy.py; fi"
    plan = (GATE, task("sent", "deploy-gate", command=["bash", "-c", line]))
    progress = await dispatcher_setup.started(desk, *plan)
    for verdict in verdicts:
        await desk.app.decide(progress.run_id, "deploy-gate", verdict)
    proposal = await planned(
        desk,
        *(
            task(name, command=["bash", "-c", words])
            for name, words in {
                "tests": "set -e; cd app; make test",
                "packages": "cd app && npm ci",
                "page": "set -e; cd app; npm run page",
                "deploys": "cd app && python3.12 deploy.py",
                "all": "npm ci; { ./app/deploy.py; }",
            }.items()
        ),
        task("proven", files=["notes.md"], acceptance=["command: make test", "command: npm ci"]),
    )
    assert waiting(proposal) == {"deploys", "all"}


@pytest.mark.parametrize("by_person", [False, True])
async def test_a_question_that_an_assistant_calls_off_is_asked_again_and_one_that_a_person_does_is_not(
    desk: Desk, *, by_person: bool
) -> None:
    run_id = await asked(desk)
    await desk.reaches(run_id, "deploy-gate", "running")
    await desk.app.steer(run_id, "cancel", "", "no need", by_person=by_person)
    proposal = await planned(desk, AGAIN)
    assert waiting(proposal) == (set() if by_person else {"again"})
    assert ["was called off before a person had answered" in message for message in notices(proposal)] == (
        [] if by_person else [True]
    )


async def test_a_person_lifts_it_by_approving_the_new_decision(desk: Desk) -> None:
    await asked(desk, NO)
    progress = await dispatcher_setup.started(desk, AGAIN)
    await desk.app.decide(progress.run_id, gated_work.APPROVAL, YES)
    assert [one.task_id for one in (await desk.app.dispatch(run_id=progress.run_id)).assignments] == ["again"]
    assert not waiting(await planned(desk, AGAIN))
    assert waiting(await planned(desk, task("mail", command=["./send.sh"]))) == {"mail"}


async def test_nobody_is_asked_where_nothing_was_refused_and_nothing_waits(desk: Desk) -> None:
    assert not waiting(await planned(desk, AGAIN))
    await asked(desk, YES)
    proposal = await planned(desk, AGAIN, task("mail", command=["./send.sh"]))
    assert [one.id for one in proposal.plan.tasks if one.worker == "human"] == []
    assert not notices(proposal)


async def test_work_that_only_looks_runs_tests_or_has_a_decision_of_its_own_is_not_asked_about_again(
    desk: Desk,
) -> None:
    looks = task("looks", command=["git", "status"])
    await dispatcher_setup.started(desk, *({**one, "agent": ""} for one in PLAN), {**looks, "deps": ["deploy-gate"]})
    proposal = await planned(
        desk, task("mine", worker="human"), task("own", "mine"), {**AGAIN, "deps": ["own"]}, task("read"), looks
    )
    assert not waiting(proposal)
    assert not notices(proposal)


async def test_an_edit_and_a_plan_that_was_made_before_get_the_decision_too(desk: Desk) -> None:
    before = await desk.planned(AGAIN)
    edited = await desk.planned(task("free", files=["notes.md"]))
    await asked(desk, NO)
    progress = await desk.app.dispatch(plan_id=before)
    assert not progress.assignments
    assert set(await desk.states(progress.run_id)) == {"again", gated_work.APPROVAL}
    assert (await desk.app.dispatch(plan_id=before)).run_id == progress.run_id
    proposal = await desk.app.plans.edit(edited, 1, [{"op": "add", "id": "dep", "task": {**AGAIN, "id": "dep"}}])
    assert waiting(proposal) == {"dep"}
    dropped = await desk.app.plans.edit(edited, 2, [{"op": "modify", "id": "dep", "task": {"files": ["more.md"]}}])
    assert [one.id for one in dropped.plan.tasks if one.worker == "human"] == [gated_work.APPROVAL]


async def test_the_refused_plan_itself_does_not_do_its_work_under_another_name(desk: Desk) -> None:
    run_id = await asked(desk, NO)
    record = await desk.app.store.run(run_id, principal="local")
    edits: list[dict[str, Any]] = [
        {"op": "modify", "id": "dep", "task": {"files": ["decoy.md"]}},
        {"op": "add", "id": "n", "task": {**AGAIN, "id": "n"}},
    ]
    proposal = await desk.app.plans.edit(record.plan_id, 1, edits)
    assert waiting(proposal) == {"n"}


async def test_a_simulation_that_is_refused_asks_nobody_later(desk: Desk) -> None:
    plan_id = await desk.planned(*({**one, "agent": ""} for one in PLAN))
    await desk.app.dispatch(plan_id=plan_id, dry_run=True)
    assert not waiting(await planned(desk, AGAIN))


@pytest.mark.parametrize("end", ["refused", "called off"])
async def test_a_run_of_which_a_person_has_refused_work_is_not_pruned_before_somebody_approves_that(
    desk: Desk, tmp_path: Path, end: str
) -> None:
    run_id = await asked(desk, *[NO] * (end == "refused"))
    if end == "called off":
        await desk.reaches(run_id, "deploy-gate", "running")
        await desk.app.steer(run_id, "cancel", "", "no need")
    await desk.ended(run_id)
    settings = configuration.load({}, flags={"home": tmp_path / "home"}, cwd=tmp_path).settings
    for _ in range(2):
        other = await dispatcher_setup.started(desk, task("look", command=["git", "status"]), fresh=True)
        await desk.ended(other.run_id)
        pruned = await old_work.prune(settings, -60.0)
        assert run_id not in [run.run for run in pruned.runs]
        assert "nobody has approved that since" in {run.run: run.why for run in pruned.stays}[run_id]
    again: list[dict[str, Any]] = [
        {**one, "id": f"{one['id']}-2", "deps": [], "agent": ""} for one in (DEPLOY, SENT, TOLD)
    ]
    proposal = await planned(desk, *again)
    assert waiting(proposal) == {"dep-2", "sent-2", "told-2"}
    progress = await desk.app.dispatch(plan_id=proposal.plan.id)
    await desk.app.decide(progress.run_id, gated_work.APPROVAL, YES)
    assert run_id in [run.run for run in (await old_work.prune(settings, -60.0)).runs]
