"""Work for hosts that share blobs with the control plane, and no disk."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import memory_blobs
import pytest
import temp_repository

from dispatch_mcp import errors, model
from dispatch_mcp.git import git_process, parcels
from dispatch_mcp.model import AttemptState, WorkerKind, ports, work_order
from dispatch_mcp.process import child_environment

pytest.importorskip("temporalio", reason="the extra `temporal` is not installed")
import host_wires

from dispatch_mcp.temporal import agent_host, host_line, places

pytestmark = pytest.mark.anyio

Do = Callable[[Path], None]
POLICY = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]})


@pytest.fixture
def anyio_backend() -> str:
    """Temporal's library runs on asyncio alone."""
    return "asyncio"


class Editing:
    """A worker that edits the folder of its order, leaves a session and ends as it is told to."""

    def __init__(self) -> None:
        self.do: Do = lambda _: None
        self.orders: list[work_order.WorkOrder] = []
        self.ends = [model.Outcome(state=AttemptState.SUCCEEDED)]
        self.session: str | None = None

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        self.orders.append(work)
        if self.session:
            ctx.beat(**{ports.SESSION: self.session})
        self.do(Path(work.cwd))
        return self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]


class World:
    """A repository here, a host with a state folder of its own, and the blobs that both reach."""

    def __init__(self, folder: Path) -> None:
        self.repo = temp_repository.make(folder / "repo")
        self.shelf = memory_blobs.Shelf()
        self.own = memory_blobs.Shelf()
        self.worker = Editing()
        self.home = folder / "host"
        sharing = places.sharing(self.shelf, git_process.Git(self.home, POLICY), self.home)
        self.host = agent_host.AgentHost({WorkerKind.CLAUDE: self.worker}, self.shelf, sharing.places)
        sender = parcels.Sender(git_process.Git(folder / "control", POLICY), self.shelf)
        self.line = host_line.HostLine(self.shelf, "control", "agents", sender, self.own)

    async def attempt(self, number: int = 1, **changes: Any) -> tuple[model.Outcome, dict[str, model.Json]]:
        """Returns how an attempt in the repository ended, and what it left."""
        task = model.Task(id="a", do="Do it", files=(f"{self.repo}/a.txt",))
        work = work_order.WorkOrder("run", task, number, WorkerKind.CLAUDE, workspace=str(self.repo))
        ctx = agent_host.HostContext("run", "a", number, {}, self.shelf)
        self.line.open(host_wires.Wire(self.host))  # type: ignore[arg-type]  # as much of a client as is used
        outcome = await self.line.carry_out(ctx, dataclasses.replace(work, **changes))
        return outcome, ctx.details

    def rest(self) -> list[str]:
        """Returns what of attempts still lies on the host."""
        return sorted(path.name for path in (self.home / places.FOLDER).glob("run/*"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def write(name: str, text: str) -> Do:
    return lambda folder: temp_repository.write(folder, name, text)


async def test_work_is_done_in_a_folder_of_the_host_and_its_changes_come_home(world: World) -> None:
    world.worker.do = write("a.txt", "done there\n")
    outcome, _ = await world.attempt()
    [order] = world.worker.orders
    assert outcome.state is AttemptState.SUCCEEDED
    assert Path(order.cwd).is_relative_to(world.home)
    assert (order.task.files, order.directory) == (("a.txt",), "")
    assert (world.repo / "a.txt").read_text() == "done there\n"
    assert world.rest() == []


async def test_an_order_for_a_worktree_gets_one_of_its_own_there(world: World) -> None:
    await world.attempt(directory=str(world.repo))
    [order] = world.worker.orders
    assert order.directory == order.workspace != str(world.repo)


async def test_work_without_a_workspace_needs_no_folder(world: World) -> None:
    outcome, _ = await world.attempt(workspace="")
    assert (outcome.state, world.worker.orders[0].cwd) == (AttemptState.SUCCEEDED, "")


async def test_what_a_failed_attempt_has_changed_comes_home_too(world: World) -> None:
    world.worker.do = write("a.txt", "half\n")
    world.worker.ends = [model.Outcome(state=AttemptState.FAILED, error_kind="max_turns", retryable=True)]
    outcome, _ = await world.attempt()
    assert (outcome.error_kind, (world.repo / "a.txt").read_text()) == ("max_turns", "half\n")


async def test_what_a_result_refers_to_is_kept_where_the_run_is_driven(world: World) -> None:
    digest = world.shelf.put(b"a long log")
    artifacts = (model.Artifact(name="log", digest=digest), model.Artifact(name="gone", digest="0" * 64))
    world.worker.ends = [model.Outcome(state=AttemptState.SUCCEEDED, handoff=model.Handoff(artifacts=artifacts))]
    await world.attempt()
    assert world.own == {digest: b"a long log"}


async def test_a_session_goes_on_in_the_place_where_it_was(world: World) -> None:
    world.worker.session = "s-1"
    world.worker.do = write("b.txt", "begun\n")
    world.worker.ends = [model.Outcome(state=AttemptState.FAILED), model.Outcome(state=AttemptState.SUCCEEDED)]
    temp_repository.write(world.repo, "a.txt", "not committed\n")
    _, details = await world.attempt(directory=str(world.repo))
    temp_repository.git(world.repo, "clean", "-fdq")
    await world.attempt(2, directory=str(world.repo), last_beat=details)
    first, second = world.worker.orders
    assert (second.cwd, second.last_beat[ports.SESSION]) == (first.cwd, "s-1")
    assert (world.repo / "b.txt").read_text() == "begun\n"
    assert world.rest() == []


@pytest.mark.parametrize("loss", ["the place is gone", "the base has moved", "the files differ"])
async def test_a_session_whose_changes_are_not_here_is_begun_anew(world: World, loss: str) -> None:
    world.worker.session = "s-1"
    world.worker.ends = [model.Outcome(state=AttemptState.FAILED), model.Outcome(state=AttemptState.SUCCEEDED)]
    _, details = await world.attempt(directory=str(world.repo))
    if loss == "the place is gone":
        shutil.rmtree(world.home)
    elif loss == "the files differ":
        temp_repository.write(world.repo, "a.txt", "not committed\n")
    else:
        temp_repository.commit(world.repo, "Somebody else's")
    await world.attempt(2, directory=str(world.repo), last_beat={**details, ports.LOOK: {"head": "x"}})
    first, second = world.worker.orders
    assert second.cwd != first.cwd
    assert second.last_beat == {ports.LOOK: {"head": "x"}}


async def test_what_cannot_be_sent_fails_with_its_reason_and_reaches_no_host(world: World) -> None:
    shutil.rmtree(world.repo / ".git")
    outcome, _ = await world.attempt()
    assert (outcome.error_kind, outcome.retryable) == ("no_worktree", False)
    assert "not in a git repository" in outcome.error
    assert world.worker.orders == []


async def test_a_change_that_does_not_fit_any_more_fails_and_changes_nothing(world: World) -> None:
    def both(folder: Path) -> None:
        temp_repository.write(folder, "a.txt", "there\n")
        temp_repository.write(world.repo, "a.txt", "here, meanwhile\n")

    world.worker.do = both
    world.worker.ends = [model.Outcome(state=AttemptState.SUCCEEDED, usage=model.Usage(input_tokens=7))]
    outcome, _ = await world.attempt()
    assert (outcome.state, outcome.error_kind, outcome.usage.input_tokens) == (AttemptState.FAILED, "merge_conflict", 7)
    assert (world.repo / "a.txt").read_text() == "here, meanwhile\n"


async def test_a_worker_that_removes_the_repository_of_its_place_fails_with_what_it_has_used(world: World) -> None:
    world.worker.do = lambda folder: shutil.rmtree(folder / ".git")
    world.worker.ends = [model.Outcome(state=AttemptState.SUCCEEDED, usage=model.Usage(input_tokens=7))]
    outcome, _ = await world.attempt()
    assert (outcome.state, outcome.retryable, outcome.usage.input_tokens) == (AttemptState.FAILED, True, 7)


async def test_a_host_that_is_not_set_up_for_sharing_says_which_setting_it_misses(world: World) -> None:
    world.host = agent_host.AgentHost({WorkerKind.CLAUDE: world.worker}, world.shelf)
    outcome, _ = await world.attempt()
    assert "temporal_blobs" in outcome.error
    assert world.worker.orders == []


async def test_a_folder_that_cannot_be_made_is_a_failure_of_ours_that_is_tried_again(world: World) -> None:
    (world.home / places.FOLDER).mkdir(parents=True)
    (world.home / places.FOLDER / "run").write_text("in the way")
    outcome, _ = await world.attempt()
    assert (outcome.error_kind, outcome.retryable) == ("git_failed", True)


async def test_what_nobody_has_used_for_days_is_swept(world: World) -> None:
    await world.attempt()
    folder = world.home / places.FOLDER
    [history] = folder.glob("*.git")
    taker = world.host.places
    assert taker is not None
    await taker.sweep()
    assert history.exists()
    os.utime(history, (0, 0))
    await taker.sweep()
    assert not history.exists()


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"parts": ["a"], "head": "b"}', b'{"parts": 1, "head": "b", "state": ""}']
)
def test_a_parcel_of_another_version_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        places.parcel_of(data)


def test_a_parcel_comes_back_as_it_was() -> None:
    parcel = parcels.Parcel(("a", "b"), "c", "d", "e/f")
    assert places.parcel_of(places.parcel_bytes(parcel)) == parcel


async def test_a_cancelled_attempt_changes_nothing_here(world: World) -> None:
    begun = asyncio.Event()

    class Waiting(Editing):
        async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
            temp_repository.write(Path(work.cwd), "a.txt", "half\n")
            begun.set()
            await asyncio.Event().wait()
            raise errors.WorkerError("unreachable")

    before = (world.repo / "a.txt").read_text()
    world.host = dataclasses.replace(world.host, workers={WorkerKind.CLAUDE: Waiting()})
    work = asyncio.create_task(world.attempt())
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (world.repo / "a.txt").read_text() == before
    assert world.rest() == []
