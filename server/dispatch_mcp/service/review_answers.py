"""Where a round of the council stands, in the short form that hosts and shells read."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from dispatch_mcp import model
from dispatch_mcp.model import records
from dispatch_mcp.model.assignments import Assignment
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.review import council_decision, diff_parts, review_tasks
from dispatch_mcp.service import answers

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
    cut: tuple[str, ...] = ()


class Reviewed(answers.Answer):
    """The answer to `review_council`. No `outcome` means that reviewers are still at work; `blocks` is what counts."""

    run_id: str = ""
    state: str = ""
    outcome: str = ""
    blocks: bool | None = None
    why: str = ""
    rules: str = ""
    round: int = 0
    of: str = ""
    reviewers: tuple[ReviewerLine, ...] = ()
    findings: tuple[FindingLine, ...] = ()
    coverage: Coverage = Coverage()
    flags: tuple[str, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    mend_plan: str = ""
    counts: dict[str, int] = Field(default_factory=dict[str, int])
    next: answers.Step | None = None
    poll_after_s: float = 0.0


def reviewed(
    record: records.RunRecord,
    known: review_tasks.Manifest,
    decision: council_decision.Decision | None,
    assigned: Sequence[Assignment] = (),
    mend_plan: str = "",
) -> Reviewed:
    """Returns where a round stands."""
    shown = decision.findings[:MAX_LISTED] if decision else ()
    return Reviewed(
        run_id=record.id,
        state=record.state.value,
        outcome=decision.outcome if decision else "",
        blocks=decision.blocks if decision else None,
        why=decision.why if decision else "",
        rules=known.rules.told,
        round=known.round,
        of=known.source,
        reviewers=tuple(_reviewers(known, decision)),
        findings=tuple(map(line, shown)),
        coverage=coverage(known),
        flags=tuple(flag.label for flag in known.flags[:MAX_LISTED]),
        assignments=tuple(assigned),
        mend_plan=mend_plan,
        counts=record.counts if decision is None else {},
        next=_next(record, known, decision, len(assigned), mend_plan),
        poll_after_s=0.0 if decision or assigned else 5.0,
    )


def nothing(known: review_tasks.Manifest) -> Reviewed:
    """Returns the answer for a change in which nothing can be reviewed: never a PASS."""
    left = f" {len(known.excluded)} files were left out, see coverage." if known.excluded else ""
    return Reviewed(
        outcome=NOTHING,
        blocks=known.rules.inconclusive_blocks,
        why=f"There is nothing to review in {known.source}.{left}",
        rules=known.rules.told,
        of=known.source,
        coverage=coverage(known),
        next=NextStep(StepKind.NAME_CHANGE, advice=_NOT_PASSED),
    )


def coverage(known: review_tasks.Manifest) -> Coverage:
    """Returns the account of who sees what."""
    return Coverage(
        files=len(known.files),
        lines=known.lines,
        parts=len(known.spans),
        places=sum(map(len, known.spans)),
        excluded=_listed([f"{one.path} ({one.reason})" for one in known.excluded]),
        unseen=_labels(known.unseen),
        cut=_labels(known.cut),
    )


def _labels(spans: Sequence[diff_parts.Span]) -> tuple[str, ...]:
    return _listed([span.label for span in spans])


def _listed(items: Sequence[str]) -> tuple[str, ...]:
    more = (f"and {len(items) - MAX_LISTED} more",) if len(items) > MAX_LISTED else ()
    return (*items[:MAX_LISTED], *more)


def _reviewers(known: review_tasks.Manifest, decision: council_decision.Decision | None) -> list[ReviewerLine]:
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
        for seat in known.seats
    ]
    if known.advocate in voices:
        voice = voices[known.advocate]
        lines.append(
            ReviewerLine(
                name=known.advocate, verdict=_verdict(voice), why=("everybody passed it",), problem=voice.problem
            )
        )
    return lines


def _verdict(voice: council_decision.Voice | None) -> str:
    return "" if voice is None else voice.verdict or "INCONCLUSIVE"


def line(one: council_decision.Merged) -> FindingLine:
    """Returns a finding in short form."""
    first = one.claims[0]
    place = one.file + (f":{one.line}" if one.line else "") + (" (removed)" if one.removed else "")
    return FindingLine(
        id=one.id,
        severity=one.severity,
        standing=one.standing,
        place=place,
        quote=one.quote[:MAX_QUOTE],
        reviewers=one.reviewers,
        claim=first.claim,
        evidence=first.evidence,
        fix=first.fix,
        also=tuple(f"{claim.reviewer}: {claim.claim}" for claim in one.claims[1:] if claim.claim),
        marks=one.marks,
        waived=one.waived,
        refuted_by=one.refuted_by,
    )


def _next(
    record: records.RunRecord,
    known: review_tasks.Manifest,
    decision: council_decision.Decision | None,
    assigned: int,
    mend_plan: str,
) -> NextStep:
    if decision is None:
        return _waiting(record, assigned)
    if decision.outcome == "PASS":
        return NextStep(StepKind.SAY_PASSED, record.id)
    if known.round >= known.rules.rounds:
        return NextStep(
            StepKind.LEAVE_TO_USER, record.id, advice=f"This was round {known.round} of {known.rules.rounds}."
        )
    if decision.outcome == "INCONCLUSIVE":
        blocks = "It blocks" if decision.blocks else "The settings let it through; say so to the user"
        return NextStep(
            StepKind.REPEAT_REVIEW,
            record.id,
            advice=f"{blocks}: {decision.why}",
            has_findings=bool(decision.findings),
        )
    return NextStep(StepKind.MEND, record.id, plan=mend_plan)


def _waiting(record: records.RunRecord, assigned: int) -> NextStep:
    if assigned:
        return NextStep(StepKind.DO_REVIEWS, record.id, count=assigned)
    at_work = record.state is model.RunState.RUNNING
    return NextStep(StepKind.WATCH_REVIEW if at_work else StepKind.READ_RUN, record.id)
