"""JSON objects in texts that models write and harnesses pass on: read through the damage that both do to them.

Read without a word are commas too many or missing, other quotes around texts, names without quotes, Python's words,
line breaks and tabs inside texts, escapes that JSON does not have, comments, and tags between values. What could be
read in two ways is read in one of them and named as a doubt. The time is linear in the length of the text.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from dispatch_mcp.text.json_types import Json

MAX_DEPTH: Final = 16
"""Levels of an object that are read; a deeper one is none."""

EFFORT: Final = 3
"""How often the whole text may be gone through for objects that never close."""

CUT_OFF: Final = "it ends in the middle"
UNCLEAR_QUOTES: Final = "a text in it has quotes that are not escaped"
UNCLEAR_BRACKETS: Final = "its brackets do not match"
UNCLEAR_WORDS: Final = "it has words between its fields"

_FENCE: Final = "```"
# A name and its colon as JSON has them; then in quotes of other kinds, or in none.
_NAME: Final = r"\"(?:[^\"\\\n]|\\.){0,300}+\"\s*+:"
_LOOSE_NAME: Final = r"['“”„`]([^'“”`\"\n{}]{0,100}+)['“”`\"]\s*+:"
_BARE_NAME: Final = r"([A-Za-z_][\w-]{0,60}+)\s*+:"
_EXACT = re.compile(_NAME)
_LOOSE = re.compile(f"{_LOOSE_NAME}|{_BARE_NAME}")
# The beginning of an object: a brace before a name, a tag or a comment, or before the other brace.
_START = re.compile(rf"\{{(?=\s*+(?:{_NAME}|{_LOOSE_NAME}|{_BARE_NAME}|[}}<]|//))")
_GAP = re.compile(r"(?:\s++|//[^\n]*+)*+")
_TAG = re.compile(r"<([\\/]{0,2})([A-Za-z][\w:-]{0,60})(?:\s[^<>\n]{0,200})?>")
_BARE_VALUE = re.compile(r"[^,{}\[\]<\n\"“”]++")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,30})?([eE][+-]?\d{1,3})?")
_SIGNIFICANT = re.compile(r"[\"'“„`{}\[\],]")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4}|[\s\S])")
_SURROGATE = re.compile("[\ud800-\udfff]")

_WORDS: Final[Mapping[str, Json]] = {"true": True, "false": False, "null": None, "none": None, "undefined": None}
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

_CLOSERS: Final = {'"': '"', "'": "'", "`": "`", "“": '”“"', "”": '”"', "„": '”“"'}
_INSIDE: Final = {quote: re.compile(rf"[^\\{closers}]*+") for quote, closers in _CLOSERS.items()}

# What stands behind the last quote of a text, the value of a field or an item of a list. Quotes with anything else
# behind them belong to the text.
_FIELD_ENDS: Final = (
    r",\s*+(?:[\"'“„`}\]<]|//|[A-Za-z_]\w{0,60}+\s*+:|\Z)",
    *(r"<[\\/]{0,2}[a-z][\w-]{0,40}+>", "//", _FENCE, r"\Z"),
    r"(?<=\s)[\"'“][A-Za-z_ ]{1,30}+[\"'”]\s*+:",
    r"\}\s*+(?:[,\]}<]|\{\s*+[\"'“]|```|\Z)",
)
_FIELD_END = re.compile(rf"\s*+(?:{'|'.join(_FIELD_ENDS)})")
_ROOT_END = re.compile(r"\s*+\}")
_ITEM_ENDS: Final = (r"\]", r",\s*+(?:[\"'“„`\[{<\]]|-?\d|(?:true|false|null|none)\b)", r",?\s*+\Z")
_ITEM_END = re.compile(rf"\s*+(?:{'|'.join(_ITEM_ENDS)})", re.IGNORECASE)
# A field of another object inside a text whose quotes are not escaped: perhaps it was meant to be one.
_MEMBER = re.compile(r"(?<!\\)[\"“][a-z_]{1,20}+[\"”]\s*+:")


class Piece(NamedTuple):
    """An object in a text; `exact` says that nothing had to be repaired to read it, `whole` that it was closed.

    `doubts` are what makes it uncertain that it was meant so, `first` and `end` where it stands.
    """

    value: dict[str, Json]
    first: int = 0
    end: int = 0
    whole: bool = True
    exact: bool = True
    doubts: tuple[str, ...] = ()


class _NoObject(Exception):
    """It only looks like an object, up to where the reader is."""


def objects(text: str) -> Iterator[Piece]:
    """Yields the objects of a text that stand in no other one, in their order.

    One that never closes is yielded as far as it goes, and those in it after it.
    """
    tags = _Tags(text)
    effort = EFFORT * len(text) + 1_000
    start = _START.search(text)
    while start and effort > 0:
        reader = _Reader(text, start.start(), tags)
        try:
            piece = reader.read()
        except _NoObject:
            piece = None
        effort -= reader.at - start.start()
        if piece is not None:
            yield piece
        start = _START.search(text, reader.at if piece is None or piece.whole else start.end())


def without_reminders(text: str, joint: str = "") -> str:
    """Returns a text without the blocks that a harness has put into it, `joint` in the place of each.

    Such a block is a pair of tags `system-…` with line breaks in or around it, which no text in JSON can have, or a
    single one with a backslash, which is no escape of JSON.
    """
    tags = _Tags(text)
    parts: list[str] = []
    at, line_break = 0, -1
    for tag in tags.all:
        if tag.start() < at or not tag[2].startswith("system-"):
            continue
        first, last = tag.start(), tags.end(tag.start())
        is_alone = last == tag.end()
        while first > at and text[first - 1] == "\n":
            first -= 1
        while text.startswith("\n", last):
            last += 1
        if line_break < first:
            line_break = text.find("\n", first) % (len(text) + 1)
        is_damage = tag[1] == "\\" and text[first - 1 : first] != "\\" if is_alone else line_break < last
        if is_damage:
            parts += [text[at:first], joint]
            at = last
    return "".join([*parts, text[at:]])


class _Tags:
    """The tags of a text, found once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._places: dict[str, list[int]] = {}
        self._tags: dict[str, list[re.Match[str]]] = {}

    @property
    def all(self) -> list[re.Match[str]]:
        """All tags in their order."""
        return list(_TAG.finditer(self._text)) if "<" in self._text else []

    def end(self, at: int) -> int:
        """Returns where the tag ends that begins at a place, with what stands between it and its partner; else 0."""
        tag = _TAG.match(self._text, at)
        if tag is None:
            return 0
        if not self._tags:
            for each in self.all:
                self._tags.setdefault(each[2], []).append(each)
                self._places.setdefault(each[2], []).append(each.start())
        following = bisect_right(self._places[tag[2]], at)
        same = self._tags[tag[2]]
        partner = same[following] if following < len(same) else None
        if partner is not None and "/" not in tag[1] and partner[1] and (not tag[1] or "/" in partner[1]):
            return partner.end()
        return tag.end()


