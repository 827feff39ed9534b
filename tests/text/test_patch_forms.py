"""Changes in other forms: what surrounds the lines of a diff is taken away, and what is no diff is named."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import diff_samples
import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.text import patch_forms, unified_diff

OLD = "".join(f"line {number}\n" for number in range(40))
NEW = OLD.replace("line 5\n", "changed 5\n").replace("line 30\n", "")


def run(folder: Path, *command: str) -> str:
    """Returns what a program writes, byte for byte as far as it is UTF-8."""
    environment = {**os.environ, "LC_ALL": "C", "GIT_PAGER": "cat"}
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, env=environment)
    return done.stdout.decode("utf-8", "replace")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two commits, and the files of both side by side in `old` and `new`."""
    root = tmp_path_factory.mktemp("forms")
    folder = root / "shop"
    before = {
        "app.py": OLD,
        "a/b/x.py": "1\n2\n",
        "tränen.txt": "x\n",
        "gone.py": "bye\n",
        "crlf.txt": "a\r\nb\r\n",
        "empty": "",
    }
    after = {**before, "app.py": NEW, "a/b/x.py": "1\n3\n", "tränen.txt": "y", "crlf.txt": "a\r\nB\r\n", "b.txt": "n\n"}
    del after["gone.py"], after["empty"]
    run(root, "git", "init", "-q", "shop")
    for files, message in ((before, "Begin"), (after, "Go on\n\n*** Begin Patch\n- not it\n@@ -1 +1 @@\n+nor that")):
        run(folder, "git", "rm", "-rq", ".")
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text.encode())
        run(folder, "git", "add", ".")
        run(folder, "git", "commit", "-qm", message)
    for name, revision in (("old", "HEAD~1"), ("new", "HEAD")):
        run(folder, "git", "worktree", "add", "-q", str(root / name), revision)
        (root / name / ".git").unlink()
    return folder


def content(diff: unified_diff.Diff) -> list[tuple[str, str, list[str]]]:
    """Returns what a diff does to each file: its changed lines, however many others are shown."""
    return sorted(
        (file.path, file.kind, [line for hunk in file.hunks for line in hunk.lines if line[0] in "+-"])
        for file in diff.files
    )


READ = [
    *("--no-prefix", "--color=always", "--ws-error-highlight=all --color=always", "-U0", "-U20", "-W", "--stat -p"),
    *("--full-index", "--binary", "--src-prefix=old/ --dst-prefix=new/", "--src-prefix=x/y/ --dst-prefix=x/z/"),
    *("--patch-with-raw", "--submodule=log", "--submodule=diff", "--compact-summary -p", "--text", "--graph"),
]


@pytest.mark.parametrize("options", READ)
def test_whatever_options_of_git_change_around_a_diff_it_is_read_whole(shop: Path, options: str) -> None:
    plain = unified_diff.read(run(shop, "git", "diff", "HEAD~1"))
    assert plain.gaps == ()
    assert len(plain.diff.files) == 7
    reading = unified_diff.read(run(shop, "git", "diff", *options.split(), "HEAD~1"))
    assert (content(reading.diff), reading.gaps) == (content(plain.diff), ())


@pytest.mark.parametrize(
    "command",
    [
        *("show", "log -p -1", "log -p --graph -1", "format-patch --stdout -1", "format-patch --stdout --no-stat -1"),
        *("show --pretty=fuller --color=always", "-c diff.mnemonicPrefix=true diff HEAD~1"),
        *("-c diff.noprefix=true diff HEAD~1", "log -p --format=email -1", "diff-tree -p HEAD"),
    ],
)
def test_every_command_of_git_that_shows_a_change_is_read_whole(shop: Path, command: str) -> None:
    plain = unified_diff.read(run(shop, "git", "diff", "HEAD~1"))
    reading = unified_diff.read(run(shop, "git", *command.split()))
    assert (content(reading.diff), reading.gaps) == (content(plain.diff), ())


def test_a_diff_the_other_way_round_has_no_prefixes_either(shop: Path) -> None:
    reading = unified_diff.read(run(shop, "git", "diff", "-R", "HEAD~1"))
    assert {file.path for file in reading.diff.files} >= {"app.py", "a/b/x.py", "gone.py"}
    assert reading.gaps == ()


