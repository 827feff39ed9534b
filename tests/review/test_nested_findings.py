"""Findings and verdicts count wherever they stand in an answer; what only counts or describes is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.review import answer_parser, plan_reviews

FORM: dict[str, Any] = {"verdict": "PASS", "files": ["a.py"], "findings": []}
LOW: dict[str, Any] = {"severity": "low", "file": "a.py", "line": 1, "quote": "x = 1", "claim": "A short name."}
GRAVE: dict[str, Any] = {**LOW, "severity": "critical", "claim": "It loses money."}
NAMES = st.sampled_from(
    ["review", "summary", "security", "details", "a.py", "notes", "extra", "result", "issues_by_area"]
)


def itself(value: model.Json) -> model.Json:
    return value


def fenced(value: model.Json) -> model.Json:
    return f"I looked.\n\n```json\n{json.dumps(value)}\n```"


def in_a_text(value: model.Json) -> model.Json:
    return json.dumps(value)


WRITTEN: st.SearchStrategy[Callable[[model.Json], model.Json]] = st.sampled_from([itself, in_a_text, fenced])


@st.composite
def wrapped(draw: st.DrawFn, value: model.Json, most: int = 9) -> model.Json:
    """Draws a value within objects and lists."""
    for _ in range(draw(st.integers(0, most))):
        name = draw(NAMES)
        value = draw(st.sampled_from([{name: value}, {name: [value]}, {name: value, "count": 1}]))
    return value


@hypothesis.settings(max_examples=300)
@hypothesis.given(st.data())
def test_a_grave_finding_anywhere_in_an_answer_outweighs_its_pass(data: st.DataObject) -> None:
    shape = data.draw(
        st.sampled_from([GRAVE, [GRAVE], {"findings": [GRAVE]}, {"verdict": "FAIL", "findings": [GRAVE]}])
    )
    answer = {**FORM, data.draw(NAMES): data.draw(wrapped(shape))}
    judgement = plan_reviews.judge("a", data.draw(WRITTEN)(answer))
    assert judgement.ruling == "block", judgement
    assert [finding.claim for finding in judgement.report.findings] == ["It loses money."]


@hypothesis.given(st.data(), st.sampled_from(["FAIL", "fail", "reject", "BLOCKED"]))
def test_a_verdict_against_it_anywhere_in_an_answer_makes_its_pass_a_question(data: st.DataObject, word: str) -> None:
    answer = {**FORM, data.draw(NAMES): data.draw(wrapped({"verdict": word}))}
    assert plan_reviews.judge("a", data.draw(WRITTEN)(answer)).ruling == "unusable"


def test_a_fail_stands_whatever_passes_within_it() -> None:
    answer = {
        "verdict": "FAIL",
        "files": ["a.py"],
        "areas": {"tests": FORM, "money": {"findings": [GRAVE]}},
        "findings": [],
    }
    reading = answer_parser.read("a", answer)
    assert (reading.verdict, reading.problem, len(reading.findings)) == ("FAIL", "", 1)


FLAGS: list[dict[str, Any]] = [
    {"blocking": True},
    {"is_blocker": "yes"},
    {"must_fix": True},
    {"Do not merge": True},
    {"critical": True},
    {"priority": "critical"},
    {"priority": "Blocker"},
    {"claim": "CRITICAL: it loses money"},
    {"claim": "**High:** it loses money"},
    {"claim": "Severity: high. It loses money."},
]
NO_FLAGS: list[dict[str, Any]] = [
    {"blocking": False},
    {"blocking": None, "blockers": []},
    {"priority": "high"},
    {"priority": "low"},
    {"confidence": "high"},
    {"impact": "high", "likelihood": "low"},
    {"passed": False},
    {"claim": "High: 0"},
    {"claim": "I FAIL to see why; a critical path is named oddly."},
    {"claim": "Medium: slow"},
    {"fix": "Critical: none"},
]


@pytest.mark.parametrize("severity", ["low", "medium"])
@pytest.mark.parametrize("flags", FLAGS, ids=json.dumps)
def test_a_finding_that_is_called_graver_than_its_severity_makes_a_pass_a_question(
    flags: dict[str, Any], severity: str
) -> None:
    item = {**LOW, "severity": severity, **flags}
    for answer in ({**FORM, "findings": [item]}, json.dumps({**FORM, "findings": [item]}), {**FORM, "notes": [item]}):
        judgement = plan_reviews.judge("a", answer)
        assert judgement.ruling == "unusable", judgement
        assert "it says PASS, but" in judgement.why


@pytest.mark.parametrize("flags", NO_FLAGS, ids=json.dumps)
def test_fields_of_a_mild_finding_that_say_nothing_graver_leave_a_pass_one(flags: dict[str, Any]) -> None:
    for answer in ({**FORM, "findings": [{**LOW, **flags}]}, json.dumps({**FORM, "findings": [{**LOW, **flags}]})):
        assert plan_reviews.judge("a", answer).ruling == "pass", plan_reviews.judge("a", answer)


@pytest.mark.parametrize(
    "fields",
    [
        {"counts": [{"severity": "critical", "count": 0}, {"severity": "low", "count": 2}]},
        {"summary": {"by_severity": [{"severity": "high", "total": 0}]}},
        {"overall": {"severity": "low", "confidence": "high"}},
        {"overall": {"severity": "none", "message": "nothing to report"}},
        {"tools": {"lint": [{"severity": 1, "message": "a long line"}]}},
        {"areas": {"tests": {"verdict": "PASS"}, "money": {"verdict": "pass", "findings": []}}},
        {"earlier": [{"finding": "f1", "ruling": "gone", "severity": "critical", "quote": "x = 1"}]},
        {"review": {"earlier": [{"finding": "f1", "ruling": "gone", "severity": "critical", "quote": "x = 1"}]}},
    ],
    ids=json.dumps,
)
def test_what_only_counts_describes_or_passes_leaves_a_pass_one(fields: dict[str, Any]) -> None:
    for answer in ({**FORM, **fields}, json.dumps({**FORM, **fields})):
        assert plan_reviews.judge("a", answer).ruling == "pass", plan_reviews.judge("a", answer)


@pytest.mark.parametrize("amount", [1, "2", ["a.py"]])
def test_a_grave_severity_that_something_has_is_no_count_of_none(amount: model.Json) -> None:
    answer = {**FORM, "counts": [{"severity": "critical", "count": amount}]}
    assert plan_reviews.judge("a", answer).ruling == "unusable"
