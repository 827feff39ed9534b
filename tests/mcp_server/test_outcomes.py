from __future__ import annotations

import os
from pathlib import Path

import anyio
import command_runs
import pytest

from dispatch_mcp.model import records
from dispatch_mcp.routing import learning
from dispatch_mcp.store import sqlite_store


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


async def keep(*lessons: learning.Lesson) -> None:
    async with sqlite_store.open_store(Path(os.environ["DISPATCH_MCP_HOME"])) as store:
        await store.learn(records.LOCAL, lessons)


def test_misleading_words_are_shown_and_everything_is_forgotten_on_request(shell: command_runs.Shell) -> None:
    wrong = [learning.Lesson(f"Fix the budget page {number}", "auth", "corrected") for number in range(3)]
    anyio.run(keep, *wrong, learning.Lesson("Fix the login", "auth", "accepted"))
    found = shell("agents", "misroutes", "--json").json
    assert {"agent": "auth", "word": "budget", "wrong": 3, "right": 0} in found
    assert shell("agents", "misroutes", "auth", "--json").json == found
    assert shell("agents", "misroutes", "other", "--json").json == []
    assert "budget" in shell("agents", "misroutes").out
    assert shell("agents", "forget", "--json").json == {"forgotten": 4}
    assert "No word misleads" in shell("agents", "misroutes").out
    assert "Forgot 0 outcomes" in shell("agents", "forget").out
