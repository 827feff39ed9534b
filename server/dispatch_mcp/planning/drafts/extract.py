"""Takes a request apart where its form allows it: the things it lists, its steps, the paths it names."""

from __future__ import annotations

import re
from typing import Final

from dispatch_mcp.text import tokenizer

MAX_WORDS: Final = 4
"""Words of a thing in a list; what is longer is a clause."""

WORD = re.compile(r"\w+(?:['-]\w+)*")
_AND: Final = r"(?:and|or|as well as|và|hoặc|hay|y|o|et|ou|und|oder|sowie|e)"
_PRONOUNS: Final = (["it"], ["them"])
_SENTENCE = re.compile(r"[.;!?](?: |$)")
_BETWEEN = re.compile(rf", {_AND} |[,、] ?| {_AND} ")
_BEFORE_THINGS = re.compile(  # prepositions and articles of six languages, the last of which begins the list
    r"\b(?:in|on|to|for|from|of|with|across|into|both|our|the|its|is it|ở|cả|cho|vào|trong|en|de|para|los|las|les|"
    r"dans|pour|für|der|die|das|den|nos|nas)\b |: "
)
_BETWEEN_STEPS = re.compile(
    r",? (?:and then|then|after that|afterwards|finally|rồi|sau đó|luego|después|puis|ensuite|und dann|dann|danach|"
    r"depois)\b,? ?"
)
_PATH = re.compile(r"(?:[\w.-]+/)*[\w-]+\.(?:[a-z]{1,4}|ipynb|proto|swift)\b|(?:[\w.-]+/)+[\w.-]+")


def plain(request: str) -> str:
    """Returns a request in lower case with single spaces; of a long one, its beginning and end."""
    return " ".join(tokenizer.normal(tokenizer.excerpt(request)).split())


def things(request: str) -> tuple[str, ...]:
    """Returns the short things that the request lists or pairs, in its order; empty when it lists none."""
    for sentence in _SENTENCE.split(plain(request)):
        first, *rest = _BETWEEN.split(sentence)
        leads = [match.end() for match in _BEFORE_THINGS.finditer(first)]
        items = [first[leads[-1] if leads else 0 :], *rest]
        short = next((at for at, item in enumerate(items) if len(item.split()) > MAX_WORDS), len(items))
        items = [item.strip(" ,.:") for item in items[:short]]
        if len(items) > (1 if leads else 2) and not any(item.split()[-1:] in _PRONOUNS for item in items):
            return tuple(dict.fromkeys(filter(None, items)))
    return ()


def steps(request: str) -> tuple[str, ...]:
    """Returns the parts of a request that follow each other, in its order and its words; one when it names no order."""
    text = plain(request)
    for pattern in (_BETWEEN_STEPS, _SENTENCE, re.compile(rf", (?:{_AND} )?| {_AND} ")):
        parts = [part.strip(" ,.;:") for part in pattern.split(text)]
        parts = [part for part in parts if " " in part]
        if len(parts) > 1:
            return tuple(parts)
    return (text,) if text else ()


def paths(request: str) -> tuple[str, ...]:
    """Returns the files that a request names, as it writes them."""
    return tuple(dict.fromkeys(_PATH.findall(tokenizer.excerpt(request))))
