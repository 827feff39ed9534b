"""When the shipped rosters take part."""

from __future__ import annotations

import pytest

from dispatch_mcp.agents import bundled_files, catalog, loader, rosters

FOLDER = bundled_files.shipped_folder("agents")
SHIPPED = loader.Source((loader.Folder(FOLDER, "bundled", nested=True),), scope=frozenset[str]()).catalog()
ALWAYS = {"host", "engineering", "operations", "review", "coordination"}
EVIDENCE = {"backend", "data", "dispatch"}
DECLARED = {roster.name: roster for roster in SHIPPED.declarations}


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_roster_says_in_one_line_what_it_is_for(name: str) -> None:
    assert 10 <= len(DECLARED[name].about) <= 120


def test_what_builds_takes_part_everywhere_and_the_rest_by_evidence_or_name() -> None:
    assert {name for name, roster in DECLARED.items() if roster.always} == ALWAYS
    assert {name for name, roster in DECLARED.items() if roster.dependencies} == EVIDENCE
    assert {agent.roster for agent in SHIPPED.routable} == ALWAYS


def test_only_the_council_is_internal() -> None:
    assert [name for name, roster in DECLARED.items() if roster.internal] == ["reviewers"]


def test_nothing_at_the_root_of_a_plain_project_switches_a_roster_on() -> None:
    files = frozenset({"README.md", "src", "tests", "docs", "pyproject.toml", "package.json", "Makefile", "app"})
    signs = rosters.Signs(dependencies=frozenset({"requests", "react", "django", "numpy"}), files=files)
    assert [name for name, roster in DECLARED.items() if roster.evidence(signs)] == []


def test_the_host_s_types_are_named_as_the_host_names_them() -> None:
    names = {agent.name for agent in SHIPPED.roster(catalog.HOST_ROSTER).agents}
    assert names == {"general-purpose", "Explore", "Plan"}
    assert SHIPPED.general == SHIPPED.find("general-purpose")


@pytest.mark.parametrize(
    ("dependencies", "files", "evidence"),
    [
        (("b",), (), "b is a dependency"),
        ((), ("manage.py",), "manage.py is in the workspace"),
        (("a", "b"), ("manage.py",), "a is a dependency"),
        ((), (), ""),
        (("A",), ("Manage.py",), ""),
    ],
)
def test_the_first_sign_that_a_roster_waits_for_switches_it_on_and_is_named(
    dependencies: tuple[str, ...], files: tuple[str, ...], evidence: str
) -> None:
    declaration = "for: work\nwhen:\n  dependencies: [a, B]\n  files: [manage.py]\n"
    roster = rosters.read("one", declaration)
    assert roster.evidence(rosters.Signs(dependencies=frozenset(dependencies), files=frozenset(files))) == evidence
