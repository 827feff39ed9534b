"""What `.gitignore` files leave out, for folders that git itself is not asked about (rules: gitignore's manual)."""

from __future__ import annotations

import re
from dataclasses import dataclass
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
    """One line: `path` it matches below its folder, whether it brings back (`!`), and whether only folders count."""

    pattern: re.Pattern[str]
    brings_back: bool
    folders_only: bool


@dataclass(frozen=True, slots=True)
class Ignored:
    """The rules of the `.gitignore` files from the root down to one folder, each with that file's folder."""

    rules: tuple[tuple[str, Rule], ...] = ()

    def below(self, folder: str, text: str) -> Ignored:
        """Returns these rules with those of the `.gitignore` in `folder` behind them."""
        return Ignored((*self.rules, *((folder, rule) for rule in parse(text))))

    def holds(self, path: str, *, folder: bool) -> bool:
        """Returns whether a path relative to the root is left out; the last rule that matches decides."""
        for base, rule in reversed(self.rules):
            if (rule.folders_only and not folder) or (base and not path.startswith(f"{base}/")):
                continue
            if rule.pattern.fullmatch(path[len(base) + 1 :] if base else path):
                return not rule.brings_back
        return False


def parse(text: str) -> list[Rule]:
    """Returns the rules of one `.gitignore`, in its order."""
    return [rule for line in text.splitlines() if (rule := _rule(line)) is not None]


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
        pattern = re.compile(("" if has_folder else "(?:.*/)?") + _regex(glob, start), re.DOTALL)
    except re.error:
        return None
    return Rule(pattern, brings_back, folders_only)


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
