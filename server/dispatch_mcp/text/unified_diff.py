"""Unified diffs as git writes them, read into files and hunks and written back."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["modified", "new", "deleted", "renamed", "copied"]

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")
_COMBINED = re.compile(r"@@@+ ((?:-\d+(?:,\d+)? )+)\+(\d+)(?:,(\d+))? @@@+ ?(.*)")
_ESCAPE = re.compile(r'\\([abtnvfr"\\]|[0-7]{1,3})')
_ESCAPED = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_OLD_PREFIXES = ("a/", "c/", "i/", "o/", "1/")
_NEW_PREFIXES = ("b/", "w/", "i/", "c/", "2/")
_NOTHING = "/dev/null"
_NO_NEWLINE = "\\"
_BODY = frozenset("+- \\")

LANGUAGES = {
    extension: language
    for language, extensions in {
        "python": "py pyi pyw pyx",
        "javascript": "js jsx mjs cjs vue svelte",
        "typescript": "ts tsx mts cts",
        "go": "go",
        "java": "java",
        "kotlin": "kt kts",
        "scala": "scala sc",
        "groovy": "groovy gradle",
        "csharp": "cs cshtml razor",
        "fsharp": "fs fsx",
        "ruby": "rb rake erb gemspec",
        "php": "php phtml",
        "rust": "rs",
        "c": "c h",
        "cpp": "cc cpp cxx hpp hh hxx",
        "swift": "swift",
        "objective-c": "m mm",
        "dart": "dart",
        "elixir": "ex exs",
        "erlang": "erl",
        "haskell": "hs",
        "lua": "lua",
        "perl": "pl pm",
        "r": "r",
        "clojure": "clj cljs",
        "shell": "sh bash zsh ksh ps1 bat",
        "sql": "sql",
        "html": "html htm j2 jinja jinja2 hbs ejs twig mustache",
        "css": "css scss sass less",
        "terraform": "tf tfvars hcl",
        "protobuf": "proto",
        "graphql": "graphql gql",
        "yaml": "yml yaml",
        "json": "json jsonc json5",
        "toml": "toml",
        "xml": "xml csproj props pom",
        "ini": "ini cfg conf properties env",
        "text": "md rst txt adoc mdx",
    }.items()
    for extension in extensions.split()
}
NAMED = {
    "dockerfile": "docker",
    "containerfile": "docker",
    "makefile": "make",
    "jenkinsfile": "groovy",
    "gemfile": "ruby",
    "rakefile": "ruby",
    "vagrantfile": "ruby",
    "podfile": "ruby",
}
NOT_CODE = frozenset({"yaml", "json", "toml", "xml", "ini", "text", "css", ""})
"""Languages without behaviour of their own."""


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
        return language(self.path)

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


@functools.lru_cache(maxsize=4096)
def language(path: str) -> str:
    """Returns the language that a file name stands for, or an empty string."""
    name = path.rpartition("/")[2].lower()
    stem, _, extension = name.rpartition(".")
    if name.startswith("dockerfile") or extension == "dockerfile":
        return "docker"
    return NAMED.get(name) or (LANGUAGES.get(extension, "") if stem or name.startswith(".env") else "")


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


def parse(text: str) -> Diff:
    """Returns the change that `text` describes; whatever is no diff in it is passed over.

    Understands git's headers, renames, copies, new and deleted files, binary files, quoted names, plain `---`/`+++`
    diffs and combined ones. Counts in hunk headers that do not fit are taken as they turn out.
    """
    return Diff(tuple(_Reader(text.split("\n")).files()))


@dataclass(slots=True)
class _Draft:
    old: str = ""
    new: str = ""
    kind: Kind = "modified"
    hunks: list[Hunk] = field(default_factory=list[Hunk])
    binary: bool = False
    named: bool = False

    def done(self) -> FileChange | None:
        old, new = _without_prefixes(self.old, self.new) if not self.named else (self.old, self.new)
        kind = self.kind
        if kind == "modified":
            kind = "new" if old == _NOTHING else "deleted" if new == _NOTHING else kind
        path = old if new in (_NOTHING, "") else new
        if path in (_NOTHING, ""):
            return None
        return FileChange(path, path if old in (_NOTHING, "") else old, kind, tuple(self.hunks), self.binary)


class _Reader:
    """Reads the lines of a diff, one file after the other."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0
        self._draft: _Draft | None = None

    def files(self) -> Iterator[FileChange]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if self._begins(line):
                yield from self._finished()
                self._draft = _begun(line)
                self._at += line.startswith("diff ")
                if not line.startswith("diff "):
                    self._names()
            elif self._draft is not None:
                self._inside(line, self._draft)
            else:
                self._at += 1
        yield from self._finished()

    def _finished(self) -> Iterator[FileChange]:
        change = self._draft.done() if self._draft else None
        if change is not None:
            yield change

    def _begins(self, line: str) -> bool:
        if line.startswith("diff --"):
            return True
        fresh = self._draft is None or bool(self._draft.hunks)
        return fresh and line.startswith("--- ") and self._next().startswith("+++ ")

    def _next(self) -> str:
        return self._lines[self._at + 1] if self._at + 1 < len(self._lines) else ""

    def _names(self) -> None:
        assert self._draft is not None
        if not self._draft.named:
            self._draft.old = _path(self._lines[self._at][4:])
            self._draft.new = _path(self._next()[4:])
        self._at += 2

    def _inside(self, line: str, draft: _Draft) -> None:
        if line.startswith("--- ") and self._next().startswith("+++ "):
            self._names()
        elif line.startswith("@@ ") and (header := _HUNK.match(line)):
            self._at += 1
            draft.hunks.append(self._hunk(header))
        elif line.startswith("@@@") and (heading := _COMBINED.match(line)):
            self._at += 1
            draft.hunks.append(self._combined(heading))
        else:
            _headed(line, draft)
            self._at += 1

    def _hunk(self, header: re.Match[str]) -> Hunk:
        old, new = _count(header[2]), _count(header[4])
        body: list[str] = []
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if old > 0 or new > 0:
                if not self._belongs(line):
                    break
                line = line or " "
                old -= line[0] in " -"
                new -= line[0] in " +"
            elif not self._trails(line):
                break
            body.append(line)
            self._at += 1
        return Hunk(int(header[1]), int(header[3]), header[5].rstrip("\r"), tuple(body))

    def _belongs(self, line: str) -> bool:
        """Whether a line belongs to a hunk whose counts are not used up; an empty one is context without its blank."""
        if not line:
            return self._at + 1 < len(self._lines)
        return line[0] in _BODY

    def _trails(self, line: str) -> bool:
        """Whether a line still belongs to a hunk whose counts are used up: counts that people write may be wrong."""
        if not line or line[0] not in _BODY:
            return False
        header = line.startswith("--- ") and self._next().startswith("+++ ")
        return not header and line != "-- "

    def _combined(self, header: re.Match[str]) -> Hunk:
        columns = header[1].count("-")
        body: list[str] = []
        while self._at < len(self._lines) and self._lines[self._at][:1] in _BODY and self._lines[self._at]:
            line = self._lines[self._at]
            marks = line[:columns]
            mark = "-" if "-" in marks else "+" if "+" in marks else " "
            body.append(line if line[0] == _NO_NEWLINE else mark + line[columns:])
            self._at += 1
        start = re.match(r"-(\d+)", header[1])
        return Hunk(int(start[1]) if start else 1, int(header[2]), header[4].rstrip("\r"), tuple(body))


