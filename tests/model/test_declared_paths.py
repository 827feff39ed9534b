from __future__ import annotations

import growth
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispatch_mcp.model import declared_paths
from dispatch_mcp.text import path_globs

SEGMENTS = st.sampled_from(["a", "b", "a.b", ".a", "..", "*", "**", "?", "a*", "*.b", "[ab]", "[id]", "a**b", "b"])
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)
ENTRIES = st.one_of(PATHS, PATHS.map("/{}".format), st.just(""))
DECLARATIONS = st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), ENTRIES), max_size=6)


@given(DECLARATIONS, ENTRIES, st.sampled_from(["", "one", "two"]))
@example([("one", "/".join("a" * 70) + "/*")], "b", "")
@example([("one", "a/*")], "/".join("b" * 70), "")
@example([("one", "../a"), ("two", "/a/*")], "", "one")
def test_looking_up_says_what_comparing_each_of_them_would_say(
    declarations: list[tuple[str, str]], path: str, but: str
) -> None:
    index = declared_paths.DeclaredPaths(declarations)
    expected = any(path_globs.touch(entry, path) for owner, entry in declarations if owner != but)
    assert [index.touch(path, but=but), index.touch(path, but=but)] == [expected] * 2


@given(DECLARATIONS, st.sampled_from(["", "one", "two"]))
def test_the_declarations_of_others_are_told_in_their_order(declarations: list[tuple[str, str]], but: str) -> None:
    index = declared_paths.DeclaredPaths(declarations)
    assert list(index.names(but=but)) == [entry for owner, entry in declarations if owner != but]


def test_nobody_declares_anything() -> None:
    assert not declared_paths.NOBODY.touch("a")
    assert not list(declared_paths.NOBODY.names())


@pytest.mark.parametrize("spelling", ["src/m{}/part.py", "src/m{}/*.py", "src/m{}/**", "m{}"])
def test_ten_times_as_many_declarations_take_no_longer_to_ask(spelling: str) -> None:
    def ask(tasks: int) -> None:
        index = declared_paths.DeclaredPaths((f"t{n}", spelling.format(n)) for n in range(tasks))
        for n in range(2_000):
            index.touch(f"src/m{n % tasks}/file{n}.py", but="t0")

    assert growth.is_at_most(5, ask, 400, 4_000)


def test_declarations_are_read_once_and_only_when_somebody_asks() -> None:
    rest = iter([("one", "a"), ("two", "b")])
    index = declared_paths.DeclaredPaths(rest)
    assert list(rest) == [("one", "a"), ("two", "b")]
    assert not index.touch("a")
    again = declared_paths.DeclaredPaths(iter([("one", "a"), ("two", "b")]))
    assert [again.touch("b"), list(again.names()), list(again.names())] == [True, ["a", "b"], ["a", "b"]]
