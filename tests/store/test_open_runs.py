"""A look at the open runs of a folder with the standard library alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import dispatcher_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp import model
from dispatch_mcp.store.looks import open_runs

pytestmark = pytest.mark.anyio


async def opened_run(home: Path, *tasks: dict[str, object]) -> str:
    """Leaves an open run in a store that nobody has open any more, and returns its id."""
    async with dispatcher_setup.opened(home) as desk:
        plan_id = await desk.planned(*tasks, request="Count the apples")
        return (await desk.app.dispatch(plan_id=plan_id, limits=model.Limits(tokens=9_000_000))).run_id


def files(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


async def test_a_state_directory_without_a_store_has_none(tmp_path: Path) -> None:
    assert not open_runs.is_there(str(tmp_path))
    await opened_run(tmp_path, task("a"))
    assert open_runs.is_there(str(tmp_path))


async def test_a_look_tells_where_open_runs_stand_and_changes_no_file(tmp_path: Path) -> None:
    home = tmp_path / "home #1?"
    run_id = await opened_run(home, task("a"), task("b", "a"))
    before = files(home)
    (run,) = open_runs.of(str(home), open_runs.places(str(tmp_path)))
    assert (run.id, run.workspace, run.title) == (run_id, str(tmp_path), "Count the apples")
    assert (run.tasks, run.ends, run.running, run.people, run.is_paused, run.dollars) == (2, 0, 1, 0, 0, 0.0)
    assert json.loads(run.limits)["tokens"] == 9_000_000
    assert open_runs.has_any(str(home), open_runs.places(str(tmp_path)))
    assert files(home) == before


async def test_the_newest_run_comes_first(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home") as desk:
        ids = [(await dispatcher_setup.started(desk, task(name))).run_id for name in "abc"]
        folders = open_runs.places(str(tmp_path))
        assert [run.id for run in open_runs.of(str(tmp_path / "home"), folders)] == ids[::-1]
        looks = open_runs.at_work(str(tmp_path / "home"), folders)
        assert [(look.run, look.id) for look in looks] == list(zip(ids[::-1], "cba", strict=True))


async def test_a_look_sees_what_others_have_just_written(tmp_path: Path) -> None:
    async with dispatcher_setup.opened(tmp_path / "home") as desk:
        place = open_runs.places(str(tmp_path))
        assert not open_runs.has_any(str(tmp_path / "home"), place)
        run_id = (await dispatcher_setup.started(desk, task("a"))).run_id
        assert open_runs.has_any(str(tmp_path / "home"), place)
        await desk.app.steer(run_id, "pause", "", "")
        assert [run.is_paused for run in open_runs.of(str(tmp_path / "home"), place)] == [1]
        await desk.app.steer(run_id, "cancel", "", "")
        assert not open_runs.has_any(str(tmp_path / "home"), place)


async def test_runs_of_other_folders_are_not_seen(tmp_path: Path) -> None:
    await opened_run(tmp_path / "home", task("a"))
    inside, beside = tmp_path / "src", Path(f"{tmp_path}-beside")
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(tmp_path)
    for folder, is_seen in ((inside, True), (link, True), (beside, False), (tmp_path.parent, False)):
        assert open_runs.has_any(str(tmp_path / "home"), open_runs.places(str(folder))) is is_seen, folder
    assert open_runs.places(None, "", "a\0b") == frozenset()


def test_a_folder_without_a_store_has_no_open_runs(tmp_path: Path) -> None:
    assert open_runs.of(str(tmp_path), open_runs.places("/")) == []


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_is_no_store_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / open_runs.FILE).write_bytes(content)
    with pytest.raises(sqlite3.Error):
        open_runs.of(str(tmp_path), open_runs.places("/"))


async def test_a_store_that_was_copied_without_its_log_is_read_as_it_lies(tmp_path: Path) -> None:
    await opened_run(tmp_path / "home", task("a"))
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / "home" / open_runs.FILE, copy)
    assert len(open_runs.of(str(copy), open_runs.places(str(tmp_path)))) == 1
    assert [path.name for path in copy.iterdir()] == [open_runs.FILE]


async def test_a_look_at_a_store_that_nobody_has_open_makes_no_file_even_for_a_moment(tmp_path: Path) -> None:
    home = tmp_path / "home"
    await opened_run(home, task("a"))
    assert not (home / f"{open_runs.FILE}-wal").exists()
    before = home.stat().st_mtime_ns  # of the folder: a file that comes and goes changes it
    assert open_runs.has_any(str(home), open_runs.places(str(tmp_path)))
    assert home.stat().st_mtime_ns == before
