"""What a model is offered to choose from: five agents with what each is for, and the names of the rest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dispatch_mcp import model

FIVE: Final = 5
NAMED: Final = 60
"""Up to so many agents all are named; of more the next ten and the groups they belong to."""

NEXT: Final = 10
MOST_WORDS: Final = 12
"""Words that say what an agent is for."""

MOST_GROUPS: Final = 16
"""Groups that are named, the largest first."""

LEAST_GROUP: Final = 3
"""Names from which on a beginning or an end that they share is written once."""

# How descriptions begin before they say anything.
_OPENINGS = (
    *("use this agent", "use it", "use", "must be used", "should be used", "proactively", "immediately", "whenever"),
    *("when you need to", "when you need", "when", "for", "to", "help with", "specialist for", "specialist in"),
    *("expert in", "you are an", "you are a", "the", "a", "an"),
)
_OPENING = re.compile(rf"(?:{'|'.join(_OPENINGS)})\s+", re.IGNORECASE)
_ODD = re.compile(r"[\s()%\"]")
_SENTENCE = re.compile(r"[.;](?:\s|$)")
_DASH = re.compile(r"(?<!\s)\s++[-\u2013\u2014]\s")


class Choice(model.Value):
    """An agent that may be chosen: what it is for, in a few words, and the words of the request that speak for it."""

    agent: str
    about: str = ""
    hits: tuple[str, ...] = ()


class Part(model.Value):
    """A part of a request that belongs to another agent than the rest: the words, and whose they are."""

    words: str
    agent: str


class Offer(model.Value):
    """The agents to choose from, the best first, the names of the rest in their order, and the groups of the rest.

    `off` are rosters that take no part unless they are named, `absent` is the agent of one of them that the request
    rather is for, `switched_on` are those that the workspace switches on, each with the reason. `tie` are
    agents that the words of the request do not tell apart.
    """

    choices: tuple[Choice, ...] = ()
    rest: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    absent: str = ""
    switched_on: Mapping[str, str] = {}
    tie: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Returns every name that whoever reads the offer sees, in its order."""
        return (*(choice.agent for choice in self.choices), *self.rest)


def about(description: str, most: int = MOST_WORDS) -> str:
    """Returns in at most so many words what an agent is for."""
    text = " ".join(description[:600].split())
    while opening := _OPENING.match(text):
        text = text[opening.end() :]
    sentence = _SENTENCE.split(text, maxsplit=1)[0]
    return " ".join(_DASH.sub(": ", sentence, count=1).split()[:most]).rstrip(",;:-(")


def beyond_five(names: Sequence[str], group_of: Callable[[str], str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names to show beside the first ones, and the groups of those that are too many to show."""
    if len(names) + FIVE <= NAMED:
        return tuple(names), ()
    counts = Counter(group_of(name) for name in names[NEXT:])
    groups = tuple(f"{group} ({count})" for group, count in counts.most_common(MOST_GROUPS) if group)
    return tuple(names[:NEXT]), groups


def line(names: Sequence[str]) -> str:
    """Returns the names in one line; those that begin or end alike are written together: `eng-(api db)`.

    A name with blanks or brackets of its own stands in quotes.
    """
    odd = [name for name in names if _ODD.search(name)]
    names = [name for name in names if name not in odd]
    beginnings, ends = (_common(names, _beginning), _common(names, _ending))
    forms: dict[str, list[str]] = {}
    for name in names:
        start, end = _beginning(name), _ending(name)
        if start in beginnings:
            forms.setdefault(f"{start}(%)", []).append(name.removeprefix(start))
        elif end in ends:
            forms.setdefault(f"(%){end}", []).append(name.removesuffix(end))
        else:
            forms.setdefault(name, [])
    plain = (form.replace("%", " ".join(parts)) if parts else form for form, parts in forms.items())
    return " ".join((*plain, *(f'"{name}"' for name in odd)))


def _common(names: Sequence[str], part: Callable[[str], str]) -> frozenset[str]:
    counts = Counter(part(name) for name in names)
    return frozenset(key for key, count in counts.items() if key and count >= LEAST_GROUP)


def _beginning(name: str) -> str:
    head, dash, _ = name.partition("-")
    return head + dash if dash else ""


def _ending(name: str) -> str:
    _, dash, tail = name.rpartition("-")
    return dash + tail if dash else ""
