"""Blocks that carry other people's text through a prompt as data (promise S6)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass

from dispatch_mcp.text import escape

NONCE = re.compile(r"[A-Za-z0-9]{8,64}")
"""What a nonce looks like; at least 8 characters that the text's author could not know."""

_ANSI = re.compile(r"\x1b|\x9b")
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# The line that `wrap` writes: fence, kind, source, then the optional note and the optional kinds of unseen characters.
_OPENING = re.compile(
    r'<untrusted-([A-Za-z0-9-]+) kind="([^"]*)" from="([^"]*)"(?: note="([^"]*)")?(?: hidden="[^"]*")?>'
)


@dataclass(frozen=True, slots=True)
class Data:
    """Text that somebody else wrote, with where it came from.

    `kind` is what it is (handoff, message, file …), `source` who or what it came from, `note` what the reader should
    know about it, such as that it was cut or is not verified.
    """

    kind: str
    source: str
    text: str
    note: str = ""


def hidden(text: str) -> tuple[str, ...]:
    """Returns which kinds of unseen characters `text` holds: `ansi`, `bidi`, `control`, `zero-width`."""
    kinds = {
        "ansi": bool(_ANSI.search(text)),
        "bidi": bool(_BIDI.search(text)),
        "control": bool(escape.CONTROL.search(text.replace("\r\n", "\n"))),
        "zero-width": bool(escape.INVISIBLE.search(_BIDI.sub("", text))),
    }
    return tuple(name for name, present in kinds.items() if present)


def choose(nonce: str, texts: Iterable[str]) -> str:
    """Returns a fence name that occurs in none of `texts`: `nonce`, or `nonce-1`, `nonce-2` … if it does.

    Raises ValueError when `nonce` is not 8 to 64 letters and digits.
    """
    if not NONCE.fullmatch(nonce):
        raise ValueError(f"a nonce is 8 to 64 letters and digits, not {nonce!r}")
    suspects = [text for text in texts if nonce in text]
    fence, count = nonce, 0
    while any(fence in text for text in suspects):
        count += 1
        fence = f"{nonce}-{count}"
    return fence


def wrap(data: Data, fence: str) -> str:
    """Returns the block of `data`; `fence` must occur nowhere in it."""
    attributes = f'kind="{_quote(data.kind)}" from="{_quote(data.source)}"'
    if data.note:
        attributes += f' note="{_quote(data.note)}"'
    if flags := hidden(data.text):
        attributes += f' hidden="{" ".join(flags)}"'
    return f"<untrusted-{fence} {attributes}>\n{data.text}\n{closing(fence)}"


def closing(fence: str) -> str:
    """Returns the line that ends a block."""
    return f"</untrusted-{fence}>"


def opened(line: str, fence: str) -> Data | None:
    """Returns the data, still without text, that `line` opens under `fence`; None for any other line."""
    match = _OPENING.fullmatch(line)
    if not match or match[1] != fence:
        return None
    kind, source, note = (html.unescape(part or "") for part in match.group(2, 3, 4))
    return Data(kind, source, "", note)


def _quote(text: str) -> str:
    return html.escape(text).replace("\n", "&#10;").replace("\r", "&#13;")
