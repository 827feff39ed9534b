"""Reviewers' answers read into reports: lenient about form, strict about meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.review import answer_lines, contradictions, finding_fields, findings
from dispatch_mcp.review.findings import EarlierRuling, Finding, ReviewReport, Verdict
from dispatch_mcp.text import damaged_json, json_types
from dispatch_mcp.text.reading import excerpts, settled_fields

MAX_FINDINGS: Final = 200
_FINDING = re.compile(r"\{\s*+[\"'“]?severity\b", re.IGNORECASE)
_TOP: Final = frozenset({"verdict", "files", "findings", "earlier"})
_NO_VERDICT: Final = "it has no verdict"
_BOTH: Final = "it holds both verdicts"
_BARE: Final = "it says PASS in words only, without a list of findings, not even an empty one"


class AnswerReading(NamedTuple):
    """An answer as it was read; `problem` says why it cannot be used, or is empty."""

    verdict: Verdict | None = None
    findings: tuple[Finding, ...] = ()
    rulings: tuple[EarlierRuling, ...] = ()
    problem: str = ""
    files: tuple[str, ...] = ()


class _Draft(NamedTuple):
    """An object with a verdict or findings. `problem` is what was wrong with its form."""

    fields: Mapping[str, model.Json]
    problem: str = ""


def read(reviewer: str, answer: model.Json) -> AnswerReading:
    """Returns what an answer says: an object, a text that ends with one, or findings in lines.

    Unusable is an answer without a verdict, with two different ones, with a severity that is none, with findings that
    cannot be read, or one that ends in the middle; so is a PASS that its words contradict, or that stands in a
    sentence. Findings that could be read are kept even then: a proven fault counts whoever forgot to judge.
    """
    answer = settled_fields.without(answer)
    if json_types.is_object(answer):
        drafts = [_Draft(fields) for fields in _answers(answer)]
        if not drafts:
            return _of_wrapped_text(reviewer, answer)
        problem = _misplaced(answer) or contradictions.of_fields(answer)
        return _agreed(_joined(reviewer, drafts, ""), "\n".join(_own_words(answer)), problem)
    if not isinstance(answer, str) or not answer.strip():
        return AnswerReading(problem="there is no answer")
    text = excerpts.REVIEW.of(answer)
    reading, is_exact = _of_text(reviewer, text)
    remainder = text if is_exact else damaged_json.without_reminders(text)
    if remainder == text:
        return reading
    # Tags in two texts of an answer look like a block that a harness put in; cutting it out must not cost a finding.
    other, _ = _of_text(reviewer, remainder)
    more = len(other.findings) - len(reading.findings)
    return other if (more >= 0 and not other.problem) or (more > 0 and reading.problem) else reading


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
        files=reading.files,
    )


def answer_of(outcome: model.Outcome) -> model.Json:
    """Returns the answer that an outcome carries: its output, or what its handoff says was done."""
    if isinstance(outcome.output, str) and not outcome.output.strip():
        return outcome.handoff.completed_work or outcome.summary
    return outcome.output if outcome.output is not None else outcome.handoff.completed_work or outcome.summary


def _of_text(reviewer: str, text: str) -> tuple[AnswerReading, bool]:
    """Returns what a text says, and whether nothing had to be repaired to read it."""
    pieces = list(_objects(text))
    drafts = list(_drafts(pieces))
    outside = _outside(text, pieces)
    if drafts:
        reading = _joined(reviewer, drafts, outside)
        words = "\n".join([outside, *(word for piece in pieces for word in _own_words(piece.value))])
        fields = filter(None, (contradictions.of_fields(piece.value) for piece in pieces))
        reading = _agreed(reading, words, _misplaced_in(text, pieces) or next(fields, ""))
    else:
        plain = damaged_json.without_reminders(text, "\n")
        reading = _agreed(_of_lines(reviewer, plain), answer_lines.own_words(plain))
    if not reading.findings and (reading.problem or not drafts):
        loose = _joined(reviewer, [_loose_findings(text)], outside)
        other = reading._replace(findings=loose.findings) if drafts else loose
        reading = other if loose.findings else reading
    return reading, all(piece.exact for piece in pieces)


def _objects(text: str) -> Iterator[damaged_json.Piece]:
    """Yields the objects in a text, without what they call settled."""
    for piece in damaged_json.objects(text):
        yield piece._replace(value=settled_fields.of_object(piece.value))


def _drafts(pieces: Iterable[damaged_json.Piece]) -> Iterator[_Draft]:
    """Yields the answers among the objects of a text; nothing that stands in one that was cut off is another one."""
    for piece in pieces:
        for fields in _answers(piece.value):
            yield _Draft(fields, "; ".join(piece.doubts))
        if not piece.whole and _is_answer(piece.value):
            return


def _loose_findings(text: str) -> _Draft:
    """Returns the findings that stand alone in a text, or in an answer that could not be read."""
    start = _FINDING.search(text)
    pieces = damaged_json.objects(text[start.start() :]) if start else ()
    loose = [piece for piece in pieces if finding_fields.is_finding(piece.value)]
    doubts = dict.fromkeys(doubt for piece in loose for doubt in piece.doubts)
    return _Draft({"findings": [piece.value for piece in loose]}, "; ".join(doubts))


def _of_wrapped_text(reviewer: str, answer: Mapping[str, model.Json]) -> AnswerReading:
    text = "\n".join(_texts(answer))
    return read(reviewer, text) if text.strip() else AnswerReading(problem=_NO_VERDICT)


def _agreed(reading: AnswerReading, words: str, problem: str = "") -> AnswerReading:
    """Returns a reading, without its PASS where it is misplaced or the reviewer's own words contradict it."""
    if reading.problem or reading.verdict != "PASS":
        return reading
    severities = {finding.severity for finding in reading.findings}
    return reading._replace(problem=problem or contradictions.of_words(words, severities))


