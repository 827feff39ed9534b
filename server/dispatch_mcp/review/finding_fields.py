"""Findings and rulings as reviewers write them: other names, other words and other shapes of the same fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeGuard, TypeVar

from dispatch_mcp import model
from dispatch_mcp.review.findings import EarlierRuling, Finding, Severity, Verdict
from dispatch_mcp.text import damaged_json, escape, json_types

_Word = TypeVar("_Word", bound=str)

MAX_FIELD: Final = 4_000
"""Characters of one field that are kept."""

MAX_PATHS: Final = 1_000
"""Files named as read that are kept."""

MAX_WORD: Final = 60
"""Characters among which a word of the form is looked for, and that are shown of a value that cannot be read."""


def _synonyms(table: Mapping[_Word, str]) -> Mapping[str, _Word]:
    """Returns the word of the form for each of its synonyms, which blanks part."""
    return {synonym: word for word, synonyms in table.items() for synonym in synonyms.split()}


# Other words that models write for those of the form.
VERDICTS: Final[Mapping[str, Verdict]] = _synonyms({"PASS": "pass passed", "FAIL": "fail failed"})
SEVERITIES: Final[Mapping[str, Severity]] = _synonyms(
    {
        "critical": "critical blocker",
        "high": "high major",
        "medium": "medium moderate",
        "low": "low minor info informational note nit",
    }
)
_ALIASES: Final = _synonyms(
    {
        "file": "path filename location",
        "line": "line_number lines",
        "quote": "quoted_text quoted text code snippet",
        "claim": "title message description issue problem comment",
        "evidence": "proof why",
        "fix": "suggestion recommendation remedy",
        "finding": "id",
        "files": "files_read read_files",
        "findings": "issues problems concerns comments",
        "earlier": "rulings",
    }
)
_TELLING: Final = ("quote", "claim", "file", "evidence", "fix")
_NOTHING: Final = frozenset({"", "[]", "{}", "none", "none.", "(none)", "-", "n/a", "no findings", "no findings."})
_AROUND = re.compile(r"\A\W+|\W+\Z")
_AGAINST = re.compile(r"[?\uff1f¿¬❌✗✘❓⁇]|~~|\A\W{0,9}!")
_BETWEEN = re.compile(r"[,;\n]")
_NUMBER = re.compile(r"\d{1,9}")
_PLACE = re.compile(r"(?P<file>.{1,400}?):(?P<line>\d{1,9})(?:[-:]\d{1,9})?")


def name(word: str) -> str:
    """Returns what the form calls a field."""
    own = plain(word)
    return _ALIASES.get(own, own)


def plain(word: str) -> str:
    """Returns a word without what models write differently in it: capitals, blanks and hyphens."""
    return word.strip().lower().replace(" ", "_").replace("-", "_")


def named(item: Mapping[str, model.Json]) -> dict[str, model.Json]:
    """Returns an object under the names of the form; the proper name of a field goes before another one."""
    fields: dict[str, model.Json] = {}
    proper = {key: value for key, value in item.items() if key.strip().lower() == name(key)}
    for key, value in (*proper.items(), *item.items()):
        fields.setdefault(name(key), value)
    return fields


def plain_word(value: model.Json) -> str:
    """Returns the word that a value is, without the marks around it, in lower case."""
    return _AROUND.sub("", shown(value)).lower()


def verdict_word(value: model.Json) -> str:
    """Returns the word that a verdict is; one that is doubted, negated or struck out keeps the mark, and is none."""
    text = shown(value)
    marks = _AGAINST.search(text)
    return f"{plain_word(text)}{marks[0]}" if marks else plain_word(text)


def shown(value: model.Json) -> str:
    """Returns the beginning of a value as text."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # a number of thousands of digits
        text = "a number"
    return text.strip()[:MAX_WORD]


