"""Engines of every kind over one store, for tests that hold them to the same contract."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dispatch_mcp.engine import executor
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import ports
from dispatch_mcp.store import sqlite_store

EMBEDDED, SKIPPING, DEV = "embedded", "time-skipping server", "dev server"
KINDS = (EMBEDDED, SKIPPING, DEV)
FAST = run_engine.Pace(look_s=0.01, takeover_s=0.05)
BIRTH_S = 120.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def program(name: str) -> str:
    """Returns the path of a program that a package of the extra `scale` brings; skips where it is not installed."""
    pytest.importorskip("temporalio", reason="the extra `temporal` is not installed")
    beside = Path(sys.executable).parent / name
    path = str(beside) if beside.exists() else shutil.which(name)
    return path or pytest.skip(f"{name} is not installed: `make test-scale` installs it")


def wait_for(host: str, port: int) -> None:
    """Returns once somebody listens there."""
    deadline = time.monotonic() + BIRTH_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=120):
            return
    raise AssertionError(f"nobody listens at {host}:{port} within {BIRTH_S:g} s")


@dataclass
class Server:
    """A Temporal server that a test may kill and start again; `state` keeps its file between both."""

    kind: str
    state: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    host: str = "127.0.0.1"
    namespace: str = ""

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        arguments = [program("temporal-test-server"), str(self.port)]
        if self.kind == DEV:
            # Reached from elsewhere, it listens everywhere: its parts speak to each other on the loopback.
            listens_at = self.host if self.host == "127.0.0.1" else "0.0.0.0"
            places = ["--ip", listens_at, "--port", str(self.port), "--db-filename", str(self.state / "temporal.db")]
            places += ["--namespace", self.namespace] if self.namespace else []
            arguments = [program("temporal"), "server", "start-dev", "--headless", "--log-level", "never", *places]
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        wait_for(self.host, self.port)

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def serving(kind: str, state: Path, *, address: str = "127.0.0.1") -> Generator[Server]:
    """Yields a server of a kind that listens."""
    server = Server(kind, state, host=address)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@dataclass(frozen=True)
class Lab:
    """One kind of engine; `address` is that of its server, empty for the embedded one."""

    kind: str
    address: str = ""

    @property
    def env(self) -> dict[str, str]:
        """Returns what Temporal's own settings are called."""
        return {"TEMPORAL_ADDRESS": self.address}

    def open(
        self,
        store: sqlite_store.Store,
        workers: ports.Workers,
        *,
        clock: Callable[[], float] = time.time,
        most_events: int = 10_000,
        distant: bool = False,
        **more: Any,
    ) -> AbstractAsyncContextManager[run_engine.RunEngine]:
        """Returns an engine over a store; `distant` lets hosts do the work that they can."""
        if not self.address:
            return executor.open_engine(store, workers, clock=clock, pace=FAST, **more)
        from dispatch_mcp.temporal import connection, temporal_engine  # noqa: PLC0415  # needs the extra

        async def connect() -> Any:
            return await connection.connected(self.env)

        kept = 0 if self.kind == SKIPPING else 1_000
        plan = temporal_engine.TemporalPlan(slots=5, most_events=most_events, distant=distant, kept_workflows=kept)
        return temporal_engine.open_engine(store, workers, connect, plan=plan, clock=clock, pace=FAST, **more)
