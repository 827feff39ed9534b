"""Technologies by name, by a file of theirs, and what of them excludes what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text import technologies


def flat(families: technologies.Families) -> set[str]:
    return {name for members in families.values() for name in members}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Port the service to Rust", {"rust"}),
        ("Port src/main.rs", {"rust"}),
        ("Rename a component (React, with Next.js)", {"react", "javascript"}),
        ("Django, PostgreSQL and Redis", {"django", "python", "postgres", "redis"}),
        ("a worker in Go.", {"golang"}),
        ("C# and C++", {"csharp", "cpp"}),
        ("deploy on AWS", {"aws"}),
        ("Go through the list", set[str]()),
        ("react to the event, go on, express yourself", set[str]()),
        ("Swift replies are welcome", set[str]()),
        ("", set[str]()),
    ],
)
def test_a_text_names_technologies_by_name_or_file(text: str, names: set[str]) -> None:
    assert flat(technologies.in_text(text)) == names


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("golang-pro", {"golang"}),
        ("go_expert", {"golang"}),
        ("react-native-dev", {"react", "react-native", "javascript"}),
        ("spring-boot-engineer", {"springboot", "java"}),
        ("backend-developer", set[str]()),
    ],
)
def test_the_name_of_an_agent_counts_whatever_its_capitals(name: str, names: set[str]) -> None:
    assert flat(technologies.in_name(name)) == names


def test_a_project_shows_its_language_and_frameworks() -> None:
    project = technologies.of_project({"flask", "left-pad"}, {"pyproject.toml", "go.mod", "README.md"})
    assert flat(project) == {"flask", "python", "golang"}
    assert technologies.of_project((), ()) == {}


@pytest.mark.parametrize(
    ("own", "needs", "differ"),
    [
        ("rust", "python", True),
        ("python", "Django", False),
        ("vue", "Use React", True),
        ("python", "PostgreSQL", False),
        ("postgres", "move from MySQL to Postgres", False),
        ("ios", "Android", True),
        ("", "python", False),
        ("python", "", False),
    ],
)
def test_two_of_one_family_exclude_each_other(own: str, needs: str, differ: object) -> None:
    assert technologies.differ(technologies.in_name(own), technologies.in_text(f"We have {needs}")) is differ


@given(st.text(max_size=200))
def test_any_text_differs_from_nothing_that_it_names(text: str) -> None:
    families = technologies.in_text(text)
    assert not technologies.differ(families, families)
    assert not technologies.differ({}, families)
