"""How reviewers have done: how often they could be used, agreed with the decision, and were right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dispatch_mcp import model
from dispatch_mcp.review import council_decision, findings
from dispatch_mcp.review.council_decision import Decision
from dispatch_mcp.review.findings import Answered, ReviewReport


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
        told = self.model_dump(mode="json", exclude_defaults=True)
        return told if self.agreement is None else {**told, "agreement": self.agreement}


class Round(model.Value):
    """One round that is over. `later` are the rulings of the next round on its findings."""

    reports: tuple[ReviewReport, ...]
    decision: Decision
    later: tuple[Answered, ...] = ()


def calibrate(rounds: Iterable[Round]) -> list[Record]:
    """Returns a record for each reviewer, by name."""
    records: dict[str, Record] = {}
    for one in rounds:
        for voice in one.decision.voices:
            before = records.get(voice.reviewer, Record(reviewer=voice.reviewer))
            records[voice.reviewer] = _with_round(before, one, voice)
    return [records[name] for name in sorted(records)]


def _with_round(record: Record, one: Round, voice: council_decision.Voice) -> Record:
    mine = [merged for merged in one.decision.findings if voice.reviewer in merged.reviewers]
    blocking = [merged for merged in mine if _called(merged, voice.reviewer) in findings.BLOCKING]
    agreed = voice.verdict is not None and (voice.verdict == "FAIL") == (one.decision.outcome == "BLOCK")
    added = {
        "rounds": 1,
        "unusable": voice.verdict is None,
        "agreed": agreed and one.decision.outcome != "INCONCLUSIVE",
        "raised": len(mine),
        "blocking": len(blocking),
        "upheld": sum(_upheld(merged, one.later) for merged in blocking),
        "refuted": sum(merged.standing == "refuted" or _ruled(merged, one.later, "refuted") for merged in mine),
        "waived": sum(merged.standing == "waived" for merged in mine),
        "unproven": sum(merged.standing == "unproven" for merged in mine),
    }
    return record.model_copy(update={name: getattr(record, name) + int(count) for name, count in added.items()})


def _called(merged: council_decision.Merged, reviewer: str) -> findings.Severity:
    return findings.worst([claim.severity for claim in merged.claims if claim.reviewer == reviewer])


def _upheld(merged: council_decision.Merged, later: Sequence[Answered]) -> bool:
    if merged.standing == "unproven":
        return False
    return len(merged.reviewers) > 1 or _ruled(merged, later, "gone") or _ruled(merged, later, "stands")


def _ruled(merged: council_decision.Merged, later: Sequence[Answered], ruling: findings.Ruling) -> bool:
    return any(
        one.finding == merged.id and one.ruling == ruling and (one.anchored or ruling == "stands") for one in later
    )
