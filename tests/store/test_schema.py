"""The tables themselves: what they refuse, whoever writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.store import sqlite

RUN = "INSERT INTO run (id, plan_id, plan_version, principal, request_key, state, worker, workspace, dry_run, fresh, limits, server_driven, created_at, updated_at) VALUES (?, 'p', 1, 'me', ?, ?, ?, '', 0, 0, '{}', 1, 0, 0)"  # noqa: E501
TASK = (
    "INSERT INTO task (no, run, id, position, worker, state, attempt, failures, crashes, ready_at, result, cause) "
    "VALUES (?, 1, ?, 0, ?, ?, 0, 0, 0, 0.0, '', '')"
)
ATTEMPT = "INSERT INTO attempt (task, attempt, state, worker, started_at) VALUES (1, ?, ?, ?, 0.0)"
RESULT = (
    "INSERT INTO result (task, attempt, key, digest, unverified, body, blob) VALUES (?, 1, 'key', 'digest', 0, ?, ?)"
)


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A store's file as its writer opens it, with one plan, one run and one task."""
    sqlite.prepare_home(tmp_path)
    with closing(sqlite.open_writer(tmp_path)) as connection:
        connection.execute("INSERT INTO plan VALUES ('p', 1, 'me', '{}', 0.0)")
        connection.execute(RUN, ("run", "", "running", "host"))
        connection.execute(TASK, (1, "a", "host", "ready"))
        yield connection


def refuses(conn: sqlite3.Connection, statement: str, values: tuple[object, ...] = (), *, match: str = ".") -> None:
    with pytest.raises(sqlite3.IntegrityError, match=match):
        conn.execute(statement, values)


@pytest.mark.parametrize("state", model.RunState)
def test_every_state_of_a_run_can_be_stored(conn: sqlite3.Connection, state: model.RunState) -> None:
    conn.execute(RUN, ("other", "", state.value, "host"))


@pytest.mark.parametrize("state", model.TaskState)
def test_every_state_of_a_task_can_be_stored(conn: sqlite3.Connection, state: model.TaskState) -> None:
    conn.execute(TASK, (2, "b", "host", state.value))


@pytest.mark.parametrize("state", model.AttemptState)
def test_every_state_of_an_attempt_can_be_stored(conn: sqlite3.Connection, state: model.AttemptState) -> None:
    conn.execute(ATTEMPT, (1, state.value, "host"))


@pytest.mark.parametrize("worker", model.WorkerKind)
def test_every_worker_can_have_tasks_and_attempts(conn: sqlite3.Connection, worker: model.WorkerKind) -> None:
    conn.execute(TASK, (2, "b", worker.value, "ready"))
    conn.execute(ATTEMPT, (1, "running", worker.value))


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (RUN, ("other", "", "asleep", "host")),
        (RUN, ("other", "", "running", "human")),
        (RUN, ("run", "", "running", "host")),
        (TASK, (2, "b", "nobody", "ready")),
        (TASK, (2, "b", "host", "asleep")),
        (TASK, (2, "a", "host", "ready")),
        (ATTEMPT, (0, "running", "host")),
        (ATTEMPT, (1, "ready", "host")),
        (RESULT, (1, None, None)),
        (RESULT, (1, "{}", "a" * 64)),
        (RESULT, (9, "{}", None)),
        ("INSERT INTO event VALUES (9, 1, 'x', 0.0, '', 0, '')", ()),
        ("INSERT INTO message VALUES (1, 1, 'a', 'b', 'shout', 'x', 0.0, 0)", ()),
        ("INSERT INTO route VALUES (1, 'me', 'x', 'agent', 'accepted', 0.0, '', '', 0.0)", ()),
        ("INSERT INTO replay VALUES (1, 1)", ()),
        ("INSERT INTO plan VALUES ('p', 0, 'me', '{}', 0.0)", ()),
        ("DELETE FROM plan", ()),
    ],
)
def test_what_contradicts_itself_or_leads_nowhere_cannot_be_stored(
    conn: sqlite3.Connection, statement: str, values: tuple[object, ...]
) -> None:
    refuses(conn, statement, values)


