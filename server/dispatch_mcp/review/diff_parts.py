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

OVERLAP_SHARE = 4
"""These lines take at most this part of a prompt: one in so many."""

LEAST_ROOM = 1_000
"""Characters of lines in one piece, however long the name of their file is."""


class Span(model.Value):
    """Some lines of one file, in numbers of the new version, or of the old one where `removed`."""

    path: str
    first: int
    last: int
    removed: bool = False

    @property
    def label(self) -> str:
        """The lines as `path:first-last`; the path alone of a file as a whole."""
        if not self.last:
            return self.path
        lines = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.path}:{lines}" + (" (removed)" if self.removed else "")


@dataclass(frozen=True, slots=True)
class DiffPart:
    """What one prompt holds: a diff in text, and the hunks in it."""

    text: str
    spans: tuple[Span, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """All parts, and what is in none of them."""

    parts: tuple[DiffPart, ...] = ()
    unseen: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    span: Span
    path: str
    head: str


def split(diff: unified_diff.Diff, *, limit: int = LIMIT, max_parts: int = MAX_PARTS) -> Split:
    """Returns the change in parts of at most `limit` characters (names of files may make one longer), file by file.

    A file goes into one part if it fits; a hunk too long for one is cut, and each further piece repeats the last
    lines of the one before; so is a line too long for one. Everything is in a part, or in `unseen` when there would be
    more than `max_parts`.
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


def _part(pieces: Sequence[_Piece]) -> DiffPart:
    lines: list[str] = []
    path = ""
    for piece in pieces:
        if piece.path != path:
            lines.append(piece.head)
            path = piece.path
        if piece.text:
            lines.append(piece.text)
    files = tuple(dict.fromkeys(piece.path for piece in pieces))
    return DiffPart(
        "\n".join(lines),
        tuple(piece.span for piece in pieces),
        files,
    )


def _pieces(change: unified_diff.FileChange, limit: int) -> list[_Piece]:
    head = unified_diff.render(change, ())
    if not change.hunks:
        return [_Piece("", Span(path=change.path, first=0, last=0), change.path, head)]
    names = unified_diff.render(change, change.hunks[:1]).split("\n")
    head = "\n".join(names[: len(names) - 1 - len(change.hunks[0].lines)])
    return [
        _Piece(f"{piece.header}\n{text}", _span(change.path, piece), change.path, head)
        for room in [max(limit - len(head) - 100, LEAST_ROOM)]
        for hunk in change.hunks
        for piece in _cut(hunk, room)
        for text in _texts(piece, room)
    ]


def _texts(piece: unified_diff.Hunk, room: int) -> Iterator[str]:
    """Yields the lines of a hunk; a single line that is too long in pieces, which say so, each with the line's mark."""
    text = "\n".join(piece.lines)
    if len(piece.lines) > 1 or len(text) <= room:
        yield text
        return
    mark, whole = text[:1], text[1:]
    starts = range(0, len(whole), room)
    for number, start in enumerate(starts, 1):
        yield f"{mark}{whole[start : start + room]} [piece {number} of {len(starts)} of this line]"


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
        while end < len(hunk.lines) and (end == begin or size + len(hunk.lines[end]) + 40 <= limit):
            size += len(hunk.lines[end]) + 1
            end += 1
        yield _slice(hunk, begin, end)
        if end >= len(hunk.lines):
            return
        begin = _overlapping(hunk, begin, end, limit)


def _overlapping(hunk: unified_diff.Hunk, begin: int, end: int, limit: int) -> int:
    """Returns where the next piece begins: a few lines earlier, as far as these leave most of it to what is new.

    None of them is shown again where the next line would not fit beside it.
    """
    first, size = end, 0
    room = min(limit // OVERLAP_SHARE, limit - len(hunk.lines[end]) - 41)  # as `_cut` counts
    while first - 1 > begin and end - first < OVERLAP and size + len(hunk.lines[first - 1]) <= room:
        first -= 1
        size += len(hunk.lines[first]) + 1
    return first


def _slice(hunk: unified_diff.Hunk, begin: int, end: int) -> unified_diff.Hunk:
    if begin == 0 and end == len(hunk.lines):
        return hunk
    before = hunk.lines[:begin]
    old = hunk.old_start + sum(line[0] in " -" for line in before)
    new = hunk.new_start + sum(line[0] in " +" for line in before)
    return unified_diff.Hunk(old, new, hunk.section, hunk.lines[begin:end])
