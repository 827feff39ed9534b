"""Files that are shown whole, and that every other one is named for who reads the review."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch_mcp.engine import whole_files
from dispatch_mcp.review import review_scope
from dispatch_mcp.text import unified_diff

CHANGE = review_scope.Change("the diff\n", "the working tree")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "pay.py").write_text("a = 1\nb = 2\n", encoding="utf-8")
    (folder / "logo.bin").write_bytes(b"\x89\0\1")
    (folder / ".env").write_text("KEY=hunter2\n", encoding="utf-8")
    (tmp_path / "outside.py").write_text("secret = 1\n", encoding="utf-8")
    return folder


def test_a_file_is_shown_as_a_change_that_adds_all_of_its_lines(shop: Path) -> None:
    whole = whole_files.read(str(shop), ["src/pay.py"])
    [file] = unified_diff.parse(whole.text).files
    assert (file.path, file.kind) == ("src/pay.py", "new")
    assert "@@ -0,0 +1,2 @@" in whole.text
    assert [line for hunk in file.hunks for line in hunk.lines] == ["+a = 1", "+b = 2"]
    assert (whole.unseen, whole.user_only, whole.missing) == ((), (), ())


def test_without_paths_nothing_is_looked_at(tmp_path: Path) -> None:
    assert whole_files.read(str(tmp_path / "is not there"), []) == whole_files.WholeFiles()


def test_a_binary_file_is_said_to_be_one_and_its_bytes_are_not_shown(shop: Path) -> None:
    whole = whole_files.read(str(shop), ["logo.bin"])
    [file] = unified_diff.parse(whole.text).files
    assert (file.path, file.binary, file.hunks) == ("logo.bin", True, ())


def test_what_is_gone_what_is_secret_and_what_cannot_be_read_is_named_apart(shop: Path) -> None:
    (shop / "large.py").write_bytes(b"x" * (whole_files.MAX_WHOLE_BYTES + 1))
    (shop / "way.py").symlink_to("../outside.py")
    whole = whole_files.read(str(shop), ["gone.py", ".env", "way.py", "large.py", "src"])
    assert whole.missing == ("gone.py",)
    assert whole.user_only == (".env",)
    assert set(whole.unseen) >= {"way.py"}
    assert "src" not in whole.unseen
    for text in ("hunter2", "secret = 1"):
        assert text not in whole.text


def test_beyond_the_most_files_that_are_shown_the_others_are_named(shop: Path) -> None:
    paths = [f"f{number}.py" for number in range(whole_files.MAX_WHOLE + 3)]
    for path in paths:
        (shop / path).write_text("x\n", encoding="utf-8")
    whole = whole_files.read(str(shop), paths)
    assert len(unified_diff.parse(whole.text).files) == whole_files.MAX_WHOLE
    assert whole.unseen == tuple(paths[-3:])


def test_beside_a_change_files_are_added_and_what_it_is_about_says_so() -> None:
    whole = whole_files.WholeFiles("whole", ("a",), ("b",), ("c",))
    change = whole_files.beside(CHANGE, whole)
    assert change.text == "the diff\nwhole"
    assert change.about == (
        "the working tree; whole, as they are now, files that the work changed and git does not show"
        "; removed where git does not look: `c`"
    )
    assert (change.unseen, change.user_only) == (("a",), ("b",))
    assert whole_files.beside(CHANGE, whole_files.WholeFiles()).about == CHANGE.about


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (CHANGE, []),
        (CHANGE._replace(unseen=("a",)), ["nobody can pass it here: `a`"]),
        (CHANGE._replace(user_only=("b",)), ["the user is asked to look: `b`"]),
        (CHANGE._replace(unseen=("a",), user_only=("b",)), ["nobody can pass", "shown to nobody"]),
    ],
)
def test_a_reviewer_is_told_of_what_is_not_shown(change: review_scope.Change, lines: list[str]) -> None:
    account = whole_files.account(change)
    assert len(account) == len(lines)
    assert all(part in line for part, line in zip(lines, account, strict=True))


def test_very_many_names_are_counted_and_none_breaks_its_line() -> None:
    many = [f"n{number}" for number in range(whole_files.MAX_NAMED + 2)]
    assert whole_files.names(many).endswith("`n59`, and 2 more")
    assert "\n" not in whole_files.names(["a\nb", "c\x1b[31m"])
    assert whole_files.names([]) == ""


def test_a_pass_leaves_only_what_nobody_was_shown_to_the_user() -> None:
    assert whole_files.todos(()) == ()
    [todo] = whole_files.todos((".env",))
    assert todo == "Look at `.env` yourself: changed by the work and shown to no reviewer."


def test_paths_of_a_repository_are_told_as_a_folder_in_it_has_them(tmp_path: Path) -> None:
    (tmp_path / "repo/.git").mkdir(parents=True)
    (tmp_path / "repo/app/deep").mkdir(parents=True)
    (tmp_path / "door").symlink_to(tmp_path / "repo/app")
    paths = ["app/a.py", "app/deep/b.py", "apple.py", "c.py"]
    assert whole_files.in_workspace(str(tmp_path / "repo"), paths) == {*paths}
    assert whole_files.in_workspace(str(tmp_path / "repo/app"), paths) == {"a.py", "deep/b.py"}
    assert whole_files.in_workspace(str(tmp_path / "door"), paths) == {"a.py", "deep/b.py"}
