"""What tests of several modules of this room need."""

from __future__ import annotations

import logging
from collections.abc import Generator

import pytest

from dispatch_mcp.mcp_server import client_logs


@pytest.fixture
def own_log() -> Generator[None]:
    """Leaves the product's logger as it was: a server whose client asks for the log listens to it from then on."""
    logger = logging.getLogger(client_logs.OURS)
    before, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(before)
    logger.handlers[:] = handlers
