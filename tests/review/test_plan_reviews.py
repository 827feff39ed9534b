"""What the answer of one reviewer of a plan comes to: passed, blocked, or nothing that can be used."""

from __future__ import annotations

import json

import pytest

from dispatch_mcp import model
from dispatch_mcp.review import plan_reviews, quotes
from dispatch_mcp.text import unified_diff

DIFF = unified_diff.parse(
    "diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-x = 1\n+x = eval(text)\n"
)
GROUND = quotes.ground(DIFF)


def finding(severity: str, quote: str = "x = eval(text)", file: str = "app.py", **fields: str) -> dict[str, str]:
    return {"severity": severity, "file": file, "quote": quote, "claim": "It is wrong", "evidence": "see", **fields}


def answer(verdict: str, *found: dict[str, str]) -> str:
    return "I looked.\n```json\n" + json.dumps({"verdict": verdict, "findings": found}) + "\n```"


@pytest.mark.parametrize(
    ("said", "ruling"),
    [
        (answer("PASS"), "pass"),
        (answer("PASS", finding("medium")), "pass"),
        (answer("PASS", finding("low")), "pass"),
        ("VERDICT: PASS\nFINDINGS:\nnone", "pass"),
        ({"verdict": "PASS", "findings": []}, "pass"),
        (answer("FAIL"), "block"),
        (answer("FAIL", finding("low")), "block"),
        (answer("FAIL", finding("critical")), "block"),
        (answer("PASS", finding("high")), "block"),
        (answer("PASS", finding("critical", quote="not in the change at all")), "block"),
        ("VERDICT: FAIL", "block"),
        ("looks fine to me", "unusable"),
        ("", "unusable"),
        (None, "unusable"),
        ("PASS", "unusable"),
        ("VERDICT: PASS\nVERDICT: FAIL", "unusable"),
        (answer("MAYBE"), "unusable"),
        (answer("PASS", finding("grave")), "unusable"),
        ({"verdict": "PASS", "findings": "a few"}, "unusable"),
        ({"findings": []}, "unusable"),
        ({"findings": [finding("critical")]}, "block"),
        ([], "unusable"),
        (7, "unusable"),
    ],
)
@pytest.mark.parametrize("where", [None, GROUND])
def test_only_a_usable_pass_without_a_critical_or_high_finding_lets_through(
    said: model.Json, ruling: str, where: quotes.Ground | None
) -> None:
    judgement = plan_reviews.judge("reviewer", said, where)
    assert judgement.ruling == ruling, judgement
    assert judgement.why


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer("PASS"), "it says PASS, and nothing critical or high"),
        (answer("FAIL", finding("low")), "it says FAIL"),
        (answer("FAIL", finding("high")), "1 finding, at worst high"),
        (answer("PASS", finding("high"), finding("low"), finding("critical")), "2 findings, at worst critical"),
        ("VERDICT: PASS\nVERDICT: FAIL", "it holds both verdicts"),
        ("", "there is no answer"),
        ("looks fine to me", "it has no verdict"),
    ],
)
def test_a_judgement_says_why(said: model.Json, why: str) -> None:
    assert plan_reviews.judge("reviewer", said, GROUND).why == why


def test_a_report_is_of_the_role_in_which_its_reviewer_was_asked() -> None:
    assert plan_reviews.report("a", '{"verdict": "PASS"}', None).role == "reviewer"
    assert plan_reviews.report("a", '{"verdict": "PASS"}', None, role="advocate").role == "advocate"


def test_medium_findings_are_left_to_do_and_no_others() -> None:
    said = answer("PASS", finding("low"), finding("medium", fix="bind it"), finding("medium", file="", quote=""))
    todos = plan_reviews.todos(plan_reviews.judge("reviewer", said, GROUND).report)
    assert todos == ["medium: app.py:1: It is wrong Proposed: bind it", "medium: It is wrong"]


def test_whoever_mends_it_reads_what_blocks_first_and_what_the_server_could_not_find() -> None:
    said = answer("FAIL", finding("low"), finding("high", quote="never there"), finding("critical", fix="parse it"))
    text = plan_reviews.feedback(plan_reviews.judge("reviewer", said, GROUND).report, said)
    first, second, third = text.split("\n\n")
    assert first.splitlines() == [
        "critical: app.py:1: It is wrong",
        "It says: x = eval(text)",
        "Evidence: see",
        "Proposed: parse it",
    ]
    assert second.startswith("high: app.py: It is wrong")
    assert f"({quotes.NOT_THERE})" in second
    assert third.startswith("low: ")


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("The rounding is wrong everywhere.\nVERDICT: FAIL", "The rounding is wrong everywhere.\nVERDICT: FAIL"),
        ({"verdict": "FAIL", "findings": []}, "The review says FAIL and gives no reason."),
    ],
)
def test_a_fail_without_findings_is_handed_on_in_its_own_words(said: model.Json, text: str) -> None:
    assert plan_reviews.feedback(plan_reviews.judge("reviewer", said).report, said) == text


FILES = {"api": ("src/api/**",), "web": ("web/app.ts",), "docs": ()}


@pytest.mark.parametrize(
    ("found", "tasks"),
    [
        ([finding("high", file="src/api/orders.py")], ("api",)),
        ([finding("high", file="./web/app.ts")], ("web",)),
        ([finding("high", file="web/app.ts"), finding("critical", file="src/api/a.py")], ("api", "web")),
        ([finding("high", file="web/app.ts"), finding("low", file="src/api/a.py")], ("web",)),
        ([finding("high", file="elsewhere.py")], ("api", "web", "docs")),
        ([finding("high", file="")], ("api", "web", "docs")),
        ([], ("api", "web", "docs")),
    ],
)
def test_the_work_goes_back_whose_files_the_blocking_findings_are_about(
    found: list[dict[str, str]], tasks: tuple[str, ...]
) -> None:
    report = plan_reviews.judge("reviewer", answer("FAIL", *found)).report
    assert plan_reviews.sends_back(report, FILES) == tasks
