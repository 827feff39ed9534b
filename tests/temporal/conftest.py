"""One server of each kind for all tests, and the engines that they are held to."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import engine_labs
import pytest

from dispatch_mcp.store import sqlite_store


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scale", action="store_true", help="also what takes minutes on a Temporal server")


@pytest.fixture(scope="session")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, engine_labs.Server]]:
    running: dict[str, engine_labs.Server] = {}
    yield running
    for server in running.values():
        server.kill()


@pytest.fixture(params=engine_labs.KINDS)
def lab(
    request: pytest.FixtureRequest, _servers: dict[str, engine_labs.Server], tmp_path_factory: pytest.TempPathFactory
) -> engine_labs.Lab:
    """An engine of each kind; those that are not installed are skipped."""
    kind = request.param
    if kind == engine_labs.EMBEDDED:
        return engine_labs.Lab(kind)
    if kind not in _servers:
        server = engine_labs.Server(kind, tmp_path_factory.mktemp("temporal"))
        server.start()
        _servers[kind] = server
    return engine_labs.Lab(kind, _servers[kind].address)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[sqlite_store.Store]:
    async with sqlite_store.open_store(tmp_path / "home") as opened:
        yield opened
