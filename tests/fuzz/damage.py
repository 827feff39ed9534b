"""Texts as others damage them: cut, doubled, spliced, repeated, nested, and with pieces that readers stumble over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from hypothesis import strategies as st

from dispatch_mcp.model import Json
from dispatch_mcp.text import json_types

LONGEST: Final = 60_000
"""Characters of a damaged text: a reader that needs more than linear time for them is noticed."""

PIECES: Final = (
    *"{}[]()<>\"'`,:;#-|*/\\&%$@!?=~^_ \t\n\r\0",
    *("\ufeff", "\ufffd", "\u2028", "\u0085", "\u202e", "\u200b", "\u0301", "\x1b[31m", "\U0001f600", "é", "中"),
    *(
        "```",
        "~~~",
        "---",
        "+++",
        "@@",
        "<<",
        "${",
        "{{",
        "}}",
        "/*",
        "*/",
        "//",
        "<!--",
        "-->",
        "\\u",
        "\\ud83d",
        "\\x",
    ),
    *(
        "null",
        "NaN",
        "Infinity",
        "true",
        "-0",
        "1e999",
        "9" * 30,
        "9" * 5_000,
        "0x",
        "1_0",
        "2020-01-01",
        "../",
        "~/",
        "C:\\",
    ),
    *(
        "<system-reminder>",
        "</system-reminder>",
        "diff --git ",
        "@@ -1 +1 @@\n",
        "@@ -99999999999,1 +1 @@",
        "verdict",
        "PASS",
    ),
    *(
        "'''",
        '"""',
        "&a ",
        "*a",
        "!!python/object:os.system",
        "? ",
        ": ",
        "- ",
        "|\n",
        ">-\n",
        "[[",
        "]]",
        "\r\n",
        "\n\n",
    ),
)
"""What is put in: signs of every language that we read, figures that fit nowhere, half characters."""

_SHARE = st.integers(0, 1_000)
_PIECE = st.sampled_from(PIECES) | st.text(max_size=6)
_LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from((0, -1, 1, 2**31, 2**53, 2**63, 10**23, 0.5, -0.0, 1e308, float("nan"), float("inf"))),
    st.integers(),
    st.floats(),
    _PIECE,
)
_NAMES = st.sampled_from(("id", "do", "a", "text", "type", "value", "line", "")) | _PIECE
_VALUE = st.recursive(_LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3))
_EDITS = st.lists(
    st.tuples(
        st.sampled_from(("put", "cut", "double", "repeat", "nest", "end", "splice", "swap")), _SHARE, _SHARE, _PIECE
    ),
    max_size=6,
)


def texts(samples: Sequence[str]) -> st.SearchStrategy[str]:
    """Returns a strategy for damaged texts that begin from one of the samples, and for texts of pieces alone."""
    damaged = st.builds(_damaged, st.sampled_from(samples), st.sampled_from(samples), _EDITS)
    plain = st.lists(_PIECE, max_size=12).map("".join) | st.text(max_size=80)
    values = [value for value in map(_loaded, samples) if json_types.is_object(value) or json_types.is_list(value)]
    if not values:
        return damaged | damaged | plain
    changed = st.builds(_changed, st.sampled_from(values), st.lists(st.tuples(_SHARE, _VALUE), min_size=1, max_size=4))
    return damaged | changed.map(json.dumps) | changed.map(json.dumps) | plain


def _loaded(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _changed(value: Json, changes: Sequence[tuple[int, Json]]) -> Json:
    """Returns a JSON value of which some parts, named by their share of all parts, are others."""
    for share, other in changes:
        parts = list(_parts(value, ()))
        value = _with(value, parts[share * (len(parts) - 1) // 1_000], other)
    return value


def _parts(value: Json, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Yields where every part of a value stands, the whole first."""
    yield path
    if json_types.is_object(value):
        for key, part in value.items():
            yield from _parts(part, (*path, key))
    elif json_types.is_list(value):
        for number, part in enumerate(value):
            yield from _parts(part, (*path, number))


def _with(value: Json, path: tuple[str | int, ...], other: Json) -> Json:
    if not path:
        return other
    if json_types.is_object(value):
        return {key: _with(part, path[1:], other) if key == path[0] else part for key, part in value.items()}
    if json_types.is_list(value):
        return [_with(part, path[1:], other) if at == path[0] else part for at, part in enumerate(value)]
    return value


def _damaged(text: str, other: str, edits: Sequence[tuple[str, int, int, str]]) -> str:
    for kind, first, second, piece in edits:
        text = _edited(text, other, kind, (first, second), piece)[:LONGEST]
    return text


def _edited(text: str, other: str, kind: str, shares: tuple[int, int], piece: str) -> str:
    start, end = sorted(share * len(text) // 1_000 for share in shares)
    before, middle, after = text[:start], text[start:end], text[end:]
    times = 2 + shares[1] * 3
    return {
        "put": before + piece + middle + after,
        "cut": before + after,
        "double": before + middle + middle + after,
        "repeat": before + (piece or middle[:3]) * times + after,
        "nest": before + "[" * times + middle + "]" * times + after,
        "end": before,
        "splice": before + other[shares[1] * len(other) // 1_000 :],
        "swap": after + middle + before,
    }[kind]
