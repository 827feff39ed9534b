"""Text made safe for the place where a person will see it (promise S12)."""

from __future__ import annotations

import html as stdlib_html
import re

_ZERO_WIDTH = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u3164\ufe00-\ufe0d\ufeff\uffa0"
)
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u206a-\u206f"
_TAGS = "\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"

INVISIBLE = re.compile(f"[{_ZERO_WIDTH}{_BIDI}{_TAGS}]")
"""Characters that take no place on screen or change the order of their neighbours."""

CONTROL = re.compile(f"[{_CONTROLS}]")
"""C0 and C1 controls and DEL, without newline and tab."""

# From an opening (OSC, DCS, SOS, PM, APC; two characters or one) to BEL or ST; another opening begins a new one.
_STRING_SEQUENCE = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f\n]*+(?:\x07|\x1b\\|\x9c)"
)
_CSI_SEQUENCE = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
_SHORT_SEQUENCE = re.compile(r"\x1b[ -/]*[0-~]")
_LINE_ENDS = re.compile("\r\n|[\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN = re.compile("[\t\n -~]*")


def encodable(text: str) -> str:
    """Returns `text` with a question mark for each lone surrogate, so that it can be stored, sent and searched for."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def terminal(text: str) -> str:
    """Returns `text` without escape sequences, controls, bidi marks and zero-width characters.

    Newline and tab stay; a lone surrogate becomes U+FFFD, so that the result can always be encoded.
    """
    if _PLAIN.fullmatch(text):
        return text
    text = INVISIBLE.sub("", _LINE_ENDS.sub("\n", text))
    for sequence in (_STRING_SEQUENCE, _CSI_SEQUENCE, _SHORT_SEQUENCE, CONTROL):
        text = sequence.sub("", text)
    return _SURROGATE.sub("\ufffd", text)


def one_line(text: str, *, limit: int | None = None) -> str:
    """Returns `terminal(text)` on one line, cut to `limit` characters with an ellipsis."""
    line = " ".join(terminal(text).split())
    if limit is not None and len(line) > limit:
        return line[: max(limit - 1, 0)].rstrip() + "…"
    return line


def html(text: str) -> str:
    """Returns `text` for an HTML text node or a quoted attribute."""
    return stdlib_html.escape(terminal(text), quote=True)


# `.` after `www` would become a link; other punctuation inside a word means nothing to Mermaid or its Markdown.
_MERMAID_PLAIN = re.compile(r"[^\W_]|[ ,]|(?<=[^\W_])(?:[/_-]|(?<!www)\.)(?=[^\W_])", re.IGNORECASE)


def mermaid_label(text: str, *, limit: int | None = 60) -> str:
    """Returns `text` for use between the double quotes of a Mermaid label, on one line.

    Everything but letters, digits, spaces and punctuation inside words becomes a numeric entity (`#35;`), so no text
    can end the label, start Markdown or carry markup. `limit` counts characters before that.
    """
    line = one_line(text, limit=limit)
    plain = {match.start() for match in _MERMAID_PLAIN.finditer(line)}
    return "".join(char if at in plain else f"#{ord(char)};" for at, char in enumerate(line))


_MARKDOWN_ENTITIES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
_MARKDOWN_SPECIAL = re.compile(r"[\\`*_{}\[\]#|~!$^]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_MARKDOWN_OPENING = re.compile(r"^(\d*)([-+=.)])")


def markdown(text: str, *, limit: int | None = None) -> str:
    """Returns `text` as plain words inside a Markdown line, heading or table cell."""
    line = _MARKDOWN_SPECIAL.sub(r"\\\g<0>", one_line(text, limit=limit))
    return _MARKDOWN_OPENING.sub(r"\1\\\2", line).translate(_MARKDOWN_ENTITIES)
