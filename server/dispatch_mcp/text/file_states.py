"""What one state of a file is, as a short text that tells it from another, and what kind of change lies between two.

A state is empty where there is no file, `outside`, `special`, `link TARGET STATE` for a link and the state that it
leads to, `large SIZE TIME`, or `CONTENT ~WORDS`; ` x` at the end means that it is executable. CONTENT and WORDS are
digests, the second of the text without the blanks that mean nothing, empty where nothing is left. States of earlier
builds have no WORDS.
"""

from __future__ import annotations

import enum
import hashlib
import re
from typing import Final, NamedTuple

from dispatch_mcp.text import languages

OUTSIDE: Final = "outside"
SPECIAL: Final = "special"
MOST_READ: Final = 4 << 20
"""Bytes up to which the words of a file are told from its blanks."""

_MEANT_EMPTY: Final = frozenset({"__init__.py", "__init__.pyi", "py.typed", ".gitkeep", ".keep", ".nojekyll"})
_INDENTED: Final = frozenset(
    {"py", "pyi", "pyx", "yml", "yaml", "md", "rst", "mk", "coffee", "pug", "haml", "sass", "slim", "nim", "hs", "fs"}
)
"""Extensions of files in which the blanks before a line mean something."""

_INVISIBLE = re.compile("[\u200b\u2060\ufeff]")
_BLANKS = re.compile(r"\s+")


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


class _Parts(NamedTuple):
    """A state in its parts; `words` is None where it has none."""

    content: str
    words: str | None
    is_executable: bool


def of_content(data: bytes, path: str, *, is_executable: bool = False) -> str:
    """Returns the state of a regular file."""
    return f"{_short(data)} ~{_words(data, path)}{' x' * is_executable}"


def of_large(size: int, modified_ns: int, *, is_executable: bool = False) -> str:
    """Returns the state of a file that is too large to read."""
    return f"large {size} {modified_ns}{' x' * is_executable}"


def of_link(target: bytes, state_behind: str) -> str:
    """Returns the state of a symbolic link; `state_behind` is that of the file it leads to, or empty."""
    return f"link {_short(target)} {state_behind}".rstrip()


def same(before: str, now: str) -> bool:
    """Returns whether two states are of the same content and mode, whichever build noted them."""
    return _parts(before)._replace(words=None) == _parts(now)._replace(words=None)


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
    content, mark, words = text.partition(" ~")
    return _Parts(content, words if mark else None, text != state)


def _words(data: bytes, path: str) -> str:
    """Returns a digest of the text without blank lines, line ends and blanks that mean nothing; of other data all."""
    if len(data) > MOST_READ or b"\0" in data:
        return _short(data)[:16]
    keeps_indent = languages.extension(path) in _INDENTED or path.rpartition("/")[2].lower().endswith("makefile")
    text = _INVISIBLE.sub("", data.decode("utf-8", "surrogateescape"))
    lines = [line.rstrip() if keeps_indent else line.strip() for line in text.splitlines()]
    plain = "\n".join(_narrow(line) for line in lines if line.strip())
    return _short(plain.encode("utf-8", "surrogateescape"))[:16] if plain else ""


def _narrow(line: str) -> str:
    """Returns a line with one blank for several within it; those before it stay."""
    text = line.lstrip()
    return line[: len(line) - len(text)] + _BLANKS.sub(" ", text)


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