def listed(value: model.Json) -> Sequence[model.Json] | None:
    """Returns findings as a list: a list of them, one alone, several by name or severity, none in any words.

    None is returned for what is neither.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = next((piece.value.get("list") for piece in damaged_json.objects(f'{{"list": {value}}}')), value)
    if json_types.is_list(value):
        return value
    if not json_types.is_object(value):
        return () if value is None or shown(value).lower() in _NOTHING else None
    if "severity" in named(value):
        return (value,)
    items: list[model.Json] = []
    for key, part in value.items():
        severity = SEVERITIES.get(plain_word(key))
        items += [
            {"severity": severity, **item} if severity and json_types.is_object(item) else item
            for item in (part if json_types.is_list(part) else (part,))
        ]
    return items


def paths(value: model.Json) -> list[str]:
    """Returns the paths that a value names: a list of them, of objects with a file each, or a text with several."""
    if isinstance(value, str):
        return [path for part in _BETWEEN.split(value[: MAX_FIELD * 4]) if (path := part.strip("`'\"*[]() \t"))][
            :MAX_PATHS
        ]
    items = value if json_types.is_list(value) else (value,) if json_types.is_object(value) else ()
    names = [named(item).get("file") if json_types.is_object(item) else item for item in items[:MAX_PATHS]]
    return [name.strip() for name in names if isinstance(name, str) and name.strip()]


def is_finding(value: model.Json) -> TypeGuard[Mapping[str, model.Json]]:
    """Returns whether a value has the shape of a finding: a severity, and something else about what is wrong."""
    if not json_types.is_object(value):
        return False
    fields = named(value)
    return "severity" in fields and any(fields.get(name) for name in _TELLING)


def within(value: model.Json) -> Sequence[model.Json]:
    """Returns the items of lists with a finding in them, or a finding with a severity of the form alone; else none."""
    if json_types.is_list(value):
        lists = (item for item in value if json_types.is_list(item))
        return value if any(map(is_finding, value)) else [item for part in lists for item in within(part)]
    return (value,) if is_finding(value) and plain_word(named(value)["severity"]) in SEVERITIES else ()


def finding(reviewer: str, item: model.Json) -> Finding | str:
    """Returns a finding, or why it cannot be read."""
    if not json_types.is_object(item):
        return f"a finding is no object but {shown(item)!r}"
    fields = named(item)
    word = plain_word(fields.get("severity", ""))
    severity = SEVERITIES.get(word)
    if severity is None:
        return f"a finding has the severity {word[:40]!r}"
    file, line = _place(fields)
    return Finding(
        reviewer=reviewer,
        severity=severity,
        file=file,
        line=line,
        quote=_unquoted(_text(fields.get("quote"), strip=False)),
        claim=_text(fields.get("claim")),
        evidence=_text(fields.get("evidence")),
        fix=_text(fields.get("fix")),
    )


def rulings(reviewer: str, items: model.Json, most: int) -> tuple[EarlierRuling, ...]:
    """Returns what was ruled on earlier findings, of at most so many items; what cannot be read is left out."""
    candidates: Iterable[model.Json] = items[:most] if json_types.is_list(items) else ()
    return tuple(ruling for item in candidates if (ruling := _ruling(reviewer, item)) is not None)


def _ruling(reviewer: str, item: model.Json) -> EarlierRuling | None:
    if not json_types.is_object(item):
        return None
    fields = named(item)
    word = plain_word(fields.get("ruling") or fields.get("status") or "")
    subject = fields.get("finding")
    if word not in ("stands", "gone", "refuted") or not isinstance(subject, str):
        return None
    file, line = _place(fields)
    return EarlierRuling(
        finding=subject.strip(),
        ruling=word,
        reviewer=reviewer,
        file=file,
        line=line,
        quote=_unquoted(_text(fields.get("quote"), strip=False)),
        evidence=_text(fields.get("evidence")),
    )


def _place(fields: Mapping[str, model.Json]) -> tuple[str, int]:
    """Returns file and line; a line may stand behind its file."""
    file, line = _text(fields.get("file")).strip("`\"' "), _number(fields.get("line"))
    match = None if line else _PLACE.fullmatch(file)
    return (match["file"], int(match["line"])) if match else (file, line)


def _text(value: model.Json, *, strip: bool = True) -> str:
    if value is None:
        return ""
    if json_types.is_list(value) and value and all(isinstance(line, str) for line in value):
        value = "\n".join(value)
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # a number of thousands of digits
        return ""
    text = escape.encodable(text[:MAX_FIELD])
    return text.strip() if strip else text.strip("\n")


def _number(value: model.Json) -> int:
    match = None if isinstance(value, bool) else _NUMBER.search(shown(value))
    return int(match[0]) if match else 0


def _unquoted(text: str) -> str:
    core = text.strip()
    for mark in ("```", "`", '"', "'"):
        if len(core) > 2 * len(mark) and core.startswith(mark) and core.endswith(mark):
            return core[len(mark) : -len(mark)].strip("\n")
    return text
