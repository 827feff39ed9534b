"""R8: a file that cannot serve gives a typed error with a hint, the process lives, and reads still answer."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import store_setup

from dispatch_mcp import errors, model
from dispatch_mcp.cli import shell_wording
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.model import records
from dispatch_mcp.store import blobs, health, sqlite, sqlite_store

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R8")]

WORDINGS = (tool_wording.words, shell_wording.words)
HERE = str(Path(__file__).parents[1] / "support")


def statuses(home: Path) -> dict[str, str]:
    return {fact.name: fact.status for fact in health.facts(home)}


async def test_a_full_disk_refuses_a_write_and_keeps_everything_else(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a", "b")) as (store, owner):
        [start] = (await store.advance("run", store_setup.step(owner))).starts
        [(pages,)] = store_setup.raw(tmp_path, "PRAGMA page_count")
        await store._writer.run(lambda conn: conn.execute(f"PRAGMA max_page_count = {pages}").fetchone())  # pyright: ignore[reportPrivateUsage]
        bulky = store_setup.report(start, store_setup.done("x" * 60_000))
        with pytest.raises(errors.StoreUnavailable, match="full") as caught:
            await store.advance("run", store_setup.step(owner, bulky))
        assert "space" in str(caught.value.hint)
        assert [task.state.value for task in await store.tasks("run")] == ["running", "blocked"]
        assert store_setup.faults(tmp_path) == []
        await store._writer.run(lambda conn: conn.execute("PRAGMA max_page_count = 100000").fetchone())  # pyright: ignore[reportPrivateUsage]
        assert (await store.advance("run", store_setup.step(owner, bulky))).accepted == (True,)
    assert store_setup.faults(tmp_path) == []


async def test_calls_that_share_a_full_disk_all_fail_or_all_stand_alone(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, _):
        [(pages,)] = store_setup.raw(tmp_path, "PRAGMA page_count")
        await store._writer.run(lambda conn: conn.execute(f"PRAGMA max_page_count = {pages}").fetchone())  # pyright: ignore[reportPrivateUsage]
        sent = 0
        for size in (10, 50_000, 10, 50_000):
            message = model.Message(run_id="run", sender="a", recipient="b", kind="request", text="x" * size)
            try:
                await store.send(message)
                sent += 1
            except errors.StoreUnavailable:
                assert size > 10
        assert len(await store.inbox("run")) == sent == 2
    assert store_setup.faults(tmp_path) == []


def in_a_child(script: str, *arguments: str) -> str:
    """Runs a script in a process of its own, which may spoil its limits and its user."""
    prelude = f"import sys, os; sys.path.insert(0, {HERE!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_file_size_limit_refuses_a_write_and_the_process_lives(tmp_path: Path) -> None:
    said = in_a_child(
        """
        import anyio, pathlib, resource, signal, store_setup
        from dispatch_mcp import errors
        from dispatch_mcp import model

        async def main():
            home = pathlib.Path(sys.argv[1])
            async with store_setup.running(home, store_setup.chain("a", "b")) as (store, owner):
                [start] = (await store.advance("run", store_setup.step(owner))).starts
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
                seen = set()
                for size in (60_000, 60_000, 60_000, 300_000):
                    try:
                        report = store_setup.report(start, store_setup.done("x" * size))
                        await store.advance("run", store_setup.step(owner, report))
                        text = "y" * size
                        await store.send(
                            model.Message(run_id="run", sender="a", recipient="b", kind="request", text=text)
                        )
                    except errors.StoreUnavailable as error:
                        assert error.hint
                        seen.add(type(error).__name__)
                    await store.tasks("run")
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
                assert (await store_setup.drive(store, "run", owner)).running < 2
                print(seen, store_setup.faults(home))

        anyio.run(main)
        """,
        str(tmp_path / "home"),
    )
    assert said.split() == ["{'StoreUnavailable'}", "[]"]


READ_ONLY = """
    import anyio, pathlib, store_setup
    from dispatch_mcp import errors
    from dispatch_mcp import model
    from dispatch_mcp.model import records
    from dispatch_mcp.store import sqlite_store, health

    async def main():
        home = pathlib.Path(sys.argv[1])
        async with store_setup.running(home, store_setup.chain("a")) as (store, owner):
            await store_setup.drive(store, "run", owner)
        for path in [*home.rglob("*"), home]:
            if not os.getuid():
                os.chown(path, 65534, 65534)
            path.chmod(0o500 if path.is_dir() else 0o400)
        if not os.getuid():
            os.setuid(65534)
        async with sqlite_store.open_store(home) as store:
            assert (await store.run("run", principal=records.LOCAL)).counts == {"succeeded": 1}
            assert len(await store.events("run")) == 5
            assert (await store.outcome("run", "a")).summary == "done"
            for call in (store.release("x"), store.save_plan(store_setup.chain("z", plan_id="z"), records.LOCAL)):
                try:
                    await call
                except errors.StoreUnavailable as error:
                    assert "writable" in error.hint, error
                    print("refused")
        print({fact.name: fact.status for fact in health.facts(home)}[health.FOLDER])
        async with sqlite_store.open_store(home / "below") as store:
            assert await store.runs(records.LOCAL) == []
            try:
                await store.release("x")
            except errors.StoreUnavailable as error:
                assert "writable" in error.hint, error
                print("refused")
        for path in [home, *home.rglob("*")]:
            path.chmod(0o700)

    anyio.run(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_store_in_a_read_only_folder_can_still_be_read() -> None:
    with tempfile.TemporaryDirectory() as folder:  # the test's own folder is closed to the child's other user
        Path(folder).chmod(0o755)
        assert in_a_child(READ_ONLY, f"{folder}/home").split() == ["refused", "refused", "bad", "refused"]


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    rubbish = b"this is not a database, it is somebody's letter " * 100
    (tmp_path / "state.db").write_bytes(rubbish)
    with pytest.raises(errors.StoreDamaged) as caught:
        async with sqlite_store.open_store(tmp_path):
            pass
    assert all("Keep the file" in caught.value.advice(words) for words in WORDINGS)
    assert (tmp_path / "state.db").read_bytes() == rubbish
    assert statuses(tmp_path)["store"] == "bad"


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    store_setup.raw(tmp_path, "CREATE TABLE theirs (x)")
    with pytest.raises(errors.StoreDamaged, match="another program"):
        async with sqlite_store.open_store(tmp_path):
            pass
    assert store_setup.raw(tmp_path, "SELECT name FROM sqlite_schema") == [("theirs",)]


async def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path):
        pass
    store_setup.raw(tmp_path, "PRAGMA user_version = 99")
    with pytest.raises(errors.StoreTooNew, match="schema 99") as caught:
        async with sqlite_store.open_store(tmp_path):
            pass
    assert "Upgrade" in str(caught.value.hint)
    assert store_setup.raw(tmp_path, "PRAGMA user_version") == [(99,)]
    assert statuses(tmp_path)["store"] == "bad"