AROUND: dict[str, Callable[[str], str]] = {
    "a quotation": lambda line: f"> {line}",
    "a code block": lambda line: f"    {line}",
    "a list": lambda line: f"\t{line}",
    "a graph": lambda line: f"| {line}",
    "numbers": lambda line: f"   12\t{line}",
    "numbers of a listing": lambda line: f"    12→{line}",
    "carriage returns": lambda line: f"{line}\r",
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@hypothesis.given(diff_samples.CHANGES)
def test_what_stands_around_each_line_is_no_part_of_the_change(
    around: Callable[[str], str], changes: list[unified_diff.FileChange]
) -> None:
    text = "\n".join(map(unified_diff.render, changes))
    hypothesis.assume("\r" not in text)
    reading = unified_diff.read("\n".join(map(around, text.split("\n"))))
    expected = content(unified_diff.Diff(tuple(changes)))
    bare = [(path, kind, [line.rstrip("\r") for line in lines]) for path, kind, lines in content(reading.diff)]
    assert bare == expected


@pytest.mark.parametrize("escape", ["\x1b", "^[", "␛", "\\x1b", "\\033", "\\e", "\\u001b", ""])
def test_colours_are_taken_away_however_they_were_copied(shop: Path, escape: str) -> None:
    text = run(shop, "git", "diff", "--color=always", "HEAD~1")
    plain = unified_diff.read(run(shop, "git", "diff", "HEAD~1"))
    reading = unified_diff.read(text.replace("\x1b", escape))
    assert (content(reading.diff), reading.gaps) == (content(plain.diff), ())


def test_colours_that_a_change_itself_writes_stay() -> None:
    text = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+print('\x1b[32mgreen[0m')\n"
    [file] = unified_diff.parse(text).files
    assert file.hunks[0].lines[1] == "+print('\x1b[32mgreen[0m')"


@pytest.mark.parametrize(
    "mark", ["\ufeff", "\ufeff\n", "Here it is:\n\n```diff\n", "<diff>\n", "Hello,\n- one\n+ two\n\n"]
)
def test_words_before_a_diff_are_passed_over(mark: str) -> None:
    patch = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"
    assert unified_diff.read(f"{mark}{patch}```\n\n- a note\n+ another\n") == unified_diff.read(patch)


@pytest.mark.parametrize(
    ("command", "form"),
    [
        ("diff -c old/app.py new/app.py", "a context diff"),
        ("diff old/app.py new/app.py", "a diff without context (`diff` without -u)"),
        ("diff -q old/app.py new/app.py", "files of which it only says that they differ"),
        ("diff -ru old new", "a file that only one side has"),
        ("git -C shop diff --word-diff HEAD~1", patch_forms.WORD_DIFF),
        ("git -C shop diff --color-words HEAD~1", unified_diff.WITHOUT_CHANGE),
        ("git -C shop diff --word-diff=porcelain HEAD~1", unified_diff.WITHOUT_MARKS),
        ("git -C shop diff -D HEAD~1", unified_diff.WITHOUT_LINES),
    ],
)
def test_what_programs_write_that_is_no_unified_diff_is_named(shop: Path, command: str, form: str) -> None:
    reading = unified_diff.read(run(shop.parent, *command.split()))
    assert form in {gap.form for gap in reading.gaps}


@pytest.mark.parametrize(
    ("command", "form"),
    [
        ("diff -e ../old/app.py ../new/app.py", "an ed script"),
        ("diff -n ../old/app.py ../new/app.py", "an RCS script"),
        ("git diff --stat HEAD~1", "a summary of a change (`--stat`), without its lines"),
        ("git log --stat -1", "a summary of a change (`--stat`), without its lines"),
        ("git diff --numstat HEAD~1", "a summary of a change (`--numstat`), without its lines"),
        ("git diff --raw HEAD~1", "a list of files (`--raw`), without their changes"),
        ("git diff --name-status HEAD~1", "a list of files (`--name-status`), without their changes"),
        ("git log -1", "a log without changes"),
        ("git status", "the status of a checkout, without its changes"),
        ("cat app.py", "prose"),
    ],
)
def test_a_text_without_any_diff_is_named_as_what_it_looks_like(shop: Path, command: str, form: str) -> None:
    text = run(shop, *command.split())
    assert text
    assert (unified_diff.read(text), patch_forms.whole(text)) == (unified_diff.DiffReading(unified_diff.Diff()), form)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("fatal: not a git repository\n", "an error message"),
        ("<!DOCTYPE html>\n<html></html>", "an HTML page"),
        ('{"files": [{"patch": "@@ -1 +1 @@"}]}', "JSON"),
        (
            "diff --git a/x b/x\\n--- a/x\\n+++ b/x\\n@@ -1 +1 @@\\n-a\\n+b",
            "a diff whose line breaks are written as \\n",
        ),
        ("main..work", "a git range; that is given as a range"),
        ("HEAD~3", "a git range; that is given as a range"),
        ("build/change.patch\n", "the name of a file; the text in it is wanted"),
        (" M app.py\n?? b.py\n", "the status of a checkout, without its changes"),
        ("-    return x\n+    return y\n", "changed lines without headers"),
        ("return [-x-]{+y+}", "a word diff"),
        ("Please look at the login.", "prose"),
    ],
)
def test_what_people_send_instead_of_a_diff_is_named(text: str, form: str) -> None:
    assert patch_forms.whole(text) == form