def _misplaced(value: model.Json, depth: int = 0) -> str:
    """Returns why an answer is none where it stands in a text of a value; an empty string for any other."""
    if isinstance(value, str):
        return _misplaced_in(value, list(_objects(value)) if "{" in value else [])
    if (
        depth >= json_types.MAX_DEPTH
        or not (json_types.is_object(value) or json_types.is_list(value))
        or _holds_answer(value)
    ):
        return ""
    items = value.values() if json_types.is_object(value) else value
    return next(filter(None, (_misplaced(item, depth + 1) for item in items)), "")


def _misplaced_in(text: str, pieces: Sequence[damaged_json.Piece]) -> str:
    last = next((piece for piece in reversed(pieces) if any(_answers(piece.value))), None)
    if last is None:
        return ""
    return contradictions.of_place(text[: last.first], text[last.end :]) or _misplaced(last.value)


def _holds_answer(value: model.Json) -> bool:
    return json_types.is_object(value) and _is_answer(value)


def _own_words(value: model.Json, depth: int = 0) -> Iterator[str]:
    """Yields what is said in a value beside verdicts, findings and rulings."""
    if isinstance(value, str):
        pieces = list(_objects(value)) if "{" in value else []
        yield _outside(value, pieces)
        for piece in pieces:
            yield from _own_words(piece.value, depth + 1) if depth < json_types.MAX_DEPTH else ()
    elif json_types.is_object(value) and depth < json_types.MAX_DEPTH and not finding_fields.is_finding(value):
        form = _TOP if _is_answer(value) else ()
        for key, item in value.items():
            yield from () if finding_fields.name(key) in form else _own_words(item, depth + 1)
    elif json_types.is_list(value) and depth < json_types.MAX_DEPTH:
        for item in value:
            yield from _own_words(item, depth + 1)


def _outside(text: str, pieces: Sequence[damaged_json.Piece]) -> str:
    """Returns what stands around the objects of a text."""
    parts: list[str] = []
    at = 0
    for piece in pieces:
        parts.append(text[at : piece.first])
        at = max(at, piece.end)
    return "\n".join([*parts, text[at:]])


def _answers(value: model.Json, depth: int = 0) -> Iterator[Mapping[str, model.Json]]:
    """Yields the objects that hold a verdict or findings: the value itself, or what is wrapped in it, in a text too."""
    if isinstance(value, str):
        pieces = _objects(value) if "{" in value else ()
        for piece in pieces:
            yield from _answers(piece.value, depth + 1) if piece.whole else ()
    elif json_types.is_object(value) and _is_answer(value):
        yield value
    elif finding_fields.is_finding(value):
        return
    elif depth < json_types.MAX_DEPTH and (json_types.is_object(value) or json_types.is_list(value)):
        for item in value.values() if json_types.is_object(value) else value:
            yield from _answers(item, depth + 1)


def _is_answer(value: Mapping[str, model.Json]) -> bool:
    names = {key.strip().lower() for key in value}
    return bool(names & {"verdict", "findings"}) or any(map(finding_fields.within, value.values()))


