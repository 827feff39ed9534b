"""What stands in quotation marks in a request: names and titles that it mentions, rather than what it is about."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 60
"""Characters of a mention, at most: longer ones are texts that somebody hands over."""

MOST: Final = 0.5
"""Share of a text that its mentions may have: of a text that is quoted as a whole, nothing is a mention."""

_PAIRS: Final = ('""', "''", "\u201c\u201d", "\u2018\u2019", "\u201e\u201c", "\u00ab\u00bb", "\u300c\u300d")
_MENTION = re.compile(
    "|".join(
        rf"(?<!\w){re.escape(opening)}[^{re.escape(opening + closing)}\n]{{1,{LONGEST}}}{re.escape(closing)}(?!\w)"
        for opening, closing in _PAIRS
    )
)


def ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Returns the half-open ranges of a text that stand in quotation marks, marks included, in their order."""
    spans = tuple(match.span() for match in _MENTION.finditer(text))
    return spans if sum(end - start for start, end in spans) <= MOST * len(text.strip()) else ()


def without(text: str) -> str:
    """Returns a text with blanks for what stands in quotation marks."""
    for start, end in ranges(text):
        text = f"{text[:start]}{' ' * (end - start)}{text[end:]}"
    return text