ENVELOPE = "*** Begin Patch\n*** Update File: t.py\n@@ def f(x):\n-    return x\n+    return eval(x)\n*** End Patch\n"
GOOD = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"
PARTS: dict[str, str] = {
    "an apply_patch envelope": ENVELOPE,
    "the log of a submodule": "Submodule lib 1234567..89abcde:\n  > One\n  < Two\n",
    "a context diff": "*** a.py\n--- a.py\n***************\n*** 1 ****\n! x\n--- 1 ----\n! y\n",
    "a diff without context (`diff` without -u)": "3c3\n< a\n---\n> b\n",
    "a path whose merge is not finished": "* Unmerged path app.py\n",
    "a file that only one side has": "Only in new/src: evil.py\n",
    "files of which it only says that they differ": "Files a/x and b/x differ\n",
    "a block to search and replace": "<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n",
    patch_forms.LEFT_OUT: "... [120 lines truncated] ...\n",
    patch_forms.UNNUMBERED: "@@ def f(x):\n-a\n+b\n",
    unified_diff.WITHOUT_LINES: "diff --git a/y.py b/y.py\nindex 1234567..89abcde 100644\n",
    unified_diff.WITHOUT_CHANGE: "--- a/y.py\n+++ b/y.py\n@@ -1,2 +1,2 @@\n same\n too\n",
}


@pytest.mark.parametrize("form", PARTS)
@pytest.mark.parametrize("order", ["before", "behind", "between"])
def test_a_part_that_cannot_be_read_is_named_with_its_lines_and_the_rest_is_read(form: str, order: str) -> None:
    part, other = PARTS[form], GOOD.replace("x.py", "z.py")
    first = {"before": "", "behind": GOOD, "between": GOOD}[order]
    text = first + part + {"before": GOOD, "behind": "", "between": other}[order]
    reading = unified_diff.read(text)
    read = [file.path for file in reading.diff.files if file.hunks and file.path != "y.py"]
    assert read == {"before": ["x.py"], "behind": ["x.py"], "between": ["x.py", "z.py"]}[order]
    assert [file.size for file in reading.diff.files if file.path in read] == [2] * len(read)
    assert form in {gap.form for gap in reading.gaps}
    line = first.count("\n") + 1
    assert all(line <= gap.first <= gap.last <= line + part.count("\n") for gap in reading.gaps)


def test_hunks_without_the_names_of_their_file_are_named() -> None:
    [gap] = unified_diff.read("@@ -1,2 +1,2 @@\n a\n-b\n+c\n").gaps
    assert gap == (1, 4, patch_forms.BARE_HUNK)


@pytest.mark.parametrize(
    ("lines", "form"),
    [
        (" a\nb\n+evil()\n c\n", unified_diff.WITHOUT_MARKS),
        (" a\n-b\n... (rest omitted)\n+evil()\n", unified_diff.WITHOUT_MARKS),
        (" a\n-b\n", unified_diff.CUT_OFF),
        (" a\n-b\n[98 lines truncated]\n", unified_diff.CUT_OFF),
        (" a\n", unified_diff.CUT_OFF),
        ("", unified_diff.CUT_OFF),
    ],
)
def test_lines_that_a_hunk_should_have_and_has_not_are_not_passed_over(lines: str, form: str) -> None:
    first, *_ = unified_diff.read(f"--- a/x.py\n+++ b/x.py\n@@ -1,50 +1,60 @@\n{lines}").gaps
    assert first.form.startswith(form)


@pytest.mark.parametrize("lines", ["\n+evil()\n", "some words\n+    evil()\n-\tsafe()\n"])
def test_changed_lines_behind_a_hunk_that_is_complete_are_not_passed_over(lines: str) -> None:
    gaps = unified_diff.read(f"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n{lines}").gaps
    assert {gap.form for gap in gaps} == {unified_diff.ORPHANS}


@pytest.mark.parametrize(
    "rest", ["-- \n2.43.0\n", "--\n2.43.0\n", "-- \r\n2.43.0\r\n", "\n- a note\n+ more\n", "```\n+x\n"]
)
def test_what_stands_behind_a_diff_is_no_part_of_it(rest: str) -> None:
    assert unified_diff.read(f"{GOOD}{rest}") == unified_diff.read(GOOD)


def test_counts_that_are_wrong_by_a_little_lack_nothing() -> None:
    assert unified_diff.read("--- a/x.py\n+++ b/x.py\n@@ -1,4 +1,4 @@\n a\n-b\n+c\n").gaps == ()
    assert unified_diff.read(f"--- a/x.py\n+++ b/x.py\n@@ -1,40 +1,40 @@\n a\n-b\n+c\n{GOOD}").gaps == ()


