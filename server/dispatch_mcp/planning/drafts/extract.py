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
# Words of six languages: what stands before a list of things, and between steps; `_` is a space.
_PREPOSITIONS: Final = "in on to for from of with across into is_it ở cho vào trong en de para dans pour für nos nas"
_ARTICLES: Final = "both our the its cả los las les der die das den"
_BEFORE_THINGS = re.compile(rf"\b(?:{'|'.join(f'{_PREPOSITIONS} {_ARTICLES}'.split()).replace('_', ' ')})\b |: ")
_THEN: Final = "then after_that afterwards finally rồi sau_đó luego después puis ensuite dann danach depois"
_BETWEEN_STEPS = re.compile(rf",? (?:(?:and|und) )?(?:{'|'.join(_THEN.split()).replace('_', ' ')})\b,? ?")
# docs/guide.md, a file of a known kind with or without folders; or src/shop/cart, a path that has a folder.
_PATH = re.compile(
    r"(?<![\w./-])(?:[\w.-]++/)*+[\w-]++\.(?:[a-z]{1,4}|ipynb|proto|swift)\b|(?<![\w./-])(?:[\w.-]++/)++[\w.-]++"
)


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
