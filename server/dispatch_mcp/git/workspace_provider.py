"""A worktree for every attempt that changes files, and one to look at for those that build on such changes.

Worktrees begin from what the run has merged so far, never from the user's checkout. What an attempt leaves behind is
committed before its worktree goes, so nothing is lost.

A success passes four steps, and a server can be killed between any two of them: its outcome is stored as a blob; its
change is committed under a `done` ref whose message names that blob; the change is merged; the engine accepts the
outcome. The next attempt looks for a `done` ref first: it takes over the outcome of exactly this task (same digest of
its spec) and merges again, which is harmless to repeat. So work that was finished is never paid for twice, and a
change is never merged without the outcome that explains it. The worktree goes last, when the engine says `leave`.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.git import (
    command_log,
    edits_copy,
    git_process,
    inner_work,
    merge_queue,
    merge_rules,
    worktree,
)
from dispatch_mcp.model import AttemptState, Receipt, digests, failures, ports, run_refs, work_order
from dispatch_mcp.runs import receipts, task_isolation, tool_permissions
from dispatch_mcp.text import escape, json_types

log = logging.getLogger(__name__)

FAREWELL_S = 5.0
"""What keeping a cancelled attempt's changes may take: whoever cancels waits for it."""

REMOVAL_S = 30.0
"""What removing a worktree may take; one that is not removed in time is listed as left over."""


@dataclass(slots=True)
class _SessionWatch(ports.Relay):
    """The context that a worker gets; notes whether the next attempt would go on with a session."""

    resumable: bool = False

    def beat(self, **details: model.Json) -> None:
        """Passes the beat on."""
        if ports.SESSION in details:
            self.resumable = bool(details[ports.SESSION])
        self.inner.beat(**details)


