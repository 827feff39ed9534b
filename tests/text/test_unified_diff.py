"""Unified diffs, read and written back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.review import diff_parts, finding_redaction, review_scope
from dispatch_mcp.text import unified_diff

GIT = """diff --git a/old name.py b/new name.py
similarity index 80%
rename from old name.py
rename to new name.py
index 1..2 100644
--- a/old name.py\t
+++ b/new name.py\t
@@ -1,2 +1,2 @@ def f():
 same
-gone
+here
\\ No newline at end of file
diff --git "a/tr\\303\\244nen.txt" "b/tr\\303\\244nen.txt"
new file mode 100644
index 0000000..1
--- /dev/null
+++ "b/tr\\303\\244nen.txt"
@@ -0,0 +1 @@
+eins
diff --git a/logo.png b/logo.png
index 1..2 100644
Binary files a/logo.png and b/logo.png differ
diff --git a/run.sh b/run.sh
old mode 100644
new mode 100755
diff --git a/away.py b/away.py
deleted file mode 100644
--- a/away.py
+++ /dev/null
@@ -1,2 +0,0 @@
-one
-two
"""


def test_what_git_writes_is_understood() -> None:
    renamed, new, binary, mode, deleted = unified_diff.parse(GIT).files
    assert (renamed.kind, renamed.old_path, renamed.path) == ("renamed", "old name.py", "new name.py")
    assert renamed.hunks[0].section == "def f():"
    assert [line.mark for line in unified_diff.numbered(renamed.hunks[0])] == [" ", "-", "+"]
    assert (new.kind, new.path) == ("new", "tränen.txt")
    assert binary.binary
    assert not mode.hunks
    assert (deleted.kind, deleted.path, deleted.size) == ("deleted", "away.py", 2)


def test_a_plain_diff_without_git_headers_is_understood() -> None:
    [one] = unified_diff.parse("--- lib/a.c\t2024-01-01\n+++ lib/a.c\t2024-01-02\n@@ -1 +1 @@\n-a\n+b\n").files
    assert (one.path, one.language, one.size) == ("lib/a.c", "c", 2)


def test_lines_that_look_like_headers_are_content() -> None:
    text = "--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,2 @@\n--- drop it\n-- keep\n+++ add it\n -- end\n"
    [one] = unified_diff.parse(text).files
    assert [line.text for line in unified_diff.numbered(one.hunks[0])] == [
        "-- drop it",
        "- keep",
        "++ add it",
        "-- end",
    ]


def test_carriage_returns_stay_in_lines_and_leave_names() -> None:
    [one] = unified_diff.parse("--- a/x.py\r\n+++ b/x.py\r\n@@ -1 +1 @@\r\n-a\r\n+b\r\n").files
    assert one.path == "x.py"
    assert one.hunks[0].lines == ("-a\r", "+b\r")


@pytest.mark.parametrize("text", ["", "hello", "--- a\n", "@@ -1 +1 @@\n+x", "diff --git\n", "+++ b/x\n--- a/x\n"])
def test_what_is_no_diff_gives_no_files_and_no_error(text: str) -> None:
    assert not [one for one in unified_diff.parse(text).files if one.hunks]


def test_a_real_repository_reads_back_as_it_was(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    (tmp_path / "a b.py").write_text("one\ntwo\n" * 20)
    (tmp_path / "ü.txt").write_text("x")
    git("add", ".")
    git("commit", "-qm", "one")
    git("mv", "a b.py", "c.py")
    (tmp_path / "c.py").write_text("one\ntwo\n" * 10 + "new\n" + "one\ntwo\n" * 10)
    (tmp_path / "ü.txt").write_text("y\n")
    (tmp_path / "b.bin").write_bytes(b"\0\1\2")
    git("add", ".")
    parsed = unified_diff.parse(git("diff", "--cached", "-M"))
    assert {(one.path, one.kind, one.binary) for one in parsed.files} == {
        ("c.py", "renamed", False),
        ("ü.txt", "modified", False),
        ("b.bin", "new", True),
    }
    assert unified_diff.parse("\n".join(map(unified_diff.render, parsed.files))) == parsed


LINE = st.text(st.characters(blacklist_characters="\n\r", blacklist_categories=["Cs"]), max_size=30)
HUNK = st.lists(st.tuples(st.sampled_from(" +-"), LINE), min_size=1, max_size=12).map(
    lambda lines: unified_diff.Hunk(3, 5, "", tuple(mark + text for mark, text in lines))
)
CHANGE = st.builds(
    lambda name, hunks: unified_diff.FileChange(name, name, "modified", tuple(hunks)),
    st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
        lambda name: name.strip() == name and name != "dev/null"
    ),
    st.lists(HUNK, min_size=1, max_size=4),
)


@hypothesis.given(st.lists(CHANGE, min_size=1, max_size=4))
def test_any_change_reads_back_as_it_was_written(changes: list[unified_diff.FileChange]) -> None:
    text = "\n".join(map(unified_diff.render, changes))
    assert unified_diff.parse(text) == unified_diff.Diff(tuple(changes))


@hypothesis.given(st.text(max_size=400))
def test_any_text_can_be_read(text: str) -> None:
    for one in unified_diff.parse(text).files:
        unified_diff.render(one)


def shown(diff: unified_diff.Diff) -> set[tuple[str, unified_diff.Numbered]]:
    return {(one.path, line) for one in diff.files for hunk in one.hunks for line in unified_diff.numbered(hunk)}


@hypothesis.given(st.lists(CHANGE, min_size=1, max_size=5, unique_by=lambda one: one.path), st.integers(1_100, 2_000))
def test_every_line_is_in_a_part_or_named(changes: list[unified_diff.FileChange], limit: int) -> None:
    diff = unified_diff.Diff(tuple(changes))
    for most in (1, 1000):
        divided = diff_parts.split(diff, limit=limit, max_parts=most)
        seen = {line for part in divided.parts for line in shown(unified_diff.parse(part.text))}
        named = {span.path for span in divided.unseen}
        assert all(place in seen or place[0] in named for place in shown(diff))


def test_a_hunk_too_long_for_one_prompt_is_cut_with_overlap() -> None:
    lines = tuple(f"+line number {n} of a very long file" for n in range(400))
    diff = unified_diff.Diff(
        (unified_diff.FileChange("long.py", "long.py", "new", (unified_diff.Hunk(0, 1, "", lines),)),)
    )
    divided = diff_parts.split(diff, limit=3_000)
    assert len(divided.parts) > 4
    first, second = (unified_diff.parse(part.text).files[0].hunks[0] for part in divided.parts[:2])
    assert second.lines[: diff_parts.OVERLAP] == first.lines[-diff_parts.OVERLAP :]
    assert all(len(part.text) <= 3_100 for part in divided.parts)


def test_a_line_too_long_is_cut_and_named() -> None:
    diff = unified_diff.parse("--- a/x.js\n+++ b/x.js\n@@ -1 +1 @@\n-a\n+" + "y" * 9_000 + "\n")
    [part] = diff_parts.split(diff).parts
    assert len(part.text) < 3_000
    assert [span.label for span in part.cut] == ["x.js:1"]


def test_fifty_thousand_lines_are_all_shown_in_parts() -> None:
    lines = tuple(f"+value_{n} = compute({n}) + other_value_{n}" for n in range(500))
    files = tuple(
        unified_diff.FileChange(f"f{n}.py", f"f{n}.py", "new", (unified_diff.Hunk(0, 1, "", lines),))
        for n in range(100)
    )
    divided = diff_parts.split(unified_diff.Diff(files))
    seen = {place for part in divided.parts for place in shown(unified_diff.parse(part.text))}
    assert len(seen) == 50_000
    assert not divided.unseen
    assert {span.path for part in divided.parts for span in part.spans} == {one.path for one in files}


def test_more_parts_than_allowed_are_named_as_unseen() -> None:
    lines = tuple(f"+value_{n} = compute({n})" for n in range(500))
    files = tuple(
        unified_diff.FileChange(f"f{n}.py", f"f{n}.py", "new", (unified_diff.Hunk(0, 1, "", lines),)) for n in range(20)
    )
    divided = diff_parts.split(unified_diff.Diff(files), limit=20_000, max_parts=3)
    assert len(divided.parts) == 3
    assert [span.label for span in divided.unseen] == [f"f{n}.py:1-500" for n in range(3, 20)]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (".loki/state.json", "state folder"),
        ("a/.git/config", "state folder"),
        ("package-lock.json", "lock file"),
        ("web/yarn.lock", "lock file"),
        ("go.sum", "lock file"),
        ("static/app.min.js", "generated"),
        ("api/order_pb2.py", "generated"),
        ("node_modules/x/index.js", "generated"),
        ("src/app.py", None),
        (".github/workflows/ci.yml", None),
        ("locks.py", None),
    ],
)
def test_what_is_not_reviewed_is_listed_with_a_reason(path: str, reason: str | None) -> None:
    found = review_scope.of(unified_diff.parse(f"--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n"))
    assert [(one.path, one.reason) for one in found.excluded] == ([(path, reason)] if reason else [])
    assert bool(found.diff.files) is (reason is None)


def test_a_change_cannot_leave_the_review_by_calling_itself_generated() -> None:
    added = "--- a/x.py\n+++ b/x.py\n@@ -1,1 +1,2 @@\n+# Code generated by tool. DO NOT EDIT.\n import os\n"
    there = "--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,3 @@\n # Code generated by tool. DO NOT EDIT.\n+import os\n a\n"
    assert not review_scope.of(unified_diff.parse(added)).excluded
    assert [one.reason for one in review_scope.of(unified_diff.parse(there)).excluded] == ["generated"]


def test_secrets_leave_and_places_stay() -> None:
    key = "-----BEGIN KEY-----\nabc\ndef\n-----END KEY-----"
    body = "".join(f"+{line}\n" for line in ["a = 1", *key.split("\n"), "b = 2"])
    diff = unified_diff.parse("--- a/x.py\n+++ b/x.py\n@@ -0,0 +1,6 @@\n" + body)
    found = finding_redaction.cleaned(diff, lambda text: text.replace(key, "[redacted:private-key]"))
    lines = [line.text for line in unified_diff.numbered(found.diff.files[0].hunks[0])]
    assert lines == ["a = 1", *["[redacted]"] * 4, "b = 2"]
    assert found.lines == 4


def test_values_of_secret_files_are_never_shown_and_their_names_are() -> None:
    diff = unified_diff.parse("--- a/.env\n+++ b/.env\n@@ -0,0 +1,2 @@\n+PORT=80\n+STRIPE=abc\n")
    [hunk] = finding_redaction.cleaned(diff, lambda text: text).diff.files[0].hunks
    assert hunk.lines == ("+PORT=[redacted]", "+STRIPE=[redacted]")