def test_a_request_key_stands_for_one_run_of_a_principal_and_no_key_for_any_number(conn: sqlite3.Connection) -> None:
    conn.execute(RUN, ("keyed", "key", "running", "host"))
    refuses(conn, RUN, ("again", "key", "running", "host"), match="request_key")
    conn.execute(RUN, ("free", "", "running", "host"))


@pytest.mark.promise("R3")
def test_an_attempt_has_one_result_and_it_stays_as_it_is(conn: sqlite3.Connection) -> None:
    conn.execute(RESULT, (1, "{}", None))
    refuses(conn, RESULT, (1, "[]", None))
    refuses(conn, "UPDATE result SET digest = 'other'", match="immutable")
    refuses(
        conn, "INSERT OR REPLACE INTO event SELECT 1, 1, 'x', 0.0, '', 0, '' UNION ALL SELECT 1, 1, 'y', 0.0, '', 0, ''"
    )


@pytest.mark.parametrize(
    ("fill", "change", "match"),
    [
        ("SELECT 1", "UPDATE plan SET document = '[]'", "immutable"),
        ("INSERT INTO event VALUES (1, 1, 'x', 0.0, '', 0, '')", "UPDATE event SET kind = 'y'", "append-only"),
        ("INSERT INTO event VALUES (1, 1, 'x', 0.0, '', 0, '')", "DELETE FROM event", "append-only"),
        (
            "INSERT INTO route VALUES (1, 'me', 'x', 'agent', 'accepted', 1.0, '', '', 0.0)",
            "UPDATE route SET agent = 'other'",
            "immutable",
        ),
    ],
)
def test_what_happened_cannot_be_rewritten(conn: sqlite3.Connection, fill: str, change: str, match: str) -> None:
    conn.execute(fill)
    refuses(conn, change, match=match)


@pytest.mark.parametrize("table", ["plan", "run", "task", "attempt", "result", "event", "message", "route"])
def test_columns_hold_only_values_of_their_type(conn: sqlite3.Connection, table: str) -> None:
    [(sql,)] = conn.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
    assert "STRICT" in sql.rpartition(")")[2]


def test_opening_a_store_twice_changes_nothing(conn: sqlite3.Connection, tmp_path: Path) -> None:
    schema = conn.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    with closing(sqlite.open_writer(tmp_path)) as again:
        assert again.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall() == schema
        assert sqlite.version(again) == len(sqlite.migrations())


@pytest.mark.parametrize(
    ("spoil", "error"),
    [("PRAGMA user_version = 99", errors.StoreTooNew), ("PRAGMA application_id = 7", errors.StoreDamaged)],
)
def test_a_file_that_is_not_ours_to_write_is_refused_and_left_alone(
    conn: sqlite3.Connection,
    tmp_path: Path,
    spoil: str,
    error: type[errors.StoreError],
) -> None:
    conn.execute(spoil)
    conn.close()
    before = (tmp_path / sqlite.FILE).read_bytes()
    with pytest.raises(error):
        sqlite.open_writer(tmp_path)
    assert (tmp_path / sqlite.FILE).read_bytes() == before


@contextmanager
def old_store(home: Path, schema: int) -> Generator[sqlite3.Connection]:
    """Yields a store as the code of an older schema left it, with a plan."""
    sqlite.prepare_home(home)
    with closing(sqlite3.connect(home / sqlite.FILE, isolation_level=None)) as old:
        old.execute(f"PRAGMA application_id = {sqlite.APPLICATION_ID}")
        for step in sqlite.migrations()[:schema]:
            for statement in sqlite.statements(step):
                old.execute(statement)
        old.execute(f"PRAGMA user_version = {schema}")
        old.execute("INSERT INTO plan VALUES ('p', 1, 'me', '{}', 0.0)")
        yield old


