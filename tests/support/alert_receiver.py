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

import anyio.to_thread


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
    news: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/runs?key=1"

    async def hears(self, count: int) -> list[Delivery]:
        """Returns the deliveries once there are so many."""
        return await anyio.to_thread.run_sync(self.wait_for, count)

    def wait_for(self, count: int, patience_s: float = 120) -> list[Delivery]:
        """Does the same in a thread."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.deliveries) >= count, patience_s), len(self.deliveries)
            return [*self.deliveries]

    def keep(self, delivery: Delivery) -> None:
        with self.news:
            self.deliveries.append(delivery)
            self.news.notify_all()


class _Handler(BaseHTTPRequestHandler):
    receiver: ClassVar[Receiver]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.receiver.keep(Delivery(self.path, headers, body, time.time()))
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
