"""A copy of the user's uncommitted work, under a ref of ours, from before an attempt that works beside it.

Whatever a worker does to the checkout, what was there can be had back. The copy goes when nothing is missing.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import anyio.to_thread

from dispatch_mcp import errors
from dispatch_mcp.git import git_process, merge_queue, merge_rules
from dispatch_mcp.model import problems

MOST_FILES: Final = 2_000
MOST_BYTES: Final = 64 << 20
"""What is copied at most, of files and of bytes in all: a data set in the checkout is not."""

COPY_S: Final = 10.0
NAMED: Final = 20
"""Files that the command names which brings them back."""

_STATUS: Final = (
    *("status", "--porcelain", "-z", "--no-renames"),
    *("--untracked-files=all", "--ignore-submodules=all"),
)


class EditsCopy(NamedTuple):
    """What was not committed: the commit that holds it, and the files, below the top of the repository."""

    ref: str
    commit: str
    paths: frozenset[str]

    def missing(self, losses: Collection[str]) -> list[str]:
        """Returns the files of the copy that are among these paths, of which some may be folders."""
        folders = tuple(path for path in losses if path.endswith("/"))
        return sorted(path for path in self.paths if path in losses or path.startswith(folders))

    def way_back(self, paths: Sequence[str]) -> str:
        """Returns the command that brings files back as they were."""
        source = f"git restore --source={self.commit[:12]} --worktree --"
        if len(paths) > NAMED:
            return f"`git diff --name-only HEAD {self.commit[:12]}` lists them, `{source} FILE` brings one back"
        return f"`{source} {shlex.join(merge_rules.printable(paths))}` brings back what was there"


def notice(copy: EditsCopy, paths: Sequence[str]) -> str:
    """Returns that uncommitted work is gone from the checkout, and how to have it back."""
    return (
        "Uncommitted work is gone from the checkout, through this task or somebody else: "
        f"{problems.in_backticks(merge_rules.printable(paths), NAMED)}. {copy.way_back(paths)} (kept as {copy.ref})."
    )


@dataclass(frozen=True, slots=True)
class EditsCopies:
    """Copies what is not committed in the checkout of `repo`."""

    git: git_process.Git
    repo: git_process.Repository

    async def keep(self, ref: str) -> EditsCopy | None:
        """Returns the copy that `ref` names now; None where nothing is to be copied, or it cannot be."""
        git = replace(self.git, max_seconds=COPY_S)
        try:
            status = (await git.run(self.repo.top, *_STATUS)).out
            names = [entry[3:] for entry in status.split("\0") if entry]
            paths = await anyio.to_thread.run_sync(lambda: list(_affordable(self.repo.top, names)))
            if not paths:
                return None
            return EditsCopy(ref, await self._commit(git, ref, paths), frozenset(paths))
        except errors.WorkerError:
            return None

    async def _commit(self, git: git_process.Git, ref: str, paths: Sequence[str]) -> str:
        top, merger = self.repo.top, merge_queue.Merger(git)
        present = await anyio.to_thread.run_sync(lambda: [path for path in paths if os.path.lexists(top / path)])
        rest = sorted(set(paths).difference(present))
        with tempfile.TemporaryDirectory() as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            await git.run(top, "read-tree", "HEAD", env=env)
            if rest:
                remove = ("update-index", "--force-remove", "-z", "--stdin")
                await git.run(top, *remove, stdin="\0".join(rest), env=env)
            if present:
                add = ("add", "--force", "--sparse", "--pathspec-from-file=-", "--pathspec-file-nul")
                await git.run(top, *add, stdin="\0".join(present), env={**env, "GIT_LITERAL_PATHSPECS": "1"})
            tree = (await git.run(top, "write-tree", env=env)).out.strip()
        commit = await merger.commit(self.repo, tree, (self.repo.head,), "What was not committed before an attempt\n")
        await merger.keep(self.repo, ref, commit)
        return commit

    async def drop(self, copy: EditsCopy) -> None:
        """Removes the ref of a copy of which nothing is missing."""
        await self.git.run(self.repo.top, "update-ref", "-d", copy.ref, copy.commit)


def _affordable(top: Path, paths: Sequence[str]) -> Iterator[str]:
    """Yields the files, the smallest first, as far as they are not too many or too large; deleted ones are small."""
    room = MOST_BYTES
    sizes = sorted((_size(top / path), path) for path in paths if not merge_rules.is_litter(path))
    for size, path in sizes[:MOST_FILES]:
        room -= size
        if room < 0:
            return
        yield path


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
