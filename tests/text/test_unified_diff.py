"""Unified diffs, read and written back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import diff_samples
import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.text import diff_languages, unified_diff

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
    assert [line.mark for line in unified_diff.lines_with_numbers(renamed.hunks[0])] == [" ", "-", "+"]
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
    assert [line.text for line in unified_diff.lines_with_numbers(one.hunks[0])] == [
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


def test_a_combined_diff_is_read_as_what_the_merge_did() -> None:
    text = (
        "diff --cc app.py\nindex 1,2..3\n--- a/app.py\n+++ b/app.py\n@@@ -1,3 -1,3 +1,4 @@@ def f():\n"
        "  same\n- ours\n -theirs\n++both\n"
    )
    [file] = unified_diff.parse(text).files
    assert (file.path, file.old_path) == ("app.py", "app.py")
    [hunk] = file.hunks
    assert (hunk.old_start, hunk.new_start, hunk.section) == (1, 1, "def f():")
    assert hunk.lines == (" same", "-ours", "-theirs", "+both")


def test_a_copy_keeps_both_names() -> None:
    text = "diff --git a/x.py b/y.py\nsimilarity index 100%\ncopy from x.py\ncopy to y.py\n"
    [file] = unified_diff.parse(text).files
    assert (file.kind, file.old_path, file.path) == ("copied", "x.py", "y.py")
    assert unified_diff.parse(unified_diff.render(file)).files == (file,)


@pytest.mark.parametrize("prefixes", [("a/", "b/"), ("i/", "w/"), ("c/", "i/"), ("1/", "2/"), ("", "")])
def test_the_prefixes_of_git_are_no_part_of_a_name(prefixes: tuple[str, str]) -> None:
    old, new = prefixes
    text = f"--- {old}src/x.py\n+++ {new}src/x.py\n@@ -1 +1 @@\n-a\n+b\n"
    [file] = unified_diff.parse(text).files
    assert (file.path, file.old_path) == ("src/x.py", "src/x.py")


def test_a_folder_that_has_the_name_of_a_prefix_stays() -> None:
    [file] = unified_diff.parse("--- a/x.py\n+++ a/x.py\n@@ -1 +1 @@\n-a\n+b\n").files
    assert file.path == "a/x.py"


def test_a_name_with_blanks_is_told_from_its_header_alone() -> None:
    [file] = unified_diff.parse("diff --git a/two words.sh b/two words.sh\nold mode 100644\nnew mode 100755\n").files
    assert file.path == "two words.sh"


@pytest.mark.parametrize("name", ['with "quotes".py', "back\\slash.py", "tab\tinside.py", "träne.py", "line\nbreak.py"])
def test_a_name_is_quoted_when_it_has_to_be_and_reads_back(name: str) -> None:
    file = unified_diff.FileChange(name, name, "modified", diff_samples.change("x", "+a").hunks)
    assert unified_diff.parse(unified_diff.render(file)).files == (file,)


@pytest.mark.parametrize(("kind", "old", "new"), [("new", "/dev/null", "b/x.py"), ("deleted", "a/x.py", "/dev/null")])
def test_a_new_and_a_deleted_file_have_nothing_on_the_other_side(kind: unified_diff.Kind, old: str, new: str) -> None:
    mark = "+" if kind == "new" else "-"
    text = unified_diff.render(diff_samples.change("x.py", f"{mark}a", kind=kind))
    assert f"--- {old}\n+++ {new}\n" in text
    assert unified_diff.parse(text).files[0].kind == kind


def test_only_some_hunks_can_be_written() -> None:
    first, second = (diff_samples.change("x.py", f"+{text}", start=at).hunks[0] for text, at in (("a", 1), ("b", 9)))
    file = unified_diff.FileChange("x.py", "x.py", "modified", (first, second))
    assert unified_diff.parse(unified_diff.render(file, [second])).files[0].hunks == (second,)
    assert unified_diff.parse(unified_diff.render(file, [])).files[0].hunks == ()


@pytest.mark.parametrize(
    ("header", "body", "count"),
    [
        ("@@ -1,9 +1,9 @@", " a\n-b\n+c\n", 3),
        ("@@ -1 +1 @@", "-b\n+c\n+d\n", 3),
        ("@@ -1,2 +1,2 @@", " a\n\n+c\n", 3),
        ("@@ -1,1 +1,1 @@", "-b\n+c\n\\ No newline at end of file\n", 3),
        ("@@ -1,1 +1,1 @@", "-b\n+c\n-- \n2.40.0\n", 2),
    ],
)
def test_counts_that_do_not_fit_are_taken_as_they_turn_out(header: str, body: str, count: int) -> None:
    [file] = unified_diff.parse(f"--- a/x.py\n+++ b/x.py\n{header}\n{body}").files
    assert len(file.hunks[0].lines) == count


def test_the_words_of_a_mail_around_a_diff_are_passed_over() -> None:
    patch = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"
    text = f"From: Ada\nSubject: [PATCH] mend\n\nHello,\n---\n x.py | 2 +-\n\n{patch}-- \n2.40.0\n"
    assert unified_diff.parse(text) == unified_diff.parse(patch)


@hypothesis.given(diff_samples.CHANGES)
def test_counts_and_numbers_of_any_change_fit_together(changes: list[unified_diff.FileChange]) -> None:
    for hunk in (hunk for change in changes for hunk in change.hunks):
        lines = list(unified_diff.lines_with_numbers(hunk))
        assert sum(line.mark != "-" for line in lines) == hunk.new_count
        assert sum(line.mark != "+" for line in lines) == hunk.old_count
        new = [line.number for line in lines if line.mark != "-"]
        assert new == list(range(hunk.new_start, hunk.new_start + hunk.new_count))
        old = [line.number for line in lines if line.mark == "-"]
        assert old == sorted(set(old))
    diff = unified_diff.Diff(tuple(changes))
    assert diff.lines == sum(change.size for change in changes)


@pytest.mark.parametrize(
    ("path", "language"),
    [
        *(("a/b.py", "python"), ("x.TSX", "typescript"), ("Dockerfile", "docker"), ("api.dockerfile", "docker")),
        *(
            ("Dockerfile.dev", "docker"),
            ("Makefile", "make"),
            ("Gemfile", "ruby"),
            ("ci.yml", "yaml"),
            ("x.md", "text"),
        ),
        *((".env", "ini"), (".env.env", "ini"), ("LICENSE", ""), ("a.unknown", ""), ("py", ""), ("", "")),
    ],
)
def test_the_language_of_a_file_is_what_its_name_says(path: str, language: str) -> None:
    assert diff_languages.language(path) == language
