from __future__ import annotations

import fnmatch
import itertools
import re

import growth
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispatch_mcp.text import path_globs

NAMES = st.text("ab.", min_size=1, max_size=3).filter(lambda name: name.strip("."))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(
    st.one_of(NAMES, st.sampled_from(["*", "**", "?", "a*", "*.b", "[ab]"])), min_size=1, max_size=4
).map("/".join)


def as_regex(pattern: str) -> re.Pattern[str]:
    """Says the same as `matches` by other means, for patterns without braces."""
    parts: list[str] = []
    for segment in pattern.split("/"):
        if segment == "**":
            parts.append("(?:[^/]+/)*")
            continue
        names = segment.replace(".", r"\.").replace("*", "[^/]*").replace("?", "[^/]")
        parts.append(f"{names}/")
    return re.compile("".join(parts))


@given(PATTERNS, PATHS)
def test_a_pattern_matches_what_the_same_regular_expression_matches(pattern: str, path: str) -> None:
    assert path_globs.matches(pattern, path) is bool(as_regex(pattern).fullmatch(f"{path}/"))


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/deep/a.py", False),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/x/y/a.py", True),
        ("**", "a/b/c", True),
        ("**/test_*", "tests/text/test_a.py", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].txt", "a.txt", True),
        ("[!ab].txt", "a.txt", False),
        ("A.txt", "a.txt", False),
        ("*.{ts,tsx}", "app.tsx", True),
        ("*.{ts,tsx}", "app.js", False),
        ("{src,lib}/{a,b}.py", "lib/b.py", True),
        ("{a,{b,c}}.py", "c.py", True),
        ("{only}.py", "{only}.py", True),
    ],
)
def test_patterns_mean_what_people_expect(pattern: str, path: str, *, expected: bool) -> None:
    assert path_globs.matches(pattern, path) is expected


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("*.py", "a.py", True),
        ("*.py", "src/deep/a.py", True),
        ("Makefile", "sub/Makefile", True),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "other/src/a.py", False),
        ("**/*.py", "a.py", True),
        ("*.{js,ts}", "web/app.ts", True),
        ("*.py", "a.pyc", False),
        ("src", "src/a.py", False),
    ],
)
def test_a_glob_without_a_slash_is_about_names(glob: str, path: str, *, expected: bool) -> None:
    assert path_globs.selects(glob, path) is expected


@given(PATHS)
def test_every_path_matches_itself_and_selects_itself(path: str) -> None:
    assert path_globs.matches(path, path)
    assert path_globs.selects(path, path)
    assert path_globs.selects(path.rpartition("/")[2], path)


def test_braces_stand_for_each_of_their_alternatives_once() -> None:
    assert path_globs.alternatives("a.py") == ("a.py",)
    assert path_globs.alternatives("{a,b}/{c,d}") == ("a/c", "a/d", "b/c", "b/d")
    assert path_globs.alternatives("{a,a}.py") == ("a.py",)
    assert path_globs.alternatives("x{,.bak}") == ("x", "x.bak")


@given(st.lists(st.lists(NAMES, min_size=2, max_size=3, unique=True), min_size=1, max_size=3))
def test_alternatives_are_the_product_of_the_braces(choices: list[list[str]]) -> None:
    pattern = "/".join("{" + ",".join(names) + "}" for names in choices)
    assert set(path_globs.alternatives(pattern)) == {"/".join(names) for names in itertools.product(*choices)}


def test_a_bomb_of_braces_is_cut_and_ends() -> None:
    assert len(path_globs.alternatives("{a,b}" * 40)) == path_globs.MAX_ALTERNATIVES
    assert len(path_globs.alternatives("{" + ",".join(map(str, range(10_000))) + "}")) == path_globs.MAX_ALTERNATIVES


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("src", "src/a.py", True),
        ("src/a.py", "src/b.py", False),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/a.txt", False),
        ("src/**", "src/deep/er/a.py", True),
        ("src/*.py", "**/a.*", True),
        ("a*.py", "*b.py", True),
        ("a*.py", "b*.py", False),
        ("[ab].py", "?.py", True),
        ("", "anything/at/all", True),
        ("", "/elsewhere", False),
        ("", "../outside", False),
        ("src", "srcs/a.py", False),
    ],
)
def test_two_globs_touch_if_one_file_can_bear_both_names(first: str, second: str, *, expected: bool) -> None:
    assert path_globs.touch(first, second) is expected
    assert path_globs.touch(second, first) is expected


@given(PATTERNS, PATTERNS, PATHS)
def test_a_file_that_both_match_proves_that_they_touch(first: str, second: str, path: str) -> None:
    if path_globs.matches(first, path) and path_globs.matches(second, path):
        assert path_globs.touch(first, second)
        assert path_globs.touch(first, path)


def test_what_is_too_long_to_compare_touches() -> None:
    assert path_globs.touch("/".join(["a*"] * 65), "b")
    assert path_globs.touch("a*" * 70, "b*" * 70)
    assert not path_globs.touch("a*/x.txt", "b*/x.txt")


@given(PATTERNS)
def test_a_spelling_is_already_normal_after_once(path: str) -> None:
    assert path_globs.normalise(path_globs.normalise(path) or ".") == path_globs.normalise(path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("./src//a.py", "src/a.py"),
        ("src\\a.py", "src/a.py"),
        (" src/ ", "src"),
        ("/w/src/a.py", "src/a.py"),
        ("/w", ""),
        ("/w/", ""),
        ("/wide/a.py", "/wide/a.py"),
        ("src/../lib", "lib"),
        ("../up", "../up"),
        ("src/*.{ts,tsx}", "src/*.*"),
        ("{src,lib/x}/a.py", "**/a.py"),
        ("//w/src", "src"),
        ("//elsewhere/a.py", "/elsewhere/a.py"),
        ("///", "/"),
        ("", ""),
        (".", ""),
    ],
)
def test_every_path_has_one_spelling(path: str, expected: str) -> None:
    assert path_globs.normalise(path, "/w") == expected


@given(PATHS, PATHS)
def test_a_folder_contains_exactly_what_lies_below_it(folder: str, path: str) -> None:
    assert path_globs.contains(folder, f"{folder}/{path}")
    assert not path_globs.contains(f"{folder}/{path}", folder)
    assert not path_globs.contains(folder, folder)


CLASSES = st.text(alphabet="[]!-ab*?", max_size=12)


@given(CLASSES, st.text(alphabet="[]!-ab", max_size=8))
@example("[]a[", "[]a[")
@example("[!]a[b", "[!]a[b")
@example("a[b]c[", "abc[")
def test_brackets_mean_what_they_mean_to_fnmatch(pattern: str, name: str) -> None:
    if pattern != "**":
        assert path_globs.matches(pattern, name) == fnmatch.fnmatchcase(name, pattern)


@pytest.mark.promise("R24")
@pytest.mark.parametrize("unit", ["[", "a[b", "[!"])
def test_brackets_that_are_never_closed_cost_no_more_than_their_length(unit: str) -> None:
    def match(length: int) -> None:
        assert not path_globs.matches((unit * length)[:length], "src/a.py")

    assert growth.is_at_most(9, match, 10_000, 40_000), "seconds for each thousand, before"
