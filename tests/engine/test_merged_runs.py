"""Runs whose tasks change a real repository in worktrees of their own, from the plan to the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from dispatch_mcp import model
from dispatch_mcp.engine import attempt_services, executor
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.git import branch_apply, git_process, workspace_provider
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, ports, records, run_refs, transitions
from dispatch_mcp.process import allowlist, child_environment
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import command, receipt_verifier, workspace_snapshot

pytestmark = pytest.mark.anyio

PYTHON = ("python", "-S", "-c")
ADD = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"
ADD_TOGETHER = """
import os, sys, time
file, line, folder, mine, other = sys.argv[1:]
open(file, 'a').write(line + '\\n')
open(os.path.join(folder, mine), 'w').close()
end = time.monotonic() + 120
while not os.path.exists(os.path.join(folder, other)) and time.monotonic() < end:
    time.sleep(0.01)
"""
"""Changes a file, then waits until the other one has changed its copy too."""


def git(at: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    at = tmp_path / "repo"
    at.mkdir()
    git(at, "init", "-q", "-b", "main")
    (at / "list.txt").write_text("first\n")
    git(at, "add", "-A")
    git(at, "commit", "-q", "-m", "First")
    return at


class Pretending:
    """An agent that changes files by what its task says: `inputs` maps names to texts; keeps the orders."""

    def __init__(self) -> None:
        self.orders: list[Any] = []

    async def carry_out(self, ctx: ports.TaskContext, work: Any) -> model.Outcome:
        self.orders.append(work)
        for name, text in work.task.inputs.items():
            await anyio.Path(Path(work.cwd) / name).write_text(text)
        return model.Outcome(
            state=AttemptState.SUCCEEDED, summary="wrote", usage=model.Usage(input_tokens=10, cost_usd=0.5)
        )


@asynccontextmanager
async def engine(
    home: Path, workers: Mapping[WorkerKind, ports.Worker] | None = None
) -> AsyncGenerator[executor.EmbeddedEngine]:
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]})
    commands = command.CommandWorker(allowlist.parse([[*PYTHON, "**"]]), home, policy)
    seen = receipt_verifier.ReceiptVerifier(commands, workspace_snapshot.Snapshotter(git_process.Git(home, policy)))
    workspaces = workspace_provider.WorktreeProvider(git_process.Git(home, policy), home)
    async with (
        sqlite_store.open_store(home) as store,
        executor.open_engine(
            store,
            {WorkerKind.COMMAND: commands, **(workers or {})},
            pace=run_engine.Pace(look_s=0.01),
            services=attempt_services.AttemptServices(seen, workspaces),
        ) as found,
    ):
        yield found


async def run(
    found: executor.EmbeddedEngine, repo: Path, *tasks: model.Task, run_id: str = "run", **more: Any
) -> records.RunRecord:
    plan = model.Plan(id=f"plan-{run_id}", tasks=tasks, workspace=str(repo))
    await found.store.save_plan(plan, records.LOCAL)
    fields: dict[str, Any] = {"worker": WorkerKind.COMMAND, "fresh": True} | more
    await found.store.create_run(
        records.NewRun(id=run_id, plan_id=plan.id, plan_version=1, workspace=str(repo), **fields)
    )
    await found.start(run_id)
    with anyio.fail_after(120):
        async for _ in found.events(run_id):
            pass
    return await found.status(run_id)


def adds(task_id: str, line: str, *deps: str, **more: Any) -> model.Task:
    """Returns a task that adds a line to the list, in a worktree of its own."""
    fields: dict[str, Any] = {
        "isolation": "worktree",
        "files": ("list.txt",),
        "command": (*PYTHON, ADD, "list.txt", line),
    } | more
    return model.Task(id=task_id, do=f"add {line}", deps=deps, **fields)


def merged(repo: Path, path: str = "list.txt", run_id: str = "run") -> str:
    return git(repo, "show", f"{run_refs.Refs(run_id).merged}:{path}")


async def test_later_tasks_build_on_what_earlier_ones_merged_and_nothing_touches_the_checkout(
    tmp_path: Path, repo: Path
) -> None:
    head = git(repo, "rev-parse", "HEAD")
    read = model.Task(id="read", do="read", deps=("b",), command=(*PYTHON, "print(open('list.txt').read())"))
    async with engine(tmp_path / "state") as found:
        record = await run(found, repo, adds("a", "second"), adds("b", "third", "a"), read)
        outcomes = await found.store.outcomes("run", ["a", "b", "read"])
    assert record.state is RunState.SUCCEEDED
    assert merged(repo) == "first\nsecond\nthird"
    assert outcomes["read"].output["stdout"].split() == ["first", "second", "third"]
    assert (git(repo, "rev-parse", "HEAD"), git(repo, "status", "--porcelain")) == (head, "")
    assert git(repo, "worktree", "list").count("\n") == 0
    kinds = {receipt.kind: receipt for receipt in outcomes["b"].receipts}
    assert (kinds["diff"].ok, kinds["diff"].detail) == (True, "changed `list.txt`")
    assert kinds["merge"].ok
    assert "touched" not in kinds


async def test_two_writers_that_clash_end_with_both_changes_after_the_second_begins_anew(
    tmp_path: Path, repo: Path
) -> None:
    def together(mine: str, other: str) -> model.Task:
        argv = (*PYTHON, ADD_TOGETHER, "list.txt", mine, str(tmp_path), mine, other)
        return adds(mine, mine, command=argv)

    async with engine(tmp_path / "state") as found:
        record = await run(found, repo, together("left", "right"), together("right", "left"))
        attempts = await found.store.attempts("run")
        policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"]})
        checkout = branch_apply.BranchApply(git_process.Git(tmp_path / "state", policy))
        offer = await checkout.look(str(repo), "run")
        await checkout.apply(str(repo), "run", offer.revision)
    assert record.state is RunState.SUCCEEDED
    lines = (repo / "list.txt").read_text().split()
    assert sorted(lines) == ["first", "left", "right"]
    clashed = [past for past in attempts if past.error_kind == "merge_conflict"]
    assert len(attempts) == 3
    assert [past.state for past in clashed] == [AttemptState.FAILED]
    assert "`list.txt`" in clashed[0].error
    assert f"task `{lines[1]}`" in clashed[0].error
    assert git(repo, "fsck", "--no-dangling") == ""
    assert git(repo, "status", "--porcelain") == ""


async def test_conflicts_end_with_the_attempts_that_a_task_has_and_the_change_is_kept(
    tmp_path: Path, repo: Path
) -> None:
    def together(mine: str, other: str) -> model.Task:
        argv = (*PYTHON, ADD_TOGETHER, "list.txt", mine, str(tmp_path), mine, other)
        return adds(mine, mine, command=argv, attempts=1)

    async with engine(tmp_path / "state") as found:
        record = await run(found, repo, together("left", "right"), together("right", "left"))
        states = {task.id: task.state for task in await found.store.tasks("run")}
    assert record.state is RunState.PARTIAL
    assert sorted(states.values()) == [TaskState.FAILED, TaskState.SUCCEEDED]
    loser = next(name for name, state in states.items() if state is TaskState.FAILED)
    assert loser in git(repo, "show", f"refs/dispatch/run/conflicts/{loser}/1:list.txt")


async def test_a_task_that_changes_nothing_of_what_it_declared_has_failed(tmp_path: Path, repo: Path) -> None:
    idle = adds("idle", "x", command=(*PYTHON, "pass"))
    asked = adds("asked", "x", command=(*PYTHON, "pass"), acceptance=("diff",), attempts=1)
    async with engine(tmp_path / "state") as found:
        await run(found, repo, idle, asked)
        states = {task.id: task.state for task in await found.store.tasks("run")}
        errors = {attempt.task_id: attempt.error_kind for attempt in await found.store.attempts("run")}
    assert states == {"idle": TaskState.FAILED, "asked": TaskState.FAILED}
    assert errors == {"idle": transitions.NOTHING_CHANGED, "asked": transitions.NOT_ACCEPTED}
    assert git(repo, "rev-parse", run_refs.Refs("run").merged) == git(repo, "rev-parse", "HEAD")


async def test_an_agent_that_was_to_change_something_and_changed_nothing_has_failed(tmp_path: Path, repo: Path) -> None:
    tasks = (
        model.Task(id="idle", do="Change it", isolation="worktree", attempts=1),
        model.Task(id="busy", do="Change it", isolation="worktree", inputs={"new.txt": "x"}),
        model.Task(id="look", do="Look at it"),
        model.Task(id="none", do="Change it", files=("list.txt",), attempts=1),
        model.Task(id="done", do="Change it", files=("list.txt",), inputs={"list.txt": "second\n"}),
    )
    async with engine(tmp_path / "state", {WorkerKind.API: Pretending()}) as found:
        await run(found, repo, *tasks, worker=WorkerKind.API)
        states = {task.id: task.state.value for task in await found.store.tasks("run")}
        errors = {attempt.task_id: attempt.error_kind for attempt in await found.store.attempts("run")}
    assert [name for name, state in states.items() if state == "failed"] == ["idle", "none"]
    assert (errors["idle"], errors["none"]) == (transitions.NOTHING_CHANGED,) * 2


async def test_an_agent_that_finds_its_file_changed_by_another_task_of_the_run_has_not_failed(
    tmp_path: Path, repo: Path
) -> None:
    stray = model.Task(id="stray", do="Write", files=("a.txt",), inputs={"a.txt": "x", "b.txt": "x"})
    late = model.Task(id="late", do="Write", files=("b.txt",), deps=("stray",), attempts=1)
    async with engine(tmp_path / "state", {WorkerKind.API: Pretending()}) as found:
        await run(found, repo, stray, late, worker=WorkerKind.API)
        outcome = (await found.store.outcomes("run", ["late"]))["late"]
    assert outcome.state is AttemptState.SUCCEEDED
    assert "`b.txt` had been changed in this run before the task began" in outcome.receipts[0].detail


async def test_acceptance_is_checked_in_the_worktree_before_anything_is_merged(tmp_path: Path, repo: Path) -> None:
    check = "command: python -S -c \"open('left', 'w'); assert 'good' in open('list.txt').read()\""
    good = adds("good", "good", acceptance=(check,))
    bad = adds("bad", "bad", acceptance=(check.replace("'good'", "'better'"),), attempts=1)
    async with engine(tmp_path / "state") as found:
        await run(found, repo, good, bad)
        states = {task.id: task.state for task in await found.store.tasks("run")}
    assert states == {"good": TaskState.SUCCEEDED, "bad": TaskState.FAILED}
    assert merged(repo) == "first\ngood"
    assert git(repo, "ls-tree", "--name-only", run_refs.Refs("run").merged).split() == ["list.txt"]


async def test_an_agents_change_is_done_anew_in_every_run_and_never_replayed_without_its_files(
    tmp_path: Path, repo: Path
) -> None:
    agent = Pretending()
    task = model.Task(id="w", do="write", files=("new.txt",), inputs={"new.txt": "new"})
    look = model.Task(id="r", do="look", deps=("w",))
    async with engine(tmp_path / "state", {WorkerKind.API: agent}) as found:
        for run_id in ("one", "two"):
            await run(found, repo, task, look, run_id=run_id, worker=WorkerKind.API, fresh=False)
    assert merged(repo, "new.txt", "one") == merged(repo, "new.txt", "two") == "new"
    assert [(work.run_id, work.task.id, bool(work.directory)) for work in agent.orders[:3]] == [
        ("one", "w", True),
        ("one", "r", False),
        ("two", "w", True),
    ]


async def test_a_dry_run_makes_no_worktree(tmp_path: Path, repo: Path) -> None:
    async with engine(tmp_path / "state") as found:
        await run(found, repo, adds("a", "x"), dry_run=True, worker=WorkerKind.SCRIPTED)
    assert git(repo, "for-each-ref", "refs/dispatch") == ""


async def test_cancelling_a_run_ends_its_attempts_and_keeps_what_they_did(tmp_path: Path, repo: Path) -> None:
    script = (
        f"open('half.txt', 'w').close(); open({str(tmp_path / 'here')!r}, 'w').close(); import time; time.sleep(900)"
    )
    slow = adds("slow", "x", command=(*PYTHON, script))
    async with engine(tmp_path / "state") as found, anyio.create_task_group() as group:
        group.start_soon(run, found, repo, slow)
        with anyio.fail_after(120):
            while not (tmp_path / "here").exists():
                await anyio.lowlevel.checkpoint()
        await found.signal("run", records.Action("cancel"))
    assert git(repo, "show", "refs/dispatch/run/kept/slow/1:half.txt") == ""
    assert git(repo, "worktree", "list").count("\n") == 0


@pytest.mark.promise("R21")
async def test_a_change_that_git_could_not_keep_is_kept_later_without_asking_its_agent_again(
    tmp_path: Path, repo: Path
) -> None:
    agent = Pretending()
    obstacle = repo / ".git" / "refs" / "dispatch" / "run" / "done"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("in the way of refs of that name")
    task = model.Task(id="w", do="write", files=("new.txt",), inputs={"new.txt": "new"}, attempts=3)

    async with engine(tmp_path / "state", {WorkerKind.API: agent}) as found, anyio.create_task_group() as group:

        async def clear() -> None:
            async for event in found.events("run"):
                if event.kind == "attempt_finished" and event.attempt == 1:
                    obstacle.unlink(missing_ok=True)

        plan = model.Plan(id="plan-run", tasks=(task,), workspace=str(repo))
        await found.store.save_plan(plan, records.LOCAL)
        new = records.NewRun(id="run", plan_id=plan.id, plan_version=1, workspace=str(repo), worker=WorkerKind.API)
        await found.store.create_run(new)
        group.start_soon(clear)
        await found.start("run")
        with anyio.fail_after(120):
            async for _ in found.events("run"):
                pass
    async with sqlite_store.open_store(tmp_path / "state") as store:
        kinds = [past.error_kind for past in await store.attempts("run")]
        spend = await store.spend("run")
    assert kinds == ["not_kept", ""]
    assert (len(agent.orders), spend.cost_usd) == (1, 0.5)
    assert merged(repo, "new.txt") == "new"


if sys.platform == "win32":
    pytest.skip("programs are supervised on POSIX only", allow_module_level=True)
