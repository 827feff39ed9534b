"""Where a quote stands in a file of a change, though it was copied with marks, other blanks, or its middle left out.

The strictest way in which a quote can be found is the one that counts: as it is, then without the marks of a diff or
the numbers of a listing, then with other blanks and line breaks, then with other quotation marks, then in pieces.
"""

from __future__ import annotations

import functools
import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from dispatch_mcp.review import findings
from dispatch_mcp.text import damaged_json, unified_diff

LEAST: Final = 3
"""Letters and digits that a quote must have to prove anything, unless it is a whole line that was changed."""

LEAST_LOOSE: Final = 8
"""Those that it must have to be found with other blanks; each piece of one whose middle is left out must have LEAST."""

MOST_LEFT_OUT: Final = 4_000
"""Characters, without blanks, between two pieces of a quote whose middle is left out."""

_SIGNIFICANT = re.compile(r"\w")
_NUMBERED = re.compile(r"[ \t]{0,8}L?\d{1,6}(?: ?[:|→]|\t) ?")
_LEFT_OUT = re.compile(r"(?:\[|\(|<|#|//|/\*)?[ \t]{0,4}(?:…|\.{3})[ \t]{0,4}(?:\]|\)|>|\*/)?")
_SHORTENED = re.compile(r" ?\[…\d{1,9} characters more\]")
_BETWEEN_HUNKS: Final = "\0"
_QUOTES: Final = '"`\u00b4\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f'
_DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2212"
_LOOSE: Final = str.maketrans({"\\": None, **dict.fromkeys(_QUOTES, "'"), **dict.fromkeys(_DASHES, "-")})


class QuoteMatch(NamedTuple):
    """Lines at which a quote stands, by number: of the new version, or of the old one where `is_removed`."""

    first: int
    last: int
    is_removed: bool
    is_changed: bool


class _Line(NamedTuple):
    old: int
    new: int
    mark: str
    text: str


class _View:
    """Some lines of a file in their order: as the new version has them, as the old one has, or as the diff shows."""

    def __init__(self, hunks: Sequence[Sequence[_Line]], marks: str) -> None:
        self.lines = [line for hunk in hunks for line in hunk if line.mark in marks]
        self._hunks = [[line for line in hunk if line.mark in marks] for hunk in hunks]

    @functools.cached_property
    def squeezed(self) -> tuple[str, list[int]]:
        """Its text without blanks, and where each line begins in it."""
        return self._joined(_squeezed)

    @functools.cached_property
    def loose(self) -> tuple[str, list[int]]:
        """The same, with all quotation marks alike and no backslash."""
        return self._joined(_loosened)

    def _joined(self, plain: Callable[[str], str]) -> tuple[str, list[int]]:
        parts: list[str] = []
        starts: list[int] = []
        at = 0
        for hunk in self._hunks:
            for line in hunk:
                text = plain(line.text)
                starts.append(at)
                parts.append(text)
                at += len(text)
            parts.append(_BETWEEN_HUNKS)
            at += 1
        return "".join(parts), starts

    def match(self, first: int, last: int) -> QuoteMatch | None:
        """Returns the place of some of its lines, by their positions; blank ones at its ends do not count."""
        lines = [line for line in self.lines[first : last + 1] if line.text]
        if not lines:
            return None
        is_changed = any(line.mark != " " for line in lines)
        new = [line for line in lines if line.mark != "-"]
        if new and (any(line.mark == "+" for line in lines) or not is_changed):
            return QuoteMatch(new[0].new, new[-1].new, is_removed=False, is_changed=is_changed)
        return QuoteMatch(lines[0].old, lines[-1].old, is_removed=True, is_changed=True)


class FileText:
    """The lines of one file of a change, ready for quotes to be looked up in them."""

    def __init__(self) -> None:
        self._hunks: list[list[_Line]] = []

    def add(self, hunk: unified_diff.Hunk) -> None:
        """Adds the lines of a hunk, before anything is looked up."""
        lines: list[_Line] = []
        old, new = hunk.old_start, hunk.new_start
        for line in hunk.lines:
            mark = line[0]
            if mark in "+- ":
                lines.append(_Line(old, new, mark, findings.plain(line[1:])))
                old += mark != "+"
                new += mark != "-"
        self._hunks.append(lines)

    @functools.cached_property
    def _views(self) -> tuple[_View, ...]:
        return tuple(_View(self._hunks, marks) for marks in (" +", " -", " +-"))

    def find(self, quote: Quote) -> list[QuoteMatch]:
        """Returns the places where a quote stands, found in the strictest way in which there is one."""
        if not quote.is_significant:
            return self._lines_alike(quote)
        for way in (_as_it_is, _squeezed_alike, _loosely, _in_pieces):
            for form in quote.forms:
                for view in self._views:
                    matches = [match for span in way(view, form) if (match := view.match(*span)) is not None]
                    if matches:
                        return matches
        return []

    def _lines_alike(self, quote: Quote) -> list[QuoteMatch]:
        """Returns the changed lines that are a quote as a whole, which proves something however short it is."""
        for form in quote.short_forms:
            for view in self._views[:2]:
                places = (at for at, line in enumerate(view.lines) if line.mark != " " and line.text == form)
                matches = [match for at in places if (match := view.match(at, at)) is not None]
                if matches:
                    return matches
        return []


