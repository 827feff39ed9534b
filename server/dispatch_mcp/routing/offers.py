"""What a model is offered to choose from: five agents with what each is for, and the names of the rest."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Final, NamedTuple

from dispatch_mcp import model

FIVE: Final = 5
NAMED: Final = 60
"""Up to so many agents all are named; of more the likeliest, and the groups that the others belong to."""

NEXT: Final = 50
"""Names of hundreds that an offer has beside the five; an answer shows as many of them as it has room for."""

MOST_WORDS: Final = 12
"""Words that say what an agent is for."""

MOST_GROUPS: Final = 16
"""Groups that are named, the largest first."""

CROWDED: Final = 0.1
"""Log odds that each agent of a group costs the next one of it; fitted by hand on 200 requests of seven authors."""

DEPTH: Final = 2
"""Brackets within brackets in a line of names, at most: more are hard to read."""

LONG_WORD: Final = 9
"""Characters that a word may have, on the average of those that are shown."""

_LOOSE: Final = frozenset(("a", "an", "and", "for", "in", "including", "of", "on", "or", "that", "the", "to", "with"))

# How descriptions begin before they say anything.
_OPENINGS = (
    *("use this agent", "use it", "use", "must be used", "should be used", "proactively", "immediately", "whenever"),
    *("when you need to", "when you need", "when", "for", "to", "help with", "specialist for", "specialist in"),
    *("expert in", "you are an", "you are a", "the", "a", "an"),
)
_OPENING = re.compile(rf"(?:{'|'.join(_OPENINGS)})\s+", re.IGNORECASE)
_ODD = re.compile(r"[\s()%\"]")
_DASHES = re.compile(r"-")
_SENTENCE = re.compile(r"[.;](?:\s|$)")
_DASH = re.compile(r"(?<!\s)\s++[-\u2013\u2014]\s")


class OfferedAgent(model.Value):
    """An agent that may be chosen: what it is for, in a few words, and the words of the request that speak for it."""

    agent: str
    about: str = ""
    hits: tuple[str, ...] = ()


class RequestPart(model.Value):
    """A part of a request that belongs to another agent than the rest: the words, and whose they are."""

    words: str
    agent: str


class AgentOffer(model.Value):
    """The agents to choose from, the best first, the names of the rest in their order, and the groups of the rest.

    `off` are rosters that take no part unless they are named, `absent` is the agent of one of them that the request
    rather is for, `switched_on` are those that the workspace switches on, each with the reason. `tie` are
    agents that the words of the request do not tell apart.
    """

    choices: tuple[OfferedAgent, ...] = ()
    rest: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    absent: str = ""
    switched_on: Mapping[str, str] = {}
    tie: tuple[str, ...] = ()
    parts: tuple[RequestPart, ...] = ()

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
    words = _DASH.sub(": ", sentence, count=1).split()
    head = words[:most]
    while len(words) > most and len(head) > 1 and head[-1].lower() in _LOOSE:
        head.pop()
    return " ".join(head).rstrip(",;:-(") + ("…" if len(words) > most else "")


def first_words(text: str, words: int) -> str:
    """Returns the first words of a text, at most so many and `LONG_WORD` characters for each, without a loose end."""
    head = text.split()[:words]
    while head and (len(" ".join(head)) > words * LONG_WORD or (len(head) > 1 and head[-1].lower() in _LOOSE)):
        head.pop()
    return " ".join(head).rstrip(",;:-(") if head else text[: words * LONG_WORD]


def beyond_five(names: Sequence[str], group_of: Callable[[str], str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the names to show beside the first ones, and the groups of those that are too many to show."""
    if len(names) + FIVE <= NAMED:
        return tuple(names), ()
    counts = Counter(group_of(name) for name in names[NEXT:])
    groups = tuple(f"{group} ({count})" for group, count in counts.most_common(MOST_GROUPS) if group)
    return tuple(names[:NEXT]), groups


def spread(places: Sequence[int], logits: Sequence[float], groups: Sequence[str]) -> list[int]:
    """Returns as many of the places as are shown, the best first; each that a group has already costs its next one.

    Where little speaks for anybody, ten of one group say less than the best of ten groups.
    """
    members: dict[str, deque[int]] = {}
    for place in places:
        members.setdefault(groups[place], deque()).append(place)
    costs = dict.fromkeys(members, 0.0)
    selection: list[int] = []
    while members and len(selection) < NEXT:
        group = max(members, key=lambda group: logits[members[group][0]] - costs[group])
        selection.append(members[group].popleft())
        costs[group] += CROWDED
        if not members[group]:
            del members[group]
    remainder = frozenset(places) - frozenset(selection)
    return [*selection, *(place for place in places if place in remainder)]


def in_turn(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Returns the places of two orders, one of each in turn, each place once."""
    return list(dict.fromkeys(place for place in chain.from_iterable(zip_longest(first, second)) if place is not None))


def line(names: Sequence[str]) -> str:
    """Returns the names in one line; beginnings and ends that names share are written once: `(eng-(api db) qa)-pro`.

    A name with blanks or brackets of its own stands in quotes.
    """
    odd = [name for name in names if _ODD.search(name)]
    plain = [name for name in names if name not in odd]
    return " ".join((*_forms(plain, DEPTH), *(f'"{name}"' for name in odd)))


def _forms(names: Sequence[str], depth: int) -> list[str]:
    """Returns the names as pieces of a line, those that share most first, with brackets at most so deep."""
    forms: list[str] = []
    rest = list(names)
    while depth and (affix := _widest(rest)):
        members = [name for name in rest if affix.holds(name)]
        rest = [name for name in rest if not affix.holds(name)]
        inner = " ".join(_forms([affix.without(name) for name in members], depth - 1))
        forms.append(f"({inner}){affix.words}" if affix.is_end else f"{affix.words}({inner})")
    return forms + rest


class _Affix(NamedTuple):
    """Words with their dash at the beginning or the end of several names."""

    words: str
    is_end: bool

    def holds(self, name: str) -> bool:
        """Returns whether a name begins, or ends, so and goes on."""
        fits = name.endswith(self.words) if self.is_end else name.startswith(self.words)
        return fits and len(name) > len(self.words)

    def without(self, name: str) -> str:
        return name.removesuffix(self.words) if self.is_end else name.removeprefix(self.words)


def _widest(names: Sequence[str]) -> _Affix | None:
    """Returns what is written once to spare most characters; None where nothing is saved."""
    counts = Counter(affix for name in names for affix in _affixes(name))
    savings = {affix: (count - 1) * len(affix.words) - len("()") for affix, count in counts.items() if count > 1}
    widest = max(savings, key=savings.__getitem__, default=None)
    return widest if widest and savings[widest] > 0 else None


def _affixes(name: str) -> Iterator[_Affix]:
    """Yields how a name begins and ends, dash included: for `a-b-c` these are `a-`, `a-b-`, `-b-c` and `-c`."""
    for dash in _DASHES.finditer(name, 1, len(name) - 1):
        yield _Affix(name[: dash.end()], is_end=False)
        yield _Affix(name[dash.start() :], is_end=True)
