"""Puts a pack together: what was asked for by key first, then the best parts, then what the reader could fetch."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from dispatch_mcp.context import packs, ranking, token_budget
from dispatch_mcp.text import token_count

Span = tuple[int, int]

MAX_ALSO: Final = 60
"""Further paths that a pack lists."""
CHARACTERS_A_TOKEN: Final = 3.6
"""Whoever counts tokens by characters finds the parts within the budget too."""
_NAMED: Final = 5
"""Further paths that are listed with the name of their best part."""
_LEFT_OUT: Final = 3
"""Scored parts that did not fit and are listed with their keys."""
_SHOWN_WITHHELD: Final = 20
"""Withheld paths that stay in the list when others are cut."""
_LEAST_CUT: Final = 60
"""Tokens that the head of a text must have to be worth giving without its rest."""


class Offer(NamedTuple):
    """What one key stands for: its pieces in the order of their worth. `share` of the budget is the most they get."""

    pieces: tuple[packs.Item, ...]
    share: float = 1.0


@dataclass(slots=True)
class _Draft:
    budget: int
    characters: float
    chosen: list[packs.Item] = field(default_factory=list[packs.Item])
    left: list[packs.LeftOut] = field(default_factory=list[packs.LeftOut])
    used: int = 0

    def add(self, item: packs.Item, most: int) -> bool:
        room = min(self.budget - self.used, most)
        cost = token_budget.cost(item.path, item.text)
        if cost > room:
            return False
        self.chosen.append(replace(item, tokens=cost))
        self.used += cost
        return True


@dataclass(frozen=True, slots=True)
class Request:
    """Everything a pack is made of; `read` returns a part's lines, `allows` says whether a path may be shown."""

    budget: int
    offers: Sequence[Offer]
    ranked: ranking.Ranking
    read: token_budget.Read
    allows: Callable[[str], bool]
    unresolved: Sequence[packs.Unresolved] = ()
    tasks: Sequence[str] = ()
    withheld: Sequence[str] = ()
    related: Sequence[str] = ()