async def test_a_store_that_is_upgraded_while_it_is_open_is_not_written_any_more(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        store_setup.raw(tmp_path, "PRAGMA user_version = 99")
        with pytest.raises(errors.StoreTooNew):
            await store.advance("run", store_setup.step(owner))
        assert len(await store.tasks("run")) == 1


async def test_a_corrupt_page_is_reported_and_other_pages_are_still_read(tmp_path: Path) -> None:
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store_setup.drive(store, "run", owner)
    [(page,)] = store_setup.raw(tmp_path, "SELECT rootpage FROM sqlite_schema WHERE name = 'event'")
    with (tmp_path / "state.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    async with sqlite_store.open_store(tmp_path) as store:
        with pytest.raises(errors.StoreDamaged) as caught:
            await store.events("run")
        assert all("Keep the file" in caught.value.advice(words) for words in WORDINGS)
        with pytest.raises(errors.StoreDamaged):
            await store.send(model.Message(run_id="run", sender="a", recipient="b", kind="request", text="x"))
        assert (await store.run("run", principal=records.LOCAL)).counts == {"succeeded": 1}
        assert await store.inbox("run") == []
        assert {fact.name: fact.status for fact in await store.check()}["integrity"] == "bad"


async def test_a_healthy_store_has_nothing_to_hint_at(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert statuses(home)["store"] == "ok"
    async with sqlite_store.open_store(home) as store:
        facts = await store.check()
    assert {fact.name for fact in facts} == {"sqlite", health.FOLDER, "schema", "integrity", "size", "owners"}
    assert all(fact.status == "ok" for fact in facts if fact.name != "sqlite")


def test_a_folder_others_may_look_into_is_pointed_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert statuses(tmp_path)[health.FOLDER] == "warn"


@pytest.mark.promise("S14")
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
async def test_nobody_else_can_look_in_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        home = tmp_path / "new" / "home"
        async with store_setup.running(home, store_setup.chain("a")) as (store, owner):
            [start] = (await store.advance("run", store_setup.step(owner))).starts
            await store.advance(
                "run", store_setup.step(owner, store_setup.report(start, store_setup.done("x" * 100_000)))
            )
            found = {path.name: path.stat().st_mode & 0o777 for path in [home.parent, home, *home.rglob("*")]}
    finally:
        os.umask(before)
    assert {"state.db", "state.db-wal", "state.db-shm", "write.lock"} <= found.keys()
    assert {name: mode for name, mode in found.items() if mode & 0o077} == {}


MOUNTS = """
20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 0:30 / /net rw,relatime shared:1 - nfs4 server:/net rw
22 21 8:2 / /net/local rw - xfs /dev/sdb1 rw
23 20 0:31 / /mnt/a\\040b rw - fuse.sshfs host:/ rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib", ""),
        ("/net/state", "nfs4"),
        ("/net/local/state", ""),
        ("/network", ""),
        ("/mnt/a b/c", "fuse.sshfs"),
    ],
)
def test_a_network_file_system_is_recognised(path: str, kind: str) -> None:
    assert sqlite.network_filesystem(Path(path), MOUNTS) == kind


@pytest.mark.parametrize(
    "kind",
    [
        *("afs", "beegfs", "ceph", "cifs", "coda", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs"),
        *("fuse.sshfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"),
    ],
)
def test_every_file_system_of_another_machine_is_recognised(kind: str) -> None:
    table = f"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 0:30 / /far rw - {kind} server:/far rw\n"
    assert sqlite.network_filesystem(Path("/far/home"), table) == kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite.sqlite3.SQLITE_BUSY_SNAPSHOT, errors.StoreBusy),
        (sqlite.sqlite3.SQLITE_LOCKED, errors.StoreBusy),
        (sqlite.sqlite3.SQLITE_FULL, errors.StoreUnavailable),
        (sqlite.sqlite3.SQLITE_IOERR_WRITE, errors.StoreUnavailable),
        (sqlite.sqlite3.SQLITE_READONLY_DIRECTORY, errors.StoreUnavailable),
        (sqlite.sqlite3.SQLITE_CANTOPEN, errors.StoreUnavailable),
        (sqlite.sqlite3.SQLITE_CORRUPT, errors.StoreDamaged),
        (sqlite.sqlite3.SQLITE_NOTADB, errors.StoreDamaged),
        (sqlite.sqlite3.SQLITE_ERROR, errors.StoreError),
    ],
)
def test_every_error_of_sqlite_has_a_name_and_a_hint_here(
    tmp_path: Path, code: int, kind: type[errors.StoreError]
) -> None:
    raised = sqlite.sqlite3.OperationalError("what sqlite says")
    raised.sqlite_errorcode = code
    found = sqlite.translate(raised, tmp_path)
    assert type(found) is kind
    assert found.hint
    assert str(tmp_path) in found.message
    assert sqlite.translate(found, tmp_path) is found


def broken(path: Path) -> None:
    path.write_bytes(b"other")


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(("spoil", "kind"), [(broken, errors.StoreDamaged), (gone, errors.UnknownHandle)])
def test_a_blob_is_what_was_stored_or_an_error(
    tmp_path: Path, spoil: Callable[[Path], None], kind: type[errors.DispatchError]
) -> None:
    sqlite.prepare_home(tmp_path)
    store = blobs.FileBlobs(tmp_path)
    digest = store.put(b"bulk")
    assert store.put(b"bulk") == digest
    assert store.get(digest) == b"bulk"
    spoil(tmp_path / "blobs" / digest[:2] / digest)
    with pytest.raises(kind):
        store.get(digest)


@pytest.mark.parametrize("digest", ["", "../state.db", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_digest_is_never_a_path(tmp_path: Path, digest: str) -> None:
    with pytest.raises(errors.UnknownHandle, match="not a digest"):
        blobs.FileBlobs(tmp_path).get(digest)
