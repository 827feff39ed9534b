from __future__ import annotations

import http.server
import threading
from pathlib import Path
from typing import ClassVar

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


class Failing(http.server.BaseHTTPRequestHandler):
    """A bucket that fails so many times before it takes and gives anything; the real library asks it."""

    failures = 0
    objects: ClassVar[dict[str, bytes]] = {}

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if self._serves():
            self.objects[self.path] = data
            self._answer(200, b"", ETag='"x"')

    def do_GET(self) -> None:
        if self._serves():
            self._answer(200, self.objects[self.path], ETag='"x"', **{"Last-Modified": self.date_time_string()})

    def _serves(self) -> bool:
        if Failing.failures:
            Failing.failures -= 1
            self._answer(503, b"")
            return False
        return True

    def _answer(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_a_bucket_that_fails_many_times_in_a_row_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Failing) as bucket:
        threading.Thread(target=bucket.serve_forever, daemon=True).start()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{bucket.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        shelf = object_blobs.ObjectBlobs("s3://bucket/work")
        Failing.failures = 12
        digest = shelf.put(b"x")
        Failing.failures = 12
        assert shelf.get(digest) == b"x"
        bucket.shutdown()