@pytest.mark.promise("R9")
@pytest.mark.parametrize(
    ("events", "state"),
    [
        (['{"outcome": "PASS"}'], "succeeded"),
        (['{"outcome": "BLOCK"}'], "needs_changes"),
        (['{"outcome": "BLOCK"}', '{"outcome": "PASS"}'], "succeeded"),
        (['{"outcome": "INCONCLUSIVE"}'], "inconclusive"),
        ([], "inconclusive"),
    ],
)
def test_rounds_of_earlier_builds_say_what_they_decided(tmp_path: Path, events: list[str], state: str) -> None:
    with old_store(tmp_path, 3) as old:
        for number, key in enumerate(("council:abc:0", "other"), 1):
            old.execute(RUN, (f"run-{number}", key, "succeeded", "host"))
            old.execute("UPDATE run SET finished_at = 9.0 WHERE no = ?", (number,))
            for at, data in enumerate(events, 1):
                old.execute("INSERT INTO event VALUES (?, ?, 'council_decided', 0.0, '', 0, ?)", (number, at, data))
    with closing(sqlite.open_writer(tmp_path)) as conn:
        rows = conn.execute("SELECT state, verdict, held_until FROM run ORDER BY no").fetchall()
    assert rows == [(state, state, 0.0), ("succeeded", "", 0.0)]


@pytest.mark.promise("R9")
def test_replays_of_an_older_schema_still_find_the_results_that_they_took_over(tmp_path: Path) -> None:
    with old_store(tmp_path, 3) as old:
        old.execute(RUN, ("run", "", "running", "host"))
        for number in (5, 7):
            old.execute(TASK, (number, f"t{number}", "host", "succeeded"))
        old.execute("INSERT INTO result VALUES (7, 2, 'key', 'digest', 0, '{}', NULL)")
        old.execute("INSERT INTO replay VALUES (5, 7)")
    with closing(sqlite.open_writer(tmp_path)) as conn:
        found = conn.execute("SELECT result.task, result.attempt FROM replay JOIN result ON result.no = source")
        assert found.fetchall() == [(7, 2)]
        conn.execute("INSERT INTO result VALUES (NULL, 7, 3, 'key', 'other', 0, '{}', NULL, NULL)")
        assert conn.execute("SELECT max(no) FROM result").fetchone() == (8,)


def test_a_store_of_an_older_schema_keeps_its_rows_on_the_way_up(tmp_path: Path) -> None:
    with old_store(tmp_path, 1) as old:
        old.execute(RUN, ("run", "", "running", "host"))
        old.execute(TASK, (1, "a", "host", "running"))
        old.execute(ATTEMPT, (1, "running", "host"))
    with closing(sqlite.open_writer(tmp_path)) as conn:
        assert sqlite.version(conn) == len(sqlite.migrations())
        assert conn.execute("SELECT id, state FROM task").fetchall() == [("a", "running")]
        assert conn.execute("SELECT task, attempt FROM attempt").fetchall() == [(1, 1)]
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
        conn.execute(ATTEMPT, (2, "running", "human"))


@pytest.mark.promise("R9")
def test_heartbeats_of_an_older_schema_stay_whole_beside_the_table_of_what_is_alike(tmp_path: Path) -> None:
    text = '{"before":{"head":"abc","files":{"a.py":"1"},"judges":{"b.py":"2"}}}'
    with old_store(tmp_path, 7) as old:
        old.execute(RUN, ("run", "", "running", "host"))
        old.execute(TASK, (1, "a", "host", "running"))
        old.execute(ATTEMPT, (1, "running", "host"))
        old.execute("UPDATE attempt SET beat = ?", (text,))
    with closing(sqlite.open_writer(tmp_path)) as conn:
        assert conn.execute("SELECT beat FROM attempt").fetchall() == [(text,)]
        conn.execute("INSERT INTO common_look SELECT no, 'd', '{}' FROM run")
        refuses(conn, "INSERT INTO common_look SELECT no, 'd', '{}' FROM run", match="UNIQUE")
        refuses(conn, "UPDATE common_look SET text = ''", match="immutable")
        refuses(conn, "INSERT INTO common_look VALUES (9, 'd', '{}')", match="FOREIGN KEY")
