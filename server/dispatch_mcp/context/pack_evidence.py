"""What the index knows that bears on one task, as values; scoring reads nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dispatch_mcp.context import chunks
from dispatch_mcp.text import languages


class Part(NamedTuple):
    """One part of a file that may go into a pack: `score` is what full-text search gave it, 0 for not found.

    `first` and `last` are lines from 1; `stems` are those of its text.
    """

    id: int
    path: str
    kind: chunks.Kind
    name: str
    first: int
    last: int
    size: int
    score: float
    stems: frozenset[str]
    phrases: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything found for one task.

    `parts` are candidates of source files, `others` those of tests, documents and examples; `near` maps a path to the
    paths it imports or is imported by; `votes` maps paths to the share that similar past commits give them; `rarity`
    maps stems of the task to their inverse document frequency; `defined` maps paths to the names of the task that they
    define. `named` are files whose path answers to words of the task, best or not.
    """

    parts: Sequence[Part] = ()
    others: Sequence[Part] = ()
    near: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    votes: Mapping[str, float] = field(default_factory=dict[str, float])
    rarity: Mapping[str, float] = field(default_factory=dict[str, float])
    defined: Mapping[str, int] = field(default_factory=dict[str, int])
    named: Sequence[str] = ()
    roles: Mapping[str, languages.Role] = field(default_factory=dict[str, languages.Role])
