"""What the server says of itself is so: what it advertises is served, and what it annotates is honest."""

from __future__ import annotations

import functools
import re
import urllib.parse
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import anyio
import memory_client
import pytest
from mcp.types import PromptReference, ResourceTemplateReference

from dispatch_mcp.agents import bundled_files
from dispatch_mcp.mcp_server import resources, server, user_documents

pytestmark = pytest.mark.anyio

WRITE: dict[str, Any] = {"id": "write", "do": "Write the form"}


@pytest.fixture(params=memory_client.ERAS)
async def desk(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    repo = memory_client.repository(tmp_path / "shop")
    made = memory_client.make_server(memory_client.settings(tmp_path / "state", repo))
    async with memory_client.desk(made, request.param) as opened:
        yield opened


def test_the_icon_is_an_address_and_a_picture() -> None:
    address = server.ICON.src
    assert re.fullmatch(r"data:image/svg\+xml,(?:[A-Za-z0-9/:=']|[.~_-]|%[0-9A-F]{2})+", address)
    picture = ET.fromstring(urllib.parse.unquote(address.partition(",")[2]))
    assert picture.tag.endswith("svg")


async def test_changes_that_are_published_are_advertised_and_no_others(desk: memory_client.Desk) -> None:
    told = desk.client.server_capabilities
    assert told.tools
    assert told.prompts
    assert told.resources
    assert not told.tools.list_changed
    assert told.prompts.list_changed
    assert told.resources.list_changed
    assert told.resources.subscribe
    assert told.logging is not None


async def test_what_is_advertised_is_served(desk: memory_client.Desk) -> None:
    told = desk.client.server_capabilities
    assert told.completions is not None
    assert (await desk.client.list_tools()).tools
    assert (await desk.client.list_prompts()).prompts
    assert (await desk.client.list_resources()).resources
    ref = PromptReference(type="ref/prompt", name="dispatch-task")
    assert (await desk.client.complete(ref, {"name": "agent", "value": "eng"})).completion.values


async def test_everything_that_people_choose_from_has_a_title_of_its_own(desk: memory_client.Desk) -> None:
    lists = [
        (await desk.client.list_tools()).tools,
        (await desk.client.list_prompts()).prompts,
        (await desk.client.list_resources()).resources,
        (await desk.client.list_resource_templates()).resource_templates,
    ]
    for entries in lists:
        titles = [entry.title for entry in entries]
        assert all(titles)
        assert len(set(titles)) == len(titles)


async def test_documents_are_listed_with_the_size_that_they_have(desk: memory_client.Desk) -> None:
    listed = {str(entry.uri): entry.size for entry in (await desk.client.list_resources()).resources}
    documents = {uri: size for uri, size in listed.items() if uri.startswith(user_documents.FILES)}
    assert len(documents) > 20
    for uri, size in documents.items():
        assert len((await desk.read(uri)).encode()) == size
    assert {size for uri, size in listed.items() if uri not in documents} == {None}


async def test_the_server_says_what_it_is_and_shows_a_picture(desk: memory_client.Desk) -> None:
    info = desk.client.server_info
    assert info is not None
    assert info.title == "dispatch-mcp"
    assert info.description
    assert info.icons
    assert len(info.icons[0].src) < 500


async def test_only_tools_that_change_nothing_are_called_read_only(desk: memory_client.Desk) -> None:
    tools = {tool.name: tool.annotations for tool in (await desk.client.list_tools()).tools}
    assert {name for name, told in tools.items() if told and told.read_only_hint} == {"route_task", "get_trace"}
    assert {name for name, told in tools.items() if told and told.destructive_hint} == {"steer_run"}
    assert {name for name, told in tools.items() if told and told.open_world_hint} == server.OPEN_WORLD
    before = await desk.known("plan_id"), await desk.known("run_id")
    await desk.call("route_task", task="Write the form")
    await desk.call("get_trace")
    assert (await desk.known("plan_id"), await desk.known("run_id")) == before


async def test_a_dispatch_that_is_sent_again_does_nothing_more_as_its_hint_says(desk: memory_client.Desk) -> None:
    plan_id = await desk.planned(WRITE)
    first = await desk.call("dispatch", plan_id=plan_id, request_key="once")
    again = await desk.call("dispatch", plan_id=plan_id, request_key="once")
    assert first["run_id"] == again["run_id"]
    assert len(await desk.known("run_id")) == 1


def prompt(name: str) -> PromptReference:
    return PromptReference(type="ref/prompt", name=name)


def resource(uri: str) -> ResourceTemplateReference:
    return ResourceTemplateReference(type="ref/resource", uri=uri)


@pytest.mark.parametrize(
    ("ref", "argument"),
    [
        (prompt("no-such-prompt"), "agent"),
        (prompt("review"), "agent"),
        (prompt("dispatch-task"), "run_id"),
        (resource("dispatch://runs/{run_id}"), "plan_id"),
        (resource("dispatch://plans/{plan_id}"), "name"),
        (resource("dispatch://nothing/{name}"), "name"),
        (resource("file:///{name}"), "name"),
    ],
    ids=str,
)
async def test_what_a_prompt_or_resource_does_not_have_is_not_completed(
    desk: memory_client.Desk, ref: PromptReference | ResourceTemplateReference, argument: str
) -> None:
    await desk.planned(WRITE)
    assert (await desk.client.complete(ref, {"name": argument, "value": ""})).completion.values == []


async def test_tasks_are_completed_once_their_run_is_named(desk: memory_client.Desk) -> None:
    plan_id = await desk.planned(WRITE, {"id": "wire", "do": "Wire it", "deps": ["write"]})
    run_id = (await desk.call("dispatch", plan_id=plan_id))["run_id"]
    ref = resource("dispatch://runs/{run_id}/tasks/{task_id}/result")
    ask = functools.partial(desk.client.complete, ref, {"name": "task_id", "value": "wr"})
    assert (await ask(context_arguments={"run_id": run_id})).completion.values == ["write"]
    assert (await ask(context_arguments={"run_id": "no-such-run"})).completion.values == []
    assert (await ask()).completion.values == []


async def test_every_resource_that_takes_arguments_is_known_to_completion(desk: memory_client.Desk) -> None:
    listed = {entry.uri_template for entry in (await desk.client.list_resource_templates()).resource_templates}
    assert listed == resources.TEMPLATES


async def test_every_prompt_has_the_arguments_of_its_template(desk: memory_client.Desk) -> None:
    usable, _ = bundled_files.all_templates(None)
    for entry in (await desk.client.list_prompts()).prompts:
        given = [argument.name for argument in entry.arguments or []]
        assert given == [argument.name for argument in usable[entry.name].arguments]


async def test_a_call_that_waits_for_news_tells_that_it_waits(desk: memory_client.Desk) -> None:
    plan_id = await desk.planned(WRITE)
    run_id = (await desk.call("dispatch", plan_id=plan_id))["run_id"]
    news: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        news.append((progress, total, message))

    with anyio.fail_after(120):
        await desk.client.call_tool("get_trace", {"run_id": run_id, "wait_s": 3}, progress_callback=hear)
    assert news
    assert {(total, message) for _, total, message in news} == {(3.0, "Waiting for news of the run")}
    assert [progress for progress, _, _ in news] == sorted(progress for progress, _, _ in news)
