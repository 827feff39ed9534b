"""A change in parts that fit one prompt each, and the account of who sees what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dispatch_mcp import model
from dispatch_mcp.text import unified_diff

LIMIT = 60_000
"""Characters of diff in one prompt; about 18,000 tokens."""

MAX_PARTS = 64
"""Parts that one reviewer is asked about; a change of more is reviewed as far as that, and the rest is named."""

OVERLAP = 12
"""Lines that a hunk which is cut shows again before its next piece."""

LINE_LIMIT = 2_000
"""Characters of one line that are shown."""


class Span(model.Value):
    """Some lines of one file, in numbers of the new version, or of the old one where `removed`."""

    path: str
    first: int
    last: int
    removed: bool = False

    @property
    def label(self) -> str:
        """The lines as `path:first-last`."""
        lines = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.path}:{lines}" + (" (removed)" if self.removed else "")


@dataclass(frozen=True, slots=True)
class Part:
    """What one prompt holds: a diff in text, and the hunks in it. `cut` are lines of which the end is not shown."""

    text: str
    spans: tuple[Span, ...] = ()
    files: tuple[str, ...] = ()
    cut: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """All parts, and what is in none of them."""

    parts: tuple[Part, ...] = ()
    unseen: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    span: Span
    path: str
    head: str
    cut: tuple[Span, ...] = ()


def split(diff: unified_diff.Diff, *, limit: int = LIMIT, max_parts: int = MAX_PARTS) -> Split:
    """Returns the change in parts of at most `limit` characters (a single line may make one longer), file by file.

    A file goes into one part if it fits; a hunk too long for one is cut, and each further piece repeats the last
    lines of the one before. Every hunk is in a part, or in `unseen` when there would be more than `max_parts`.
    """
    groups: list[list[_Piece]] = []
    size = 0
    for group in (_pieces(change, limit) for change in diff.files):
        whole = _size(group)
        fits = bool(groups) and size + whole <= limit
        if whole <= limit and not fits:
            groups.append([])
            size = 0
        for piece in group:
            room = groups and size + len(piece.text) + len(piece.head) + 2 <= limit
            if not room and (whole > limit or not groups):
                groups.append([])
                size = 0
            groups[-1].append(piece)
            size += len(piece.text) + len(piece.head) + 2
    whole_groups, over = groups[:max_parts], groups[max_parts:]
    unseen = tuple(piece.span for group in over for piece in group)
    return Split(tuple(_part(pieces) for pieces in whole_groups), unseen)


def _size(pieces: Sequence[_Piece]) -> int:
    return sum(len(piece.text) + len(piece.head) + 2 for piece in pieces)


def _part(pieces: Sequence[_Piece]) -> Part:
    lines: list[str] = []
    path = ""
    for piece in pieces:
        if piece.path != path:
            lines.append(piece.head)
            path = piece.path
        if piece.text:
            lines.append(piece.text)
    files = tuple(dict.fromkeys(piece.path for piece in pieces))
    return Part(
        "\n".join(lines),
        tuple(piece.span for piece in pieces),
        files,
        tuple(cut for piece in pieces for cut in piece.cut),
    )


def _pieces(change: unified_diff.FileChange, limit: int) -> list[_Piece]:
    head = unified_diff.render(change, ())
    if not change.hunks:
        return [_Piece("", Span(path=change.path, first=0, last=0), change.path, head)]
    names = unified_diff.render(change, change.hunks[:1]).split("\n")
    head = "\n".join(names[: len(names) - 1 - len(change.hunks[0].lines)])
    return [
        _Piece(f"{piece.header}\n" + "\n".join(_shown(line) for line in piece.lines), span, change.path, head, cut)
        for hunk in change.hunks
        for piece in _cut(hunk, max(limit - len(head) - 100, 1_000))
        for span, cut in [(_span(change.path, piece), _long(change.path, piece))]
    ]


def _shown(line: str) -> str:
    """Returns a line with its mark, cut after LINE_LIMIT characters of text."""
    end = 1 + LINE_LIMIT
    return line if len(line) <= end else f"{line[:end]} […{len(line) - end} characters more]"


def _long(path: str, hunk: unified_diff.Hunk) -> tuple[Span, ...]:
    return tuple(
        Span(path=path, first=line.number, last=line.number, removed=line.mark == "-")
        for line in unified_diff.lines_with_numbers(hunk)
        if len(line.text) > LINE_LIMIT
    )


def _span(path: str, hunk: unified_diff.Hunk) -> Span:
    if hunk.new_count:
        return Span(path=path, first=hunk.new_start, last=hunk.new_start + hunk.new_count - 1)
    last = hunk.old_start + max(hunk.old_count, 1) - 1
    return Span(path=path, first=hunk.old_start, last=last, removed=True)


def _cut(hunk: unified_diff.Hunk, limit: int) -> Iterator[unified_diff.Hunk]:
    """Yields a hunk in pieces of at most `limit` characters; every line is in one, the overlap is shown again."""
    begin = 0
    while begin < len(hunk.lines):
        size, end = 0, begin
        while end < len(hunk.lines) and (end == begin or size + min(len(hunk.lines[end]), LINE_LIMIT) + 40 <= limit):
            size += min(len(hunk.lines[end]), LINE_LIMIT) + 1
            end += 1
        yield _slice(hunk, begin, end)
        if end >= len(hunk.lines):
            return
        begin = max(end - OVERLAP, begin + 1)


def _slice(hunk: unified_diff.Hunk, begin: int, end: int) -> unified_diff.Hunk:
    if begin == 0 and end == len(hunk.lines):
        return hunk
    before = hunk.lines[:begin]
    old = hunk.old_start + sum(line[0] in " -" for line in before)
    new = hunk.new_start + sum(line[0] in " +" for line in before)
    return unified_diff.Hunk(old, new, hunk.section, hunk.lines[begin:end])
