"""The review council: starts rounds, says where they stand, and records what people let go.

A round is an ordinary plan of reviewers without edges, joined by a pure function (docs/rules.md#review-council).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import council_rounds, plan_review_attempt, review_attempt, run_view
from dispatch_mcp.model import bounds, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind, Words
from dispatch_mcp.planning import plan_documents
from dispatch_mcp.process import computation, workspace_sense
from dispatch_mcp.review import (
    council_decision,
    review_scope,
    review_tasks,
    round_opening,
    rounds,
)
from dispatch_mcp.service import (
    answers,
    handles,
    planner,
    review_answers,
    review_fixes,
    review_rounds,
    review_subjects,
    route_memory,
    run_starts,
)
from dispatch_mcp.store import sqlite_store


class ReviewRequest(NamedTuple):
    """What shall be reviewed: one of a diff, a range or a run; where None was given of all, the working tree.

    `after` is the round before; `reviewers` sit beside those whom the council chooses. `dry_run` asks who would review
    what, and starts nothing.
    """

    diff: str | None = None
    range: str | None = None
    run_id: str | None = None
    after: str = ""
    reviewers: tuple[str, ...] = ()
    worker: str = "auto"
    fresh: bool = False
    dry_run: bool = False


class DispatchRun(Protocol):
    """Starts a plan or goes on with a run, as `Dispatcher.dispatch` does."""

    async def __call__(
        self,
        *,
        plan_id: str = "",
        run_id: str = "",
        worker: str = "auto",
        request_key: str = "",
        dry_run: bool = False,
        fresh: bool = False,
    ) -> answers.Progress:
        """Returns the handle of the run with the host's assignments."""
        ...


