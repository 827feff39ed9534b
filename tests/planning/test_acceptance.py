from __future__ import annotations

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import model
from dispatch_mcp.planning import acceptance, plan_checks
from dispatch_mcp.planning.acceptance import Criterion, Fault
from dispatch_mcp.text import path_globs

WORKSPACE = "/projects/shop"


def read(text: str) -> Criterion | Fault:
    return acceptance.read(text, WORKSPACE)


def criterion(text: str) -> Criterion:
    found = read(text)
    assert isinstance(found, Criterion), found
    return found


@pytest.mark.parametrize(
    ("text", "kind", "subject"),
    [
        ("file:src/a.py", "file", "src/a.py"),
        ("File: `src/a b.py`", "file", "src/a b.py"),
        ("file:src/auth/", "file", "src/auth/"),
        ("exists: src/a.py", "file", "src/a.py"),
        (f"file:{WORKSPACE}/src/a.py", "file", "src/a.py"),
        ("file:app/[id]/page.tsx", "file", "app/[id]/page.tsx"),
        ("file:src/*.py", "glob", "src/*.py"),
        ("glob: src/**/*.{ts,tsx}", "glob", "src/**/*.{ts,tsx}"),
        ("glob:docs/", "glob", "docs/**"),
        ("absent:old.py", "absent", "old.py"),
        ("diff", "diff", ""),
        ("Diff.", "diff", ""),
        ("diff: non-empty", "diff", ""),
        ("diff:src/**", "diff", "src/**"),
        ("the tests pass", "words", ""),
        ("Note: see http://example.org", "words", ""),
        ("Files: all documented", "words", ""),
        ("Comment: explains why", "words", ""),
    ],
)
def test_every_form_is_read_as_its_author_means_it(text: str, kind: str, subject: str) -> None:
    found = criterion(text)
    assert (found.kind, found.subject, found.text) == (kind, subject, text)


def test_a_glob_may_ask_for_a_number_of_files() -> None:
    assert [criterion(f"glob:a/*.py{more}").least for more in ("", " >= 3", " ≥ 12")] == [1, 3, 12]


@pytest.mark.parametrize(
    "text", ["command: pytest -q 'a b'", 'cmd: ["pytest", "-q", "a b"]', "Command: `pytest -q 'a b'`"]
)
def test_a_command_is_an_argv_however_it_is_written(text: str) -> None:
    assert criterion(text).argv == ("pytest", "-q", "a b")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("fiel: src/a.py", "file:src/a.py"),
        ("flie:src/a.py", "file:src/a.py"),
        ("gob:src/*.py", "glob:src/*.py"),
        ("comand: pytest -q", "command: pytest -q"),
        ("abesnt:old.py", "absent:old.py"),
        ("dif:src/**", "diff:src/**"),
        ("file: src/a.py exists", "file:src/a.py"),
    ],
)
def test_a_misspelt_criterion_is_refused_with_what_was_meant(text: str, meant: str) -> None:
    found = read(text)
    assert isinstance(found, Fault)
    assert found.meant == meant


@pytest.mark.parametrize(
    "text",
    [
        "file:", "file:.", "file:../x", "file:a/../../x", "file:/etc/passwd", "file:~/.ssh/id_rsa", "file:C:\\x",
        f"file:{WORKSPACE}-other/x", "glob:../*",
        "file:.git/FETCH_HEAD", "file:sub/.GIT/x", "absent:.git/x", "glob:.git/* >= 1", "diff:.git/",
        "glob:{..,src}/x", "glob:x >= 0", "absent:/x", "absent:*.py",
        "diff:../x", "command:", "command: 'x", "command: make && rm -rf x", "command: cat x | wc", "command: [1]",
        "file:src/{a,b}.py", "glob:" + "{a,b}" * 10,
    ],
)  # fmt: skip
def test_what_cannot_be_checked_or_leaves_the_workspace_is_refused_with_a_fix(text: str) -> None:
    found = read(text)
    assert isinstance(found, Fault), found
    assert found.message
    assert found.fix


