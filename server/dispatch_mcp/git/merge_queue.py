"""The merge queue: brings the changes of a run's attempts together, one after the other, without any checkout.

What a run has merged is one ref. A merge makes its objects first and then moves the ref, only if nobody else has
moved it meanwhile (compare and swap): whatever is killed at whatever moment, the ref says either before or after, and
objects that no ref names are nobody's loss. In one process `Turns` lets one merge of a run in at a time, so that a
swap seldom fails and the order follows the plan; between processes only the swap counts.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from dispatch_mcp import errors
from dispatch_mcp.git import git_process, merge_rules
from dispatch_mcp.model import run_refs, work_order

LOCKED_S = 5.0
"""From which age on the lock of a ref of ours belongs to nobody."""

TRIES = 20
"""How often a merge is made anew because somebody else's came first. Each failure means that another one succeeded."""


class Turns:
    """Lets one in at a time; of those who wait, the one with the lowest rank first."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, anyio.Event]] = []
        self._numbers = itertools.count()
        self._busy = False

    @asynccontextmanager
    async def turn(self, rank: int) -> AsyncGenerator[None]:
        """Waits for its turn and keeps it until the block ends."""
        entry = (rank, next(self._numbers), anyio.Event())
        heapq.heappush(self._waiting, entry)
        self._admit()
        try:
            await entry[2].wait()
            yield
        finally:
            # Whoever is cancelled in the moment of being let in has the turn all the same, and passes it on.
            if entry[2].is_set():
                self._busy = False
            else:
                self._waiting.remove(entry)
                heapq.heapify(self._waiting)
            self._admit()

    def _admit(self) -> None:
        if self._waiting and not self._busy:
            self._busy = True
            heapq.heappop(self._waiting)[2].set()


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What the run's ref says after a change was brought to it; `conflict` is set when it could not be."""

    head: str
    changed: bool = True
    conflict: str = ""


