"""What one state of a file is, as a short text that tells it from another, and what kind of change lies between two.

A state is empty where there is no file, `outside`, `special`, `unread`, `link TARGET STATE` for a link and the state
that it leads to, `large SIZE TIME`, or `CONTENT ~WORDS`; ` x` at the end means that it is executable. CONTENT and
WORDS are digests, the second of the text without the blanks that mean nothing, empty where nothing is left. Files of
tests have ` #LINES/SKIPS` behind it, how much they check, ` #sCOUNT/SKIPS` where that is counted from Python's syntax.
States of earlier builds have no WORDS, or nothing behind them.

How much a file of tests checks is a count and no understanding: lines that define a test or state what has to hold, and
marks that keep tests from running. It tells tests that were taken out, commented out or skipped, not those whose
expectations were bent. Of Python, tests and assertions that can run are counted (`counting.python_checks`).
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from dispatch_mcp.text import languages
from dispatch_mcp.text.counting import python_checks

OUTSIDE: Final = "outside"
SPECIAL: Final = "special"
UNREAD: Final = "unread"
"""Of a file that was too much to look at: it is the same as no state, not even as another unread one."""
MOST_READ: Final = 4 << 20
"""Bytes up to which the words of a file are told from its blanks."""

_MEANT_EMPTY: Final = frozenset({"__init__.py", "__init__.pyi", "py.typed", ".gitkeep", ".keep", ".nojekyll"})
_INDENTED: Final = frozenset(
    {"py", "pyi", "pyx", "yml", "yaml", "md", "rst", "mk", "coffee", "pug", "haml", "sass", "slim", "nim", "hs", "fs"}
)
"""Extensions of files in which the blanks before a line mean something."""

_INVISIBLE = re.compile("[\u200b\u2060\ufeff]")
_BLANKS = re.compile(r"\s+")
# Tests of pytest, unittest, JUnit, Go, Rust, RSpec, Jest and their kin, and what they say has to hold.
_CHECKS = (
    *(r"\bdef test", r"\bassert", r"\bexpect(?:_|\b)", r"\b(?:it|test|specify)\b ?[(\"']", r"@Test\b", r"\brequire\."),
    *(r"#\[\w*:*test\b", r"\bfunc (?:Test|Fuzz)", r"\bt\.(?:Error|Fatal|Fail)", r"\bshould\b", r"\braises\b"),
)
_CHECK = re.compile("|".join(_CHECKS))
_SKIPS = (
    *(r"\b(?:skip|skipif|skipunless|skiptest|importorskip|xfail|xit|xtest|xdescribe)\b", r"\.(?:only|todo)\b"),
    *(r"#\[ignore", r"@(?:disabled|ignore)\b", r"\b(?:collect_ignore|__test__)\b"),
)
_SKIP = re.compile("|".join(_SKIPS), re.IGNORECASE)
_COMMENTS = ("//", "# ", "#\t", "--", "/*", "* ", "<!--", ";")


class Kind(enum.StrEnum):
    """What became of a file, as a verb before its name. Only `EDITED` and `FOLDER` show work by themselves.

    `FOLDER` is of a declared folder that was not there, which no state of a file tells.
    """

    EDITED = "changed"
    EMPTY = "created empty"
    EMPTIED = "emptied"
    DELETED = "deleted"
    BLANKS = "changed only blanks or line ends of"
    MODE = "changed only the mode of"
    TIME = "changed no more than the time of"
    FOLDER = "made the folder"
    LINK = "made a link of"
    NO_FILE = "put what is no file in place of"
    NOT_COMPARED = "changed, too many to compare:"


class Checks(NamedTuple):
    """How many lines of a file check something, and how many keep tests from running.

    `of_syntax` says that not lines are counted, but tests and assertions that can run.
    """

    lines: int = 0
    skips: int = 0
    of_syntax: bool = False


NO_CHECKS: Final = Checks()


class _Parts(NamedTuple):
    """A state in its parts; `words` is None where it has none."""

    content: str
    words: str | None
    is_executable: bool
    checks: str = ""


def of_content(data: bytes, path: str, *, is_executable: bool = False) -> str:
    """Returns the state of a regular file."""
    checks = _counted(data, path)
    end = "" if checks is None else f" #{'s' * checks.of_syntax}{checks.lines}/{checks.skips}"
    return f"{_short(data)} ~{_words(data, path)}{end}{' x' * is_executable}"


def of_large(size: int, modified_ns: int, *, is_executable: bool = False) -> str:
    """Returns the state of a file that is too large to read."""
    return f"large {size} {modified_ns}{' x' * is_executable}"


def of_link(target: bytes, state_behind: str) -> str:
    """Returns the state of a symbolic link; `state_behind` is that of the file it leads to, or empty."""
    return f"link {_short(target)} {state_behind}".rstrip()


def same(before: str, now: str) -> bool:
    """Returns whether two states are of the same content and mode, whichever build noted them; False for `UNREAD`."""
    if UNREAD in (before, now):
        return False
    if before == now:
        return True
    return _parts(before)._replace(words=None, checks="") == _parts(now)._replace(words=None, checks="")


def differ(before: str, now: str) -> bool:
    """Returns whether two states are known to be of another content or mode; False where one is `UNREAD`."""
    return UNREAD not in (before, now) and not same(before, now)


def checks(state: str) -> Checks:
    """Returns how much a file in a state checks; nothing where it is no file of tests, or nobody has counted."""
    text = _parts(state).checks
    lines, _, skips = text.removeprefix("s").partition("/")
    is_count = lines.isdecimal() and skips.isdecimal()
    return Checks(int(lines), int(skips), text.startswith("s")) if is_count else NO_CHECKS


def are_fewer(changes: Iterable[tuple[Checks, Checks]]) -> bool:
    """Returns whether files, each before and after its change, check less than before, all of them together."""
    pairs = list(changes)
    lines = sum(after.lines - before.lines for before, after in pairs)
    return lines < 0 or sum(after.skips - before.skips for before, after in pairs) > 0


def is_counted(state: str) -> bool:
    """Returns whether a state says how much its file checks, or that there is no file."""
    return not state or bool(_parts(state).checks)


def are_alike(before: str, now: str) -> bool:
    """Returns whether how much a file checks was counted in one way in two states."""
    is_file = bool(before) and bool(now)
    return is_counted(before) and is_counted(now) and (not is_file or checks(before).of_syntax == checks(now).of_syntax)


def kind(before: str, now: str, path: str) -> Kind:
    """Returns what lies between two states that are not the same; what is no file in both, a submodule, was edited."""
    if not now:
        return Kind.DELETED if before else Kind.EDITED
    if before.startswith("link ") and now.startswith("link "):
        (_, target, *old), (_, new_target, *new) = before.split(" ", 2), now.split(" ", 2)
        return kind("".join(old), "".join(new), path) if target == new_target else Kind.EDITED
    if now == OUTSIDE or now.startswith("link "):
        return Kind.LINK
    if now == SPECIAL:
        return Kind.NO_FILE
    return _kind_of_file(_parts(before), _parts(now), path)


def _kind_of_file(before: _Parts, now: _Parts, path: str) -> Kind:
    if not before.content:
        is_hollow = now.words == "" and path.rpartition("/")[2] not in _MEANT_EMPTY
        return Kind.EMPTY if is_hollow else Kind.EDITED
    if before.content == now.content:
        return Kind.MODE
    if before.words is None or now.words is None:
        return _kind_of_unread(before, now)
    if before.words == now.words:
        return Kind.BLANKS
    return Kind.EDITED if now.words else Kind.EMPTIED


def _kind_of_unread(before: _Parts, now: _Parts) -> Kind:
    """Returns the kind where one of the two was too large to read, or was noted by an earlier build."""
    if now.words == "":
        return Kind.EMPTIED
    sizes = [content.split(" ")[:2] for content in (before.content, now.content)]
    return Kind.TIME if sizes[0] == sizes[1] and sizes[0][0] == "large" else Kind.EDITED


def _parts(state: str) -> _Parts:
    text = state.removesuffix(" x")
    content, mark, rest = text.partition(" ~")
    words, _, checks = rest.partition(" #")
    return _Parts(content, words if mark else None, text != state, checks)


def _words(data: bytes, path: str) -> str:
    """Returns a digest of the text without blank lines, line ends and blanks that mean nothing; of other data all."""
    if len(data) > MOST_READ or b"\0" in data:
        return _short(data)[:16]
    keeps_indent = languages.extension(path) in _INDENTED or path.rpartition("/")[2].lower().endswith("makefile")
    text = _INVISIBLE.sub("", data.decode("utf-8", "surrogateescape"))
    lines = [line.rstrip() if keeps_indent else line.strip() for line in text.splitlines()]
    plain = "\n".join(_narrow(line) for line in lines if line.strip())
    return _short(plain.encode("utf-8", "surrogateescape"))[:16] if plain else ""


def _counted(data: bytes, path: str) -> Checks | None:
    """Returns how much a file checks; None for one that holds no tests, or too much to read."""
    if languages.role(path) != "test" or len(data) > MOST_READ or b"\0" in data:
        return None
    text = data.decode("utf-8", "replace")
    code = [line for line in map(str.strip, text.splitlines()) if not line.startswith(_COMMENTS)]
    skips = sum(bool(_SKIP.search(line)) for line in code)
    count = python_checks.count(text) if languages.language(path) == "python" else None
    if count is not None:
        return Checks(count, skips, of_syntax=True)
    return Checks(sum(bool(_CHECK.search(line)) for line in code), skips)


def _narrow(line: str) -> str:
    """Returns a line with one blank for several within it; those before it stay."""
    text = line.lstrip()
    return line[: len(line) - len(text)] + _BLANKS.sub(" ", text)


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
