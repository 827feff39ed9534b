"""Headers of the simplest kind, read as YAML reads them but many times faster.

The simplest kind has for each key a plain or quoted value, a list in brackets, whole numbers by name in braces, or a
list with one item a line. Of anything else (numbers with points, dates, nested keys, comments, text over several
lines) nothing is said.
"""

from __future__ import annotations

import re

_WORDS = "y|n|yes|no|on|off|true|false|null"
"""Plain words that YAML 1.1 takes for something else than text."""

_TEXT = rf"(?!(?:{_WORDS})\ *$)[A-Za-z](?:[^:#]|:(?!\ |$)|(?<!\ )#)*"
_QUOTED = r'"[^"\\]*"'
_NUMBER = r"0|[1-9][0-9]*"
_KEY = re.compile(
    rf"(?P<key>(?!(?:{_WORDS}):)[A-Za-z][A-Za-z0-9_-]*):"
    rf"(?:|\ +(?:(?P<text>{_TEXT})|(?P<quoted>{_QUOTED})|(?P<number>{_NUMBER})"
    r"|(?P<truth>(?-i:true|True|TRUE|false|False|FALSE))|\[(?P<list>[^\[\]]*)\]|\{(?P<map>[^{}]*)\}))\ *",
    re.IGNORECASE,
)
_ITEM = re.compile(rf"(?P<indent>\ *)-\ +(?:(?P<text>{_TEXT})|(?P<quoted>{_QUOTED})\ *)", re.IGNORECASE)
_PLAIN = rf"(?!(?:{_WORDS})\ *(?:$|:))(?:[1-9][0-9]*)?[A-Za-z][A-Za-z0-9 _./+()'-]*"
_LISTED = re.compile(rf"(?P<text>{_PLAIN})|(?P<quoted>{_QUOTED})|(?P<number>{_NUMBER})", re.IGNORECASE)
_MAPPED = re.compile(rf"(?:(?P<text>{_PLAIN})|(?P<quoted>{_QUOTED})):\ +(?P<number>{_NUMBER})", re.IGNORECASE)

Value = str | int | list[str | int] | list[str] | dict[str, int] | None


def read(header: str) -> dict[str, Value] | None:
    """Returns the values of a header of the simplest kind; None for any other."""
    found: dict[str, Value] = {}
    lines = header.strip("\n").split("\n")
    at = 0
    while at < len(lines):
        match = _KEY.fullmatch(lines[at]) if lines[at].isprintable() else None
        if match is None:
            return None
        at += 1
        value, known = _value(match)
        if value is None:
            value, at = _items(lines, at)
        if not known:
            return None
        found[match["key"]] = value
    return found


def _value(match: re.Match[str]) -> tuple[Value, bool]:
    """Returns a key's value and whether it is of the simplest kind."""
    if match["list"] is not None:
        return _listed(match["list"])
    if match["map"] is not None:
        return _mapped(match["map"])
    if match["truth"] is not None:
        return match["truth"].lower() == "true", True
    return (int(match["number"]) if match["number"] else _said(match)), True


def _said(match: re.Match[str]) -> str | None:
    if match["quoted"] is not None:
        return match["quoted"][1:-1]
    return None if match["text"] is None else match["text"].rstrip(" ")


def _listed(inside: str) -> tuple[list[str | int], bool]:
    listed: list[str | int] = []
    for part in _parts(inside):
        match = _LISTED.fullmatch(part)
        if match is None:
            return [], False
        listed.append(int(match["number"]) if match["number"] else _said(match) or "")
    return listed, True


def _mapped(inside: str) -> tuple[dict[str, int], bool]:
    mapped: dict[str, int] = {}
    for part in _parts(inside):
        match = _MAPPED.fullmatch(part)
        if match is None:
            return {}, False
        mapped[_said(match) or ""] = int(match["number"])
    return mapped, True


def _parts(inside: str) -> list[str]:
    return [part.strip(" ") for part in inside.split(",")] if inside.strip(" ") else []


def _items(lines: list[str], at: int) -> tuple[list[str] | None, int]:
    """Returns the items from this line on and the line after them; None when there are none."""
    items: list[str] = []
    indent = None
    while at < len(lines) and lines[at].isprintable():
        match = _ITEM.fullmatch(lines[at])
        if match is None or (indent is not None and match["indent"] != indent):
            break
        indent = match["indent"]
        items.append(_said(match) or "")
        at += 1
    return items or None, at
