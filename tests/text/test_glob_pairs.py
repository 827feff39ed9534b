"""Whether two globs can name one file, asked of all files of a small world."""

from __future__ import annotations

import functools
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp.text import path_globs

_NAMES = ("a", "aa", "ab", "ba", "a.b", ".a", ".b")
_WORLD = tuple("/".join(parts) for size in (1, 2, 3) for parts in itertools.product(_NAMES, repeat=size))
_SEGMENTS = st.sampled_from([*_NAMES, "*", "**", "?", "a*", "*a", "*.b", "?b", "a?"])
_GLOBS = st.lists(_SEGMENTS, min_size=1, max_size=2).map("/".join)
_BRACES = st.lists(
    st.sampled_from(["a", "{a,ab}", "*.{a,b}", "{a,ba/ab}", "{a,b}*", "**", "a.b"]), min_size=1, max_size=2
).map("/".join)


@functools.cache
def names(glob: str, *, folder: bool) -> frozenset[str]:
    """Returns the files of the world that a glob matches, and with `folder` what lies below them."""
    below = f"{glob}/**" if folder else glob
    return frozenset(path for path in _WORLD if path_globs.matches(glob, path) or path_globs.matches(below, path))


def share(first: str, second: str) -> bool:
    """Returns whether some file is meant by both; beside a wildcard, a name with an extension is no folder's."""
    if path_globs.contains(first, second) or path_globs.contains(second, first):
        return True
    plain = not (path_globs.WILD.search(first) or path_globs.WILD.search(second))
    one, other = (
        names(glob, folder=plain or "." not in glob.rpartition("/")[2].lstrip(".")) for glob in (first, second)
    )
    return bool(one & other)


@settings(max_examples=examples(150))
@given(_GLOBS, _GLOBS)
def test_two_globs_touch_exactly_if_some_file_is_meant_by_both(first: str, second: str) -> None:
    assert path_globs.touch(first, second) is share(first, second)


@settings(max_examples=60)
@given(_BRACES, _BRACES)
def test_globs_with_braces_touch_at_least_where_their_alternatives_do(first: str, second: str) -> None:
    alternatives = itertools.product(path_globs.alternatives(first), path_globs.alternatives(second))
    if any(names(one, folder=False) & names(other, folder=False) for one, other in alternatives):
        assert path_globs.touch(path_globs.normalise(first), path_globs.normalise(second))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("src/[ab].py", "src/a.py", True),
        ("src/[ab].py", "src/c.py", False),
        ("src/[!ab].py", "src/c.py", True),
        ("src/[!ab].py", "src/a.py", False),
        ("src/[ab].py", "src/[cd].py", True),  # classes against wildcards count as any character
        ("src/[ab].py", "src/cd*.py", False),
        ("src/*", "src/deep/er/a.py", True),
        ("src/*.py", "src/a.py/b", False),
        ("**/migrations", "shop/migrations/0001.py", True),
        ("**/*.sql", "db/*", True),
        ("web/**/*.ts", "web/**/*.tsx", False),
        ("web/**/*.ts", "api/**/*.ts", False),
        ("v1.*/x", "v1.2/x", True),
        ("Src/a*", "src/ab", False),
        ("/etc/*", "etc/passwd", False),
        ("../x*", "../xy", True),
        ("src/a**b", "src/a/deep/b", True),
        ("src/a**b", "lib/ab", False),
    ],
)
def test_pairs_that_plans_write_touch_as_their_writers_mean(first: str, second: str, *, expected: bool) -> None:
    assert path_globs.touch(first, second) is expected
    assert path_globs.touch(second, first) is expected


@pytest.mark.parametrize("size", [128, 129])
def test_names_are_compared_up_to_their_limit_and_touch_beyond_it(size: int) -> None:
    first, second = f"{'a' * (size - 1)}*", f"b*{'b' * (size - 3)}"
    assert path_globs.touch(first, second) is (size > 128)
    assert path_globs.touch(f"x/{first}", f"y/{first}") is False


@pytest.mark.parametrize("depth", [64, 65])
def test_paths_are_compared_up_to_their_depth_and_touch_beyond_it(depth: int) -> None:
    first = "/".join(["a"] * (depth - 1) + ["x.*"])
    assert path_globs.touch(first, "b/*.y") is (depth > 64)
