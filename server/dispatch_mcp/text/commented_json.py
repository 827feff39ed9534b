"""JSON with comments and trailing commas, read and changed in place: all else stays as it is, to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dispatch_mcp.text import json_types

# No group here is possessive: before 3.11.5, Python goes wrong in one that can go back inside.
_BLANK = re.compile(r"(?:[ \t\r\n\ufeff]++|//[^\n]*+|/\*[^*]*+(?:\*(?!/)[^*]*+)*\*/)*")
"""White space and comments."""
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*+"')
_PLAIN = re.compile(r"-?[0-9][0-9eE+.\-]*+|true|false|null")
_INDENT = re.compile(r"^([ \t]++)\S", re.MULTILINE)
MAX_DEPTH = 200


class Unreadable(ValueError):
    """The text is not JSON, or not an object where one is needed; the message says where."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands in its text; `members` are those of an object, with the place of each key."""

    value: json_types.Json
    start: int
    end: int
    members: tuple[tuple[str, int, Node], ...] = field(default=())

    def member(self, key: str) -> tuple[int, Node] | None:
        """Returns where the key stands and its value; of two equal keys the last, as every reader takes it."""
        return next(((at, node) for name, at, node in reversed(self.members) if name == key), None)


def parse(text: str) -> json_types.Json:
    """Returns the value of a text; an empty one is an empty object. Raises Unreadable."""
    return _root(text).value


def put(text: str, keys: Sequence[str], value: json_types.Json) -> str:
    """Returns the text with `value` under the keys, in its own style; everything else stays. Raises Unreadable."""
    root = _root(text)
    if root.end == root.start:
        end = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{end}{_rendered(_nested(keys, value), '  ', 0)}\n"
    node, depth = root, 0
    while depth < len(keys) and (member := node.member(keys[depth])) is not None:
        node, depth = member[1], depth + 1
    if depth == len(keys):
        return text[: node.start] + _in_style(text, value, depth) + text[node.end :]
    if not json_types.is_object(node.value):
        raise Unreadable(f"{'.'.join(keys[:depth]) or 'the file'} is no object")
    return _with_member(text, node, keys[depth], _nested(keys[depth + 1 :], value), depth + 1)


def take_out(text: str, keys: Sequence[str]) -> str:
    """Returns the text without what is under the keys; the same if there is nothing. Raises Unreadable."""
    node = before = _root(text)
    key_at = node.start
    for key in keys:
        member = node.member(key)
        if member is None:
            return text
        before, (key_at, node) = node, member
    start = len(_without_blank_end(text[:key_at], before.start))
    after = _skip(text, node.end)
    if text[after] == ",":
        return text[:start] + text[after + 1 :]
    last = max((inner.end for _, at, inner in before.members if at < key_at), default=None)
    if last is None:
        return text[:start] + text[node.end :]
    comma = _skip(text, last)
    return text[:comma] + text[comma + 1 : start] + text[node.end :]


def _root(text: str) -> Node:
    start = _skip(text, 0)
    if start == len(text):
        return Node({}, start, start)
    node = _value(text, start, 0)
    rest = _skip(text, node.end)
    if rest != len(text):
        raise _trouble(text, rest, "there is more behind the end")
    return node


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _value(text: str, at: int, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise _trouble(text, at, f"it is nested deeper than {MAX_DEPTH} levels")
    opening = text[at : at + 1]
    if opening == "{":
        return _object(text, at, depth)
    if opening == "[":
        nodes = list(_items(text, at, depth))
        return Node([node.value for node in nodes[:-1]], at, nodes[-1].end)
    match = _STRING.match(text, at) or _PLAIN.match(text, at)
    if match is None:
        raise _trouble(text, at, "a value is missing")
    return Node(_decoded(text, match), at, match.end())


def _decoded(text: str, match: re.Match[str]) -> json_types.Json:
    try:
        value: json_types.Json = json.loads(match[0])
    except ValueError:
        raise _trouble(text, match.start(), f"{match[0][:40]!r} is no value") from None
    return value


def _items(text: str, at: int, depth: int) -> Iterator[Node]:
    """Yields the values of a list, and last a node that ends where the list does."""
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        node = _value(text, at, depth + 1)
        yield node
        at = _behind_comma(text, node.end, "]")
    yield Node(None, at, at + 1)


def _object(text: str, start: int, depth: int) -> Node:
    members: list[tuple[str, int, Node]] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        key = _STRING.match(text, at)
        if key is None:
            raise _trouble(text, at, 'a name in "quotes" is missing')
        colon = _skip(text, key.end())
        if text[colon : colon + 1] != ":":
            raise _trouble(text, colon, "a colon is missing")
        node = _value(text, _skip(text, colon + 1), depth + 1)
        members.append((str(_decoded(text, key)), at, node))
        at = _behind_comma(text, node.end, "}")
    return Node({name: node.value for name, _, node in members}, start, at + 1, tuple(members))


def _behind_comma(text: str, at: int, end: str) -> int:
    """Returns where the next member begins, or the end of the container stands."""
    at = _skip(text, at)
    if text[at : at + 1] == ",":
        return _skip(text, at + 1)
    if text[at : at + 1] != end:
        raise _trouble(text, at, f"a comma or {end!r} is missing")
    return at


def _trouble(text: str, at: int, reason: str) -> Unreadable:
    line = text.count("\n", 0, at) + 1
    return Unreadable(f"line {line}: {reason}")


def _with_member(text: str, node: Node, key: str, value: json_types.Json, depth: int) -> str:
    """Returns the text with one member more at the end of an object; comments stay with what they stand behind."""
    closing = node.end - 1
    body = _without_blank_end(text[:closing], node.start)
    blank = text[len(body) : closing]
    comma = ""
    if node.members:
        last = node.members[-1][2].end
        if text[_skip(text, last)] != ",":
            body = f"{body[:last]},{body[last:]}"
            comma = ","
    name = json.dumps(key, ensure_ascii=False)
    if node.members and "\n" not in blank:
        line = f" {name}: {json.dumps(value, ensure_ascii=False)}"
        return f"{body}{line}{'' if comma else ','}{blank}{text[closing:]}"
    newline, indent = _newline(text), _indent(text)
    member = f"{newline}{indent * depth}{name}: {_in_style(text, value, depth)}"
    end = blank if "\n" in blank else f"{newline}{indent * (depth - 1)}"
    return f"{body}{member}{'' if comma or not node.members else ','}{end}{text[closing:]}"


def _without_blank_end(text: str, start: int) -> str:
    """Returns the text without white space at its end, but with all up to `start`."""
    return text[: start + 1] + text[start + 1 :].rstrip(" \t\r\n")


def _nested(keys: Sequence[str], value: json_types.Json) -> json_types.Json:
    for key in reversed(keys):
        value = {key: value}
    return value


def _in_style(text: str, value: json_types.Json, depth: int) -> str:
    return _rendered(value, _indent(text), depth).replace("\n", _newline(text))


def _rendered(value: json_types.Json, indent: str, depth: int) -> str:
    """Returns a value as JSON, lists of plain values in one line."""
    if json_types.is_object(value) and value:
        inner = indent * (depth + 1)
        rows = [f"{inner}{json.dumps(key)}: {_rendered(part, indent, depth + 1)}" for key, part in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent * depth}}}"
    return json.dumps(value, ensure_ascii=False)


def _indent(text: str) -> str:
    match = _INDENT.search(text)
    return match[1] if match else "  "


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