@pytest.mark.parametrize(
    "line",
    [
        "Binary files a/safe.png and b/safe.png differ",
        "GIT binary patch",
        "new file mode 100644",
        "deleted file mode 100644",
        "rename to other.py",
    ],
)
def test_no_line_behind_a_hunk_changes_what_its_file_is(line: str) -> None:
    first = unified_diff.read(f"{GOOD}{line}\n").diff.files[0]
    assert first == unified_diff.read(GOOD).diff.files[0]


def test_a_file_with_lines_is_not_hidden_by_the_word_that_it_is_binary() -> None:
    text = (
        "diff --git a/x.py b/x.py\nBinary files a/x.py and b/x.py differ\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"
    )
    files = unified_diff.parse(text).files
    assert [(file.path, file.binary) for file in files if file.hunks] == [("x.py", False)]


def test_a_file_behind_a_pure_rename_has_its_own_name() -> None:
    text = f"diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n{GOOD.partition(chr(10))[2]}"
    assert [(file.path, file.size) for file in unified_diff.parse(text).files] == [("y", 0), ("x.py", 2)]


@pytest.mark.parametrize(
    "names", ["old/a and b.png and new/a and b.png", "/dev/null and b/x.png", "a/x.png and b/x.png"]
)
def test_a_binary_file_stands_for_itself_where_no_header_is(names: str) -> None:
    reading = unified_diff.read(f"{GOOD}Binary files {names} differ\n")
    assert [(file.path, file.binary) for file in reading.diff.files][1:] == [
        (names.rpartition(" and ")[2][2:], True)
    ] or ("old/" in names and reading.diff.files[1].path == "new/a and b.png")
    assert reading.gaps == ()


@pytest.mark.parametrize(
    ("header", "pair", "path"),
    [
        ("a/src/x.py a/src/x.py", "--- a/src/x.py\n+++ a/src/x.py", "a/src/x.py"),
        ("b/x.py b/x.py", "--- /dev/null\n+++ b/x.py", "b/x.py"),
        ("a/x.py b/x.py", "--- /dev/null\n+++ b/x.py", "x.py"),
        ("b/x.py a/x.py", "--- b/x.py\n+++ a/x.py", "x.py"),
        ("x.py x.py", "--- x.py\n+++ x.py", "x.py"),
        ("c/x.py w/x.py", "--- c/x.py\n+++ /dev/null", "x.py"),
        ("left/src/x.py right/src/x.py", "--- left/src/x.py\n+++ /dev/null", "src/x.py"),
    ],
)
def test_prefixes_are_told_from_folders_by_git_s_own_line(header: str, pair: str, path: str) -> None:
    [file] = unified_diff.parse(f"diff --git {header}\n{pair}\n@@ -1 +1 @@\n-a\n+b\n").files
    assert file.path == path


@hypothesis.given(st.text("+-@ \n\r\\abdifg*/>\x1b[m0123456789,`{}<=", max_size=200))
def test_any_text_is_read_or_has_its_gaps_named_in_order(text: str) -> None:
    reading = unified_diff.read(text)
    assert list(reading.gaps) == sorted(reading.gaps)
    assert all(1 <= gap.first <= gap.last <= text.count("\n") + 1 for gap in reading.gaps)
    assert patch_forms.whole(text)


CODE = st.tuples(st.sampled_from(" +-"), st.sampled_from(["x = 1", "    return y", ")", "", "@decorated", "\tz"]))
WRITTEN = st.lists(
    st.lists(st.lists(CODE.map("".join), min_size=1, max_size=9), min_size=1, max_size=3), min_size=1, max_size=3
).map(
    lambda files: [
        unified_diff.FileChange(
            f"{name}.py", f"{name}.py", "modified", tuple(unified_diff.Hunk(3, 5, "", tuple(lines)) for lines in hunks)
        )
        for name, hunks in enumerate(files)
    ]
)


@hypothesis.given(WRITTEN, st.data())
def test_no_changed_line_of_a_diff_with_a_line_that_is_none_is_lost_in_silence(
    changes: list[unified_diff.FileChange], data: st.DataObject
) -> None:
    lines = "\n".join(map(unified_diff.render, changes)).split("\n")
    place = data.draw(st.integers(0, len(lines) - 1))
    reading = unified_diff.read("\n".join([*lines[:place], "(so it goes)", *lines[place + 1 :]]))
    before, after = (sum(file.size for file in files) for files in (changes, reading.diff.files))
    assert reading.gaps or after >= before - (lines[place][:1] in ("+", "-"))
