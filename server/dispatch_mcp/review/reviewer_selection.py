"""Who reviews: the one who always does, the best two of the pool, and users' own reviewers beside them.

Rule: docs/rules.md#reviewer-roster.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pydantic import Field

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.model import problems
from dispatch_mcp.review import diff_facts, diff_shapes, findings, reviewer_roster, signals, signs
from dispatch_mcp.text import json_types, unified_diff

DOMAIN: Final = "review"
SEATS: Final = 2
"""How many of the pool sit beside those who always do."""

OWN_SEATS: Final = 2
OWN_FROM: Final = 4.0
"""The score from which a user's own reviewer takes a seat of its own."""

FADE: Final = 0.55
"""What each further sign counts for beside the stronger one before it: many weak signs make no strong one."""

WORD_SHARE, PATH_SHARE = 0.55, 0.75
MAX_REASONS: Final = 4
MAX_LINES: Final = 24
"""Lines a hint of a sign is looked at in."""

MAX_SEARCHES: Final = 16
"""Lines that one sign is looked for in."""

ENOUGH: Final = 3
"""How often a sign is found before nobody looks further."""

_ORDER: Final = ("security", "tests", "performance", "legacy", "dependencies")
"""Which subject goes first when scores are equal."""

_WORDLIKE: Final = re.compile(r"[A-Za-z_]\w*")


class Evidence(NamedTuple):
    """Something in the change that speaks for a reviewer; `value` is from 0 to 9."""

    value: float
    said: str


