"""Puts a pack together: what was asked for by key first, then the best parts, then what the reader could fetch."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from dispatch_mcp.context import file_kinds, packs, part_choice, ranking
from dispatch_mcp.text import token_count

Span = tuple[int, int]

MAX_ALSO: Final = 60
"""Further paths that a pack lists."""
CHARACTERS_A_TOKEN: Final = 3.6
"""Whoever counts tokens by characters finds the parts within the budget too."""
_NAMED: Final = 5
"""Further paths that are listed with the name of their best part."""
_BEFORE: Final = 12
"""Likeliest files that are listed before those that go with them, such as their tests."""
_LEFT_OUT: Final = 3
"""Scored parts that did not fit and are listed with their keys."""
_SHOWN_WITHHELD: Final = 20
"""Withheld paths that stay in the list when others are cut."""
_LEAST_CUT: Final = 60
"""Tokens that the head of a text must have to be worth giving without its rest."""
_LIKELIEST: Final = 20
"""Likeliest files of which one that is asked for by name says where the work is."""
_OF_FAINT: Final = 0.2
"""Share of a budget that parts get where hardly anything matches the task."""
_NEW: Final = 60
"""Line of a changelog behind which its entries are old: the next is written above them, and one shows their form."""
_LEAST_BESIDE_NAMED: Final = 4e-4
"""Probability of holding a change that each token of a part must bring where that is known; set on development commits
of which one changed file is named (ADR 0015)."""


class KeyOffer(NamedTuple):
    """What one key stands for: its pieces in the order of their worth. `share` of the budget is the most they get.

    `left_out` is what of it was not even offered.
    """

    pieces: tuple[packs.Item, ...]
    share: float = 1.0
    left_out: tuple[packs.LeftOut, ...] = ()


@dataclass(slots=True)
class _Draft:
    budget: int
    characters: float
    items: list[packs.Item] = field(default_factory=list[packs.Item])
    left_out: list[packs.LeftOut] = field(default_factory=list[packs.LeftOut])
    tokens: int = 0

    def add(self, item: packs.Item, most: int) -> bool:
        room = min(self.budget - self.tokens, most)
        cost = part_choice.cost(item.path, item.text)
        if cost > room:
            return False
        self.items.append(replace(item, tokens=cost))
        self.tokens += cost
        return True


@dataclass(frozen=True, slots=True)
class PackRequest:
    """Everything a pack is made of; `read` returns a part's lines, `allows` says whether a path may be shown.

    `whole` are the tokens of the files that the task names, each whole; `strangers` words of it that stand
    nowhere, where hardly anything matches.
    """

    budget: int
    offers: Sequence[KeyOffer]
    ranks: ranking.Ranking
    read: part_choice.Read
    allows: Callable[[str], bool]
    unresolved: Sequence[packs.Unresolved] = ()
    tasks: Sequence[str] = ()
    withheld: Sequence[str] = ()
    see_also: Sequence[str] = ()
    whole: int = 0
    strangers: Sequence[str] = ()


def assemble(request: PackRequest) -> packs.Pack:
    """Returns the pack; it never has more tokens than the budget, whatever was asked for."""
    reserve = min(500, max(40, request.budget * 5 // 100))  # for the lists below the items
    draft = _Draft(request.budget - reserve, request.budget * CHARACTERS_A_TOKEN)
    for offer in request.offers:
        _offer(draft, offer, int(offer.share * request.budget))
    guides = {item.path for item in draft.items if item.why == "rules"}
    candidates = [
        (part, score) for part, score in request.ranks.parts if part.path not in guides and request.allows(part.path)
    ]
    files = [path for path in request.ranks.order if request.allows(path)]
    leftovers = _scored(draft, candidates, files, request)
    return _fitted(_pack(request, draft, files, _tops(candidates), leftovers))


def _offer(draft: _Draft, offer: KeyOffer, most: int) -> None:
    start = draft.tokens
    for piece in offer.pieces:
        room = most - (draft.tokens - start)
        if any(_covers(item, piece) for item in draft.items) or draft.add(piece, room):
            continue
        head, rest = cut(piece, min(draft.budget - draft.tokens, room))
        missing = rest if head is not None and draft.add(head, room) else piece
        draft.left_out.append(left_out(missing))
    draft.left_out.extend(offer.left_out)


def left_out(item: packs.Item) -> packs.LeftOut:
    """Returns an item as something that does not fit."""
    return packs.LeftOut(item.key, part_choice.cost(item.path, item.text))


def _covers(item: packs.Item, other: packs.Item) -> bool:
    return item.path == other.path and item.first <= other.first and other.last <= item.last


def cut(item: packs.Item, room: int) -> tuple[packs.Item | None, packs.Item]:
    """Returns the first lines of an item that fit into `room` tokens, None if they are too few, and the rest."""
    room -= part_choice.cost(item.path, "")
    if room < _LEAST_CUT:
        return None, item
    lines = item.text.split("\n")
    count, tokens = 0, 0
    for line in lines:
        tokens += token_count.count(f"{line}\n")
        if tokens > room:
            break
        count += 1
    if count == 0:
        return None, item
    middle = item.first + count
    head = replace(
        item,
        text="\n".join(lines[:count]),
        last=middle - 1 if item.first else 0,
        key=_key(item, item.first, middle - 1),
    )
    rest = replace(
        item, text="\n".join(lines[count:]), first=middle if item.first else 0, key=_key(item, middle, item.last)
    )
    return head, rest


def _key(item: packs.Item, first: int, last: int) -> str:
    return f"file:{item.path}#L{first}-{last}" if item.first else item.key


def key_of(part: ranking.FilePart) -> str:
    """Returns the key that fetches a part."""
    return f"file:{part.path}#L{part.first}-{part.last}"


def _scored(
    draft: _Draft, parts: Sequence[tuple[ranking.FilePart, float]], files: Sequence[str], request: PackRequest
) -> list[packs.LeftOut]:
    beside = request.ranks.beside
    spans: dict[str, list[Span]] = {}
    for item in draft.items:
        spans.setdefault(item.path, []).append((item.first, item.last))
    free = [(part, score) for part, score in _without_history(parts) if not _inside(spans.get(part.path, ()), part)]
    size = sum(len(item.text) + part_choice.CHARACTERS for item in draft.items)
    room = min(draft.budget - draft.tokens, round(request.budget * (_OF_FAINT if request.strangers else 1.0)))
    is_located = _is_located(draft.items, files)
    got = part_choice.choose(
        free,
        request.read,
        room,
        characters=draft.characters - size,
        least=_LEAST_BESIDE_NAMED if is_located else _between(_LEASTS, beside),
        division=part_choice.Division(beside, _between(_SHARES, beside)),
        is_full=beside < _SURE and not (is_located or request.strangers),
    )
    for part, text, cost in got.parts:
        draft.items.append(
            packs.Item(key_of(part), part.path, text, cost, "scored", part.first, part.last, _name(part))
        )
        draft.tokens += cost
    return [packs.LeftOut(key_of(choice.part), choice.tokens) for choice in got.leftovers]


# What of a budget files that are no source have first, by the probability that a task is about them; between these
# points in straight lines. Fitted on development commits of all kinds (ADR 0015).
_SHARES = ((0.0, 0.0), (0.2, 0.03), (0.5, 0.15), (0.65, 0.4), (0.8, 0.65), (0.9, 0.95), (1.0, 1.0))


_SURE: Final = 0.8
"""Probability that a task is about other files than source from which on a pack ends with what is worth its tokens."""

# Probability of holding a change that a token must bring, likewise. With less a part waits for what source and the
# other files leave, as the last parts of source still hold changes; where the task is surely about other files, which
# are short, more is asked and the pack ends there.
_LEASTS = ((0.0, 1e-5), (0.8, 1e-5), (0.9, 3e-5), (1.0, 3e-5))


def _without_history(
    parts: Sequence[tuple[ranking.FilePart, float]],
) -> Iterator[tuple[ranking.FilePart, float]]:
    """Yields the parts without those of changelogs that are neither new nor the best of their file.

    New are the first lines, and what goes on with the section that begins there.
    """
    best: set[str] = set()
    heads: dict[str, tuple[int, str]] = {}
    for part, _ in parts:
        if part.name and file_kinds.of(part.path) == "changelog":
            heads[part.path] = min(heads.get(part.path, (part.first, part.name)), (part.first, part.name))
    for part, score in parts:
        is_old = part.path in heads and part.first > _NEW and part.name != heads[part.path][1]
        if not is_old or part.path not in best:
            yield part, score
        if is_old:
            best.add(part.path)


def _is_located(items: Sequence[packs.Item], files: Sequence[str]) -> bool:
    """Returns whether one of the likeliest files is given already because it was asked for by name."""
    return not {item.path for item in items if item.why == "asked"}.isdisjoint(files[:_LIKELIEST])


def _between(points: Sequence[tuple[float, float]], at: float) -> float:
    """Returns the height at `at`, from 0 to 1, of the straight lines between points."""
    for (start, low), (end, high) in itertools.pairwise(points):
        if at <= end:
            return low + (high - low) * (at - start) / (end - start)
    return points[-1][1]


def _name(part: ranking.FilePart) -> str:
    return part.name if part.kind != "module" else ""


def _inside(spans: Sequence[Span], part: ranking.FilePart | packs.Item) -> bool:
    """Returns whether any of a part's lines are there already."""
    return any(first <= part.last and part.first <= last for first, last in spans)


