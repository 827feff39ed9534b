"""Marks beside a PASS that say the opposite, in fields, under headings and in tables; and honest ones that do not."""

from __future__ import annotations

import json
from collections.abc import Mapping

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.review import plan_reviews

FORM: dict[str, model.Json] = {"verdict": "PASS", "files": ["a.py"], "findings": []}
BLOCK = json.dumps(FORM)

FIELDS = st.one_of(
    st.tuples(
        st.sampled_from(
            [
                "approved",
                "approve",
                "Approved",
                "lgtm",
                "LGTM",
                "mergeable",
                "safe_to_merge",
                "ready to merge",
                "passed",
            ]
        ),
        st.sampled_from([False, "false", "No"]),
    ),
    st.tuples(
        st.sampled_from(
            ["blocking", "blocked", "Blocking", "needs_changes", "changes-requested", "must_fix", "rejected"]
        ),
        st.sampled_from([True, "true", "yes", 1, ["the total is wrong"]]),
    ),
    st.tuples(
        st.sampled_from(["critical", "high", "critical_count", "blockers"]), st.sampled_from([1, 3, ["it leaks"]])
    ),
    st.tuples(
        st.sampled_from(["decision", "recommendation", "conclusion", "outcome"]),
        st.sampled_from(
            ["reject", "Rejected", "request changes", "CHANGES_REQUESTED", "block", "fail", "do not merge"]
        ),
    ),
    st.tuples(st.sampled_from(["max_severity", "severity", "highest severity"]), st.sampled_from(["critical", "High"])),
)
# What can be nothing but a judgement of the change, however deep it stands.
DEEP_FIELDS = st.one_of(
    st.tuples(
        st.sampled_from(["approved", "approve", "Approved", "lgtm", "mergeable", "safe_to_merge", "ready to merge"]),
        st.sampled_from([False, "false", "No"]),
    ),
    st.tuples(
        st.sampled_from(["blocking", "Blocking", "needs_changes", "changes-requested", "must_fix", "blockers"]),
        st.sampled_from([True, "true", "yes", 1, ["the total is wrong"]]),
    ),
    st.tuples(
        st.sampled_from(["decision", "verdict"]),
        st.sampled_from(["reject", "Rejected", "request changes", "CHANGES_REQUESTED", "block", "fail"]),
    ),
)
ITEMS = st.sampled_from(
    ["- a.py:3 loses money", "1. `a.py` deletes carts", "The password is logged.", "* **SQL injection** in a.py"]
)
HEADINGS = st.builds(
    "{0}{1}{2}\n{3}{4}".format,
    st.sampled_from(["## ", "# ", "### ", "#### **"]),
    st.sampled_from(["Critical", "CRITICAL", "High", "Critical issues", "High severity", "Blockers", "Major findings"]),
    st.sampled_from(["", ":"]),
    st.sampled_from(["", "\n"]),
    ITEMS,
).map(lambda text: text.replace("**", "**", 1) if "#### **" not in text else text.replace("#### **", "#### "))
ROWS = st.builds(
    "| {1} | file | claim |\n|---|---|---|\n| {0} | a.py:3 | {2} |".format,
    st.sampled_from(["critical", "**High**", "CRITICAL", "`high`", "blocker", "major"]),
    st.sampled_from(["severity", "Severity", "level"]),
    st.sampled_from(["loses money", "leaks the key", "no tests"]),
)
LAST_ROWS = st.builds(
    "| file | claim | severity |\n|:--|:--|:-:|\n| a.py:3 | {1} | {0} |".format,
    st.sampled_from(["critical", "high"]),
    st.sampled_from(["loses money", "leaks the key"]),
)


@st.composite
def contradictory(draw: st.DrawFn) -> model.Json:
    """Draws answers that say PASS in the form, and something else beside it."""
    kind = draw(st.sampled_from(["field", "wrapper", "wrapped", "nested", "words", "beside"]))
    if kind in ("words", "beside"):
        words = draw(st.one_of(HEADINGS, ROWS, LAST_ROWS))
        if kind == "words":
            text = f"{words}\n\n```json\n{BLOCK}\n```"
            return draw(st.sampled_from([text, f"```json\n{BLOCK}\n```\n\n{words}\n"]))
        return {**FORM, "summary": words}
    field = dict([draw(DEEP_FIELDS if kind == "nested" else FIELDS)])
    answers: Mapping[str, model.Json] = {
        "field": {**FORM, **field},
        "wrapper": {**field, "review": FORM},
        "wrapped": {"review": {**FORM, **field}},
        "nested": {**FORM, "summary": {"overall": field}},
    }
    answer = answers[kind]
    return draw(st.sampled_from([answer, json.dumps(answer), f"I looked.\n\n```json\n{json.dumps(answer)}\n```"]))


@hypothesis.settings(max_examples=600)
@hypothesis.given(contradictory())
def test_a_pass_beside_a_mark_that_says_the_opposite_is_never_one(answer: model.Json) -> None:
    judgement = plan_reviews.judge("a", answer)
    assert judgement.ruling in ("unusable", "block"), judgement


