"""What hosts say when they cannot start the subagent that they were asked for, read into one form.

Claude Code says `Agent type 'x' not found. Available agents: …`, opencode `Unknown agent type: x is not a valid agent
type`, Codex `unknown agent_type 'x'`, Cursor `Invalid enum value. Expected 'generalPurpose' | …, received 'x'`; others
come close to one of these. At the beginning of a text such a sentence is the host's; further in it only counts if it
is about a name that was called, for work that failed may speak of agents of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from dispatch_mcp.text.reading import excerpts

MOST_NAMES: Final = 200
"""Subagents of a host that are taken from its list."""

_AGENT: Final = r"(?:custom[ ])?(?:sub[-_ ]?)?agent"
_TYPE: Final = r"[-_ ]?(?:type|name)\b"
_LEFT: Final = r"[\"'`\u201c\u2018]"
_RIGHT: Final = r"[\"'`\u201d\u2019]"
_WORD: Final = r"[\w@][\w.:/@-]{0,199}"
_MARKED: Final = rf"(?:[:=][ ]?|[ ](?={_LEFT})){_LEFT}?(?P<name>{_WORD}){_RIGHT}?"
"""A name that a colon or quotes mark as one."""

_PLAIN: Final = rf"(?:[:=][ ]?|[ ]){_LEFT}?(?P<name>{_WORD}){_RIGHT}?"
_NOT: Final = (
    "found exist available installed registered loaded defined recognized recognised configured supported known"
)
_MISSING: Final = (
    # `is not available` · `does not exist` · `could not be found`
    rf"[ ](?:(?:is|was|could|does|has)[ ])?(?:currently[ ])?(?:not[ ](?:be[ ]|been[ ])?(?:{_NOT.replace(' ', '|')})"
    # `is not a valid …` · `is unavailable` · `is a primary agent`
    r"|not[ ]an?[ ](?:valid|known|registered)|unavailable|unknown|invalid|missing|disabled|a[ ]primary[ ]agent)\b"
)
_UNKNOWN: Final = r"\b(?:unknown|invalid|unrecogni[sz]ed|unsupported|undefined)[ ]"
_FORMS: Final = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        # Agent type 'x' not found · subagent "x" does not exist · agent x is a primary agent …
        rf"\b{_AGENT}(?:{_TYPE})?{_PLAIN}{_MISSING}",
        # Agent type 'x' has been denied by permission rule 'Agent(x)'
        rf"\b{_AGENT}{_TYPE}{_PLAIN}[ ]has[ ]been[ ]denied[ ]by[ ]permission\b",
        # Unknown agent type: x · invalid subagent_type 'x'
        rf"{_UNKNOWN}{_AGENT}{_TYPE}{_PLAIN}",
        # Unrecognized agent: x
        rf"{_UNKNOWN}{_AGENT}{_MARKED}",
        # no agent named 'x' · no such subagent: x
        rf"\bno[ ]such[ ]{_AGENT}(?:{_TYPE})?{_PLAIN}",
        rf"\bno[ ]{_AGENT}(?:{_TYPE})?[ ](?:named|called|of[ ]type|with[ ](?:the[ ])?name){_PLAIN}",
        # There is no agent type 'x'
        rf"\bno[ ]{_AGENT}(?:{_TYPE})?{_MARKED}",
        # 'x' is not a valid subagent_type · x is not an available agent
        (
            rf"(?<![\w.:/@-]){_LEFT}?(?P<name>{_WORD}){_RIGHT}?[ ]is[ ]not[ ]an?[ ]"
            rf"(?:valid|known|available|registered|supported)[ ]{_AGENT}"
        ),
        # Invalid enum value. Expected 'generalPurpose' | 'explore', received 'x'
        rf"\binvalid[ ](?:enum[ ]value|option)\b[^\n]{{0,1500}}?\breceived{_PLAIN}",
    )
)
_ENUM: Final = re.compile(r"\binvalid[ ](?:enum[ ]value|option)\b", re.IGNORECASE)
_SUBAGENT: Final = re.compile(r"sub[-_ ]?agent", re.IGNORECASE)
# `Available agents:` · `valid subagent types are:`
_AVAILABLE: Final = r"\b(?:available|valid|allowed|known|supported|registered|existing)\b[^:\n.]{0,60}:"
# `Available agents: a, b` · `must be one of: a, b` · `Expected 'a' | 'b'`
_LIST: Final = re.compile(
    rf"(?:{_AVAILABLE}|\bexpected(?:[ ]one[ ]of)?|\bone[ ]of:?)[ ]?\[?(?P<names>[^\n\]]{{1,8000}})", re.IGNORECASE
)
_ITEM: Final = re.compile(_WORD)
_NO_NAMES: Final = frozenset(
    {"and", "or", "none", "received", "are", "only", "still", "is", "was", "that", "it", "the"}
)
_TAG: Final = r"[\W_]*+(?:tool_use_error\W*+)?"
# `Error: ` · `Task failed: ` · `The Task tool refused it: `
_TROUBLE: Final = r"(?:\w{1,40}[ ]){0,4}?(?:error|failed|failure|refused|rejected|tool)\b[^:\n]{0,60}:\W{0,5}"
_OPENING: Final = re.compile(rf"(?:{_TAG}(?:{_TROUBLE})?){{2}}{_TAG}(?:subagent_type\W{{1,3}})?", re.IGNORECASE)
"""What a host or an assistant puts before the sentence: marks, `Error:`, `Task failed:`, `the Task tool said:`."""


class AgentRefusal(NamedTuple):
    """A subagent that a host does not have, and those that it says it has; both may be empty where it says none."""

    name: str = ""
    available: tuple[str, ...] = ()

    def own_name(self, name: str) -> str:
        """Returns the name under which the host has a subagent, an empty string if it does not say that it has it."""
        return next((other for other in self.available if is_same(other, name)), "")


def read(text: str, names: Collection[str] = ()) -> AgentRefusal | None:
    """Returns what a text says of a subagent that could not be started; None for a text about anything else.

    `names` are those under which the subagent was called.
    """
    start = excerpts.REFUSAL.of(text)
    opening = _OPENING.match(start)
    begin = opening.end() if opening else 0
    for form in _FORMS:
        match = form.search(start)
        if match is not None and _is_about_subagents(form, match, start, begin, names):
            name = _bare(match["name"])
            return AgentRefusal("" if name.casefold() in _NO_NAMES else name, _available(text, name))
    # Cursor's list of what it allows, without the name that it refuses.
    if _ENUM.search(start) and _SUBAGENT.search(start) and any(name in start for name in names):
        return AgentRefusal("", _available(text, ""))
    return None


def _is_about_subagents(
    form: re.Pattern[str], match: re.Match[str], text: str, begin: int, names: Collection[str]
) -> bool:
    """Returns whether a sentence is the host's own about a subagent: it begins the text, or names what was called."""
    if _is_among(match["name"], names):
        return True
    return match.start() <= begin + 1 and (form is not _FORMS[-1] or _SUBAGENT.search(text) is not None)


