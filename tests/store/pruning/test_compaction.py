"""The space of what was removed goes back to the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import store_setup

from dispatch_mcp.model import records
from dispatch_mcp.store import sqlite, sqlite_store
from dispatch_mcp.store.pruning import compaction

pytestmark = pytest.mark.anyio


async def filled(home: Path, plans: int) -> None:
    async with sqlite_store.open_store(home) as store:
        for number in range(plans):
            plan = store_setup.chain("a", plan_id=f"p{number}")
            await store.save_plan(plan.model_copy(update={"request": "x" * 20_000}), records.LOCAL)


async def test_a_store_that_has_lost_most_of_its_rows_becomes_small_again(tmp_path: Path) -> None:
    await filled(tmp_path, 50)
    before = (tmp_path / sqlite.FILE).stat().st_size
    async with sqlite_store.open_store(tmp_path) as store:
        await store.prune_plans([f"p{number}" for number in range(45)], store.now() + 1, frozenset())
        freed = compaction.compact(tmp_path)
        assert [plan.id for plan in await store.plans(records.LOCAL)] == ["p49", "p48", "p47", "p46", "p45"]
        await store.save_plan(store_setup.chain("a", plan_id="new"), records.LOCAL)
    assert freed > before / 2
    assert (tmp_path / sqlite.FILE).stat().st_size < before / 2
    assert store_setup.faults(tmp_path) == []


async def test_a_store_that_would_keep_everybody_waiting_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path, 50)
    async with sqlite_store.open_store(tmp_path) as store:
        await store.prune_plans([f"p{number}" for number in range(45)], store.now() + 1, frozenset())
    size = (tmp_path / sqlite.FILE).stat().st_size
    monkeypatch.setattr(compaction, "SMALL_ENOUGH", 10_000)
    assert compaction.compact(tmp_path) == 0
    assert (tmp_path / sqlite.FILE).stat().st_size == size


async def test_what_a_smaller_store_gives_back_is_off_the_disk_at_once(tmp_path: Path) -> None:
    await filled(tmp_path, 50)
    async with sqlite_store.open_store(tmp_path) as store:
        await store.prune_plans([f"p{number}" for number in range(45)], store.now() + 1, frozenset())
        assert compaction.compact(tmp_path) > 0
        assert sqlite.wal_size(tmp_path) == 0


async def test_a_disk_without_room_leaves_a_store_as_it_is(tmp_path: Path) -> None:
    (tmp_path / sqlite.FILE).mkdir()
    assert compaction.compact(tmp_path) == 0


async def test_a_full_store_is_left_as_it_is(tmp_path: Path) -> None:
    await filled(tmp_path, 5)
    before = (tmp_path / sqlite.FILE).stat().st_size
    assert compaction.compact(tmp_path) == 0
    assert (tmp_path / sqlite.FILE).stat().st_size == before


async def test_a_store_with_a_few_empty_pages_is_not_written_anew(tmp_path: Path) -> None:
    await filled(tmp_path, 50)
    async with sqlite_store.open_store(tmp_path) as store:
        await store.prune_plans(["p0"], store.now() + 1, frozenset())
    empty = store_setup.raw(tmp_path, "PRAGMA freelist_count")
    assert empty[0][0] > 0
    assert compaction.compact(tmp_path) == 0
    assert store_setup.raw(tmp_path, "PRAGMA freelist_count") == empty
