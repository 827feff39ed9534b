"""What many attempts saw alike of their workspace is stored once, and whoever reads a heartbeat gets all of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
import store_setup
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import ports, records
from dispatch_mcp.store import codec, sqlite, sqlite_store
from dispatch_mcp.store.heartbeats import wave_looks

pytestmark = pytest.mark.anyio

COMMON: dict[str, model.Json] = {f"src/part{n}.py": f"{n:032x} ~{n:016x}" for n in range(500)}
JUDGES: dict[str, model.Json] = {f"tests/test_part{n}.py": f"{n:032x} ~{n:016x} #3/0" for n in range(100)}

STATES = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4)
LOOKS = st.fixed_dictionaries({}, optional={"head": st.text(), "files": STATES, "common": STATES, "judges": STATES})
BEATS = st.fixed_dictionaries({}, optional={ports.LOOK: LOOKS, ports.HELD: STATES, "spent": st.integers()})


def beat(task: str, **more: model.Json) -> dict[str, model.Json]:
    look = {"head": "abc", "files": {f"{task}.py": ""}, "problem": "", "common": COMMON, "judges": JUDGES, **more}
    return {ports.LOOK: look, ports.HELD: {"standing": {}}}


def stored(home: Path, query: str) -> list[tuple[model.Json, ...]]:
    with closing(sqlite3.connect(home / sqlite.FILE)) as conn:
        return conn.execute(query).fetchall()


async def begun(store: sqlite_store.Store, owner: records.Owner) -> list[str]:
    return [start.task_id for start in (await store.advance("run", store_setup.step(owner, free=9))).starts]


async def test_what_a_wave_saw_alike_is_stored_once_and_read_whole_from_every_side(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b", "c", "d")) as (store, owner):
        tasks = await begun(store, owner)
        beats: Mapping[tuple[str, int], Mapping[str, model.Json]] = {(task, 1): beat(task) for task in tasks}
        await store.beats("run", beats)
        assert await store.beat("run", "d", 1, beat("d", head="later"))
        expected = {"a": beat("a"), "b": beat("b"), "c": beat("c"), "d": beat("d", head="later")}
        whole = await store.whole_run("run", principal=records.LOCAL)
        assert {attempt.task_id: attempt.beat for attempt in whole.attempts} == expected
        assert {attempt.task_id: attempt.last_beat for attempt in whole.attempts} == expected
        assert {attempt.task_id: attempt.beat for attempt in await store.attempts("run")} == expected
        assert (await store.newest_attempt("run", "b")).beat == expected["b"]
        assert await store.last_beat("run", "c") == expected["c"]
        assert await store.first_look("run", in_copy=False) == expected["a"]
    assert stored(tmp_path, "SELECT count(*) FROM common_look") == [(2,)]
    assert stored(tmp_path, "SELECT max(length(beat)) < 400 FROM attempt") == [(1,)]
    async with sqlite_store.open_store(tmp_path) as store:  # and by a process that has stored none of it
        assert await store.last_beat("run", "b") == expected["b"]


async def test_attempts_that_saw_the_same_share_it_in_memory(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a", "b")) as (store, owner):
        await store.beats("run", {(task, 1): beat(task) for task in await begun(store, owner)})
        whole = await store.whole_run("run", principal=records.LOCAL)
        first, second = (attempt.beat[ports.LOOK]["common"] for attempt in whole.attempts)
        assert first is second


async def test_a_heartbeat_that_holds_all_of_it_itself_is_read_and_replaced_as_before(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a")) as (store, owner):
        await begun(store, owner)
        with closing(sqlite3.connect(tmp_path / sqlite.FILE)) as conn, conn:
            conn.execute("UPDATE attempt SET beat = ?", (codec.dump_map(beat("a")),))
        old = (await store.newest_attempt("run", "a")).beat
        assert old == beat("a")
        assert await store.beat("run", "a", 1, {**old, "holder": "me"}, after=old)
        assert await store.last_beat("run", "a") == {**beat("a"), "holder": "me"}
        assert not await store.beat("run", "a", 1, {**old, "holder": "you"}, after=old)
        assert await store.beat("run", "a", 1, {"holder": "you"}, after=await store.last_beat("run", "a"))


async def test_a_part_that_is_not_stored_any_more_is_left_to_the_reader_as_its_name(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a")) as (store, owner):
        await begun(store, owner)
        await store.beats("run", {("a", 1): beat("a")})
    with closing(sqlite3.connect(tmp_path / sqlite.FILE)) as conn, conn:
        conn.execute("DELETE FROM common_look")
    async with sqlite_store.open_store(tmp_path) as store:
        look = (await store.last_beat("run", "a"))[ports.LOOK]
        assert look["files"] == {"a.py": ""}
        assert isinstance(look["common"], str)


async def test_only_the_newest_parts_stay_read_and_older_ones_are_read_again(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.fan("a")) as (store, owner):
        await begun(store, owner)
        looks = [beat("a", common={"a.py": str(number)}) for number in range(wave_looks.MOST_PARTS + 2)]
        for look in (*looks, *looks):
            assert await store.beat("run", "a", 1, look)
            assert await store.last_beat("run", "a") == look


@given(beats=st.lists(BEATS, max_size=4))
def test_whatever_heartbeats_hold_their_short_forms_name_all_that_they_leave_out(
    beats: list[dict[str, model.Json]],
) -> None:
    shortener = wave_looks.Shortener()
    for details in beats:
        short = shortener.short(details)
        whole = codec.load_map(short.text)
        look: dict[str, model.Json] = whole.get(ports.LOOK) or {}
        for name, digest in [(name, look.get(name)) for name in ports.COMMON_PARTS]:
            if isinstance(digest, str):
                look[name] = codec.load_map(short.parts[digest])
        assert whole == details