@dataclass(frozen=True, slots=True)
class Council:
    """The council of one principal. `means` are what the interface has handed in, `dispatch` runs a round's plan.

    `workers` are who can review, `evidence` is what shows the work of runs in the workspace itself.
    """

    store: sqlite_store.Store
    handles: handles.Handles
    catalog: Callable[[], catalog.Catalog]
    plans: planner.Planner
    means: review_subjects.ReviewMeans
    dispatch: DispatchRun
    workers: run_starts.Workers
    clock: Callable[[], float]
    evidence: plan_review_attempt.ReviewEvidence | None = None

    @property
    def rounds(self) -> review_rounds.Rounds:
        """The rounds of this principal."""
        return review_rounds.Rounds(self.store, self.handles, self.clock)

    async def review(self, request: ReviewRequest) -> review_answers.ReviewAnswer:
        """Starts a round, or says where it stands when it has been started before; a round named by its run is read.

        Raises:
            InputError: more than one thing is to be reviewed, the change cannot be read, or there is no such reviewer,
                range or run.
        """
        target = review_subjects.target(request.diff, request.range, request.run_id)
        if target.is_empty:
            return review_answers.empty_answer(review_tasks.Manifest(source=target.label, rules=self.means.rules))
        subject: run_view.RunView | None = None
        if target.kind == "run":
            subject = await self.handles.run(target.value)
            going_on = await council_rounds.read(self.store, subject)
            if going_on is not None:
                return await (self._standing(going_on) if request.dry_run else self._continued(going_on))
        previous = await self._previous(request.after)
        change = await self._change(target, subject)
        basis = await self._basis(request, subject, previous)
        opening = await computation.apart(round_opening.of_change, change, basis, is_text=target.kind == "diff")
        if not opening.parts.parts:
            return review_answers.empty_answer(opening.manifest, change.note)
        if request.dry_run:
            return review_answers.choice(opening.manifest, opening.change)
        workspace = subject.run.workspace if subject else self.handles.workspace
        states = await self._states(workspace, opening.manifest.files if change.in_workspace else ())
        return await self._started(request, opening, states)

    async def _states(self, workspace: str, paths: Sequence[str]) -> Mapping[str, str]:
        """Returns how the files of a change stand in the workspace."""
        return await anyio.to_thread.run_sync(self.store.states_of, workspace, paths)

    async def look(self, run_id: str) -> review_answers.ReviewAnswer | None:
        """Returns where a round stands, without handing anything out; None for a run that is no round."""
        council_round = await self.rounds.find(run_id)
        return await self._standing(council_round) if council_round else None

    async def decision(self, run_id: str) -> council_decision.Decision | None:
        """Returns the whole decision of a round; None while somebody is still asked, or for a run that is none."""
        council_round = await self.rounds.find(run_id)
        return await self.rounds.decision(council_round) if council_round else None

    async def waive(self, run_id: str, finding: str, reason: str, by: str) -> review_answers.ReviewAnswer:
        """Records that a person lets a finding go, and returns where the round stands now.

        Only interfaces that have asked a person call this.

        Raises:
            InputError: there is no such finding, no reason, or the round is not over.
        """
        council_round = await self.rounds.get(run_id)
        decision = await self.rounds.decision(council_round)
        if decision is None:
            raise errors.InputError(
                f"Review {short_ids.short(council_round.run.id)} is not over.",
                hint="Wait for its decision; then waive what should not block.",
            )
        ids = [item.id for item in decision.findings]
        if finding not in ids:
            raise errors.InputError(
                f"There is no finding {finding[:40]!r}.", hint=f"Findings: {', '.join(ids) or 'none'}."
            )
        if not reason.strip():
            raise errors.InputError("A waiver needs a reason.", hint="Say why this finding may stay.")
        await self.rounds.waive(council_round, finding, self.means.clean(reason.strip()[:2_000]), by)
        await self.rounds.decision(await self.rounds.get(run_id))  # before it is shown: the run may end otherwise now
        return await self._standing(await self.rounds.get(run_id))

    async def waivable(self, run_id: str) -> list[council_decision.MergedFinding]:
        """Returns the findings of a round that a person could let go: those that keep it from passing."""
        decision = await self.decision(run_id)
        if decision is None or decision.outcome == "PASS":
            return []
        return [item for item in decision.findings if item.standing in ("open", "unproven")]

    async def trace_summary(self, run_id: str, words: Words) -> dict[str, model.Json]:
        """Returns what a trace of a round says besides: its decision, how its reviewers have done; else nothing."""
        standing = await self.look(run_id)
        if standing is None:
            return {}
        names = {line.name for line in standing.reviewers}
        past = await review_rounds.calibration(self.store, self.handles.principal) if standing.outcome else []
        lines = [record.shown() for record in past if record.reviewer in names]
        keys = ("outcome", "blocks", "why", "rules", "round", "of", "reviewers", "findings", "coverage", "mend_plan")
        whole = standing.wire(words)
        return {"council": {**{key: whole[key] for key in keys if key in whole}, "calibration": lines}}

    async def _previous(self, run_id: str) -> round_opening.PreviousRound | None:
        """Returns the round before with its decision. Raises InputError when it is none, or not over."""
        if not run_id:
            return None
        before = await self.rounds.get(run_id)
        decision = await self.rounds.decision(before)
        if decision is None:
            raise errors.InputError(
                f"Review {short_ids.short(before.run.id)} is not over.",
                hint=NextStep(StepKind.FINISH_REVIEW, before.run.id),
            )
        if before.is_last:
            raise errors.NotAllowed(
                f"This was round {before.manifest.round} of {before.manifest.rules.rounds}; a person decides what "
                "becomes of it now.",
                hint=NextStep(
                    StepKind.LEAVE_TO_USER, before.run.id, advice="The setting `council_rounds` bounds the loop."
                ),
            )
        text = await review_attempt.read_text(self.store, before.manifest.diff)
        waivers = tuple(await council_rounds.waivers(self.store, before))
        return round_opening.PreviousRound(before.run.id, before.manifest, text, decision, waivers)

    async def _change(self, target: review_subjects.Target, subject: run_view.RunView | None) -> review_scope.Change:
        if target.kind == "diff":
            return review_scope.Change(target.value, "the diff")
        changes = self.means.changes
        if changes is None:
            raise errors.InputError("There is no repository to look at here.", hint="Send the change as diff.")
        workspace = self.handles.workspace
        if target.kind != "run" and (why := workspace_sense.reason(workspace)):
            hint = NextStep(StepKind.HAND_IN_CHANGE)
            raise errors.InputError(f"{workspace!r} is no workspace: it is {why}.", hint=hint)
        if target.kind == "range":
            return await changes.of_range(workspace, target.value)
        if subject is None:
            return await changes.of_tree(workspace)
        candidate = await self.means.candidate(subject)
        if candidate is not None:
            return candidate
        files = await self._files(subject)
        if self.evidence is not None and subject.run.workspace:
            return await plan_review_attempt.in_workspace(self.store, self.evidence, subject, files)
        paths = sorted({path for paths in files.values() for path in paths})
        return await changes.of_tree(subject.run.workspace or workspace, paths)

    async def _files(self, subject: run_view.RunView) -> dict[str, tuple[str, ...]]:
        """Returns the files of each task of a run: those it declares, and those it says it changed."""
        files = await plan_review_attempt.files_of(self.store, subject, subject.plan.tasks)
        return {task_id: paths for task_id, paths in files.items() if paths}

    async def _basis(
        self,
        request: ReviewRequest,
        subject: run_view.RunView | None,
        previous: round_opening.PreviousRound | None,
    ) -> round_opening.RoundBasis:
        return round_opening.RoundBasis(
            self.catalog(),
            self.means.rules,
            self.means.clean,
            (*self.means.reviewers, *request.reviewers),
            subject=subject.run.id if subject else "",
            owners=await self._files(subject) if subject else None,
            previous=previous,
        )

    async def _started(
        self, request: ReviewRequest, opening: round_opening.RoundOpening, states: Mapping[str, str]
    ) -> review_answers.ReviewAnswer:
        stateless = opening.manifest.model_copy(
            update={"diff": await review_attempt.store_text(self.store, opening.text)}
        )
        manifest = stateless.model_copy(update={"states": dict(states)})
        digest = await review_attempt.store_text(self.store, manifest.model_dump_json(exclude_defaults=True))
        texts = [await review_attempt.store_text(self.store, part.text) for part in opening.parts.parts]
        tasks = review_tasks.tasks(manifest, digest, texts, round_opening.focuses(manifest.seats, self.catalog()))
        # Not by the states: a slow machine does not get to look at all files, each time at others.
        key, is_fresh = await self._key(request, stateless.model_dump_json(exclude_defaults=True), texts)
        plan_id = hashlib.sha256(
            f"{self.handles.principal}\0{key}\0{review_attempt.canonical_json(texts)}".encode()
        ).hexdigest()[:32]
        raw = [task.model_dump(mode="json", by_alias=True, exclude_defaults=True) for task in tasks]
        if await self._is_new(plan_id):
            await self.plans.without_additions().plan_document(
                plan_documents.PlanDocument(
                    plan_documents.read_tasks(raw), self._at_once(request, manifest, len(tasks))
                ),
                request=f"Review {manifest.source}",
                plan_id=plan_id,
            )
        progress = await self.dispatch(
            plan_id=plan_id,
            worker=request.worker,
            request_key=key,
            fresh=is_fresh,
            dry_run=request.worker == "scripted",
        )
        return await self._standing(await self.rounds.get(progress.run_id), progress)

    def _at_once(self, request: ReviewRequest, manifest: review_tasks.Manifest, tasks: int) -> int:
        """Returns how many of a round's tasks may be at work: all of them, or what an assistant can read at once.

        An assistant is handed each part of a large change when it has reported the one before.
        """
        is_simulated = request.worker == model.WorkerKind.SCRIPTED
        by_host = self.workers.kind(request.worker, dry_run=is_simulated) is model.WorkerKind.HOST
        return min(bounds.MAX_PARALLEL, max(1, len(manifest.seats) if by_host else tasks))

    async def _is_new(self, plan_id: str) -> bool:
        try:
            await self.store.plan(await self.handles.plan_id(plan_id), principal=self.handles.principal)
        except errors.UnknownHandle:
            return True
        return False

    async def _key(self, request: ReviewRequest, manifest: str, texts: Sequence[str]) -> tuple[str, bool]:
        """Returns the request key of a round and whether its work is done anew.

        The same change finds its round; one without a decision is tried anew.
        """
        stem = hashlib.sha256(
            review_attempt.canonical_json([manifest, list(texts), request.worker]).encode()
        ).hexdigest()[:24]
        count = 0
        for record in await self.store.runs(self.handles.principal, limit=review_rounds.HISTORY):
            if not record.request_key.startswith(f"{review_rounds.KEY}{stem}:"):
                continue
            count += 1
            again = request.fresh and record.state in model.RUN_FINAL
            if not again and not await self.rounds.is_inconclusive(record):
                return record.request_key, record.fresh
        return f"{review_rounds.KEY}{stem}:{count}", request.fresh

    async def _continued(self, going_on: council_rounds.Round) -> review_answers.ReviewAnswer:
        if going_on.is_over:
            return await self._standing(going_on)
        progress = await self.dispatch(run_id=going_on.run.id)
        return await self._standing(await self.rounds.get(going_on.run.id), progress)

    async def _standing(
        self, council_round: council_rounds.Round, progress: answers.Progress | None = None
    ) -> review_answers.ReviewAnswer:
        decision = await self.rounds.decision(council_round)
        mend_plan = await self._mend(council_round, decision)
        handouts = progress.assignments if progress else ()
        is_repeated = bool(handouts) and all(handout.already_out for handout in handouts)
        step = progress.next if progress and is_repeated else None
        briefs = progress.briefs if progress else ""
        return review_answers.answer(
            council_round.run, council_round.manifest, decision, handouts, briefs=briefs, mend_plan=mend_plan, step=step
        )

    async def _mend(self, council_round: council_rounds.Round, decision: council_decision.Decision | None) -> str:
        """Returns the plan by which the owners mend what blocks; empty when there is nothing to mend, or no owner."""
        if decision is None or decision.outcome != "BLOCK" or not council_round.manifest.subject:
            return ""
        subject = await self.handles.run(council_round.manifest.subject)
        owners = rounds.owners(decision, council_round.manifest.owners)
        await self.plans.learn(route_memory.lessons_of_block(subject, owners, council_round.run.updated_at))
        if council_round.is_last:
            return ""
        return await review_fixes.plan(self.plans, subject, council_round, decision)
