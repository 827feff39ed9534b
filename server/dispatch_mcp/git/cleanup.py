"""Finds what runs have left in repositories and in the state directory, and removes what is safe elsewhere.

Safe means: a worktree whose contents are committed under a ref that stays, and a ref whose commit a branch of the
user holds. Everything else stays, and is listed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.git import git_process, inner_work, merge_queue, worktree, worktree_leftovers
from dispatch_mcp.model import run_refs


def trees(home: Path, open_runs: Collection[str]) -> list[worktree_leftovers.LeftWorktree]:
    """Returns the worktrees below a state directory; only their names are looked at."""
    active = {run_refs.safe_part(run) for run in open_runs}
    leftovers: list[worktree_leftovers.LeftWorktree] = []
    for path in sorted((home / worktree.FOLDER).glob("*/*")):
        task, _, attempt = path.name.rpartition(".")
        if path.is_dir() and task and attempt.isdigit():
            run = path.parent.name
            leftovers.append(
                worktree_leftovers.LeftWorktree(
                    path=str(path),
                    run=run,
                    task=task,
                    attempt=int(attempt),
                    left=run not in active,
                    note=worktree.reason(path),
                )
            )
    return leftovers


@dataclass(frozen=True, slots=True)
class Cleaner:
    """Looks at leftovers and removes them; `open_runs` are those that are not over.

    With `own_runs` the refs of no other run are dropped: it may be one of another state directory, or have just begun.
    """

    git: git_process.Git
    home: Path
    open_runs: frozenset[str]
    own_runs: frozenset[str] | None = None

    async def look(self, *workspaces: str) -> worktree_leftovers.Leftovers:
        """Returns everything of this state directory, and of the workspaces' repositories; touches nothing."""
        leftovers = trees(self.home, self.open_runs)
        works = [
            work for repo in await self._repositories(workspaces, leftovers) for work in await self._left_runs(repo)
        ]
        return worktree_leftovers.Leftovers(trees=tuple(leftovers), works=tuple(works))

    async def prune(self, *workspaces: str) -> worktree_leftovers.Leftovers:
        """Removes what is safe elsewhere; returns the worktrees that stay and why, and what is kept of each run."""
        leftovers = trees(self.home, self.open_runs)
        repositories = await self._repositories(workspaces, leftovers)
        for repo in repositories:
            await worktree.Worktrees(self.git, self.home).heal(repo)
        stay = [tree for tree in [await self._clear(tree) for tree in leftovers] if tree is not None]
        works = [await self._drop(repo, work) for repo in repositories for work in await self._left_runs(repo)]
        return worktree_leftovers.Leftovers(trees=tuple(stay), works=tuple(works))

    async def _repositories(
        self, workspaces: Iterable[str], leftovers: Iterable[worktree_leftovers.LeftWorktree]
    ) -> list[git_process.Repository]:
        """Returns the repositories that are concerned, each once."""
        folders = [*workspaces, *(tree.path for tree in leftovers)]
        by_folder: dict[Path, git_process.Repository] = {}
        for folder in folders:
            try:
                repo = await git_process.find(self.git, folder)
            except git_process.Unusable:
                continue
            by_folder.setdefault(repo.common, replace(repo, top=repo.common))
        return list(by_folder.values())

    async def unreadable(self, workspaces: Iterable[str]) -> dict[str, str]:
        """Returns the folders whose repository may hold work of runs and cannot be looked at, each with the reason."""
        reasons = {workspace: await self._obstacle(workspace) for workspace in workspaces}
        return {workspace: reason for workspace, reason in reasons.items() if reason}

    async def _obstacle(self, workspace: str) -> str:
        folder = Path(workspace)
        if not workspace or not await anyio.Path(folder).is_dir():
            return ""
        try:
            await git_process.find(self.git, workspace)
        except git_process.Unusable as why:
            try:  # without any commit of its own there may be refs of ours all the same
                is_free = not (await self.git.run(folder, "for-each-ref", "--count=1", f"{run_refs.PREFIX}/")).out
            except errors.WorkerError:
                is_free = not any((parent / ".git").exists() for parent in (folder, *folder.parents))
            return "" if is_free else why.reason
        return ""

    async def _clear(self, tree: worktree_leftovers.LeftWorktree) -> worktree_leftovers.LeftWorktree | None:
        """Returns a worktree that stays, and why."""
        if not tree.left:
            return tree
        worktrees = worktree.Worktrees(self.git, self.home)
        try:
            repo = await git_process.find(self.git, tree.path)
            repo = replace(repo, top=repo.common)
            if await worktrees.discard(repo, Path(tree.path)):
                return None
            copy = await worktrees.left_over(repo, Path(tree.path), tree.attempt)
            works = await self._keep(worktrees, copy, tree)
            if any(not work.ref for work in works):
                return tree.model_copy(update={"note": inner_work.remark(works)})
            await worktrees.remove(repo, Path(tree.path))
        except (git_process.Unusable, errors.WorkerError) as why:
            return tree.model_copy(update={"note": str(why)})
        return None

    async def _keep(
        self, worktrees: worktree.Worktrees, copy: worktree.Worktree, tree: worktree_leftovers.LeftWorktree
    ) -> tuple[inner_work.InnerWork, ...]:
        """Commits what is in a worktree, unless it is what its commit says and something else holds that.

        Returns the work inside other repositories, which that commit does not hold.
        """
        merger = merge_queue.Merger(self.git)
        ref = f"{run_refs.PREFIX}/{tree.run}/kept/{tree.task}/{tree.attempt}"
        contents = await worktrees.contents(copy, model.Task(id=tree.task, do="left behind"), ref)
        if contents.tree == await merger.tree(copy.repo, copy.base) and await self._is_held(copy.repo, copy.base):
            return contents.works
        message = f"{tree.task}: left behind by attempt {tree.attempt}\n\nDispatch-Run: {tree.run}\n"
        commit = await merger.commit(copy.repo, contents.tree, (copy.base,), message)
        await merger.keep(copy.repo, ref, commit)
        return contents.works

    async def _is_held(self, repo: git_process.Repository, commit: str) -> bool:
        command = ("for-each-ref", "--count=1", "--format=%(refname)", "--contains", commit)
        return bool((await self.git.run(repo.top, *command)).out.strip())

    async def _is_applied(self, repo: git_process.Repository, commit: str) -> bool:
        """Returns whether a branch of the user holds a commit."""
        command = ("for-each-ref", "--count=1", "--format=%(refname)", "--contains", commit, "refs/heads/")
        return bool((await self.git.run(repo.top, *command)).out.strip())

    async def _refs(self, repo: git_process.Repository) -> dict[str, dict[str, str]]:
        """Returns the refs of each run with their commits."""
        command = ("for-each-ref", "--format=%(objectname) %(refname)", f"{run_refs.PREFIX}/")
        runs: dict[str, dict[str, str]] = {}
        for line in (await self.git.run(repo.top, *command)).lines:
            commit, _, ref = line.partition(" ")
            runs.setdefault(ref.removeprefix(f"{run_refs.PREFIX}/").partition("/")[0], {})[ref] = commit
        return runs

    async def _left_runs(self, repo: git_process.Repository) -> list[worktree_leftovers.LeftRun]:
        active = {run_refs.safe_part(run) for run in self.open_runs}
        works: list[worktree_leftovers.LeftRun] = []
        for run, refs in (await self._refs(repo)).items():
            root = f"{run_refs.PREFIX}/{run}"
            head = refs.get(f"{root}/merged", "")
            works.append(
                worktree_leftovers.LeftRun(
                    repository=str(repo.common),
                    run=run,
                    merged=head,
                    applied=bool(head) and await self._is_applied(repo, head),
                    empty=bool(head) and head == refs.get(f"{root}/base"),
                    open=run in active,
                    conflicts=sum(ref.startswith(f"{root}/conflicts/") for ref in refs),
                    kept=sum(ref.startswith(f"{root}/kept/") for ref in refs)
                    + len(await self._unmerged_successes(repo, root, refs)),
                    edits=sum(ref.startswith(f"{root}/before/") for ref in refs),
                )
            )
        return works

    async def _unmerged_successes(self, repo: git_process.Repository, root: str, refs: Mapping[str, str]) -> list[str]:
        """Returns the successes of a run that were never merged, because it was cancelled just then."""
        successes = [ref for ref in refs if ref.startswith(f"{root}/done/")]
        head = refs.get(f"{root}/merged", "")
        if not successes or not head:
            return successes
        command = ("for-each-ref", "--format=%(refname)", "--no-merged", head, f"{root}/done/")
        candidates = (await self.git.run(repo.top, *command)).lines
        return [ref for ref in candidates if not await self._is_empty(repo, refs.get(ref, head))]

    async def _is_empty(self, repo: git_process.Repository, commit: str) -> bool:
        """Returns whether a commit changes nothing."""
        answer = await self.git.run(repo.top, "rev-parse", f"{commit}^{{tree}}", f"{commit}^^{{tree}}", codes=(0, 128))
        return answer.code == 0 and len(set(answer.lines)) == 1

    async def _drop(self, repo: git_process.Repository, work: worktree_leftovers.LeftRun) -> worktree_leftovers.LeftRun:
        """Deletes the refs of a finished run that hold nothing which a branch, or its merged state, does not hold."""
        is_own = self.own_runs is None or work.run in map(run_refs.safe_part, self.own_runs)
        if work.open or not is_own:
            return work
        refs = (await self._refs(repo)).get(work.run, {})
        root = f"{run_refs.PREFIX}/{work.run}"
        waiting = await self._unmerged_successes(repo, root, refs)
        obsolete = {ref for ref in refs if ref.startswith(f"{root}/done/") and ref not in waiting}
        drop = [
            f"delete {ref} {commit}"
            for ref, commit in refs.items()
            if ref in obsolete or await self._is_applied(repo, commit)
        ]
        if drop:
            # Each with the commit that was looked at: a ref that has moved since stays, and with it all the others.
            await self.git.run(repo.top, "update-ref", "--stdin", stdin="\n".join(drop) + "\n")
        without_head = f"delete {root}/merged {work.merged}" in drop
        return work.model_copy(update={"removed": len(drop), "merged": "" if without_head else work.merged})
