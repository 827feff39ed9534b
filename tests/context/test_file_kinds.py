"""What kind a file is of, and which kinds the words of a task mean."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import context_query, file_kinds


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("src/shop/cart.py", "source"),
        ("src/changes.py", "source"),
        ("tests/test_cart.py", "test"),
        ("testing/acceptance.py", "test"),
        ("src/shop/testing/client.py", "source"),
        ("docs/guide.md", "docs"),
        ("README.md", "docs"),
        ("CHANGES.rst", "changelog"),
        ("CHANGELOG", "changelog"),
        ("docs/versionhistory.rst", "changelog"),
        ("docs/whats-new.md", "changelog"),
        ("docs/changelog.md", "changelog"),
        ("newsfragments/12.bugfix", "changelog"),
        ("pyproject.toml", "dependencies"),
        ("requirements/dev.txt", "dependencies"),
        ("requirements-test.txt", "dependencies"),
        ("crates/core/Cargo.toml", "dependencies"),
        ("web/package.json", "dependencies"),
        ("setup.py", "dependencies"),
        (".github/workflows/ci.yml", "ci"),
        (".github/dependabot.yml", "ci"),
        (".travis.yml", "ci"),
        ("Dockerfile", "configuration"),
        (".pre-commit-config.yaml", "configuration"),
        ("web/page.html", "configuration"),
        ("completions/shop.bash", "configuration"),
        ("examples/basic.py", "example"),
        ("deno_dist/router.ts", "configuration"),
    ],
)
def test_a_file_is_of_the_kind_that_its_path_says(path: str, kind: str) -> None:
    assert file_kinds.of(path) == kind


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("Add an entry to the changelog", "changelog"),
        ("Explain in the readme how caching works", "docs"),
        ("FAQ on trusted proxies", "docs"),
        ("Extend the tutorial", "docs"),
        ("Fix a broken link in the documentation", "docs"),
        ("Pin the action that publishes releases", "ci"),
        ("Run the workflow on pull requests, too", "ci"),
        ("Bump the dependencies in package.json", "dependencies"),
        ("Write tests for the session", "test"),
        ("Add a fixture to the test suite", "test"),
        ("Add an example of streaming", "example"),
        ("Ignore build output in .gitignore", "configuration"),
        ("Keep the discount when a session ends", "source"),
        ("Raise an error when the header is missing", "source"),
    ],
)
def test_the_words_of_a_task_say_what_kind_of_files_it_is_about(task: str, kind: file_kinds.FileKind) -> None:
    chances = file_kinds.chances(context_query.read(task))
    assert max(chances, key=chances.__getitem__) == kind


@given(st.text(max_size=300))
def test_the_chances_of_all_kinds_add_up_to_one_whatever_is_asked(text: str) -> None:
    chances = file_kinds.chances(context_query.read(text))
    assert set(chances) == set(file_kinds.KINDS)
    assert math.isclose(sum(chances.values()), 1.0)


def test_what_a_sentence_says_first_counts_more_than_what_follows() -> None:
    first, later = (
        file_kinds.chances(context_query.read(text))["changelog"]
        for text in ("Update the changelog. The parser fails.", "The parser fails. Update the changelog.")
    )
    assert first > later
