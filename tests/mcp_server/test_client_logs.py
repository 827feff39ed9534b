"""A client that asks for the log gets what is logged for its own requests, from the level that it chose."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import memory_client
import pytest
from mcp import Client, MCPError
from mcp.types import INVALID_PARAMS, LOG_LEVEL_META_KEY, LoggingMessageNotificationParams

from dispatch_mcp import composition
from dispatch_mcp.mcp_server import client_logs, server
from dispatch_mcp.service import dispatcher
from dispatch_mcp.text import redaction

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("own_log"),
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),
]

SECRET = "correct horse battery staple 42"
OURS = logging.getLogger(client_logs.OURS)
LINES = ((logging.DEBUG, "quite small"), (logging.WARNING, f"opened with {SECRET}"), (logging.ERROR, "broken"))


class House:
    """A server whose dispatcher logs when it is asked for agents."""

    def __init__(self, folder: Path) -> None:
        chosen = memory_client.settings(folder / "home", memory_client.repository(folder / "shop"))
        self.later = anyio.Event()
        self.lines: Sequence[tuple[int, str]] = LINES
        redactor = redaction.Redactor([SECRET])

        @asynccontextmanager
        async def opened() -> AsyncGenerator[dispatcher.Dispatcher]:
            async with composition.open_dispatcher(chosen) as app:
                catalog = app.catalog

                async def log_later() -> None:
                    await self.later.wait()
                    await anyio.to_thread.run_sync(OURS.getChild("test").error, "later, in a thread")

                def logged() -> Any:
                    for number, text in self.lines:
                        OURS.getChild("test").log(number, text)
                    app.engine.beside(log_later)
                    return catalog()

                app.catalog = logged
                yield app
                self.later.set()

        self.server = server.make_server(memory_client.loaders(opened), redactor=redactor)

    @asynccontextmanager
    async def client(self, era: str, **more: Any) -> AsyncGenerator[tuple[Client, list[tuple[str, str]]]]:
        heard: list[tuple[str, str]] = []

        async def hear(params: LoggingMessageNotificationParams) -> None:
            heard.append((params.level, str(params.data)))

        async with Client(self.server, mode=era, cache=None, logging_callback=hear, **more) as client:
            yield client, heard


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def test_without_a_wish_nothing_is_sent(house: House) -> None:
    for era in memory_client.ERAS:
        async with house.client(era) as (client, heard):
            await client.read_resource("dispatch://agents")
            await client.list_tools()
        assert heard == []


WISHES = [("debug", 3), ("info", 2), ("warning", 2), ("error", 1), ("alert", 0)]


@pytest.mark.parametrize(("wish", "count"), WISHES)
async def test_a_level_holds_for_a_connection_of_the_earlier_era(house: House, wish: Any, count: int) -> None:
    async with house.client("legacy") as (client, heard), house.client("legacy") as (other, nothing):
        await client.session.set_logging_level(wish)  # pyright: ignore[reportDeprecated]
        await client.read_resource("dispatch://agents")
        await client.read_resource("dispatch://agents")
        await other.read_resource("dispatch://agents")
        assert own(heard) == [text.partition(SECRET)[0] for _, text in LINES][3 - count :] * 2
        assert nothing == []


@pytest.mark.parametrize(("wish", "count"), WISHES)
async def test_in_the_newest_era_each_request_asks_and_hears_before_its_answer(
    house: House, wish: Any, count: int
) -> None:
    async with house.client("auto") as (client, heard):
        await client.read_resource("dispatch://agents", meta={LOG_LEVEL_META_KEY: wish})
        assert own(heard) == [text.partition(SECRET)[0] for _, text in LINES][3 - count :]
        await client.read_resource("dispatch://agents")
        assert len(own(heard)) == count


@pytest.mark.parametrize("wish", ["loud", ["debug"], {"level": "debug"}, 10])
async def test_a_wish_that_is_no_level_is_the_fault_of_the_caller(house: House, wish: Any) -> None:
    async with house.client("auto") as (client, heard):
        with pytest.raises(MCPError) as refusal:
            await client.read_resource("dispatch://agents", meta={LOG_LEVEL_META_KEY: wish})
        assert refusal.value.code == INVALID_PARAMS
    assert own(heard) == []


async def test_what_is_logged_in_a_thread_and_after_the_answer_still_comes(house: House) -> None:
    async with house.client("legacy") as (client, heard):
        await client.session.set_logging_level("warning")  # pyright: ignore[reportDeprecated]
        await client.read_resource("dispatch://agents")
        house.later.set()
        with anyio.fail_after(120):
            while ("error", "later, in a thread") not in heard:
                await anyio.lowlevel.checkpoint()


async def test_a_line_comes_once_though_another_server_of_this_process_has_a_client_that_asks(tmp_path: Path) -> None:
    meta: Any = {LOG_LEVEL_META_KEY: "error"}
    one, another = House(tmp_path / "one"), House(tmp_path / "another")
    async with one.client("auto") as (client, heard), another.client("auto") as (other, lines):
        await other.read_resource("dispatch://agents", meta=meta)
        await client.read_resource("dispatch://agents", meta=meta)
    assert own(heard) == own(lines) == ["broken"]


async def test_lines_name_their_logger_and_hold_no_secret(house: House) -> None:
    async with house.client("auto") as (client, heard):
        await client.read_resource("dispatch://agents", meta={LOG_LEVEL_META_KEY: "debug"})
    assert SECRET not in str(heard)
    assert [level for level, text in heard if "opened with" in text] == ["warning"]


@pytest.mark.parametrize(
    ("number", "word"),
    [(10, "debug"), (5, "debug"), (20, "info"), (25, "notice"), (30, "warning"), (45, "error"), (50, "critical"),
     (60, "emergency")],
)  # fmt: skip
async def test_levels_of_python_have_the_nearest_word_below(house: House, number: int, word: str) -> None:
    house.lines = ((number, "a line"),)
    async with house.client("legacy") as (client, heard):
        await client.session.set_logging_level("debug")  # pyright: ignore[reportDeprecated]
        OURS.setLevel(1)
        await client.read_resource("dispatch://agents")
    assert [level for level, text in heard if text == "a line"] == ([word] if number >= logging.DEBUG else [])


def own(heard: list[tuple[str, str]]) -> list[str]:
    """Returns the lines that the house has logged, without secrets or what stands for them."""
    known = [text.partition(SECRET)[0] for _, text in LINES]
    return [start for _, text in heard for start in known if text.startswith(start)]
