"""Quotes checked against the change: a finding that quotes what is not there is demoted and marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dispatch_mcp.review import findings
from dispatch_mcp.review.findings import EarlierRuling, Finding, ReviewReport
from dispatch_mcp.text import unified_diff

LEAST: Final = 3
"""Letters and digits that a quote must have to prove anything."""

NOT_THERE: Final = "quotes what is not in the change"
TOO_SHORT: Final = "quotes nothing"
_SIGNIFICANT = re.compile(r"\w")


class Place(NamedTuple):
    """Where a quote was found; numbers are of the new version, or of the old one where `removed`."""

    file: str
    line: int
    last: int
    removed: bool


class _Line(NamedTuple):
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Ground:
    """The lines of a change by file, new side and old side, ready for finding quotes."""

    sides: Mapping[str, tuple[Sequence[_Line], Sequence[_Line]]]

    def find(self, file: str, line: int, quote: str) -> Place | None:
        """Returns where a quote stands, nearest to `line`; in the named file, or in the only one that has it."""
        parts = [findings.plain(part) for part in quote.split("\n")]
        parts = [part for part in parts if part]
        if len(_SIGNIFICANT.findall("".join(parts))) < LEAST:
            return None
        path = self._file(file)
        if path is not None:
            return self._within(path, line, parts) or self._within(path, line, _unmarked(parts))
        places = [place for path in self.sides if (place := self._within(path, line, parts))]
        return places[0] if len(places) == 1 else None

    def _file(self, file: str) -> str | None:
        name = file.strip().removeprefix("./")
        for candidate in (name, name.removeprefix("a/"), name.removeprefix("b/")):
            if candidate in self.sides:
                return candidate
        near = [path for path in self.sides if name and (path.endswith(f"/{name}") or name.endswith(f"/{path}"))]
        return near[0] if len(near) == 1 else None

    def _within(self, path: str, line: int, parts: Sequence[str]) -> Place | None:
        new, old = self.sides[path]
        matches = [(place, False) for place in _matches(new, parts)] or [
            (place, True) for place in _matches(old, parts)
        ]
        if not matches:
            return None
        (first, last), old_side = min(matches, key=lambda match: (abs(match[0][0] - line), match[0][0]))
        return Place(path, first, last, old_side)


def ground(diff: unified_diff.Diff) -> Ground:
    """Returns the lines of a change; quotes may come from added, removed and unchanged lines that it shows."""
    sides: dict[str, tuple[list[_Line], list[_Line]]] = {}
    for change in diff.files:
        new, old = sides.setdefault(change.path, ([], []))
        for hunk in change.hunks:
            for line in unified_diff.lines_with_numbers(hunk):
                (old if line.mark == "-" else new).append(_Line(line.number, findings.plain(line.text)))
    return Ground(sides)


def _matches(lines: Sequence[_Line], parts: Sequence[str]) -> Iterator[tuple[int, int]]:
    if not parts:
        return
    first, rest = parts[0], parts[1:]
    for at, line in enumerate(lines):
        if first in line.text if not rest else line.text.endswith(first):
            last = _continued(lines, at, rest)
            if last is not None:
                yield line.number, last


def _continued(lines: Sequence[_Line], at: int, rest: Sequence[str]) -> int | None:
    """Returns the number of the line in which the rest of a quote ends; blank lines do not count."""
    last = lines[at].number
    for place, part in enumerate(rest):
        at += 1
        while at < len(lines) and not lines[at].text:
            at += 1
        if at >= len(lines):
            return None
        text = lines[at].text
        if text != part and not (place == len(rest) - 1 and text.startswith(part)):
            return None
        last = lines[at].number
    return last


def _unmarked(parts: Sequence[str]) -> list[str]:
    """Returns the lines of a quote that was copied with the marks of the diff."""
    return [part[1:].strip() if part[:1] in "+-" else part for part in parts]


def check(report: ReviewReport, where: Ground) -> ReviewReport:
    """Returns a report with each finding and ruling anchored in the change, or demoted and marked."""
    return report.model_copy(
        update={
            "findings": tuple(anchored(item, where) for item in report.findings),
            "rulings": tuple(_ruled(item, where) for item in report.rulings),
        }
    )


def anchored(finding: Finding, where: Ground) -> Finding:
    """Returns a finding with the place where its quote stands; without one it is low, whatever it was called."""
    place = where.find(finding.file, finding.line, finding.quote)
    if place is None:
        short = len(_SIGNIFICANT.findall(finding.quote)) < LEAST
        mark = TOO_SHORT if short else NOT_THERE
        return finding.model_copy(
            update={"severity": "low", "claimed": finding.called, "anchored": False, "marks": (*finding.marks, mark)}
        )
    marks = list(finding.marks)
    if finding.line and finding.line != place.line:
        marks.append(f"line corrected from {finding.line}")
    if finding.file and place.file != finding.file.strip():
        marks.append(f"file corrected from {finding.file[:200]}")
    return finding.model_copy(
        update={
            "file": place.file,
            "line": place.line,
            "last": place.last,
            "removed": place.removed,
            "anchored": True,
            "marks": tuple(marks),
        }
    )


def _ruled(ruling: EarlierRuling, where: Ground) -> EarlierRuling:
    place = where.find(ruling.file, ruling.line, ruling.quote)
    return (
        ruling
        if place is None
        else ruling.model_copy(update={"file": place.file, "line": place.line, "anchored": True})
    )
