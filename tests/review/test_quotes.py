"""Quotes looked up in the change: what is found is anchored, everything else is demoted and marked."""

from __future__ import annotations

from collections.abc import Callable

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
        ({"quote": "find("}, ("app/db.py", 10)),
        ({"quote": "sql = f\"SELECT * FROM users WHERE name = '{name}'\"\n    return run(sql)"}, ("app/db.py", 11)),
        ({"quote": "return run(sql)\n    pass"}, ("app/db.py", 12)),
        ({"quote": "only_here(1)", "file": "wrong.py"}, ("other.py", 1)),
        ({"quote": "only_here(1)", "file": ""}, ("other.py", 1)),
        # Another file or line of the change than its own.
        ({"quote": "only_here(1)"}, ("other.py", 1)),
        ({"quote": "only_here(1)", "file": "nowhere.py", "line": 900}, ("other.py", 1)),
        # Copied from the diff, or from a listing of it.
        ({"quote": '-    return run(SAFE, name)\n+    sql = f"SELECT * FROM users'}, ("app/db.py", 11)),
        ({"quote": " def find(name):\n-    return run(SAFE, name)"}, ("app/db.py", 10)),
        ({"quote": "12: return run(sql)"}, ("app/db.py", 12)),
        ({"quote": "   12\t+    return run(sql)\n   13\t \n   14\t     pass"}, ("app/db.py", 12)),
        # With other blanks, line breaks, quotation marks and escapes.
        ({"quote": "return run( sql )"}, ("app/db.py", 12)),
        ({"quote": 'def find(name): sql = f"SELECT * FROM users'}, ("app/db.py", 10)),
        ({"quote": "sql = f\"SELECT *\n  FROM users WHERE name = '{name}'\""}, ("app/db.py", 11)),
        ({"quote": "sql = f\u201cSELECT * FROM users WHERE name = \u2018{name}\u2019\u201d"}, ("app/db.py", 11)),
        ({"quote": "sql = f\\\"SELECT * FROM users WHERE name = \\'{name}\\'\\\""}, ("app/db.py", 11)),
        ({"quote": "sql = f&quot;SELECT * FROM users"}, ("app/db.py", 11)),
        # With its middle or its ends left out.
        ({"quote": "sql = f\"SELECT … '{name}'\""}, ("app/db.py", 11)),
        ({"quote": "def find(name):\n    ...\n    return run(sql)"}, ("app/db.py", 10)),
        ({"quote": "def find(name):\n    # ...\n    return run(sql)"}, ("app/db.py", 10)),
        ({"quote": "… FROM users WHERE name = …"}, ("app/db.py", 11)),
        ({"quote": 'sql = f"SELECT * FROM users […30 characters more]'}, ("app/db.py", 11)),
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
        ({"quote": "return run(sql)\nreturn run(sql)"}, quotes.NOT_THERE),
        ({"quote": "return run(sql) … def find(name)"}, quotes.NOT_THERE),
        ({"quote": "return run(sql) … only_here(1)"}, quotes.NOT_THERE),
        ({"quote": "ret … sql"}, quotes.NOT_THERE),
        ({"quote": "passx"}, quotes.NOT_THERE),
        ({"quote": "…"}, quotes.TOO_SHORT),
        ({"file": "nowhere.py", "quote": "a b c d"}, quotes.NOT_THERE),
        ({"quote": ")"}, quotes.TOO_SHORT),
        ({"quote": "p"}, quotes.TOO_SHORT),
        ({"quote": ""}, quotes.TOO_SHORT),
    ],
)
def test_a_finding_without_its_quote_is_low_and_says_why(change: dict[str, object], mark: str) -> None:
    finding = quotes.anchored(CLAIM.model_copy(update=change), GROUND)
    assert (finding.anchored, finding.severity, finding.called) == (False, "low", "high")
    assert finding.marks == (mark,)


SHORT = quotes.ground(
    diff_samples.diff(
        diff_samples.change("a.py", " k=1", "-x=1", "+x=2", "+    i  += 1", "+)"), diff_samples.change("b.py", "+y=2")
    )
)


@pytest.mark.parametrize(
    ("quote", "place"),
    [
        ("x=2", ("a.py", 2)),
        ("+x=2", ("a.py", 2)),
        ("  x=2\n", ("a.py", 2)),
        ("x=1", ("a.py", 2)),
        ("i += 1", ("a.py", 3)),
        ("y=2", ("b.py", 1)),
    ],
)
def test_a_whole_line_that_was_changed_proves_something_however_short_it_is(quote: str, place: tuple[str, int]) -> None:
    finding = quotes.anchored(CLAIM.model_copy(update={"file": "a.py", "line": 0, "quote": quote}), SHORT)
    assert (finding.anchored, finding.severity, finding.file, finding.line) == (True, "high", *place)


