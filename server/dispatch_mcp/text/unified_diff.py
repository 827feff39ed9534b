"""Unified diffs as git writes them, read into files and hunks and written back."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from dispatch_mcp.text import diff_languages, patch_forms

Kind = Literal["modified", "new", "deleted", "renamed", "copied"]

_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@ ?(.*)")
_COMBINED = re.compile(r"@@@+ ((?:-\d{1,9}(?:,\d{1,9})? )+)\+(\d{1,9})(?:,(\d{1,9}))? @@@+ ?(.*)")
_SIDE = re.compile(r"-(\d+)(?:,(\d+))?")
_FILE = re.compile(r"diff (?:--(?:git|cc|combined) |-[A-Za-z])")
_MAIL = re.compile(r"From [0-9a-f]{7,64} ")
_BLOBS = re.compile(r"index ([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})\b")
_ORPHAN = re.compile(r"[+-](?! [\w\"'`*(]|[+-])")
_ESCAPE = re.compile(r'\\([abtnvfr"\\]|[0-7]{1,3})')
_ESCAPED = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_PREFIXES = ("a/", "b/", "c/", "i/", "o/", "w/", "1/", "2/")
_NOTHING = "/dev/null"
_EMPTY_BLOBS = (
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
)
_NO_NEWLINE = "\\"
_BODY = frozenset("+- \\")

WITHOUT_LINES: Final = "a file without its changed lines"
CUT_OFF: Final = "a hunk that is cut off"
WITHOUT_MARKS: Final = "lines of a hunk without their marks (`+`, `-` or a blank)"
WITHOUT_CHANGE: Final = "a hunk that changes nothing"
ORPHANS: Final = "changed lines outside of any hunk"

SLACK: Final = 3
"""Lines by which the counts of a hunk may be wrong, or a tenth of it; where more are missing they were cut off."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """One block of a change. Each of `lines` begins with a blank, `+`, `-`, or a backslash for "no newline"."""

    old_start: int
    new_start: int
    section: str = ""
    lines: tuple[str, ...] = ()

    @property
    def old_count(self) -> int:
        """How many lines it takes from the old version."""
        return sum(line[0] in " -" for line in self.lines)

    @property
    def new_count(self) -> int:
        """How many lines it has in the new version."""
        return sum(line[0] in " +" for line in self.lines)

    @property
    def header(self) -> str:
        """The line that opens it."""
        section = f" {self.section}" if self.section else ""
        return f"@@ -{self.old_start},{self.old_count} +{self.new_start},{self.new_count} @@{section}"


class Numbered(NamedTuple):
    """A line of a hunk without its mark; `number` is of the new version, of the old one for a removed line."""

    mark: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a diff does to one file; `path` is the new one, the old one for a deleted file."""

    path: str
    old_path: str
    kind: Kind = "modified"
    hunks: tuple[Hunk, ...] = ()
    binary: bool = False

    @property
    def language(self) -> str:
        """What the file is written in, as far as its name says; empty when it does not."""
        return diff_languages.language(self.path)

    @property
    def size(self) -> int:
        """Lines that were added or removed."""
        return sum(line[0] in "+-" for hunk in self.hunks for line in hunk.lines)


@dataclass(frozen=True, slots=True)
class Diff:
    """A change of many files."""

    files: tuple[FileChange, ...] = ()

    @property
    def lines(self) -> int:
        """Lines that were added or removed."""
        return sum(change.size for change in self.files)


def lines_with_numbers(hunk: Hunk) -> Iterator[Numbered]:
    """Yields the lines of a hunk with their numbers."""
    old, new = hunk.old_start, hunk.new_start
    for line in hunk.lines:
        mark = line[0]
        if mark == "-":
            yield Numbered(mark, old, line[1:])
            old += 1
        elif mark == "+":
            yield Numbered(mark, new, line[1:])
            new += 1
        elif mark == " ":
            yield Numbered(mark, new, line[1:])
            old += 1
            new += 1


class Gap(NamedTuple):
    """Lines of a text, by their numbers, that belong to a change and could not be read, and what they look like."""

    first: int
    last: int
    form: str


