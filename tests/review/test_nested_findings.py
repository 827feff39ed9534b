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
    ruling = plan_reviews.judge("a", data.draw(WRITTEN)(answer)).ruling
    assert ruling in ("unusable", "block"), ruling  # deeper than damaged JSON is read, only the inner object is one


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
    {"claim": "[CRITICAL] it loses money"},
    {"claim": "**CRITICAL** it loses money"},
    {"claim": "(high) it loses money"},
    {"title": "CRITICAL: it loses money"},
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
    {"claim": "CRITICAL: the constant is never used", "quote": "CRITICAL = 1"},
    {"claim": "**High** coupling of two modules"},
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
        {"counts": [{"severity": "critical", "meaning": "must be mended"}]},
        {"legend": [{"severity": "critical", "description": "loss of data"}]},
    ],
    ids=json.dumps,
)
def test_what_only_counts_describes_or_passes_leaves_a_pass_one(fields: dict[str, Any]) -> None:
    for answer in ({**FORM, **fields}, json.dumps({**FORM, **fields})):
        assert plan_reviews.judge("a", answer).ruling == "pass", plan_reviews.judge("a", answer)


SETTLED = [
    *("resolved", "resolved_findings", "previous_findings", "previousFindings", "fixed", "fixed_in_this_commit"),
    *("earlier findings", "dismissed", "dismissed_as_false_positives", "false-positives", "considered", "rejected"),
    *("considered_and_rejected", "out_of_scope", "pre_existing", "Pre-existing issues", "history", "previous_round_1"),
]
NOT_SETTLED = [
    *("not_fixed", "unresolved", "to_be_fixed", "must_be_fixed_before_release", "previous_still_open", "fixed_price"),
    *("src/history.py", "history.py", "rejected_because", "prior_to_merge", "order_history", "notes", "new"),
]


@pytest.mark.parametrize("name", SETTLED)
@pytest.mark.parametrize(
    "value",
    [[GRAVE], GRAVE, {"a.py": [GRAVE]}, {"round": 1, "verdict": "FAIL"}, [{"verdict": "FAIL", "findings": [GRAVE]}]],
    ids=json.dumps,
)
def test_what_an_answer_calls_settled_leaves_a_pass_one(name: str, value: model.Json) -> None:
    for answer in ({**FORM, name: value}, {**FORM, "review": {name: value}}, {"result": FORM, name: value}):
        for written in (answer, in_a_text(answer), fenced(answer)):
            judgement = plan_reviews.judge("a", written)
            assert (judgement.ruling, judgement.report.findings) == ("pass", ()), judgement


@pytest.mark.parametrize("name", NOT_SETTLED)
def test_a_field_whose_name_has_other_words_too_is_not_settled(name: str) -> None:
    for answer in ({**FORM, name: [GRAVE]}, {**FORM, "review": {name: [GRAVE]}}):
        assert plan_reviews.judge("a", answer).ruling == "block"
        assert plan_reviews.judge("a", fenced(answer)).ruling == "block"


@pytest.mark.parametrize("name", SETTLED)
@pytest.mark.parametrize("state", ["open", "still open", "not_fixed", "Stands"])
def test_what_says_of_itself_that_it_is_open_counts_wherever_it_stands(name: str, state: str) -> None:
    answer = {**FORM, name: [{**GRAVE, "claim": "Gone."}, {**GRAVE, "status": state}]}
    for written in (answer, fenced(answer)):
        judgement = plan_reviews.judge("a", written)
        assert judgement.ruling == "block"
        assert [finding.claim for finding in judgement.report.findings] == ["It loses money."]


@pytest.mark.parametrize(
    "mark", [{"status": "fixed"}, {"state": "Resolved"}, {"dismissed": True}, {"ruling": "refuted"}]
)
def test_a_finding_that_says_of_itself_that_it_is_settled_is_none_outside_of_the_form(mark: dict[str, Any]) -> None:
    item = {**GRAVE, **mark}
    for answer in ({**FORM, "notes": [item]}, {**FORM, "security": item}, {**FORM, "review": {"findings": [item]}}):
        assert plan_reviews.judge("a", answer).ruling == "pass"
    assert plan_reviews.judge("a", {**FORM, "findings": [item]}).ruling == "block"


@pytest.mark.parametrize("words", ["FAIL", "FAIL: it loses money", "Critical: it loses money"])
def test_words_in_a_settled_field_take_no_pass_back(words: str) -> None:
    for fields in (
        {"previous_verdict": words},
        {"history": [words]},
        {"tests": {"before": words, "without_change": words}},
    ):
        assert plan_reviews.judge("a", fenced({**FORM, **fields})).ruling == "pass"
    assert plan_reviews.judge("a", fenced({**FORM, "note": words})).ruling == "unusable"
    assert plan_reviews.judge("a", fenced({**FORM, "rejected": [words]})).ruling == "unusable"


@pytest.mark.parametrize("name", ["critical", "high_count", "max_severity", "failed", "rejected"])
@pytest.mark.parametrize("value", [2, "high", True])
def test_what_may_be_told_of_other_things_counts_only_beside_the_verdict(name: str, value: model.Json) -> None:
    is_against = (name == "max_severity") == (value == "high")
    top = plan_reviews.judge("a", {**FORM, name: value}).ruling
    assert top == ("unusable" if is_against else "pass")
    assert plan_reviews.judge("a", {"result": {**FORM, name: value}}).ruling == top
    assert plan_reviews.judge("a", {**FORM, "login": {name: value}}).ruling == "pass"
