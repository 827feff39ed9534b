"""A receiver of alerts on this machine: it keeps what comes, and answers as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


@dataclass(frozen=True)
class Delivery:
    """One request: its headers with small names, its body as it came, and when, in seconds since the epoch."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Answers with `answers`, one each, then with 204, after a pause; a status of 3xx comes with `location`."""

    port: int
    answers: list[int] = field(default_factory=list[int])
    location: str = ""
    pause_s: float = 0.0
    deliveries: list[Delivery] = field(default_factory=list[Delivery])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/runs?key=1"

    def wait(self, count: int, within_s: float = 30.0) -> list[Delivery]:
        """Returns the deliveries once there are so many."""
        until = time.monotonic() + within_s
        while len(self.deliveries) < count:
            assert time.monotonic() < until, f"{len(self.deliveries)} of {count} came"
            threading.Event().wait(0.01)
        return self.deliveries


class _Handler(BaseHTTPRequestHandler):
    receiver: ClassVar[Receiver]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.receiver.deliveries.append(Delivery(self.path, headers, body, time.time()))
        threading.Event().wait(self.receiver.pause_s)
        status = self.receiver.answers.pop(0) if self.receiver.answers else 204
        with suppress(OSError):  # who asked may not wait
            self._answer(status)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", self.receiver.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as the base names it
        """Says nothing."""


@contextmanager
def receiving() -> Generator[Receiver]:
    """Yields a receiver that answers while the block is open."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield handler.receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