def is_same(name: str, other: str) -> bool:
    """Returns whether two names mean one subagent, whatever their case and the plugin's prefix of one of them."""
    first, second = name.casefold(), other.casefold()
    return first == second or first.endswith(f":{second}") or second.endswith(f":{first}")


def _is_among(name: str, names: Collection[str]) -> bool:
    return any(is_same(_bare(name), other) for other in names if other)


def _bare(name: str) -> str:
    return name.rstrip(".:,")


def _available(text: str, name: str) -> tuple[str, ...]:
    """Returns the names in the list that a refusal gives, without the one that it refuses."""
    for match in _LIST.finditer(excerpts.REFUSAL_NAMES.of(text)):
        items = dict.fromkeys(_items(match["names"]))
        if items:
            return tuple(item for item in items if item != _bare(name))[:MOST_NAMES]
    return ()


def _items(names: str) -> Iterator[str]:
    """Yields the first word of each part of a list; what stands behind it describes the subagent."""
    for part in re.split(r"[,|;]|\s[-•*]\s|\band\b|\bor\b", re.sub(r"\([^()]{0,500}\)", "", names)):
        if re.match(rf"\s*{_LEFT}?received\b", part):
            return
        match = _ITEM.search(part)
        if match and match[0].casefold() not in _NO_NAMES:
            yield _bare(match[0])