class DiffReading(NamedTuple):
    """What could be read of a text, and what could not."""

    diff: Diff
    gaps: tuple[Gap, ...] = ()


def parse(text: str) -> Diff:
    """Returns the change that `text` describes, as far as it can be read."""
    return read(text).diff


def read(text: str) -> DiffReading:
    """Returns the change that `text` describes, and every part of it that cannot be read.

    Understands git's headers, renames, copies, new and deleted files, binary files, quoted names, plain `---`/`+++`
    diffs and combined ones, with colours or in a margin, among other words. Counts in the headers of hunks that do not
    fit are taken as they turn out, unless much is missing.
    """
    reader = _Reader(patch_forms.plain_lines(text))
    diff = Diff(tuple(reader.files()))
    return DiffReading(diff, tuple(_joined(sorted(reader.gaps))))


def _joined(gaps: Iterable[Gap]) -> list[Gap]:
    """Returns the gaps, those of one form that follow each other as one."""
    joint: list[Gap] = []
    for gap in gaps:
        if joint and joint[-1].form == gap.form and gap.first <= joint[-1].last + 1:
            joint[-1] = Gap(joint[-1].first, max(gap.last, joint[-1].last), gap.form)
        else:
            joint.append(gap)
    return joint


@dataclass(slots=True)
class _Draft:
    """A file as far as it was read; `first` is the line at which it began, `blobs` are its versions.

    Its names stand in git's line (`header`), in `---` and `+++` (`pair`), and without prefixes where it moved (`move`).
    """

    first: int = 0
    header: tuple[str, str] = ("", "")
    pair: tuple[str, str] = ("", "")
    move: tuple[str, str] = ("", "")
    kind: Kind = "modified"
    hunks: list[Hunk] = field(default_factory=list[Hunk])
    blobs: tuple[str, str] = ("", "")
    is_binary: bool = False

    def change(self) -> FileChange | None:
        """Returns the change, or None when nothing says of which file it is."""
        old, new = self._names()
        kind = self.kind
        if kind == "modified":
            kind = "new" if old == _NOTHING else "deleted" if new == _NOTHING else kind
        path = old if new in (_NOTHING, "") else new
        if path in (_NOTHING, ""):
            return None
        old_path = path if old in (_NOTHING, "") else old
        return FileChange(path, old_path, kind, tuple(self.hunks), self.is_binary and not self.hunks)

    def _names(self) -> tuple[str, str]:
        if any(self.move):
            return self.move
        old, new = self.pair if any(self.pair) else self.header
        if not self.header[0]:
            return _without_prefixes(old, new)
        # Two names of git's own line that are the same have no prefixes, whatever they begin with.
        return (old, new) if self.header[0] == self.header[1] else _without_prefixes(old, new, self.header)

    def is_of(self, pair: tuple[str, str]) -> bool:
        """Returns whether a pair of names may be the one that is still to come for the headers that were read."""
        if self.hunks or any(self.pair):
            return False
        names = {*self.header, *self.move, _NOTHING}
        return not any(self.header) or any(self.blobs) or all(name in names or name[2:] in names for name in pair)

    def lacks_lines(self) -> bool:
        """Returns whether it was said to have changed lines, and has none."""
        old, new = self.blobs
        empty = any(blob and name.startswith(blob) for blob in self.blobs for name in _EMPTY_BLOBS)
        has_lines = any(self.pair) or (old != new and not empty)
        return has_lines and not self.hunks and not self.is_binary


