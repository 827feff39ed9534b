"""Reads a request into what signs are looked for in: its words, where each worded cue stands, its acts in order."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dispatch_mcp.planning.drafts import cue_words, request_grammar
from dispatch_mcp.text import tokenizer

MAX_QUOTE: Final = 40


class Span(NamedTuple):
    """Half-open range of characters."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Said:
    """A request in lower case, where each worded cue stands in it, and its acts in order."""

    said: str
    words: int
    found: Mapping[str, Sequence[Span]]
    acts: Sequence[tuple[int, str]]

    def has(self, *names: str) -> bool:
        """Returns whether any of these cues is there."""
        return any(self.found[name] for name in names)

    def quote(self, name: str) -> str:
        """Returns the first words that show a cue."""
        return ", ".join(dict.fromkeys(self.said[at.start : at.end] for at in self.found[name][:3]))[:MAX_QUOTE]


_ACTS: Final = ("investigate", "fix", "build", "change", "act")


def hear(request: str) -> Said:
    """Returns the reading of a request; of a long one, of its beginning and end."""
    said = normal(tokenizer.excerpt(request))
    found = {cue.name: [Span(*match.span()) for match in _pattern(cue.name).finditer(said)] for cue in cue_words.WORDED}
    return Said(said, len(request_grammar.WORD.findall(said)), found, _acts(said, found))


def normal(request: str) -> str:
    """Returns the request in lower case with plain apostrophes and single spaces."""
    plain = unicodedata.normalize("NFKC", request).casefold().replace("\u2019", "'")
    return " ".join(plain.split())


def _acts(said: str, found: Mapping[str, Sequence[Span]]) -> list[tuple[int, str]]:
    """Returns the acts that are asked for, in order: verbs where a clause begins."""
    at: dict[int, str] = {}
    for name in _ACTS:
        for span in found[name]:
            if request_grammar.CLAUSE.search(said[max(0, span.start - 24) : span.start]):
                at.setdefault(span.start, name)
    return sorted(at.items())


@functools.cache
def _pattern(name: str) -> re.Pattern[str]:
    phrases = [" ".join(part.split()) for part in _PHRASES[name].split(";") if part.strip()]
    folded = [plain for phrase in phrases if (plain := tokenizer.fold(phrase)) != phrase and len(plain) >= 7]
    forms = sorted({*phrases, *folded}, key=lambda phrase: (-len(phrase), phrase))
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(_expression, forms))})(?![\w-])")


def _expression(phrase: str) -> str:
    words = phrase.replace("*", r"\w*").split(" ")
    out = words[0]
    for word in words[1:]:
        if word == "..":
            out += r"(?:\s+[\w'/-]+){0,4}?"
        else:
            out += r"\s+" + word
    return out


_PHRASES: Final = {cue.name: cue.phrases for cue in cue_words.WORDED}
