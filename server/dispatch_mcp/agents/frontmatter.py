"""The header of an agent file as JSON values, however badly it is written.

Some agent files in the wild are not YAML (docs/rules.md#agent-files), so
what PyYAML refuses is read line by line. Anchors and aliases are refused: a small file could otherwise unfold to
gigabytes.
"""

from __future__ import annotations

import datetime as dt
import functools
import re

import yaml

from dispatch_mcp import model
from dispatch_mcp.model import bounds
from dispatch_mcp.text import json_types
from dispatch_mcp.text.reading import excerpts

MAX_DEPTH = 12
MAX_ITEMS = 500

_FENCE = re.compile(r"^---[ \t]*$", re.MULTILINE)
_END = re.compile(r"^-{3,}[ \t]*$", re.MULTILINE)
"""The line that ends a header: editors draw it as long as they like."""

_KEYS = (
    "name description tools disallowed_tools disallowedtools model color keywords examples triggers knowledge priority "
    "domain capabilities receives excludes fallback inputs aliases permission_mode permissionmode max_turns maxturns "
    "isolation effort hooks skills mcp_servers mcpservers memory version author tags category proactive allowed_tools "
    "allowed-tools disallowed-tools permission-mode max-turns background when focus"
)
_LINE = re.compile(rf"^({'|'.join(map(re.escape, _KEYS.split()))})[ \t]*+:[ \t]*+(.*)$", re.IGNORECASE)
_ALIAS = re.compile(r"(?:^|[\s:,\[{-])[&*][A-Za-z0-9_]", re.MULTILINE)
_TABS = re.compile(r"^\t++", re.MULTILINE)
_QUOTES = "\"'"
_BLOCK = re.compile(r"^[|>][+-]?\d?$")
_NAMES = {
    "disallowedtools": "disallowed_tools",
    "disallowed-tools": "disallowed_tools",
    "permissionmode": "permission_mode",
    "permission-mode": "permission_mode",
    "mcpservers": "mcp_servers",
    "allowed-tools": "tools",
    "allowed_tools": "tools",
    "maxturns": "max_turns",
    "max-turns": "max_turns",
}
_BOOLEAN = "tag:yaml.org,2002:bool"
_TEXT = "tag:yaml.org,2002:str"
_BASE: type[yaml.SafeLoader | yaml.CSafeLoader] = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_TRUTH = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")


class _LOADER(_BASE):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass] - whichever is there
    """YAML in which `on`, `off`, `yes` and `no` are words: an agent may be called so."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOLEAN]
        for first, resolvers in _BASE.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:  # noqa: FBT001, FBT002  # as PyYAML
        """Returns what a node stands for; nearly all are texts, which need no way through all constructors."""
        if node.tag == _TEXT and isinstance(node.value, str):
            return node.value
        return super().construct_object(node, deep)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - untyped


for _first in "tTfF":
    _LOADER.yaml_implicit_resolvers[_first].append((_BOOLEAN, _TRUTH))


def read_front_matter(text: str) -> tuple[dict[str, model.Json], str, list[str]]:
    """Returns the header, the body after it, and what was odd; a text without a header is all body."""
    header, body, notes = _read(text)
    return dict(header), body, list(notes)


@functools.lru_cache(maxsize=1)
def _read(text: str) -> tuple[dict[str, model.Json], str, list[str]]:
    """Returns the same; whether a file is an agent and which one are two questions about one text."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.startswith("---"):
        return {}, text.strip("\n"), ["no front matter"]
    begin = _FENCE.match(text)
    if begin is None:
        return {}, text.strip("\n"), ["no front matter"]
    end = _END.search(text, begin.end(), excerpts.FRONT_MATTER.chars + 8)
    if end is None:
        return {}, text[begin.end() :].strip("\n"), ["front matter does not end"]
    header, notes = parse(text[begin.end() : end.start()])
    return header, text[end.end() :].strip("\n"), notes


