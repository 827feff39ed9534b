"""Indexes keep within bounds by themselves, and go when nobody uses them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import file_index
from dispatch_mcp.context.indexing import index_files
from dispatch_mcp.process import file_lock

DAY = 86_400.0
NOW = 1_000 * DAY


@st.composite
def _indexes(draw: st.DrawFn) -> list[index_files.IndexFile]:
    here, gone = Path("/"), Path("/no/such/folder")
    rows = draw(st.lists(st.tuples(st.booleans(), st.integers(0, 500), st.integers(0, 100)), max_size=12))
    return [
        index_files.IndexFile(Path(f"/i/{number}.db"), here if is_here else gone, size, NOW - days * DAY)
        for number, (is_here, size, days) in enumerate(rows)
    ]


@given(indexes=_indexes(), bound=st.integers(0, 2_000))
def test_what_stays_fits_unless_it_is_in_use_and_what_goes_is_no_newer(
    indexes: list[index_files.IndexFile], bound: int
) -> None:
    leaving = index_files.beyond_bounds(indexes, NOW, bound)
    stays = [index for index in indexes if index not in leaving]
    in_use = NOW - index_files.IN_USE_S
    assert sum(index.size for index in stays) <= bound or all(index.used_at >= in_use for index in stays)
    assert not any(index.is_orphan or index.used_at < NOW - index_files.MOST_DAYS * DAY for index in stays)
    by_bound = [index for index in leaving if not index.is_orphan and index.used_at >= NOW - 60 * DAY]
    assert all(index.used_at < in_use for index in by_bound)
    older = [index.used_at for index in stays if index.used_at < in_use]
    assert not by_bound or not older or max(index.used_at for index in by_bound) <= min(older)


def used(state: Path, workspace: Path, at: float | None = None) -> Path:
    """Makes an index of a workspace, last used at a time."""
    workspace.mkdir(exist_ok=True)
    (workspace / "a.py").write_text("def total(): return 1\n")
    with file_index.FileIndex(state, workspace) as index:
        index.refresh()
        path = index.path
    if at is not None:
        os.utime(path.with_suffix(index_files.NOTE), (at, at))
    return path


def test_an_index_is_as_new_as_its_last_use(tmp_path: Path) -> None:
    used(tmp_path / "state", tmp_path / "shop", at=1_000.0)
    [before] = index_files.index_files(tmp_path / "state")
    used(tmp_path / "state", tmp_path / "shop")
    [after] = index_files.index_files(tmp_path / "state")
    assert (before.used_at, before.workspace) == (1_000.0, tmp_path / "shop")
    assert after.used_at > time.time() - 60
    assert after.size > 10_000


def test_a_new_index_takes_the_place_of_those_that_are_out_of_use(tmp_path: Path) -> None:
    old = used(tmp_path / "state", tmp_path / "old", at=time.time() - 61 * DAY)
    new = used(tmp_path / "state", tmp_path / "new")
    assert (old.exists(), new.exists()) == (False, True)
    assert {path.stem for path in new.parent.iterdir()} == {new.stem}


@pytest.mark.parametrize("lock", [index_files.LOCK, index_files.TURN, index_files.FIRST])
def test_an_index_that_is_being_written_stays(tmp_path: Path, lock: str) -> None:
    path = used(tmp_path / "state", tmp_path / "shop", at=1_000.0)
    indexes = index_files.unused(index_files.index_files(tmp_path / "state"), 2_000.0)
    with file_lock.FileLock(path.with_suffix(lock)):
        assert index_files.remove(indexes) == []
        assert path.exists()
    assert [index.path for index in index_files.remove(indexes)] == [path]
    assert list(path.parent.iterdir()) == []


def test_who_has_an_index_open_goes_on_with_a_new_one(tmp_path: Path) -> None:
    path = used(tmp_path / "state", tmp_path / "shop")
    with file_index.FileIndex(tmp_path / "state", tmp_path / "shop") as index:
        index.refresh()
        index_files.remove(index_files.index_files(tmp_path / "state"))
        assert not path.exists()
        assert index.refresh().files == 1
        assert path.exists()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"/no/such"])
def test_a_note_that_names_no_folder_is_of_a_workspace_that_is_gone(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / index_files.FOLDER
    folder.mkdir()
    (folder / f"x{index_files.NOTE}").write_bytes(content)
    assert [index.is_orphan for index in index_files.index_files(tmp_path)] == [content != b""]
