"""A pack: what one task is given to read, what was left out and why, within a token budget."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from dispatch_mcp import model
from dispatch_mcp.text import fences, token_count

BUDGET: Final = 5_000
"""Tokens of a pack when nothing else is asked for."""
LEAST_BUDGET: Final = 100
MOST_BUDGET: Final = 200_000

NOTHING: Final = "nothing in this workspace matches the task"
LITTLE: Final = "little here matches the task; nowhere in this workspace stands"
_STRANGERS: Final = 12
"""Words of a task that are listed as standing nowhere."""

Why = Literal["asked", "scored", "rules", "knowledge", "notes", "example", "structure"]
"""Why something is given. `knowledge` comes from whoever runs this server, `notes` from earlier runs, all else from the
workspace."""
READ_FIRST: Final[tuple[Why, ...]] = ("knowledge", "rules", "notes")
"""What stands before the files, in this order."""


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of text. `key` fetches it again; `first` and `last` are lines from 1, 0 for a text without lines."""

    key: str
    path: str
    text: str
    tokens: int
    why: Why
    first: int = 0
    last: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that did not fit: `key` fetches it, at about `tokens`."""

    key: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A key that stands for nothing here, what was probably meant, and why if it was refused.

    `is_given` is whether what was meant is given in its place.
    """

    key: str
    nearest: str = ""
    why: str = ""
    is_given: bool = False


@dataclass(frozen=True, slots=True)
class Pack:
    """What one task is given. `tokens` counts `text`, and is never more than `budget`.

    `chosen` are the items in the order in which they were chosen; `also` further paths, the likeliest first, with the
    name of their best part; `withheld` paths that the agent does not receive; `ranked` the likeliest source files;
    `tasks` ids whose handoffs were asked for; `whole` the tokens of the files that the task names, each whole, 0
    when it names none. `surplus` is how much more was left out than `left_out` lists. `strangers` are words of the task
    that stand nowhere, where hardly anything matches.
    """

    budget: int
    chosen: tuple[Item, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    also: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    unresolved: tuple[Unresolved, ...] = ()
    ranked: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    whole: int = 0
    surplus: int = 0
    strangers: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def items(self) -> tuple[Item, ...]:
        """The items in reading order: what guides the work first, then by file, the best file first, and by line."""
        place: dict[str, int] = {}
        for item in self.chosen:
            place.setdefault(item.path, len(place))
        ranks = {why: at for at, why in enumerate(READ_FIRST)}
        return tuple(
            sorted(self.chosen, key=lambda item: (ranks.get(item.why, len(ranks)), place[item.path], item.first))
        )

    def of(self, *kinds: Why) -> tuple[Item, ...]:
        """Returns the items that are given for one of these reasons, in reading order."""
        return tuple(item for item in self.items if item.why in kinds)

    @property
    def text(self) -> str:
        """The pack as text: every item under its title, then `also:`, what was left out, and what is not there."""
        return render(self.items, self.tail())

    @property
    def tokens(self) -> int:
        """The tokens of `text`, counted from above."""
        return token_count.count(self.text)

    def data(self, source: str = "workspace") -> fences.Data:
        """Returns what comes from files and other tasks as other people's text, to be fenced in a prompt."""
        rest = tuple(item for item in self.items if item.why not in READ_FIRST)
        return fences.Data("context", source, render(rest, self.tail()))

    def wire(self) -> dict[str, model.Json]:
        """Returns the pack without its texts, as JSON."""
        return {
            "tokens": self.tokens,
            "budget": self.budget,
            "items": [
                {
                    "key": entry.key,
                    "tokens": entry.tokens,
                    "why": entry.why,
                    **({"name": entry.name} if entry.name else {}),
                }
                for entry in self.items
            ],
            "left_out": [{"key": entry.key, "tokens": entry.tokens} for entry in self.left_out],
            "also": list(self.also),
            "withheld": list(self.withheld),
            "unresolved": [{"key": entry.key, "nearest": entry.nearest, "why": entry.why} for entry in self.unresolved],
            "tasks": list(self.tasks),
            "named_files": self.whole,
        }

    def tail(self) -> list[str]:
        """Returns the lines below the items: further paths, what was left out or withheld, and what is not there."""
        lines: list[str] = []
        if self.strangers and self.chosen:
            lines.append(f"{LITTLE}: {', '.join(self.strangers[:_STRANGERS])}")
        if self.also:
            lines.append("also likely: " + "; ".join(self._by_folder()))
        if self.left_out:
            entries = [f"{entry.key} (~{entry.tokens})" for entry in self.left_out]
            lines.append("left out: " + ", ".join([*entries, *([f"{self.surplus} more"] if self.surplus else [])]))
        if self.withheld:
            lines.append("withheld: " + ", ".join(self.withheld))
        for entry in self.unresolved:
            hint = f"; did you mean {entry.nearest}?" if entry.nearest else ""
            hint = f"; given in its place: {entry.nearest}" if entry.is_given else hint
            reason = f"not given: {entry.key} ({entry.why})" if entry.why else f"not found: {entry.key}"
            lines.append(f"{reason}{hint}")
        return lines or ([] if self.chosen else [NOTHING])

    def _by_folder(self) -> Iterator[str]:
        """Yields the further paths, those of a folder together, in the order of the best of each."""
        folders: dict[str, list[str]] = {}
        for path in self.also:
            folder, _, name = path.rpartition("/")
            folders.setdefault(folder, []).append(f"{name} ({self.names[path]})" if self.names.get(path) else name)
        for folder, names in folders.items():
            yield f"{folder}/: {', '.join(names)}" if folder else ", ".join(names)


def render(items: Sequence[Item], tail: Sequence[str]) -> str:
    """Returns items and closing lines as one text: every file under its path, every piece under its lines."""
    blocks: list[str] = []
    for path, pieces in itertools.groupby(items, key=lambda item: item.path):
        lines = [f"== {path}"]
        for piece in pieces:
            lines += [f"-- {piece.first}-{piece.last}"] if piece.first else []
            lines.append(piece.text)
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, *(["\n".join(tail)] if tail else [])])
