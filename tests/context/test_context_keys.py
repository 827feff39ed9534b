from __future__ import annotations

import difflib
import re

import growth
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import context_query, gitignore, requirements, search_scope
from dispatch_mcp.text import token_count


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("file:src/a.py", ("file", "src/a.py", "", 0, 0)),
        ("file:./src/a.py#L10-80", ("file", "src/a.py", "", 10, 80)),
        ("file:src/a.py#L80-10", ("file", "src/a.py", "", 10, 80)),
        ("file:src/a.py#7", ("file", "src/a.py", "", 7, 7)),
        ("file:src/a.py#Pool.take()", ("file", "src/a.py", "Pool.take", 0, 0)),
        ("symbol:Pool", ("symbol", "Pool", "", 0, 0)),
        ("structure:src/", ("structure", "src", "", 0, 0)),
        ("Pattern: error handling", ("pattern", "error handling", "", 0, 0)),
        ("rag:token refresh", ("rag", "token refresh", "", 0, 0)),
        ("task:design", ("task", "design", "", 0, 0)),
        ("rules:", ("rules", "", "", 0, 0)),
        ("src/a.py", ("file", "src/a.py", "", 0, 0)),
        ("auth.py", ("file", "auth.py", "", 0, 0)),
        ("how tokens are refreshed", ("rag", "how tokens are refreshed", "", 0, 0)),
    ],
)
def test_a_key_says_what_is_needed(key: str, expected: tuple[object, ...]) -> None:
    found = requirements.parse(key)
    assert (found.kind, found.subject, found.symbol, found.first, found.last) == expected
    assert found.key == key


def test_a_question_may_ask_for_documents() -> None:
    assert requirements.parse("rag:docs: how to resume").docs
    assert requirements.parse("rag:docs: how to resume").subject == "how to resume"
    assert not requirements.parse("rag:docstrings").docs


@given(st.text(max_size=200))
def test_every_text_is_a_key(text: str) -> None:
    assert requirements.parse(text).key == text


@pytest.mark.parametrize("char", ["/", "a.", "*", "#", "a/", ".py"])
def test_a_key_too_long_for_a_path_is_a_question_and_read_at_once(char: str) -> None:
    key = f"{char * 30_000} x"
    assert requirements.parse(key).kind == "rag"
    assert requirements.parse(f"file:{key}").kind == "file"


@given(st.text("abc_.", max_size=6), st.lists(st.text("abcd_.", max_size=8), max_size=12))
def test_of_names_without_folders_the_nearest_is_the_one_that_difflib_would_put_first(
    name: str, names: list[str]
) -> None:
    best = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    assert requirements.nearest(name, names) == next(iter(best), "")


def test_names_that_are_all_alike_take_hardly_longer_than_names_that_are_not() -> None:
    name = "moor_the_vessel_at_its_berth"
    alike = [f"quay{number // 200}/{name}{number}.py" for number in range(5_000)]
    unlike = [f"quay{number // 200}/{'0123456789' * 3}{number}" for number in range(5_000)]
    assert requirements.nearest(f"{name}.py", alike) == f"quay0/{name}9.py"
    assert growth.is_at_most(4, lambda at: requirements.nearest(f"{name}.py", (unlike, alike)[at]), 0, 1)


def test_the_nearest_name_is_found_by_its_last_part() -> None:
    paths = ["src/web/errors.py", "src/store/errors.py", "src/app.py"]
    assert requirements.nearest("store/erors.py", paths) in {"src/store/errors.py", "src/web/errors.py"}
    assert requirements.nearest("lib/store/errors.py", paths) == "src/store/errors.py"
    assert requirements.nearest("zzz", paths) == ""


def test_a_task_is_read_as_words_pairs_names_and_paths() -> None:
    query = context_query.read("Fix `user_agent` of AsyncClient in httpx/_client.py. It is sent twice.")
    assert {"fix", "user", "agent", "async", "client", "sent", "twice"} <= set(query.words)
    assert ("user", "agent") in query.pairs
    assert {"user_agent", "AsyncClient"} <= set(query.names)
    assert "httpx/_client.py" in query.paths
    assert "sent" not in query.title