@dataclass(frozen=True, slots=True)
class Merger:
    """Merges changes and keeps their refs."""

    git: git_process.Git
    _turns: dict[str, Turns] = field(default_factory=dict[str, Turns])

    async def integration(self, repo: git_process.Repository, refs: run_refs.Refs) -> str:
        """Returns what the run has merged so far; before the first time, the checkout's commit. Raises WorkerError."""
        head = await self._read(repo, refs.merged)
        if head:
            return head
        # Both refs or neither, and only if nobody has made them: of two first attempts at once one is refused, and
        # both go on with what the other one's transaction has made.
        lines = f"create {refs.merged} {repo.head}\ncreate {refs.base} {repo.head}\n"
        await self._move(repo, lines)
        head = await self._read(repo, refs.merged)
        if not head:
            raise errors.WorkerError(f"{refs.merged} could not be made in {str(repo.common)!r}.")
        return head

    async def revision(self, repo: git_process.Repository, refs: run_refs.Refs) -> str:
        """Returns what the run has merged, empty when it has begun nothing here."""
        return await self._read(repo, refs.merged)

    async def base(self, repo: git_process.Repository, refs: run_refs.Refs) -> str:
        """Returns the commit that the run began from, empty when it has begun nothing here."""
        return await self._read(repo, refs.base)

    async def _read(self, repo: git_process.Repository, ref: str) -> str:
        return (await self.git.run(repo.top, "rev-parse", "--verify", "--quiet", ref, codes=(0, 1, 128))).out.strip()

    async def changes_left(
        self, repo: git_process.Repository, refs: run_refs.Refs, task_id: str = ""
    ) -> list[merge_rules.KeptChange]:
        """Returns the changes that attempts of the run, or of one task, have left."""
        answer = await self.git.run(repo.top, "for-each-ref", f"--format={merge_rules.KEPT_FORMAT}", f"{refs.root}/")
        changes = merge_rules.read_kept(answer.out, refs)
        return [change for change in changes if not task_id or change.task == run_refs.safe_part(task_id)]

    async def commit(self, repo: git_process.Repository, tree: str, parents: Sequence[str], message: str) -> str:
        """Returns a new commit; no ref knows it yet."""
        options = [word for parent in parents for word in ("-p", parent)]
        author = await self.git.identity(repo.top)
        answer = await self.git.run(
            repo.top, "commit-tree", "--no-gpg-sign", *options, "-F", "-", tree, stdin=message, env=author
        )
        return answer.out.strip()

    async def keep(self, repo: git_process.Repository, ref: str, commit: str) -> None:
        """Lets a ref of ours name a commit."""
        if refusal := await self._move(repo, f"update {ref} {commit}\n"):
            raise errors.WorkerError(f"{ref} cannot be moved: {refusal}")

    async def tree(self, repo: git_process.Repository, commit: str) -> str:
        """Returns the tree of a commit."""
        return (await self.git.run(repo.top, "rev-parse", "--verify", f"{commit}^{{tree}}")).out.strip()

    async def is_in(self, repo: git_process.Repository, commit: str, head: str) -> bool:
        """Returns whether `head` holds a commit already."""
        answer = await self.git.run(repo.top, "merge-base", "--is-ancestor", commit, head, codes=(0, 1))
        return answer.code == 0

    async def merge(
        self, repo: git_process.Repository, refs: run_refs.Refs, work: work_order.WorkOrder, commit: str
    ) -> MergeResult:
        """Brings a kept change into what the run has merged; harmless to repeat.

        A change that does not merge is kept as one in conflict, and the answer says what to do about it.

        Raises:
            WorkerError: git failed; nothing was merged.
        """
        turns = self._turns.setdefault(f"{repo.common} {refs.root}", Turns())
        async with turns.turn(work.rank):
            for _ in range(TRIES):
                result = await self._once(repo, refs, work, commit)
                if result is not None:
                    return result
        raise errors.WorkerError(f"{refs.merged} is moved by others all the time.", hint="Try again.")

    async def _once(
        self, repo: git_process.Repository, refs: run_refs.Refs, work: work_order.WorkOrder, commit: str
    ) -> MergeResult | None:
        """Returns what came of one try, or None when somebody else's merge came first."""
        head = await self.integration(repo, refs)
        answer = await self.git.run(repo.top, "rev-parse", f"{commit}^", f"{commit}^{{tree}}", f"{commit}^^{{tree}}")
        parent, tree, parent_tree = answer.lines
        step = merge_rules.step(head, parent, tree, parent_tree)
        if step == "nothing" or (step == "merge" and await self.is_in(repo, commit, head)):
            return MergeResult(head, changed=step != "nothing")
        new = commit
        if step == "merge":
            merge = await self.try_merge(repo, head, commit)
            if merge.conflicts:
                return await self._conflict(repo, refs, work, merge, (head, commit, parent))
            message = f"Merge task {work.task.id} of run {work.run_id}\n"
            new = await self.commit(repo, merge.tree, (head, commit), message)
        # The swap: git moves the ref only if it still names `head`. Refused although it does, the reason is another
        # one (a full disk, a foreign lock), and trying again would not help.
        refusal = await self._move(repo, f"update {refs.merged} {new} {head}\n")
        if refusal and await self._read(repo, refs.merged) == head:
            raise errors.WorkerError(f"{refs.merged} cannot be moved: {refusal}")
        return None if refusal else MergeResult(new)

    async def _move(self, repo: git_process.Repository, lines: str) -> str:
        """Moves refs of ours, all or none, and returns why git refused, empty when it did not.

        A lock that a git left when it was killed with its server is waited for, then taken away; nobody else locks
        these refs, and whoever lives locks them for milliseconds.
        """
        deadline = anyio.current_time() + 2 * LOCKED_S
        while True:
            answer = await self.git.run(repo.top, "update-ref", "--stdin", stdin=lines, codes=(0, 128))
            if answer.code == 0:
                return ""
            lock = merge_rules.lock_in(answer.err, str(repo.common))
            if not lock or anyio.current_time() > deadline:
                return answer.complaint
            if not await anyio.to_thread.run_sync(_unlocked, Path(lock)):
                await anyio.sleep(LOCKED_S / 20)

    async def try_merge(self, repo: git_process.Repository, head: str, commit: str) -> merge_rules.Merge:
        """Returns what a merge of two commits comes to; touches no ref, index or checkout."""
        command = ("merge-tree", "--write-tree", "-z", "--name-only", "--messages")
        answer = await self.git.run(repo.top, *command, head, commit, codes=(0, 1))
        try:
            merge = merge_rules.read_merge_tree(answer.out)
        except ValueError as error:
            raise errors.WorkerError(f"`git merge-tree` answered something else: {error} {answer.complaint}") from None
        if answer.code and not merge.conflicts:
            raise errors.WorkerError(f"`git merge-tree` failed: {answer.complaint}")
        return merge

    async def _conflict(
        self,
        repo: git_process.Repository,
        refs: run_refs.Refs,
        work: work_order.WorkOrder,
        merge: merge_rules.Merge,
        commits: tuple[str, str, str],
    ) -> MergeResult:
        head, commit, parent = commits
        sides = await self._sides(repo, f"{parent}..{head}", merge.conflicts)
        changes = await self.changes_left(repo, refs, work.task.id)
        lines = [f"update {refs.change('conflicts', work.task.id, work.attempt)} {commit}"]
        # In the same transaction, so that a restart finds the change either as one to merge or as one in conflict.
        lines += [
            f"delete {refs.change('done', work.task.id, change.attempt)} {commit}"
            for change in changes
            if change.state == "done" and change.commit == commit
        ]
        if refusal := await self._move(repo, "\n".join(lines) + "\n"):
            raise errors.WorkerError(f"The conflicting change of {work.task.id!r} cannot be kept: {refusal}")
        return MergeResult(head, changed=False, conflict=merge_rules.conflict_brief(merge, commit, parent, sides))

    async def _sides(self, repo: git_process.Repository, span: str, paths: Sequence[str]) -> list[merge_rules.Side]:
        """Returns which tasks' commits in `span` touched one of the paths, the newest first."""
        form = "--format=%H %(trailers:key=Dispatch-Task,valueonly,separator=%x2C)"
        command = ("log", "--no-merges", f"--max-count={merge_rules.MAX_NAMED}", form, span, "--", *paths[:200])
        answer = await self.git.run(repo.top, *command, env={"GIT_LITERAL_PATHSPECS": "1"})
        pairs = (line.partition(" ") for line in answer.lines)
        return [merge_rules.Side(task.strip(), commit) for commit, _, task in pairs if task.strip()]


def _unlocked(lock: Path) -> bool:
    """Returns whether the lock is gone, taken away if it is old."""
    # Between looking and taking away, another server may have done the same and its git may lock anew: a window of
    # microseconds after a wait of seconds, and only servers write these refs.
    try:
        if time.time() - lock.stat().st_mtime < LOCKED_S:
            return False
        lock.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
