"""Reads the signs in a request that tell how the work wants to be split: words, lists, order, places.

Rules: docs/rules.md#decision-matrix and #when-a-plan-pays, as signs that add up instead of a cascade of
first matches. Nothing here knows a roster; who the work belongs to is the router's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from dispatch_mcp.planning.drafts import cue_parser, cue_words, request_grammar
from dispatch_mcp.planning.drafts.cue_words import Cue

SHORT: Final = 8
LONG: Final = 26
"""Words of a request from which on it counts as short or long."""

TWO_HOMES: Final = "two-homes"
"""The one sign that needs a roster; whoever knows one adds it."""

STRUCTURAL: Final[tuple[Cue, ...]] = (
    Cue("one-act", "asks for one act"),
    Cue("two-acts", "asks for two acts, one after the other"),
    Cue("many-acts", "asks for three or more acts"),
    Cue("no-act", "asks for no change"),
    Cue("look-then-make", "wants a finding first and then work on it"),
    Cue("ask-then-make", "wants an answer first and then work on it"),
    Cue("vague-mending", "wants trouble gone and does not say where it is"),
    Cue("symptom-only", "describes a fault and no place to mend it"),
    Cue("acts-in-order", "names acts in an order"),
    Cue("acts-on-result", "goes on with what the act before gave"),
    Cue("named-pair", "names two places that get the same"),
    Cue("listed", "lists three or more things"),
    Cue("listed-places", "lists places for one act"),
    Cue("listed-facets", "lists parts that a new thing has"),
    Cue("listed-suspects", "lists places to look at"),
    Cue("either-or", "asks which of several it is"),
    Cue("paired", "names two places for one act"),
    Cue("counted", "counts places of one kind"),
    Cue("every-one", "asks for the same in every place of a kind"),
    Cue("large-and-wide", "is large and reaches many parts"),
    Cue("question", "is a question"),
    Cue("located", "names a file or a name in the code"),
    Cue("short", "is short"),
    Cue("long", "is long"),
    Cue("one-tier", "stays in one layer"),
    Cue("two-tiers", "touches two layers"),
    Cue("many-tiers", "touches three or more layers"),
    Cue("foreign-concept", "applies what another part knows to its own"),
    Cue(TWO_HOMES, "takes what one specialist knows to where another one works"),
)
CUES: Final[Mapping[str, Cue]] = {cue.name: cue for cue in (*cue_words.WORDED, *STRUCTURAL)}


class Sign(NamedTuple):
    """A cue that a request shows, how strongly (0 to 1), and the words that show it."""

    cue: str
    strength: float
    quote: str = ""


def read(request: str) -> tuple[Sign, ...]:
    """Returns every cue that the request shows; every text has an answer, an empty one few signs."""
    return tuple(_signs(request))


def _signs(request: str) -> Iterator[Sign]:
    known = cue_parser.hear(request)
    for cue in cue_words.WORDED:
        places = known.found[cue.name]
        if places:
            yield Sign(cue.name, _strength(len(places)), known.quote(cue.name))
    for name, reader in _READERS.items():
        shown = reader(known)
        if shown:
            yield Sign(name, 1.0, shown.strip()[: cue_parser.MAX_QUOTE] if isinstance(shown, str) else "")


def _strength(places: int) -> float:
    """Returns .7 for one place, 1 for three and more: a word said twice is not twice the sign."""
    return min(1.0, 0.55 + 0.15 * places)


def _makes(known: cue_parser.Said) -> int:
    return sum(name != "investigate" for _, name in known.acts)


def _tiers(known: cue_parser.Said) -> int:
    return sum(bool(pattern.search(known.said)) for pattern in request_grammar.TIER_PATTERNS.values())


def _one_act(known: cue_parser.Said) -> bool:
    return _makes(known) == 1


def _two_acts(known: cue_parser.Said) -> bool:
    return _makes(known) == 2


def _many_acts(known: cue_parser.Said) -> bool:
    return _makes(known) > 2


def _no_act(known: cue_parser.Said) -> bool:
    return _makes(known) == 0


def _look_then_make(known: cue_parser.Said) -> bool:
    kinds = [name for _, name in known.acts]
    if "investigate" not in kinds:
        return False
    return any(name != "investigate" for name in kinds[kinds.index("investigate") :]) or bool(_acts_on_result(known))


def _ask_then_make(known: cue_parser.Said) -> bool:
    return known.has("ask-expert") and bool(_makes(known))


def _symptom_only(known: cue_parser.Said) -> bool:
    return known.has("vague-fault") and not _makes(known) and not request_grammar.LOCATED.search(known.said)


def _vague_mending(known: cue_parser.Said) -> bool:
    return (
        known.has("vague-fault") and known.has("wide-subject") and known.has("fix") and not known.has("build", "then")
    )


def _acts_in_order(known: cue_parser.Said) -> bool:
    return known.has("then", "first", "output-used") and len(known.acts) > 1


def _acts_on_result(known: cue_parser.Said) -> str:
    found = request_grammar.RESULT.search(known.said)
    return found[0] if found and known.acts and found.start() > known.acts[0][0] else ""


def _named_pair(known: cue_parser.Said) -> str:
    found = request_grammar.NAMED_PAIR.search(known.said)
    return found[0] if found and _makes(known) else ""


def _lists(known: cue_parser.Said) -> list[re.Match[str]]:
    """Returns lists of things; a list of clauses is no list of things."""
    return [
        match for match in request_grammar.LIST.finditer(known.said) if not _of_acts(known, match.start(), match.end())
    ]


def _of_acts(known: cue_parser.Said, start: int, end: int) -> bool:
    """Returns whether a list has acts behind its first comma: then it is a row of clauses."""
    comma = known.said.find(",", start, end)
    return any(comma < at < end for at, _ in known.acts)


def _listed(known: cue_parser.Said) -> str:
    found = _lists(known)
    return found[0][0] if found else ""


def _introduced(known: cue_parser.Said, by: re.Pattern[str]) -> str:
    for match in _lists(known):
        first = match[0].split(",", 1)[0]
        if by.search(known.said[: match.start()] + first.rsplit(" ", 1)[0] + " "):
            return match[0]
    return ""


def _listed_places(known: cue_parser.Said) -> str:
    if not _makes(known) or _introduced(known, request_grammar.LEADS_FACETS):
        return ""
    return _introduced(known, request_grammar.LEADS_PLACES)


def _listed_facets(known: cue_parser.Said) -> str:
    return _introduced(known, request_grammar.LEADS_FACETS) if known.has("build", "large-thing", "capability") else ""


def _listed_suspects(known: cue_parser.Said) -> str:
    found = _lists(known)
    return (
        found[0][0] if found and known.has("investigate", "unknown-cause", "vague-fault") and not _makes(known) else ""
    )


def _either_or(known: cue_parser.Said) -> str:
    found = request_grammar.OR_LIST.search(known.said) or request_grammar.EITHER.search(known.said)
    return found[0] if found else ""


def _paired(known: cue_parser.Said) -> str:
    found = request_grammar.PAIR.search(known.said)
    return found[0] if found and _makes(known) <= 1 else ""


def _counted(known: cue_parser.Said) -> str:
    found = request_grammar.COUNTED.search(known.said)
    return found[0] if found else ""


def _every_one(known: cue_parser.Said) -> str:
    found = request_grammar.EVERY.search(known.said)
    return found[0] if found and _makes(known) else ""


def _large_and_wide(known: cue_parser.Said) -> bool:
    return known.has("large-thing", "capability") and known.has("everywhere", "rollout")


def _question(known: cue_parser.Said) -> bool:
    return bool(request_grammar.QUESTION.search(known.said))


def _located(known: cue_parser.Said) -> str:
    found = request_grammar.LOCATED.search(known.said)
    return found[0] if found else ""


def _foreign_concept(known: cue_parser.Said) -> str:
    found = request_grammar.CONCEPT.search(known.said)
    return found[0] if found and _makes(known) == len(known.acts) == 1 and not known.has("then") else ""


_READERS: Final[Mapping[str, Callable[[cue_parser.Said], str | bool]]] = {
    "one-act": _one_act,
    "two-acts": _two_acts,
    "many-acts": _many_acts,
    "no-act": _no_act,
    "look-then-make": _look_then_make,
    "ask-then-make": _ask_then_make,
    "vague-mending": _vague_mending,
    "symptom-only": _symptom_only,
    "acts-in-order": _acts_in_order,
    "acts-on-result": _acts_on_result,
    "named-pair": _named_pair,
    "listed": _listed,
    "listed-places": _listed_places,
    "listed-facets": _listed_facets,
    "listed-suspects": _listed_suspects,
    "either-or": _either_or,
    "paired": _paired,
    "counted": _counted,
    "every-one": _every_one,
    "large-and-wide": _large_and_wide,
    "question": _question,
    "located": _located,
    "short": lambda known: known.words <= SHORT,
    "long": lambda known: known.words >= LONG,
    "one-tier": lambda known: _tiers(known) <= 1,
    "two-tiers": lambda known: _tiers(known) == 2,
    "many-tiers": lambda known: _tiers(known) >= 3,
    "foreign-concept": _foreign_concept,
}
