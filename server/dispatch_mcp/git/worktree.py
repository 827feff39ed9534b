"""Worktrees as copies of a workspace: made, verified, read and removed. They lie below the state directory.

Who may touch one follows from its path, which names run, task and attempt: an attempt makes its own, and the next
attempt of the same task (in this process, or after a restart) is the only other one that clears it up. The file
`….begun` beside it divides the two cases of a killed server: without it nobody has worked there, so the folder may
hold half a checkout and is thrown away; with it, what is there is somebody's work and is committed first.

All worktrees of a repository stand in one registry, which every git reads that makes or removes one, and gives up on
when another git is about to write or delete an entry. In one process each repository's registry is changed by one
at a time; the files are checked out and deleted outside of that, which is what takes long. A git of another process
is tried again shortly.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.git import command_log, foreign_repositories, git_process, inner_repositories, inner_work, merge_rules
from dispatch_mcp.model import run_refs, work_order
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.process import private_files

FOLDER = "worktrees"
ABANDONED_S = 5.0
"""From which age on a half-made worktree belongs to nobody."""

PAUSES_S = (0.05, 0.1, 0.2, 0.4)
"""Between tries while another git changes the registry, which takes it milliseconds, or more on a busy machine."""

SET_BACK: Final = "What it did cannot be told from what was there"
"""How the error of an attempt begins that went behind the beginning of its worktree."""

_INDEX = "dispatch-index"
_ADD = ("worktree", "add", "--detach", "--no-checkout", "--quiet", "--")
_FILL = ("reset", "--hard", "--quiet", "--no-recurse-submodules")
_REMOVE = ("worktree", "remove", "--force", "--force", "--")
_WHERE = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir", "--absolute-git-dir")


@dataclass(frozen=True, slots=True)
class Worktree:
    """A worktree: its folder, the commit that it began from, and the attempt that it was made for."""

    repo: git_process.Repository
    path: Path
    base: str
    attempt: int

    @property
    def workspace(self) -> str:
        """The folder in it that stands for the order's workspace."""
        return str(self.path / self.repo.below)