class _Reader:
    """Reads the lines of a diff, one file after the other; `gaps` are complete when all files were read."""

    def __init__(self, lines: list[str]) -> None:
        self.gaps: list[Gap] = []
        self._lines = lines
        self._at = 0
        self._draft: _Draft | None = None

    def files(self) -> Iterator[FileChange]:
        """Yields the files of the diff."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if self._begins(line):
                yield from self._finished()
                self._begin(line)
            elif self._draft is not None and self._takes_hunk(line, self._draft):
                continue
            elif form := patch_forms.foreign(self._lines, self._at):
                self._gap(self._at, form.end, form.name)
                self._at = form.end
            elif line.startswith("```") or line.rstrip() == "--" or _MAIL.match(line):
                yield from self._finished()
                self._pass_message(line)
            else:
                self._between(line)
                self._at += 1
        yield from self._finished()

    def _gap(self, first: int, end: int, form: str) -> None:
        self.gaps.append(Gap(first + 1, max(first + 1, end), form))

    def _finished(self) -> Iterator[FileChange]:
        draft, self._draft = self._draft, None
        change = draft.change() if draft else None
        if draft is not None and draft.lacks_lines():
            self._gap(draft.first, self._at, WITHOUT_LINES)
        if change is not None:
            yield change

    # Where files begin.

    def _next(self) -> str:
        return self._lines[self._at + 1] if self._at + 1 < len(self._lines) else ""

    def _begins(self, line: str) -> bool:
        if _FILE.match(line):
            return True
        pair = self._pair(line)
        return pair is not None and (self._draft is None or not self._draft.is_of(pair))

    def _pair(self, line: str) -> tuple[str, str] | None:
        """Returns the two names that a line, with the next one, gives of a file."""
        if line.startswith("--- ") and self._next().startswith("+++ "):
            return _path(line[4:]), _path(self._next()[4:])
        return _binary_names(line) if line.startswith("Binary files ") else None

    def _begin(self, line: str) -> None:
        draft = self._draft = _Draft(self._at)
        if line.startswith("diff --git "):
            draft.header = _both(line.removeprefix("diff --git ").rstrip("\r"))
        elif line.startswith(("diff --cc ", "diff --combined ")):
            path = _path(line.split(" ", 2)[2])
            draft.move = (path, path)
        elif not line.startswith("diff "):
            self._between(line)
        self._at += 1

    def _between(self, line: str) -> None:
        """Takes a line outside of any hunk: a header of a file that has begun, or something else."""
        draft = self._draft
        if draft is None:
            return
        pair = self._pair(line)
        if pair is not None and not draft.hunks:
            draft.pair, draft.is_binary = pair, not line.startswith("--- ")
            self._at += line.startswith("--- ")
        elif _ORPHAN.match(line):
            self._gap(self._at, self._at + 1, ORPHANS)
        elif not draft.hunks:
            _headed(line, draft)

    def _pass_message(self, line: str) -> None:
        """Goes behind a line that ends a file; of a mail behind its message too, which may speak of other changes."""
        self._at += 1
        while _MAIL.match(line) and self._at < len(self._lines):
            here = self._lines[self._at].rstrip("\r")
            if here == "---" or _FILE.match(here) or _MAIL.match(here):
                return
            self._at += 1

    # Hunks.

    def _takes_hunk(self, line: str, draft: _Draft) -> bool:
        """Reads a hunk of the file, if one begins here."""
        header = _HUNK.match(line) or _COMBINED.match(line)
        if header is None:
            return False
        first = self._at
        self._at += 1
        hunk, lacking = self._hunk(header) if header.re is _HUNK else self._combined(header)
        draft.hunks.append(hunk)
        self._check(first, hunk, lacking)
        return True

    def _hunk(self, header: re.Match[str]) -> tuple[Hunk, int]:
        """Returns a hunk, and how many lines it lacks by its header."""
        old, new = _count(header[2]), _count(header[4])
        body: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if old > 0 or new > 0:
                if not self._belongs(line):
                    break
                line = line if line[:1] in _BODY and line else f" {line}"
                old -= line[0] in " -"
                new -= line[0] in " +"
            elif not self._trails(line):
                break
            body.append(line)
            self._at += 1
        return Hunk(int(header[1]), int(header[3]), header[5].rstrip("\r"), tuple(body)), max(old, new, 0)

    def _combined(self, header: re.Match[str]) -> tuple[Hunk, int]:
        """Returns what a merge did as one hunk, and how many lines it lacks by its header."""
        sides = _SIDE.findall(header[1])
        columns, new = len(sides), _count(header[3])
        body: list[str] = []
        while self._at < len(self._lines) and (
            self._belongs(self._lines[self._at])
            if new > 0
            else self._lines[self._at][:1] in _BODY and self._lines[self._at]
        ):
            line = self._lines[self._at] or " " * columns
            marks = line[:columns]
            mark = "-" if "-" in marks else "+" if "+" in marks else " "
            body.append(line if line[0] == _NO_NEWLINE else mark + line[columns:])
            new -= mark != "-" and line[0] != _NO_NEWLINE
            self._at += 1
        return Hunk(int(sides[0][0]), int(header[2]), header[4].rstrip("\r"), tuple(body)), max(new, 0)

    def _belongs(self, line: str) -> bool:
        """Whether a line belongs to a hunk whose counts are not used up; an empty one is context without its blank."""
        if not line.rstrip("\r"):
            return self._at + 1 < len(self._lines)
        return line[0] in _BODY

    def _trails(self, line: str) -> bool:
        """Whether a line still belongs to a hunk whose counts are used up: counts that people write may be wrong."""
        if not line or line[0] not in _BODY:
            return False
        header = line.startswith("--- ") and self._next().startswith("+++ ")
        return not header and line.rstrip() != "--"

    def _check(self, first: int, hunk: Hunk, lacking: int) -> None:
        """Notes what of a hunk is not there or could not be read, and goes behind it."""
        end = self._at
        while lacking and end < len(self._lines) and not self._ends_hunk(end):
            end += 1
        rest = self._lines[self._at : end]
        changes = any(line[0] in "+-" for line in hunk.lines)
        if any(line[:1] in ("+", "-") for line in rest):
            self._gap(self._at, end, WITHOUT_MARKS)
            self._at = end
        elif not changes and lacking <= SLACK:
            words = any(map(patch_forms.is_word_diff, (*hunk.lines, *rest)))
            self._gap(first, self._at, patch_forms.WORD_DIFF if words else WITHOUT_CHANGE)
        elif lacking > max(SLACK, len(hunk.lines) // 10) and (rest or not self._goes_on(end)):
            self._gap(first, self._at, f"{CUT_OFF}: {len(hunk.lines)} of its lines are there, {lacking} are not")

    def _ends_hunk(self, at: int) -> bool:
        line = self._lines[at]
        return patch_forms.begins_file(self._lines, at) or line.startswith("@@") or _MAIL.match(line) is not None

    def _goes_on(self, at: int) -> bool:
        """Whether another hunk or file stands here, so that the counts were wrong and nothing was cut off."""
        return at < len(self._lines) and not self._lines[at].startswith("```") and self._ends_hunk(at)


def _headed(line: str, draft: _Draft) -> None:
    """Takes a line between the header of a file and its first hunk."""
    word, _, rest = line.rstrip("\r").partition(" ")
    if line.startswith("new file mode"):
        draft.kind = "new"
    elif line.startswith("deleted file mode"):
        draft.kind = "deleted"
    elif word in ("rename", "copy") and rest.startswith(("from ", "to ")):
        draft.kind = "renamed" if word == "rename" else "copied"
        side, _, path = rest.partition(" ")
        old, new = draft.move
        draft.move = (_path(path), new) if side == "from" else (old, _path(path))
    elif line.startswith("GIT binary patch"):
        draft.is_binary = True
    elif match := _BLOBS.match(line):
        draft.blobs = (match[1], match[2])


def _count(text: str | None) -> int:
    return int(text) if text else 1


def _binary_names(line: str) -> tuple[str, str] | None:
    """Returns the names in "Binary files … and … differ"; in doubt those that are the same on both sides."""
    text = line.rstrip("\r")
    if not text.endswith(" differ"):
        return None
    parts = text.removeprefix("Binary files ").removesuffix(" differ").split(" and ")
    pairs = [(" and ".join(parts[:at]), " and ".join(parts[at:])) for at in range(1, min(len(parts), 20))]
    pairs = [(_path(old), _path(new)) for old, new in pairs]
    alike = (pair for pair in pairs if _NOTHING in pair or pair[0].partition("/")[2] == pair[1].partition("/")[2])
    return next(alike, pairs[0]) if pairs else None


def _both(text: str) -> tuple[str, str]:
    """Returns the two names of a `diff --git` line; without quotes they are told apart by being the same name."""
    if text.startswith('"') or text.endswith('"'):
        parts = re.findall(r'"(?:[^"\\]|\\.)*"|\S+', text)
        return (_path(parts[0]), _path(parts[-1])) if len(parts) > 1 else (text, text)
    middle = len(text) // 2
    if text[middle : middle + 1] == " ":
        old, new = text[:middle], text[middle + 1 :]
        if old == new or old.split("/", 1)[-1] == new.split("/", 1)[-1]:
            return old, new
    old, _, new = text.partition(" b/")
    return (old, f"b/{new}") if new else (text, text) if " " not in text else _halves(text)


def _halves(text: str) -> tuple[str, str]:
    old, _, new = text.partition(" ")
    return old, new


def _path(text: str) -> str:
    """Returns a name without the quotes, the time and the carriage return that may surround it."""
    text = text.rstrip("\r")
    if not text.startswith('"'):
        return text.split("\t", 1)[0]
    end = text.rfind('"')
    raw = bytearray()
    at, inner = 0, text[1:end]
    for escape in _ESCAPE.finditer(inner):
        raw += inner[at : escape.start()].encode("utf-8", "surrogatepass")
        raw.append(_ESCAPED[escape[1]] if escape[1] in _ESCAPED else int(escape[1], 8) & 0xFF)
        at = escape.end()
    raw += inner[at:].encode("utf-8", "surrogatepass")
    return raw.decode("utf-8", "replace")


def _without_prefixes(old: str, new: str, header: tuple[str, str] = ("", "")) -> tuple[str, str]:
    """Returns both names without git's `a/` and `b/`, in whatever letters, if they begin with two different ones.

    In git's own line both names are the same behind any prefixes that somebody has set.
    """
    names = [name for name in (old, new) if name not in (_NOTHING, "")]
    if all(name.startswith(_PREFIXES) for name in names):
        return (old, new) if len(names) == 2 and old[:2] == new[:2] else (_behind(old, 2), _behind(new, 2))
    end = _common_end(*header)
    old, new = (
        _behind(name, len(name) - len(end)) if end and name.endswith(f"/{end}") else name for name in (old, new)
    )
    return old, new


def _behind(name: str, width: int) -> str:
    return name if name in (_NOTHING, "") else name[width:]


def _common_end(old: str, new: str) -> str:
    """Returns the parts of two paths that are the same from the end on, if there are others before both."""
    pairs = zip(reversed(old.split("/")), reversed(new.split("/")), strict=False)
    return "/".join(reversed([part for part, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)]))


def render(change: FileChange, hunks: Iterable[Hunk] | None = None) -> str:
    """Returns one file's part of a diff, with these hunks or all of them; `parse` reads it back."""
    body = change.hunks if hunks is None else tuple(hunks)
    old, new = _quoted(f"a/{change.old_path}"), _quoted(f"b/{change.path}")
    lines = [f"diff --git {old} {new}"]
    if change.kind in ("new", "deleted"):
        lines.append(f"{change.kind} file mode 100644")
    if change.kind in ("renamed", "copied"):
        word = change.kind.removesuffix("d") if change.kind == "renamed" else "copy"
        lines += [f"{word} from {_quoted(change.old_path)}", f"{word} to {_quoted(change.path)}"]
    if change.binary:
        lines.append(f"Binary files {old} and {new} differ")
    if body:
        lines.append(f"--- {_NOTHING if change.kind == 'new' else old}")
        lines.append(f"+++ {_NOTHING if change.kind == 'deleted' else new}")
    for hunk in body:
        lines.append(hunk.header)
        lines += hunk.lines
    return "\n".join(lines)


def _quoted(path: str) -> str:
    if all(char.isprintable() and char not in '"\\' for char in path):
        return path
    escapes = "".join(_shown(char) for char in path)
    return f'"{escapes}"'


def _shown(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogatepass"))
