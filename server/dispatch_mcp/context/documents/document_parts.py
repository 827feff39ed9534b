"""A long document within a budget of tokens: its outline and those of its sections that a task is about."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from dispatch_mcp.context import context_query
from dispatch_mcp.text import token_count

_HEADING = re.compile(r"#{1,6}[ \t]++(\S.*)")
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})")
_HEADING_WORTH: Final = 3.0
"""How many words of a section's body one word of its heading is worth."""
_OUTLINE_SHARE: Final = 4
"""The outline takes at most one part in so many."""
_MISSES: Final = 20
"""Sections that did not fit though their own length would, after which no more are tried."""
OUTLINE: Final = "Sections: "
LEFT_OUT: Final = "[… not here: {} …]"


class Extract(NamedTuple):
    """What is given of a document: all of it, or its outline and some sections with what lies between them named."""

    text: str
    is_whole: bool


class _Section(NamedTuple):
    heading: str
    text: str
    cost: int


def extract(
    text: str, room: int, task: Collection[str], weights: Mapping[str, float] | None = None, *, least: float = 0.0
) -> Extract:
    """Returns as much of a document as fits into `room` tokens; `task` are the stems of what the reader has to do.

    `weights` says how rare each stem is; 1 where it says nothing, or 0 as in a workspace of few files. Of a document
    that does not fit, sections that say less of the task than `least`, a share of what the best of them says, are left
    out though there is room.
    """
    text = text.strip()
    if token_count.count(text) <= room:
        return Extract(text, is_whole=True)
    sections = _sections(text)
    outline = _outline(sections, room // _OUTLINE_SHARE)
    places: set[int] = set()
    floor, misses = token_count.count(outline), 0
    worth = _worth(sections, task, weights or {})
    least *= max(worth)
    for at in sorted(range(len(sections)), key=lambda at: (-worth[at], at)):
        if floor + sections[at].cost > room or worth[at] < least or misses == _MISSES:
            continue
        if token_count.count(_joined(outline, _given(sections, {*places, at}))) <= room:
            places.add(at)
            floor += sections[at].cost
        else:
            misses += 1
    texts = _given(sections, places) if places else [_head(text, room - token_count.count(outline))]
    return Extract(_joined(outline, texts), is_whole=False)


def _sections(text: str) -> list[_Section]:
    """Returns the sections of a document in their order; the first has no heading if text stands before them all."""
    starts: list[tuple[int, str]] = []
    lines, fence = text.split("\n"), ""
    for at, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark:
            fence = mark[1] if not fence else ("" if mark[1].startswith(fence) else fence)
        elif not fence and (heading := _heading(lines, at)):
            starts.append((at, heading))
    if not starts or starts[0][0] > 0:
        starts.insert(0, (0, ""))
    ends = [*(at for at, _ in starts[1:]), len(lines)]
    bodies = ["\n".join(lines[at:end]).strip("\n") for (at, _), end in zip(starts, ends, strict=True)]
    return [_Section(heading, body, token_count.count(body)) for (_, heading), body in zip(starts, bodies, strict=True)]


def _heading(lines: Sequence[str], at: int) -> str:
    """Returns the heading that a line is, with `#` or underlined; empty for any other line."""
    match = _HEADING.fullmatch(lines[at])
    if match:
        return match[1].rstrip(" \t#") or match[1]
    below = lines[at + 1] if at + 1 < len(lines) else ""
    is_rule = len(below) >= 3 and len(set(below)) == 1 and below[0] in "=-~^"
    return lines[at].strip() if is_rule and lines[at].strip() and lines[at][0] not in "-=~^ \t|" else ""


def _outline(sections: Sequence[_Section], room: int) -> str:
    names = [section.heading for section in sections if section.heading]
    while names and token_count.count(OUTLINE + "; ".join(names)) > room:
        names = names[: len(names) * 2 // 3]
    return OUTLINE + "; ".join(names) if names else ""


def _worth(sections: Sequence[_Section], task: Collection[str], weights: Mapping[str, float]) -> list[float]:
    """Returns how much of the task each section says."""

    def worth(section: _Section) -> float:
        body, heading = context_query.stems(section.text), context_query.stems(section.heading)
        return sum(
            (weights.get(stem) or 1.0) * (_HEADING_WORTH if stem in heading else 1.0) for stem in task if stem in body
        )

    return [worth(section) for section in sections]


def _given(sections: Sequence[_Section], places: Collection[int]) -> list[str]:
    """Returns the texts of the chosen sections in their order, and a line for what lies between them."""
    texts: list[str] = []
    missing: list[str] = []
    for at, section in enumerate(sections):
        if at not in places:
            missing.append(section.heading or "the opening")
            continue
        texts += [_named(missing)] if missing else []
        texts.append(section.text)
        missing = []
    return [*texts, *([_named(missing)] if missing else [])]


def _named(missing: Sequence[str]) -> str:
    return LEFT_OUT.format(missing[0] if len(missing) == 1 else f"{missing[0]}, {len(missing) - 1} more")


def _head(text: str, room: int) -> str:
    """Returns the first lines of a text that fit, and that there is more."""
    lines: list[str] = []
    for line in text.split("\n"):
        room -= token_count.count(f"{line}\n")
        if room < token_count.count(LEFT_OUT) + 6:
            break
        lines.append(line)
    return "\n".join([*lines, LEFT_OUT.format("the rest")])


def _joined(outline: str, texts: Sequence[str]) -> str:
    return "\n\n".join(filter(None, [outline, *texts]))
