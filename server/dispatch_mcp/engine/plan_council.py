"""The decision of a plan's council: its seats' verdicts, joined as the council joins those of a round.

Rule: docs/rules.md#review-council. The task that decides is the devil's advocate's: it is asked only when every seat
passes the change; otherwise the verdicts decide alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.engine import claim_evidence, plan_review_attempt, review_attempt, run_view
from dispatch_mcp.model import AttemptState, TaskState, records, transitions
from dispatch_mcp.review import answer_parser, council_decision, plan_reviews, rounds
from dispatch_mcp.review.findings import ReviewReport
from dispatch_mcp.store import sqlite_store

MOVED: Final = (
    "What its reviewers have judged is not what stands there now: the change has moved on since they were shown it"
)


UNCHANGED: Final = (
    "Nothing has changed in it since it was blocked, so no second look passes it: it has to be mended, or the user "
    "lets the review go"
)


@dataclass(frozen=True, slots=True)
class _Hearing:
    """What the seats of a council came to: their reports, the change that each was shown, and what nobody was shown.

    `todos` are what a PASS leaves to do all the same.
    """

    council: model.Task
    reports: tuple[ReviewReport, ...]
    changes: frozenset[str]
    unseen: tuple[str, ...]
    todos: tuple[str, ...] = ()

    def needs_advocate(self, rules: council_decision.CouncilRules) -> bool:
        """Returns whether somebody has to argue against what everybody passes."""
        return rules.devils_advocate and council_decision.is_unanimous(self.reports)


async def needless(
    store: sqlite_store.Store,
    evidence: plan_review_attempt.ReviewEvidence | None,
    council: model.Task,
    view: run_view.RunView,
) -> model.Outcome | None:
    """Returns what a council decides without its advocate; None where one has to argue, or does so already."""
    if await plan_review_attempt.is_simulation(store, view.run.id, council, view.task(council.id).worker):
        return None
    newest = view.attempts.get(council.id)
    if newest is not None and review_attempt.BEAT in newest.beat:
        return None
    hearing = await _heard(store, view, council)
    if hearing.needs_advocate(_rules(evidence)):
        return None
    return await _decided(store, evidence, view, hearing, model.Outcome(state=AttemptState.SUCCEEDED))


async def judge(
    store: sqlite_store.Store, evidence: plan_review_attempt.ReviewEvidence | None, claim: claim_evidence.Claim
) -> model.Outcome:
    """Returns the outcome that is the decision of a council, whatever is claimed of it.

    An advocate's answer that cannot be used is asked for once more; trouble of the server's own workers stays what it
    was.
    """
    outcome, work = claim.outcome, claim.work
    if await plan_review_attempt.is_simulation(store, work.run_id, work.task, work.worker):
        return outcome
    view = claim.view or await run_view.load(store, work.run_id, records.ANYBODY)
    hearing = await _heard(store, view, work.task)
    if not hearing.needs_advocate(_rules(evidence)):
        return await _decided(store, evidence, view, hearing, outcome)
    ground = await plan_review_attempt.ground(store, claim.before)
    answer = answer_parser.answer_of(outcome)
    report = plan_reviews.report(work.task.agent or "advocate", answer, ground, role="advocate")
    problem = review_attempt.problem_of(report, ground)
    if problem:
        return plan_review_attempt.unusable(outcome, problem, report.verdict)
    if await review_attempt.takes_back(store, work, report, claim.before):
        return review_attempt.inconclusive(outcome, review_attempt.TAKEN_BACK)
    whole = _Hearing(work.task, (*hearing.reports, report), hearing.changes, hearing.unseen, hearing.todos)
    return await _decided(store, evidence, view, whole, outcome)


def _rules(evidence: plan_review_attempt.ReviewEvidence | None) -> council_decision.CouncilRules:
    return council_decision.CouncilRules() if evidence is None else evidence.rules


async def _heard(store: sqlite_store.Store, view: run_view.RunView, council: model.Task) -> _Hearing:
    """Returns what the seats came to; one that a person let go has no say."""
    outcomes = await store.outcomes(view.run.id, [seat for seat in council.joins if view.task(seat).result])
    reports: list[ReviewReport] = []
    changes: set[str] = set()
    unseen: dict[str, None] = {}
    todos: dict[str, None] = {}
    for seat in council.joins:
        if view.task(seat).state is TaskState.SKIPPED:
            continue
        attempts = await store.attempts(view.run.id, seat)
        beat: Mapping[str, model.Json] = attempts[-1].beat if attempts else {}
        name = view.agent_of(view.task(seat)) or seat
        if seat in outcomes:
            ground = await plan_review_attempt.ground(store, beat)
            reports.append(plan_reviews.report(name, answer_parser.answer_of(outcomes[seat]), ground))
        else:
            why = (attempts[-1].error if attempts else "") or view.task(seat).cause
            reports.append(ReviewReport(reviewer=name, problem=why))
        exhibit = plan_review_attempt.exhibit_of(beat)
        changes |= {exhibit.diff} - {""}
        unseen |= dict.fromkeys(exhibit.unseen)
        todos |= dict.fromkeys(exhibit.todos)
    return _Hearing(council, tuple(reports), frozenset(changes), tuple(unseen), tuple(todos))


async def _decided(
    store: sqlite_store.Store,
    evidence: plan_review_attempt.ReviewEvidence | None,
    view: run_view.RunView,
    hearing: _Hearing,
    outcome: model.Outcome,
) -> model.Outcome:
    """Returns the outcome of the decision; one that would let pass what has moved on, or is gone, is none."""
    decision = council_decision.decide(hearing.reports, _rules(evidence), unseen=hearing.unseen)
    if not decision.blocks and await plan_review_attempt.is_gone(store, evidence, view, hearing.council):
        answer = {"outcome": "INCONCLUSIVE", "why": plan_review_attempt.GONE}
        return review_attempt.inconclusive(outcome, plan_review_attempt.GONE).model_copy(update={"output": answer})
    if decision.outcome == "PASS" and await plan_review_attempt.has_moved(
        store, evidence, view, hearing.council, hearing.changes
    ):
        answer = {"outcome": "INCONCLUSIVE", "why": f"{MOVED}."}
        return _failed(outcome, f"{MOVED}.", transitions.MOVED).model_copy(update={"output": answer})
    if decision.outcome == "PASS":
        block = await earlier_block(store, view.run.id, hearing.council, hearing.changes)
        if block:
            answer = {"outcome": "BLOCK", "why": f"{UNCHANGED}."}
            return blocked_again(outcome, block).model_copy(update={"output": answer})
    subjects = [task for task in view.plan.tasks if task.id in hearing.council.reviews]
    files = await plan_review_attempt.files_of(store, view, subjects)
    result = outcome_of(decision, files, outcome)
    if not hearing.todos or decision.blocks:
        return result
    handoff = result.handoff.model_copy(update={"open_questions": (*result.handoff.open_questions, *hearing.todos)})
    return result.model_copy(update={"handoff": handoff})


def outcome_of(
    decision: council_decision.Decision, files: Mapping[str, Sequence[str]], claim: model.Outcome
) -> model.Outcome:
    """Returns the outcome of the task that decides: done only when the decision lets the change through.

    `files` are those of each task that was judged: what blocks goes back to its owners. `claim` is what the attempt has
    used, and how it was reported.
    """
    receipt = model.Receipt(kind="words", ok=not decision.blocks, detail=decision.why)
    result = claim.model_copy(
        update={
            "output": _answer(decision),
            "summary": f"{decision.outcome}: {decision.why}",
            "retryable": False,
            "unverified": False,
            "receipts": (*claim.receipts, receipt),
        }
    )
    if decision.outcome == "BLOCK":
        targets = plan_reviews.owners([finding.file for finding in decision.of("open")], files)
        block = _failed(result, _feedback(decision), transitions.NEEDS_CHANGES)
        return block.model_copy(update={"sends_back": targets})
    if decision.blocks:
        return _failed(result, decision.why, transitions.UNUSABLE)
    todos = tuple(plan_reviews.merged_line(finding) for finding in decision.of("todo"))
    handoff = model.Handoff(completed_work=f"Reviewed: {decision.outcome}.", open_questions=todos)
    update = {"state": AttemptState.SUCCEEDED, "handoff": handoff, "error": "", "error_kind": ""}
    return result.model_copy(update=update)


async def earlier_block(store: sqlite_store.Store, run_id: str, review: model.Task, changes: Collection[str]) -> str:
    """Returns what a review has said against just these changes before, by the digests of what was shown of them.

    An empty string where it has blocked none of them, or was shown nothing that could be compared.
    """
    changes = {*changes} - {""}
    blocks = [
        attempt
        for attempt in await store.attempts(run_id, review.id)
        if attempt.error_kind == transitions.NEEDS_CHANGES and attempt.ended_at is not None
    ]
    if not blocks or not changes:
        return ""
    readers = [await store.attempts(run_id, name) for name in review.joins or (review.id,)]
    for block in reversed(blocks):
        last = [
            [attempt.beat for attempt in attempts if attempt.started_at <= (block.ended_at or 0.0)][-1:]
            for attempts in readers
        ]
        exhibits = {plan_review_attempt.exhibit_of(beat).diff for beats in last for beat in beats} - {""}
        if exhibits == changes:
            return block.error
    return ""


def blocked_again(outcome: model.Outcome, block: str) -> model.Outcome:
    """Returns a PASS of what was blocked before, and is as it was, as that block."""
    receipt = model.Receipt(kind="words", ok=False, detail=UNCHANGED)
    result = _failed(outcome, f"{UNCHANGED}.\n\n{block}", transitions.NEEDS_CHANGES)
    return result.model_copy(update={"summary": f"BLOCK: {UNCHANGED}.", "receipts": (*outcome.receipts, receipt)})


def _failed(outcome: model.Outcome, why: str, kind: str) -> model.Outcome:
    update = {"state": AttemptState.FAILED, "error": why, "error_kind": kind, "retryable": False}
    return outcome.model_copy(update={**update, "unverified": False})


def _feedback(decision: council_decision.Decision) -> str:
    return "\n\n".join(map(rounds.brief, decision.of("open", "todo", "unproven")))


def _answer(decision: council_decision.Decision) -> dict[str, model.Json]:
    """Returns a decision as the trace keeps it."""
    return {
        "outcome": decision.outcome,
        "why": decision.why,
        "rules": decision.rules,
        "verdicts": {voice.reviewer: voice.verdict or f"none: {voice.problem}" for voice in decision.voices},
        "findings": [
            {
                "id": finding.id,
                "standing": finding.standing,
                "by": list(finding.reviewers),
                "text": rounds.brief(finding),
            }
            for finding in decision.findings
        ],
    }
