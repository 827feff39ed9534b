"""Repositories and attempts for the tests of worktrees."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from dispatch_mcp import model
from dispatch_mcp.git import git_process, workspace_provider
from dispatch_mcp.model import AttemptState, WorkerKind, ports, run_refs, work_order
from dispatch_mcp.process import child_environment
from dispatch_mcp.store import blobs

Work = Callable[[Path], None]


def git(at: Path, *arguments: str, check: bool = True) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=at, check=check, capture_output=True, text=True)
    return done.stdout.strip()


def write(at: Path, path: str, text: str) -> None:
    (at / path).parent.mkdir(parents=True, exist_ok=True)
    (at / path).write_text(text)


def lines(count: int = 9) -> str:
    return "".join(f"line {number}\n" for number in range(1, count + 1))


def commit(at: Path, said: str = "change") -> str:
    git(at, "add", "-A")
    git(at, "commit", "-q", "--allow-empty", "-m", said)
    return git(at, "rev-parse", "HEAD")


def listed(at: Path, monkeypatch: pytest.MonkeyPatch, command: Sequence[str]) -> Path:
    """Returns a repository with a list of one line, as the workspace of a person who allows one command."""
    at.mkdir()
    git(at, "init", "-q", "-b", "main")
    write(at, "list.txt", "first\n")
    commit(at, "First")
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(at))
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([[*command]]))
    return at


def make(at: Path) -> Path:
    """Returns a repository with two files and one commit."""
    at.mkdir(parents=True)
    git(at, "init", "-q", "-b", "main")
    write(at, "a.txt", lines())
    write(at, "src/b.txt", lines())
    commit(at, "First")
    return at


def state_of(at: Path) -> tuple[str, str, str]:
    """Returns what nobody but its user may change: commit and branch, index and files."""
    return git(at, "rev-parse", "HEAD"), git(at, "branch", "--show-current"), git(at, "status", "--porcelain", "-uall")


def shown(at: Path, run_id: str, path: str) -> str:
    """Returns a file as the run has merged it."""
    return git(at, "show", f"{run_refs.Refs(run_id).merged}:{path}")


def refs(at: Path) -> list[str]:
    return git(at, "for-each-ref", "--format=%(refname)", "refs/dispatch").split()


def trees(at: Path) -> int:
    """Returns how many worktrees there are besides the checkout."""
    return git(at, "worktree", "list", "--porcelain").count("worktree ") - 1


@dataclass
class Context:
    """A task context that keeps its beats."""

    blobs: ports.Blobs
    run_id: str = "run"
    task_id: str = "t"
    attempt: int = 1
    last_beat: Mapping[str, model.Json] = field(default_factory=dict[str, model.Json])
    left: dict[str, model.Json] = field(default_factory=dict[str, model.Json])

    def beat(self, **details: model.Json) -> None:
        self.left.update(details)

    async def mail(self) -> tuple[model.Message, ...]:
        return ()


async def agreed(_work: work_order.WorkOrder, outcome: model.Outcome) -> model.Outcome:
    return outcome


@dataclass
class Site:
    """A state directory with its worktrees, and what there is to do in them."""

    repo: Path
    home: Path

    def __post_init__(self) -> None:
        self.workspaces = workspace_provider.WorktreeProvider(git_process.Git(self.home, self.policy()), self.home)
        self.blobs = blobs.FileBlobs(self.home)
        (self.home / "blobs").mkdir(parents=True, exist_ok=True)
        self.orders: list[work_order.WorkOrder] = []

    def policy(self) -> child_environment.ChildPolicy:
        return child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]})

    def again(self) -> Site:
        """Returns the site as the next process finds it."""
        return Site(self.repo, self.home)

    def order(self, task_id: str = "t", attempt: int = 1, **more: Any) -> work_order.WorkOrder:
        task = model.Task(id=task_id, do=f"Do {task_id}", isolation="worktree")
        work = work_order.WorkOrder("run", task, attempt, WorkerKind.COMMAND, workspace=str(self.repo), isolation="own")
        return replace(work, **more)

    async def attempt(
        self,
        work: work_order.WorkOrder,
        do: Work,
        *,
        judge: ports.Judge = agreed,
        ends: AttemptState = AttemptState.SUCCEEDED,
        beat: Mapping[str, model.Json] | None = None,
        also: Callable[[], Awaitable[object]] | None = None,
    ) -> model.Outcome:
        """Carries out one attempt whose worker calls `do` with its directory."""

        async def carry_out(ctx: ports.TaskContext, placed: work_order.WorkOrder) -> model.Outcome:
            self.orders.append(placed)
            ctx.beat(**(beat or {}))
            do(Path(placed.cwd))
            if also is not None:
                await also()
            return model.Outcome(state=ends, summary="did it", retryable=ends is not AttemptState.SUCCEEDED)

        self.context = Context(self.blobs, "run", work.task.id, work.attempt, work.last_beat)
        with anyio.fail_after(120):
            outcome = await self.workspaces.within(self.context, work, carry_out, judge)
            await self.workspaces.leave(work)
        return outcome


def nothing(_at: Path) -> None:
    """Changes nothing."""


def puts(path: str, text: str) -> Work:
    """Returns work that writes a file."""
    return lambda at: write(at, path, text)


def changes(path: str, old: str, new: str) -> Work:
    """Returns work that changes a line of a file."""
    return lambda at: write(at, path, (at / path).read_text().replace(old, new))