def test_planning_says_which_criterion_of_which_task_is_wrong() -> None:
    tasks = [
        model.Task(id="a", do="x", acceptance=("file:a.py", "the tests pass")),
        model.Task(id="b", do="x", acceptance=("works", "fiel: b.py", "diff")),
    ]
    found = plan_checks.check(tasks, agents=None, models=[], workspace=WORKSPACE)
    assert [(one.code, one.task, one.where, one.did_you_mean) for one in found] == [
        ("bad_acceptance", "b", "tasks[1].acceptance[1]", "file:b.py"),
        ("bad_acceptance", "b", "tasks[1].acceptance[2]", ""),
    ]
    assert all(one.fix for one in found)


def test_a_diff_needs_files_or_a_pattern() -> None:
    tasks = [
        model.Task(id="a", do="x", files=("a.py",), acceptance=("diff",)),
        model.Task(id="b", do="x", acceptance=("diff:b/**",)),
    ]
    assert plan_checks.check(tasks, agents=None, models=[]) == []


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*", "a", True),
        ("*", "a/b", False),
        ("**", "a/b/c", True),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/x/y/a.py", True),
        ("src/**/*.py", "lib/a.py", False),
        ("a/**/b/**/c", "a/b/c", True),
        ("a.{ts,js}", "a.js", True),
        ("a.{ts,js}", "a.py", False),
        ("?.[ch]", "x.h", True),
    ],
)
def test_patterns_match_segment_by_segment(pattern: str, path: str, *, expected: bool) -> None:
    assert path_globs.matches(pattern, path) is expected


def test_the_brief_says_what_the_server_checks() -> None:
    texts = ("file:a.py", "glob:t/* >= 2", "command: pytest -q", "diff", "absent:b", "is quick")
    told = [acceptance.describe(one) for one in acceptance.criteria_of(model.Task(id="a", do="x", acceptance=texts))]
    assert told == [
        "`a.py` exists (the server checks this)",
        "at least 2 files match `t/*` (the server checks this)",
        "`pytest -q` ends with exit code 0 (the server checks this)",
        "a declared file has really changed (the server checks this)",
        "`b` does not exist (the server checks this)",
        "is quick",
    ]


PIECES = st.sampled_from(
    ["file", "glob", "absent", "diff", "command", ":", " ", "/", "..", "**", "*", "{", ",", "}", "~", "\\", "a", "é",
     ">= 3", "'", '"', "`", "[", "]", "\x00", "\n", "C:", WORKSPACE, "&&", "\ud800", "\u202e"]
)  # fmt: skip


@pytest.mark.promise("R13")
@settings(max_examples=examples(1_000), deadline=None)
@given(
    st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join)), st.sampled_from(["", WORKSPACE, "/"])
)
def test_any_text_is_a_criterion_inside_the_workspace_or_a_fault(text: str, workspace: str) -> None:
    found = acceptance.read(text, workspace)
    if isinstance(found, Fault):
        assert found.message
        assert found.fix
        return
    assert found.text == text
    for pattern in path_globs.alternatives(found.subject):
        assert not pattern.startswith("/")
        assert ".." not in pattern.split("/")
        assert not posixpath.normpath(pattern or "a").startswith("..")
    assert found.kind != "command" or found.argv
    acceptance.describe(found)


@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "ab", "*", "?", "**", "a*"]), min_size=1, max_size=5),
    st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=5),
)
def test_matching_agrees_with_a_plain_search(pattern: list[str], path: list[str]) -> None:
    def plain(left: list[str], right: list[str]) -> bool:
        if not left:
            return not right
        if left[0] == "**":
            return plain(left[1:], right) or bool(right and plain(left, right[1:]))
        one = {"*": True, "?": bool(right and len(right[0]) == 1), "a*": bool(right and right[0][0] == "a")}
        return bool(right) and one.get(left[0], left[0] == right[0]) and plain(left[1:], right[1:])

    assert path_globs.matches("/".join(pattern), "/".join(path)) is plain(pattern, path)