@given(st.text(max_size=400))
def test_no_task_breaks_the_full_text_query(text: str) -> None:
    query = context_query.read(text)
    assert all(re.fullmatch(r"[^\W_]+", word) for word in query.words)
    assert len(query.words) <= context_query.MAX_TERMS


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("web/components/Cart.tsx", {"frontend"}),
        ("src/styles/main.css", {"frontend"}),
        ("server/api/users.py", {"backend"}),
        ("shop/models.py", {"backend", "database"}),
        ("db/migrations/001_users.sql", {"database"}),
        ("Dockerfile", {"infrastructure"}),
        (".github/workflows/ci.yml", {"infrastructure"}),
        ("docs/index.md", {"docs"}),
        ("tests/test_users.py", {"tests", "backend"} - {"backend"}),
        ("pyproject.toml", set[str]()),
    ],
)
def test_a_path_says_which_part_of_a_project_it_is(path: str, expected: set[str]) -> None:
    assert search_scope.of(path) == expected


def test_what_is_excluded_is_withheld_even_if_it_is_received_too() -> None:
    scope = search_scope.SearchScope(receives=("backend", "db"), excludes=("server/secret/**", "docs"))
    assert scope.allows("server/api/users.py")
    assert scope.allows("db/schema.sql")
    assert scope.allows("pyproject.toml")
    assert not scope.allows("server/secret/keys.py")
    assert not scope.allows("web/components/Cart.tsx")
    assert not scope.allows("docs/index.md")


def test_globs_alone_let_nothing_else_in() -> None:
    scope = search_scope.SearchScope(receives=("src/**/*.py",))
    assert scope.allows("src/a/b.py")
    assert not scope.allows("pyproject.toml")


def test_a_part_of_a_project_that_does_not_exist_is_named() -> None:
    assert search_scope.unknown(["frontend", "fronted", "src/*", "DB"]) == ("fronted",)


@pytest.mark.parametrize(
    ("rules", "path", "folder", "out"),
    [
        ("*.log", "a/b/x.log", False, True),
        ("/x.log", "a/x.log", False, False),
        ("/x.log", "x.log", False, True),
        ("build/", "a/build", True, True),
        ("build/", "a/build", False, False),
        ("a/*.py", "a/x.py", False, True),
        ("a/*.py", "a/b/x.py", False, False),
        ("a/**/x.py", "a/x.py", False, True),
        ("a/**/x.py", "a/b/c/x.py", False, True),
        ("a/**", "a/b/c", False, True),
        ("**/temp", "a/b/temp", True, True),
        ("*.py\n!keep.py", "keep.py", False, False),
        ("!keep.py\n*.py", "keep.py", False, True),
        ("# x\n\n", "x", False, False),
        ("\\#x", "#x", False, True),
        ("[a-c].txt", "b.txt", False, True),
        ("[!a-c].txt", "b.txt", False, False),
        ("x?z", "xyz", False, True),
        ("x?z", "x/z", False, False),
        ("trailing   ", "trailing", False, True),
        ("[", "[", False, False),
        ("[[:digit:]]x", "7x", False, True),
        ("[a\\]]", "]", False, True),
    ],
)
def test_ignore_rules_mean_what_git_means(rules: str, path: str, folder: bool, out: bool) -> None:  # noqa: FBT001
    assert gitignore.Ignored().below("", rules).holds(path, folder=folder) is out


def test_the_ignore_file_of_a_folder_counts_below_it_and_last() -> None:
    rules = gitignore.Ignored().below("", "*.py\n").below("src", "!*.py\n/x.js\n")
    assert rules.holds("a.py", folder=False)
    assert not rules.holds("src/a.py", folder=False)
    assert rules.holds("src/x.js", folder=False)
    assert not rules.holds("src/deep/x.js", folder=False)


@given(st.text(max_size=300))
def test_any_text_is_an_ignore_file(text: str) -> None:
    gitignore.Ignored().below("", text).holds("a/b.py", folder=False)


def test_tokens_are_counted_by_pieces() -> None:
    assert token_count.count("def take_one(self):\n    return 1\n") == 11
    assert token_count.count("é") == 2
    assert token_count.count("") == 0


@given(st.text(max_size=300), st.text(max_size=300))
def test_tokens_of_two_texts_are_not_much_more_than_those_of_both_together(one: str, two: str) -> None:
    assert token_count.count(one) + token_count.count(two) <= token_count.count(one + two) + 2