HONEST_FIELDS: list[dict[str, model.Json]] = [
    {"approved": True},
    {"lgtm": True, "blocking": False},
    {"lgtm": "yes"},
    {"blocking": False},
    {"blocking": "no"},
    {"blocking": None},
    {"blocking": []},
    {"blockers": []},
    {"blocking_issues": "none"},
    {"must_fix": []},
    {"critical": 0, "high": 0, "medium": 2},
    {"critical": [], "high": []},
    {"counts": {"critical": 0, "high": 0, "low": 3}},
    {"tests": {"passed": 12, "failed": 0}},
    {"confidence": "high"},
    {"risk": "low"},
    {"decision": "approve"},
    {"recommendation": "merge"},
    {"conclusion": "Nothing stands against it."},
    {"max_severity": "low"},
    {"worst_severity": "none"},
    {"changes_requested": False},
    {"needs_changes": "false"},
    {"priority": "high"},
    {"open_questions": ["Is a critical path covered elsewhere?"]},
    {"note": "No blocking issues; approved."},
    {"failed": []},
    {"critical": ["none"]},
    {"blocks": [{"start": 1, "end": 4}]},
    {"tests": {"passed": 12, "failed": 1, "note": "also on main"}},
    {"tests": {"failed": ["test_flaky"]}},
    {"tests": [{"name": "pytest without the change", "ok": False}]},
    {"checks": [{"name": "bad token", "rejected": True}]},
    {"checks": [{"name": "bad token", "passed": False, "expected": False}]},
    {"behaviour": {"bad_token": {"rejected": True, "status": 401}}},
    {"mutation": {"fails": True, "note": "it fails without the change, as it should"}},
    {"confidence": {"high": True}},
    {"risk": {"severity": "high", "note": "it touches the login"}},
    {"questions": [{"question": "Is it breaking?", "conclusion": "no"}]},
    {"questions": [{"question": "Is it breaking?", "decision": "no"}]},
    {"note": "The tests FAIL without the change and pass with it."},
]
HONEST_WORDS = [
    "No critical findings.",
    "Critical: none",
    "0 high",
    "0 critical, 0 high, 1 low.",
    "## Critical\nNone.",
    "## Critical\n\n- None\n\n## High\n\n- none found",
    "## Critical issues\nNo critical issues were found.",
    "### High\n\nNothing.",
    "## Critical\n\n## High\n\n## Low\n- a nit: a name",
    "**Critical**\n0",
    "**High:**\nN/A",
    "## High\n—",
    "## High-level summary\n- a small rename",
    "## Critical path\n- the lock is held for the whole write",
    "## Low\n- a name could be shorter",
    "| severity | count |\n|---|---|\n| critical | 0 |\n| high | 0 |\n| low | 2 |",
    "| severity | findings |\n|---|---|\n| critical | none |\n| high | no findings |",
    "| critical | high | medium |\n|---|---|---|\n| 0 | 0 | 1 |",
    "| severity | file | state |\n|---|---|---|\n| high | a.py:3 | fixed in this round |",
    "| file | risk |\n|---|---|\n| a.py | low |",
    "| severity | claim |\n|---|---|\n| low | a long line |",
    "I looked for critical and high faults and found none.",
    "High quality work; nothing critical.",
    "The change is approved from my side, nothing blocks it.",
    "Not blocking: a name could be shorter.",
    "This is a critical function, so I read it twice: it is right.",
    "It handles `approved: false` of the provider as it should.",
    "The column | high | is drawn twice on purpose.",
    "Keine kritischen Befunde.",
]


@pytest.mark.parametrize("fields", HONEST_FIELDS, ids=json.dumps)
def test_fields_that_agree_with_a_pass_leave_it_one(fields: dict[str, model.Json]) -> None:
    for answer in ({**FORM, **fields}, json.dumps({**fields, **FORM}), {"result": FORM, **fields}):
        assert plan_reviews.judge("a", answer).ruling == "pass", plan_reviews.judge("a", answer)


@pytest.mark.parametrize("words", HONEST_WORDS)
def test_words_that_only_mention_severities_leave_a_pass_one(words: str) -> None:
    for answer in (
        f"{words}\n\n```json\n{BLOCK}\n```",
        f"```json\n{BLOCK}\n```\n\n{words}",
        {**FORM, "summary": words},
    ):
        assert plan_reviews.judge("a", answer).ruling == "pass", plan_reviews.judge("a", answer)


def test_what_stands_in_the_form_too_is_no_contradiction_under_a_heading_or_in_a_row() -> None:
    medium = {"severity": "high", "file": "a.py", "quote": "x", "claim": "slow"}
    answer = f"## High\n- slow\n\n{json.dumps({**FORM, 'findings': [medium]})}"
    assert plan_reviews.judge("a", answer).ruling == "block"
