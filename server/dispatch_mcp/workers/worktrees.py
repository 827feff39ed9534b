"""A worktree for every attempt that changes files, and one to look at for those that build on such changes.

Worktrees lie below the state directory, never in the repository, and begin from what the run has merged so far, never
from the user's checkout. What an attempt leaves behind is committed before its worktree goes, so nothing is lost.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeGuard

import anyio

from dispatch_mcp import errors
from dispatch_mcp.core import keys, merging, model, order
from dispatch_mcp.core.model import AttemptState, Receipt
from dispatch_mcp.workers import contract, repository
from dispatch_mcp.workers import merging as queue

log = logging.getLogger(__name__)

FOLDER = "worktrees"
BEAT = "worktree"
FAREWELL_S = 5.0
REMOVAL_S = 30.0
_INDEX = "dispatch-index"
_REMOVE = ("worktree", "remove", "--force", "--force", "--")
_WHERE = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-common-dir", "--absolute-git-dir", "HEAD")


@dataclass(frozen=True, slots=True)
class Copy:
    """A worktree: its folder, the commit that it began from, and the attempt that it was made for."""

    repo: repository.Repository
    path: Path
    base: str
    attempt: int

    @property
    def workspace(self) -> str:
        """The folder in it that stands for the order's workspace."""
        return str(self.path / self.repo.below)


@dataclass(slots=True)
class _Noted:
    """The context that a worker gets; notes whether the next attempt would go on with a session."""

    inner: contract.TaskContext
    resumable: bool = False

    @property
    def run_id(self) -> str:
        return self.inner.run_id

    @property
    def task_id(self) -> str:
        return self.inner.task_id

    @property
    def attempt(self) -> int:
        return self.inner.attempt

    @property
    def last_beat(self) -> Mapping[str, model.Json]:
        return self.inner.last_beat

    @property
    def blobs(self) -> contract.Blobs:
        return self.inner.blobs

    def beat(self, **details: model.Json) -> None:
        """Passes the beat on."""
        if contract.SESSION in details:
            self.resumable = bool(details[contract.SESSION])
        self.inner.beat(**details)