def assemble(request: Request) -> packs.Pack:
    """Returns the pack; it never has more tokens than the budget, whatever was asked for."""
    reserve = min(500, max(40, request.budget * 5 // 100))  # for the lists below the items
    draft = _Draft(request.budget - reserve, request.budget * CHARACTERS_A_TOKEN)
    for offer in request.offers:
        _offer(draft, offer, int(offer.share * request.budget))
    allowed = [(part, score) for part, score in request.ranked.parts if request.allows(part.path)]
    files = [path for path in request.ranked.files if request.allows(path)]
    left = _scored(draft, allowed, request.read)
    return _fitted(_pack(request, draft, files, _tops(allowed), left))


def _offer(draft: _Draft, offer: Offer, most: int) -> None:
    start = draft.used
    for piece in offer.pieces:
        room = most - (draft.used - start)
        if any(_covers(item, piece) for item in draft.chosen) or draft.add(piece, room):
            continue
        head, rest = cut(piece, min(draft.budget - draft.used, room))
        if head is not None:
            draft.add(head, room)
        draft.left.append(packs.LeftOut(rest.key, token_budget.cost(rest.path, rest.text)))


def _covers(item: packs.Item, other: packs.Item) -> bool:
    return item.path == other.path and item.first <= other.first and other.last <= item.last


def cut(item: packs.Item, room: int) -> tuple[packs.Item | None, packs.Item]:
    """Returns the first lines of an item that fit into `room` tokens, None if they are too few, and the rest."""
    room -= token_budget.HEADER + token_count.count(item.path)
    if room < _LEAST_CUT:
        return None, item
    lines = item.text.split("\n")
    taken, used = 0, 0
    for line in lines:
        used += token_count.count(f"{line}\n")
        if used > room:
            break
        taken += 1
    if taken == 0:
        return None, item
    middle = item.first + taken
    head = replace(
        item,
        text="\n".join(lines[:taken]),
        last=middle - 1 if item.first else 0,
        key=_key(item, item.first, middle - 1),
    )
    rest = replace(
        item, text="\n".join(lines[taken:]), first=middle if item.first else 0, key=_key(item, middle, item.last)
    )
    return head, rest


def _key(item: packs.Item, first: int, last: int) -> str:
    return f"file:{item.path}#L{first}-{last}" if item.first else item.key


def key_of(part: ranking.Part) -> str:
    """Returns the key that fetches a part."""
    return f"file:{part.path}#L{part.first}-{part.last}"


def _scored(draft: _Draft, parts: Sequence[tuple[ranking.Part, float]], read: token_budget.Read) -> list[packs.LeftOut]:
    taken: dict[str, list[Span]] = {}
    for item in draft.chosen:
        taken.setdefault(item.path, []).append((item.first, item.last))
    free = [(part, score) for part, score in parts if not _inside(taken.get(part.path, ()), part)]
    given = sum(len(item.text) + token_budget.CHARACTERS for item in draft.chosen)
    got = token_budget.choose(free, read, draft.budget - draft.used, characters=draft.characters - given)
    for part, text, cost in got.parts:
        draft.chosen.append(
            packs.Item(key_of(part), part.path, text, cost, "scored", part.first, part.last, _name(part))
        )
        draft.used += cost
    return [packs.LeftOut(key_of(one.part), one.tokens) for one in got.left]


def _name(part: ranking.Part) -> str:
    return part.name if part.kind != "module" else ""


def _inside(spans: Sequence[Span], part: ranking.Part) -> bool:
    """Returns whether any of a part's lines are there already."""
    return any(first <= part.last and part.first <= last for first, last in spans)


def _tops(parts: Sequence[tuple[ranking.Part, float]]) -> dict[str, str]:
    """Returns the name of the best named part of each file."""
    names: dict[str, str] = {}
    for part, _ in parts:
        if part.name and part.kind in {"function", "class"}:
            names.setdefault(part.path, part.name.rpartition(".")[2])
    return names


def _pack(
    request: Request, draft: _Draft, files: Sequence[str], tops: Mapping[str, str], left: Sequence[packs.LeftOut]
) -> packs.Pack:
    there = {item.path for item in draft.chosen}
    others = [path for path in dict.fromkeys([*files, *request.related]) if path not in there and request.allows(path)]
    also = others[:MAX_ALSO]
    names = {path: tops[path] for path in also[:_NAMED] if path in tops}
    return packs.Pack(
        budget=request.budget,
        chosen=tuple(merged(draft.chosen, request.read)),
        left_out=(*draft.left, *left[:_LEFT_OUT]),
        also=tuple(also),
        withheld=tuple(request.withheld),
        unresolved=tuple(request.unresolved),
        ranked=tuple(files),
        tasks=tuple(request.tasks),
        pool=sum(token_count.estimate(part.size) for part, _ in request.ranked.parts if part.score > 0),
        names=names,
    )


def merged(items: Sequence[packs.Item], read: token_budget.Read) -> list[packs.Item]:
    """Returns items in their order; those with few lines between them are joined where the first of them stood."""
    kept: list[packs.Item] = []
    for item in items:
        near = [one for one in kept if _adjoin(one, item)]
        if not near:
            kept.append(item)
            continue
        joined = functools.reduce(functools.partial(_joined, read=read), near, item)
        kept = [joined if one is near[0] else one for one in kept if one not in near[1:]]
    return kept


def _adjoin(one: packs.Item, other: packs.Item) -> bool:
    if one.path != other.path or not one.first or one.why != other.why:
        return False
    return token_budget.adjoins([(one.first, one.last)], other.first, other.last)


def _joined(one: packs.Item, other: packs.Item, read: token_budget.Read) -> packs.Item:
    first, second = (one, other) if one.first <= other.first else (other, one)
    return replace(
        first,
        key=f"file:{first.path}#L{first.first}-{second.last}",
        text=read(first.path, first.first, second.last),
        tokens=first.tokens + second.tokens,
        last=second.last,
        name=", ".join(dict.fromkeys([*filter(None, first.name.split(", ")), *filter(None, second.name.split(", "))])),
    )


def _fitted(pack: packs.Pack) -> packs.Pack:
    """Returns the pack with as much of its lists as the budget takes, and with fewer lines if it must be."""
    body = token_count.count(packs.render(pack.items, ()))
    pack = _shortened(pack, "withheld", body, least=_SHOWN_WITHHELD)
    for name in ("also", "left_out", "withheld", "unresolved"):
        pack = _shortened(pack, name, body)
    while pack.chosen and (over := pack.tokens - pack.budget) > 0:
        *others, last = pack.chosen
        head, _ = cut(last, token_budget.cost(last.path, last.text) - over - token_budget.HEADER)
        pack = replace(pack, chosen=(*others, head) if head is not None and head.text != last.text else tuple(others))
    return pack


def _shortened(pack: packs.Pack, name: str, body: int, *, least: int = 0) -> packs.Pack:
    """Returns the pack with the longest head of one of its lists that fits beside items of `body` tokens."""
    values = getattr(pack, name)
    low, high = min(least, len(values)), len(values)
    if _fits(pack, body):
        return pack
    while low < high:
        middle = math.ceil((low + high) / 2)
        low, high = (middle, high) if _fits(replace(pack, **{name: values[:middle]}), body) else (low, middle - 1)
    return replace(pack, **{name: values[:low]})


def _fits(pack: packs.Pack, body: int) -> bool:
    return body + token_count.count("\n\n" + "\n".join(pack.tail())) <= pack.budget
