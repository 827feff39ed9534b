"""Reviewers' answers: lenient about form, strict about meaning; and their quotes against the change."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.review import answer_parser, council_decision, findings, quotes, reviewer_calibration, sarif
from dispatch_mcp.text import unified_diff

DIFF = unified_diff.parse(
    "--- a/app/db.py\n+++ b/app/db.py\n@@ -10,4 +10,5 @@\n def find(name):\n-    return run(SAFE, name)\n"
    "+    sql = f\"SELECT * FROM users WHERE name = '{name}'\"\n+    return run(sql)\n \n     pass\n"
    "--- a/other.py\n+++ b/other.py\n@@ -1 +1 @@\n-x\n+only_here(1)\n"
)
GROUND = quotes.ground(DIFF)
ONE = {"severity": "high", "file": "app/db.py", "line": 12, "quote": "return run(sql)", "claim": "c", "evidence": "e"}


LOOSE = """## Verdict
**VERDICT: FAIL**

FINDINGS:

1. severity: **high**
   file: `app/db.py`
   line: L12
   quote: `return run(sql)`
   claim: c
"""


def said(**change: Any) -> str:
    return json.dumps({"verdict": "FAIL", "findings": [{**ONE, **change}]})


@pytest.mark.parametrize(
    "text",
    [
        said(),
        f"Some thoughts first.\n\n```json\n{said()}\n```\n",
        f"```\n{said()}\n```",
        said().replace('"severity"', '"Severity"').replace('"high"', '"HIGH"').replace('"quote"', '"quoted text"'),
        said().replace("]}", ",]}"),
        said(line="12-13", severity="major"),
        "VERDICT: FAIL\nFINDINGS:\n- severity: high\n  file: app/db.py\n  line: 12\n  quote: return run(sql)\n",
        LOOSE,
    ],
)
def test_the_form_of_an_answer_may_vary(text: str) -> None:
    found = answer_parser.read("a", text)
    assert found.problem == ""
    assert found.verdict == "FAIL"
    [one] = found.findings
    assert (one.severity, one.file, one.line, one.quote) == ("high", "app/db.py", 12, "return run(sql)")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no answer"),
        ("Looks good to me.", "no verdict"),
        ("VERDICT: PASS or FAIL", "no verdict"),
        ('{"verdict": "MAYBE", "findings": []}', "'maybe'"),
        ('{"verdict": "INCONCLUSIVE", "findings": []}', "'inconclusive'"),
        ('{"verdict": "PASS", "findings": []}\n{"verdict": "FAIL", "findings": []}', "both verdicts"),
        ('VERDICT: PASS\n{"verdict": "FAIL", "findings": []}', "both verdicts"),
        ("VERDICT: PASS\nVERDICT: FAIL", "both verdicts"),
        (said(severity="catastrophic"), "'catastrophic'"),
        ('{"verdict": "PASS", "findings": "many"}', "no list"),
        ('{"verdict": "PASS", "findings": ["bad"]}', "no object"),
    ],
)
def test_an_answer_that_could_mean_two_things_is_unusable(text: str, problem: str) -> None:
    report = answer_parser.report("a", text)
    assert report.verdict is None
    assert problem in report.problem


@hypothesis.given(
    st.one_of(st.text(max_size=300), st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists))
)
def test_any_answer_can_be_read(answer: model.Json) -> None:
    assert answer_parser.report("a", answer).reviewer == "a"


@hypothesis.given(
    st.dictionaries(
        st.sampled_from(["verdict", "findings", "earlier", "x"]), st.text(max_size=9) | st.lists(st.text(max_size=5))
    )
)
def test_any_object_can_be_read(answer: model.Json) -> None:
    answer_parser.report("a", answer)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({}, ("app/db.py", 12)),
        ({"line": 900}, ("app/db.py", 12)),
        ({"file": "b/app/db.py"}, ("app/db.py", 12)),
        ({"file": "db.py"}, ("app/db.py", 12)),
        ({"quote": "  return   run(sql)  "}, ("app/db.py", 12)),
        ({"quote": "+    return run(sql)"}, ("app/db.py", 12)),
        ({"quote": "return run(SAFE, name)"}, ("app/db.py", 11)),
        ({"quote": "sql = f\"SELECT * FROM users WHERE name = '{name}'\"\n    return run(sql)"}, ("app/db.py", 11)),
        ({"quote": "only_here(1)", "file": "wrong.py"}, ("other.py", 1)),
        ({"quote": "return run(sqll)"}, None),
        ({"quote": "only_here(1)"}, None),
        ({"quote": ")"}, None),
        ({"quote": ""}, None),
        ({"file": "nowhere.py", "quote": "a b c d"}, None),
    ],
)
def test_a_quote_is_looked_up_in_the_change(change: dict[str, Any], place: tuple[str, int] | None) -> None:
    report = quotes.check(answer_parser.report("a", said(**change)), GROUND)
    [one] = report.findings
    assert one.anchored is (place is not None)
    if place:
        assert (one.file, one.line) == place
        assert one.severity == "high"
    else:
        assert (one.severity, one.called) == ("low", "high")
        assert one.marks


def test_sarif_says_what_was_decided() -> None:
    reports = [quotes.check(answer_parser.report(name, said()), GROUND) for name in ("a", "b")]
    decision = council_decision.decide(reports)
    waived = council_decision.decide(
        reports, waivers=[findings.Waiver(finding=decision.findings[0].id, reason="fixture", by="Ada")]
    )
    document = sarif.document(decision, version="1", about="a diff")
    [run] = document["runs"]
    assert (document["version"], run["results"][0]["level"]) == ("2.1.0", "error")
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "app/db.py"
    assert place["region"]["startLine"] == 12
    assert "suppressions" not in run["results"][0]
    [result] = sarif.document(waived, version="1")["runs"][0]["results"]
    assert result["suppressions"][0]["justification"] == "Ada: fixture"
    assert sarif.uri("a b/ü.py") == "a%20b/%C3%BC.py"


@pytest.mark.parametrize(("outcome", "code"), [("PASS", 0), ("BLOCK", 1), ("INCONCLUSIVE", 3)])
def test_the_exit_code_says_what_was_decided(outcome: council_decision.Outcome, code: int) -> None:
    decision = council_decision.Decision(outcome=outcome, blocks=outcome != "PASS", why="", rules="")
    assert sarif.exit_code(decision) == code


def test_a_reviewer_is_known_by_what_became_of_its_findings() -> None:
    reports = (
        quotes.check(answer_parser.report("right", said()), GROUND),
        quotes.check(answer_parser.report("wrong", said(quote="not there at all")), GROUND),
        answer_parser.report("silent", "?"),
    )
    decision = council_decision.decide(reports)
    later = (findings.EarlierRuling(finding=decision.findings[0].id, ruling="gone", anchored=True),)
    found = {
        one.reviewer: one
        for one in reviewer_calibration.calibrate(
            [reviewer_calibration.Round(reports=reports, decision=decision, later=later)]
        )
    }
    assert (found["right"].upheld, found["right"].agreement) == (1, 1.0)
    assert (found["wrong"].unproven, found["wrong"].upheld) == (1, 0)
    assert (found["silent"].unusable, found["silent"].agreement) == (1, None)
