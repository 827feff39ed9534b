"""Lists of findings by how grave they are: headings with items below, and rows of tables, in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

Grave = Literal["critical", "blocker", "high", "major"]

MOST_HEADING: Final = 60
"""Characters of a heading."""

# A heading of nothing but a grave severity, and a row of a table with a cell of nothing else.
_GRAVE: Final[dict[str, Grave]] = {
    "critical": "critical",
    "blocker": "blocker",
    "blockers": "blocker",
    "high": "high",
    "major": "major",
}
_OF_HEADINGS: Final = frozenset(
    ("issue", "issues", "finding", "findings", "problem", "problems", "severity", "priority")
)
_MENDED = re.compile(r"\b(?:fixed|resolved|mended|addressed|gone|closed|earlier|previous)\b", re.IGNORECASE)
_RULE = re.compile(r"\s*+\|?[ :|-]*-{3}")
_ITEM = re.compile(r"[ \t>]{0,12}(?:[-*+]|\d{1,3}[.)])[ \t]")
_TICKED = re.compile(r"[ \t>*+-]{0,12}(?:\[[xX]\]|[\u2705\u2714])")
_NO_ITEM: Final = frozenset(("none", "no", "nothing", "zero", "0", "n", "na", "keine", "keiner", "aucun", "aucune"))
_WORD = re.compile(r"\w+")


class SeverityEntry(NamedTuple):
    """A heading or a row with a grave severity, and where its line begins; `heads_list` if a list stands below it."""

    severity: Grave
    start: int
    heads_list: bool = False


def entries(words: str) -> Iterator[SeverityEntry]:
    """Yields the grave severities under whose heading something stands, and those of rows of tables."""
    lines, following, below, start = words.split("\n"), list[str](), "", 0
    for line in reversed(lines):
        following.append(below)
        below = line if line.strip() else below
    for line, below in zip(lines, reversed(following), strict=True):
        heading = _of_heading(line, below)
        severity = heading or _of_row(line, below)
        if severity:
            yield SeverityEntry(severity, start, heading is not None and bool(_ITEM.match(below)))
        start += len(line) + 1


def _of_heading(line: str, below: str) -> Grave | None:
    """Returns the severity that is a heading, if the line below it is an item."""
    plain = line.strip(" \t>")
    if not plain.startswith(("#", "**", "__")) or len(plain) > MOST_HEADING:
        return None
    first, *more = [*_WORD.findall(plain.lower()), ""][: len(_OF_HEADINGS)]
    is_heading = _OF_HEADINGS.issuperset(filter(None, more)) and not _is_nothing(below)
    return _GRAVE.get(first) if is_heading else None


def _of_row(line: str, below: str) -> Grave | None:
    """Returns the severity that is a cell of a row, if other cells say more and it is no head."""
    if not line.strip(" \t>").startswith("|") or _RULE.match(below):
        return None
    cells = [cell.strip(" \t*_`").lower() for cell in line.strip(" \t>|").split("|")]
    word = next((cell for cell in cells if cell in _GRAVE), "")
    is_harmless = all(map(_is_nothing, (cell for cell in cells if cell != word))) or _MENDED.search(line)
    return None if is_harmless else _GRAVE.get(word)


def _is_nothing(text: str) -> bool:
    """Returns whether a line or a cell holds no item: it says so, holds no word, or begins something else."""
    words = _WORD.findall(text.lower())
    is_absent = _TICKED.match(text) and text.rstrip(" .*_").lower().endswith((": not found", ": none"))
    return not words or words[0] in _NO_ITEM or bool(is_absent) or text.lstrip().startswith(("#", "|", "```"))
