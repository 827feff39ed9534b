"""Answers that are written in lines: `VERDICT:`, then a list of findings with one field a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.review import finding_fields
from dispatch_mcp.text.reading import excerpts

MAX_LABEL: Final = 60
"""Characters before the colon of a field, with the marks around its name."""

_FIELDS: Final = frozenset({"severity", "file", "line", "quote", "claim", "evidence", "fix"})
_MARKS: Final = " \t\r#>*_`-"
_VERDICT = re.compile(r"(?:(?:final|overall|my) )?verdict\b")
_LIST_MARK = re.compile(r"\s*(?:[-*]|\d{1,3}[.)])\s")
_FINDINGS = re.compile(r"^[#>*_` \t-]{0,12}(?:no )?findings\b", re.IGNORECASE | re.MULTILINE)
_FILES = re.compile(
    r"^[#>*_` \t-]{0,12}files(?: read)?[*_` \t]{0,6}:[*_ \t]{0,6}(.{1,4000})", re.IGNORECASE | re.MULTILINE
)
_BLOCK: Final = frozenset({"|", ">", "|-", ">-"})


class _Field(NamedTuple):
    """A line that names a field: how deep its name stands, whether a list mark is before it, and what follows."""

    name: str
    depth: int
    is_item: bool
    rest: str


def verdicts(text: str) -> Iterator[str]:
    """Yields the words that stand behind `verdict` at the beginning of a line, or below such a heading."""
    heading = False
    for line in text.split("\n"):
        plain = excerpts.VERDICT_LINE.of(line).strip(_MARKS).lower()
        match = _VERDICT.match(plain)
        rest = plain[match.end() :].lstrip(" *_`") if match else plain if heading else ""
        if match and rest and rest[0] not in ":=":
            heading = False
            continue
        word = finding_fields.verdict_word(rest)
        if (match or heading) and word.isalpha():
            yield word
        heading = bool(match and not word) or (heading and not plain)


def items(text: str) -> Iterator[dict[str, model.Json]]:
    """Yields the findings of a text, each a dict of the fields that it names."""
    current: dict[str, list[str]] = {}
    name, block = "", -1
    for line in text.split("\n"):
        inside = block >= 0 and (not line.strip() or _depth(line) > block)
        field = None if inside else _field(line)
        if field is not None and (current or field.is_item):
            if field.is_item and field.name in current:
                yield _finding(current)
                current = {}
            is_block = field.rest.strip() in _BLOCK
            name, block = field.name, field.depth if is_block else -1
            current.setdefault(name, [] if is_block else [field.rest])
        elif not inside and (not line.strip() or _is_verdict(line)):
            name = name if name == "quote" and not line.strip() else ""
        elif current and name and name != "severity":
            current[name].append(line)
    if current:
        yield _finding(current)


def own_words(text: str) -> str:
    """Returns what stands before the first finding of a text."""
    lines = text.split("\n")
    starts = (at for at, line in enumerate(lines) if (field := _field(line)) is not None and field.is_item)
    return "\n".join(lines[: next(starts, len(lines))])


def lists_something(text: str) -> bool:
    """Returns whether a text announces findings and has a list below it."""
    announcement = re.search(
        r"^[#>*_` \t-]{0,12}findings[*_` \t]{0,6}:?[*_` \t]{0,6}$", text, re.IGNORECASE | re.MULTILINE
    )
    rest = text[announcement.end() :].lstrip() if announcement else ""
    return bool(_LIST_MARK.match(rest[:20]))


def says_none(text: str) -> bool:
    """Returns whether a text has a line for its findings, whatever follows."""
    return bool(_FINDINGS.search(text))


def files(text: str) -> str:
    """Returns what stands in the line that names the files that were read; empty without one."""
    match = _FILES.search(text)
    return match[1] if match else ""


def _finding(fields: dict[str, list[str]]) -> dict[str, model.Json]:
    return {name: "\n".join(lines).strip("\n") for name, lines in fields.items()}


def _is_verdict(line: str) -> bool:
    return bool(_VERDICT.match(excerpts.VERDICT_LINE.of(line).strip(_MARKS).lower()))


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _field(line: str) -> _Field | None:
    label, colon, rest = line.partition(":")
    if not colon or len(label.strip()) > MAX_LABEL:
        return None
    mark = _LIST_MARK.match(label)
    name = finding_fields.name((label[mark.end() :] if mark else label).strip("*_` \t"))
    if name not in _FIELDS:
        return None
    depth = mark.end() if mark else _depth(line)
    return _Field(name, depth, mark is not None, rest.removeprefix("**").removeprefix("__").strip(" \t\r"))
