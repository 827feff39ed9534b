"""The one driver of an attempt: prepared, carried out and judged in the same way for servers and for the host."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dispatch_mcp import model
from dispatch_mcp.engine import (
    artifacts,
    attempt_driver,
    attempt_services,
    claim_evidence,
    plan_review_attempt,
    run_view,
    task_runner,
)
from dispatch_mcp.git import diff_source, git_process
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, ports, records, transitions, work_order
from dispatch_mcp.process import child_environment
from dispatch_mcp.review import review_tasks
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio

RUN = "a" * 32


@dataclass
class Verifier:
    """Looks at a workspace that tests describe, and keeps what it was asked."""

    state: str = "clean"
    ok: bool = True
    looks: list[str] = field(default_factory=list[str])
    around: list[ports.Surroundings] = field(default_factory=list[ports.Surroundings])
    befores: list[Mapping[str, model.Json]] = field(default_factory=list[Mapping[str, model.Json]])

    async def before(self, work: work_order.WorkOrder) -> Mapping[str, model.Json]:
        self.looks.append(work.task.id)
        return {"before": self.state}

    async def receipts(
        self, work: work_order.WorkOrder, before: Mapping[str, model.Json], around: ports.Surroundings
    ) -> ports.Evidence:
        self.befores.append(before)
        self.around.append(around)
        return ports.Evidence((model.Receipt(kind="diff", ok=self.ok, detail="looked"),))


@dataclass
class Worker:
    """Claims what a test wants it to claim."""

    outcome: model.Outcome
    orders: list[work_order.WorkOrder] = field(default_factory=list[work_order.WorkOrder])

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        ctx.beat()
        self.orders.append(work)
        return self.outcome


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    async with sqlite_store.open_store(tmp_path / "state", clock=lambda: 1_000.0) as opened:
        yield opened


async def begun(store: sqlite_store.Store, *tasks: model.Task) -> run_view.RunView:
    await store.save_plan(model.Plan(id="plan", tasks=tasks), records.LOCAL)
    new = records.NewRun(id=RUN, plan_id="plan", plan_version=1, worker=WorkerKind.HOST)
    await store.create_run(new)
    await store.advance(RUN, records.Step(now=1_000.0, start=transitions.HOST_WORKERS))
    return await run_view.load(store, RUN, records.LOCAL)


def order(task: model.Task, worker: WorkerKind = WorkerKind.SCRIPTED, **fields: Any) -> work_order.WorkOrder:
    return work_order.WorkOrder(run_id=RUN, task=task, attempt=1, worker=worker, **fields)


def context(store: sqlite_store.Store, beats: list[dict[str, model.Json]]) -> task_runner.LocalContext:
    async def no_mail() -> tuple[model.Message, ...]:
        return ()

    async def written(_task: str, _attempt: int) -> None:
        pass

    return task_runner.LocalContext(
        RUN, "part", 1, {}, store.blobs, lambda _task, _attempt, beat: beats.append(dict(beat)), no_mail, written, {}
    )


PART = model.Task(id="part", do="Do it", files=("a.py",))
SUCCESS = model.Outcome(state=AttemptState.SUCCEEDED, summary="done", unverified=True)


async def test_an_attempt_begins_with_how_its_place_is(store: sqlite_store.Store) -> None:
    verifier = Verifier()
    driver = attempt_driver.AttemptDriver(store, attempt_services.AttemptServices(verifier=verifier))
    prepared = await driver.prepare(order(PART))
    assert dict(prepared.beat) == {"before": "clean"}
    assert verifier.looks == ["part"]


async def test_an_attempt_that_has_begun_is_briefed_again_but_not_looked_at(store: sqlite_store.Store) -> None:
    verifier = Verifier()
    driver = attempt_driver.AttemptDriver(store, attempt_services.AttemptServices(verifier=verifier))
    prepared = await driver.prepare(order(PART), begun=True)
    assert (dict(prepared.beat), verifier.looks) == ({}, [])


async def test_a_task_that_declares_nothing_is_not_looked_at(store: sqlite_store.Store) -> None:
    verifier = Verifier()
    driver = attempt_driver.AttemptDriver(store, attempt_services.AttemptServices(verifier=verifier))
    claim = claim_evidence.Claim(order(model.Task(id="part", do="Think")), SUCCESS)
    assert dict((await driver.prepare(claim.work)).beat) == {}
    assert await driver.judge(claim) == SUCCESS
    assert (verifier.looks, verifier.befores) == ([], [])


@pytest.mark.parametrize("ok", [True, False])
async def test_the_host_and_a_worker_of_the_server_are_judged_alike(store: sqlite_store.Store, *, ok: bool) -> None:
    verifier = Verifier(ok=ok)
    driver = attempt_driver.AttemptDriver(store, attempt_services.AttemptServices(verifier=verifier))
    view = await begun(store, PART, model.Task(id="other", do="Do more", files=("b.py",)))
    worker = Worker(SUCCESS)
    beats: list[dict[str, model.Json]] = []
    by_server = await driver.run(context(store, beats), order(PART), {WorkerKind.SCRIPTED: worker})
    prepared = await driver.prepare(order(PART, WorkerKind.HOST))
    by_host = await driver.judge(claim_evidence.Claim(prepared.work, SUCCESS, prepared.beat, view))
    assert by_server == by_host
    assert beats == [dict(prepared.beat)]
    assert verifier.befores == [{"before": "clean"}] * 2
    paths = [(around.active, around.declarations) for around in verifier.around]
    assert [[list(names.names(but="part")) for names in pair] for pair in paths] == [[["b.py"], ["b.py"]]] * 2


async def test_a_claim_is_judged_the_same_however_often(store: sqlite_store.Store) -> None:
    driver = attempt_driver.AttemptDriver(store, attempt_services.AttemptServices(verifier=Verifier()))
    view = await begun(store, PART)
    claim = claim_evidence.Claim(order(PART), SUCCESS, {"before": "clean"}, view)
    before = await store.events(RUN)
    assert await driver.judge(claim) == await driver.judge(claim)
    assert await store.events(RUN) == before


async def test_what_a_claim_names_is_kept_once_it_is_judged(store: sqlite_store.Store, tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("All is well.\n", "utf-8")
    services = attempt_services.AttemptServices(archive=artifacts.Archive(store.blobs))
    handoff = model.Handoff(artifacts=(model.Artifact(name="report", path="report.md"),))
    claim = claim_evidence.Claim(order(PART, workspace=str(tmp_path)), SUCCESS.model_copy(update={"handoff": handoff}))
    judged = await attempt_driver.AttemptDriver(store, services).judge(claim)
    [artifact] = judged.handoff.artifacts
    assert store.blobs.get(artifact.digest) == b"All is well.\n"


async def test_a_review_whose_change_is_gone_fails_before_anybody_is_asked(store: sqlite_store.Store) -> None:
    place = review_tasks.ReviewAssignment(manifest="0" * 64, diff="0" * 64, reviewer="critic")
    inputs = {review_tasks.INPUT: place.model_dump(mode="json", exclude_defaults=True)}
    worker = Worker(SUCCESS)
    driver = attempt_driver.AttemptDriver(store)
    task = model.Task(id="part", do="Review", inputs=inputs)
    outcome = await driver.run(context(store, []), order(task), {WorkerKind.SCRIPTED: worker})
    assert (outcome.state, outcome.error_kind, worker.orders) == (AttemptState.FAILED, "no_material", [])


async def test_nobody_who_can_do_it_is_a_failure_that_says_so(store: sqlite_store.Store) -> None:
    outcome = await attempt_driver.AttemptDriver(store).run(context(store, []), order(PART), {})
    assert (outcome.state, outcome.error_kind) == (AttemptState.FAILED, "no_worker")


async def test_the_workspace_provider_decides_where_the_work_happens(store: sqlite_store.Store) -> None:
    steps: list[str] = []

    class Elsewhere:
        async def within(
            self,
            ctx: ports.TaskContext,
            work: work_order.WorkOrder,
            carry_out: ports.CarryOut,
            judge: ports.Judge,
        ) -> model.Outcome:
            steps.append("placed")
            placed = work_order.WorkOrder(RUN, work.task, 1, work.worker, directory="/elsewhere")
            outcome = await judge(placed, await carry_out(ctx, placed))
            steps.append("merged")
            return outcome

        async def leave(self, work: work_order.WorkOrder) -> None:
            steps.append(f"left {work.task.id}")

    worker = Worker(SUCCESS)
    driver = attempt_driver.AttemptDriver(store, attempt_services.AttemptServices(workspaces=Elsewhere()))
    work = order(PART)
    assert await driver.run(context(store, []), work, {WorkerKind.SCRIPTED: worker}) == SUCCESS
    await driver.leave(work)
    assert steps == ["placed", "merged", "left part"]
    assert worker.orders[0].cwd == "/elsewhere"


async def test_leaving_without_a_workspace_provider_changes_nothing(store: sqlite_store.Store) -> None:
    await attempt_driver.AttemptDriver(store).leave(order(PART))


async def test_work_that_is_out_with_the_host_is_never_closed_as_needless(store: sqlite_store.Store) -> None:
    view = await begun(store, PART, model.Task(id="other", do="Do more"))
    assert await attempt_driver.AttemptDriver(store).close_needless(view, 1_001.0) == {}
    assert set((await run_view.load(store, RUN, records.LOCAL)).states.values()) == {TaskState.RUNNING}


async def test_a_command_that_begins_again_goes_by_how_files_were_before_its_first_attempt(
    store: sqlite_store.Store,
) -> None:
    changes = diff_source.GitChanges(git_process.Git(store.home, child_environment.ChildPolicy({})))
    evidence = plan_review_attempt.ReviewEvidence(changes, states_of=lambda _place, _paths: {"a.py": "as it is now"})
    driver = attempt_driver.AttemptDriver(store, attempt_services.AttemptServices(evidence=evidence))
    first = {ports.REWORKED: {"a.py": "as it was"}}
    prepared = await driver.prepare(order(PART, WorkerKind.COMMAND, last_beat=first))
    assert dict(prepared.beat) == first
    in_copy = await driver.prepare(order(PART, WorkerKind.COMMAND, last_beat=first, base="c0ffee"))
    assert dict(in_copy.beat) == {}, "its copy has what was merged, and nothing of it is anybody's yet"


async def test_what_was_asked_for_between_two_turns_is_told_apart_from_the_brief(store: sqlite_store.Store) -> None:
    await begun(store, PART)
    await store.send(model.Message(run_id=RUN, sender="x", recipient="part", kind="warning", text="careful"))
    driver = attempt_driver.AttemptDriver(store, attempt_services.AttemptServices())
    assert [note.text for note in await driver.mail(order(PART))] == ["careful"]
    assert [(note.reader, note.means) for note in (await store.mail(RUN)).deliveries] == [("part", "turn")]
    assert list(await driver.mail(order(PART))) == []
