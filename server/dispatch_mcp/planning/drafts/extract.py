"""Takes a request apart: what it lists, its acts, whom it would ask, the paths it names."""

from __future__ import annotations

import re

from dispatch_mcp.planning.drafts import cue_parser, request_grammar
from dispatch_mcp.text import tokenizer


def things(request: str) -> tuple[str, ...]:
    """Returns what a request lists or pairs, in its order: places, parts or suspects; empty when it lists nothing."""
    known = cue_parser.hear(request)
    said = next((_before_acts(known, match) for match in request_grammar.LIST.finditer(known.said)), "")
    for pattern in (request_grammar.OR_LIST, request_grammar.PAIR, request_grammar.NAMED_PAIR):
        said = said or next((match[0] for match in pattern.finditer(known.said)), "")
    items = [_named(item) for item in request_grammar.BETWEEN.split(said) if item.strip()]
    if len(items) < 2 or any(item.endswith((" it", " them")) for item in items):
        return ()
    return tuple(dict.fromkeys(filter(None, items)))


def _before_acts(known: cue_parser.Said, match: re.Match[str]) -> str:
    """Returns a list up to the first act behind its first comma: the rest is no list of things."""
    comma = known.said.find(",", match.start(), match.end())
    act = next((at for at, _ in known.acts if comma < at < match.end()), match.end())
    kept = request_grammar.TRAILING.sub("", known.said[match.start() : act])
    return kept if "," in kept else ""


def clauses(request: str) -> tuple[str, ...]:
    """Returns the parts of a request that ask for one act each, in its order and its words."""
    known = cue_parser.hear(request)
    starts = [at for at, _ in known.acts]
    if len(starts) < 2:
        return (known.said,) if known.said else ()
    ends = [*starts[1:], len(known.said)]
    found = [known.said[start:end] for start, end in zip([0, *starts[1:]], ends, strict=True)]
    return tuple(request_grammar.TRAILING.sub("", clause).strip(" ,.;:") for clause in found)


def consulted(request: str) -> tuple[str, str]:
    """Returns what of a request is the question to somebody who knows, and what is the work; each may be empty."""
    known = cue_parser.hear(request)
    concept = request_grammar.CONCEPT.search(known.said)
    asked = [*known.found["ask-expert"], *known.found["same-way"]]
    if not asked and concept:
        head, _, rest = concept[0].rpartition(" ")
        return head.strip(), known.said[concept.end() - len(rest) :].removeprefix(rest).strip() or known.said
    if not asked:
        return "", known.said
    parts = [part for part in request_grammar.SENTENCE.split(known.said) if part.strip()]
    first = min(span.start for span in asked)
    knows = next((part for part in parts if known.said.index(part) + len(part) > first), "")
    builds = " ".join(part for part in parts if part != knows)
    return (knows, builds) if builds else (known.said[first:], known.said[:first].strip() or known.said)


def finds_first(request: str) -> bool:
    """Returns whether the first act looks for something instead of making it."""
    acts = cue_parser.hear(request).acts
    return bool(acts) and acts[0][1] == "investigate"


def paths(request: str) -> tuple[str, ...]:
    """Returns the files that a request names, as it writes them."""
    return tuple(dict.fromkeys(request_grammar.PATH.findall(tokenizer.excerpt(request))))


def _named(item: str) -> str:
    """Returns what an item of a list is called: the last words behind whatever introduces it."""
    words = request_grammar.LEAD_IN.sub("", item.strip(" ,.;:?!")).split()
    return " ".join(words[-3:])
