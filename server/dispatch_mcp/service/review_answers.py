"""Where a round of the council stands, in the short form that hosts and shells read."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from dispatch_mcp import model
from dispatch_mcp.model import records, short_ids
from dispatch_mcp.model.assignments import Assignment
from dispatch_mcp.next_steps import NextStep, StepKind, counted, sentences
from dispatch_mcp.review import council_decision, diff_parts, review_tasks
from dispatch_mcp.service import answers
from dispatch_mcp.text import unified_diff

NOTHING = "NOTHING_TO_REVIEW"
MAX_LISTED = 50
MAX_QUOTE = 300
_NOT_PASSED = "Nothing was reviewed, so nothing has passed."


class ReviewerLine(model.Value):
    """One reviewer of a round: why it was chosen, and how it judged."""

    name: str
    verdict: str = ""
    why: tuple[str, ...] = ()
    score: float = 0.0
    own: bool = False
    problem: str = ""


class FindingLine(model.Value):
    """One finding with everybody who found it; `claim`, `evidence` and `fix` are of who called it worst."""

    id: str
    severity: str
    standing: str
    place: str = ""
    quote: str = ""
    reviewers: tuple[str, ...] = ()
    claim: str = ""
    evidence: str = ""
    fix: str = ""
    also: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    waived: str = ""
    refuted_by: tuple[str, ...] = ()


class Coverage(model.Value):
    """What of the change the reviewers see, and what nobody sees."""

    files: int = 0
    lines: int = 0
    parts: int = 0
    places: int = 0
    excluded: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


class ReviewAnswer(answers.Answer):
    """The answer to `review_council`. No `outcome` means that reviewers are still at work; `blocks` is what counts.

    `briefs` is the folder in which the prompts of the assignments are files, named by task and attempt.
    `not_chosen` and `files` are of a choice that was only asked for: what the others scored, and what would be seen.
    """

    run_id: short_ids.Handle = ""
    state: str = ""
    outcome: str = ""
    blocks: bool | None = None
    why: str = ""
    rules: str = ""
    round: int = 0
    of: str = ""
    reviewers: tuple[ReviewerLine, ...] = ()
    not_chosen: dict[str, float] = Field(default_factory=dict[str, float])
    files: tuple[str, ...] = ()
    findings: tuple[FindingLine, ...] = ()
    coverage: Coverage = Coverage()
    flags: tuple[str, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    briefs: str = ""
    mend_plan: short_ids.Handle = ""
    counts: dict[str, int] = Field(default_factory=dict[str, int])
    next: answers.Step | None = None
    poll_after_s: float = 0.0


def answer(
    record: records.RunRecord,
    manifest: review_tasks.Manifest,
    decision: council_decision.Decision | None,
    handouts: Sequence[Assignment] = (),
    *,
    briefs: str = "",
    mend_plan: str = "",
    step: NextStep | None = None,
) -> ReviewAnswer:
    """Returns where a round stands; `step` is what to do with handouts that are only repeated."""
    findings = decision.findings[:MAX_LISTED] if decision else ()
    return ReviewAnswer(
        run_id=record.id,
        state=record.state.value,
        outcome=decision.outcome if decision else "",
        blocks=decision.blocks if decision else None,
        why=decision.why if decision else "",
        rules=manifest.rules.summary,
        round=manifest.round,
        of=manifest.source,
        reviewers=tuple(_reviewers(manifest, decision)),
        findings=tuple(map(line, findings)),
        coverage=coverage(manifest),
        flags=tuple(flag.label for flag in manifest.flags[:MAX_LISTED]),
        assignments=tuple(handouts),
        briefs=briefs,
        mend_plan=mend_plan,
        counts=record.counts if decision is None else {},
        next=_next(record, manifest, decision, handouts, mend_plan) if step is None else step,
        poll_after_s=0.0 if decision or handouts else 5.0,
    )


def in_short(review: ReviewAnswer) -> ReviewAnswer:
    """Returns what an assistant has to read of a round that nothing is decided of: the rest comes with the decision.

    Only that some of the change is too much for anybody to see is said at once.
    """
    if review.outcome or not review.run_id:
        return review
    unseen = counted(len(review.coverage.unseen), "place")
    return ReviewAnswer(
        run_id=review.run_id,
        state=review.state,
        why=f"{unseen} too many to show: it cannot pass; review ranges." if review.coverage.unseen else "",
        reviewers=() if review.assignments else tuple(ReviewerLine(name=line.name) for line in review.reviewers),
        assignments=review.assignments,
        briefs=review.briefs,
        next=review.next,
        poll_after_s=review.poll_after_s,
    )


def empty_answer(manifest: review_tasks.Manifest, note: str = "") -> ReviewAnswer:
    """Returns the answer for a change in which nothing can be reviewed: never a PASS."""
    exclusions = f"{counted(len(manifest.excluded), 'file')} left out, see coverage." if manifest.excluded else ""
    return ReviewAnswer(
        outcome=NOTHING,
        blocks=manifest.rules.inconclusive_blocks,
        why=sentences(f"There is nothing to review in {manifest.source}.", exclusions, note),
        rules=manifest.rules.summary,
        of=manifest.source,
        coverage=coverage(manifest),
        next=NextStep(StepKind.NAME_CHANGE, advice=_NOT_PASSED),
    )


def choice(manifest: review_tasks.Manifest, change: unified_diff.Diff) -> ReviewAnswer:
    """Returns who would review what, for a round that nobody has started."""
    names = ", ".join(seat.reviewer for seat in manifest.seats)
    advocate = f", and {manifest.advocate} if all of them pass it" if manifest.advocate else ""
    lines = counted(manifest.lines, "changed line")
    return ReviewAnswer(
        why=f"{names} would look at {lines} of {manifest.source}{advocate}.",
        rules=manifest.rules.summary,
        round=manifest.round,
        of=manifest.source,
        reviewers=tuple(_reviewers(manifest, None)),
        not_chosen=manifest.passed_over,
        files=_listed([f"{file.path} ({counted(file.size, 'line')})" for file in change.files]),
        coverage=coverage(manifest),
        flags=tuple(flag.label for flag in manifest.flags[:MAX_LISTED]),
        next=NextStep(StepKind.BEGIN_REVIEW),
    )


def coverage(manifest: review_tasks.Manifest) -> Coverage:
    """Returns the account of who sees what."""
    return Coverage(
        files=len(manifest.files),
        lines=manifest.lines,
        parts=len(manifest.spans),
        places=sum(map(len, manifest.spans)),
        excluded=_listed([f"{file.path} ({file.reason})" for file in manifest.excluded]),
        unseen=_labels((*manifest.unseen, *manifest.cut)),
    )


def _labels(spans: Sequence[diff_parts.Span]) -> tuple[str, ...]:
    return _listed([span.label for span in spans])


def _listed(items: Sequence[str]) -> tuple[str, ...]:
    more = (f"and {len(items) - MAX_LISTED} more",) if len(items) > MAX_LISTED else ()
    return (*items[:MAX_LISTED], *more)


def _reviewers(manifest: review_tasks.Manifest, decision: council_decision.Decision | None) -> list[ReviewerLine]:
    voices = {voice.reviewer: voice for voice in decision.voices} if decision else {}
    lines = [
        ReviewerLine(
            name=seat.reviewer,
            verdict=_verdict(voices.get(seat.reviewer)),
            why=seat.why,
            score=round(seat.score, 1),
            own=seat.own,
            problem=voices[seat.reviewer].problem if seat.reviewer in voices else "",
        )
        for seat in manifest.seats
    ]
    if manifest.advocate in voices:
        voice = voices[manifest.advocate]
        lines.append(
            ReviewerLine(
                name=manifest.advocate, verdict=_verdict(voice), why=("everybody passed it",), problem=voice.problem
            )
        )
    return lines


def _verdict(voice: council_decision.ReviewerVerdict | None) -> str:
    return "" if voice is None else voice.verdict or "INCONCLUSIVE"


def line(finding: council_decision.MergedFinding) -> FindingLine:
    """Returns a finding in short form."""
    first = finding.claims[0]
    place = finding.file + (f":{finding.line}" if finding.line else "") + (" (removed)" if finding.removed else "")
    return FindingLine(
        id=finding.id,
        severity=finding.severity,
        standing=finding.standing,
        place=place,
        quote=finding.quote[:MAX_QUOTE],
        reviewers=finding.reviewers,
        claim=first.claim,
        evidence=first.evidence,
        fix=first.fix,
        also=tuple(f"{claim.reviewer}: {claim.claim}" for claim in finding.claims[1:] if claim.claim),
        marks=(*finding.marks, *_decisive(finding)),
        waived=finding.waived,
        refuted_by=finding.refuted_by,
    )


def _decisive(finding: council_decision.MergedFinding) -> tuple[str, ...]:
    return (f"{', '.join(finding.failed_by)} said FAIL for it",) if finding.failed_by else ()


def _next(
    record: records.RunRecord,
    manifest: review_tasks.Manifest,
    decision: council_decision.Decision | None,
    handouts: Sequence[Assignment],
    mend_plan: str,
) -> NextStep:
    if decision is None:
        return _waiting(record, handouts)
    if decision.outcome == "PASS":
        return NextStep(StepKind.SAY_PASSED, record.id)
    if manifest.round >= manifest.rules.rounds:
        return NextStep(
            StepKind.LEAVE_TO_USER,
            record.id,
            advice=f"This was round {manifest.round} of {manifest.rules.rounds}.",
        )
    if decision.outcome == "INCONCLUSIVE":
        blocks = "It blocks" if decision.blocks else "The settings let it through; that has to be said with the result"
        again = StepKind.NAME_CHANGE if decision.next == "review_in_parts" else StepKind.REPEAT_REVIEW
        return NextStep(again, record.id, advice=f"{blocks}: {decision.why}", has_findings=bool(decision.findings))
    return NextStep(StepKind.MEND, record.id, plan=mend_plan)


def _waiting(record: records.RunRecord, handouts: Sequence[Assignment]) -> NextStep:
    if handouts:
        return NextStep(StepKind.DO_REVIEWS, record.id, count=len(handouts))
    at_work = record.state is model.RunState.RUNNING
    return NextStep(StepKind.WATCH_REVIEW if at_work else StepKind.READ_RUN, record.id)
