"""Files that were asked for by name: whole where they fit, else what the task means of each, with an outline."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dispatch_mcp.context import assembly, context_query, file_kinds, packs, part_choice, ranking
from dispatch_mcp.text import token_count

SHARE: Final = 0.75
"""Share of the budget that named files take at most: the best of what nobody has named fits beside them."""
OUTLINE: Final = "outline: "
_OUTLINE: Final = 5
"""The outline of a file takes one part in so many of what the file may take."""
_FOCUS: Final = 100.0
"""What lines or a definition that were named count more than any words."""
_NAME: Final = 2.0
"""What a word of the task in the name of a part counts more than one in its text."""

_WORTH_SHOWING: Final = 0.3
"""What a part must be worth, as a share of the best part of its file, to be shown though nobody has named it."""

PartsOf = Callable[[str], Sequence[ranking.FilePart]]
"""Returns the parts of a file in their order."""


@dataclass(frozen=True, slots=True)
class Interest:
    """What a reader wants to know: the task's words, how rare each is, and the `budget` of tokens for all of a pack.

    `likely` are the files that the words most probably mean, the best first.
    """

    query: context_query.Query = field(default_factory=lambda: context_query.read(""))
    rarity: Mapping[str, float] = field(default_factory=dict[str, float])
    budget: int = packs.BUDGET
    likely: Sequence[str] = ()


NO_INTEREST: Final = Interest()


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that is to be given. `spans` are lines that matter most, `symbols` definitions; both may be empty."""

    path: str
    text: str
    spans: tuple[tuple[int, int], ...] = ()
    symbols: tuple[str, ...] = ()


class FileShare(NamedTuple):
    """The tokens that one file may take of the whole budget."""

    tokens: int
    budget: int


def offers(files: Sequence[NamedFile], room: int, interest: Interest, parts_of: PartsOf) -> list[assembly.KeyOffer]:
    """Returns what is given of each file, in the same order, in `room` tokens together.

    A short file is given whole; what it leaves of its equal share goes to the longer ones.
    """
    costs = [part_choice.cost(file.path, file.text) for file in files]
    share = token_count.fair_share(costs, room)
    return [
        assembly.KeyOffer((whole(file),))
        if cost <= share
        else _in_parts(file, FileShare(share, interest.budget), interest, parts_of(file.path))
        for file, cost in zip(files, costs, strict=True)
    ]


def whole(file: NamedFile) -> packs.Item:
    """Returns all of a file as one item."""
    return _item(file, 1, len(_lines(file)))


def _lines(file: NamedFile) -> list[str]:
    return file.text.removesuffix("\n").split("\n")


def _item(file: NamedFile, first: int, last: int, name: str = "") -> packs.Item:
    text = "\n".join(_lines(file)[first - 1 : last])
    return packs.Item(f"file:{file.path}#L{first}-{last}", file.path, text, 0, "asked", first, last, name)


def _in_parts(
    file: NamedFile, share: FileShare, interest: Interest, parts: Sequence[ranking.FilePart]
) -> assembly.KeyOffer:
    """Returns an outline of a file and the parts that the task means, the likeliest first; the rest is left out.

    Lines that are named only say where to look: what the task is about may still be elsewhere in the file. Of a
    changelog come the newest entries, as that is where the next one is written, and of the old ones the best.
    """
    summary = outline(file.path, parts, share.tokens // _OUTLINE)
    pieces = [summary] if summary else []
    space = share.tokens - sum(map(_cost, pieces))
    focus = {part.id: 2 * _FOCUS * _is_in_focus(file, part) for part in parts}
    worth = {part.id: _worth(file, interest, part) + focus[part.id] for part in parts}
    newest = _newest(parts) if file_kinds.of(file.path) == "changelog" else frozenset[int]()
    order = sorted(parts, key=lambda part: (part.id not in newest, -worth[part.id], part.first))
    least = _WORTH_SHOWING * max((worth[part.id] - focus[part.id] for part in parts), default=0.0)
    worthwhile = (part for part in order if part.id in newest or worth[part.id] > least)
    worthwhile = itertools.islice(worthwhile, len(newest) + 1 if newest else None)
    items = [_item(file, part.first, part.last, part.name) for part in worthwhile]
    for item in items or [whole(file)]:
        cost = _cost(item)
        if cost <= space:
            pieces.append(item)
            space -= cost
        elif len(pieces) <= bool(summary):
            head, _ = assembly.cut(item, space)
            pieces += [head] if head else []
            space -= _cost(head) if head else 0
    missing = part_choice.cost(file.path, file.text) - sum(_cost(piece) for piece in pieces if piece.first)
    rest = packs.LeftOut(f"file:{file.path}", max(1, missing))
    return assembly.KeyOffer(tuple(pieces), share.tokens / share.budget, (rest,))


def _cost(item: packs.Item) -> int:
    return part_choice.cost(item.path, item.text)


def _worth(file: NamedFile, interest: Interest, part: ranking.FilePart) -> float:
    """Returns how much of the task a part holds; nothing for one that no word of it speaks for."""
    terms = interest.query.terms
    names = ranking.name_stems(part.name) if part.name else frozenset[str]()
    words = sum(interest.rarity.get(term, 1.0) or 1.0 for term in terms if term in part.stems)
    words += sum(_NAME * (interest.rarity.get(term, 1.0) or 1.0) for term in terms if term in names)
    return words + part.phrases + _FOCUS * _is_named(part.name, (*file.symbols, *interest.query.names))


def _newest(parts: Sequence[ranking.FilePart]) -> frozenset[int]:
    """Returns the parts of the newest section of a changelog: its beginning, and its end, where some write entries."""
    name = next((part.name for part in parts if part.name), "")
    section = [part.id for part in parts if part.name == name]
    return frozenset((*section[:2], *section[-1:])) if name else frozenset()


def _is_in_focus(file: NamedFile, part: ranking.FilePart) -> bool:
    return any(first <= part.last and part.first <= last for first, last in file.spans)


def _is_named(name: str, symbols: Collection[str]) -> bool:
    low = name.lower()
    return bool(name) and any(low == symbol.lower() or low.endswith(f".{symbol.lower()}") for symbol in symbols)


def outline(path: str, parts: Sequence[ranking.FilePart], room: int) -> packs.Item | None:
    """Returns what a file defines, each with its line, as far as it fits into `room` tokens; None for nothing."""
    names = list(dict.fromkeys((part.first, part.name) for part in parts if part.name))
    entries = [f"{first} {name}" for first, name in names]
    if _outline_cost(path, entries) > room:
        entries = [f"{first} {name}" for first, name in names if "." not in name] or entries
    count = len(entries)
    while count and _outline_cost(path, entries[:count]) > room:
        count = count * 3 // 4
    if not count:
        return None
    more = [f"{len(entries) - count} more"] if count < len(entries) else []
    return packs.Item(f"structure:{path}", path, f"{OUTLINE}{'; '.join([*entries[:count], *more])}", 0, "structure")


def _outline_cost(path: str, entries: Sequence[str]) -> int:
    return part_choice.cost(path, f"{OUTLINE}{'; '.join(entries)}; 1000 more")
