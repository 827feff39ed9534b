"""Rosters: what each is for, and when it takes part in routing without being named.

A folder of agents declares it in its `roster.yaml`:

    for: a Flask back end with its sign-in, users, database, mail and settings
    when: {dependencies: [flask], files: [app.py]}

`when: {always: true}` takes part everywhere, an empty `when` only by name.
"""

from __future__ import annotations

import functools
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.agents import frontmatter
from dispatch_mcp.text import json_types

DECLARATION = "roster.yaml"
MOST: Final = 256
"""Declarations that are kept as they were read: those of all sources of a process."""


class Signs(model.Value):
    """What the root of a workspace shows: the packages its project depends on, in lower case, and the names there."""

    dependencies: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()


NO_SIGNS = Signs()


class Roster(model.Value):
    """A folder of agents that belong together.

    `always` takes part everywhere; `dependencies` and `files` are what switches it on. `internal` ones serve the
    product itself and are not offered. `group` is the larger roster that it is a part of.
    """

    name: str
    about: str = ""
    always: bool = False
    dependencies: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    internal: bool = False
    group: str = ""

    def evidence(self, signs: Signs) -> str:
        """Returns what of a workspace switches the roster on, in words; an empty text when nothing does."""
        for name in self.dependencies:
            if name in signs.dependencies:
                return f"{name} is a dependency"
        return next((f"{name} is in the workspace" for name in self.files if name in signs.files), "")


@functools.lru_cache(maxsize=MOST)
def read(name: str, declaration: str, group: str = "") -> Roster:
    """Returns the roster that a declaration describes; what cannot be read switches nothing on."""
    header, _ = frontmatter.parse(declaration)
    when = header.get("when")
    terms: dict[str, model.Json] = {**when} if json_types.is_object(when) else {}
    return Roster(
        name=name,
        about=frontmatter.text(header.get("for")),
        always=terms.get("always") is True,
        dependencies=tuple(map(str.lower, frontmatter.strings(terms.get("dependencies")))),
        files=frontmatter.strings(terms.get("files")),
        internal=header.get("internal") is True,
        group=group,
    )
