"""What a text names that decides a check: scripts that it starts, modules that it imports, files that it reads.

Names are words and no understanding: whoever looks them up takes those that are files. Of settings that hold much else
besides, only the part counts that says how checks are run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

from dispatch_mcp.text import json_types

MOST: Final = 4_000
"""Words of one text that are looked up."""

_WORD = re.compile(r"[\w@.+~*?-][\w@.+~*?/-]*")
_SECTION = re.compile(r"^\[++([^\]\n]++)\]++[^\S\n]*+$", re.MULTILINE)
_OF_RUNNERS = re.compile(r"pytest|tox|testenv|nox|coverage|script|task|poe|hatch|unittest", re.IGNORECASE)
_RULE = re.compile(r"^([^\s:=#][^:=#]*):(?![=:])")
_SETTINGS = (".toml", ".cfg", ".ini")
_SCRIPTS = ("scripts", "jest", "mocha", "vitest", "ava", "tap", "nyc")


def words(text: str, path: str) -> frozenset[str]:
    """Returns the words of a file's text that may name files or modules."""
    matches = (match.strip("/") for match in _WORD.findall(_relevant(text, path)))
    return frozenset(word for word, _ in zip(dict.fromkeys(matches), range(MOST), strict=False) if word.strip("./*"))


def for_goals(text: str, goals: Sequence[str]) -> str:
    """Returns what of a Makefile counts for goals, the first one without any: their rules and what these lead to.

    What stands outside of rules counts too, and rules of patterns and variables do; everything where no goal has one.
    """
    rules: dict[str, list[str]] = {}
    outside = list[str]()
    bodies = [outside]
    for line in text.splitlines():
        head = _RULE.match(line)
        if head:
            names = head[1].split()
            bodies = [outside] if re.search(r"[%$]", head[1]) else [rules.setdefault(name, []) for name in names]
        elif not line.startswith("\t"):
            bodies = [outside]
        for body in bodies:
            body.append(line)
    chain = [goal for goal in goals if goal in rules] or [name for name in rules if not name.startswith(".")][:1]
    for name in chain:
        words = (word for line in rules[name] for word in _WORD.findall(line))
        chain += [word for word in dict.fromkeys(words) if word in rules and word not in chain]
    lines = [line for name in chain for line in rules[name]]
    return "\n".join((*outside, *lines)) if chain else text


def _relevant(text: str, path: str) -> str:
    name = path.rpartition("/")[2].lower()
    if name == "package.json":
        return _scripts(text)
    if not name.endswith(_SETTINGS):
        return text
    parts = _SECTION.split(text)
    return "\n".join(body for head, body in zip(parts[1::2], parts[2::2], strict=True) if _OF_RUNNERS.search(head))


def _scripts(text: str) -> str:
    try:
        settings: json_types.Json = json.loads(text)
    except ValueError:
        return text
    return json.dumps([settings.get(key) for key in _SCRIPTS]) if json_types.is_object(settings) else text
