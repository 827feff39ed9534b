"""A server's side with hooks in full, and a session beside it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import dispatcher_setup
import hook_cases
import pytest


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[dispatcher_setup.Desk]:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"max_parallel": 9}) as desk:
        desk.app.hooks = "full"
        yield desk


@pytest.fixture
def case(desk: dispatcher_setup.Desk, tmp_path: Path) -> hook_cases.Case:
    return hook_cases.Case(desk, tmp_path)
