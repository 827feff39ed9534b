"""Quotes looked up in the change: what is found is anchored, everything else is demoted and marked."""

from __future__ import annotations

import diff_samples
import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.review import findings, quotes
from dispatch_mcp.text import unified_diff

DIFF = unified_diff.parse(
    "--- a/app/db.py\n+++ b/app/db.py\n@@ -10,4 +10,5 @@\n def find(name):\n-    return run(SAFE, name)\n"
    "+    sql = f\"SELECT * FROM users WHERE name = '{name}'\"\n+    return run(sql)\n \n     pass\n"
    "--- a/other.py\n+++ b/other.py\n@@ -1 +1 @@\n-x\n+only_here(1)\n"
)
GROUND = quotes.ground(DIFF)
CLAIM = findings.Finding(
    reviewer="a", severity="high", file="app/db.py", line=12, quote="return run(sql)", claim="c", evidence="e"
)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({}, ("app/db.py", 12)),
        ({"line": 900}, ("app/db.py", 12)),
        ({"file": "b/app/db.py"}, ("app/db.py", 12)),
        ({"file": "./app/db.py"}, ("app/db.py", 12)),
        ({"file": "db.py"}, ("app/db.py", 12)),
        ({"file": "checkout/of/repo/app/db.py"}, ("app/db.py", 12)),
        ({"quote": "  return   run(sql)  "}, ("app/db.py", 12)),
        ({"quote": "+    return run(sql)"}, ("app/db.py", 12)),
        ({"quote": "return run(SAFE, name)"}, ("app/db.py", 11)),
        ({"quote": "def find(name)"}, ("app/db.py", 10)),
        ({"quote": "sql = f\"SELECT * FROM users WHERE name = '{name}'\"\n    return run(sql)"}, ("app/db.py", 11)),
        ({"quote": "return run(sql)\n    pass"}, ("app/db.py", 12)),
        ({"quote": "only_here(1)", "file": "wrong.py"}, ("other.py", 1)),
        ({"quote": "only_here(1)", "file": ""}, ("other.py", 1)),
    ],
)
def test_a_quote_is_found_whatever_surrounds_it(change: dict[str, object], place: tuple[str, int]) -> None:
    finding = quotes.anchored(CLAIM.model_copy(update=change), GROUND)
    assert (finding.anchored, finding.file, finding.line) == (True, *place)
    assert finding.severity == "high"


@pytest.mark.parametrize(
    ("change", "mark"),
    [
        ({"quote": "return run(sqll)"}, quotes.NOT_THERE),
        ({"quote": "only_here(1)"}, quotes.NOT_THERE),
        ({"quote": "return run(sql)\nreturn run(sql)"}, quotes.NOT_THERE),
        ({"file": "nowhere.py", "quote": "a b c d"}, quotes.NOT_THERE),
        ({"quote": ")"}, quotes.TOO_SHORT),
        ({"quote": "x"}, quotes.TOO_SHORT),
        ({"quote": ""}, quotes.TOO_SHORT),
    ],
)
def test_a_finding_without_its_quote_is_low_and_says_why(change: dict[str, object], mark: str) -> None:
    finding = quotes.anchored(CLAIM.model_copy(update=change), GROUND)
    assert (finding.anchored, finding.severity, finding.called) == (False, "low", "high")
    assert finding.marks == (mark,)


def test_what_was_called_low_stays_what_it_was_called() -> None:
    finding = quotes.anchored(CLAIM.model_copy(update={"severity": "critical", "quote": "?"}), GROUND)
    assert quotes.anchored(finding, GROUND).called == "critical"


def test_corrected_lines_and_files_are_marked() -> None:
    finding = quotes.anchored(CLAIM.model_copy(update={"line": 900, "file": "db.py"}), GROUND)
    assert finding.marks == ("line corrected from 900", "file corrected from db.py")
    assert quotes.anchored(CLAIM, GROUND).marks == ()
    assert quotes.anchored(CLAIM.model_copy(update={"line": 0}), GROUND).marks == ()


