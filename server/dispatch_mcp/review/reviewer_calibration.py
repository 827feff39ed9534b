"""How reviewers have done: how often they could be used, agreed with the decision, and were right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dispatch_mcp import model
from dispatch_mcp.review import council_decision, findings
from dispatch_mcp.review.council_decision import Decision
from dispatch_mcp.review.findings import EarlierRuling, ReviewReport


class Record(model.Value):
    """One reviewer's rounds.

    `agreed` counts verdicts that went with the decision, `upheld` blocking findings that somebody else raised too or a
    later round found mended, `refuted` those that fell to counter-evidence, `waived` those that a person let go,
    `unproven` those whose quote was not in the change.
    """

    reviewer: str
    rounds: int = 0
    unusable: int = 0
    agreed: int = 0
    raised: int = 0
    blocking: int = 0
    upheld: int = 0
    refuted: int = 0
    waived: int = 0
    unproven: int = 0

    @property
    def agreement(self) -> float | None:
        """The share of usable verdicts that went with the decision; None without any."""
        usable = self.rounds - self.unusable
        return round(self.agreed / usable, 3) if usable else None

    def shown(self) -> dict[str, model.Json]:
        """Returns what is not zero, with the agreement."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        return fields if self.agreement is None else {**fields, "agreement": self.agreement}


class PastRound(model.Value):
    """One round that is over. `later` are the rulings of the next round on its findings."""

    reports: tuple[ReviewReport, ...]
    decision: Decision
    later: tuple[EarlierRuling, ...] = ()


def calibrate(rounds: Iterable[PastRound]) -> list[Record]:
    """Returns a record for each reviewer, by name."""
    records: dict[str, Record] = {}
    for each in rounds:
        for voice in each.decision.voices:
            before = records.get(voice.reviewer, Record(reviewer=voice.reviewer))
            records[voice.reviewer] = _with_round(before, each, voice)
    return [records[name] for name in sorted(records)]


def _with_round(record: Record, council_round: PastRound, voice: council_decision.ReviewerVerdict) -> Record:
    own = [place for place in council_round.decision.findings if voice.reviewer in place.reviewers]
    blocking = [place for place in own if _called(place, voice.reviewer) in findings.BLOCKING]
    agreement = voice.verdict is not None and (voice.verdict == "FAIL") == (council_round.decision.outcome == "BLOCK")
    counts = {
        "rounds": 1,
        "unusable": voice.verdict is None,
        "agreed": agreement and council_round.decision.outcome != "INCONCLUSIVE",
        "raised": len(own),
        "blocking": len(blocking),
        "upheld": sum(_upheld(place, council_round.later) for place in blocking),
        "refuted": sum(place.standing == "refuted" or _ruled(place, council_round.later, "refuted") for place in own),
        "waived": sum(place.standing == "waived" for place in own),
        "unproven": sum(place.standing == "unproven" for place in own),
    }
    return record.model_copy(update={name: getattr(record, name) + int(count) for name, count in counts.items()})


def _called(place: council_decision.MergedFinding, reviewer: str) -> findings.Severity:
    return findings.worst([claim.severity for claim in place.claims if claim.reviewer == reviewer])


def _upheld(place: council_decision.MergedFinding, later: Sequence[EarlierRuling]) -> bool:
    if place.standing == "unproven":
        return False
    return len(place.reviewers) > 1 or _ruled(place, later, "gone") or _ruled(place, later, "stands")


def _ruled(place: council_decision.MergedFinding, later: Sequence[EarlierRuling], ruling: findings.Ruling) -> bool:
    return any(
        answer.finding == place.id and answer.ruling == ruling and (answer.anchored or ruling == "stands")
        for answer in later
    )
