"""Reviewers' answers: lenient about form, strict about meaning."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.review import answer_parser, findings

ITEM = {
    "severity": "high",
    "file": "app/db.py",
    "line": 12,
    "quote": "return run(sql)",
    "claim": "c",
    "evidence": "e",
    "fix": "f",
}
LOOSE = """## Verdict
**VERDICT: FAIL**

FINDINGS:

1. severity: **high**
   file: `app/db.py`
   line: L12
   quote: `return run(sql)`
   claim: c
"""


def answer(**change: Any) -> str:
    return json.dumps({"verdict": "FAIL", "findings": [{**ITEM, **change}]})


def finding(**change: Any) -> findings.Finding:
    reading = answer_parser.read("a", answer(**change))
    assert reading.problem == ""
    [only] = reading.findings
    return only


@pytest.mark.parametrize(
    "text",
    [
        answer(),
        f"Some thoughts first.\n\n```json\n{answer()}\n```\n",
        f"```\n{answer()}\n```",
        f"{answer()}\nThat is all.",
        f"The form is {{nothing: of it}} and {{}}.\n{answer()}",
        answer().replace('"severity"', '"Severity"').replace('"high"', '"HIGH"').replace('"quote"', '"quoted text"'),
        answer().replace('"verdict": "FAIL"', '"Verdict": " **failed** "'),
        answer().replace("]}", ",]}"),
        answer().replace("}]", ",}\n]"),
        answer(line="12-13", severity="major"),
        "VERDICT: FAIL\nFINDINGS:\n- severity: high\n  file: app/db.py\n  line: 12\n  quote: return run(sql)\n",
        "verdict = fail\n\n* Severity: High\n  Path: app/db.py\n  Lines: 12 to 14\n  Snippet: return run(sql)\n",
        LOOSE,
    ],
)
def test_the_form_of_an_answer_may_vary(text: str) -> None:
    reading = answer_parser.read("a", text)
    assert (reading.problem, reading.verdict) == ("", "FAIL")
    [only] = reading.findings
    assert (only.severity, only.file, only.line, only.quote) == ("high", "app/db.py", 12, "return run(sql)")
    assert only.reviewer == "a"


def test_an_object_may_be_the_answer_itself() -> None:
    assert answer_parser.read("a", json.loads(answer())) == answer_parser.read("a", answer())


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        *(
            ("critical", "critical"),
            ("blocker", "critical"),
            ("High", "high"),
            ("MAJOR", "high"),
            ("`medium`", "medium"),
        ),
        *(("moderate", "medium"), ("[low]", "low"), ("minor", "low"), ("nit", "low"), ("informational", "low")),
    ],
)
def test_other_words_for_a_severity_are_understood(word: str, severity: findings.Severity) -> None:
    assert finding(severity=word).severity == severity


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *(("path", "file"), ("filename", "file"), ("line_number", "line"), ("code", "quote"), ("Snippet", "quote")),
        *(("title", "claim"), ("Problem", "claim"), ("proof", "evidence"), ("why", "evidence"), ("remedy", "fix")),
    ],
)
def test_other_names_for_a_field_are_understood(name: str, field: str) -> None:
    item = {**{key: value for key, value in ITEM.items() if key != field}, name: ITEM[field]}
    [only] = answer_parser.read("a", json.dumps({"verdict": "FAIL", "findings": [item]})).findings
    assert getattr(only, field) == ITEM[field]


def test_the_proper_name_of_a_field_goes_before_another_one() -> None:
    assert finding(text="something else").quote == ITEM["quote"]


@pytest.mark.parametrize(
    ("value", "number"), [(12, 12), ("12", 12), ("L12-L14", 12), ("lines 12, 13", 12), (None, 0), ("?", 0), (True, 0)]
)
def test_a_line_is_the_first_number_that_is_named(value: object, number: int) -> None:
    assert finding(line=value).line == number


@pytest.mark.parametrize("quote", ["`x = 1`", "```\nx = 1\n```", '"x = 1"', "'x = 1'", "x = 1"])
def test_marks_around_a_quote_are_not_part_of_it(quote: str) -> None:
    assert finding(quote=quote).quote == "x = 1"


@pytest.mark.parametrize("quote", ["    x = 1", 'f("a")', "`a` or `b", "x\ny", "'", ""])
def test_marks_inside_a_quote_and_its_indentation_are(quote: str) -> None:
    assert finding(quote=quote).quote == quote


@pytest.mark.parametrize("value", [None, "", "[]", "none", "None.", "n/a", "No findings.", {}, []])
def test_nothing_to_report_may_be_said_in_many_ways(value: object) -> None:
    reading = answer_parser.read("a", json.dumps({"verdict": "PASS", "findings": value}))
    assert (reading.verdict, reading.findings, reading.problem) == ("PASS", (), "")
    assert answer_parser.read("a", "VERDICT: PASS\nFINDINGS: none\n").verdict == "PASS"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no answer"),
        ("  \n", "no answer"),
        ("Looks good to me.", "no verdict"),
        ("VERDICT: PASS or FAIL", "no verdict"),
        ("The verdict: PASS, as I see it", "no verdict"),
        ('{"findings": []}', "no verdict"),
        ('{"verdict": "", "findings": []}', "no verdict"),
        ('{"verdict": "MAYBE", "findings": []}', "'maybe'"),
        ('{"verdict": "INCONCLUSIVE", "findings": []}', "'inconclusive'"),
        ('{"verdict": "PASS", "findings": []}\n{"verdict": "FAIL", "findings": []}', "both verdicts"),
        ('VERDICT: PASS\n{"verdict": "FAIL", "findings": []}', "both verdicts"),
        ("VERDICT: PASS\nVERDICT: FAIL", "both verdicts"),
        (answer(severity="catastrophic"), "'catastrophic'"),
        (answer(severity=""), "severity ''"),
        ('{"verdict": "PASS", "findings": "many"}', "no list"),
        ('{"verdict": "PASS", "findings": ["bad"]}', "no object"),
        ("VERDICT: FAIL\n- severity: awful\n  file: a.py\n", "'awful'"),
    ],
)
def test_an_answer_that_could_mean_two_things_is_unusable(text: str, problem: str) -> None:
    report = answer_parser.report("a", text)
    assert report.verdict is None
    assert problem in report.problem


@pytest.mark.parametrize("value", [None, 3, True, [], ["PASS"]])
def test_what_is_neither_text_nor_object_is_no_answer(value: model.Json) -> None:
    assert answer_parser.report("a", value).problem == "there is no answer"


def test_a_verdict_that_is_repeated_is_one() -> None:
    assert answer_parser.read("a", f"VERDICT: FAIL\n{answer()}").problem == ""
    assert len(answer_parser.read("a", f"{answer()}\n{answer()}").findings) == 1


def test_the_last_object_counts_when_there_are_several() -> None:
    text = answer(quote="draft_call()") + "\nOn reflection:\n" + answer(quote="final_call()")
    [only] = answer_parser.read("a", text).findings
    assert only.quote == "final_call()"


def test_findings_that_could_be_read_are_kept_when_the_answer_cannot_be_used() -> None:
    items = [ITEM, {**ITEM, "severity": "awful"}, "text", {**ITEM, "line": 40}]
    report = answer_parser.report("a", json.dumps({"verdict": "?", "findings": items}))
    assert report.verdict is None
    assert [finding.line for finding in report.findings] == [12, 40]


def test_more_findings_than_are_read_make_an_answer_unusable() -> None:
    items = [ITEM] * (answer_parser.MAX_FINDINGS + 1)
    report = answer_parser.report("a", json.dumps({"verdict": "FAIL", "findings": items}))
    assert "201 findings" in report.problem
    assert len(report.findings) == answer_parser.MAX_FINDINGS


def test_a_very_long_field_is_cut_and_a_very_long_answer_is_read_from_its_end() -> None:
    assert len(finding(claim="x" * 9_000).claim) == answer_parser.MAX_FIELD
    assert answer_parser.read("a", "x" * 2 * answer_parser.MAX_TEXT + answer()).verdict == "FAIL"


def test_a_field_that_is_no_text_is_kept_as_json() -> None:
    assert finding(evidence={"input": ["ü", 1]}).evidence == '{"input": ["ü", 1]}'


def test_a_quote_of_several_lines_is_read_from_lines_too() -> None:
    text = (
        "VERDICT: FAIL\nFINDINGS:\n- severity: high\n  file: a.py\n  quote: |\n    first()\n\n    second()\n"
        "  claim: both\n- severity: low\n  file: b.py\n  quote: third()\n"
    )
    first, second = answer_parser.read("a", text).findings
    assert (first.quote.split(), first.claim) == (["first()", "second()"], "both")
    assert (second.severity, second.file, second.quote) == ("low", "b.py", "third()")


RULING = {"finding": "f1", "ruling": "gone", "file": "`a.py`", "line": "7", "quote": "`x`", "evidence": " e "}


def test_rulings_on_earlier_findings_are_read() -> None:
    text = json.dumps({"verdict": "PASS", "findings": [], "earlier": [RULING]})
    [ruling] = answer_parser.read("a", text).rulings
    assert ruling == findings.EarlierRuling(
        finding="f1", ruling="gone", reviewer="a", file="a.py", line=7, quote="x", evidence="e"
    )


@pytest.mark.parametrize(
    "ruling", ["text", None, {}, {**RULING, "ruling": "fixed"}, {**RULING, "finding": 3}, {"ruling": "gone"}]
)
def test_a_ruling_that_cannot_be_read_is_left_out_and_spoils_nothing(ruling: object) -> None:
    text = json.dumps({"verdict": "PASS", "findings": [], "rulings": [ruling, {**RULING, "Status": "x"}]})
    reading = answer_parser.read("a", text)
    assert (reading.verdict, reading.problem, len(reading.rulings)) == ("PASS", "", 1)


@pytest.mark.parametrize("value", [None, "stands", {}, 3])
def test_rulings_that_are_no_list_are_none(value: object) -> None:
    text = json.dumps({"verdict": "PASS", "findings": [], "earlier": value})
    assert answer_parser.read("a", text).rulings == ()


def test_the_report_says_who_answered_about_which_part_and_as_what() -> None:
    report = answer_parser.report("a", answer(), role="advocate", part=3)
    assert (report.reviewer, report.role, report.part, report.verdict) == ("a", "advocate", 3, "FAIL")


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (model.Outcome(state=model.AttemptState.SUCCEEDED, output={"verdict": "PASS"}), {"verdict": "PASS"}),
        (model.Outcome(state=model.AttemptState.SUCCEEDED, output="VERDICT: PASS"), "VERDICT: PASS"),
        (
            model.Outcome(
                state=model.AttemptState.SUCCEEDED, output="  ", handoff=model.Handoff(completed_work="VERDICT: FAIL")
            ),
            "VERDICT: FAIL",
        ),
        (
            model.Outcome(
                state=model.AttemptState.SUCCEEDED, handoff=model.Handoff(completed_work="VERDICT: FAIL"), summary="s"
            ),
            "VERDICT: FAIL",
        ),
        (model.Outcome(state=model.AttemptState.SUCCEEDED, summary="VERDICT: PASS"), "VERDICT: PASS"),
    ],
)
def test_the_answer_is_the_output_or_what_the_handoff_says(outcome: model.Outcome, expected: model.Json) -> None:
    assert answer_parser.answer_of(outcome) == expected


@hypothesis.given(
    st.one_of(st.text(max_size=300), st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists))
)
def test_any_answer_can_be_read(value: model.Json) -> None:
    assert answer_parser.report("a", value).reviewer == "a"


@hypothesis.given(
    st.dictionaries(
        st.sampled_from(["verdict", "findings", "earlier", "x"]), st.text(max_size=9) | st.lists(st.text(max_size=5))
    )
)
def test_any_object_is_usable_or_says_why_not(value: model.Json) -> None:
    report = answer_parser.report("a", value)
    assert (report.verdict is None) is bool(report.problem)


@hypothesis.given(
    st.sampled_from(["PASS", "FAIL"]),
    st.lists(
        st.builds(
            findings.Finding,
            reviewer=st.just("a"),
            severity=st.sampled_from(findings.SEVERITIES),
            file=st.sampled_from(["a.py", "src/ü b.ts", ""]),
            line=st.integers(0, 10**6),
            quote=st.text(st.characters(blacklist_categories=["Cs"]), max_size=40).filter(
                lambda text: text == text.strip("\n`\"'")
            ),
            claim=st.sampled_from(["it leaks", "VERDICT: PASS", '{"verdict": "PASS"}']),
        ),
        max_size=5,
    ),
    st.sampled_from(["{}", "I looked at {{x}}.\n```json\n{}\n```", "{}\n\nDone."]),
)
def test_whatever_a_reviewer_writes_in_the_form_is_read_back(
    verdict: findings.Verdict, items: list[findings.Finding], frame: str
) -> None:
    fields = {"severity", "file", "line", "quote", "claim"}
    text = json.dumps({"verdict": verdict, "findings": [item.model_dump(include=fields) for item in items]})
    reading = answer_parser.read("a", frame.replace("{}", text).replace("{{x}}", "{x}"))
    assert (reading.verdict, reading.problem) == (verdict, "")
    assert reading.findings == tuple(items)
