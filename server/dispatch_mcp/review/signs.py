"""Signs in a change that one reviewer's subject is touched: patterns of lines, as data.

A sign is looked for only in lines that hold one of its hints, so that a large change costs little. Weights are 1 to 9:
9 is hardly ever an accident, 4 needs company.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final, Literal

from dispatch_mcp.review import diff_facts

Subject = Literal["security", "performance", "tests", "dependencies", "legacy"]

CODE: Final[tuple[diff_facts.Place, ...]] = ("code",)
CONFIG: Final[tuple[diff_facts.Place, ...]] = ("config",)
RUNS: Final[tuple[diff_facts.Place, ...]] = ("code", "config")
TESTS: Final[tuple[diff_facts.Place, ...]] = ("test",)
ALL: Final[tuple[diff_facts.Place, ...]] = ("code", "test", "config")


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign. `hints` are words, in lower case, one of which must be in the line; `said` is the reason shown.

    `unless` takes a line back; `languages` are the only ones it is looked for in, none for all.
    """

    name: str
    subject: Subject
    weight: float
    said: str
    hints: tuple[str, ...]
    regex: str
    side: diff_facts.Side = "added"
    places: tuple[diff_facts.Place, ...] = CODE
    unless: str = ""
    languages: frozenset[str] = frozenset()

    def found(self, line: str) -> str:
        """Returns the part of a line in lower case that is the sign, or an empty string."""
        match = lowered(self.regex).search(line)
        return match[0] if match and not (self.unless and lowered(self.unless).search(line)) else ""


def sign(  # noqa: PLR0913  # a column of the table each
    name: str,
    subject: Subject,
    weight: float,
    said: str,
    hints: str,
    *,
    regex: str = "",
    side: diff_facts.Side = "added",
    places: tuple[diff_facts.Place, ...] = CODE,
    unless: str = "",
    languages: str = "",
) -> Sign:
    """Returns a sign from its row of the table; without a pattern its hints are looked for as words."""
    words = tuple(hints.split())
    found = regex or r"(?<![A-Za-z0-9])(?:" + "|".join(map(re.escape, words)) + r")(?![A-Za-z0-9])"
    return Sign(
        name=name,
        subject=subject,
        weight=weight,
        said=said,
        hints=words,
        regex=found,
        side=side,
        places=places,
        unless=unless,
        languages=frozenset(languages.split()),
    )


@functools.cache
def lowered(regex: str) -> re.Pattern[str]:
    """Returns the pattern for lines in lower case; twice as fast as one that minds both cases."""
    return re.compile(_LETTERS.sub(lambda found: found[0] if found[0][0] == "\\" else found[0].lower(), regex))


_LETTERS = re.compile(r"\\.|[A-Z]")