@pytest.mark.parametrize("quote", ["=2", "x", "x=", "2", "k=1", "x=3", ")", "", "+", "x=2\ny=2"])
def test_a_short_piece_of_a_line_and_one_that_was_left_alone_prove_nothing(quote: str) -> None:
    assert not quotes.anchored(CLAIM.model_copy(update={"file": "a.py", "line": 0, "quote": quote}), SHORT).anchored


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
    assert ground.find("a.py", 5, "gone_call()") == quotes.QuotePlace("a.py", 5, 5, is_removed=True)
    assert ground.find("a.py", 5, "both()") == quotes.QuotePlace("a.py", 5, 5, is_removed=False)


def test_of_several_places_the_nearest_to_the_line_is_taken() -> None:
    change = diff_samples.change("a.py", *["+repeat()" if n in (2, 20, 40) else f"+line_{n}" for n in range(50)])
    ground = quotes.ground(diff_samples.diff(change))
    assert [ground.find("a.py", line, "repeat()") for line in (0, 15, 35, 99)] == [
        quotes.QuotePlace("a.py", line, line, is_removed=False) for line in (3, 21, 41, 41)
    ]


def test_a_quote_in_two_files_proves_something_only_with_its_file() -> None:
    ground = quotes.ground(
        diff_samples.diff(diff_samples.change("a.py", "+twice()"), diff_samples.change("b.py", "+twice()"))
    )
    assert ground.find("", 1, "twice()") is None
    assert ground.find("b.py", 1, "twice()") == quotes.QuotePlace("b.py", 1, 1, is_removed=False)
    proof = findings.EarlierRuling(finding="f", ruling="gone", file="c.py", quote="twice()")
    [ruling] = quotes.check(findings.ReviewReport(reviewer="a", rulings=(proof,)), ground).rulings
    assert not ruling.anchored


MANY = quotes.ground(
    diff_samples.diff(
        diff_samples.change("src/pay/a.py", " shared()", "+x = 1", start=3),
        diff_samples.change("src/web/b.py", "+shared()", start=40),
        diff_samples.change("docs/a.py", *["+shared()" if n in (4, 30) else f"+line_{n}" for n in range(40)]),
    )
)


@pytest.mark.parametrize(
    ("file", "line", "place", "mark"),
    [
        ("", 38, ("src/web/b.py", 40), "its quote stands at 4 places, this is the nearest"),
        ("", 0, ("docs/a.py", 5), "its quote stands at 4 places, this is the nearest"),
        ("old/web/b.py", 7, ("src/web/b.py", 40), "moved from old/web/b.py:7: its quote stands here"),
        ("src/b.py", 31, ("src/web/b.py", 40), "moved from src/b.py:31: its quote stands here"),
        ("lib/a.py", 31, ("docs/a.py", 31), "moved from lib/a.py:31: its quote stands here"),
        ("gone.py", 0, ("docs/a.py", 5), "moved from gone.py: its quote stands here"),
    ],
)
def test_a_finding_moves_to_the_nearest_place_that_has_its_quote(
    file: str, line: int, place: tuple[str, int], mark: str
) -> None:
    claim = CLAIM.model_copy(update={"file": file, "line": line, "quote": "shared()"})
    finding = quotes.anchored(claim, MANY)
    assert (finding.anchored, finding.severity, finding.file, finding.line) == (True, "high", *place)
    assert mark in finding.marks


def test_a_quote_that_is_in_the_named_file_moves_to_no_other() -> None:
    claim = CLAIM.model_copy(update={"file": "src/pay/a.py", "line": 40, "quote": "shared()"})
    finding = quotes.anchored(claim, MANY)
    assert (finding.file, finding.line, finding.marks) == ("src/pay/a.py", 3, ("line corrected from 40",))


def test_without_a_line_the_first_changed_line_is_taken() -> None:
    ground = quotes.ground(diff_samples.diff(diff_samples.change("a.py", " same()", "+y", "+same()", start=3)))
    assert ground.find("a.py", 0, "same()") == quotes.QuotePlace("a.py", 5, 5, is_removed=False)
    assert ground.find("a.py", 3, "same()") == quotes.QuotePlace("a.py", 3, 3, is_removed=False)


def test_pieces_of_a_quote_stand_in_one_hunk() -> None:
    first, second = (
        diff_samples.change("a.py", line, start=at).hunks[0] for line, at in (("+open_it(x)", 1), ("+shut_it(x)", 90))
    )
    apart = unified_diff.FileChange("a.py", "a.py", "modified", (first, second))
    ground = quotes.ground(unified_diff.Diff((apart,)))
    assert ground.find("a.py", 1, "open_it(x) … shut_it(x)") is None
    assert ground.find("a.py", 1, "open_it(x)shut_it(x)") is None


