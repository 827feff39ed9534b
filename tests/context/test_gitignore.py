"""What ignore files leave out; git itself is the judge."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp.context import gitignore

_PIECES = (
    *("a", "b", "ab", "*", "**", "***", "?", "[ab]", "[!a]", "[^b]", "[a-c]", "[]a]", "[!]a]", "[a\\]b]", "[a", "[["),
    *("[[:alpha:]]", "[[:digit:]x]", "\\*", "\\a", "\\!", "\\#", " ", "\\ ", "!", "#", "-", ".", "]", "{a,b}"),
    *("+", "(", "|", "$", "^"),
)
_SEGMENTS = st.lists(st.sampled_from(_PIECES), min_size=1, max_size=3).map("".join)
_GLOBS = st.lists(_SEGMENTS, min_size=1, max_size=3).map("/".join)
_LINES = st.tuples(
    st.sampled_from(["", "!", "\\!"]), st.sampled_from(["", "/"]), _GLOBS, st.sampled_from(["", "/", "  "])
).map("".join)
_NAMES = st.sampled_from(
    [*("a", "b", "ab", "abc", "a b", "*", "!a", "#a", "a.py", ".a", "[", "]", "]a", "-", "a\\", "{a,b}", "7", "+", "(")]
)
_PATHS = st.lists(_NAMES, min_size=1, max_size=4).map("/".join)


@pytest.fixture(scope="module")
def repository() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "init", "-q", folder], check=True)
        yield Path(folder)


def ignored_by_git(root: Path, paths: list[str]) -> set[str]:
    """Returns which paths git leaves out; nothing but the ignore files has to be there."""
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin", "-z"],
        cwd=root,
        input="\0".join(paths).encode(),
        capture_output=True,
        check=False,
    )
    return {path for path in done.stdout.decode().split("\0") if path}


def ignored_here(rules: gitignore.Ignored, path: str) -> bool:
    """Returns whether a path or a folder above it is left out, as a walk from the top sees it."""
    names = path.split("/")
    above = (rules.holds("/".join(names[:depth]), folder=True) for depth in range(1, len(names)))
    return any(above) or rules.holds(path, folder=False)


@settings(max_examples=examples(150, least=30), deadline=None, derandomize=True)  # each starts a git
@given(st.lists(_LINES, min_size=1, max_size=4), st.lists(_PATHS, min_size=1, max_size=20, unique=True))
def test_any_rules_leave_out_what_git_leaves_out(repository: Path, lines: list[str], paths: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    (repository / ".gitignore").write_text(text)
    rules = gitignore.Ignored().below("", text)
    assert {path for path in paths if ignored_here(rules, path)} == ignored_by_git(repository, paths)


@settings(max_examples=examples(60, least=20), deadline=None, derandomize=True)
@given(
    st.lists(_LINES, max_size=3),
    st.lists(_LINES, min_size=1, max_size=3),
    st.lists(_PATHS.map(lambda path: f"sub/{path}"), min_size=1, max_size=12, unique=True),
)
def test_the_rules_of_a_folder_and_of_those_above_it_count_together_as_in_git(
    repository: Path, above: list[str], inside: list[str], paths: list[str]
) -> None:
    (repository / "sub").mkdir(exist_ok=True)
    (repository / ".gitignore").write_text("\n".join(above))
    (repository / "sub/.gitignore").write_text("\n".join(inside))
    rules = gitignore.Ignored().below("", "\n".join(above)).below("sub", "\n".join(inside))
    assert {path for path in paths if ignored_here(rules, path)} == ignored_by_git(repository, paths)


@pytest.mark.parametrize(
    ("glob", "inside", "outside"),
    [
        ("[[:upper:]]x", "Ax", "ax"),
        ("[[:lower:]]x", "ax", "Ax"),
        ("[[:alnum:]]x", "7x", "-x"),
        ("[[:xdigit:]]x", "fx", "gx"),
        ("[[:space:]]x", " x", "_x"),
        ("[[:punct:]]x", "~x", "ax"),
        ("[!0-9]x", "ax", "5x"),
        ("[z-a]x", "zx", "ax"),
        ("[a-[ab]x", "ax", "cx"),
        ("[+--]x", ",x", ".x"),
        ("[\\]]x", "]x", "\\x"),
    ],
)
def test_a_class_of_characters_stands_for_one_of_them(glob: str, inside: str, outside: str) -> None:
    rules = gitignore.Ignored().below("", glob)
    assert rules.holds(inside, folder=False)
    assert not rules.holds(outside, folder=False)


@pytest.mark.parametrize("glob", ["[", "[a", "a[", "[[:nonsense:]]", "!", "/", "//", "\\"])
def test_a_line_that_means_nothing_leaves_nothing_out(glob: str) -> None:
    rules = gitignore.Ignored().below("", glob)
    assert not any(rules.holds(path, folder=folder) for path in ("a", "[", "[a", "z") for folder in (True, False))


def test_no_class_matches_the_slash_between_folders() -> None:
    rules = gitignore.Ignored().below("", "a[!x]b\n")
    assert rules.holds("a-b", folder=False)
    assert not rules.holds("a/b", folder=False)
