"""Hosts that show apps find one for runs, and what it asks them for is there; others notice nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest
from mcp import MCPError
from mcp.types import INVALID_PARAMS

from dispatch_mcp.mcp_server import run_app
from dispatch_mcp.pages import run_page

pytestmark = pytest.mark.anyio

WRITE: dict[str, Any] = {"id": "write", "do": "Write the form"}


@pytest.fixture(params=memory_client.ERAS)
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    repo = memory_client.repository(tmp_path / "shop")
    made = memory_client.make_server(memory_client.settings(tmp_path / "state", repo))
    async with memory_client.desk(made, request.param) as opened:
        yield opened


async def test_the_tools_that_tell_of_runs_name_the_app_in_both_spellings(desk: memory_client.Desk) -> None:
    named = {tool.name: tool.meta or {} for tool in (await desk.client.list_tools()).tools}
    shown = {name for name, meta in named.items() if meta.get("ui") == {"resourceUri": run_app.ADDRESS}}
    assert shown == {"get_trace", "dispatch", "review_council"}
    assert shown == {name for name, meta in named.items() if meta.get("ui/resourceUri") == run_app.ADDRESS}


async def test_the_app_is_the_page_and_needs_nobody_but_its_host(desk: memory_client.Desk) -> None:
    [listed] = [one for one in (await desk.client.list_resources()).resources if str(one.uri) == run_app.ADDRESS]
    [content] = (await desk.client.read_resource(run_app.ADDRESS)).contents
    assert listed.mime_type == content.mime_type == "text/html;profile=mcp-app"
    assert listed.meta == content.meta
    assert (content.meta or {})["ui"]["csp"] == {"connectDomains": [], "resourceDomains": []}
    assert getattr(content, "text", "") == run_page.html(None, "app")


async def test_the_app_reads_a_run_as_it_is_and_then_what_is_new(desk: memory_client.Desk) -> None:
    run = (await desk.call("dispatch", plan_id=await desk.planned(WRITE), worker="host"))["run_id"]
    uri = f"dispatch://runs/{run}/picture"
    first = json.loads(await desk.read(uri))
    assert [task["id"] for task in first["tasks"]] == ["write"]
    assert first["run"]["run_id"] == run
    news: dict[str, Any] = {}

    async def read_on() -> None:
        after = first["events"][-1][0]
        news.update(json.loads(await desk.read(f"{uri}?after={after}&revision={first['revision']}")))

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(read_on)
            await desk.call("steer_run", run_id=run, action="pause")
    assert news["run"]["state"] == "paused"
    assert news["revision"] > first["revision"]


async def test_the_picture_of_a_run_that_is_not_there_is_not_found(desk: memory_client.Desk) -> None:
    with pytest.raises(MCPError, match="run 'nothing-1234'"):
        await desk.read("dispatch://runs/nothing-1234/picture")


@pytest.mark.parametrize("query", ["after=soon", "after=", "revision=1.5", f"after={10**30}", "revision=--1"])
async def test_a_number_that_is_none_is_the_fault_of_the_caller(desk: memory_client.Desk, query: str) -> None:
    run = (await desk.call("dispatch", plan_id=await desk.planned(WRITE), worker="host"))["run_id"]
    with pytest.raises(MCPError, match="is no number") as refusal:
        await desk.read(f"dispatch://runs/{run}/picture?{query}")
    assert refusal.value.code == INVALID_PARAMS


async def test_answers_are_the_same_text_with_and_without_an_app(desk: memory_client.Desk) -> None:
    answer = await desk.client.call_tool("dispatch", {"plan_id": await desk.planned(WRITE), "worker": "host"})
    assert answer.meta is None or "ui" not in answer.meta
    assert [block.type for block in answer.content] == ["text"]


async def test_the_extension_is_advertised_with_the_documents_that_apps_are(desk: memory_client.Desk) -> None:
    told = (desk.client.server_capabilities.extensions or {}).get("io.modelcontextprotocol/ui")
    assert told in (None, {"mimeTypes": ["text/html;profile=mcp-app"]})
    assert (told is None) == (desk.client.protocol_version < "2026")