def _texts(value: model.Json, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif json_types.is_object(value) and depth < json_types.MAX_DEPTH:
        for item in value.values():
            yield from _texts(item, depth + 1)


def _joined(reviewer: str, drafts: Sequence[_Draft], outside: str) -> AnswerReading:
    """Returns the last of several answers, whose verdict may stand outside of it; all of them must agree in it.

    What an earlier one found stands as well where the last one passes: a second answer takes no finding back without a
    word. What a problem of form has spoilt counts only when no sound answer follows: objects inside one that never
    closes do.
    """
    readings = [_of_object(reviewer, draft.fields) for draft in drafts]
    words = {finding_fields.VERDICTS.get(word) for word in answer_lines.verdicts(outside)}
    verdicts = ({reading.verdict for reading in readings} | words) - {None}
    union: list[Finding] = []
    for reading in readings:
        union += [finding for finding in reading.findings if finding not in union]
    if len(verdicts) > 1:
        return AnswerReading(None, tuple(union), readings[-1].rulings, _BOTH)
    last = readings[-1]
    if last.problem == _NO_VERDICT and verdicts:
        last = last._replace(verdict=verdicts.pop(), problem="")
    last = last._replace(files=last.files or next((each.files for each in reversed(readings) if each.files), ()))
    if last.verdict == "PASS" or not last.findings:
        last = last._replace(findings=tuple(union))
    return last._replace(problem=drafts[-1].problem or last.problem)


def _of_object(reviewer: str, answer: Mapping[str, model.Json]) -> AnswerReading:
    fields = [(finding_fields.name(key), value) for key, value in answer.items()]
    rest = [value for name, value in fields if name not in _TOP]
    words = {finding_fields.verdict_word(value or "") for name, value in fields if name == "verdict"} - {""}
    lists = [(value, finding_fields.listed(value)) for name, value in fields if name == "findings"]
    # Under another name findings are findings too: in a list, or each alone.
    lists += [(value, finding_fields.within(value)) for value in rest]
    reading = _reading(
        reviewer, words.pop() if len(words) == 1 else "", [item for _, items in lists for item in items or ()]
    )
    problem = next(
        (f"its findings are no list but {finding_fields.shown(value)!r}" for value, items in lists if items is None), ""
    )
    rulings = [value for name, value in fields if name == "earlier"]
    reading = _with_parts(reading, [_of_object(reviewer, part) for value in rest for part in _answers(value)])
    return reading._replace(
        files=tuple(path for name, value in fields if name == "files" for path in finding_fields.paths(value)),
        problem=_BOTH if words else problem or reading.problem,
        rulings=finding_fields.rulings(reviewer, rulings[0] if rulings else (), MAX_FINDINGS),
    )


def _with_parts(reading: AnswerReading, parts: Sequence[AnswerReading]) -> AnswerReading:
    """Returns a reading with the findings of answers within it; if one of them fails what it passes, it is none."""
    more = dict.fromkeys(finding for part in parts for finding in part.findings if finding not in reading.findings)
    is_both = reading.verdict == "PASS" and any(part.verdict == "FAIL" for part in parts)
    return reading._replace(findings=(*reading.findings, *more), problem=_BOTH if is_both else reading.problem)


def _of_lines(reviewer: str, text: str) -> AnswerReading:
    """Reads the form in lines: `VERDICT:`, then a list of findings, one field a line."""
    words = list(answer_lines.verdicts(text))
    verdicts = {finding_fields.VERDICTS.get(word) for word in words}
    word = words[-1] if len(verdicts) == 1 else ""
    items = list(answer_lines.items(text))
    reading = _reading(reviewer, word, items)
    if len(verdicts - {None}) > 1:
        return reading._replace(problem=_BOTH)
    if not items and not reading.problem and answer_lines.lists_something(text):
        return reading._replace(problem="its findings are in no form that can be read")
    if not items and reading.verdict == "PASS" and not answer_lines.says_none(text):
        return reading._replace(problem=_BARE)
    return reading._replace(files=tuple(finding_fields.paths(answer_lines.files(text))))


def _reading(reviewer: str, word: str, items: Sequence[model.Json]) -> AnswerReading:
    verdict = finding_fields.VERDICTS.get(word)
    results: list[Finding] = []
    problem = "" if verdict else f"its verdict is {word[:40]!r}" if word else _NO_VERDICT
    for item in items[:MAX_FINDINGS]:
        finding = finding_fields.finding(reviewer, item)
        if isinstance(finding, str):
            problem = problem or finding
        else:
            results.append(finding)
    if len(items) > MAX_FINDINGS:
        problem = problem or f"it has {len(items)} findings; at most {MAX_FINDINGS} are read"
    return AnswerReading(verdict, tuple(results), (), problem)
