"""Whom a request must not go to, whatever the words say: who cannot write, a builder for a review, another technology.

A rule speaks only where it is sure: what a request asks for is read from its first verb, or its caller knows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal
from weakref import WeakKeyDictionary

from dispatch_mcp.agents import catalog, frontmatter
from dispatch_mcp.routing import mentions
from dispatch_mcp.text import technologies
from dispatch_mcp.text.reading import excerpts

Work = Literal["writes", "reviews", "other"]
WRITE_TOOLS: Final = frozenset({"write", "edit", "multiedit", "notebookedit", "apply_patch", "*"})

EXCLUSIVE: Final = ("language", "front end", "web framework")
"""Families of which one description seldom names a single technology by chance."""

# Words before the verb, then verbs of work that changes files and of work that judges: English first, then Vietnamese,
# German, Spanish and French.
_POLITE: Final = frozenset(
    (
        *(
            "please",
            "can",
            "could",
            "would",
            "you",
            "we",
            "i",
            "need",
            "want",
            "have",
            "to",
            "let",
            "let's",
            "us",
            "now",
        ),
        *("then", "help", "me", "the", "bitte", "por", "favor", "hãy", "must", "should", "just", "also", "quickly"),
    )
)
_CHANGES: Final = frozenset(
    (
        *("fix", "implement", "refactor", "rename", "add", "build", "migrate", "upgrade", "patch", "convert", "port"),
        *("remove", "delete", "replace", "rewrite", "repair", "modify", "extend", "integrate", "sửa", "thêm", "cài"),
        *("behebe", "implementiere", "ergänze", "arregla", "corrige", "añade", "agrega", "implementa", "ajoute"),
    )
)
_MAKES: Final = frozenset(
    ("write", "create", "make", "generate", "viết", "tạo", "schreibe", "escribe", "crea", "écris")
)
"""Verbs of work that changes files if what is made is code."""

_CODE: Final = frozenset(
    (
        *("test", "tests", "code", "function", "functions", "script", "scripts", "class", "classes", "module"),
        *("modules", "component", "components", "endpoint", "endpoints", "migration", "migrations", "parser", "hàm"),
        *("funktion", "page", "pages", "form", "forms", "button", "screen", "dialog", "table", "tables", "column"),
        *("field", "query", "handler", "route", "routes", "view", "api", "service", "library", "command"),
        *("option", "flag", "package", "client", "server", "app", "plugin", "bot", "website"),
    )
)
_NEAR: Final = 3
"""Words after such a verb among which its object is looked for."""

_JUDGES: Final = frozenset(
    ("review", "audit", "critique", "double-check", "überprüfe", "begutachte", "revisa", "relis")
)
_JUDGES_IN_TWO: Final = frozenset((("look", "over"), ("code", "review"), ("xem", "lại"), ("đánh", "giá")))
_WORD = re.compile(r"[\w'-]+")
_REVIEWS = (*("review", "audit", "criti", "qualit", "inspect", "assess", "verif", "judge", "secur", "complian"),)
"""How words begin by which an agent says that it judges work."""


@lru_cache(maxsize=64)
def work(request: str) -> Work:
    """Returns what a request's first verb asks for."""
    words = _WORD.findall(excerpts.OPENING.of(request).lower())
    first = next((at for at, word in enumerate(words) if word not in _POLITE), len(words))
    verb, *after = (*words[first : first + 1 + _NEAR], "")
    if verb in _JUDGES or (verb, after[0] if after else "") in _JUDGES_IN_TWO:
        return "reviews"
    is_change = verb in _CHANGES or (verb in _MAKES and not _CODE.isdisjoint(after))
    return "writes" if is_change else "other"


@dataclass(frozen=True, slots=True)
class Traits:
    """What an agent can do: whether its tools change files, whether it says that it judges work, what it knows."""

    can_write: bool
    judges: bool
    technologies: technologies.Families


_TRAITS: Final[WeakKeyDictionary[catalog.Catalog, Sequence[Traits]]] = WeakKeyDictionary()


def traits_of(agents: catalog.Catalog) -> Sequence[Traits]:
    """Returns the traits of the routable agents of a catalogue, in its order."""
    traits = _TRAITS.get(agents)
    if traits is None:
        traits = _TRAITS[agents] = tuple(map(_traits, agents.routable))
    return traits


def misfits(
    request: str, files: Sequence[str], agents: catalog.Catalog, *, changes_files: bool = False
) -> frozenset[int]:
    """Returns the places of agents that must not do what a request asks for.

    With `changes_files` the caller knows that the work changes the files: then only a verb that judges says otherwise.
    """
    verb, needs = work(request), _needs(request, files, agents)
    kind = "writes" if changes_files and verb == "other" else verb
    return frozenset(
        place
        for place, traits in enumerate(traits_of(agents))
        if (kind == "writes" and not traits.can_write)
        or (kind == "reviews" and traits.can_write and not traits.judges)
        or technologies.differ(traits.technologies, needs)
    )


def without_mention(request: str, files: Sequence[str], agents: catalog.Catalog) -> frozenset[int]:
    """Returns the places of agents whose technology neither a request nor its files nor the workspace name."""
    needs = _needs(request, files, agents)
    names = frozenset(name for family in needs.values() for name in family)
    return frozenset(
        place
        for place, traits in enumerate(traits_of(agents))
        if traits.technologies and not any(names & family for family in traits.technologies.values())
    )


def _needs(request: str, files: Sequence[str], agents: catalog.Catalog) -> technologies.Families:
    """Returns the technologies that a request and its files name, else those of the workspace, by family."""
    project = technologies.of_project(agents.signs.dependencies, agents.signs.files)
    return {**project, **technologies.in_text(" ".join((mentions.without(request[:2_000]), *files[:20])))}


def _traits(agent: catalog.Agent) -> Traits:
    tools = frontmatter.strings(agent.asked.get("tools")) if agent.tools is None else agent.tools
    return Traits(
        can_write=not tools or any(_plain(tool) in WRITE_TOOLS for tool in tools),
        judges=any(word in f"{agent.name} {agent.description}".lower() for word in _REVIEWS),
        technologies=_technologies(agent),
    )


def _technologies(agent: catalog.Agent) -> technologies.Families:
    """Returns what the name of an agent says that it knows, else the only technology in its first sentence."""
    by_name = technologies.in_name(agent.name)
    first = technologies.in_text("- " + agent.description[:300].split(". ")[0])
    alone = {family: first[family] for family in EXCLUSIVE if len(first.get(family, ())) == 1}
    return {**alone, **by_name}


def _plain(tool: str) -> str:
    return tool.partition("(")[0].strip().lower()