def test_an_ambiguous_name_of_a_file_names_none() -> None:
    ground = quotes.ground(
        diff_samples.diff(diff_samples.change("x/a.py", "+one_call()"), diff_samples.change("y/a.py", "+two_calls()"))
    )
    assert ground.find("a.py", 1, "two_calls()") == quotes.QuotePlace("y/a.py", 1, 1, is_removed=False)
    assert quotes.anchored(CLAIM.model_copy(update={"file": "y/a.py", "quote": "one_call()"}), ground).file == "x/a.py"
    assert ground.find("y/a.py", 1, "one_call()") is None


def test_a_quote_of_several_lines_ends_in_the_middle_of_its_last_one() -> None:
    ground = quotes.ground(diff_samples.diff(diff_samples.change("a.py", "+x = first()", "+", "+then(second, third)")))
    assert ground.find("a.py", 1, "first()\nthen(second") == quotes.QuotePlace("a.py", 1, 3, is_removed=False)
    assert ground.find("a.py", 1, "first()\nsecond") is None


WORDS = st.text("abcdefgh (){}=._", min_size=3, max_size=20).filter(lambda text: sum(map(str.isalnum, text)) >= 3)


@hypothesis.given(st.lists(WORDS, min_size=1, max_size=12), st.data())
def test_any_line_of_a_change_can_be_quoted(lines: list[str], data: st.DataObject) -> None:
    ground = quotes.ground(diff_samples.diff(diff_samples.change("a.py", *(f"+{line}" for line in lines))))
    number = data.draw(st.integers(1, len(lines)))
    place = ground.find("a.py", number, lines[number - 1])
    assert place == quotes.QuotePlace("a.py", number, number, is_removed=False)


@hypothesis.given(st.text(max_size=40), st.text(max_size=60), st.integers(-5, 50))
def test_no_quote_is_found_that_is_not_there(file: str, quote: str, line: int) -> None:
    place = GROUND.find(file, line, quote)
    if place is not None:
        text = "".join(number.text for _, number in sorted(diff_samples.lines(DIFF)))
        assert set(filter(str.isalnum, quote)) <= set(text)


COPIES: dict[str, Callable[[list[str]], str]] = {
    "as it is": "\n".join,
    "with marks": lambda lines: "\n".join(f"+{line}" for line in lines),
    "with numbers": lambda lines: "\n".join(f"{at}: {line}" for at, line in enumerate(lines, 7)),
    "on one line": " ".join,
    "with tabs": lambda lines: "\n".join(line.replace(" ", "\t") for line in lines),
    "without blanks": lambda lines: "\n".join(line.replace(" ", "") for line in lines),
    "with other quotation marks": lambda lines: "\n".join(lines).replace('"', "\u201d").replace("'", "\u2019"),
    "with escapes": lambda lines: "\n".join(lines).replace('"', '\\"').replace("_", "\\_"),
    "with its middle left out": lambda lines: "\n...\n".join([lines[0], lines[-1]]),
}
CODE = st.text("abcdefgh (){}=.\"'_", min_size=12, max_size=30).filter(
    lambda text: sum(map(str.isalnum, text)) >= 9 and "..." not in text
)


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
@hypothesis.given(lines=st.lists(CODE, min_size=2, max_size=6, unique=True), before=st.integers(0, 3))
def test_however_lines_of_a_change_are_copied_they_are_found_where_they_stand(
    copy: Callable[[list[str]], str], lines: list[str], before: int
) -> None:
    others = [f"other_line({n})" for n in range(before)]
    change = diff_samples.change("a.py", *(f"+{line}" for line in (*others, *lines, "last_line()")))
    finding = quotes.anchored(
        CLAIM.model_copy(update={"file": "b.py", "line": 0, "quote": copy(lines)}),
        quotes.ground(diff_samples.diff(change)),
    )
    assert (finding.anchored, finding.severity, finding.file) == (True, "high", "a.py")
    assert (finding.line, finding.last) == (before + 1, before + len(lines))


def test_lines_that_begin_with_a_mark_of_their_own_are_found_with_those_of_the_diff_before_them() -> None:
    page = unified_diff.parse("--- a/a.md\n+++ b/a.md\n@@ -1,3 +1,4 @@\n - first\n+- second\n - third\n - fourth\n")
    quote = " - first\n+- second\n - third"
    finding = quotes.anchored(CLAIM.model_copy(update={"file": "a.md", "quote": quote}), quotes.ground(page))
    assert (finding.anchored, finding.line, finding.last) == (True, 1, 3)


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
