"""What `.gitignore` files leave out, for folders that git itself is not asked about (rules: gitignore's manual)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple


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
            if rule.folders_only and not folder:
                continue
            if rule.pattern.fullmatch(path[len(base) + 1 :] if base else path):
                return not rule.brings_back
        return False


def parse(text: str) -> list[Rule]:
    """Returns the rules of one `.gitignore`, in its order."""
    return [rule for line in text.splitlines() if (rule := _rule(line)) is not None]


def _rule(line: str) -> Rule | None:
    line = line.rstrip("\r\n")
    stripped = line.rstrip(" ")
    if stripped.endswith("\\") and stripped != line:
        stripped += " "
    if not stripped or stripped.startswith("#"):
        return None
    brings_back = stripped.startswith("!")
    body = stripped[1:] if brings_back else stripped
    folders_only = body.endswith("/")
    body = body.rstrip("/")
    if not body:
        return None
    anchored = "/" in body
    try:
        pattern = re.compile(("" if anchored else "(?:.*/)?") + _regex(body.removeprefix("/")), re.DOTALL)
    except re.error:
        return None
    return Rule(pattern, brings_back, folders_only)


def _regex(glob: str) -> str:
    made, at = "", 0
    while at < len(glob):
        piece, used = _piece(glob, at)
        made, at = made + piece, at + used
    return made


def _piece(glob: str, at: int) -> tuple[str, int]:
    """Returns the expression for what stands at a place of a glob, and how many characters that was."""
    rest = glob[at:]
    starts = at == 0 or glob[at - 1] == "/"
    if rest.startswith("**/") and starts:
        return "(?:.*/)?", 3
    if rest.startswith("*"):
        return (".+", 2) if rest == "**" and starts else ("[^/]*", len(rest) - len(rest.lstrip("*")))
    if rest[0] == "[" and (close := rest.find("]", 3 if rest[1:2] in {"!", "^"} else 2)) > 0:
        return _class(rest[1:close]), close + 1
    if rest[0] == "\\" and len(rest) > 1:
        return re.escape(rest[1]), 2
    return ("[^/]" if rest[0] == "?" else re.escape(rest[0])), 1


def _class(inner: str) -> str:
    inner = inner.replace("\\", "\\\\").replace("[", "\\[")
    return f"(?!/)[^{inner[1:]}]" if inner[:1] in {"!", "^"} else f"(?!/)[{inner}]"
