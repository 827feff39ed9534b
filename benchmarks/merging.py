"""What a worktree and its merge cost per attempt, beside the same git commands typed by hand.

By hand: make a worktree, change a file, commit, merge in the checkout, remove the worktree. Both work turn about on
repositories of the same size; the figure is the median of each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from dispatch_mcp import model
from dispatch_mcp.git import git_process, workspace_provider
from dispatch_mcp.model import ports, work_order
from dispatch_mcp.process import child_environment
from dispatch_mcp.store import blobs

ALLOWED_MS = 250.0
"""More than by hand: for verifying, an index of our own, the receipts' commit and a merge that needs no checkout."""

IDENTITY = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")


def git(at: Path, *arguments: str) -> None:
    subprocess.run(["git", *IDENTITY, *arguments], cwd=at, check=True, capture_output=True)


def made(at: Path, files: int) -> Path:
    """Returns a repository of so many small files in folders of fifty."""
    for number in range(files):
        path = at / f"folder{number // 50}" / f"file{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"value = {number}\n" * 20)
    git(at, "init", "-q", "-b", "main")
    git(at, "add", "-A")
    git(at, "commit", "-q", "-m", "First")
    return at


def change(at: Path, number: int) -> None:
    (at / "folder0" / "file0.py").open("a").write(f"added = {number}\n")


def by_hand(repo: Path, folder: Path, number: int) -> float:
    began = time.perf_counter()
    tree = folder / f"hand{number}"
    git(repo, "worktree", "add", "-q", "-b", f"task{number}", str(tree))
    change(tree, number)
    git(tree, "commit", "-q", "-a", "-m", "Change")
    git(repo, "merge", "-q", "--no-ff", "--no-edit", f"task{number}")
    git(repo, "worktree", "remove", str(tree))
    return time.perf_counter() - began


@dataclass
class Context:
    """A task context that keeps nothing."""

    blobs: ports.Blobs
    run_id: str = "run"
    task_id: str = "t"
    attempt: int = 1
    last_beat: dict[str, model.Json] = field(default_factory=dict[str, model.Json])

    def beat(self, **details: model.Json) -> None:
        """Does nothing."""


async def by_product(
    workspaces: workspace_provider.WorktreeProvider, kept: ports.Blobs, repo: Path, number: int
) -> float:
    async def carry_out(_ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        change(Path(work.cwd), number)
        return model.Outcome(state=model.AttemptState.SUCCEEDED, summary="done")

    async def judge(_work: work_order.WorkOrder, outcome: model.Outcome) -> model.Outcome:
        return outcome

    task = model.Task(id=f"t{number}", do="Change a file", isolation="worktree")
    work = work_order.WorkOrder("run", task, 1, model.WorkerKind.COMMAND, workspace=str(repo), isolation="own")
    began = time.perf_counter()
    outcome = await workspaces.within(Context(kept), work, carry_out, judge)
    await workspaces.leave(work)
    if outcome.state is not model.AttemptState.SUCCEEDED:
        raise SystemExit(outcome.error)
    return time.perf_counter() - began


async def measured(files: int, rounds: int) -> dict[str, float]:
    """Returns the medians in milliseconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mine, other = made(folder / "mine", files), made(folder / "other", files)
        policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": name})
        home = folder / "state"
        (home / "blobs").mkdir(parents=True)
        workspaces, kept = (
            workspace_provider.WorktreeProvider(git_process.Git(home, policy), home),
            blobs.FileBlobs(home),
        )
        hand: list[float] = []
        product: list[float] = []
        for number in range(rounds):
            hand.append(by_hand(other, folder, number))
            product.append(await by_product(workspaces, kept, mine, number))
    return {
        "files": files,
        "by_hand_ms": round(statistics.median(hand) * 1000, 1),
        "product_ms": round(statistics.median(product) * 1000, 1),
        "more_ms": round((statistics.median(product) - statistics.median(hand)) * 1000, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--files", type=int, nargs="*", default=[100, 2_000])
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = [anyio.run(measured, files, asked.rounds) for files in asked.files]
    for one in found:
        times = f"by hand {one['by_hand_ms']} ms, here {one['product_ms']} ms, {one['more_ms']} ms more"
        line = f"{one['files']:>6.0f} files: {times}"
        sys.stdout.write((json.dumps(one) if asked.json else line) + "\n")
    return 0 if all(one["more_ms"] <= ALLOWED_MS for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
