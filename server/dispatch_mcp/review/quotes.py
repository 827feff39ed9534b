"""Quotes checked against the change: a finding stands where its quote stands, and without one it is demoted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from dispatch_mcp.review import quote_search
from dispatch_mcp.review.findings import EarlierRuling, Finding, ReviewReport
from dispatch_mcp.text import unified_diff

NOT_THERE: Final = "quotes what is not in the change"
TOO_SHORT: Final = "quotes nothing"
MOST_PLACES: Final = 500
"""Places among which the nearest one of a quote is looked for; a quote of more says little about any of them."""


class QuotePlace(NamedTuple):
    """Where a quote was found; numbers are of the new version, or of the old one where `is_removed`."""

    file: str
    line: int
    last: int
    is_removed: bool


@dataclass(frozen=True, slots=True)
class Ground:
    """The lines of a change by file, ready for finding quotes."""

    files: Mapping[str, quote_search.FileText]

    def find(self, file: str, line: int, quote: str) -> QuotePlace | None:
        """Returns where a quote stands, nearest to `line`; in the named file, or in the only one that has it.

        So strict is what may let something pass: an earlier finding that is gone, a proof against one.
        """
        words = quote_search.Quote(quote)
        path = self.path(file)
        if path is not None:
            return _nearest(path, line, self.files[path].find(words))
        places = (place for path in self.files if (place := _nearest(path, line, self.files[path].find(words))))
        first, second = next(places, None), next(places, None)
        return first if second is None else None

    def everywhere(self, quote: str) -> dict[str, list[quote_search.QuoteMatch]]:
        """Returns the places at which a quote stands, by file; of very many, about the first MOST_PLACES."""
        words = quote_search.Quote(quote)
        matches: dict[str, list[quote_search.QuoteMatch]] = {}
        count = 0
        for path, text in self.files.items():
            places = text.find(words)
            count += len(places)
            if places:
                matches[path] = places
            if count >= MOST_PLACES:
                break
        return matches

    def path(self, file: str) -> str | None:
        """Returns the file of the change that a name means, if it means one."""
        name = file.strip().removeprefix("./")
        for candidate in (name, name.removeprefix("a/"), name.removeprefix("b/")):
            if candidate in self.files:
                return candidate
        near = [path for path in self.files if name and (path.endswith(f"/{name}") or name.endswith(f"/{path}"))]
        return near[0] if len(near) == 1 else None


def ground(diff: unified_diff.Diff) -> Ground:
    """Returns the lines of a change; quotes may come from added, removed and unchanged lines that it shows."""
    files: dict[str, quote_search.FileText] = {}
    for change in diff.files:
        text = files.setdefault(change.path, quote_search.FileText())
        for hunk in change.hunks:
            text.add(hunk)
    return Ground(files)


def _nearest(path: str, line: int, matches: list[quote_search.QuoteMatch]) -> QuotePlace | None:
    """Returns the match nearest to a line; without a line, the first one among changed lines."""
    if not matches:
        return None
    best = min(matches, key=lambda match: (abs(match.first - line) if line else not match.is_changed, match.first))
    return QuotePlace(path, best.first, best.last, best.is_removed)


def check(report: ReviewReport, where: Ground) -> ReviewReport:
    """Returns a report with each finding and ruling anchored in the change, or demoted and marked."""
    return report.model_copy(
        update={
            "findings": tuple(anchored(item, where) for item in report.findings),
            "rulings": tuple(_ruled(item, where) for item in report.rulings),
        }
    )


def anchored(finding: Finding, where: Ground) -> Finding:
    """Returns a finding with the place where its quote stands; without one it is low, whatever it was called.

    A quote of another file or line than the finding names is looked for in the whole change, and the finding moves to
    the nearest place that has it.
    """
    place = where.find(finding.file, finding.line, finding.quote)
    if place is not None:
        return _at(finding, place, [*_corrections(finding, place)])
    matches = where.everywhere(finding.quote)
    if not matches:
        short = not quote_search.Quote(finding.quote).is_significant
        mark = TOO_SHORT if short else NOT_THERE
        return finding.model_copy(
            update={"severity": "low", "claimed": finding.called, "anchored": False, "marks": (*finding.marks, mark)}
        )
    nearest = (_nearest(path, finding.line, places) for path, places in matches.items())
    place = min(filter(None, nearest), key=lambda place: _distance(finding, place))
    return _at(finding, place, [*_moves(finding, sum(map(len, matches.values())))])


def _at(finding: Finding, place: QuotePlace, marks: list[str]) -> Finding:
    return finding.model_copy(
        update={
            "file": place.file,
            "line": place.line,
            "last": place.last,
            "removed": place.is_removed,
            "anchored": True,
            "marks": (*finding.marks, *marks),
        }
    )


def _corrections(finding: Finding, place: QuotePlace) -> Iterator[str]:
    """Yields what of a finding's place was not right though its quote is where it says."""
    if finding.line and finding.line != place.line:
        yield f"line corrected from {finding.line}"
    if finding.file and place.file != finding.file.strip():
        yield f"file corrected from {finding.file[:200]}"


def _moves(finding: Finding, count: int) -> Iterator[str]:
    """Yields how a finding came to a place that it does not name."""
    named = finding.file[:200] + (f":{finding.line}" if finding.line else "")
    if named:
        yield f"moved from {named}: its quote stands here"
    if count > 1:
        number = f"{count} places" if count < MOST_PLACES else f"{MOST_PLACES} places or more"
        yield f"its quote stands at {number}, this is the nearest"


def _distance(finding: Finding, place: QuotePlace) -> tuple[int, int, str, int]:
    """Returns how far a place is from the one that a finding names: by the end of the path first, then by the line."""
    pairs = zip(reversed(finding.file.split("/")), reversed(place.file.split("/")), strict=False)
    alike = 0
    for own, other in pairs:
        if own != other:
            break
        alike += 1
    return -alike, abs(place.line - finding.line) if finding.line else 0, place.file, place.line


def _ruled(ruling: EarlierRuling, where: Ground) -> EarlierRuling:
    place = where.find(ruling.file, ruling.line, ruling.quote)
    return (
        ruling
        if place is None
        else ruling.model_copy(update={"file": place.file, "line": place.line, "anchored": True})
    )