@dataclass(frozen=True, slots=True)
class Copies:
    """Makes, reads and removes worktrees below `home`."""

    git: repository.Git
    home: Path

    def path(self, run_id: str, task_id: str, attempt: int) -> Path:
        """Returns where the worktree of an attempt lies."""
        return self.home.absolute() / FOLDER / merging.part(run_id) / f"{merging.part(task_id)}.{attempt}"

    def earlier(self, work: order.WorkOrder) -> list[tuple[int, Path]]:
        """Returns the worktrees that earlier attempts of the task have left, by attempt."""
        newest = self.path(work.run_id, work.task.id, work.attempt)
        stem = newest.name.rpartition(".")[0]
        with contextlib.suppress(OSError):
            names = (entry.name.rpartition(".") for entry in newest.parent.iterdir() if entry.is_dir())
            numbers = sorted(int(number) for head, _, number in names if head == stem and number.isdigit())
            return [(number, newest.parent / f"{stem}.{number}") for number in numbers if number < work.attempt]
        return []

    async def make(self, repo: repository.Repository, work: order.WorkOrder, base: str) -> Copy:
        """Returns a new worktree at `base`, verified.

        Raises:
            WorkerError: it could not be made, or is not what it should be.
        """
        path = self.path(work.run_id, work.task.id, work.attempt)
        await anyio.to_thread.run_sync(_make_folder, self.home, path.parent)
        await self.git.run(repo.top, "worktree", "add", "--detach", "--quiet", "--", str(path), base)
        copy = Copy(repo, path, base, work.attempt)
        await self.verify(copy)
        status = await self.git.run(path, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
        if status.out:
            files = ", ".join(f"`{line[3:]}`" for line in status.out.split("\0")[:3] if line)
            raise errors.WorkerError(
                f"A fresh worktree of {str(repo.common)!r} differs from its own commit in {files}.",
                hint="Look at their line endings or filters: `git status` in a fresh clone shows the same.",
            )
        await anyio.Path(_begun(path)).touch(mode=0o600)
        return copy

    async def verify(self, copy: Copy) -> Path:
        """Returns git's own folder of a worktree.

        Raises:
            WorkerError: the folder is no worktree of that repository, begun from that commit.
        """
        if await anyio.Path(copy.path / ".git").is_file():
            done = await self.git.run(copy.path, *_WHERE, codes=(0, 128))
            if done.code == 0 and _same(done.lines[:2], (copy.path, copy.repo.common)):
                folder, head = done.lines[2:4]
                if head == copy.base or await self._grew(copy):
                    return Path(folder)
        raise errors.WorkerError(
            f"{str(copy.path)!r} is no worktree of {str(copy.repo.common)!r} at {copy.base[:12]}.",
            hint="`dispatch-mcp worktrees` lists what was left behind.",
        )

    async def _grew(self, copy: Copy) -> bool:
        """Returns whether the worktree's commit is a later one than it began from: the attempt has committed."""
        asked = ("merge-base", "--is-ancestor", copy.base, "HEAD")
        return (await self.git.run(copy.path, *asked, codes=(0, 1, 128))).code == 0

    async def tree(self, copy: Copy, task: model.Task) -> str:
        """Returns the tree of everything in a worktree that is not ignored, or declared by name.

        Caches and installed packages that nobody declared are left out.

        Raises:
            WorkerError: it is no worktree any more, or holds what git cannot keep.
        """
        env = await self._own_index(copy, await self.verify(copy))
        at = copy.path
        await self.git.run(at, "add", "--all", "--sparse", "--", ".", env=env)
        declared = [f"{copy.repo.below}/{path}".lstrip("/") for path in merging.forced(task)]
        there = [path for path in declared if await _is_file(at / path)]
        if there:
            asked = ("add", "--force", "--sparse", "--pathspec-from-file=-", "--pathspec-file-nul")
            await self.git.run(at, *asked, stdin="\0".join(there), env={**env, "GIT_LITERAL_PATHSPECS": "1"})
        listed = ("diff-index", "--cached", "--raw", "-z", "--no-renames", "--full-index", copy.base, "--")
        changes = merging.read_changes((await self.git.run(at, *listed, env=env)).out)
        if inner := merging.nested(changes):
            raise errors.WorkerError(
                f"The attempt made a repository inside its worktree, in {inner[0]!r}.",
                hint="Git cannot keep its files. They are still there; the next attempt should not make one.",
            )
        if drop := merging.litter(changes, declared):
            asked = ("update-index", "--force-remove", "-z", "--stdin")
            await self.git.run(at, *asked, stdin="\0".join(drop), env=env)
        return (await self.git.run(at, "write-tree", env=env)).out.strip()

    async def _own_index(self, copy: Copy, folder: Path) -> dict[str, str]:
        """Returns the environment with an index of our own, as the attempt's may be locked or half staged."""
        env = {"GIT_INDEX_FILE": str(folder / _INDEX)}
        if not await anyio.to_thread.run_sync(_copied, folder / "index", folder / _INDEX):
            await self.git.run(copy.path, "read-tree", "HEAD", env=env)
        return env

    async def remove(self, repo: repository.Repository, path: Path) -> None:
        """Removes a worktree whose contents are kept elsewhere. Raises WorkerError."""
        await anyio.Path(_begun(path)).unlink(missing_ok=True)  # so that one that is half removed can go later
        await self.git.run(repo.top, *_REMOVE, str(path))
        await anyio.to_thread.run_sync(_forget, path)

    async def discard(self, repo: repository.Repository, path: Path) -> bool:
        """Removes a worktree, complete or not, in which nobody has begun; returns whether it was one."""
        if await anyio.Path(_begun(path)).exists():
            return False
        await self.git.run(repo.top, *_REMOVE, str(path), codes=range(256))
        await anyio.to_thread.run_sync(_forget, path)
        await self.git.run(repo.top, *_REMOVE, str(path), codes=range(256))  # it may be registered without its folder
        return True


def _begun(path: Path) -> Path:
    """Returns the file beside a worktree that says that somebody has begun to work in it."""
    return path.with_name(f"{path.name}.begun")


def _forget(path: Path) -> None:
    """Removes what may be left of a worktree, and the folder of its run if it was the last."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        _begun(path).unlink(missing_ok=True)
        path.parent.rmdir()


def _make_folder(home: Path, folder: Path) -> None:
    try:
        for part in (home.absolute(), folder.parent, folder):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.WorkerError(
            f"The folder {str(folder)!r} cannot be made: {error.strerror}.", hint="Check the disk and its rights."
        ) from None


def _copied(source: Path, target: Path) -> bool:
    for lock in (target, target.with_name(f"{target.name}.lock")):
        lock.unlink(missing_ok=True)
    try:
        shutil.copyfile(source, target)
    except FileNotFoundError:
        return False
    return True


def _same(found: list[str], wanted: tuple[Path, ...]) -> bool:
    return [os.path.realpath(one) for one in found] == [os.path.realpath(one) for one in wanted]


async def _is_file(path: Path) -> bool:
    return not await anyio.Path(path).is_dir() and await anyio.Path(path).exists()


@dataclass(slots=True)
class Worktrees:
    """Implements `contract.Grounds` with git."""

    git: repository.Git
    home: Path
    merger: queue.Merger = field(init=False)
    copies: Copies = field(init=False)
    _finished: dict[tuple[str, str, int], Copy] = field(default_factory=dict[tuple[str, str, int], Copy])
    _noticed: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def __post_init__(self) -> None:
        self.merger = queue.Merger(self.git)
        self.copies = Copies(self.git, self.home)

    async def within(
        self, ctx: contract.TaskContext, work: order.WorkOrder, carry_out: contract.CarryOut, judge: contract.Judge
    ) -> model.Outcome:
        """Implements `contract.Grounds.within`."""
        if work.isolation == "shared":
            return await judge(work, await carry_out(ctx, work))
        try:
            repo = await repository.find(self.git, work.workspace, away_from=self.home.absolute())
        except repository.Unusable as why:
            return await _without(ctx, work, str(why), carry_out, judge)
        try:
            return await self._placed(ctx, work, repo, carry_out, judge)
        except errors.WorkerError as trouble:
            return _failed(merging.NO_WORKTREE, str(trouble), retryable=True)

    async def leave(self, work: order.WorkOrder) -> None:
        """Implements `contract.Grounds.leave`."""
        copy = self._finished.pop((work.run_id, work.task.id, work.attempt), None)
        if copy is not None:
            with anyio.move_on_after(REMOVAL_S, shield=True):
                try:
                    await self.copies.remove(copy.repo, copy.path)
                except errors.WorkerError as trouble:
                    log.warning("a worktree of run %s was not removed: %s", work.run_id, trouble)

    async def _placed(
        self,
        ctx: contract.TaskContext,
        work: order.WorkOrder,
        repo: repository.Repository,
        carry_out: contract.CarryOut,
        judge: contract.Judge,
    ) -> model.Outcome:
        refs = merging.Refs(work.run_id)
        if work.attempt > 1 and work.isolation == "own":
            found = await self._finished_before(ctx, work, repo, refs)
            if found is not None:
                return found
        copy, notices = await self._copy(work, repo, refs)
        placed = _ordered(work, copy, notices)
        noted = _Noted(ctx)
        ctx.beat(**{BEAT: {"attempt": copy.attempt, "base": copy.base}})
        try:
            outcome = await carry_out(noted, placed)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(FAREWELL_S, shield=True):
                await self._part(copy, work, resumable=noted.resumable)
                await self.leave(work)
            raise
        if outcome.state is AttemptState.SUCCEEDED:
            return await self._kept(ctx, copy, placed, outcome, judge)
        await self._part(copy, work, resumable=noted.resumable and outcome.retryable)
        return outcome

    async def _kept(
        self,
        ctx: contract.TaskContext,
        copy: Copy,
        placed: order.WorkOrder,
        outcome: model.Outcome,
        judge: contract.Judge,
    ) -> model.Outcome:
        """Returns a claimed success as its receipts judge it, kept, and merged if it is one.

        The change is what was there before anybody checked it: what checks leave behind is no part of it.
        """
        try:
            tree = await self.copies.tree(copy, placed.task)
            outcome = await judge(placed, outcome)
            if placed.isolation == "merged":
                return await self._looked(copy, placed, tree, outcome)
            if outcome.state is not AttemptState.SUCCEEDED:
                await self._keep(copy, placed, tree)
                self._done_with(copy, placed)
                return outcome
            return await self._settle(ctx, copy, placed, tree, outcome)
        except errors.WorkerError as trouble:
            return _spoilt(outcome, str(trouble))

    async def _finished_before(
        self, ctx: contract.TaskContext, work: order.WorkOrder, repo: repository.Repository, refs: merging.Refs
    ) -> model.Outcome | None:
        """Returns the outcome of an earlier attempt that had finished when its server died, merged now; or None."""
        kept = await self.merger.kept(repo, refs, work.task.id)
        spec = keys.spec_digest(work.task)
        for one in reversed([one for one in kept if one.state == "done" and one.spec == spec]):
            try:
                outcome = model.Outcome.model_validate_json(ctx.blobs.get(one.outcome))
            except (errors.DispatchError, ValueError):
                log.warning("the outcome of %s/%s is not there any more", work.run_id, work.task.id)
                continue
            for _, path in self.copies.earlier(work):
                await self._clear(repo, path, work)
            try:
                return await self._merge(repo, work, one.commit, outcome)
            except errors.WorkerError as trouble:
                return _spoilt(outcome, str(trouble))
        return None

    async def _copy(
        self, work: order.WorkOrder, repo: repository.Repository, refs: merging.Refs
    ) -> tuple[Copy, tuple[str, ...]]:
        """Returns the worktree to work in: the one that a session goes on in, else a new one."""
        head = await self.merger.integration(repo, refs)
        going_on = self._going_on(work, repo)
        for attempt, path in self.copies.earlier(work):
            if going_on is None or attempt != going_on.attempt:
                await self._clear(repo, path, work)
        if going_on is not None:
            with contextlib.suppress(errors.WorkerError):
                await self.copies.verify(going_on)
                return going_on, ()
        return await self.copies.make(repo, work, head), await self._notices(repo, work)

    def _going_on(self, work: order.WorkOrder, repo: repository.Repository) -> Copy | None:
        left = work.last_beat.get(BEAT)
        if not work.last_beat.get(contract.SESSION) or not _is_object(left):
            return None
        attempt, base = left.get("attempt"), str(left.get("base", ""))
        found = [Copy(repo, path, base, known) for known, path in self.copies.earlier(work) if known == attempt]
        return found[0] if found and merging.is_object(base) else None

    async def _notices(self, repo: repository.Repository, work: order.WorkOrder) -> tuple[str, ...]:
        """Returns what has to be said about the checkout; it is looked at once a run."""
        if work.run_id not in self._noticed:
            self._noticed[work.run_id] = await self._looked_over(repo, work)
        return self._noticed[work.run_id]

    async def _looked_over(self, repo: repository.Repository, work: order.WorkOrder) -> tuple[str, ...]:
        if repo.bare:
            return ()
        asked = ("status", "--porcelain", "-z", "--untracked-files=normal", "--no-renames")
        done = await self.git.run(Path(work.workspace), *asked)
        notice = merging.dirty_notice([entry[3:] for entry in done.out.split("\0") if entry])
        return (notice,) if notice else ()

    async def _clear(self, repo: repository.Repository, path: Path, work: order.WorkOrder) -> None:
        """Keeps what an attempt left in its worktree, and removes that; what cannot be kept stays where it is."""
        attempt = int(path.name.rpartition(".")[2])
        try:
            if await self.copies.discard(repo, path):
                return
            head = await self.git.run(path, "rev-parse", "--verify", "HEAD^{commit}")
            copy = Copy(repo, path, head.out.strip(), attempt)
            mine = replace(work, attempt=attempt)
            await self._keep(copy, mine, await self.copies.tree(copy, mine.task))
            await self.copies.remove(repo, path)
        except errors.WorkerError as trouble:
            log.warning("the worktree %s was left as it is: %s", path, trouble)

    async def _part(self, copy: Copy, work: order.WorkOrder, *, resumable: bool) -> None:
        """Keeps what an unsuccessful attempt did, and lets its worktree go unless a session goes on in it."""
        if resumable:
            return
        try:
            await self._keep(copy, work, await self.copies.tree(copy, merging.moved(work, copy.workspace).task))
        except errors.WorkerError as trouble:
            log.warning("the worktree %s was left as it is: %s", copy.path, trouble)
        else:
            self._done_with(copy, work)

    async def _keep(self, copy: Copy, work: order.WorkOrder, tree: str) -> str:
        """Commits a tree under the attempt's name without merging it; returns the commit, or nothing for no change."""
        if tree == await self.merger.tree(copy.repo, copy.base):
            return ""
        commit = await self.merger.commit(copy.repo, tree, (copy.base,), merging.message(work))
        await self.merger.keep(copy.repo, merging.Refs(work.run_id).of("kept", work.task.id, work.attempt), commit)
        return commit

    def _done_with(self, copy: Copy, work: order.WorkOrder) -> None:
        self._finished[work.run_id, work.task.id, work.attempt] = copy

    async def _looked(self, copy: Copy, work: order.WorkOrder, tree: str, outcome: model.Outcome) -> model.Outcome:
        """Returns the outcome of an attempt that was only to look; what it changed is kept, but not merged."""
        commit = await self._keep(copy, work, tree)
        self._done_with(copy, work)
        if not commit:
            return outcome
        detail = f"changed files of a copy that it was to look at; not merged, kept as commit {commit[:12]}"
        return _with(outcome, Receipt(kind="merge", ok=False, checked=False, detail=detail))

    async def _settle(
        self, ctx: contract.TaskContext, copy: Copy, work: order.WorkOrder, tree: str, outcome: model.Outcome
    ) -> model.Outcome:
        """Keeps a success together with its outcome, so that it can never be paid for again, and merges it."""
        digest = ctx.blobs.put(outcome.model_dump_json(exclude_defaults=True).encode())
        commit = await self.merger.commit(copy.repo, tree, (copy.base,), merging.message(work, digest))
        refs = merging.Refs(work.run_id)
        await self.merger.keep(copy.repo, refs.of("done", work.task.id, work.attempt), commit)
        self._done_with(copy, work)
        return await self._merge(copy.repo, work, commit, outcome)

    async def _merge(
        self, repo: repository.Repository, work: order.WorkOrder, commit: str, outcome: model.Outcome
    ) -> model.Outcome:
        refs = merging.Refs(work.run_id)
        found = await self.merger.merge(repo, refs, work, commit)
        if found.conflict:
            refused = outcome.model_copy(
                update={
                    "state": AttemptState.FAILED,
                    "error": found.conflict,
                    "error_kind": merging.CONFLICT,
                    "retryable": True,
                    "unverified": False,
                }
            )
            return _with(refused, Receipt(kind="merge", ok=False, detail="it does not merge with what others did"))
        if not found.changed:
            return _with(outcome, Receipt(kind="merge", ok=True, detail="nothing was changed, so nothing is merged"))
        detail = " ".join((merging.merged_detail(found.head, refs), *work.notices))
        done = _with(outcome, Receipt(kind="merge", ok=True, detail=detail))
        artifact = model.Artifact(name="commit", path=commit, mime_type="application/x-git")
        handoff = done.handoff.model_copy(update={"artifacts": (*done.handoff.artifacts, artifact)})
        return done.model_copy(update={"handoff": handoff})


def _ordered(work: order.WorkOrder, copy: Copy, notices: tuple[str, ...]) -> order.WorkOrder:
    """Returns the order for a copy of its workspace."""
    placed = replace(merging.moved(work, copy.workspace), base=copy.base, notices=(*work.notices, *notices))
    return replace(placed, directory=copy.workspace) if work.isolation == "own" else placed


async def _without(
    ctx: contract.TaskContext, work: order.WorkOrder, why: str, carry_out: contract.CarryOut, judge: contract.Judge
) -> model.Outcome:
    """Returns how the attempt ended in the workspace itself, or why it did not begin."""
    if work.isolation == "own" and work.task.isolation == "worktree":
        return _failed(
            merging.NO_WORKTREE,
            f"Task {work.task.id!r} asks for a worktree of its own, but {why}. "
            "Plan it with isolation `shared`, and on_conflict `serialize`.",
        )
    if work.isolation == "merged":
        return await judge(work, await carry_out(ctx, work))
    notice = f"There is no worktree of its own for this task, because {why}: it works in the workspace itself."
    placed = replace(work, directory=work.workspace, notices=(*work.notices, notice))
    outcome = await judge(placed, await carry_out(ctx, placed))
    return _with(outcome, Receipt(kind="merge", ok=False, checked=False, detail=notice))


def _with(outcome: model.Outcome, receipt: Receipt) -> model.Outcome:
    return outcome.model_copy(update={"receipts": (*outcome.receipts, receipt)})


def _spoilt(outcome: model.Outcome, why: str) -> model.Outcome:
    """Returns a success as a failure that is paid for: what was done could not be kept."""
    changes = {"state": AttemptState.FAILED, "error": why, "error_kind": "not_kept", "retryable": True}
    return outcome.model_copy(update={**changes, "unverified": False})


def _is_object(value: model.Json) -> TypeGuard[Mapping[str, model.Json]]:
    return isinstance(value, Mapping)


def _failed(kind: str, error: str, *, retryable: bool = False) -> model.Outcome:
    return model.Outcome(
        state=AttemptState.FAILED, error=error, error_kind=kind, summary=error[:1200], retryable=retryable
    )
