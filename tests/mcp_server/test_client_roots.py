"""A server that was started in no workspace works in the folder that its client has open, if that says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest
from mcp import Client
from mcp.types import ListRootsResult, Root

from dispatch_mcp import configuration
from dispatch_mcp.cli.commands import serve
from dispatch_mcp.mcp_server import server as mcp_server
from dispatch_mcp.text import redaction

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")]

TASK = {"id": "a", "do": "Mend the till", "files": ["till.py"], "agent": "general-purpose"}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = memory_client.repository(tmp_path / "a shop")
    (root / "till.py").write_text("def open_till():\n    return 1\n")
    return root


def setup_in(folder: Path, home: Path, **env: str) -> configuration.LoadedSettings:
    """Returns the settings of a server that was started in a folder."""
    return configuration.load({"DISPATCH_MCP_HANDLE_WAIT_S": "20", **env}, home=home, cwd=folder)


def server_of(setup: configuration.LoadedSettings) -> mcp_server.Server:
    return mcp_server.make_server(serve.loaders(setup, redaction.Redactor(), has_one_client=True))


def client_of(setup: configuration.LoadedSettings, roots: Sequence[str], questions: list[str], era: str) -> Client:
    """Returns a client that has these folders open and notes when it is asked for them."""

    async def answer(context: Any) -> ListRootsResult:
        questions.append("roots")
        return ListRootsResult(roots=[Root.model_validate({"uri": root}) for root in roots])

    return Client(server_of(setup), mode=era, list_roots_callback=answer, cache=None)


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_the_first_root_that_is_a_workspace_is_worked_in(tmp_path: Path, shop: Path, era: str) -> None:
    questions: list[str] = []
    roots = ["file:///", f"file://{tmp_path}/gone", shop.as_uri()]
    with anyio.fail_after(120):
        async with client_of(setup_in(Path("/"), tmp_path / "state"), roots, questions, era) as client:
            desk = memory_client.Desk(client)
            await desk.call("get_trace")  # for which the store of the wrong folder is opened
            await desk.planned(TASK)
            run = await desk.call("dispatch", plan_id=await desk.planned(TASK))
    assert questions == ["roots"]
    [assignment] = run["assignments"]
    assert not assignment.get("gap")
    assert "def open_till" in assignment["call"]["prompt"]


@pytest.mark.parametrize("era", ["auto", "legacy"])
@pytest.mark.parametrize("roots", [[], ["file:///"], ["file://elsewhere/srv/shop"]])
async def test_roots_that_are_no_workspace_change_nothing_and_are_asked_for_once(
    tmp_path: Path, roots: list[str], era: str
) -> None:
    questions: list[str] = []
    with anyio.fail_after(120):
        async with client_of(setup_in(Path("/"), tmp_path / "state"), roots, questions, era) as client:
            desk = memory_client.Desk(client)
            await desk.planned(TASK)
            run = await desk.call("dispatch", plan_id=await desk.planned(TASK))
    assert questions == ["roots"]
    assert "DISPATCH_MCP_WORKSPACE" in run["assignments"][0]["gap"]


async def test_a_server_that_has_a_workspace_asks_for_no_roots(tmp_path: Path, shop: Path) -> None:
    questions: list[str] = []
    setup = setup_in(Path("/"), tmp_path / "state", DISPATCH_MCP_WORKSPACE=str(shop))
    with anyio.fail_after(120):
        async with client_of(setup, ["file:///srv"], questions, "auto") as client:
            await memory_client.Desk(client).planned(TASK)
    assert questions == []


async def test_a_client_without_roots_is_asked_for_none(tmp_path: Path) -> None:
    server = mcp_server.make_server(
        serve.loaders(setup_in(Path("/"), tmp_path / "state"), redaction.Redactor(), has_one_client=True)
    )
    with anyio.fail_after(120):
        async with Client(server, cache=None) as client:
            assert await memory_client.Desk(client).planned(TASK)


async def test_an_older_client_that_never_names_its_roots_is_not_waited_for(tmp_path: Path) -> None:
    async def silent(context: Any) -> ListRootsResult:
        await anyio.sleep_forever()
        raise AssertionError

    server = mcp_server.make_server(
        serve.loaders(setup_in(Path("/"), tmp_path / "state"), redaction.Redactor(), has_one_client=True)
    )
    with anyio.fail_after(120):
        async with Client(server, mode="legacy", list_roots_callback=silent, cache=None) as client:
            assert await memory_client.Desk(client).planned(TASK)


async def test_a_server_of_several_clients_lets_none_of_them_move_the_others(tmp_path: Path, shop: Path) -> None:
    server = mcp_server.make_server(serve.loaders(setup_in(Path("/"), tmp_path / "state"), redaction.Redactor()))
    questions: list[str] = []

    async def answer(context: Any) -> ListRootsResult:
        questions.append("roots")
        return ListRootsResult(roots=[Root.model_validate({"uri": shop.as_uri()})])

    with anyio.fail_after(120):
        async with Client(server, list_roots_callback=answer, cache=None) as client:
            await memory_client.Desk(client).planned(TASK)
    assert questions == []


async def test_roots_are_no_part_of_what_tools_take(tmp_path: Path) -> None:
    server = mcp_server.make_server(
        serve.loaders(setup_in(Path("/"), tmp_path / "state"), redaction.Redactor(), has_one_client=True)
    )
    async with Client(server, cache=None) as client:
        for tool in (await client.list_tools()).tools:
            assert "roots" not in tool.input_schema["properties"]
        with pytest.raises(memory_client.Refused, match="roots"):
            await memory_client.Desk(client).call("plan_dag", tasks=[TASK], roots=[])
