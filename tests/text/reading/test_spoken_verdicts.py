"""What counts as a verdict or a grave finding in plain words, and what only mentions such words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text.reading import spoken_verdicts

VERDICTS = [
    "FAIL",
    "**FAIL**",
    "FAILED",
    "Fail.",
    "Fail: login is broken.",
    "FAIL: the change breaks login. Do not merge.",
    "FAIL - x is wrong",
    "FAIL \u2014 x is wrong",
    "FAIL, as x is wrong",
    "\u274c FAIL - x is wrong",
    "BLOCK",
    "NO-GO: login",
    "REJECTED. It is wrong.",
    "Verdict: FAIL. It is wrong.",
    "Verdict: FAIL",
    "I looked at it.\n\n**Verdict: FAIL**\n\nIt breaks login.",
    "I looked at it.\n\n## Verdict: **fail**",
    "Final verdict: FAIL",
    "The verdict is FAIL.",
    "Result: rejected",
    "Conclusion: FAIL, as x is wrong",
    "```\nVerdict: FAIL\n```",
    "Failed: 3 of 40 tests.",
    "**FAIL** it does not import",
    "\u274c **REJECTED** as it is",
    "Status: FAILED",
    "**Overall status:** FAIL",
    "Verdict: does not pass",
    "Verdict: not passed",
    "**Result:** it doesn't pass",
    "I looked at it.\n\nThe verdict is not passed, as it does not import.",
    "__FAIL__: it does not import",
    "`FAIL`: it does not import",
    "[FAIL] it does not import",
    "FAIL because it does not import",
    "FAIL: no module of that name",
    "FAIL: none of the tests run",
    "FAIL: not as expected",
    "# FAIL\nNo test imports it.",
    "# FAIL\nNone of the tests import it.",
    "Result: \u274c FAIL",
    "Outcome: FAIL",
    "Overall: FAIL",
    "Status: Failed",
    "I looked.\n\n### Result\n\n**FAIL**",
    "I looked.\n\n### Status\nFAILED",
]
FINDINGS = [
    "CRITICAL: sql injection in app.py",
    "I looked.\n- High: the token is never checked\n- Low: a typo",
    "**High:** x=2 breaks login",
    "1. Critical: no input validation in the form",
    "[CRITICAL] sql injection in app.py",
    "**Critical** - remote code execution in app.py",
    "Blocker: this drops the table.",
    "High: 3 endpoints lack a check",
    "High: the file is not closed, and was not fixed",
    "Severity: critical\nFile: app.py",
    "### High: nothing checks the token",
    "### Critical\n- sql injection in app.py",
    "I looked.\n\n**High severity**\n\n1. The token is never checked\n",
    "## Blockers\n* passwords are logged",
]
HONEST = [
    "No critical findings.",
    "No high or critical issues were found in app.py.",
    "the FAIL branch of the test is covered",
    "FAIL branch of the test: covered by test_b.",
    "FAIL and PASS are the two words of the form.",
    "FAIL, PASS and SKIP are the outcomes that pytest knows.",
    "PASS",
    "PASS. It would FAIL without the lock.",
    "Verdict: PASS",
    "Verdict: PASS, not FAIL",
    "Verdict: PASS or FAIL, as the reviewer likes",
    "The earlier verdict: FAIL was about the old change; it is right now.",
    "Previous verdict: FAIL. It was mended, and all is right.",
    "> Verdict: FAIL\n\nThat was the last round; it is right now.",
    "Whoever reviews writes this line:\n```\nVerdict: FAIL\n```\nThat works.",
    "`Verdict: FAIL` is what the parser has to read, and it does.",
    "FAIL_FAST is set in app.py.",
    "FAILED_STATES holds three words.",
    "Failed logins are counted in app.py.",
    "Failure of the disk is handled.",
    "Failing tests: none.",
    "Failed: 0, passed: 12",
    "Failed: none",
    "BLOCK sizes are 4 KiB.",
    "Blocked threads are shown by the dump.",
    "Rejected requests answer 403, as they should.",
    "Block I/O is buffered: right as it is.",
    "High-level overview: three modules, one store.",
    "High level: three modules, one store.",
    "High availability: two servers stand behind the proxy.",
    "High confidence: I have read all of app.py.",
    "Critical: none",
    "Critical: no findings",
    "**High:** none found",
    "High: 0 issues",
    "High: nothing found.",
    "High: 45.2, Low: 44.1",
    "High: 30 \u00b0C",
    "Critical: 0 findings, High: 0 findings, Low: 2 findings",
    "Critical: the overflow is fixed now",
    "High: n/a",
    "Critical path: parse, then lay out, then draw.",
    "The critical section holds the lock for 2 ms.",
    "The severity of this is low.",
    "Severity: low",
    "Results: all checks are green.",
    "Result: 4",
    "Result: blocked threads are woken in order.",
    "Decision: fail fast is the right policy here.",
    "Conclusion: failing early is right.",
    "3 tests failed before the change, none after it.",
    "It cannot fail: the lock is held.",
    "Nothing blocks the release.",
    "The tests are right; I could not make them fail.",
    "### Critical\nNone\n### High\n- none\n### Low\n- naming",
    "## Critical\n\n## High\n\n## Low\n- naming",
    "## Critical path\n- parse, then lay out",
    "## High-level overview\n- three modules",
    "## Critical\nThe highest level of the logging module.",
    "| level | meaning |\n|---|---|\n| critical | the highest one |",
    "Status: done",
    "status: failed is what the API answers for such an order.",
    "Status codes: 403 for rejected requests.",
    "Verdict: PASS. A second call does not pass the check, as it should.",
    "FAIL **and** PASS are the words of the form.",
    "**FAIL_FAST** is set in app.py.",
    "## Failed\n\nnone\n\n## Passed\n\n- import",
    "### FAIL\n(none)\n### PASS\n- import",
    "BLOCKED: nothing",
    "Failed: 0 of 12 tests",
    "Failed: no tests, passed: 12",
    "Result: rejected, as it should be",
    "REJECTED, as expected.",
    "Status: failed before the fix, passes now",
    "`FAIL` no longer stands in the log.",
    "### Results\nFAIL and PASS are written as they should be.",
    "### Critical\n- [x] SQL injection: not found\n- [x] secrets: none",
    "",
    " \n ",
]


@pytest.mark.parametrize("answer", VERDICTS)
def test_a_verdict_against_the_work_is_quoted(answer: str) -> None:
    assert spoken_verdicts.verdict(answer) in answer
    assert spoken_verdicts.verdict(answer)


@pytest.mark.parametrize("answer", FINDINGS)
def test_a_line_with_a_grave_label_is_a_finding(answer: str) -> None:
    assert spoken_verdicts.grave_finding(answer) in answer
    assert spoken_verdicts.grave_finding(answer)
    assert not spoken_verdicts.verdict(answer)


@pytest.mark.parametrize("answer", HONEST)
def test_words_that_are_only_mentioned_are_no_verdict_and_no_finding(answer: str) -> None:
    assert (spoken_verdicts.verdict(answer), spoken_verdicts.grave_finding(answer)) == ("", "")


PASSES = ["PASS", "**PASS** \u2013 all of it works", "PASS\n{}", "I looked.\n\n## Verdict: passed", "Result: PASS"]
NO_PASSES = ["It works.", "I cannot say PASS.", "PASS would be wrong", "Verdict: FAIL", "> PASS", "PASSWORD: x", ""]


@pytest.mark.parametrize("answer", PASSES)
def test_a_pass_is_one_as_the_first_word_or_by_its_label(answer: str) -> None:
    assert spoken_verdicts.is_pass(answer)


@given(
    st.sampled_from(["Verdict", "Result", "Decision", "Conclusion", "Outcome", "Overall"]),
    st.sampled_from(["{}: {}", "**{}:** {}", "Final {}: **{}**", "{} = {}", "### {}\n\n{}", "## {}:\n**{}**"]),
    st.sampled_from(["FAIL", "REJECTED", "BLOCK"]),
)
def test_a_label_of_a_verdict_gives_it_in_its_line_or_as_a_heading(label: str, form: str, word: str) -> None:
    assert word in spoken_verdicts.verdict(f"I looked.\n\n{form.format(label, word)}\n\nIt breaks login.")
    assert spoken_verdicts.verdict(f"I looked.\n\n{form.format(label, 'PASS')}\n\nIt logs in.") == ""


@pytest.mark.parametrize("answer", NO_PASSES)
def test_a_pass_that_is_only_mentioned_is_none(answer: str) -> None:
    assert not spoken_verdicts.is_pass(answer)


@given(st.text(alphabet=st.characters(blacklist_characters="FfRrBbNnVvDdCcHhSs\u017f\u212a"), max_size=300))
def test_text_without_these_words_says_nothing(text: str) -> None:
    assert (spoken_verdicts.verdict(text), spoken_verdicts.grave_finding(text)) == ("", "")