def _tops(parts: Sequence[tuple[ranking.FilePart, float]]) -> dict[str, str]:
    """Returns the name of the best named part of each file."""
    names: dict[str, str] = {}
    for part, _ in parts:
        if part.name and part.kind in {"function", "class"}:
            names.setdefault(part.path, part.name.rpartition(".")[2])
    return names


def _pack(
    request: PackRequest,
    draft: _Draft,
    files: Sequence[str],
    tops: Mapping[str, str],
    leftovers: Sequence[packs.LeftOut],
) -> packs.Pack:
    there = {item.path for item in draft.items}
    first, rest = files[:_BEFORE], files[_BEFORE:]
    order = dict.fromkeys([*first, *request.see_also, *rest])
    paths = [path for path in order if path not in there and request.allows(path)]
    also = paths[:MAX_ALSO]
    names = {path: tops[path] for path in also[:_NAMED] if path in tops}
    return packs.Pack(
        budget=request.budget,
        chosen=tuple(merge(draft.items, request.read)),
        left_out=(*draft.left_out, *leftovers[:_LEFT_OUT]),
        also=tuple(also),
        withheld=tuple(request.withheld),
        unresolved=tuple(request.unresolved),
        ranked=tuple(files),
        tasks=tuple(request.tasks),
        whole=request.whole,
        names=names,
        strangers=tuple(request.strangers),
    )