def parse(header: str) -> tuple[dict[str, model.Json], list[str]]:
    """Returns the keys of a header in lower case with underscores as used by Claude Code, and what was odd."""
    notes: list[str] = []
    if _TABS.search(header):
        notes.append("tabs indent its front matter and are read as blanks")
        header = _TABS.sub(lambda tabs: "  " * len(tabs[0]), header)
    try:
        values = _load(header)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        notes.append(f"front matter is not YAML and was read line by line ({type(error).__name__})")
        values = None
    if not json_types.is_object(values):
        if not notes and header.strip():
            notes.append("front matter is not a mapping and was read line by line")
        return _by_line(header), notes
    return {_key(name): plain(value) for name, value in list(values.items())[:MAX_ITEMS]}, notes


def plain(value: object, depth: int = 0) -> model.Json:
    """Returns a JSON value for anything that YAML can hold; None for what is too deep or beyond 64 bits."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) or depth >= MAX_DEPTH:
        return value if isinstance(value, int | float) and abs(value) < bounds.MAX_INTEGER else None
    if isinstance(value, dt.date):
        return value.isoformat()
    if json_types.is_object(value):
        return {str(key)[:200]: plain(item, depth + 1) for key, item in list(value.items())[:MAX_ITEMS]}
    if json_types.is_list(value):
        return [plain(item, depth + 1) for item in value[:MAX_ITEMS]]
    return str(value)[:1000]


def text(value: model.Json) -> str:
    """Returns the value as text: a string as it is, a list joined, nothing for None and mappings."""
    if isinstance(value, str):
        return value
    if json_types.is_list(value):
        return ", ".join(text(item) for item in value)
    if value is None or isinstance(value, dict):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def strings(value: model.Json) -> tuple[str, ...]:
    """Returns the names in a list, or in a string with commas between them."""
    parts = [text(item) for item in value] if json_types.is_list(value) else text(value).strip("[]").split(",")
    return tuple(part.strip().strip(_QUOTES) for part in parts if part.strip())


def lines(value: model.Json) -> tuple[str, ...]:
    """Returns the sentences in a list, or the lines of a string without list marks."""
    parts = [text(item) for item in value] if json_types.is_list(value) else text(value).splitlines()
    return tuple(part.strip().removeprefix("- ").strip().strip(_QUOTES) for part in parts if part.strip())


def _load(header: str) -> object:
    if _ALIAS.search(header):
        raise ValueError("aliases are not read")
    if header.count("[") + header.count("{") > 200 or header.count("- - ") > 20:
        raise ValueError("nested too deeply")
    return _document(_LOADER(header))


def yaml_value(text: str) -> object:
    """Returns the value of a YAML text of our own, read by libyaml where it is there. Raises yaml.YAMLError."""
    return _document(_BASE(text))


def _document(loader: yaml.SafeLoader | yaml.CSafeLoader) -> object:
    try:
        return loader.get_single_data()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - untyped
    finally:
        loader.dispose()  # pyright: ignore[reportUnknownMemberType] - untyped in its stubs


def _by_line(header: str) -> dict[str, model.Json]:
    rows_by_key: dict[str, list[str]] = {}
    current: list[str] = []
    for line in header.splitlines():
        match = _LINE.match(line)
        if match and match.group(1).lower() not in rows_by_key:
            current = rows_by_key.setdefault(match.group(1).lower(), [])
            current.append("" if _BLOCK.match(match.group(2).strip()) else match.group(2))
        else:
            current.append(line)
    return {_key(name): _unquoted("\n".join(rows)) for name, rows in rows_by_key.items()}


def _unquoted(value: str) -> str:
    value = value.replace("\\n", "\n").strip()
    if len(value) > 1 and value[0] in _QUOTES and value[-1] == value[0]:
        return value[1:-1]
    return value


def _key(name: object) -> str:
    key = str(name).strip()[:100]
    return _NAMES.get(key.lower(), key.lower())
