from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import memory_client
import pytest
from mcp.server.mcpserver import AcceptedElicitation, DeclinedElicitation

from dispatch_mcp import composition, configuration, errors
from dispatch_mcp.cli.commands import serve
from dispatch_mcp.mcp_server import elicitation, lazy, prompts, resources, server, tools
from dispatch_mcp.model import records
from dispatch_mcp.service import dispatcher
from dispatch_mcp.text import redaction

pytestmark = pytest.mark.anyio


async def test_a_store_that_cannot_be_opened_is_told_to_every_caller_until_it_can(tmp_path: Path) -> None:
    settings = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    trouble = [errors.StoreTooNew("The store has schema 9.", hint="Install a newer dispatch-mcp.")]

    @asynccontextmanager
    async def opened() -> AsyncGenerator[dispatcher.Dispatcher]:
        if trouble:
            raise trouble[0]
        async with composition.open_dispatcher(settings) as app:
            yield app

    with anyio.fail_after(120):
        async with memory_client.desk(server.make_server(memory_client.loaders(opened))) as desk:
            for _ in range(2):
                with pytest.raises(memory_client.Refused, match=r"schema 9\. Install a newer"):
                    await desk.call("get_trace")
            trouble.clear()
            assert await desk.planned({"id": "a", "do": "Write it"})


async def test_the_dispatcher_is_opened_once_and_closed_at_the_end() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def opened() -> AsyncGenerator[object]:
        seen.append("opened")
        yield seen
        seen.append("closed")

    with anyio.fail_after(120):
        opening = lazy.Opening(memory_client.loaders(opened))
        async with anyio.create_task_group() as group:
            group.start_soon(opening.keep)
            async with anyio.create_task_group() as callers:
                for _ in range(5):
                    callers.start_soon(opening.get)
            opening.end()
    assert seen == ["opened", "closed"]


async def test_a_server_opens_its_store_without_being_asked() -> None:
    opened = anyio.Event()

    @asynccontextmanager
    async def opening() -> AsyncGenerator[object]:
        opened.set()
        yield opened

    with anyio.fail_after(120):
        waiting = lazy.Opening(memory_client.loaders(opening))
        async with anyio.create_task_group() as group:
            group.start_soon(waiting.keep)
            await opened.wait()
            waiting.end()


@pytest.mark.promise("R18")
@pytest.mark.parametrize("module", ["dispatch_mcp.mcp_server.server", "dispatch_mcp.cli.commands.serve"])
def test_what_answers_lists_loads_neither_the_engine_nor_the_store(module: str) -> None:
    code = f"import sys; import {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)
    ours = {name for name in loaded.stdout.split() if name.startswith("dispatch_mcp.")}
    assert not {name for name in ours if name.split(".")[1] in ("engine", "store", "workers", "context", "composition")}


@pytest.mark.promise("R18")
@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_every_list_is_answered_while_the_engine_and_the_store_are_not_there(era: str) -> None:
    is_over = anyio.Event()

    @asynccontextmanager
    async def never() -> AsyncGenerator[object]:
        await is_over.wait()  # on a slow machine it is opened before the client leaves
        raise errors.StoreUnavailable("It was not there all the time.")
        yield never

    with anyio.fail_after(120):
        async with memory_client.desk(server.make_server(memory_client.loaders(never)), era) as desk:
            assert len((await desk.client.list_tools()).tools) == 8
            assert (await desk.client.list_prompts()).prompts
            assert (await desk.client.list_resources()).resources
            assert (await desk.client.list_resource_templates()).resource_templates
            is_over.set()


async def test_a_session_loads_the_real_parts_once_it_needs_them(tmp_path: Path) -> None:
    settings = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    setup = configuration.LoadedSettings(settings, {"workspace": configuration.Origin("flag", "--workspace")})
    loaders = serve.loaders(setup, redaction.Redactor())
    assert (loaders.tools(), loaders.documents(), loaders.prompts()) == (tools, resources, prompts)
    with anyio.fail_after(120):
        async with loaders.dispatcher(records.LOCAL) as app:
            assert app.rules.workspace == str(tmp_path / "shop")


async def test_a_call_finds_the_answer_of_the_user_and_not_the_clients() -> None:
    assert elicitation.decision(None) is None
    assert elicitation.decision(DeclinedElicitation()) is None
    choice = elicitation.ApprovalAnswer(decision="approve")
    assert elicitation.decision(AcceptedElicitation(data=choice)) is choice