def merge(items: Sequence[packs.Item], read: part_choice.Read) -> list[packs.Item]:
    """Returns items in their order; those with few lines between them are joined where the first of them stood."""
    result: list[packs.Item] = []
    for item in items:
        near = [earlier for earlier in result if _adjoin(earlier, item)]
        if not near:
            result.append(item)
            continue
        whole = functools.reduce(functools.partial(_joined, read=read), near, item)
        result = [whole if earlier is near[0] else earlier for earlier in result if earlier not in near[1:]]
    return result


def _adjoin(item: packs.Item, other: packs.Item) -> bool:
    if item.path != other.path or not item.first or not other.first or item.why != other.why:
        return False
    return _inside([(item.first, item.last)], other) or part_choice.adjoins(
        [(item.first, item.last)], other.first, other.last
    )


def _joined(item: packs.Item, other: packs.Item, read: part_choice.Read) -> packs.Item:
    first, second = (item, other) if item.first <= other.first else (other, item)
    last = max(first.last, second.last)
    return replace(
        first,
        key=f"file:{first.path}#L{first.first}-{last}",
        text=read(first.path, first.first, last),
        tokens=first.tokens + second.tokens,
        last=last,
        name=", ".join(dict.fromkeys([*filter(None, first.name.split(", ")), *filter(None, second.name.split(", "))])),
    )


def _fitted(pack: packs.Pack) -> packs.Pack:
    """Returns the pack with as much of its lists as the budget takes, and with fewer lines if it must be.

    What it loses of its items is listed as left out, as far as the list has room.
    """
    pack = _with_fitted_lists(pack)
    while pack.chosen and (over := pack.tokens - pack.budget) > 0:
        *items, last = pack.chosen
        room = part_choice.cost(last.path, last.text) - over - part_choice.HEADER
        head, rest = cut(last, room) if last.why != "scored" else (None, last)
        is_shorter = head is not None and head.text != last.text
        shorter = (*items, head) if head is not None and is_shorter else tuple(items)
        missing = left_out(rest if is_shorter else last)
        entries = tuple(entry for entry in pack.left_out if entry.key != missing.key)
        pack = _with_fitted_lists(replace(pack, chosen=shorter, left_out=(missing, *entries)))
    return pack


def _with_fitted_lists(pack: packs.Pack) -> packs.Pack:
    body = token_count.count(packs.render(pack.items, ()))
    pack = _shortened(pack, "withheld", body, least=_SHOWN_WITHHELD)
    for name in ("also", "left_out", "withheld", "unresolved"):
        pack = _shortened(pack, name, body)
    return pack


def _shortened(pack: packs.Pack, name: str, body: int, *, least: int = 0) -> packs.Pack:
    """Returns the pack with the longest head of one of its lists that fits beside items of `body` tokens."""
    values = getattr(pack, name)
    low, high = min(least, len(values)), len(values)
    if _fits(pack, body):
        return pack
    while low < high:
        middle = math.ceil((low + high) / 2)
        low, high = (middle, high) if _fits(_headed(pack, name, middle), body) else (low, middle - 1)
    return _headed(pack, name, low)


def _headed(pack: packs.Pack, name: str, count: int) -> packs.Pack:
    """Returns the pack with the first `count` entries of one of its lists; of what was left out the rest is counted."""
    values = getattr(pack, name)
    surplus = pack.surplus + (len(values) - count if name == "left_out" else 0)
    return replace(pack, **{name: values[:count]}, surplus=surplus)


def _fits(pack: packs.Pack, body: int) -> bool:
    return body + token_count.count("\n\n" + "\n".join(pack.tail())) <= pack.budget