class Selection(model.Value):
    """Who reviews, and what the others scored; `advocate` argues against a unanimous PASS, empty when nobody can."""

    seats: tuple[findings.Seat, ...]
    passed_over: dict[str, float] = Field(default_factory=dict[str, float])
    advocate: str = ""
    languages: tuple[str, ...] = ()

    @property
    def reviewers(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(seat.reviewer for seat in self.seats)


@dataclass(frozen=True, slots=True)
class Pool:
    """Who may review: those who always do, those to choose from, users' own, and the advocate."""

    always: tuple[catalog.Agent, ...] = ()
    choice: tuple[catalog.Agent, ...] = ()
    own: tuple[catalog.Agent, ...] = ()
    advocate: catalog.Agent | None = None
    names: Mapping[str, str] = field(default_factory=dict[str, str])


def pool(known: catalog.Catalog) -> Pool:
    """Returns the pool of a catalogue: its bundled reviewers, and trusted agents of other layers that review.

    An agent reviews when its domain is `review` and it has `triggers` or `path_triggers`. One that has the name of a
    bundled reviewer replaces nobody: it is known by its roster and name.
    """
    bundled = known.roster(reviewer_roster.ROSTER).agents if reviewer_roster.ROSTER in known.rosters else ()
    shipped = [agent for agent in bundled if agent.layer == "bundled"]
    own = [
        agent
        for agent in (*known.agents, *known.shadowed)
        if agent.layer != "bundled" and agent.trusted and agent.domain == DOMAIN and _is_weighted(agent)
    ]
    advocate = next((agent for agent in shipped if agent.extra.get("when") == "unanimous-pass"), None)
    always = tuple(agent for agent in shipped if agent.extra.get("always") is True)
    rest = [agent for agent in shipped if agent not in always and agent is not advocate]
    taken = {agent.name for agent in shipped}
    names = {agent.qualified: agent.name for agent in shipped}
    names |= {agent.qualified: agent.qualified if agent.name in taken else agent.name for agent in own}
    return Pool(always, tuple(rest), tuple(sorted(own, key=lambda agent: agent.qualified)), advocate, names)


def _is_weighted(agent: catalog.Agent) -> bool:
    return any(isinstance(agent.extra.get(key), dict) for key in ("triggers", "path_triggers"))


def select(
    diff: unified_diff.Diff, chosen_from: Pool, *, unreviewed: Sequence[str] = (), seats: int = SEATS
) -> Selection:
    """Returns who reviews a change: always the same for the same change and pool."""
    known = diff_facts.of(diff, tuple(unreviewed))
    found = [*_signs(known), *diff_shapes.look(known)]
    ranked = _ranked(known, chosen_from.choice, found)
    fixed = [findings.Seat(reviewer=agent.name, why=("sits in every round",)) for agent in chosen_from.always]
    best = ranked[:seats]
    own = [seat for seat in _ranked(known, chosen_from.own, found, chosen_from.names) if seat.score >= OWN_FROM][
        :OWN_SEATS
    ]
    rest = {seat.reviewer: seat.score for seat in ranked[seats:]}
    return Selection(
        seats=(*fixed, *best, *(seat.model_copy(update={"own": True}) for seat in own)),
        passed_over=rest,
        advocate=chosen_from.advocate.name if chosen_from.advocate else "",
        languages=tuple(sorted(known.languages, key=lambda name: (-known.languages[name], name))[:5]),
    )


def named(known: catalog.Catalog, names: Sequence[str]) -> tuple[findings.Seat, ...]:
    """Returns seats for reviewers that somebody asked for by name: any trusted agent of the domain `review`.

    Raises:
        InputError: one of them is no reviewer here.
    """
    seats: list[findings.Seat] = []
    for name in dict.fromkeys(names):
        agent = reviewer_roster.find(known, name)
        if agent is None or agent.domain != DOMAIN or not agent.trusted:
            able = sorted(
                {one.name for one in (*known.agents, *known.shadowed) if one.domain == DOMAIN and one.trusted}
            )
            raise errors.InputError(f"{name[:100]!r} is no reviewer here.", hint=f"Reviewers: {problems.listed(able)}.")
        seats.append(findings.Seat(reviewer=name, why=("asked for by name",), own=True))
    return tuple(seats)


def _ranked(
    known: diff_facts.Facts,
    agents: Sequence[catalog.Agent],
    found: Sequence[diff_shapes.Found],
    names: Mapping[str, str] | None = None,
) -> list[findings.Seat]:
    seats: list[tuple[float, int, str, findings.Seat]] = []
    for agent in agents:
        evidence = sorted(
            (*_from_signs(agent, found), *_from_data(agent, known)), key=lambda one: (-one.value, one.said)
        )
        score = round(sum(one.value * FADE**place for place, one in enumerate(evidence[:12])), 3)
        why = tuple(one.said for one in evidence[:MAX_REASONS] if one.value >= 1) or (
            "nothing speaks for anybody else",
        )
        name = (names or {}).get(agent.qualified, agent.name)
        seats.append((-score, _place(agent), agent.qualified, findings.Seat(reviewer=name, why=why, score=score)))
    return [seat for *_, seat in sorted(seats, key=lambda one: one[:3])]


def subject(agent: catalog.Agent) -> str:
    """Returns the subject whose signs speak for a reviewer, as its file says; empty when it says none."""
    given = agent.extra.get("subject")
    return given if isinstance(given, str) else ""


def _place(agent: catalog.Agent) -> int:
    given = subject(agent)
    return _ORDER.index(given) if given in _ORDER else len(_ORDER)


def _from_signs(agent: catalog.Agent, found: Iterable[diff_shapes.Found]) -> Iterator[Evidence]:
    wanted = subject(agent)
    for one in found:
        if one.subject == wanted:
            where = f" ({one.path})" if one.path else ""
            yield Evidence(one.weight * (1 + min(0.15, 0.05 * (one.times - 1))), f"{one.said}{where}")


def _from_data(agent: catalog.Agent, known: diff_facts.Facts) -> Iterator[Evidence]:
    for word, weight in _weights(agent.extra.get("triggers")):
        count = _times(word, known)
        if count:
            value = weight * WORD_SHARE * (0.6 + 0.4 * min(1.0, math.log2(1 + count) / 4))
            yield Evidence(value, f"`{word}` in {count} line{'s' if count > 1 else ''}")
    for pattern, weight in _weights(agent.extra.get("path_triggers")):
        shown = next(_matching(pattern, known), "")
        if shown:
            yield Evidence(weight * PATH_SHARE, f"{shown} matches {pattern}")


def _weights(given: model.Json) -> Iterator[tuple[str, float]]:
    if json_types.is_object(given):
        for word, weight in given.items():
            if isinstance(weight, int | float) and not isinstance(weight, bool) and word:
                yield word, min(max(float(weight), 0.0), 9.0)


def _times(word: str, known: diff_facts.Facts) -> int:
    """Returns how often a trigger stands in added lines: a word as a word, anything else as it is written."""
    if _WORDLIKE.fullmatch(word):
        return known.words.get(word, 0)
    parts = _WORDLIKE.findall(word)
    if parts and not all(part in known.words for part in parts):
        return 0
    return known.text("added", diff_facts.SEARCHED).count(word)


def _matching(pattern: str, known: diff_facts.Facts) -> Iterator[str]:
    """Yields the paths that a glob matches; what it says in plain letters is looked for first."""
    literal = max(re.split(r"[*?]+", pattern.lower()), key=len).lstrip("/")
    if literal in known.listing:
        for found in _glob(pattern.lower()).finditer(known.listing):
            yield found[0]


@functools.cache
def _glob(pattern: str) -> re.Pattern[str]:
    """Returns the pattern of a path glob over lines: `**/` is any folders, `**` anything, `*` anything in a name."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    told = {"**/": r"(?:.*/)?", "**": ".*", "*": "[^/\n]*", "?": "[^/\n]"}
    return re.compile("^" + "".join(told.get(part, re.escape(part)) for part in parts) + "$", re.MULTILINE)


def _signs(known: diff_facts.Facts) -> Iterator[diff_shapes.Found]:
    for sign in signals.SIGNS:
        lines = list(itertools.islice(_hits(sign, known), ENOUGH))
        if lines:
            yield diff_shapes.Found(sign.name, sign.subject, sign.weight, sign.said, lines[0], len(lines))


def _hits(sign: signs.Sign, known: diff_facts.Facts) -> Iterator[str]:
    """Yields the path of each line in which a sign is found; what is removed here and added there is not gone."""
    text = known.corpus(sign.side, sign.places)
    if not text.text:
        return
    for start, line in _candidates(sign, known, text):
        found = sign.found(line)
        if not found:
            continue
        source = text.source(start)
        spoken = not sign.languages or source.change.language in sign.languages
        if spoken and not (sign.side == "removed" and _is_kept(found, line, source.added.lower())):
            yield source.path


_STRING = re.compile(r"[\"']([^\"']{2,})[\"']")


def _is_kept(found: str, line: str, added: str) -> bool:
    """Whether what a removed line holds stands in an added one too, with the texts that are beside it."""
    return found in added and all(text in added for text in _STRING.findall(line))


def _candidates(sign: signs.Sign, known: diff_facts.Facts, text: diff_facts.Corpus) -> Iterator[tuple[int, str]]:
    """Yields the lines that hold one of a sign's hints, each once."""
    seen: set[int] = set()
    for hint in sign.hints:
        if not known.may_hold(sign.side, hint):
            continue
        for start, line in text.lines_with(hint, MAX_LINES):
            if start not in seen:
                seen.add(start)
                yield start, line
                if len(seen) >= MAX_SEARCHES:
                    return
