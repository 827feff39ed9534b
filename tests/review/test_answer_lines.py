"""Answers that are written in lines: verdicts, findings field by field, and what stands around them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.review import answer_lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("VERDICT: PASS", ["pass"]),
        ("**Final verdict:** FAIL", ["fail"]),
        ("## My verdict\n\nPASS\n", ["pass"]),
        ("> Overall verdict = pass", ["pass"]),
        ("VERDICT: PASS\nVERDICT: FAIL", ["pass", "fail"]),
        ("The verdict: PASS", []),
        ("Verdict of the last round: PASS", []),
        ("## Verdict\nFINDINGS: none", []),
        ("verdict", []),
        ("", []),
    ],
)
def test_a_verdict_stands_at_the_beginning_of_a_line_or_below_its_heading(text: str, words: list[str]) -> None:
    assert list(answer_lines.verdicts(text)) == words


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("- severity: high\n  file: a.py", [{"severity": "high", "file": "a.py"}]),
        ("1. Severity: low\n2. Severity: high", [{"severity": "low"}, {"severity": "high"}]),
        ("* **claim**: one\ntwo\n\nthree", [{"claim": "one\ntwo"}]),
        ("- severity: high\n  so bad\n  file: a.py", [{"severity": "high", "file": "a.py"}]),
        ("- quote: a\n\nb", [{"quote": "a\nb"}]),
        ("- quote: |\n    file: x\n    y\n  claim: z", [{"quote": "    file: x\n    y", "claim": "z"}]),
        ("- quote: |\n  x\n\n  y", [{"quote": "  x\n\n  y"}]),
        ("- file: a.py\nVERDICT: FAIL\n  claim: x", [{"file": "a.py", "claim": "x"}]),
        ("severity: high\nfile: a.py", []),
        ("- note: nothing\n- hint: none", []),
        (f"- {'x' * 80}: high", []),
    ],
)
def test_findings_are_lists_of_fields_whatever_marks_are_around_them(
    text: str, items: list[dict[str, model.Json]]
) -> None:
    assert list(answer_lines.items(text)) == items


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("I looked.\nAll of it.\n- severity: low\n", "I looked.\nAll of it."),
        ("- severity: low", ""),
        ("severity: low", "severity: low"),
        ("no list", "no list"),
    ],
)
def test_own_words_end_where_the_first_finding_begins(text: str, head: str) -> None:
    assert answer_lines.own_words(text) == head


@pytest.mark.parametrize(
    ("text", "says_none", "lists"),
    [
        ("FINDINGS: none", True, False),
        ("No findings.", True, False),
        ("## Findings\n- one", True, True),
        ("**FINDINGS:**\n\n1. one", True, True),
        ("Findings\nnone at all", True, False),
        ("The findings are grave", False, False),
        ("", False, False),
    ],
)
def test_a_line_for_findings_and_a_list_below_it_are_two_things(text: str, *, says_none: bool, lists: bool) -> None:
    assert (answer_lines.says_none(text), answer_lines.lists_something(text)) == (says_none, lists)


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("FILES: a.py, b.py", "a.py, b.py"),
        ("**Files read:** a.py", "a.py"),
        ("x\n- files: a.py\ny", "a.py"),
        ("the files: a.py", ""),
    ],
)
def test_the_files_that_were_read_stand_in_a_line_of_their_own(text: str, files: str) -> None:
    assert answer_lines.files(text) == files


@given(st.text(alphabet="-*#: \n|>abVvERDICTfile", max_size=200))
def test_any_text_can_be_read_and_no_line_is_read_twice(text: str) -> None:
    lines = text.count("\n") + 1
    assert len(list(answer_lines.verdicts(text))) <= lines
    fields = [value for item in answer_lines.items(text) for value in item.values()]
    assert sum(str(value).count("\n") + 1 for value in fields) <= lines
    assert text.startswith(answer_lines.own_words(text))
