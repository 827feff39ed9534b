"""A large workspace is read in portions that are kept: whoever goes on begins where the last one ended."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch_mcp.context import file_index, file_listing, git_log
from dispatch_mcp.context.indexing import index_files, index_tables, reading_order
from dispatch_mcp.process import file_lock

FILES = 700


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "harbour"
    folder.mkdir()
    for at in range(FILES):
        (folder / f"berth{at}.py").write_text(f"def moor_{at}(vessel):\n    return vessel + {at}\n")
    return folder


@pytest.fixture
def index(tmp_path: Path, root: Path) -> Iterator[file_index.FileIndex]:
    with file_index.FileIndex(tmp_path / "state", root) as opened:
        yield opened


def test_each_portion_is_told_and_the_last_leaves_nothing(index: file_index.FileIndex) -> None:
    news: list[index_tables.IndexProgress] = []
    assert index.refresh(tell=news.append) == (FILES, FILES, 0, 0)
    assert [one.rest for one in news] == [500, 100, 0]
    assert index.progress() == (FILES, 0)
    assert index.refresh(tell=news.append) == (FILES, 0, 0, 0)
    assert len(news) == 3


def test_when_the_time_is_up_the_rest_is_left_and_the_next_look_goes_on(index: file_index.FileIndex) -> None:
    short = reading_order.Bounds(seconds=0.0)
    assert index.refresh(short) == (FILES, 200, 0, 500)
    assert index.progress() == (FILES, 500)
    assert index.refresh(short).rest == 300
    assert index.refresh() == (FILES, 300, 0, 0)


def test_texts_beyond_the_bound_are_not_read(index: file_index.FileIndex) -> None:
    assert index.refresh(reading_order.Bounds(text_bytes=4_000)).files < FILES / 5


def test_what_a_person_works_on_is_read_first(tmp_path: Path, root: Path) -> None:
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)
    (root / "berth699.py").write_text("def moor_at_once(): ...\n")
    (root / "shed").mkdir()
    (root / "shed/tools.py").write_text("def hammer(): ...\n")
    assert sorted(git_log.changes(root)) == ["berth699.py", "shed/"]
    assert git_log.changes(root / "shed") == []
    with file_index.FileIndex(tmp_path / "other", root) as index:
        index.refresh(reading_order.Bounds(seconds=0.0))
        rows = index.db.execute("SELECT path FROM files ORDER BY id LIMIT 2").fetchall()
    assert sorted(path for (path,) in rows) == ["berth699.py", "shed/tools.py"]


def test_who_takes_a_first_look_waits_for_one_file_and_not_for_a_portion(index: file_index.FileIndex) -> None:
    look = file_lock.FileLock(index.path.with_suffix(index_files.FIRST))
    rests: list[int] = []

    def begin() -> int:
        """Takes a first look in the midst of the second portion."""
        if len(rests) == 1 and not look.is_held:
            look.take()
        return 0

    def tell(progress: index_tables.IndexProgress) -> None:
        rests.append(progress.rest)
        if look.is_held:
            look.give_back()

    index.db.set_progress_handler(begin, 100)
    assert index.refresh(tell=tell) == (FILES, FILES, 0, 0)
    assert rests[0] == 500
    assert 490 < rests[1] < 500
    assert rests[-1] == 0
    assert index_tables.kept(index.db) == FILES


def test_single_files_are_read_anew_when_they_have_changed(index: file_index.FileIndex, root: Path) -> None:
    index.refresh()
    assert not index.update(["berth1.py", "berth2.py", "nowhere.py"])
    (root / "berth1.py").write_text("def sink(): ...\n")
    (root / "berth2.py").unlink()
    assert index.update(["berth1.py", "berth2.py"])
    names = {row[0] for row in index.db.execute("SELECT name FROM chunks")}
    assert "sink" in names
    assert not {"moor_1", "moor_2"} & names
    assert index.refresh().read == 0


def test_who_finds_another_process_at_work_leaves_single_files_to_it(index: file_index.FileIndex, root: Path) -> None:
    index.refresh()
    (root / "berth1.py").write_text("def sink(): ...\n")
    with file_lock.FileLock(index.path.with_suffix(".lock")):
        assert not index.update(["berth1.py"])
    assert index.update(["berth1.py"])


def test_a_lock_that_is_held_elsewhere_is_not_taken_and_one_that_is_given_back_is(tmp_path: Path) -> None:
    mine, other = (file_lock.FileLock(tmp_path / "lock") for _ in range(2))
    assert mine.take()
    assert not other.take()
    mine.give_back()
    with other:
        assert not mine.take()


@pytest.mark.parametrize(("most", "is_small"), [(3, False), (4, True), (400, True)])
def test_a_workspace_is_small_by_entries_that_are_its_own(tmp_path: Path, most: int, *, is_small: bool) -> None:
    for name in ("a.py", "src/b.py", "src/c.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for at in range(500):
        (tmp_path / "src/node_modules").mkdir(exist_ok=True)
        (tmp_path / f"src/node_modules/{at}").touch()
    assert file_listing.is_small(tmp_path, most + 1) is is_small
