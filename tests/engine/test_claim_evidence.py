from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import dispatcher_setup
import pytest

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import attempt_driver, attempt_services, executor
from dispatch_mcp.git import git_process
from dispatch_mcp.model import WorkerKind, ports, work_order
from dispatch_mcp.process import allowlist, child_environment
from dispatch_mcp.service import dispatcher, plan_proposals
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import command, host, receipt_verifier, scripted, workspace_snapshot

pytestmark = pytest.mark.anyio

ALLOWED = (["sh", "*"], ["true"])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Returns a git repository with one commit."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "a.py").write_text("one")
    (folder / "fix.sh").write_text("echo two > a.py\n")
    (folder / "lie.sh").write_text("exit 0\n")
    (folder / "check.sh").write_text("test -f made.txt && exit 0; echo made.txt is missing; exit 3\n")
    for arguments in (
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", "begin"),
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


@asynccontextmanager
async def opened(shop: Path, clock: dispatcher_setup.Clock | None = None) -> AsyncGenerator[dispatcher_setup.Desk]:
    home, clock = shop.parent / "state", clock or dispatcher_setup.Clock()
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": str(shop.parent)})
    commands = command.CommandWorker(allowlist.parse(ALLOWED), home, policy, grace_s=0.2)
    workers = {WorkerKind.COMMAND: commands, WorkerKind.SCRIPTED: scripted.ScriptedWorker()}
    seen = receipt_verifier.ReceiptVerifier(commands, workspace_snapshot.Snapshotter(git_process.Git(home, policy)))
    async with (
        sqlite_store.open_store(home, clock=clock) as store,
        executor.open_engine(
            store, workers, clock=clock, pace=dispatcher_setup.PACE, services=attempt_services.AttemptServices(seen)
        ) as engine,
    ):
        app = dispatcher.Dispatcher(
            store=store,
            engine=engine,
            rules=plan_proposals.PlanningRules(workspace=str(shop)),
            catalog=lambda: catalog.EMPTY,
            assign=host.assignment,
            clock=clock,
        )
        yield dispatcher_setup.Desk(app, clock, dispatcher_setup.Counting())


def task(**fields: Any) -> dict[str, Any]:
    return {"id": "t", "do": "Change a.py", **fields}


async def test_host_work_whose_criteria_hold_is_verified(shop: Path) -> None:
    async with opened(shop) as at:
        plan = await at.planned(task(files=["a.py"], acceptance=["file:a.py", "diff", "command: true", "reads well"]))
        given = await at.app.dispatch(plan_id=plan)
        (shop / "a.py").write_text("two")
        reported = await at.app.report(given.run_id, [dispatcher_setup.said(given.assignments[0])])
        shown = await at.app.trace(run_id=given.run_id, task_id="t")
    assert reported.results[0].state == "succeeded"
    assert [(one.kind, one.ok) for one in shown.results[0].receipts] == [
        ("claim", True),
        ("file", True),
        ("diff", True),
        ("exit_code", True),
        ("words", False),
        ("diff", True),
    ]


async def test_a_claim_against_evidence_is_no_result_and_the_next_attempt_is_told_why(shop: Path) -> None:
    async with opened(shop) as at:
        plan = await at.planned(task(acceptance=["command: sh check.sh"]), {"id": "next", "do": "go on", "deps": ["t"]})
        given = await at.app.dispatch(plan_id=plan)
        first = await at.app.report(given.run_id, [dispatcher_setup.said(given.assignments[0])])
        assert first.results[0].accepted
        assert "made.txt is missing" in first.results[0].why
        assert (await at.states(given.run_id))["next"] == "blocked"
        [again] = first.assignments
        assert (again.attempt, "made.txt is missing" in again.call.prompt) == (2, True)
        (shop / "made.txt").write_text("x")
        second = await at.app.report(given.run_id, [dispatcher_setup.said(again)])
    assert second.results[0].state == "succeeded"
    assert [one.task_id for one in second.assignments] == ["next"]


async def test_a_sentence_where_a_file_is_asked_for_does_not_hide_a_refutation(shop: Path) -> None:
    async with opened(shop) as at:
        plan = await at.planned(task(acceptance=["file:missing.py"]))
        given = await at.app.dispatch(plan_id=plan)
        report = dispatcher_setup.said(given.assignments[0])
        report["handoff"]["files_modified"] = ["I rewrote the parser " * 15]
        answer = await at.app.report(given.run_id, [report])
    assert answer.results[0].state != "succeeded"
    assert "there is no such file" in answer.results[0].why


async def test_what_was_not_checked_is_unverified_and_its_dependants_are_told(shop: Path) -> None:
    async with opened(shop) as at:
        plan = await at.planned(
            task(acceptance=["file:a.py", "command: make test"]), {"id": "next", "do": "go on", "deps": ["t"]}
        )
        given = await at.app.dispatch(plan_id=plan)
        reported = await at.app.report(given.run_id, [dispatcher_setup.said(given.assignments[0])])
        shown = await at.app.trace(run_id=given.run_id, view="results")
    assert reported.results[0].state == "unverified"
    assert "is not on the user's allow-list" in reported.results[0].receipts[0].detail, "what is open comes first"
    assert "claimed, not proven" in reported.assignments[0].call.prompt
    assert "UNVERIFIED" in shown.results[0].capsule
    assert "make test" in shown.results[0].capsule


async def test_a_write_task_that_changed_nothing_has_failed_and_is_handed_out_again_with_the_reason(shop: Path) -> None:
    async with opened(shop) as at:
        plan = await at.planned(task(files=["a.py"], acceptance=["file:a.py"]))
        given = await at.app.dispatch(plan_id=plan)
        reported = await at.app.report(given.run_id, [dispatcher_setup.said(given.assignments[0])])
        (shop / "a.py").write_text("two")
        second = await at.app.report(given.run_id, [dispatcher_setup.said(reported.assignments[0])])
    reason = "no declared file was changed; untouched: `a.py`"
    assert reason in reported.results[0].why
    assert reason in reported.assignments[0].call.prompt
    assert second.results[0].state == "succeeded"


@pytest.mark.parametrize(
    ("script", "acceptance", "ends"),
    [
        ("fix.sh", ["diff"], "succeeded"),
        ("lie.sh", ["diff"], "failed"),
        ("lie.sh", [], "failed"),
        ("fix.sh", [], "succeeded"),
    ],
)
async def test_the_servers_own_commands_are_judged_as_well(
    shop: Path, script: str, acceptance: list[str], ends: str
) -> None:
    async with opened(shop) as at:
        plan = await at.planned(
            task(command=["sh", script], files=["a.py"], acceptance=acceptance, max_attempts=1), max_parallel=1
        )
        given = await at.app.dispatch(plan_id=plan)
        await at.ended(given.run_id)
        assert (await at.states(given.run_id))["t"] == ends


async def test_the_look_at_the_workspace_outlives_the_process_that_took_it(shop: Path) -> None:
    async with opened(shop) as at:
        plan = await at.planned(task(files=["a.py"], acceptance=["diff"]))
        given = await at.app.dispatch(plan_id=plan)
    (shop / "a.py").write_text("two")
    async with opened(shop) as at:
        again = await at.app.dispatch(run_id=given.run_id)
        assert again.assignments[0].attempt == given.assignments[0].attempt
        reported = await at.app.report(given.run_id, [dispatcher_setup.said(given.assignments[0])])
    assert reported.results[0].state == "succeeded"


async def test_files_of_a_task_that_runs_beside_are_not_held_against_it(shop: Path) -> None:
    async with opened(shop) as at:
        plan = await at.planned(task(files=["a.py"]), {"id": "u", "do": "Change b.py", "files": ["b.py"]})
        given = await at.app.dispatch(plan_id=plan)
        for name in ("a.py", "b.py", "c.py"):
            (shop / name).write_text("two")
        by_id = {one.task_id: one for one in given.assignments}
        reported = await at.app.report(given.run_id, [dispatcher_setup.said(by_id["t"])])
    diff, strange = reported.results[0].receipts
    assert diff.detail == "changed `a.py`"
    assert strange.detail.endswith(": `c.py`")


async def test_a_dry_run_checks_nothing_and_says_so(shop: Path) -> None:
    async with opened(shop) as at:
        plan = await at.planned(task(files=["a.py"], acceptance=["command: sh fix.sh", "file:nowhere"]))
        given = await at.app.dispatch(plan_id=plan, dry_run=True)
        await at.ended(given.run_id)
        shown = await at.app.trace(run_id=given.run_id, view="results")
    assert {one.kind for one in shown.results[0].receipts} == {"simulated"}
    assert (shop / "a.py").read_text() == "one"


async def test_the_same_claim_reported_many_times_at_once_counts_once(shop: Path) -> None:
    async with opened(shop) as at:
        plan = await at.planned(task(files=["a.py"], acceptance=["command: true", "diff"]))
        given = await at.app.dispatch(plan_id=plan)
        (shop / "a.py").write_text("two")
        taken: list[bool] = []

        async def report() -> None:
            answer = await at.app.report(given.run_id, [dispatcher_setup.said(given.assignments[0])])
            taken.append(answer.results[0].accepted)

        with anyio.fail_after(120):
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(report)
    assert sorted(taken) == [False, False, False, True]


async def test_a_witness_that_crashes_proves_nothing_and_refutes_nothing(shop: Path) -> None:
    class Broken:
        async def before(self, work: work_order.WorkOrder) -> dict[str, model.Json]:
            raise OSError(work.task.id)

        async def receipts(
            self, work: work_order.WorkOrder, before: Mapping[str, model.Json], around: ports.Surroundings
        ) -> ports.Evidence:
            raise OSError(work.task.id, before, around)

    async with opened(shop) as at:
        at.app.engine.means.driver = attempt_driver.AttemptDriver(
            at.app.store, attempt_services.AttemptServices(Broken())
        )
        plan = await at.planned(task(files=["a.py"], acceptance=["file:a.py"]))
        given = await at.app.dispatch(plan_id=plan)
        reported = await at.app.report(given.run_id, [dispatcher_setup.said(given.assignments[0])])
    assert reported.results[0].state == "unverified"
