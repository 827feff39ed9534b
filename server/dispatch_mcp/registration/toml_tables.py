"""One table of a TOML file written, replaced or taken out as text: all else stays as it is, comments too."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence

from dispatch_mcp import model
from dispatch_mcp.text import json_types

_HEADER = re.compile(r"^\ufeff?[ \t]*\[([^\[\]\n]++)\][ \t]*(?:#[^\n]*)?$", re.MULTILINE)
_ANY_HEADER = re.compile(r"^[ \t]*\[", re.MULTILINE)
_BARE = re.compile(r"[A-Za-z0-9_-]++")


class UnreadableToml(ValueError):
    """The text is no TOML, or the table stands in it in a form that is not changed here."""


def parse(text: str) -> dict[str, model.Json]:
    """Returns the tables of a text. Raises Unreadable."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except ValueError as wrong:
        raise UnreadableToml(str(wrong)) from None
    except RecursionError:
        raise UnreadableToml("its values are nested too deeply") from None


def put(text: str, keys: Sequence[str], value: Mapping[str, model.Json]) -> str:
    """Returns the text with a table of these values; where one stood, it stands at the end now. Raises Unreadable."""
    rest = take_out(text, keys)
    end = "" if not rest or rest.endswith("\n") else "\n"
    blank = "\n" if rest.strip() else ""
    whole = rest + _with_ends_of(text, f"{end}{blank}{_table(keys, value)}")
    _check(whole, rest, keys, value)
    return whole


def take_out(text: str, keys: Sequence[str]) -> str:
    """Returns the text without the table and those below it. Raises Unreadable."""
    if _at(parse(text), keys) is None:
        return text
    rest = text.replace("\r\n", "\n")
    for start, end in reversed(_blocks(rest, keys)):
        before, after = rest[:start].rstrip("\n"), rest[end:].lstrip("\n")
        gap = "\n\n" if after else "\n"
        rest = f"{before}{gap if before else ''}{after}"
    rest = _with_ends_of(text, rest)
    _check(rest, text, keys, None)
    return rest


def _with_ends_of(text: str, rows: str) -> str:
    return rows.replace("\n", "\r\n") if "\r\n" in text else rows


def _without_comments(block: str) -> str:
    """Returns a block without the comments and empty lines at its end, which speak of what follows."""
    lines = block.split("\n")
    while len(lines) > 1 and lines[-1].lstrip(" \t")[:1] in ("", "#"):
        lines.pop()
    return "\n".join(lines)


def _blocks(text: str, keys: Sequence[str]) -> list[tuple[int, int]]:
    """Returns where the tables of the keys stand, each from its header to its last value."""
    blocks: list[tuple[int, int]] = []
    for header in _HEADER.finditer(text):
        try:
            path = list(_path(tomllib.loads(f"[{header[1]}]")))
        except ValueError:
            continue
        if path[: len(keys)] == list(keys):
            after = _ANY_HEADER.search(text, header.end())
            end = after.start() if after else len(text)
            blocks.append((header.start(), header.end() + len(_without_comments(text[header.end() : end]))))
    return blocks


def _path(tables: Mapping[str, model.Json]) -> Sequence[str]:
    """Returns the names that lead to the innermost table of a header."""
    names: list[str] = []
    while tables:
        ((name, tables),) = tables.items()
        names.append(name)
    return names


def _at(tables: model.Json, keys: Sequence[str]) -> model.Json:
    for key in keys:
        tables = tables.get(key) if json_types.is_object(tables) else None
    return tables


def _check(text: str, before: str, keys: Sequence[str], value: model.Json) -> None:
    """Makes sure that the table is as it should be and everything else as it was."""
    tables, tables_before = parse(text), parse(before)
    right = _at(tables, keys) == (dict(value) if json_types.is_object(value) else None)
    if not right or _without(tables, keys) != _without(tables_before, keys):
        raise UnreadableToml(f"{'.'.join(keys)!r} stands there in a form that is not changed here")


def _without(tables: Mapping[str, model.Json], keys: Sequence[str]) -> Mapping[str, model.Json]:
    """Returns the tables without that of the keys, and without tables that are empty then."""
    first, *rest = keys
    if first not in tables:
        return tables
    inner: Mapping[str, model.Json] = {}
    if rest and json_types.is_object(tables[first]):
        inner = _without(tables[first], rest)
    return {**{key: part for key, part in tables.items() if key != first}, **({first: inner} if inner else {})}


def _table(keys: Sequence[str], value: Mapping[str, model.Json]) -> str:
    plain = {key: part for key, part in value.items() if not json_types.is_object(part)}
    lines = [f"[{'.'.join(map(_name, keys))}]", *(f"{_name(key)} = {_value(part)}" for key, part in plain.items())]
    tables = [_table([*keys, key], part) for key, part in value.items() if json_types.is_object(part)]
    return "\n".join(["\n".join(lines) + "\n", *tables])


def _name(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)


def _value(value: model.Json) -> str:
    """Returns a value as TOML: texts, numbers, truth values and lists are written as JSON does, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
