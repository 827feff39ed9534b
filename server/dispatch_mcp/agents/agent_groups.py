"""Groups of many agents, by which a reader finds the ones to look at: their rosters, folders, subjects or names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

LARGE: Final = 20
"""Agents from which on a roster is divided further."""

LEAST: Final = 3
"""Agents that share a word of their names, at least, for it to be a group."""

WHOLE: Final = 0.8
"""A division says nothing of which one part holds this share, nor does a word that so many names have."""

PART: Final = 0.3
"""The share that a division has to place."""

_BETWEEN = re.compile(r"[-_/ .]+")


class GroupPlace(NamedTuple):
    """Where an agent belongs: its roster, the folder in it, and the subject that its file states; empty for none."""

    name: str
    roster: str
    folder: str = ""
    subject: str = ""


def names(places: Sequence[GroupPlace]) -> list[str]:
    """Returns the name of the group of each agent, in their order; an empty text for one that is in none."""
    groups = [place.roster for place in places]
    for roster, count in Counter(groups).items():
        if count > LARGE:
            members = [at for at, place in enumerate(places) if place.roster == roster]
            parts = _parts([places[at] for at in members])
            for at, part in zip(members, parts, strict=True):
                groups[at] = part or roster
    return groups


def _parts(places: Sequence[GroupPlace]) -> list[str]:
    """Returns the parts of a large roster by the first division that says something; of none each is empty."""
    word_of = _by_words([place.name for place in places])
    divisions: tuple[Callable[[GroupPlace], str], ...] = (
        lambda place: place.folder,
        lambda place: place.subject,
        lambda place: word_of(place.name),
    )
    for division in divisions:
        parts = [division(place) for place in places]
        counts = Counter(part for part in parts if part)
        if len(counts) > 1 and sum(counts.values()) > PART * len(parts) and max(counts.values()) < WHOLE * len(parts):
            return [part or word_of(place.name) for part, place in zip(parts, places, strict=True)]
    return [""] * len(places)


def _by_words(agent_names: Sequence[str]) -> Callable[[str], str]:
    """Returns a function that gives a name its group: the word of it that most names share, if enough do.

    The last word counts only where no other does: it says what somebody is, such as `expert`, and not for what.
    """
    counts = Counter(word for name in agent_names for word in {*_words(name)})
    counts = Counter({word: count for word, count in counts.items() if count < WHOLE * len(agent_names)})

    def group(name: str) -> str:
        words = _words(name)
        for part in (words[:-1], words[-1:]):
            word = max(part, key=lambda word: (counts[word], word), default="")
            if counts[word] >= LEAST:
                return word
        return ""

    return group


def _words(name: str) -> list[str]:
    return [word for word in _BETWEEN.split(name.lower()) if len(word) > 1]
