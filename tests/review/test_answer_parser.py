"""Reviewers' answers: lenient about form, strict about meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import growth
import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.review import answer_parser, finding_fields, findings
from dispatch_mcp.text.reading import excerpts

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


@pytest.mark.parametrize("verdict", ["", "PASS"])
def test_a_second_answer_that_passes_takes_back_no_finding_of_the_first(verdict: str) -> None:
    findings = [{"severity": "critical", "file": "a.py", "line": 3, "quote": "x = 1", "claim": "It loses money."}]
    first = json.dumps({"findings": findings} | ({"verdict": verdict} if verdict else {}))
    second = json.dumps({"verdict": "PASS", "files": ["a.py"], "findings": []})
    reading = answer_parser.read("a", f"```json\n{first}\n```\n```json\n{second}\n```")
    assert [finding.severity for finding in reading.findings] == ["critical"]


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
    assert len(finding(claim="x" * 9_000).claim) == finding_fields.MAX_FIELD
    assert answer_parser.read("a", "x" * 2 * excerpts.REVIEW.chars + answer()).verdict == "FAIL"


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ('[{"severity": "low"}]', [{"severity": "low"}]),
        ({"severity": "low"}, [{"severity": "low"}]),
        ({"critical": ["words", {"claim": "x"}]}, ["words", {"severity": "critical", "claim": "x"}]),
        ({"f1": {"severity": "low"}}, [{"severity": "low"}]),
        ("none", []),
        (None, []),
        ('{"severity": "low"}', None),
        ("some words", None),
    ],
)
def test_findings_are_read_as_a_list_whatever_holds_them(value: model.Json, items: list[model.Json] | None) -> None:
    listed = finding_fields.listed(value)
    assert (None if listed is None else list(listed)) == items


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


QUOTES = st.one_of(
    st.text(st.characters(blacklist_categories=["Cs"]), max_size=40),
    st.sampled_from(
        [
            *(
                "return run(sql)",
                'f"SELECT {name}"',
                "it's 'quoted'",
                "a\n    b",
                "\\d+\\_x",
                'say("x", "y"): {"a": 1}',
            ),
            *(
                "$price * `n`",
                "<system-reminder>x</system-reminder>",
                "tab\there",
                "…",
                '"severity": "low",',
                "“smart”",
            ),
        ]
    ),
).filter(lambda text: text == text.strip("\n`\"' "))
ITEMS: dict[str, st.SearchStrategy[Any]] = {
    "severity": st.sampled_from(findings.SEVERITIES),
    "file": st.sampled_from(["a.py", "src/ü b.ts", ""]),
    "line": st.integers(0, 10**6),
    "quote": QUOTES,
    "claim": st.sampled_from(["it leaks", "VERDICT: PASS", '{"verdict": "PASS"}', "don't\nuse $x_y"]),
}
REPORTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"verdict": st.sampled_from(["PASS", "FAIL"]), "findings": st.lists(st.fixed_dictionaries(ITEMS), max_size=4)}
)


def written(report: dict[str, Any], indent: int | None = None) -> str:
    return json.dumps(report, indent=indent, ensure_ascii=False)


def outside_of_texts(text: str, pattern: str, replacement: str) -> str:
    """Returns JSON in which what a pattern matches outside of its texts is replaced."""
    parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
    return "".join(part if at % 2 else re.sub(pattern, replacement, part) for at, part in enumerate(parts))


def inside_of_texts(text: str, pattern: str, replacement: str) -> str:
    """Returns JSON in which what a pattern matches inside of its texts is replaced."""
    parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
    return "".join(re.sub(pattern, replacement, part) if at % 2 else part for at, part in enumerate(parts))


def with_bare_names(text: str) -> str:
    """Returns JSON in which no name of a field is in quotes."""
    parts = re.split(r'("(?:[^"\\]|\\.)*")', text)
    names = [at for at in range(1, len(parts), 2) if parts[at + 1].startswith(":")]
    return "".join(part.strip('"') if at in names else part for at, part in enumerate(parts))


BLOCK = '\n\n<system-reminder>\nThe "todo" list, {"is": 1}: empty.\n</system-reminder>\n\n'
DAMAGE: dict[str, Callable[[dict[str, Any]], str]] = {
    "nothing": written,
    "prose around": lambda report: f'I looked at {{x}}, "y".\n{written(report)}\n\nDone. {{}}',
    "a fence": lambda report: f"So:\n```json\n{written(report, 2)}\n```\nThat is all.",
    "a fence that never closes": lambda report: f"So:\n```json\n{written(report, 2)}\n",
    "trailing commas": lambda report: outside_of_texts(written(report), r"(?<=[^\[{,])([\]}])", r",\1"),
    "missing commas": lambda report: outside_of_texts(written(report, 2), r",\n", "\n"),
    "a block behind it": lambda report: written(report) + BLOCK,
    "a block between its fields": lambda report: outside_of_texts(written(report), ", ", f",{BLOCK}"),
    "a block between lists": lambda report: outside_of_texts(written(report, 2), r"\n", BLOCK),
    "a block in a text": lambda report: inside_of_texts(written(report), "(?<=it le)aks", f"{BLOCK}aks"),
    "a tag with a backslash": lambda report: written(report) + "<\\system-reminder>",
    "a tag with a backslash in it": lambda report: outside_of_texts(written(report), ", ", ", <\\\\system-reminder>"),
    "a tag in a text": lambda report: inside_of_texts(written(report), "(?<=it le)aks", r"<\\system-reminder>aks"),
    "stray escapes": lambda report: inside_of_texts(written(report), r"(?<!\\)([_'$`])", r"\\\1"),
    "line breaks in texts": lambda report: re.sub(r"(?<!\\)((?:\\\\)*)\\n", r"\1\n", written(report)),
    "tabs in texts": lambda report: re.sub(r"(?<!\\)((?:\\\\)*)\\t", r"\1\t", written(report)),
    "no plain letters": json.dumps,
    "Python's words": repr,
    "names without quotes": lambda report: with_bare_names(written(report)),
    "smart quotes around texts": lambda report: re.sub(r'"((?:[^"\\]|\\.)*)"', r"“\1”", written(report)),
    "a wrapper": lambda report: written({"result": report}),
    "a wrapper around text": lambda report: written({"answer": {"text": f"So:\n```json\n{written(report)}\n```"}}),
    "a list around it": lambda report: f"[{written(report)}]",
    "other names": lambda report: written({"Verdict": report["verdict"].lower(), "Issues": report["findings"]}),
    "lists by severity": lambda report: written(
        {
            "verdict": report["verdict"],
            "findings": {
                word: [item for item in report["findings"] if item["severity"] == word] for word in findings.SEVERITIES
            },
        }
    ),
    "a verdict in a line": lambda report: (
        f"VERDICT: {report['verdict']}\n\n{written({'findings': report['findings']})}"
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@hypothesis.given(report=REPORTS)
def test_what_a_reviewer_meant_is_read_through_every_kind_of_damage(
    damage: Callable[[dict[str, Any]], str], report: dict[str, Any]
) -> None:
    reading = answer_parser.read("a", damage(report))
    items = sorted(map(str, report["findings"]))
    fields = {"severity", "file", "line", "quote", "claim"}
    assert (reading.verdict, reading.problem) == (report["verdict"], "")
    assert sorted(str(finding.model_dump(include=fields)) for finding in reading.findings) == sorted(
        str(findings.Finding(reviewer="a", **item).model_dump(include=fields)) for item in report["findings"]
    ), items


@hypothesis.given(REPORTS, st.data())
def test_an_answer_that_was_cut_off_is_unusable_and_keeps_what_it_had_found(
    report: dict[str, Any], data: st.DataObject
) -> None:
    text = written(report)
    end = data.draw(st.integers(0, len(text) - 1))
    reading = answer_parser.read("a", text[:end])
    assert reading.problem
    whole = [
        item["severity"]
        for count, item in enumerate(report["findings"], 1)
        if len(written({**report, "findings": report["findings"][:count]})) - len("]}") <= end
    ]
    assert [finding.severity for finding in reading.findings][: len(whole)] == whole


@pytest.mark.parametrize(
    ("text", "verdict", "problem", "quotes"),
    [
        # A verdict that is missing, said twice, or said against itself.
        ('{"findings": [%s]}', None, "no verdict", ["q1"]),
        ("%s", None, "no verdict", ["q1"]),
        ("Verdict\n\n%s", None, "no verdict", ["q1"]),
        ("**Verdict:** FAIL\n\n%s\n\n%s", "FAIL", "", ["q1", "q1"]),
        ('## Verdict\n\nFAIL\n\n{"findings": [%s]}', "FAIL", "", ["q1"]),
        ('VERDICT: PASS\n{"findings": [%s]}\nVERDICT: FAIL', None, "both verdicts", ["q1"]),
        ('{"verdict": "PASS", "findings": [%s], "verdict": "FAIL"}', "PASS", "'verdict' twice", ["q1"]),
        ('{"verdict": "FAIL", "Verdict": "PASS", "findings": [%s]}', None, "both verdicts", ["q1"]),
        ('{"verdict": "FAIL", "findings": [%s]}\n{"verdict": "PASS", "findings": []}', None, "both verdicts", ["q1"]),
        ('{"a": {"verdict": "PASS"}, "b": {"verdict": "FAIL", "findings": [%s]}}', None, "both verdicts", ["q1"]),
        # A draft before the answer, and an answer that breaks off behind a draft.
        ('{"verdict": "PASS", "findings": []}\n{"verdict": "PASS", "findings": [%s', "PASS", "in the middle", ["q1"]),
        ('My form is {"verdict": …\n{"verdict": "FAIL", "findings": [%s]}', "FAIL", "", ["q1"]),
        # Findings in other places.
        ('{"verdict": "FAIL", "findings": %s}', "FAIL", "", ["q1"]),
        ('{"verdict": "FAIL", "findings": {"F1": %s}}', "FAIL", "", ["q1"]),
        ('{"verdict": "PASS", "blockers": [%s]}', "PASS", "", ["q1"]),
        ('{"verdict": "FAIL", "findings": [%s], "findings": [%s, %s]}', "FAIL", "", ["q1", "q1", "q1"]),
        # Words between the fields might be fields.
        ('{"verdict": "PASS", and "findings" are: [%s]}', None, "not escaped", ["q1"]),
        ('VERDICT: FAIL\n{"verdict" is above, "findings" are: [%s]}', "FAIL", "", ["q1"]),
        ('{"verdict": "PASS", "findings": [%s], thank you}', "PASS", "words between", ["q1"]),
    ],
)
def test_the_meaning_of_an_answer_is_read_strictly_and_its_findings_are_kept(
    text: str, verdict: findings.Verdict | None, problem: str, quotes: list[str]
) -> None:
    item = '{"severity": "critical", "file": "a.py", "line": 1, "quote": "q1"}'
    reading = answer_parser.read("a", text.replace("%s", item))
    assert reading.verdict == verdict
    assert problem in reading.problem
    assert bool(problem) is bool(reading.problem)
    assert [finding.quote for finding in reading.findings] == quotes


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"file": "app/db.py:12", "line": None}, {"file": "app/db.py", "line": 12}),
        ({"file": "app/db.py:12-14", "line": 0}, {"file": "app/db.py", "line": 12}),
        ({"file": None, "location": "app/db.py:12:7", "line": ""}, {"file": "", "line": 0}),
        ({"quote": ["first()", "second()"]}, {"quote": "first()\nsecond()"}),
        ({"line": [12, 14]}, {"line": 12}),
        ({"line": 10**5_000}, {"line": 0}),
    ],
)
def test_other_shapes_of_a_field_are_understood(item: dict[str, Any], expected: dict[str, Any]) -> None:
    reading = answer_parser.read("a", {"verdict": "FAIL", "findings": [{**ITEM, **item}]})
    [only] = reading.findings
    assert only.model_dump(include=set(expected)) == expected


@pytest.mark.parametrize("start", ["- file: a.py\n  severity: high", "1. severity: high\n- file: a.py"])
def test_the_fields_of_a_finding_in_lines_may_stand_in_any_order(start: str) -> None:
    [only] = answer_parser.read("a", f"VERDICT: FAIL\nFINDINGS:\n{start}\n  quote: bad()\n").findings
    assert (only.severity, only.file, only.quote) == ("high", "a.py", "bad()")


def test_a_block_of_lines_may_hold_what_looks_like_a_field() -> None:
    text = "VERDICT: FAIL\n- severity: high\n  quote: |\n    file: x\n    - severity: low\n  file: a.yml\n"
    [only] = answer_parser.read("a", text).findings
    assert (only.file, only.quote.split()) == ("a.yml", ["file:", "x", "-", "severity:", "low"])


def test_a_quote_in_lines_may_be_an_object() -> None:
    text = 'VERDICT: FAIL\nFINDINGS:\n- severity: high\n  file: a.json\n  quote: {"a": {"b": 1}}\n  claim: c\n'
    [only] = answer_parser.read("a", text).findings
    assert (only.quote, only.claim) == ('{"a": {"b": 1}}', "c")


def test_a_list_of_findings_in_no_form_at_all_is_not_taken_for_none() -> None:
    reading = answer_parser.read("a", "VERDICT: PASS\nFINDINGS:\n- [HIGH] a.py:3 it leaks\n")
    assert "no form" in reading.problem


LONG = [
    *(
        "{",
        "a",
        '{"verdict": "',
        '{"verdict": "PASS", "findings": [',
        "VERDICT: PASS\n",
        "verdict ",
        "- severity: high\n",
    ),
    *("  quote: x\n", "- severity: high\n  quote: |\n", "a\n", "verdict: ____", '"severity": ', "<system-reminder>\n"),
]


@pytest.mark.promise("R24")
@pytest.mark.parametrize("junk", LONG)
def test_the_time_of_reading_grows_no_faster_than_the_answer(junk: str) -> None:
    def read(length: int) -> None:
        answer_parser.read("a", (f"- severity: high\n  quote: {junk * length}")[:length])

    assert growth.is_at_most(9, read, 20_000, 80_000)
