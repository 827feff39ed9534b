"""Brings what a run has merged into the user's checkout, when a person says so and never otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anyio

from dispatch_mcp import errors
from dispatch_mcp.git import apply_rules, git_process, merge_queue, merge_rules
from dispatch_mcp.model import merge_offer, run_refs
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
class Applier:
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
            raise errors.InputError(f"Nothing can be applied: {why}.", hint="Run it where the checkout is.") from None
        revision = await self._merger.merged(repo, run_refs.Refs(run_id))
        if not revision or repo.bare:
            what = "the repository has no checkout" if revision else "it has merged nothing here"
            raise errors.InputError(
                f"Run {run_id} cannot be applied: {what}.", hint=NextStep(StepKind.READ_RUN, run_id)
            )
        offer = merge_offer.Offer(
            run_id=run_id,
            revision=revision,
            head=repo.head,
            branch=await self._branch(repo),
            busy=await self._busy(repo),
        )
        if await self._merger.is_in(repo, revision, repo.head):
            return repo, offer, ""
        return await self._compared(repo, offer)

    async def _compared(
        self, repo: git_process.Repository, offer: merge_offer.Offer
    ) -> tuple[git_process.Repository, merge_offer.Offer, str]:
        forward = await self._merger.is_in(repo, repo.head, offer.revision)
        found = merge_rules.Merge(offer.revision)
        if not forward:
            found = await self._merger.try_merge(repo, repo.head, offer.revision)
        files = await self._names(repo, "diff", "--name-only", "-z", "--no-renames", repo.head, found.tree)
        status = await self._names(repo, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
        count = await self.git.run(repo.top, "rev-list", "--count", "--no-merges", f"{repo.head}..{offer.revision}")
        changes = {
            "way": "forward" if forward else "merge",
            "commits": int(count.out),
            "files": tuple(merge_rules.shown(files)),
            "local": tuple(merge_rules.shown(apply_rules.local([entry[3:] for entry in status], files))),
            "clashes": tuple(merge_rules.shown(found.conflicts)),
        }
        return repo, offer.model_copy(update=changes), found.tree

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
            said = f"Merge run {run_id} of dispatch-mcp\n\nDispatch-Run: {run_id}\n"
            target = await self._merger.commit(repo, tree, (repo.head, offer.revision), said)
        asked = ("merge", "--ff-only", "--quiet", "--no-verify-signatures", "--no-stat", target)
        done = await self.git.run(repo.top, *asked, codes=range(256))
        if done.code:
            raise errors.NotAllowed(
                f"git did not change the checkout: {done.said}", hint="Settle that, look again, and apply again."
            )
        return offer.model_copy(update={"applied": True})

    async def _branch(self, repo: git_process.Repository) -> str:
        return (await self.git.run(repo.top, "symbolic-ref", "--quiet", "--short", "HEAD", codes=(0, 1))).out.strip()

    async def _busy(self, repo: git_process.Repository) -> str:
        asked = [word for name in _BUSY for word in ("--git-path", name)]
        done = await self.git.run(repo.top, "rev-parse", "--path-format=absolute", *asked)
        for path, what in zip(done.lines, _BUSY.values(), strict=True):
            if await anyio.Path(Path(path)).exists():
                return what
        return ""

    async def _names(self, repo: git_process.Repository, *asked: str) -> list[str]:
        done = await self.git.run(repo.top, *asked)
        return [name for name in done.out.split("\0") if name]