class Quote:
    """A quote in the forms in which it may have been copied."""

    def __init__(self, text: str) -> None:
        self._text = _SHORTENED.sub("…", damaged_json.without_reminders(text, "\n"))

    @property
    def is_significant(self) -> bool:
        """Whether it has enough letters and digits to prove anything wherever it stands."""
        return _count(self._text) >= LEAST

    @property
    def short_forms(self) -> list[str]:
        """The quote as it is, and without the mark of a diff: one line with a letter or digit."""
        lines = [findings.plain(self._text), findings.plain(_without_every_mark(self._text))]
        return [line for line in dict.fromkeys(lines) if "\n" not in line and _count(line)]

    @functools.cached_property
    def forms(self) -> list[str]:
        """The quote as it is, without marks of a diff, without numbers of lines, and without entities of HTML."""
        forms = [self._text, _without_marks(self._text), _without_every_mark(self._text)]
        if all(_NUMBERED.match(line) for line in self._text.split("\n") if line.strip()):
            bare = "\n".join(_NUMBERED.sub("", line, count=1) for line in self._text.split("\n"))
            forms += [bare, _without_marks(bare), _without_every_mark(bare)]
        forms += [html.unescape(form) for form in forms if "&" in form]
        return list(dict.fromkeys(form for form in forms if _count(form) >= LEAST))


def _count(text: str) -> int:
    return len(_SIGNIFICANT.findall(text))


def _without_marks(text: str) -> str:
    """Returns the lines of a diff without their marks, if each of them has one."""
    lines = [line for line in text.split("\n") if line.strip()]
    if all(line[0] in "+- " for line in lines) and any(line[0] in "+-" for line in lines):
        return "\n".join(line[1:] for line in text.split("\n"))
    return text


def _without_every_mark(text: str) -> str:
    """Returns the lines of a text without the marks that some of them may have."""
    return "\n".join(line.strip()[1:] if line.strip()[:1] in ("+", "-") else line for line in text.split("\n"))


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _loosened(text: str) -> str:
    return _squeezed(text).translate(_LOOSE)


# The ways, each of which yields the positions of the first and the last line.


def _as_it_is(view: _View, form: str) -> Iterator[tuple[int, int]]:
    """Yields where a quote begins in one line and ends in one, whatever blanks are between its words."""
    parts = [part for part in map(findings.plain, form.split("\n")) if part]
    if _squeezed(parts[0]) not in view.squeezed[0]:
        return
    for at, line in enumerate(view.lines):
        if parts[0] in line.text if len(parts) == 1 else line.text.endswith(parts[0]):
            last = _continued(view.lines, at, parts[1:])
            if last is not None:
                yield at, last


def _continued(lines: Sequence[_Line], at: int, rest: Sequence[str]) -> int | None:
    """Returns where the rest of a quote ends; blank lines do not count."""
    for place, part in enumerate(rest):
        at += 1
        while at < len(lines) and not lines[at].text:
            at += 1
        if at >= len(lines):
            return None
        text = lines[at].text
        if text != part and not (place == len(rest) - 1 and text.startswith(part)):
            return None
    return at


def _squeezed_alike(view: _View, form: str) -> Iterator[tuple[int, int]]:
    return _within(*view.squeezed, [_squeezed(form)]) if _count(form) >= LEAST_LOOSE else iter(())


def _loosely(view: _View, form: str) -> Iterator[tuple[int, int]]:
    return _within(*view.loose, [_loosened(form)]) if _count(form) >= LEAST_LOOSE else iter(())


def _in_pieces(view: _View, form: str) -> Iterator[tuple[int, int]]:
    pieces = [piece for piece in map(_loosened, _LEFT_OUT.split(form)) if piece]
    if len(pieces) == 0 or min(map(_count, pieces)) < LEAST or max(map(_count, pieces)) < LEAST_LOOSE:
        return iter(())
    return _within(*view.loose, pieces)


def _within(text: str, starts: Sequence[int], pieces: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yields the lines in which some pieces stand one after the other, once for each line in which they begin."""
    at = text.find(pieces[0])
    while at >= 0:
        first = bisect_right(starts, at) - 1
        end = _end(text, at, pieces)
        if end >= 0:
            yield first, bisect_right(starts, end - 1) - 1
        following = starts[first + 1] if first + 1 < len(starts) else len(text)
        at = text.find(pieces[0], max(following, at + 1))


def _end(text: str, at: int, pieces: Sequence[str]) -> int:
    """Returns where the last piece ends when the first one begins at a place and all are in one hunk; -1 if not."""
    end = at + len(pieces[0])
    hunk = text.find(_BETWEEN_HUNKS, end)
    for piece in pieces[1:]:
        place = text.find(piece, end, min(hunk, end + MOST_LEFT_OUT + len(piece)))
        if place < 0:
            return -1
        end = place + len(piece)
    return end
