"""Paths and globs that name one file."""

from __future__ import annotations

import fnmatch
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.planning import conflicts
from dispatch_mcp.text import path_globs


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("src/a.py", "src/a.py"),
        ("./src//a.py", "src/a.py"),
        ("src/", "src"),
        ("src/x/../A.py", "src/A.py"),
        ("src\\a.py", "src/a.py"),
        (".", ""),
        ("/repo/src/a.py", "src/a.py"),
        ("/repo", ""),
        ("/repository/a.py", "/repository/a.py"),
        ("src/{a,b}.py", "src/*.py"),
        ("${OUT}/a.py", "${OUT}/a.py"),
    ],
)
def test_paths_have_one_spelling(path: str, expected: str) -> None:
    assert path_globs.normalise(path, "/repo/") == expected


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("src/a.py", "src/a.py", True),
        ("src/a.py", "src/A.py", False),
        ("src", "src/a/b.py", True),
        ("src", "srcs/a.py", False),
        ("", "src/a.py", True),
        ("", "/etc/x", False),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/a.ts", False),
        ("src/*.py", "src/x/a.py", False),
        ("src/**/*.py", "src/a.py", True),
        ("**/*.md", "docs/x/a.md", True),
        ("**/*.md", "src/main.py", False),
        ("src/*", "src/x/a.py", True),
        ("src/**", "src", True),
        ("*/x.py", "src", True),
        ("src/a*.py", "src/*b.py", True),
        ("src/a*.py", "src/b*.py", False),
        ("src/*.py", "lib/*.py", False),
        ("src/[ab].py", "src/a.py", True),
        ("src/[ab].py", "src/c.py", False),
        ("app/[id]/page.tsx", "app/[id]/page.tsx", True),
        ("app/[id]/page.tsx", "app/*/page.tsx", True),
        ("**/test_*.py", "tests/core/*.py", True),
    ],
)
def test_what_touches(left: str, right: str, expected: bool) -> None:  # noqa: FBT001
    assert path_globs.touch(left, right) is expected
    assert path_globs.touch(right, left) is expected


patterns = st.text("ab*?", min_size=1, max_size=6)


@given(patterns, patterns, st.text("ab", min_size=1, max_size=6))
def test_two_patterns_that_match_one_name_touch(left: str, right: str, name: str) -> None:
    if fnmatch.fnmatchcase(name, left) and fnmatch.fnmatchcase(name, right):
        assert path_globs.touch(f"x/{left}", f"x/{right}")


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_can_be_compared(left: str, right: str) -> None:
    one, other = path_globs.normalise(left), path_globs.normalise(right)
    assert path_globs.touch(one, other) is path_globs.touch(other, one)
    assert path_globs.normalise(one or ".") == one


def test_the_index_finds_what_comparing_each_pair_finds() -> None:
    rng = random.Random(30)
    parts = ["a", "b", "c.py", "d.md", "*", "**", "*.py", "c.*", "[ab]"]
    for _ in range(500):
        paths = {"/".join(rng.sample(parts, rng.randint(1, 4))) for _ in range(8)} | {rng.choice(["", "a"])}
        known = sorted(paths)
        found = conflicts.overlaps(known, [path for path in known if set(path) & set("*?[")])
        for path in known:
            expected = {other for other in known if other != path and path_globs.touch(path, other)}
            assert set(found.others.get(path, ())) == expected