def test_a_removed_line_is_found_in_the_old_file_when_it_is_not_in_the_new_one() -> None:
    ground = quotes.ground(
        diff_samples.diff(diff_samples.change("a.py", "-gone_call()", "-both()", "+both()", start=5))
    )
    assert ground.find("a.py", 5, "gone_call()") == quotes.Place("a.py", 5, 5, removed=True)
    assert ground.find("a.py", 5, "both()") == quotes.Place("a.py", 5, 5, removed=False)


def test_of_several_places_the_nearest_to_the_line_is_taken() -> None:
    change = diff_samples.change("a.py", *["+repeat()" if n in (2, 20, 40) else f"+line_{n}" for n in range(50)])
    ground = quotes.ground(diff_samples.diff(change))
    assert [ground.find("a.py", line, "repeat()") for line in (0, 15, 35, 99)] == [
        quotes.Place("a.py", line, line, removed=False) for line in (3, 21, 41, 41)
    ]


def test_a_quote_in_two_files_needs_its_file() -> None:
    ground = quotes.ground(
        diff_samples.diff(diff_samples.change("a.py", "+twice()"), diff_samples.change("b.py", "+twice()"))
    )
    assert ground.find("", 1, "twice()") is None
    assert ground.find("b.py", 1, "twice()") == quotes.Place("b.py", 1, 1, removed=False)


def test_an_ambiguous_name_of_a_file_names_none() -> None:
    ground = quotes.ground(
        diff_samples.diff(diff_samples.change("x/a.py", "+one_call()"), diff_samples.change("y/a.py", "+two_calls()"))
    )
    assert ground.find("a.py", 1, "two_calls()") == quotes.Place("y/a.py", 1, 1, removed=False)
    assert ground.find("y/a.py", 1, "one_call()") is None


def test_a_quote_of_several_lines_ends_in_the_middle_of_its_last_one() -> None:
    ground = quotes.ground(diff_samples.diff(diff_samples.change("a.py", "+x = first()", "+", "+then(second, third)")))
    assert ground.find("a.py", 1, "first()\nthen(second") == quotes.Place("a.py", 1, 3, removed=False)
    assert ground.find("a.py", 1, "first()\nsecond") is None


WORDS = st.text("abcdefgh (){}=._", min_size=3, max_size=20).filter(lambda text: sum(map(str.isalnum, text)) >= 3)


@hypothesis.given(st.lists(WORDS, min_size=1, max_size=12), st.data())
def test_any_line_of_a_change_can_be_quoted(lines: list[str], data: st.DataObject) -> None:
    ground = quotes.ground(diff_samples.diff(diff_samples.change("a.py", *(f"+{line}" for line in lines))))
    number = data.draw(st.integers(1, len(lines)))
    place = ground.find("a.py", number, lines[number - 1])
    assert place == quotes.Place("a.py", number, number, removed=False)


@hypothesis.given(st.text(max_size=40), st.text(max_size=60), st.integers(-5, 50))
def test_no_quote_is_found_that_is_not_there(file: str, quote: str, line: int) -> None:
    place = GROUND.find(file, line, quote)
    if place is not None:
        text = " ".join(findings.plain(number.text) for _, number in sorted(diff_samples.lines(DIFF)))
        assert findings.plain(quote).lstrip("+-").split("\n")[0].strip() in text


def test_rulings_are_anchored_as_findings_are() -> None:
    proof = findings.EarlierRuling(finding="f", ruling="gone", file="db.py", quote="return run(sql)")
    rumour = proof.model_copy(update={"quote": "run(bound)"})
    report = findings.ReviewReport(reviewer="a", verdict="PASS", findings=(CLAIM,), rulings=(proof, rumour))
    checked = quotes.check(report, GROUND)
    assert [(ruling.anchored, ruling.file, ruling.line) for ruling in checked.rulings] == [
        (True, "app/db.py", 12),
        (False, "db.py", 0),
    ]
    assert checked.findings[0].anchored
    assert (checked.reviewer, checked.verdict) == ("a", "PASS")
