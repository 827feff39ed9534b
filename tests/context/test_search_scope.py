"""Who receives what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import search_scope
from dispatch_mcp.context.search_scope import EVERYTHING, FACETS, SearchScope

PATHS = (
    *("web/components/Cart.tsx", "src/styles/main.css", "server/api/users.py", "shop/models.py", "shop/cart.go"),
    *("db/migrations/001_users.sql", "Dockerfile", ".github/workflows/ci.yml", "infra/main.tf", "docs/index.md"),
    *("README.md", "tests/test_users.py", "web/Cart.spec.tsx", "pyproject.toml", "LICENSE", "server/static/logo.css"),
)
_ENTRIES = st.sampled_from(
    [
        *FACETS,
        *search_scope.ALIASES,
        "DB",
        " Docs ",
        "*.py",
        "shop/**",
        "./web",
        "server/",
        "pyproject.toml",
        "nonsense",
    ]
)
_SCOPES = st.builds(SearchScope, st.lists(_ENTRIES, max_size=3).map(tuple), st.lists(_ENTRIES, max_size=3).map(tuple))
_SOME_PATHS = st.sampled_from(PATHS)


@given(_SCOPES, _ENTRIES, _SOME_PATHS)
def test_excluding_more_never_shows_more(scope: SearchScope, entry: str, path: str) -> None:
    narrower = SearchScope(scope.receives, (*scope.excludes, entry))
    assert scope.allows(path) or not narrower.allows(path)


@given(_SCOPES, _SOME_PATHS)
def test_what_is_excluded_is_not_received_in_any_way(scope: SearchScope, path: str) -> None:
    if any(search_scope.facet(entry) in search_scope.of(path) for entry in scope.excludes):
        assert not scope.allows(path)


@given(st.lists(st.sampled_from(FACETS), min_size=1, max_size=3), _SOME_PATHS)
def test_a_file_of_a_received_part_is_shown(receives: list[str], path: str) -> None:
    if search_scope.of(path) & set(receives):
        assert SearchScope(receives=tuple(receives)).allows(path)


@given(st.text(max_size=60))
def test_everything_is_shown_where_nothing_is_said(path: str) -> None:
    assert EVERYTHING.allows(path)


@given(st.text(max_size=30), _SOME_PATHS)
def test_no_entry_breaks_a_scope(entry: str, path: str) -> None:
    scope = SearchScope(receives=(entry,), excludes=(entry,))
    assert isinstance(scope.allows(path), bool)


@pytest.mark.parametrize("path", ["pyproject.toml", "LICENSE", "setup.cfg"])
def test_a_file_that_could_be_anybodys_is_shown_to_who_receives_a_part(path: str) -> None:
    assert search_scope.of(path) == frozenset()
    assert SearchScope(receives=("frontend",)).allows(path)
    assert not SearchScope(excludes=(path,)).allows(path)


@pytest.mark.parametrize(
    ("entry", "facet"),
    [*((name, name) for name in FACETS), *search_scope.ALIASES.items(), ("  API ", "backend"), ("Front-end", None)],
)
def test_a_part_is_known_by_its_short_names_in_any_case(entry: str, facet: str | None) -> None:
    assert search_scope.facet(entry) == facet


@pytest.mark.parametrize(
    ("glob", "path", "shown"),
    [
        ("server/billing/**", "server/billing/a/b.py", False),
        ("server/billing", "server/billing/a.py", False),
        ("./server/billing/", "server/billing/a.py", False),
        ("server/*.py", "server/a.py", False),
        ("server/*.py", "server/api/a.py", True),
        ("billing", "server/billing/a.py", True),
    ],
)
def test_a_glob_is_relative_to_the_workspace_and_a_folder_means_what_is_in_it(
    glob: str, path: str, *, shown: bool
) -> None:
    assert SearchScope(excludes=(glob,)).allows(path) is shown


def test_server_side_templates_of_pages_are_no_frontend() -> None:
    assert "frontend" not in search_scope.of("server/pages/view.py")
    assert "frontend" in search_scope.of("pages/view.tsx")


def test_a_test_in_a_browser_language_belongs_to_both_parts() -> None:
    assert search_scope.of("web/components/Cart.spec.tsx") == {"frontend", "tests"}


@given(st.lists(_ENTRIES, max_size=5))
def test_only_entries_that_cannot_mean_anything_are_named(entries: list[str]) -> None:
    assert set(search_scope.unknown(entries)) == {"nonsense"} & set(entries)