@dataclass(slots=True)
class WorktreeProvider:
    """Implements `ports.WorkspaceProvider` with git."""

    git: git_process.Git
    home: Path
    merger: merge_queue.Merger = field(init=False)
    worktrees: worktree.Worktrees = field(init=False)
    _removable: dict[tuple[str, str, int], worktree.Worktree] = field(
        default_factory=dict[tuple[str, str, int], worktree.Worktree]
    )
    _notices_by_run: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def __post_init__(self) -> None:
        self.merger = merge_queue.Merger(self.git)
        self.worktrees = worktree.Worktrees(self.git, self.home)

    async def within(
        self, ctx: ports.TaskContext, work: work_order.WorkOrder, carry_out: ports.CarryOut, judge: ports.Judge
    ) -> model.Outcome:
        """Implements `ports.WorkspaceProvider.within`."""
        if work.isolation == "shared":
            return await judge(work, await carry_out(ctx, work))
        try:
            repo = await git_process.find(self.git, work.workspace, away_from=self.home.absolute())
        except git_process.Unusable as why:
            if work.last_beat.get(ports.COPY):  # an earlier attempt had one: this is trouble, and no other way to work
                return _failed("git_failed", f"Task {work.task.id!r} has a worktree to go on in, but {why}.")
            return await _without_worktree(ctx, work, why, carry_out, judge)
        try:
            return await self._in_worktree(ctx, work, repo, carry_out, judge)
        except errors.WorkerError as trouble:
            return _failed(_kind_of(trouble, "git_failed"), str(trouble))

    async def leave(self, work: work_order.WorkOrder) -> None:
        """Implements `ports.WorkspaceProvider.leave`."""
        copy = self._removable.pop((work.run_id, work.task.id, work.attempt), None)
        if copy is not None:
            with anyio.move_on_after(REMOVAL_S, shield=True):
                try:
                    await self.worktrees.remove(copy.repo, copy.path)
                except errors.WorkerError as trouble:
                    log.warning("a worktree of run %s was not removed: %s", work.run_id, trouble)

    async def _in_worktree(
        self,
        ctx: ports.TaskContext,
        work: work_order.WorkOrder,
        repo: git_process.Repository,
        carry_out: ports.CarryOut,
        judge: ports.Judge,
    ) -> model.Outcome:
        refs = run_refs.Refs(work.run_id)
        if work.attempt > 1 and work.isolation == "own":
            earlier = await self._earlier_success(ctx, work, repo, refs)
            if earlier is not None:
                return earlier
        copy, notices = await self._copy(work, repo, refs)
        order = _order_in(work, copy, notices)
        watch = _SessionWatch(ctx)
        ctx.beat(**{ports.COPY: {"attempt": copy.attempt, "base": copy.base}})
        guard = edits_copy.CheckoutGuard(self.git, repo, order, command_log.file_beside(copy.path))
        before = await guard.begin()
        command_log.begin(command_log.file_beside(copy.path))
        try:
            outcome = await carry_out(watch, order)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(FAREWELL_S, shield=True):
                await self._after_failure(copy, work, resumable=watch.resumable)
                await self.leave(work)
            raise
        outcome = await guard.end(ctx, before, outcome)
        if outcome.state is AttemptState.SUCCEEDED:
            return await self._after_success(ctx, copy, order, outcome, judge)
        receipt = await self._after_failure(copy, work, resumable=watch.resumable and outcome.retryable)
        return receipts.with_receipt(outcome, receipt) if receipt else outcome

    async def _after_success(
        self,
        ctx: ports.TaskContext,
        copy: worktree.Worktree,
        work: work_order.WorkOrder,
        outcome: model.Outcome,
        judge: ports.Judge,
    ) -> model.Outcome:
        """Returns a claimed success as its receipts judge it, kept, and merged if it is one.

        The change is what was there before anybody checked it: what checks leave behind is no part of it.
        """
        try:
            # In this order: a test run that the judge starts must not add its caches and reports to the change.
            contents = await self._contents(copy, work)
            if contents.works and work.isolation == "own":
                return await self._hold_back(copy, work, contents, outcome)
            if _is_to_change(work) and contents.tree == await self.merger.tree(copy.repo, copy.base):
                outcome = receipts.nothing_changed(outcome)
            outcome = await judge(work, outcome)
            if work.isolation == "merged":
                return await self._after_look(copy, work, contents, outcome)
            if outcome.state is not AttemptState.SUCCEEDED:
                await self._keep(copy, work, contents.tree)
                self._release(copy, work)
                return outcome
            return await self._settle(ctx, copy, work, contents, outcome)
        except errors.WorkerError as trouble:
            return _not_kept(work, outcome, trouble)

    async def _earlier_success(
        self, ctx: ports.TaskContext, work: work_order.WorkOrder, repo: git_process.Repository, refs: run_refs.Refs
    ) -> model.Outcome | None:
        """Returns the outcome of an earlier attempt that had finished when its server died, merged now; or None."""
        changes = await self.merger.changes_left(repo, refs, work.task.id)
        spec = digests.spec_digest(merge_rules.order_for_copy(work, work.workspace).task)
        successes = [change for change in changes if change.state == "done" and change.spec == spec]
        # What a review has sent back is merged and was not enough.
        for change in reversed([change for change in successes if change.attempt > work.sent_back]):
            try:
                outcome = model.Outcome.model_validate_json(ctx.blobs.get(change.outcome))
            except (errors.DispatchError, ValueError):
                log.warning("the outcome of %s/%s is not there any more", work.run_id, work.task.id)
                continue
            for _, path in self.worktrees.earlier(work):
                await self._clear(repo, path, work)
            try:
                return await self._merge(repo, work, change.commit, outcome)
            except errors.WorkerError as trouble:
                return _not_kept(work, outcome, trouble)
        return None

    async def _copy(
        self, work: work_order.WorkOrder, repo: git_process.Repository, refs: run_refs.Refs
    ) -> tuple[worktree.Worktree, tuple[str, ...]]:
        """Returns the worktree to work in: the one that a session or an answer goes on in, else a new one."""
        head = await self.merger.integration(repo, refs)
        session = self._session_worktree(work, repo)
        for attempt, path in self.worktrees.earlier(work):
            if session is None or attempt != session.attempt:
                await self._clear(repo, path, work)
        if session is not None:
            with contextlib.suppress(errors.WorkerError):
                await self.worktrees.unlock(session)
                return session, ()
        return await self.worktrees.make(repo, work, head), await self._notices(repo, work)

    def _session_worktree(self, work: work_order.WorkOrder, repo: git_process.Repository) -> worktree.Worktree | None:
        detail = work.last_beat.get(ports.COPY)
        goes_on = work.last_beat.get(ports.SESSION) or work.last_beat.get(ports.ANSWER)
        if not goes_on or not json_types.is_object(detail):
            return None
        attempt, base = detail.get("attempt"), str(detail.get("base", ""))
        copies = [
            worktree.Worktree(repo, path, base, number)
            for number, path in self.worktrees.earlier(work)
            if number == attempt
        ]
        return copies[0] if copies and merge_rules.is_object(base) else None

    async def _notices(self, repo: git_process.Repository, work: work_order.WorkOrder) -> tuple[str, ...]:
        """Returns what has to be said about the checkout; it is looked at once a run."""
        if work.run_id not in self._notices_by_run:
            self._notices_by_run[work.run_id] = await self._checkout_notice(repo, work)
        return self._notices_by_run[work.run_id]

    async def _checkout_notice(self, repo: git_process.Repository, work: work_order.WorkOrder) -> tuple[str, ...]:
        if repo.bare:
            return ()
        command = ("status", "--porcelain", "-z", "--untracked-files=normal", "--no-renames")
        try:
            answer = await self.git.run(Path(work.workspace), *command)
            filters = (await self.git.own_programs(repo.top)).filters
        except errors.WorkerError as trouble:
            return (f"The checkout could not be looked at: {escape.one_line(str(trouble), limit=300)}",)
        paths = [entry[3:] for entry in answer.out.split("\0") if entry]
        notices = (merge_rules.dirty_notice(paths), merge_rules.filter_notice(filters))
        return tuple(notice for notice in notices if notice)

    async def _clear(self, repo: git_process.Repository, path: Path, work: work_order.WorkOrder) -> None:
        """Keeps what an attempt left in its worktree, and removes that; what cannot be kept stays where it is."""
        attempt = int(path.name.rpartition(".")[2])
        try:
            if await self.worktrees.discard(repo, path):
                return
            copy = await self.worktrees.left_over(repo, path, attempt)
            order = replace(work, attempt=attempt)
            contents = await self._contents(copy, order)
            await self._keep(copy, order, contents.tree)
            if not contents.works:
                await self.worktrees.remove(repo, path)
        except errors.WorkerError as trouble:
            log.warning("the worktree %s was left as it is: %s", path, trouble)

    async def _after_failure(
        self, copy: worktree.Worktree, work: work_order.WorkOrder, *, resumable: bool
    ) -> Receipt | None:
        """Keeps what an unsuccessful attempt did, and lets its worktree go unless a session goes on in it.

        Returns the receipt of a worktree that stays for another reason.
        """
        if resumable:
            return None
        try:
            contents = await self._contents(copy, merge_rules.order_for_copy(work, copy.workspace))
            await self._keep(copy, work, contents.tree)
        except errors.WorkerError as trouble:
            log.warning("the worktree %s was left as it is: %s", copy.path, trouble)
            detail = f"the worktree {copy.path} was left as it is: {trouble}"
            return Receipt(kind="merge", ok=False, checked=False, detail=detail)
        if contents.works:
            return inner_work.receipt(contents.works, str(copy.path))
        self._release(copy, work)
        return None

    async def _contents(self, copy: worktree.Worktree, work: work_order.WorkOrder) -> worktree.Contents:
        """Returns what is in a worktree; work inside other repositories keeps it from being removed."""
        ref = run_refs.Refs(work.run_id).change("kept", work.task.id, work.attempt)
        contents = await self.worktrees.contents(copy, work.task, ref)
        if contents.works:
            await self.worktrees.mark(copy.path, inner_work.remark(contents.works))
        return contents

    async def _hold_back(
        self,
        copy: worktree.Worktree,
        work: work_order.WorkOrder,
        contents: worktree.Contents,
        outcome: model.Outcome,
    ) -> model.Outcome:
        """Returns a success as a failure whose work lies inside other repositories: kept, named, and not merged."""
        rest = await self._keep(copy, work, contents.tree)
        kind, error = inner_work.kind(contents.works), inner_work.refusal(contents.works, str(copy.path), rest)
        return receipts.with_receipt(
            receipts.as_failure(outcome, kind, error), inner_work.receipt(contents.works, str(copy.path))
        )

    async def _keep(self, copy: worktree.Worktree, work: work_order.WorkOrder, tree: str) -> str:
        """Commits a tree under the attempt's name without merging it; returns the commit, or nothing for no change."""
        if tree == await self.merger.tree(copy.repo, copy.base):
            return ""
        commit = await self.merger.commit(copy.repo, tree, (copy.base,), merge_rules.message(work))
        await self.merger.keep(copy.repo, run_refs.Refs(work.run_id).change("kept", work.task.id, work.attempt), commit)
        return commit

    def _release(self, copy: worktree.Worktree, work: work_order.WorkOrder) -> None:
        self._removable[work.run_id, work.task.id, work.attempt] = copy

    async def _after_look(
        self, copy: worktree.Worktree, work: work_order.WorkOrder, contents: worktree.Contents, outcome: model.Outcome
    ) -> model.Outcome:
        """Returns the outcome of an attempt that was only to look; what it changed is kept, but not merged."""
        commit = await self._keep(copy, work, contents.tree)
        if contents.works:
            receipt = inner_work.receipt(contents.works, str(copy.path), is_failure=False)
            outcome = receipts.with_receipt(outcome, receipt)
        else:
            self._release(copy, work)
        if not commit:
            return outcome
        detail = f"changed files of a copy that it was to look at; not merged, kept as commit {commit[:12]}"
        return receipts.with_receipt(outcome, Receipt(kind="merge", ok=False, checked=False, detail=detail))

    async def _settle(
        self,
        ctx: ports.TaskContext,
        copy: worktree.Worktree,
        work: work_order.WorkOrder,
        contents: worktree.Contents,
        outcome: model.Outcome,
    ) -> model.Outcome:
        """Keeps a success together with its outcome, so that it can never be paid for again, and merges it."""
        # The blob before the ref that names it, the ref before the merge (see the head of this file).
        digest = ctx.blobs.put(outcome.model_dump_json(exclude_defaults=True).encode())
        message = merge_rules.message(work, digest)
        commit = await self.merger.commit(copy.repo, contents.tree, (copy.base,), message)
        refs = run_refs.Refs(work.run_id)
        await self.merger.keep(copy.repo, refs.change("done", work.task.id, work.attempt), commit)
        self._release(copy, work)
        work = replace(work, notices=(*work.notices, *contents.remarks))
        return await self._merge(copy.repo, work, commit, outcome)

    async def _merge(
        self, repo: git_process.Repository, work: work_order.WorkOrder, commit: str, outcome: model.Outcome
    ) -> model.Outcome:
        refs = run_refs.Refs(work.run_id)
        result = await self.merger.merge(repo, refs, work, commit)
        if result.conflict:
            conflict = receipts.as_failure(outcome, "merge_conflict", result.conflict)
            return receipts.with_receipt(
                conflict, Receipt(kind="merge", ok=False, detail="it does not merge with what others did")
            )
        if not result.changed:
            return receipts.with_receipt(
                outcome, Receipt(kind="merge", ok=True, detail="nothing was changed, so nothing is merged")
            )
        detail = ". ".join(filter(None, (merge_rules.merged_detail(result.head, refs), " ".join(work.notices))))
        success = receipts.with_receipt(outcome, Receipt(kind="merge", ok=True, detail=detail))
        artifact = model.Artifact(name="commit", path=commit, mime_type="application/x-git")
        handoff = success.handoff.model_copy(update={"artifacts": (*success.handoff.artifacts, artifact)})
        return success.model_copy(update={"handoff": handoff})


