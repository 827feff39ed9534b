from __future__ import annotations

from pathlib import Path

import pytest

from dispatch_mcp import errors

pytest.importorskip("obstore", reason="the extra `temporal` is not installed")
from dispatch_mcp.temporal import object_blobs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bucket").mkdir()
    return tmp_path / "bucket"


def test_what_is_put_by_one_process_is_had_by_another(folder: Path) -> None:
    digest = object_blobs.ObjectBlobs(f"file://{folder}").put(b"some bytes")
    assert object_blobs.ObjectBlobs(f"file://{folder}").get(digest) == b"some bytes"
    assert (folder / digest[:2] / digest).read_bytes() == b"some bytes"


def test_putting_the_same_again_changes_nothing(folder: Path) -> None:
    shelf = object_blobs.ObjectBlobs(f"file://{folder}")
    assert shelf.put(b"x") == shelf.put(b"x")


@pytest.mark.parametrize("digest", ["0" * 64, "short", "../../etc/passwd"])
def test_what_is_not_there_is_unknown(folder: Path, digest: str) -> None:
    with pytest.raises(errors.UnknownHandle):
        object_blobs.ObjectBlobs(f"file://{folder}").get(digest)


def test_bytes_that_have_changed_are_damage(folder: Path) -> None:
    shelf = object_blobs.ObjectBlobs(f"file://{folder}")
    digest = shelf.put(b"some bytes")
    (folder / digest[:2] / digest).write_bytes(b"others")
    with pytest.raises(errors.StoreDamaged):
        shelf.get(digest)


def test_a_bucket_that_takes_nothing_is_unavailable_and_named(folder: Path) -> None:
    shelf = object_blobs.ObjectBlobs(f"file://{folder}")
    folder.rmdir()
    folder.write_text("no folder any more")
    with pytest.raises(errors.StoreUnavailable, match="bucket"):
        shelf.put(b"x")


@pytest.mark.parametrize("address", ["nonsense", "ftp://host/folder", "s3://"])
def test_an_address_that_cannot_be_used_is_a_wrong_setting(address: str) -> None:
    with pytest.raises(errors.ConfigError, match="temporal_blobs"):
        object_blobs.ObjectBlobs(address)
