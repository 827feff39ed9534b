"""A server whose settings cannot be used: its client shows why, instead of a connection that was closed."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import memory_client
import pytest
import raw_server
from mcp import Client, StdioServerParameters
from mcp.types import CallToolResult, TextContent

from dispatch_mcp import configuration, errors
from dispatch_mcp.cli import program
from dispatch_mcp.cli.commands import serve

SECRET = "/in/k4nm8q2w7e5r1t9y3u6i"
"""What only the mended settings say is one."""

CALLS: tuple[tuple[str, dict[str, str]], ...] = (
    ("get_trace", {}),
    ("route_task", {"task": "Fix the login form"}),
    ("plan_dag", {"request": "Fix it"}),
    ("dispatch", {"plan_id": "shop"}),
)


def text_of(result: CallToolResult) -> str:
    return "".join(part.text for part in result.content if isinstance(part, TextContent))


@pytest.mark.anyio
@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_a_server_says_in_its_answers_what_is_wrong_with_its_settings_and_works_once_they_are_mended(
    tmp_path: Path, era: str
) -> None:
    home, shop = tmp_path / "state", memory_client.repository(tmp_path / "shop")
    home.mkdir(mode=0o700)
    file = home / "config.toml"
    file.write_text('learn = "perhaps"\nmax_parrallel = 3\n')
    file.chmod(0o600)
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "dispatch_mcp"], env=raw_server.environment(home, shop), cwd=str(shop)
    )
    async with Client(parameters, mode=era) as client:
        assert len((await client.list_tools()).tools) >= 5
        assert (await client.list_prompts()).prompts
        for name, call in CALLS:
            result = await client.call_tool(name, call)
            assert result.is_error
            for words in ("'max_parrallel'", "`learn`", f"{str(file)!r}, line 1"):
                assert words in text_of(result)
        assert [path.name for path in home.iterdir() if path.suffix == ".db"] == []
        file.write_text(f'notify = "webhook"\nnotify_url = "https://hooks.example{SECRET}"\n')
        result = await client.call_tool("plan_dag", {"tasks": [{"id": "a", "do": f"Write to {SECRET}"}]})
        assert not result.is_error
    with closing(sqlite3.connect(home / "state.db")) as store:
        assert "redacted" in "".join(row[0] for row in store.execute("SELECT document FROM plan"))
        assert SECRET.encode() not in b"".join(path.read_bytes() for path in home.glob("state.db*"))


def test_a_server_at_an_address_ends_with_what_is_wrong_as_a_person_has_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH_MCP_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DISPATCH_MCP_LEARN", "perhaps")
    options, setup = program.read(["serve", "--http", "127.0.0.1:0"])
    with pytest.raises(errors.ConfigError, match="DISPATCH_MCP_LEARN"):
        serve.main(options, setup)


def test_settings_that_were_right_are_not_read_again(tmp_path: Path) -> None:
    setup = configuration.load(os.environ, home=tmp_path, cwd=tmp_path)
    assert setup.mended() is setup