class _Reader:
    """Reads one object from a place on."""

    def __init__(self, text: str, at: int, tags: _Tags) -> None:
        self.at = at
        self._text = text
        self._tags = tags
        self._repairs = 0
        self._doubts: dict[str, None] = {}
        self._whole = True
        self._is_python = False

    def read(self) -> Piece:
        """Returns the object. Raises _NoObject."""
        first = self.at
        value = self._object(1)
        return Piece(value, first, self.at, self._whole, self._repairs == 0 and self._whole, tuple(self._doubts))

    def _doubt(self, why: str) -> None:
        self._repairs += 1
        self._doubts[why] = None

    # Objects and lists.

    def _object(self, depth: int) -> dict[str, Json]:
        self._enter(depth)
        fields: dict[str, Json] = {}
        comma = True
        while (char := self._next()) and char != "}":
            if char == "]" and depth > 1:
                self._doubt(UNCLEAR_BRACKETS)
                return fields
            if char == ",":
                self._repairs += comma
                comma = True
                self.at += 1
            elif char == "{":
                raise _NoObject
            elif char in "[]:":
                self._pass_over(UNCLEAR_BRACKETS)
            else:
                self._repairs += not comma
                comma = not self._field(fields, depth)
        self._leave(char, trailing=comma and bool(fields))
        return fields

    def _list(self, depth: int) -> list[Json]:
        self._enter(depth)
        items: list[Json] = []
        comma = True
        while (char := self._next()) and char != "]":
            if char == "}":
                self._doubt(UNCLEAR_BRACKETS)
                return items
            if char == ",":
                self._repairs += comma
                comma = True
                self.at += 1
            elif char == ":":
                self._pass_over(UNCLEAR_WORDS)
            else:
                self._repairs += not comma
                first = self.at
                items.append(self._value(depth, in_list=True))
                comma = False
                if self.at == first:  # nothing that begins a value: a `<` of no tag, or a quote that only closes
                    items.pop()
                    self._pass_over(UNCLEAR_WORDS)
        self._leave(char, trailing=comma and bool(items))
        return items

    def _enter(self, depth: int) -> None:
        self.at += 1
        if depth > MAX_DEPTH:
            raise _NoObject

    def _leave(self, char: str, *, trailing: bool) -> None:
        """Goes behind the bracket that closes, if there is one; a comma before it is one too many."""
        self._repairs += trailing
        self.at += len(char)
        if not char:
            self._whole = False
            self._doubt(CUT_OFF)

    def _field(self, fields: dict[str, Json], depth: int) -> bool:
        """Reads a name and its value into the fields; returns whether there was one."""
        name = self._name()
        if name is None:
            self._pass_over(UNCLEAR_WORDS)
            return False
        if self._next():
            self._put(fields, name, self._value(depth))
        return True

    def _put(self, fields: dict[str, Json], name: str, value: Json) -> None:
        """Stores a value; when its name stands twice lists are joined, and of other values the first one counts."""
        before = fields.setdefault(name, value)
        if before == value:
            return
        if isinstance(before, list) and isinstance(value, list):
            self._repairs += 1
            fields[name] = [*before, *value]
        else:
            self._doubt(f"it names {name[:40]!r} twice")

    # Names and values.

    def _name(self) -> str | None:
        """Reads a name with its colon; None when there is none."""
        exact = _EXACT.match(self._text, self.at)
        if exact:
            self.at = exact.end()
            return self._decoded(exact[0][1 : exact[0].rindex('"')], '"')
        loose = _LOOSE.match(self._text, self.at)
        if loose is None:
            return None
        self._repairs += 1
        self._is_python |= loose[0][0] == "'"
        self.at = loose.end()
        return loose[1] or loose[2] or ""

    def _value(self, depth: int, *, in_list: bool = False) -> Json:
        char = self._text[self.at]
        if char == "{":
            return self._object(depth + 1)
        if char == "[":
            return self._list(depth + 1)
        return self._quotation(depth, in_list=in_list) if char in _CLOSERS else self._bare()

    def _bare(self) -> Json:
        """Reads a number, a word of JSON or of Python, or words that lack their quotes."""
        match = _BARE_VALUE.match(self._text, self.at)
        if match is None:
            return None
        self.at = match.end()
        word = match[0].strip()
        number = _NUMBER.fullmatch(word)
        if number and not (number[1] or number[2]):
            return int(word)
        if number and math.isfinite(float(word)):
            return float(word)
        self._repairs += word not in ("true", "false", "null")
        return _WORDS.get(word.lower(), word)

    def _quotation(self, depth: int, *, in_list: bool) -> str:
        """Reads a text in quotes; it ends at the first quote behind which something of its object may stand."""
        text, quote, first = self._text, self._text[self.at], self.at + 1
        place = first
        while True:
            place = _INSIDE[quote].match(text, place).end()  # type: ignore[union-attr]  # it may be empty
            if place >= len(text):
                self._whole = False
                self._doubt(CUT_OFF)
                break
            if text[place] == "\\":
                place += 2
            elif self._ends(place + 1, depth, in_list=in_list):
                break
            else:
                self._repairs += 1
                place += 1
        place = min(place, len(text))
        self.at = min(place + 1, len(text))
        return self._decoded(text[first:place], quote)

    def _ends(self, place: int, depth: int, *, in_list: bool) -> bool:
        """Returns whether a quote before this place may be the last one of its text."""
        if in_list:
            return _ITEM_END.match(self._text, place) is not None
        return bool(_FIELD_END.match(self._text, place) or (depth == 1 and _ROOT_END.match(self._text, place)))

    def _decoded(self, raw: str, quote: str) -> str:
        self._repairs += quote != '"' or "\n" in raw or "\t" in raw
        if '"' in raw and quote == '"' and _MEMBER.search(raw):
            self._doubt(UNCLEAR_QUOTES)
        if "\\" not in raw:
            return raw
        text = _ESCAPE.sub(self._unescaped_by_python if self._is_python else self._unescaped, raw)
        if _SURROGATE.search(text):
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return text

    def _unescaped_by_python(self, escape: re.Match[str]) -> str:
        code = escape[1]
        return chr(int(code[1:], 16)) if code[0] in "xU" and len(code) > 1 else self._unescaped(escape)

    def _unescaped(self, escape: re.Match[str]) -> str:
        """Returns what an escape stands for; one that JSON does not have keeps its backslash before a letter."""
        code = escape[1]
        if code[0] == "u" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code in _ESCAPES:
            return _ESCAPES[code]
        self._repairs += code not in ('"', "\\", "/")
        return escape[0] if code[0].isalnum() else code

    # What stands between them.

    def _next(self) -> str:
        """Goes to the next character that means something and returns it; nothing at the end of the text or a fence."""
        while True:
            gap = _GAP.match(self._text, self.at)
            assert gap is not None, "it may be empty"
            if gap[0] and "/" in gap[0]:
                self._repairs += 1
            self.at = gap.end()
            char = self._text[self.at : self.at + 1]
            if char == "`" and self._text.startswith(_FENCE, self.at):
                return ""
            end = self._tags.end(self.at) if char == "<" else 0
            if not end:
                return char
            self._repairs += 1
            self.at = end

    def _pass_over(self, why: str) -> None:
        """Goes to the next character that may begin something."""
        self._doubt(why)
        match = _SIGNIFICANT.search(self._text, self.at + 1)
        self.at = match.start() if match else len(self._text)
