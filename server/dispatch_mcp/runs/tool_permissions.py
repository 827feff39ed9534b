"""Which tools an attempt of a server's own worker gets (promises S7, S8).

Rights come from configuration, never from content: a plan cannot widen them. Without a directory of its own an attempt
may only look; with one it may change files there. A trusted agent's `tools` narrow that, and commands need the user's
word as well.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from dispatch_mcp.model import work_order

LOOK: Final = ("Read", "Glob", "Grep")
CHANGE: Final = ("Edit", "Write")
RUN: Final = ("Bash",)

_KINDS: Final[Mapping[str, str]] = {
    **{name.lower(): name for name in (*LOOK, *CHANGE, *RUN)},
    "multiedit": "Edit",
    "notebookedit": "Edit",
    "ls": "Glob",
    "list": "Glob",
    "search": "Grep",
    "view": "Read",
}
_NAME: Final = re.compile(r"\s*+([A-Za-z_]++)")


def tools_for(work: work_order.WorkOrder, *, commands: bool = False) -> tuple[str, ...]:
    """Returns the tools of an attempt, in a fixed order.

    `commands` is whether the user's configuration lets workers run programs; they are given only to an agent whose
    definition names them, in a directory of its own.
    """
    place = (*LOOK, *CHANGE) if work.directory else LOOK
    if work.tools is None:
        return place
    names = _wanted(work.tools)
    runs = RUN if commands and work.directory else ()
    return tuple(name for name in (*place, *runs) if name in names) or LOOK


def tools_of_agent(tools: tuple[str, ...] | None, without: Collection[str]) -> tuple[str, ...] | None:
    """Returns an agent's tools less those that its definition takes away; None when it may use all."""
    if not without:
        return tools
    less = _wanted(without)
    return tuple(sorted(_wanted(("*",) if tools is None else tools) - less))


def _wanted(names: Collection[str]) -> frozenset[str]:
    """Returns the tools that an agent's list means; `Bash(git *)` counts as its tool, `*` as all."""
    if "*" in names:
        return frozenset((*LOOK, *CHANGE, *RUN))
    words = (match[1].lower() for name in names if (match := _NAME.match(name)))
    return frozenset(_KINDS[word] for word in words if word in _KINDS)


def changes_files(tools: Collection[str]) -> bool:
    """Returns whether tools can change anything."""
    return any(name in tools for name in (*CHANGE, *RUN))
