"""Brings what a run has merged into the user's checkout, when a person says so and never otherwise."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from dispatch_mcp import errors
from dispatch_mcp.git import (
    apply_rules,
    foreign_repositories,
    git_process,
    inner_repositories,
    merge_queue,
    merge_rules,
    path_obstacles,
)
from dispatch_mcp.model import merge_offer, run_refs, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind

_BUSY = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisection",
}


@dataclass(frozen=True, slots=True)
class BranchApply:
    """Looks at a checkout, and changes it."""

    git: git_process.Git

    @property
    def _merger(self) -> merge_queue.Merger:
        return merge_queue.Merger(self.git)

    async def look(self, workspace: str, run_id: str) -> merge_offer.Offer:
        """Returns what there is to apply; touches nothing.

        Raises:
            InputError: the run has merged nothing, or there is no checkout.
        """
        return (await self._look(workspace, run_id))[1]

    async def _look(self, workspace: str, run_id: str) -> tuple[git_process.Repository, merge_offer.Offer, str]:
        """Returns the repository, the offer, and the tree that the branch would have."""
        try:
            repo = await git_process.find(self.git, workspace)
        except git_process.Unusable as why:
            hint = why.hint or "Run it where the checkout is."
            raise errors.InputError(f"Nothing can be applied: {why.reason}.", hint=hint) from None
        revision = await self._merger.revision(repo, run_refs.Refs(run_id))
        if not revision or repo.bare:
            what = "the repository has no checkout" if revision else "it has merged nothing that still waits here"
            raise errors.InputError(
                f"Run {short_ids.short(run_id)} cannot be applied: {what}.", hint=NextStep(StepKind.READ_RUN, run_id)
            )
        offer = merge_offer.Offer(
            run_id=run_id,
            revision=revision,
            head=repo.head,
            branch=await self._branch(repo),
            busy=await self._busy(repo),
            is_empty=revision == await self._merger.base(repo, run_refs.Refs(run_id)),
        )
        if await self._merger.is_in(repo, revision, repo.head):
            return repo, offer, ""
        return await self._compare(repo, offer)

    async def _compare(
        self, repo: git_process.Repository, offer: merge_offer.Offer
    ) -> tuple[git_process.Repository, merge_offer.Offer, str]:
        forward = await self._merger.is_in(repo, repo.head, offer.revision)
        merge = merge_rules.Merge(offer.revision)
        if not forward:
            merge = await self._merger.try_merge(repo, repo.head, offer.revision)
        difference = ("diff", "--raw", "-z", "--no-renames", "--full-index", repo.head, merge.tree)
        coming = merge_rules.read_changes((await self.git.run(repo.top, *difference)).out)
        files = [change.path for change in coming]
        status = await self._names(repo, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
        count = await self.git.run(repo.top, "rev-list", "--count", "--no-merges", f"{repo.head}..{offer.revision}")
        dirty = {*apply_rules.local([entry[3:] for entry in status], files), *await self._dirty_inside(repo, coming)}
        dirty |= await self._dirty_behind_marks(repo, files)
        changes = {
            "way": "forward" if forward else "merge",
            "commits": int(count.out),
            "files": tuple(merge_rules.printable(files)),
            "local": tuple(merge_rules.printable(sorted({*dirty, *await self._in_the_way(repo, coming)}))),
            "clashes": tuple(merge_rules.printable(merge.conflicts)),
            "lacking": tuple(merge_rules.printable(await self._lacking(repo, coming, merge.tree))),
            "behind_filters": tuple(merge_rules.printable(await self._filtered(repo, files))),
        }
        return repo, offer.model_copy(update=changes), merge.tree

    async def _in_the_way(self, repo: git_process.Repository, coming: Sequence[merge_rules.PathChange]) -> list[str]:
        ask = ("config", "--get", "--type=bool", "--default=false", "core.ignoreCase")
        ignore_case = (await self.git.run(repo.top, *ask)).out.strip() == "true"
        look = functools.partial(path_obstacles.in_the_way, repo.top, coming, ignore_case=ignore_case)
        return await anyio.to_thread.run_sync(look)

    async def _filtered(self, repo: git_process.Repository, files: Sequence[str]) -> list[str]:
        """Returns the files that only a filter which may not run would write as the user expects them."""
        filters = (await self.git.own_programs(repo.top)).filters
        if not filters or not files:
            return []
        ask = ("check-attr", "--stdin", "-z", "filter")
        fields = (await self.git.run(repo.top, *ask, stdin="\0".join(files) + "\0")).out.split("\0")
        return [path for path, name in zip(fields[::3], fields[2::3], strict=False) if name in filters]

    async def _dirty_inside(self, repo: git_process.Repository, coming: Sequence[merge_rules.PathChange]) -> list[str]:
        """Returns the submodules that the change touches and in which something is in no commit."""
        moves = [change.path for change in coming if merge_rules.GITLINK in (change.mode, change.old_mode)]
        names = await foreign_repositories.submodule_names(self.git, repo.top) if moves else {}
        folders = [path for path in moves if foreign_repositories.git_directory(repo.top / path)]
        return [path for path in folders if await self._is_dirty(repo, path, names.get(path, path))]

    async def _dirty_behind_marks(self, repo: git_process.Repository, files: Sequence[str]) -> set[str]:
        """Returns the files with edits that git does not show, as its index says to take them for unchanged."""
        entries = await self._names(repo, "ls-files", "-v", "--stage", "-z")
        marks = dict(_mark(entry) for entry in entries if entry[:1] == "S" or entry[:1].islower())
        present = [path for path in files if path in marks and (repo.top / path).is_file()]
        if not present:
            return set()
        hashes = (await self.git.run(repo.top, "hash-object", "--stdin-paths", stdin="\n".join(present) + "\n")).lines
        return {path for path, digest in zip(present, hashes, strict=True) if digest != marks[path]}

    async def _is_dirty(self, repo: git_process.Repository, path: str, name: str) -> bool:
        ask = ("config", "--get", f"submodule.{name}.ignore")
        ignore = (await self.git.run(repo.top, *ask, codes=(0, 1))).out.strip()
        new_files = "no" if ignore == "untracked" else "normal"
        ask = ("status", "--porcelain", "-z", f"--untracked-files={new_files}")
        return ignore not in ("all", "dirty") and bool((await self.git.run(repo.top / path, *ask)).out)

    async def _lacking(
        self, repo: git_process.Repository, coming: Sequence[merge_rules.PathChange], tree: str
    ) -> list[str]:
        """Returns the submodules that would move to a commit which the user's copies of them do not have."""
        moves = [change for change in coming if change.mode == merge_rules.GITLINK]
        if not moves:
            return []
        foreign = foreign_repositories.ForeignGit(self.git, repo, repo.top, repo.common)
        names = await foreign_repositories.submodule_names(self.git, repo.top, blob=f"{tree}:.gitmodules")
        homes = [(move, await inner_repositories.keeper(repo, move.path, names, None)) for move in moves]
        return [
            move.path
            for move, home in homes
            if home is None or not await foreign.is_held(home, move.object, by_runs=True)
        ]

    async def apply(self, workspace: str, run_id: str, expect: str) -> merge_offer.Offer:
        """Brings the run's work into the checkout's branch, and returns what was done.

        Raises:
            InputError: the run's work is not at the revision `expect`, or there is none.
            NotAllowed: the checkout is in no state for it, or changed meanwhile; nothing was touched.
        """
        repo, offer, tree = await self._look(workspace, run_id)
        apply_rules.refuse(offer, expect)
        if offer.way == "nothing":
            return offer
        target = offer.revision
        if offer.way == "merge":
            message = f"Merge run {short_ids.short(run_id)} of dispatch-mcp\n\nDispatch-Run: {run_id}\n"
            target = await self._merger.commit(repo, tree, (repo.head, offer.revision), message)
        command = ("merge", "--ff-only", "--no-overwrite-ignore", "--quiet", "--no-verify-signatures", "--no-stat")
        # Another swap: `--ff-only` refuses if the branch has left `repo.head` since it was looked at, and git itself
        # refuses before it touches anything if a file that would change has been changed, or an ignored one has come.
        answer = await self.git.run(repo.top, *command, target, codes=range(256))
        if answer.code:
            raise errors.NotAllowed(
                f"git did not change the checkout: {answer.complaint}", hint="Settle that, look again, and apply again."
            )
        return offer.model_copy(update={"applied": True})

    async def _branch(self, repo: git_process.Repository) -> str:
        return (await self.git.run(repo.top, "symbolic-ref", "--quiet", "--short", "HEAD", codes=(0, 1))).out.strip()

    async def _busy(self, repo: git_process.Repository) -> str:
        options = [word for name in _BUSY for word in ("--git-path", name)]
        answer = await self.git.run(repo.top, "rev-parse", "--path-format=absolute", *options)
        for path, operation in zip(answer.lines, _BUSY.values(), strict=True):
            if await anyio.Path(Path(path)).exists():
                return operation
        return ""

    async def _names(self, repo: git_process.Repository, *arguments: str) -> list[str]:
        answer = await self.git.run(repo.top, *arguments)
        return [name for name in answer.out.split("\0") if name]


def _mark(entry: str) -> tuple[str, str]:
    """Returns the path and the object of an entry of `git ls-files -v --stage`."""
    words, _, path = entry.partition("\t")
    return path, words.split(" ")[2]
