"""When an answer to a review counts, and that a stored change is read as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dispatch_mcp.engine import review_attempt
from dispatch_mcp.review import answer_parser, quotes
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.text import unified_diff

DIFF = "diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1,1 +1,1 @@\n-old = 1\n+new = compute(2)\n"
GROUND = quotes.ground(unified_diff.parse(DIFF))


def problem(word: str, severity: str, quote: str) -> str:
    """Returns why nobody can use an answer with a finding of that severity."""
    finding = {"severity": severity, "file": "app.py", "line": 1, "quote": quote, "claim": "It is wrong"}
    text = json.dumps({"verdict": word, "files": ["app.py"], "findings": [finding]})
    report = quotes.check(answer_parser.report("critic", text), GROUND)
    return review_attempt.problem_of(report, GROUND)


@pytest.mark.parametrize(
    ("severity", "quote", "is_usable"),
    [
        ("critical", "new = compute(2)", True),
        ("high", "new = compute(2)", True),
        ("medium", "new = compute(2)", False),
        ("low", "new = compute(2)", False),
        ("critical", "nobody wrote this", False),
    ],
)
def test_an_answer_without_a_verdict_counts_where_it_proves_a_fault_that_blocks(
    severity: str, quote: str, *, is_usable: bool
) -> None:
    assert bool(problem("", severity, quote)) is not is_usable
    assert problem("PASS", severity, "new = compute(2)") == ""


def test_values_that_are_the_same_have_one_text_which_is_json() -> None:
    one, other = {"b": [1, None, "ü"], "a": {"x": "y"}}, {"a": {"x": "y"}, "b": [1, None, "ü"]}
    text = review_attempt.canonical_json(one)
    assert text == review_attempt.canonical_json(other)
    assert json.loads(text) == one


@pytest.mark.anyio
@pytest.mark.parametrize("text", ["plain", "half an emoji: \ud83d", "Käse\r\n\0"])
async def test_a_change_is_read_as_it_was_stored(tmp_path: Path, text: str) -> None:
    async with sqlite_store.open_store(tmp_path / "state") as store:
        assert await review_attempt.read_text(store, await review_attempt.store_text(store, text)) == text