def _begun(line: str) -> _Draft:
    draft = _Draft()
    if line.startswith("diff --git "):
        draft.old, draft.new = _both(line.removeprefix("diff --git ").rstrip("\r"))
    elif line.startswith(("diff --cc ", "diff --combined ")):
        draft.old = draft.new = _path(line.split(" ", 2)[2])
    return draft


def _headed(line: str, draft: _Draft) -> None:
    """Takes a line between the header of a file and its first hunk."""
    word, _, rest = line.rstrip("\r").partition(" ")
    if line.startswith("new file mode"):
        draft.kind = "new"
    elif line.startswith("deleted file mode"):
        draft.kind = "deleted"
    elif word in ("rename", "copy") and rest.startswith(("from ", "to ")):
        draft.kind, draft.named = "renamed" if word == "rename" else "copied", True
        side, _, path = rest.partition(" ")
        setattr(draft, "old" if side == "from" else "new", _path(path))
    elif line.startswith("GIT binary patch") or (line.startswith("Binary files ") and "differ" in line):
        draft.binary = True


def _count(text: str | None) -> int:
    return 1 if text is None else int(text)


def _both(text: str) -> tuple[str, str]:
    """Returns the two names of a `diff --git` line; without quotes they are told apart by being the same name."""
    if text.startswith('"') or text.endswith('"'):
        parts = re.findall(r'"(?:[^"\\]|\\.)*"|\S+', text)
        return (_path(parts[0]), _path(parts[-1])) if len(parts) > 1 else (text, text)
    middle = len(text) // 2
    if text[middle : middle + 1] == " " and text[:middle].split("/", 1)[-1] == text[middle + 1 :].split("/", 1)[-1]:
        return text[:middle], text[middle + 1 :]
    old, _, new = text.partition(" b/")
    return old, f"b/{new}" if new else old


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


def _without_prefixes(old: str, new: str) -> tuple[str, str]:
    """Returns both names without git's `a/` and `b/`, if that is what they begin with."""
    prefixed_old = old.startswith(_OLD_PREFIXES) or old in (_NOTHING, "")
    prefixed_new = new.startswith(_NEW_PREFIXES) or new in (_NOTHING, "")
    if not (prefixed_old and prefixed_new) or (old[:2] == new[:2] and old[:1] not in ("i", "c")):
        return old, new
    return (old if old in (_NOTHING, "") else old[2:]), (new if new in (_NOTHING, "") else new[2:])


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
