"""What `.gitignore` files leave out, for folders that git itself is not asked about (rules: gitignore's manual)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

# [a-c], [!a-c], [^a-c], []a] with a bracket as its first member, [[:alpha:]], [\\]] with what is escaped
_CLASS = re.compile(r"\[(?P<but>[!^])?(?P<members>\]?(?:\[:\w+:\]|\\.|[^\]\\])*+)\]", re.DOTALL)
_MEMBER = re.compile(r"\[:(?P<named>\w+):\]|(?P<least>\\.|.)-(?P<most>\\.|.)|\\.|.", re.DOTALL)
_NAMED_CLASSES = {
    "alpha": "a-zA-Z",
    "digit": "0-9",
    "alnum": "a-zA-Z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "xdigit": "0-9a-fA-F",
    "space": r" \t\n\r\f\v",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
}
_NOTHING = "(?!)"
"""A class that is not closed matches no path."""


class Rule(NamedTuple):
    """One line: `path` it matches below its folder, whether it brings back (`!`), and whether only folders count.

    `by_name` says that the last name of a path decides.
    """

    pattern: re.Pattern[str]
    brings_back: bool
    folders_only: bool
    by_name: bool


@dataclass(frozen=True, slots=True, eq=False)
class IgnoreFile:
    """One `.gitignore`: its rules in their order, and patterns of all names and of all paths that any of them concerns.

    Most files are concerned by none, and the names of a workspace are mostly the same at the next look.
    """

    rules: tuple[Rule, ...]
    names: re.Pattern[str] | None
    paths: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Ignored:
    """The rules of the `.gitignore` files from the root down to one folder, each with that file's folder."""

    files: tuple[tuple[str, IgnoreFile], ...] = ()

    def below(self, folder: str, text: str) -> Ignored:
        """Returns these rules with those of the `.gitignore` in `folder` behind them."""
        return Ignored((*self.files, (folder, parse(text))))

    def holds(self, path: str, *, folder: bool) -> bool:
        """Returns whether a path relative to the root is left out; the last rule that matches decides."""
        if not self.files:
            return False
        name = path.rpartition("/")[2]
        for base, file in reversed(self.files):
            if _concerns(file, name) or (file.paths and file.paths.fullmatch(path, len(base) + 1 if base else 0)):
                verdict = _verdict(base, file.rules, path, folder=folder)
                if verdict is not None:
                    return verdict
        return False


def _verdict(base: str, rules: tuple[Rule, ...], path: str, *, folder: bool) -> bool | None:
    """Returns whether the rules in a folder leave a path out; None if they do not say."""
    if base and not path.startswith(f"{base}/"):
        return None
    for rule in reversed(rules):
        if not (rule.folders_only and not folder) and rule.pattern.fullmatch(path[len(base) + 1 :] if base else path):
            return not rule.brings_back
    return None


@lru_cache(maxsize=65536)
def _concerns(file: IgnoreFile, name: str) -> bool:
    return file.names is not None and file.names.fullmatch(name) is not None


@lru_cache(maxsize=256)
def parse(text: str) -> IgnoreFile:
    """Returns the rules of one `.gitignore`."""
    rules = tuple(rule for line in text.splitlines() if (rule := _rule(line)) is not None)
    names = [rule.pattern.pattern.removeprefix(_ANYWHERE) for rule in rules if rule.by_name]
    return IgnoreFile(rules, _any(names), _any(rule.pattern.pattern for rule in rules if not rule.by_name))


_ANYWHERE = "(?:.*/)?"


def _any(patterns: Iterable[str]) -> re.Pattern[str] | None:
    expression = "|".join(f"(?:{pattern})" for pattern in patterns)
    return re.compile(expression, re.DOTALL) if expression else None


def _rule(line: str) -> Rule | None:
    line = line.rstrip("\r\n")
    text = line.rstrip(" ")
    if text.endswith("\\") and text != line:
        text += " "
    if not text or text.startswith("#"):
        return None
    brings_back = text.startswith("!")
    body = text[1:] if brings_back else text
    folders_only = body.endswith("/")
    body = body.rstrip("/")
    if not body:
        return None
    has_folder = "/" in body
    try:
        glob = body.removeprefix("/")
        # Git compares the plain beginning of a path by itself and matches only the rest, so that two stars behind it
        # count as the beginning: `a**/b` ignores `ab/b` and `a/b/b`.
        start = next((at for at, sign in enumerate(glob) if sign in "*?[\\"), 0) if has_folder else 0
        pattern = re.compile(("" if has_folder else _ANYWHERE) + _regex(glob, start), re.DOTALL)
    except re.error:
        return None
    return Rule(pattern, brings_back, folders_only, not has_folder)


def _regex(glob: str, start: int) -> str:
    expression, at = "", 0
    while at < len(glob):
        piece, length = _piece(glob, at, start)
        expression, at = expression + piece, at + length
    return expression


def _piece(glob: str, at: int, start: int) -> tuple[str, int]:
    """Returns the expression for what stands at a place of a glob, and how many characters that was.

    `start` is where its first wildcard stands, if what is before is compared by itself.
    """
    rest = glob[at:]
    stars = len(rest) - len(rest.lstrip("*"))
    if stars > 1 and (at in {0, start} or glob[at - 1] == "/") and rest[stars : stars + 1] in {"", "/"}:
        return ("(?:.*/)?", stars + 1) if rest[stars:] else (".*", stars)
    if stars:
        return "[^/]*", stars
    if rest[0] == "[":
        match = _CLASS.match(rest)
        return (_class(match), match.end()) if match else (_NOTHING, len(rest))
    if rest[0] == "\\" and len(rest) > 1:
        return re.escape(rest[1]), 2
    return ("[^/]" if rest[0] == "?" else re.escape(rest[0])), 1


def _class(match: re.Match[str]) -> str:
    """Returns the expression for a class such as `[!a-c]`, which stands for one character but never for a slash."""
    members = (_member(piece) for piece in _MEMBER.finditer(match["members"]))
    return f"(?!/)[{'^' if match['but'] else ''}{''.join(members)}]"


def _member(piece: re.Match[str]) -> str:
    if piece["named"]:
        return _NAMED_CLASSES.get(piece["named"], "")
    if piece["least"]:
        # Git counts the first letter of a range by itself as well: a range that runs backwards is that letter alone.
        least, most = piece["least"][-1], piece["most"][-1]
        return f"{re.escape(least)}-{re.escape(most)}" if least <= most else re.escape(least)
    return _literal(piece[0])


def _literal(member: str) -> str:
    return re.escape(member[-1])