class Contents(NamedTuple):
    """What is in a worktree: the tree that git can keep, the work in other repositories, and what is to be said."""

    tree: str
    works: tuple[inner_work.InnerWork, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Worktrees:
    """Makes, reads and removes worktrees below `home`."""

    git: git_process.Git
    home: Path
    _registries: dict[Path, anyio.Lock] = field(default_factory=dict[Path, anyio.Lock])

    def path(self, run_id: str, task_id: str, attempt: int) -> Path:
        """Returns where the worktree of an attempt lies."""
        return self.home.absolute() / FOLDER / run_refs.safe_part(run_id) / f"{run_refs.safe_part(task_id)}.{attempt}"

    def earlier(self, work: work_order.WorkOrder) -> list[tuple[int, Path]]:
        """Returns the worktrees that earlier attempts of the task have left, by attempt."""
        newest = self.path(work.run_id, work.task.id, work.attempt)
        stem = newest.name.rpartition(".")[0]
        with contextlib.suppress(OSError):
            names = (entry.name.rpartition(".") for entry in newest.parent.iterdir() if entry.is_dir())
            numbers = sorted(int(number) for head, _, number in names if head == stem and number.isdigit())
            return [(number, newest.parent / f"{stem}.{number}") for number in numbers if number < work.attempt]
        return []

    async def make(self, repo: git_process.Repository, work: work_order.WorkOrder, base: str) -> Worktree:
        """Returns a new worktree at `base`, verified.

        Raises:
            WorkerError: it could not be made, or is not what it should be.
        """
        path = self.path(work.run_id, work.task.id, work.attempt)
        await anyio.to_thread.run_sync(_make_folder, path.parent)
        await self._add(repo, path, base)
        copy = Worktree(repo, path, base, work.attempt)
        await self.verify(copy)
        status = await self.git.run(path, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
        if status.out:
            files = ", ".join(f"`{line[3:]}`" for line in status.out.split("\0")[:3] if line)
            raise git_process.Lasting(
                f"A fresh worktree of {str(repo.common)!r} differs from its own commit in {files}.",
                kind="no_worktree",
                hint="Look at their line endings or filters: `git status` in a fresh clone shows the same.",
            )
        # The last step: from here on what lies there is the attempt's work, never half a checkout.
        await anyio.Path(_begun_mark(path)).touch(mode=0o600)
        await anyio.Path(_begun_mark(path)).write_text(base)
        return copy

    async def _add(self, repo: git_process.Repository, path: Path, base: str) -> None:
        """Makes a worktree and checks its files out."""
        async with self._registry(repo):
            await self._register(repo, path, base)
        try:
            await self.git.run(path, *_FILL)
        except errors.WorkerError:
            await self.discard(repo, path)
            raise

    def _registry(self, repo: git_process.Repository) -> anyio.Lock:
        """Returns what lets one at a time change the registry of a repository's worktrees."""
        return self._registries.setdefault(repo.common, anyio.Lock())

    async def _register(self, repo: git_process.Repository, path: Path, base: str) -> None:
        """Makes a worktree without its files; where a killed git has left half of one, that keeps git from it."""
        # Twice, so that what another process has just begun grows old enough to be known as left behind.
        deadline = anyio.current_time() + 2 * ABANDONED_S
        for tries in itertools.count():
            try:
                await self.git.run(repo.top, *_ADD, str(path), base)
            except (git_process.Lasting, git_process.TooSlow, git_process.TooMuch):
                raise
            except errors.WorkerError:
                young = await self.heal(repo)
                # Without half an entry it was another git's, whole or gone by now, or something else is wrong.
                if anyio.current_time() > deadline if young is not None else tries >= len(PAUSES_S):
                    raise
                pause = PAUSES_S[min(tries, len(PAUSES_S) - 1)]
                await anyio.sleep(pause if young is None else min(pause, young))
            else:
                return

    async def heal(self, repo: git_process.Repository) -> float | None:
        """Takes half-made worktrees of ours out of a repository's registry, which git refuses to read.

        Returns None when there was none, else how many seconds to wait before it is tried again.
        """
        return await anyio.to_thread.run_sync(_heal_registry, repo.common, self.home.absolute() / FOLDER)

    async def verify(self, copy: Worktree) -> Path:
        """Returns git's own folder of a worktree.

        Raises:
            Lasting: its worker put another repository in its place.
            WorkerError: the folder is no worktree of that repository.
        """
        if await anyio.Path(copy.path / ".git").is_dir():
            raise await self._set_back(copy, "another repository was made in its place")
        if await anyio.Path(copy.path / ".git").is_file():
            answer = await self.git.run(copy.path, *_WHERE, codes=(0, 128))
            if answer.code == 0 and _same(answer.lines[:2], (copy.path, copy.repo.common)):
                return Path(answer.lines[2])
        raise errors.WorkerError(
            f"{str(copy.path)!r} is no worktree of {str(copy.repo.common)!r} at {copy.base[:12]}.",
            hint=NextStep(StepKind.LIST_WORKTREES),
        )

    async def _set_back(self, copy: Worktree, state: str) -> git_process.Lasting:
        """Returns the error for a worktree that is there and is not grown from its beginning, noted beside it."""
        why = f"its worktree began at commit {copy.base[:12]}, and now {state}"
        await self.mark(copy.path, why)
        return git_process.Lasting(
            f"{SET_BACK}: {why}. Its files are in {str(copy.path)!r}, and nothing "
            "of it is merged. Work goes on from where the worktree began; commits of its own are fine.",
            kind="set_back",
        )

    async def _check_beginning(
        self, copy: Worktree, task: model.Task, changes: Sequence[merge_rules.PathChange]
    ) -> None:
        """Raises Lasting where what lies between the worktree's beginning and an older commit was taken out.

        An older commit is checked out after `reset` and `commit --amend` too; the files tell which it was.
        """
        head, *_ = (await self.git.run(copy.path, "rev-parse", "HEAD", codes=(0, 128))).lines or ("",)
        if head == copy.base:
            return
        answer = await self.git.run(copy.path, "merge-base", copy.base, head, codes=(0, 1, 128))
        empty = ("hash-object", "-t", "tree", "--stdin")
        older = (answer if answer.code == 0 else await self.git.run(copy.path, *empty, stdin="")).out.strip()
        if older == copy.base:
            return
        listing = ("diff-tree", "-r", "--raw", "-z", "--no-renames", "--full-index", copy.base, older, "--")
        between = merge_rules.read_changes((await self.git.run(copy.path, *listing)).out)
        if paths := merge_rules.set_back(changes, between, task, copy.repo.below):
            state = f"commit {head[:12]} is checked out, which does not hold that one"
            names = ", ".join(f"`{path}`" for path in paths[:3])
            raise await self._set_back(copy, f"{state}, with another {names}{' and more' * (len(paths) > 3)}")

    async def unlock(self, copy: Worktree) -> None:
        """Verifies a worktree that an attempt goes on in, and takes away the locks that a killed git has left in it.

        Raises:
            WorkerError: as `verify` says.
        """
        folder = await self.verify(copy)
        deadline = anyio.current_time() + 2 * ABANDONED_S
        while (young := await anyio.to_thread.run_sync(_drop_locks, folder)) is not None:
            if anyio.current_time() > deadline:
                return  # who lives holds it; what needs it says so
            await anyio.sleep(young)

    async def contents(self, copy: Worktree, task: model.Task, ref: str) -> Contents:
        """Returns everything in a worktree that is not ignored, or declared by name, and what is in no tree.

        Caches and installed packages that nobody declared are left out. Work in submodules is kept under `ref` in the
        user's own copies of these, where they are; where it is not, the tree has the submodule as it was.

        Raises:
            Lasting: its worker went behind the commit that it was begun from, or put another repository in its place.
            WorkerError: it is no worktree any more, or git failed.
        """
        admin = await self.verify(copy)
        env = await self._own_index(copy, admin)
        names = await foreign_repositories.submodule_names(self.git, copy.path)
        foreign = foreign_repositories.ForeignGit(self.git, copy.repo, copy.path, admin)
        index = await foreign.stage(copy.path, env, names)
        changes = await self._changes(copy, task, index, env)
        await self._check_beginning(copy, task, changes)
        links = merge_rules.links(index.links, changes, index.unborn)
        works = await inner_repositories.InnerRepositories(foreign, ref, names).examine(links)
        back = merge_rules.links_to_put_back(changes, [work.path for work in works], names)
        if back:
            lines = merge_rules.index_lines(back)
            await self.git.run(copy.path, "update-index", "-z", "--index-info", stdin=lines, env=env)
        tree = (await self.git.run(copy.path, "write-tree", env=env)).out.strip()
        return Contents(tree, tuple(works), tuple(merge_rules.link_remarks(changes, back, index.absent)))

    async def _changes(
        self, copy: Worktree, task: model.Task, index: foreign_repositories.Staged, env: Mapping[str, str]
    ) -> list[merge_rules.PathChange]:
        """Returns what an index changes of the base, with the task's declared files and without litter."""
        cwd = copy.path
        by_name = [f"{copy.repo.below}/{path}".lstrip("/") for path in merge_rules.files_by_name(task)]
        inner = (*index.links, *index.unborn)
        present = [path for path in by_name if not merge_rules.is_within(path, inner) and await _is_file(cwd / path)]
        if present:
            command = ("add", "--force", "--sparse", "--pathspec-from-file=-", "--pathspec-file-nul")
            await self.git.run(cwd, *command, stdin="\0".join(present), env={**env, "GIT_LITERAL_PATHSPECS": "1"})
        listing = ("diff-index", "--cached", "--raw", "-z", "--no-renames", "--full-index", copy.base, "--")
        changes = merge_rules.read_changes((await self.git.run(cwd, *listing, env=env)).out)
        if drop := merge_rules.litter(changes, by_name):
            command = ("update-index", "--force-remove", "-z", "--stdin")
            await self.git.run(cwd, *command, stdin="\0".join(drop), env=env)
        return [change for change in changes if change.path not in drop]

    async def _own_index(self, copy: Worktree, folder: Path) -> dict[str, str]:
        """Returns the environment with an index of our own, as the attempt's may be locked or half index."""
        env = {"GIT_INDEX_FILE": str(folder / _INDEX)}
        if not await anyio.to_thread.run_sync(_copy_file, folder / "index", folder / _INDEX):
            await self.git.run(copy.path, "read-tree", "HEAD", env=env)
        return env

    async def mark(self, path: Path, why: str) -> None:
        """Notes beside a worktree why it stays; `reason` reads it."""
        await anyio.Path(_stay_mark(path)).write_text(why, errors="replace")

    async def left_over(self, repo: git_process.Repository, path: Path, attempt: int) -> Worktree:
        """Returns a worktree that an attempt has left, as it began. Raises WorkerError."""
        mark = anyio.Path(_begun_mark(path))
        base = (await mark.read_text(errors="replace")).strip() if await mark.exists() else ""
        if not merge_rules.is_object(base):  # made by an earlier version
            base = (await self.git.run(path, "rev-parse", "--verify", "HEAD^{commit}")).out.strip()
        return Worktree(repo, path, base, attempt)

    async def remove(self, repo: git_process.Repository, path: Path) -> None:
        """Removes a worktree whose contents are kept elsewhere. Raises WorkerError."""
        await anyio.Path(_begun_mark(path)).unlink(missing_ok=True)  # so that one that is half removed can go later
        await anyio.to_thread.run_sync(_empty, path)
        async with self._registry(repo):
            await self.git.run(repo.top, *_REMOVE, str(path))
        await anyio.to_thread.run_sync(_forget, path)

    async def discard(self, repo: git_process.Repository, path: Path) -> bool:
        """Removes a worktree, complete or not, in which nobody has begun; returns whether it was one."""
        if await anyio.Path(_begun_mark(path)).exists():
            return False
        await anyio.to_thread.run_sync(_empty, path)
        async with self._registry(repo):
            await self.git.run(repo.top, *_REMOVE, str(path), codes=range(256))
            await anyio.to_thread.run_sync(_forget, path)
            await self.git.run(repo.top, *_REMOVE, str(path), codes=range(256))  # it may be registered without a folder
            await self.heal(repo)
        return True


def _begun_mark(path: Path) -> Path:
    """Returns the file beside a worktree that says that somebody has begun to work in it."""
    return path.with_name(f"{path.name}.begun")


def _stay_mark(path: Path) -> Path:
    """Returns the file beside a worktree that says why it stays."""
    return path.with_name(f"{path.name}.stays")


def reason(path: Path) -> str:
    """Returns why a worktree stays, as its attempt noted it; empty when it may go."""
    try:
        return _stay_mark(path).read_text(errors="replace")
    except OSError:
        return ""


def _empty(path: Path) -> None:
    """Removes the files of a worktree, but for the one by which git knows it."""
    with contextlib.suppress(OSError):
        for entry in path.iterdir():
            if entry.name == ".git":
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def _forget(path: Path) -> None:
    """Removes what may be left of a worktree, and the folder of its run if it was the last."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        _begun_mark(path).unlink(missing_ok=True)
        _stay_mark(path).unlink(missing_ok=True)
        command_log.file_beside(path).unlink(missing_ok=True)
        path.parent.rmdir()


def _heal_registry(common: Path, folder: Path) -> float | None:
    """Removes the entries of worktrees in `folder` that are half written, or whose worktree is gone, once they are old.

    A git that lives writes an entry within milliseconds.
    """
    waits: list[float] = []
    for entry in common.glob("worktrees/*"):
        with contextlib.suppress(OSError):
            worktree_file = Path((entry / "gitdir").read_text().strip())
            if not worktree_file.is_relative_to(folder) or (worktree_file.exists() and _text(entry / "commondir")):
                continue
            age = time.time() - entry.stat().st_mtime
            waits.append(max(0.0, ABANDONED_S - age))
            if age >= ABANDONED_S:
                shutil.rmtree(entry)
    return min(waits, default=None)


def _drop_locks(folder: Path) -> float | None:
    """Removes the locks in git's own folder of a worktree that are old; returns how many seconds the others need.

    Whoever worked there died with its server, and a git that outlives that is done within milliseconds.
    """
    waits: list[float] = []
    for lock in folder.glob("*.lock"):
        with contextlib.suppress(OSError):
            age = time.time() - lock.stat().st_mtime
            if age >= ABANDONED_S:
                lock.unlink()
            else:
                waits.append(min(ABANDONED_S, max(0.1, ABANDONED_S - age)))
    return min(waits, default=None)


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _make_folder(folder: Path) -> None:
    try:
        private_files.make_folder(folder)
    except OSError as error:
        raise errors.WorkerError(
            f"The folder {str(folder)!r} cannot be made: {error.strerror}.", hint="Check the disk and its rights."
        ) from None


def _copy_file(source: Path, target: Path) -> bool:
    for lock in (target, target.with_name(f"{target.name}.lock")):
        lock.unlink(missing_ok=True)
    try:
        git_process.copy_index(source, target)
    except FileNotFoundError:
        return False
    return True


def _same(paths: list[str], expectation: tuple[Path, ...]) -> bool:
    return [os.path.realpath(path) for path in paths] == [os.path.realpath(path) for path in expectation]


async def _is_file(path: Path) -> bool:
    return not await anyio.Path(path).is_dir() and await anyio.Path(path).exists()
