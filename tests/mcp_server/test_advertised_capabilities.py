"""The list of capabilities is read, and each of them used: what is advertised is served, and nothing else is there."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import memory_client
import news_listener
import pytest
import task_client
from mcp import MCPError
from mcp.types import LOG_LEVEL_META_KEY, METHOD_NOT_FOUND, LoggingMessageNotificationParams, PromptReference

from dispatch_mcp import composition
from dispatch_mcp.mcp_server import client_logs, run_app, server
from dispatch_mcp.service import dispatcher

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("own_log"),
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),
]

LOGGER = logging.getLogger(client_logs.OURS)
WRITE: dict[str, Any] = {"id": "write", "do": "Write the form"}
LOOK: dict[str, Any] = {"id": "look", "do": "Look at the commits", "command": ["git", "log", "-1"]}
GATE: dict[str, Any] = {"id": "gate", "do": "May we go on?", "worker": "human", "deps": ["look"]}
LATEST = "dispatch://runs/latest"
LINE = "an agent was read"


@dataclass
class Session:
    """A client of a server that logs a line for each look at the agents; `lines` are those that the client was sent."""

    listener: news_listener.Listener
    lines: list[str]
    home: Path
    era: str

    @property
    def desk(self) -> memory_client.Desk:
        return self.listener.desk

    async def hear(self, word: str) -> None:
        """Returns once the client has been told of this."""
        while await self.listener.next() != word:
            pass

    def write(self, path: str, text: str) -> None:
        (self.home / path).parent.mkdir(parents=True, exist_ok=True)
        (self.home / path).write_text(text, encoding="utf-8")


@asynccontextmanager
async def begun(folder: Path, era: str) -> AsyncGenerator[Session]:
    chosen = memory_client.settings(folder / "home", memory_client.repository(folder / "shop"))
    lines: list[str] = []

    @asynccontextmanager
    async def opened() -> AsyncGenerator[dispatcher.Dispatcher]:
        async with composition.open_dispatcher(chosen) as app:
            catalog = app.catalog

            def logged() -> Any:
                LOGGER.getChild("test").error(LINE)
                return catalog()

            app.catalog = logged
            yield app

    async def hear(params: LoggingMessageNotificationParams) -> None:
        lines.append(str(params.data))

    made = server.make_server(memory_client.loaders(opened), home=chosen.home)
    more: dict[str, Any] = {"logging_callback": hear}
    if era != "legacy":
        more["extensions"] = [task_client.Following()]
    with anyio.fail_after(240):
        async with news_listener.listening(made, era, [LATEST], **more) as listener:
            yield Session(listener, lines, chosen.home, era)


async def call_tools(session: Session) -> None:
    assert (await session.desk.client.list_tools()).tools
    assert "next" in await session.desk.call("get_trace")


async def get_prompts(session: Session) -> None:
    prompt = (await session.desk.client.list_prompts()).prompts[0]
    words = {argument.name: "Add payments" for argument in prompt.arguments or () if argument.required}
    assert (await session.desk.client.get_prompt(prompt.name, words)).messages


async def hear_of_prompts(session: Session) -> None:
    session.write("prompts/mine.md.j2", "---\ntitle: Mine\ndescription: About this.\n---\nDo it my way.\n")
    await session.hear("prompts")


async def read_resources(session: Session) -> None:
    assert (await session.desk.client.list_resources()).resources
    assert await session.desk.read("dispatch://agents")


async def hear_of_a_resource(session: Session) -> None:
    await session.desk.call("dispatch", plan_id=await session.desk.planned(WRITE), worker="host")
    await session.hear(LATEST)


async def hear_of_resources(session: Session) -> None:
    session.write("knowledgebase/house.md", "# The house\n")
    await session.hear("resources")


async def complete(session: Session) -> None:
    ref = PromptReference(type="ref/prompt", name="dispatch-task")
    assert (await session.desk.client.complete(ref, {"name": "agent", "value": "eng"})).completion.values


async def hear_the_log(session: Session) -> None:
    if session.era == "legacy":
        await session.desk.client.session.set_logging_level("error")  # pyright: ignore[reportDeprecated]
        await session.desk.read("dispatch://agents")
    else:
        await session.desk.client.read_resource("dispatch://agents", meta={LOG_LEVEL_META_KEY: "error"})
    assert LINE in " ".join(session.lines)


async def follow_a_task(session: Session) -> None:
    plan_id = await session.desk.planned(LOOK, GATE)
    answer = await session.desk.client.call_tool("dispatch", {"plan_id": plan_id})
    handle: dict[str, Any] = answer.structured_content or {}
    look = await task_client.send(session.desk.client, "tasks/get", handle["taskId"])
    assert look["status"] in ("working", "input_required")


async def be_told_of_wrong_arguments(session: Session) -> None:
    with pytest.raises(memory_client.Refused, match="plan_idd"):
        await session.desk.call("dispatch", plan_idd="x")


async def show_an_app(session: Session) -> None:
    assert "<!doctype html>" in (await session.desk.read(run_app.ADDRESS)).lower()


USES: Mapping[str, Callable[[Session], Awaitable[None]]] = {
    "tools": call_tools,
    "prompts": get_prompts,
    "prompts.list_changed": hear_of_prompts,
    "resources": read_resources,
    "resources.subscribe": hear_of_a_resource,
    "resources.list_changed": hear_of_resources,
    "completions": complete,
    "logging": hear_the_log,
    "extensions.io.modelcontextprotocol/tasks": follow_a_task,
    "extensions.io.modelcontextprotocol/ui": show_an_app,
    "extensions.io.github.dispatch-mcp/strict-arguments": be_told_of_wrong_arguments,
}


def advertised(capabilities: Mapping[str, Any]) -> Iterator[str]:
    """Yields each capability that is there, and each part of one that is said to be."""
    for name, parts in capabilities.items():
        if name != "extensions":
            yield name
        yield from (f"{name}.{part}" for part, value in parts.items() if value is not False)


@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_every_capability_in_the_list_can_be_used(tmp_path: Path, era: str) -> None:
    async with begun(tmp_path, era) as session:
        told = list(advertised(session.desk.client.server_capabilities.model_dump(mode="json", exclude_none=True)))
        assert [name for name in told if name not in USES] == [], "say how it is used"
        expected = [name for name in USES if era != "legacy" or not name.startswith("extensions.")]
        assert sorted(told) == sorted(expected)
        for name in told:
            await USES[name](session)


async def test_what_is_not_advertised_is_not_there(tmp_path: Path) -> None:
    async with begun(tmp_path, "legacy") as session:
        with pytest.raises(MCPError) as refusal:
            await task_client.send(session.desk.client, "tasks/get", "dispatch:some-run")
        assert refusal.value.code == METHOD_NOT_FOUND
