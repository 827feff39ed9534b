"""What runs leave in the user's repositories: worktrees to tidy up. Takes over no run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dispatch_mcp import configuration
from dispatch_mcp.git import cleanup, git_process, worktree_leftovers
from dispatch_mcp.store import health

_DEMO_IDENTITY: Final = ("user.name=dispatch-mcp", "user.email=demo@dispatch-mcp.invalid", "commit.gpgsign=false")


def git(settings: configuration.Settings, env: Mapping[str, str] = os.environ) -> git_process.Git:
    """Returns the git that worktrees are made with; children get as much of the environment as the settings allow."""
    return git_process.Git(settings.home, settings.child_policy(env), settings.trusted_repositories)


async def left_over(settings: configuration.Settings, *, prune: bool = False) -> worktree_leftovers.Leftovers:
    """Returns the worktrees and changes that runs have left; with `prune`, removes what is safe elsewhere first.

    Raises:
        WorkerError: git is not there, or too old, so that nobody can tell.
    """
    program = git(settings)
    await program.version()
    cleaner = cleanup.Cleaner(program, settings.home, health.open_runs(settings.home))
    return await (cleaner.prune if prune else cleaner.look)(str(settings.workspace))


def trees_left(settings: configuration.Settings) -> list[worktree_leftovers.LeftWorktree]:
    """Returns the worktrees of runs that are over; reads only."""
    return [tree for tree in cleanup.trees(settings.home, health.open_runs(settings.home)) if tree.left]


async def begin(settings: configuration.Settings, folder: Path) -> str:
    """Makes a repository of a folder with one commit of all that is in it, and returns that commit.

    Raises:
        WorkerError: git cannot, or is too old to merge what is made in worktrees of it.
    """
    program = git(settings)
    await program.version()
    await program.run(folder, "init", "--quiet", "--initial-branch=main")
    await program.run(folder, "add", "--all", "--force")
    await program.run(folder, "commit", "--quiet", "--message=As it was before", settings=_DEMO_IDENTITY)
    return (await program.run(folder, "rev-parse", "HEAD")).out.strip()


async def change(settings: configuration.Settings, folder: Path, since: str, *options: str) -> str:
    """Returns what has changed in a checkout since a commit, as git shows it. Raises WorkerError."""
    return (await git(settings).run(folder, "diff", "--no-color", *options, since, "HEAD")).out


async def tracked(settings: configuration.Settings, folder: Path) -> list[str]:
    """Returns the files of a repository that git tracks. Raises WorkerError."""
    answer = await git(settings).run(folder, "ls-files", "-z")
    return [name for name in answer.out.split("\0") if name]


async def git_version(settings: configuration.Settings) -> tuple[int, int]:
    """Returns major and minor of the git that worktrees are made with. Raises WorkerError for none or an old one."""
    return await git(settings).version()
