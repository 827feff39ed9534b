"""No text makes a pattern slow: every compiled pattern of the package takes linear time on strings made against it."""

from __future__ import annotations

import re

import pattern_growth
import pytest


def named(source: str, *methods: str) -> pattern_growth.NamedPattern:
    return pattern_growth.NamedPattern("an offence", re.compile(source), frozenset(methods or {"search"}))


@pytest.mark.promise("R24")
@pytest.mark.parametrize("pattern", pattern_growth.of_package(), ids=lambda pattern: pattern.name)
def test_every_pattern_takes_linear_time(pattern: pattern_growth.NamedPattern) -> None:
    assert pattern_growth.slow(pattern) == []


@pytest.mark.parametrize(
    ("source", "method"),
    [
        (r"\s+$", "search"),
        (r"\w*\.py", "findall"),
        (r"(?:\s*,?\s*)*x", "match"),
        (r"\s*(.*?)\s*", "fullmatch"),
        (r"<a>.*?</a>", "sub"),
        (r"[\w-]+://\S+", "search"),
        (r'"[^"]*\bid\b[^"]*x', "search"),
        (r".*service[-_]?account.*\.json", "fullmatch"),  # what it costs is felt beyond thousands of characters
    ],
)
def test_a_pattern_that_is_slow_on_some_text_is_named(source: str, method: str) -> None:
    # On a loaded machine a measurement may hide the growth, so that nothing is named by mistake: forty in a row do not.
    assert any(pattern_growth.slow(named(source, method)) for _ in range(40))


@pytest.mark.parametrize("source", [r"\b\w++\.py", r"(?<!\s)\s++$", r"[\w-]{1,30}://\S+", r"^[ \t]*+key[ \t]*+="])
def test_a_pattern_that_cannot_be_slow_is_left_alone(source: str) -> None:
    assert pattern_growth.slow(named(source, "search")) == []


def test_patterns_in_tables_and_fields_are_looked_at_too() -> None:
    names = {pattern.name for pattern in pattern_growth.of_package()}
    assert {"dispatch_mcp.text.redaction.PATTERNS", "dispatch_mcp.review.injections._PATTERNS"} <= names
    assert len(pattern_growth.of_package()) > 150
