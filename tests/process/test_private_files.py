"""What is made for the user alone: folders with all that is missing above them, and files in one step."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from dispatch_mcp.process import private_files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")


@pytest.fixture(autouse=True)
def open_umask() -> Generator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_every_folder_that_is_made_is_the_users_alone(tmp_path: Path) -> None:
    private_files.make_folder(tmp_path / "a" / "b" / "c")
    assert {mode(tmp_path / part) for part in ("a", "a/b", "a/b/c")} == {0o700}


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    private_files.make_folder(tmp_path / "a" / "b")
    private_files.make_folder(tmp_path / "a" / "b")
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o755, 0o700)


def test_a_file_is_written_anew_whole_and_for_the_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    for text in ("a long text of before", "{}", "é\n"):
        private_files.write(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert [*path.parent.iterdir()] == [path]


def test_a_file_that_others_could_read_is_replaced_by_one_that_they_cannot(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    private_files.write(path, "new")
    assert mode(path) == 0o600


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        private_files.write(path, "\ud800")
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(OSError, match="a"):
        private_files.make_folder(tmp_path / "a" / "b")


def test_what_all_processes_share_is_written_once_whole_and_for_the_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "name"
    names: list[str] = []

    def keep(text: str) -> None:
        names.append(private_files.common(path, text))

    threads = [threading.Thread(target=keep, args=(text,)) for text in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == [path.read_text("ascii")] * 8
    assert private_files.common(path, "later") == names[0]
    assert mode(path) == 0o600
    assert list(path.parent.iterdir()) == [path]
