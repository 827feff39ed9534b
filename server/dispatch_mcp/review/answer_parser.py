"""Reviewers' answers read into reports: lenient about form, strict about meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from dispatch_mcp import model
from dispatch_mcp.review import findings
from dispatch_mcp.review.findings import EarlierRuling, Finding, ReviewReport, Severity, Verdict
from dispatch_mcp.text import json_types

_Word = TypeVar("_Word", bound=str)

MAX_TEXT: Final = 400_000
MAX_FINDINGS: Final = 200
MAX_FIELD: Final = 4_000
_TRIES = 400

# `VERDICT: PASS`, also in bold, in a heading or a list, and as `**Final verdict** = "fail".`
_VERDICT_LINE = re.compile(
    r"^[\s#>*_`-]{0,12}(?:final\s++)?verdict[\s*_`]*+[:=][\s*_`\"']*+([^\W_]++)[ \t\r*_`\"'.,!]*+$",
    re.IGNORECASE | re.MULTILINE,
)
_VERDICTS: Final[Mapping[str, Verdict]] = {"pass": "PASS", "passed": "PASS", "fail": "FAIL", "failed": "FAIL"}


def _synonyms(table: Mapping[_Word, str]) -> Mapping[str, _Word]:
    """Returns the word of the form for each of its synonyms, which blanks part."""
    return {synonym: word for word, synonyms in table.items() for synonym in synonyms.split()}


# Other words that models write for those of the form.
_SEVERITY: Final[Mapping[str, Severity]] = _synonyms(
    {
        "critical": "critical blocker",
        "high": "high major",
        "medium": "medium moderate",
        "low": "low minor info informational note nit",
    }
)
_ALIASES: Final = _synonyms(
    {
        "file": "path filename",
        "line": "line_number lines",
        "quote": "quoted_text quoted text code snippet",
        "claim": "title message description issue problem",
        "evidence": "proof why",
        "fix": "suggestion recommendation remedy",
        "finding": "id",
    }
)
_FIELDS: Final = frozenset({"severity", "file", "line", "quote", "claim", "evidence", "fix"})
_ITEM = re.compile(r"^\s*(?:[-*]|\d+[.)])\s+[*_`]*([A-Za-z][\w ]{1,20}?)[*_`]*\s*:\s*(.*)$")
_FIELD = re.compile(r"^\s*[*_`]*([A-Za-z][\w ]{1,20}?)[*_`]*\s*:\s*(.*)$")
_NUMBER = re.compile(r"\d{1,9}")
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_NOTHING = frozenset({"", "[]", "none", "none.", "(none)", "-", "n/a", "no findings", "no findings."})


class Reading(NamedTuple):
    """An answer as it was read; `problem` says why it cannot be used, or is empty."""

    verdict: Verdict | None = None
    findings: tuple[Finding, ...] = ()
    rulings: tuple[EarlierRuling, ...] = ()
    problem: str = ""


def read(reviewer: str, answer: model.Json) -> Reading:
    """Returns what an answer says: an object, a text that ends with one, or the form of the reviewers' files.

    Unusable is an answer without a verdict, with two different ones, with a severity that is none, or with findings
    that cannot be read. Findings that could be read are kept even then: a proven fault counts whoever forgot to judge.
    """
    if json_types.is_object(answer):
        return _object(reviewer, answer)
    if not isinstance(answer, str) or not answer.strip():
        return Reading(problem="there is no answer")
    text = answer[-MAX_TEXT:]
    objects = [item for item in _objects(text) if "verdict" in _named(item)]
    if not objects:
        return _lines(reviewer, text)
    readings = [_object(reviewer, item) for item in objects]
    last = readings[-1]
    verdicts = {reading.verdict for reading in readings} | {
        _VERDICTS.get(word.lower()) for word in _VERDICT_LINE.findall(text)
    }
    if len(verdicts - {None}) > 1:
        return last._replace(verdict=None, problem="it holds both verdicts")
    return last


def report(reviewer: str, answer: model.Json, *, role: findings.Role = "reviewer", part: int = 1) -> ReviewReport:
    """Returns the report that an answer is, with findings not yet checked against the change."""
    reading = read(reviewer, answer)
    return ReviewReport(
        reviewer=reviewer,
        verdict=None if reading.problem else reading.verdict,
        findings=reading.findings,
        rulings=reading.rulings,
        role=role,
        part=part,
        problem=reading.problem,
    )


def answer_of(outcome: model.Outcome) -> model.Json:
    """Returns the answer that an outcome carries: its output, or what its handoff says was done."""
    if isinstance(outcome.output, str) and not outcome.output.strip():
        return outcome.handoff.completed_work or outcome.summary
    return outcome.output if outcome.output is not None else outcome.handoff.completed_work or outcome.summary


def _objects(text: str) -> Iterator[Mapping[str, model.Json]]:
    """Yields the JSON objects of a text that stand in no other one."""
    decoder = json.JSONDecoder(strict=False)
    at = text.find("{")
    for _ in range(_TRIES):
        if at < 0:
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            value, end = _repaired(text, at)
        if json_types.is_object(value):
            yield value
        at = text.find("{", max(end, at + 1))


def _repaired(text: str, at: int) -> tuple[model.Json, int]:
    """Returns the object that begins at a place if only commas too many keep it from being one."""
    end = text.find("\n```", at)
    end = len(text) if end < 0 else end
    source = _TRAILING_COMMA.sub(r"\1", text[at:end])
    if len(source) == end - at:
        return None, at + 1
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(source)
    except (ValueError, RecursionError):
        return None, at + 1
    return value, end


def _object(reviewer: str, answer: Mapping[str, model.Json]) -> Reading:
    fields = _named(answer)
    word = str(fields.get("verdict", "")).strip().strip("*_`.\"'").lower()
    verdict = _VERDICTS.get(word)
    value = fields.get("findings")
    items = (
        value
        if json_types.is_list(value)
        else ()
        if value in (None, "", {}) or str(value).strip().lower() in _NOTHING
        else None
    )
    if items is None:
        return Reading(verdict, problem=f"its findings are no list but {str(value)[:60]!r}")
    return _reading(reviewer, verdict, word, items, fields.get("earlier") or fields.get("rulings"))


def _reading(
    reviewer: str, verdict: Verdict | None, word: str, items: Sequence[model.Json], rulings: model.Json = None
) -> Reading:
    results: list[Finding] = []
    problem = "" if verdict else f"its verdict is {word[:40]!r}" if word else "it has no verdict"
    for item in items[:MAX_FINDINGS]:
        finding = _finding(reviewer, item)
        if isinstance(finding, str):
            problem = problem or finding
        else:
            results.append(finding)
    earlier = (
        tuple(filter(None, (_ruling(reviewer, item) for item in rulings[:MAX_FINDINGS])))
        if json_types.is_list(rulings)
        else ()
    )
    if len(items) > MAX_FINDINGS:
        problem = problem or f"it has {len(items)} findings; at most {MAX_FINDINGS} are read"
    return Reading(verdict, tuple(results), earlier, problem)


def _finding(reviewer: str, item: model.Json) -> Finding | str:
    if not json_types.is_object(item):
        return f"a finding is no object but {str(item)[:60]!r}"
    fields = _named(item)
    word = str(fields.get("severity", "")).strip().strip("*_`[]()\"'.").lower()
    severity = _SEVERITY.get(word)
    if severity is None:
        return f"a finding has the severity {word[:40]!r}"
    return Finding(
        reviewer=reviewer,
        severity=severity,
        file=_text(fields.get("file")).strip("`\"' "),
        line=_number(fields.get("line")),
        quote=_unquoted(_text(fields.get("quote"), strip=False)),
        claim=_text(fields.get("claim")),
        evidence=_text(fields.get("evidence")),
        fix=_text(fields.get("fix")),
    )


def _ruling(reviewer: str, item: model.Json) -> EarlierRuling | None:
    if not json_types.is_object(item):
        return None
    fields = _named(item)
    word = str(fields.get("ruling") or fields.get("status") or "").strip().lower()
    if word not in ("stands", "gone", "refuted") or not isinstance(fields.get("finding"), str):
        return None
    return EarlierRuling(
        finding=fields["finding"].strip(),
        ruling=word,
        reviewer=reviewer,
        file=_text(fields.get("file")).strip("`\"' "),
        line=_number(fields.get("line")),
        quote=_unquoted(_text(fields.get("quote"), strip=False)),
        evidence=_text(fields.get("evidence")),
    )


def _named(item: Mapping[str, model.Json]) -> dict[str, model.Json]:
    fields: dict[str, model.Json] = {}
    for key, value in item.items():
        name = key.strip().lower().replace(" ", "_").replace("-", "_")
        fields.setdefault(_ALIASES.get(name, name), value)
    return fields


def _text(value: model.Json, *, strip: bool = True) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.encode("utf-8", "replace").decode("utf-8")[:MAX_FIELD]
    return text.strip() if strip else text.strip("\n")


def _number(value: model.Json) -> int:
    if isinstance(value, bool):
        return 0
    match = _NUMBER.search(str(value))
    return int(match[0]) if match else 0


def _unquoted(text: str) -> str:
    core = text.strip()
    for mark in ("```", "`", '"', "'"):
        if len(core) > 2 * len(mark) and core.startswith(mark) and core.endswith(mark):
            return core[len(mark) : -len(mark)].strip("\n")
    return text


def _lines(reviewer: str, text: str) -> Reading:
    """Reads the form of the reviewers' files: a line `VERDICT:`, then a list of findings, one key a line."""
    words = [word.lower() for word in _VERDICT_LINE.findall(text)]
    verdicts: set[Verdict | None] = {_VERDICTS.get(word) for word in words}
    verdict = next(iter(verdicts)) if len(verdicts) == 1 else None
    reading = _reading(reviewer, verdict, words[-1] if words else "", list(_items(text)))
    return reading._replace(problem="it holds both verdicts") if len(verdicts - {None}) > 1 else reading


def _items(text: str) -> Iterator[dict[str, model.Json]]:
    """Yields the findings that stand in lines; each begins with a list mark and its severity."""
    current: dict[str, model.Json] = {}
    name = ""
    for line in text.split("\n"):
        start = _ITEM.match(line)
        field = start or _FIELD.match(line)
        key = _field(field[1]) if field else ""
        if start and key == "severity":
            if current:
                yield current
            current, name = {"severity": start[2]}, "severity"
        elif field and current and key and key not in current:
            current[key], name = ("" if field[2].strip() in ("|", ">", "|-", ">-") else field[2]), key
        elif current and name and name != "severity" and line.strip() and not _VERDICT_LINE.match(line):
            current[name] = f"{current[name]}\n{line}".lstrip("\n")
        elif not line.strip() and name != "quote":
            name = ""
    if current:
        yield current


def _field(name: str) -> str:
    plain = name.strip().lower().replace(" ", "_")
    plain = _ALIASES.get(plain, plain)
    return plain if plain in _FIELDS else ""
