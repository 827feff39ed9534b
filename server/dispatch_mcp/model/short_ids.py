"""Ids that a person can say: the first words of what is to be done, and a random number behind them.

An id is `<words>-<32 hex digits>`. Everybody is shown its short form, which ends after four of the digits, and may give
any part that no other id begins with. Ids from before there were words are the digits alone.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import PlainSerializer, SerializationInfo

from dispatch_mcp.text import escape, redaction, short_forms

MOST_TITLE: Final = 60
MOST_SLUG: Final = 24
MOST_WORDS: Final = 3

_DIGITS = re.compile(r"[0-9a-f]{1,32}")
_WORD = re.compile(r"[a-z0-9]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")
_EMPTY = """
a all an and are as at be by can could for from have i if in into is it its let lets me my need of on or our please
should so some that the their then there these this to us want we will with would you your
"""
_EMPTY_WORDS: Final = frozenset(_EMPTY.split())
"""Words that say nothing about which work it is."""
_SECRETS: Final = redaction.Redactor()

short = short_forms.short


def first_words(text: str) -> str:
    """Returns the beginning of a request as a title: one line, its first sentence, cut between words."""
    line = escape.one_line(text)
    sentence = _SENTENCE_END.split(line, maxsplit=1)[0] if line else ""
    if len(sentence) <= MOST_TITLE:
        return sentence.rstrip(".")
    head = sentence[:MOST_TITLE].rpartition(" ")[0] or sentence[: MOST_TITLE - 1]
    return head.rstrip(" ,;:.") + "…"


def slug(text: str) -> str:
    """Returns up to three telling words of a text in plain letters, `-` between them; empty where it has none."""
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    words = _WORD.findall(plain)
    telling = [word for word in words if word not in _EMPTY_WORDS] or words
    parts: list[str] = []
    for word in telling[:MOST_WORDS]:
        if parts and len("-".join([*parts, word])) > MOST_SLUG:
            break
        parts.append(word[:MOST_SLUG])
    return "-".join(parts)


def compose(title: str, number: str, fallback: str = "") -> str:
    """Returns the id of what has that title, or `fallback` where that has no plain letters.

    A number that is not 32 hex digits is an id that somebody has chosen, and stays as it is.
    """
    if not short_forms.NUMBER.fullmatch(number):
        return number
    words = (slug(title) or slug(fallback)).split("-")
    for count in range(len(words), 0, -1):
        name = "-".join([*filter(None, words[:count]), number])
        if _SECRETS.redact(name) == name:  # what looks like a key would be taken out of everything that names it
            return name
    return number


def variants(whole: str) -> Iterator[str]:
    """Yields an id, then others of the same words and number whose short forms differ; only itself without words."""
    yield whole
    if parts := short_forms.WHOLE.fullmatch(whole):
        for tie in itertools.count(2):
            yield f"{parts['words']}-{tie}-{parts['number']}"


def _shown(whole: str, info: SerializationInfo[object | None]) -> str:
    return short(whole) if info.context else whole


Handle = Annotated[str, PlainSerializer(_shown)]
"""An id that is short wherever an interface serialises it, which it does with its words as the context."""


def is_whole(handle: str) -> bool:
    """Whether a handle is an id with all its digits and words, so that it cannot mean anything else."""
    return short_forms.WHOLE.fullmatch(handle) is not None


def is_number(handle: str) -> bool:
    """Whether a handle can be the beginning of an id's number."""
    return _DIGITS.fullmatch(handle) is not None
