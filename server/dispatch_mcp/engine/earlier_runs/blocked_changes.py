"""Changes as reviewers are shown them: a file on which a review has blocked a change is shown since that.

What was blocked may have been committed in between. Then the change of later work alone does not hold it, and whoever
is shown no more than that would pass, with a line of their own, what others have blocked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from dispatch_mcp import errors
from dispatch_mcp.engine import plan_review_attempt, whole_files
from dispatch_mcp.engine.earlier_runs import blocked_work
from dispatch_mcp.process import file_identity
from dispatch_mcp.review import review_scope
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import unified_diff


@dataclass(frozen=True, slots=True)
class BlockedChanges:
    """Reads changes for one principal, and those of blocked files since the blocked work began."""

    store: sqlite_store.Store
    principal: str
    reader: plan_review_attempt.ChangeReader

    async def of_range(self, workspace: str, git_range: str, /) -> review_scope.Change:
        """Returns what a git range changes, and at blocked files all up to its end."""
        change = await self.reader.of_range(workspace, git_range)
        base, dots, end = git_range.rpartition("..")

        async def since(commit: str, path: str) -> str:
            whole = await self.reader.of_range(workspace, f"{commit}{dots}{end}")
            return _of_file(whole.text, path)

        return await self._with_blocked(workspace, change, base, since)

    async def of_tree(
        self, workspace: str, paths: Sequence[str] = (), base: str = "", leave_out: Collection[str] = ()
    ) -> review_scope.Change:
        """Returns what the working tree changes against a commit, and at blocked files all that it has changed."""
        change = await self.reader.of_tree(workspace, paths, base, leave_out)

        async def since(commit: str, path: str) -> str:
            return _of_file((await self.reader.of_tree(workspace, [path], commit)).text, path)

        return await self._with_blocked(workspace, change, base, since)

    async def _with_blocked(
        self, workspace: str, change: review_scope.Change, base: str, since: Callable[[str, str], Awaitable[str]]
    ) -> review_scope.Change:
        """Returns a change with the longer one in the place of that of each blocked file.

        A file whose earlier commit is gone is shown whole, or is a place that nobody has seen.
        """
        files = unified_diff.parse(change.text).files
        commits = await self._commits(workspace, [file.path for file in files])
        longer, unseen, whole_paths = dict[str, str](), list[str](), list[str]()
        for path, commit in commits.items():
            try:
                text = await since(commit, path) if commit and commit != base else ""
            except errors.DispatchError:
                whole_paths.append(path)
                continue
            longer |= {path: text} if text else {}
        if whole_paths:
            whole = await anyio.to_thread.run_sync(whole_files.read, workspace, whole_paths)
            longer |= {path: text for path in whole_paths if (text := _of_file(whole.text, path))}
            unseen += [path for path in whole_paths if path not in longer]
        if not longer and not unseen:
            return change
        parts = [longer.get(file.path) or unified_diff.render(file) for file in files]
        further = f"; {whole_files.names([*longer])} since the work began that a review has blocked there"
        return change._replace(
            text="\n".join(parts), unseen=(*change.unseen, *unseen), further=further if longer else ""
        )

    async def _commits(self, workspace: str, paths: Sequence[str]) -> Mapping[str, str]:
        """Returns from which commit on blocked ones of these files have to be shown: that of their first block."""
        if not paths:
            return {}
        blocks = await blocked_work.open_blocks(self.store, self.principal, workspace)
        places = await anyio.to_thread.run_sync(
            lambda: {path: file_identity.common_place(Path(workspace), path) for path in paths}
        )
        commits: dict[str, str] = {}
        for block in reversed(blocks):
            for path, place in places.items():
                if place in block.places:
                    commits.setdefault(path, block.base)
        return commits


def _of_file(diff: str, path: str) -> str:
    """Returns one file's part of a change."""
    return "\n".join(unified_diff.render(file) for file in unified_diff.parse(diff).files if file.path == path)
