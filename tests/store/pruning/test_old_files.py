"""A blob stays as long as anything names it; what was kept for a run goes with it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import store_setup
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors, model
from dispatch_mcp.model import records
from dispatch_mcp.store import blobs, health, sqlite_store
from dispatch_mcp.store.pruning import old_files

pytestmark = pytest.mark.anyio

LONG_AGO = 1_000_000.0
NOW = 2_000_000_000.0
HEX = st.text("0123456789abcdef", max_size=200)


def put(home: Path, data: bytes, at: float = LONG_AGO) -> str:
    """Stores a blob as if it had been at a time."""
    digest = blobs.FileBlobs(home).put(data)
    os.utime(blobs.path_of(home, digest), (at, at))
    return digest


def sweep(home: Path, before: float = NOW, *, dry_run: bool = False, leaving: tuple[int | str, ...] = ()) -> int:
    with health.reading(home) as conn:
        return old_files.sweep_blobs(conn, home, before, leaving=leaving, dry_run=dry_run).number


async def test_only_blobs_that_nothing_names_go(tmp_path: Path) -> None:
    files = {name: put(tmp_path, name.encode()) for name in ("artifact", "beat", "turn", "inner", "nobody")}
    outer = put(tmp_path, f"see {files['inner']}".encode())
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        advance = await store.advance("run", store_setup.step(owner))
        await store.beat("run", "a", 1, {"answer": files["beat"], "turns": [files["turn"], outer]})
        artifact = model.Artifact(name="log", digest=files["artifact"], size=8)
        handoff = model.Handoff(artifacts=(artifact,))
        outcome = store_setup.done("x" * 70_000, handoff=handoff)  # so long that the outcome is a blob itself
        await store.advance("run", store_setup.step(owner, store_setup.report(advance.starts[0], outcome)))
        assert sweep(tmp_path, dry_run=True) == 1
        assert sweep(tmp_path) == 1
        for name, digest in files.items():
            if name == "nobody":
                with pytest.raises(errors.UnknownHandle):
                    store.blobs.get(digest)
            else:
                assert store.blobs.get(digest) == name.encode()


async def test_what_is_about_to_leave_needs_nothing(tmp_path: Path) -> None:
    digest = put(tmp_path, b"only of that run")
    async with store_setup.running(tmp_path, store_setup.chain("a")) as (store, owner):
        await store.advance("run", store_setup.step(owner))
        await store.beat("run", "a", 1, {"answer": digest})
        assert sweep(tmp_path, dry_run=True) == 0
        assert sweep(tmp_path, dry_run=True, leaving=(1, "plan")) == 1


async def test_young_blobs_stay_and_storing_one_again_makes_it_young(tmp_path: Path) -> None:
    async with sqlite_store.open_store(tmp_path) as store:
        await store.save_plan(store_setup.chain("a"), records.LOCAL)
        young, renewed = put(tmp_path, b"young", NOW), put(tmp_path, b"renewed")
        assert store.blobs.put(b"renewed") == renewed
        assert sweep(tmp_path, before=NOW - 1_000_000_000) == 0
        assert store.blobs.get(young) == b"young"


def test_a_blob_that_was_stored_again_at_the_last_moment_comes_back(tmp_path: Path) -> None:
    path = blobs.path_of(tmp_path, put(tmp_path, b"again", NOW))
    assert not old_files.remove(path, before=NOW - 5)
    assert path.read_bytes() == b"again"


@given(before=HEX, after=HEX, data=st.binary(max_size=20))
def test_a_digest_is_seen_wherever_it_stands(before: str, after: str, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    assert old_files.digests(f"{before}{digest}{after}".encode(), {digest, "f" * 64}) >= {digest}
    assert old_files.digests(f"{before} {digest}, {after}".encode(), {digest}) == {digest}
    broken = f"{before} {digest[:40]} {digest[40:]} {after}".encode()
    assert old_files.digests(broken, {digest}) == set() or digest in before


def test_of_a_long_row_of_hex_digits_only_what_is_a_blob_s_is_kept() -> None:
    digest = hashlib.sha256(b"blob").hexdigest()
    row = "".join(hashlib.sha256(bytes([number])).hexdigest() for number in range(200))
    assert old_files.digests(f"{row}{digest}{row}".encode(), {digest}) == {digest}
    assert old_files.digests(row.encode(), set()) == set()


def test_files_that_were_never_finished_go_when_they_are_old(tmp_path: Path) -> None:
    digest = put(tmp_path, b"whole")
    folder = blobs.path_of(tmp_path, digest).parent
    old, young = folder / ".0123", folder / ".4567"
    for path, at in ((old, LONG_AGO), (young, NOW)):
        path.write_bytes(b"half")
        os.utime(path, (at, at))
    assert old_files.sweep_drafts(tmp_path, NOW - 1, dry_run=True).number == 1
    assert old_files.sweep_drafts(tmp_path, NOW - 1, dry_run=False) == (1, 4)
    assert (old.exists(), young.exists(), blobs.path_of(tmp_path, digest).exists()) == (False, True, True)


@pytest.mark.parametrize("run", ["../keep", "..", ".", "", "/etc", "a/b", "keep"])
def test_only_the_folders_of_real_runs_go(tmp_path: Path, run: str) -> None:
    home, mine = tmp_path / "home", "shop-3f2a7c90b1d2e4a53f2a7c90b1d2e4a5"
    for folder in (
        home / "briefs" / mine,
        home / "runs" / mine / "a" / "1",
        home / "briefs" / "keep",
        tmp_path / "keep",
    ):
        folder.mkdir(parents=True)
        (folder / "file").write_text("12345")
    freed = old_files.sweep_run_folders(home, [run, mine], dry_run=False)
    assert freed == (2, 10)
    assert (tmp_path / "keep" / "file").exists()
    assert (home / "briefs" / "keep" / "file").exists()
    assert not (home / "briefs" / mine).exists()


def test_a_link_in_the_place_of_a_folder_of_a_run_stays(tmp_path: Path) -> None:
    home, run = tmp_path / "home", "shop-3f2a7c90b1d2e4a53f2a7c90b1d2e4a5"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("12345")
    (home / "briefs").mkdir(parents=True)
    (home / "briefs" / run).symlink_to(tmp_path / "mine")
    assert old_files.sweep_run_folders(home, [run], dry_run=False) == (0, 0)
    assert (tmp_path / "mine" / "file").exists()
    assert old_files.size_of(home / "briefs" / run) == (home / "briefs" / run).lstat().st_size


def test_sizes_count_every_file_once_and_follow_no_link(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x").write_bytes(b"12345")
    (tmp_path / "a" / "b" / "y").write_bytes(b"123")
    (tmp_path / "outside").write_bytes(b"1" * 1000)
    (tmp_path / "a" / "link").symlink_to(tmp_path)
    assert old_files.size_of(tmp_path / "a") == 8 + (tmp_path / "a" / "link").lstat().st_size
    assert old_files.size_of(tmp_path / "nothing") == 0
