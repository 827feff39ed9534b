"""Unified diffs, read and written back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import diff_samples
import hypothesis
import pytest
from hypothesis import strategies as st

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


@hypothesis.given(diff_samples.CHANGES)
def test_any_change_reads_back_as_it_was_written(changes: list[unified_diff.FileChange]) -> None:
    text = "\n".join(map(unified_diff.render, changes))
    assert unified_diff.parse(text) == unified_diff.Diff(tuple(changes))


@hypothesis.given(st.text(max_size=400))
def test_any_text_can_be_read(text: str) -> None:
    for one in unified_diff.parse(text).files:
        unified_diff.render(one)
