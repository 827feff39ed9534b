"""What an account is made of survives every way up: ceilings, attempts and what they used."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import records
from dispatch_mcp.store import codec, sqlite, sqlite_store

pytestmark = pytest.mark.anyio

PLAN = model.Plan(id="p", tasks=(model.Task(id="a", do="Do a"),))
LIMITS = model.Limits(dollars=2.5, tokens=9_000)
RUN = """
INSERT INTO run (id, plan_id, plan_version, principal, request_key, state, worker, workspace, dry_run, fresh, limits,
  server_driven, created_at, updated_at)
VALUES ('run', 'p', 1, 'local', 'mine', 'running', 'host', '', 0, 0, ?, 0, 0, 0)
"""
TASK = """
INSERT INTO task (no, run, id, position, worker, state, attempt, failures, crashes, ready_at, result, cause)
VALUES (1, 1, 'a', 0, 'host', 'failed', 1, 1, 0, 0.0, '', 'timeout')
"""
ATTEMPT = """
INSERT INTO attempt (task, attempt, state, worker, started_at, input_tokens, output_tokens, cache_read_tokens,
  cache_write_tokens, cost_usd, seconds)
VALUES (1, 1, 'failed', 'host', 0.0, 100, 20, 3000, 400, 0.75, 9.0)
"""


def make_old(home: Path, version: int) -> None:
    """Makes the store of a build that knew the first `version` schemas."""
    sqlite.prepare_home(home)
    with closing(sqlite3.connect(home / sqlite.FILE, isolation_level=None)) as old:
        old.execute(f"PRAGMA application_id = {sqlite.APPLICATION_ID}")
        for schema in sqlite.migrations()[:version]:
            for statement in sqlite.statements(schema):
                old.execute(statement)
        old.execute(f"PRAGMA user_version = {version}")
        old.execute("INSERT INTO plan VALUES ('p', 1, 'local', ?, 0.0)", (codec.dump(PLAN),))
        old.execute(RUN, (codec.dump(LIMITS),))
        old.execute(TASK)
        old.execute(ATTEMPT)


def schema_of(conn: sqlite3.Connection) -> dict[str, str]:
    """Returns what everything in a database was made by, whatever its quotes and spaces."""
    rows = conn.execute("SELECT type || ' ' || name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {name: " ".join(sql.replace('"', " ").split()) for name, sql in rows}


def test_a_new_store_is_what_all_migrations_come_to(tmp_path: Path) -> None:
    make_old(tmp_path / "old", len(sqlite.migrations()))
    sqlite.prepare_home(tmp_path / "new")
    with (
        closing(sqlite3.connect(tmp_path / "old" / sqlite.FILE)) as old,
        closing(sqlite.open_writer(tmp_path / "new")) as new,
    ):
        assert schema_of(new) == schema_of(old)
        assert sqlite.version(new) == sqlite.version(old)


@pytest.mark.parametrize("version", range(1, len(sqlite.migrations()) + 1))
async def test_the_account_of_a_run_is_the_same_after_every_way_up(tmp_path: Path, version: int) -> None:
    make_old(tmp_path, version)
    async with sqlite_store.open_store(tmp_path) as store:
        run = await store.run("run", principal=records.LOCAL)
        spend = await store.spend("run")
    assert (run.limits, run.request_key) == (LIMITS, "mine")
    assert (spend.input_tokens, spend.cache_read_tokens, spend.cache_write_tokens) == (100, 3_000, 400)
    assert (spend.output_tokens, spend.cost_usd) == (20, 0.75)


@pytest.mark.parametrize(
    ("plan", "title"),
    [
        (PLAN, "Do a"),
        (PLAN.model_copy(update={"request": "Add payments to the shop"}), "Add payments to the shop"),
        (PLAN.model_copy(update={"request": "x" * 90}), "x" * 60),
        (PLAN.model_copy(update={"request": "broken \ud800"}), ""),
    ],
)
async def test_runs_from_before_titles_are_called_after_their_request(
    tmp_path: Path, plan: model.Plan, title: str
) -> None:
    make_old(tmp_path, 5)
    with closing(sqlite3.connect(tmp_path / sqlite.FILE, isolation_level=None)) as old:
        old.execute("DROP TRIGGER plan_is_immutable")
        old.execute("UPDATE plan SET document = ?", (codec.dump(plan),))
    async with sqlite_store.open_store(tmp_path) as store:
        assert (await store.run("run", principal=records.LOCAL)).title == title