def _is_to_change(work: work_order.WorkOrder) -> bool:
    """Returns whether an attempt is there to change something, though its task does not say which files.

    Of declared files the judge knows more: whether somebody else had changed them before.
    """
    is_agent = work.worker in task_isolation.EDITING_WORKERS and not work.task.files
    return is_agent and work.isolation == "own" and tool_permissions.changes_files(tool_permissions.tools_for(work))


def _order_in(work: work_order.WorkOrder, copy: worktree.Worktree, notices: tuple[str, ...]) -> work_order.WorkOrder:
    """Returns the order for a copy of its workspace."""
    order = replace(merge_rules.order_for_copy(work, copy.workspace), base=copy.base, notices=(*work.notices, *notices))
    order = replace(order, git_log=str(command_log.file_beside(copy.path)))
    return replace(order, directory=copy.workspace) if work.isolation == "own" else order


async def _without_worktree(
    ctx: ports.TaskContext,
    work: work_order.WorkOrder,
    why: git_process.Unusable,
    carry_out: ports.CarryOut,
    judge: ports.Judge,
) -> model.Outcome:
    """Returns how the attempt ended in the workspace itself, or why it did not begin."""
    if work.isolation == "own" and work.task.isolation == "worktree":
        cure = why.hint.removesuffix(".") or "Mend that"
        return _failed(
            "no_worktree",
            f"Task {work.task.id!r} asks for a worktree of its own, but {why.reason}. "
            f"{cure}, or plan it with isolation `shared` and on_conflict `serialize`.",
        )
    if work.isolation == "merged":
        return await judge(work, await carry_out(ctx, work))
    notice = f"There is no worktree of its own for this task, because {why.reason}: it works in the workspace itself."
    order = replace(work, directory=work.workspace, notices=(*work.notices, notice))
    outcome = await judge(order, await carry_out(ctx, order))
    return receipts.with_receipt(outcome, Receipt(kind="merge", ok=False, checked=False, detail=notice))


def _not_kept(work: work_order.WorkOrder, outcome: model.Outcome, trouble: errors.WorkerError) -> model.Outcome:
    """Returns a success as a failure that is paid for: what was done could not be kept.

    An agent is told once that it went behind the beginning of its worktree, and can do it otherwise; a command cannot.
    """
    kind = _kind_of(trouble, "not_kept")
    failure = receipts.as_failure(outcome, kind, str(trouble))
    is_new = work.worker is not model.WorkerKind.COMMAND and worktree.SET_BACK not in work.last_error
    is_retried = failure.retryable or (is_new and failures.is_avoidable(kind))
    return failure.model_copy(update={"retryable": is_retried})


def _kind_of(trouble: errors.WorkerError, otherwise: failures.FailureKind) -> failures.FailureKind:
    return trouble.kind if isinstance(trouble, git_process.Lasting) else otherwise


def _failed(kind: failures.FailureKind, error: str) -> model.Outcome:
    return model.Outcome(
        state=AttemptState.FAILED,
        error=error,
        error_kind=kind,
        summary=error[:1200],
        retryable=failures.is_retryable(kind),
    )
