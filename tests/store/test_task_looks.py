"""A look at what is out with the host or waits for a person, and at one task by the beginning of its run's id."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp.model import short_ids
from dispatch_mcp.store.looks import open_runs

pytestmark = pytest.mark.anyio


async def left(home: Path, *tasks: dict[str, object], cancelled: bool = False) -> str:
    """Leaves a run in a store that nobody has open any more, and returns its id."""
    async with dispatcher_setup.opened(home) as desk:
        progress = await dispatcher_setup.started(desk, *tasks)
        if cancelled:
            await desk.app.steer(progress.run_id, "cancel", "", "")
    return progress.run_id


def with_beat(home: Path, run_id: str, task_id: str, beat: Mapping[str, Any] | str) -> None:
    """Writes what the newest attempt of a task has kept, as another process would."""
    text = beat if isinstance(beat, str) else json.dumps(beat)
    with closing(sqlite3.connect(home / open_runs.FILE)) as conn, conn:
        conn.execute(
            "UPDATE attempt SET beat = ? WHERE task = "
            "(SELECT task.no FROM task JOIN run ON run.no = task.run WHERE run.id = ? AND task.id = ?)",
            (text, run_id, task_id),
        )


async def test_what_is_out_with_the_host_is_seen_with_its_attempt_and_its_state(tmp_path: Path) -> None:
    run_id = await left(tmp_path, task("a"), task("b"), task("later", "a"))
    looks = open_runs.at_work(str(tmp_path), open_runs.places(str(tmp_path)))
    looks = looks or open_runs.at_work(str(tmp_path), open_runs.places(str(tmp_path.parent)))
    assert [(look.run, look.id, look.attempt, look.state) for look in looks] == [
        (run_id, "a", 1, "running"),
        (run_id, "b", 1, "running"),
    ]
    assert all(look.is_out and not look.is_over for look in looks)


async def test_a_decision_of_a_person_is_at_work_and_not_out_with_the_host(tmp_path: Path) -> None:
    await left(tmp_path, task("gate", worker="human"))
    (look,) = everything(tmp_path)
    assert (look.id, look.worker, look.is_out) == ("gate", "human", False)


def everything(home: Path) -> list[open_runs.TaskLook]:
    """Returns what is at work in any folder."""
    return open_runs.at_work(str(home), ["/"]) or open_runs.at_work(str(home), open_runs.places(str(home)))


async def test_a_run_that_is_over_has_nothing_at_work_and_its_tasks_can_still_be_looked_up(tmp_path: Path) -> None:
    run_id = await left(tmp_path, task("a"), cancelled=True)
    assert everything(tmp_path) == []
    (look,) = open_runs.task(str(tmp_path), run_id, "a")
    assert (look.is_over, look.run_state, look.state) == (1, "cancelled", "cancelled")


async def test_a_task_is_found_by_any_beginning_of_its_runs_id_or_of_its_number(tmp_path: Path) -> None:
    run_id = await left(tmp_path, task("a"), task("b"))
    number = run_id[-32:]
    for handle in (run_id, short_ids.short(run_id), run_id[:1], number, number[:4]):
        assert [look.id for look in open_runs.task(str(tmp_path), handle, "b")] == ["b"], handle


@pytest.mark.parametrize(("handle", "task_id"), [("zzz", "a"), ("", "nobody"), ("%", "a"), ("' OR 1 --", "a")])
async def test_what_means_no_task_finds_none(tmp_path: Path, handle: str, task_id: str) -> None:
    await left(tmp_path, task("a"))
    assert open_runs.task(str(tmp_path), handle, task_id) == []


async def test_a_handle_that_several_runs_begin_with_finds_a_task_of_each(tmp_path: Path) -> None:
    first, second = await left(tmp_path, task("a")), await left(tmp_path, task("a"))
    assert {look.run for look in open_runs.task(str(tmp_path), "", "a")} == {first, second}


async def test_who_has_begun_an_attempt_is_read_from_what_it_has_kept(tmp_path: Path) -> None:
    run_id = await left(tmp_path, task("a"))
    beat = {"call": {"subagent_type": "debugger"}, "session": {"id": "s-1", "pid": 4711}}
    with_beat(tmp_path, run_id, "a", beat)
    (look,) = open_runs.task(str(tmp_path), run_id, "a")
    assert (look.agent, look.session, look.pid) == ("debugger", "s-1", 4711)


@pytest.mark.parametrize("beat", ["", "{", "[]", "7", '{"call": 3, "session": []}'])
async def test_a_damaged_note_of_an_attempt_says_nothing_and_hides_no_task(tmp_path: Path, beat: str) -> None:
    run_id = await left(tmp_path, task("a"))
    with_beat(tmp_path, run_id, "a", beat)
    (look,) = open_runs.task(str(tmp_path), run_id, "a")
    assert (look.agent, look.session, look.pid) == (None, None, None)


@pytest.mark.parametrize(
    ("workspace", "folder", "inside"),
    [
        ("/shop", "/shop", True),
        ("/shop", "/shop/src", True),
        ("/shop/", "/shop/src", True),
        ("/shop", "/shopping", False),
        ("/shop/src", "/shop", False),
        ("/", "/anywhere", True),
    ],
)
async def test_a_folder_is_within_a_workspace_that_it_is_or_lies_in(
    workspace: str, folder: str, *, inside: bool
) -> None:
    assert open_runs.is_within(workspace, [folder]) is inside
    assert not open_runs.is_within(workspace, [])
