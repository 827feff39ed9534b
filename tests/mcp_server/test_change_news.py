"""Clients are told of what changes while they are there, whoever changes it, and of nothing that is not theirs."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import memory_client
import news_listener
import pytest
from mcp import Client, MCPError

from dispatch_mcp import composition, configuration, errors
from dispatch_mcp.mcp_server import change_news, lazy, server
from dispatch_mcp.model import records
from dispatch_mcp.service import dispatcher

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")]

WRITE: dict[str, Any] = {"id": "write", "do": "Write the form", "acceptance": ["none: prose"]}
TEMPLATE = "---\ntitle: {title}\ndescription: About this.\n---\nDo it my way.\n"
AGENT = "---\nname: {name}\ndescription: {about}\n---\nWork.\n"


@pytest.fixture(params=memory_client.ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def chosen(tmp_path: Path) -> configuration.Settings:
    return memory_client.settings(tmp_path / "state", memory_client.repository(tmp_path / "shop"))


def made(chosen: configuration.Settings) -> Any:
    loaders = memory_client.loaders(lambda: composition.open_dispatcher(chosen))
    return server.make_server(loaders, home=chosen.home)


async def begun(chosen: configuration.Settings, principal: str = records.LOCAL) -> str:
    """Begins a run as another process would, and returns its handle."""
    async with composition.open_dispatcher(chosen, principal=principal) as app:
        plan = (await app.plans.plan([WRITE])).plan
        return (await app.dispatch(plan_id=plan.id, worker="host")).run_id


@pytest.mark.parametrize("part", ["", "/tasks/write/result"])
async def test_what_another_process_commits_to_a_run_is_told(
    chosen: configuration.Settings, era: str, part: str
) -> None:
    run = await begun(chosen)
    uri = f"dispatch://runs/{run}{part}"
    async with news_listener.listening(made(chosen), era, [uri]) as listener:
        async with composition.open_dispatcher(chosen) as elsewhere:
            await elsewhere.steer(run, "pause", "", "")
        assert await listener.next() == uri


async def test_the_client_s_own_calls_are_told_and_only_of_what_was_subscribed_to(
    chosen: configuration.Settings, era: str
) -> None:
    runs = [await begun(chosen), await begun(chosen)]
    async with news_listener.listening(made(chosen), era, [f"dispatch://runs/{runs[1]}"]) as listener:
        for run in runs:
            await listener.desk.call("steer_run", run_id=run, action="pause")
        assert await listener.next() == f"dispatch://runs/{runs[1]}"


async def test_a_message_is_told_although_the_run_stays_as_it_is(chosen: configuration.Settings, era: str) -> None:
    run = await begun(chosen)
    uri = f"dispatch://runs/{run}/messages"
    async with news_listener.listening(made(chosen), era, [uri]) as listener:
        note = {"run_id": run, "sender": "lead", "recipient": "write", "text": "The form has two pages."}
        await listener.desk.call("message_agents", action="send", **note)
        assert await listener.next() == uri
        assert "two pages" in await listener.desk.read(uri)


async def test_a_plan_is_told_with_its_next_version_and_a_run_once_it_is_there(
    chosen: configuration.Settings, era: str
) -> None:
    async with memory_client.desk(made(chosen)) as desk:
        plan = await desk.planned(WRITE)
    uris = [f"dispatch://plans/{plan}", "dispatch://runs/latest"]
    async with news_listener.listening(made(chosen), era, uris) as listener:
        edit = {"op": "add", "id": "test", "task": {"do": "Test the form", "deps": ["write"]}}
        await listener.desk.call("plan_dag", plan_id=plan, base_version=1, edits=[edit])
        assert await listener.next() == uris[0]
        await listener.desk.call("dispatch", plan_id=plan, worker="host")
        assert await listener.next() == uris[1]


async def test_nobody_is_told_of_what_is_somebody_else_s(chosen: configuration.Settings, era: str) -> None:
    uris = [f"dispatch://runs/{await begun(chosen, name)}" for name in ("ann", records.LOCAL)]
    async with news_listener.listening(memory_client.make_server_for_many(chosen), era, uris) as listener:
        for name, uri in zip(("ann", records.LOCAL), uris, strict=True):
            async with composition.open_dispatcher(chosen, principal=name) as elsewhere:
                await elsewhere.steer(uri.rpartition("/")[2], "pause", "", "")
        assert await listener.next() == uris[1]


async def test_a_stream_is_its_principal_s_and_news_for_everybody_reaches_all() -> None:
    streams, heard = change_news.Streams(), {name: list[object]() for name in ("ann", "ben")}
    ends: list[Callable[[], None]] = []
    for name, events in heard.items():
        token = lazy.principal.set(name)
        ends.append(streams.subscribe(events.append))
        lazy.principal.reset(token)
    await streams.publish(change_news.PromptsListChanged())
    streams.tell(change_news.ResourceUpdated("dispatch://runs/one"), "ann")
    ends[1]()
    ends[1]()
    await streams.publish(change_news.ResourcesListChanged())
    assert [len(events) for events in heard.values()] == [3, 1]
    assert len(streams) == 1


async def test_new_templates_change_both_lists_and_new_documents_that_of_resources(
    chosen: configuration.Settings, era: str
) -> None:
    async with news_listener.listening(made(chosen), era, []) as listener:
        names = {prompt.name for prompt in (await listener.desk.client.list_prompts()).prompts}
        path = chosen.home / "prompts" / "mine.md.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEMPLATE.format(title="Mine"), encoding="utf-8")
        assert {await listener.next(), await listener.next()} == {"prompts", "resources"}
        now = {prompt.name for prompt in (await listener.desk.client.list_prompts()).prompts}
        assert now == names | {"mine"}
        document = chosen.home / "knowledgebase" / "house.md"
        document.parent.mkdir(parents=True, exist_ok=True)
        document.write_text("# The house\n", encoding="utf-8")
        assert await listener.next() == "resources"
        assert "# The house" in await listener.desk.read("dispatch://knowledge/house")
        path.unlink()
        assert {await listener.next(), await listener.next()} == {"prompts", "resources"}
        assert {prompt.name for prompt in (await listener.desk.client.list_prompts()).prompts} == names


async def test_lists_are_as_the_files_are_now_also_for_who_asks_before_any_news(
    chosen: configuration.Settings,
) -> None:
    async with memory_client.desk(made(chosen)) as desk:
        before = [prompt.name for prompt in (await desk.client.list_prompts()).prompts]
        path = chosen.home / "prompts" / "handoff.md.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        for title in ("My own", "Another"):
            path.write_text(TEMPLATE.format(title=title), encoding="utf-8")
            titles = {prompt.name: prompt.title for prompt in (await desk.client.list_prompts()).prompts}
            assert [*titles] == before
            assert titles["handoff"] == title
            assert "Do it my way" in await desk.read("dispatch://templates/handoff")


@pytest.mark.parametrize("name", ["agents", "agents/mine", "templates/handoff"])
async def test_agents_and_templates_are_told_when_their_files_change(
    chosen: configuration.Settings, era: str, name: str
) -> None:
    agent = chosen.workspace / ".claude" / "agents" / "mine.md"
    agent.parent.mkdir(parents=True)
    agent.write_text(AGENT.format(name="mine", about="Paints walls."), encoding="utf-8")
    async with news_listener.listening(made(chosen), era, [f"dispatch://{name}"]) as listener:
        agent.write_text(AGENT.format(name="mine", about="Paints walls and doors."), encoding="utf-8")
        path = chosen.home / "prompts" / "handoff.md.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEMPLATE.format(title="My own"), encoding="utf-8")
        while await listener.next() != f"dispatch://{name}":
            pass  # the lists have changed, too


async def test_who_unsubscribes_is_told_no_more(chosen: configuration.Settings) -> None:
    runs = [await begun(chosen), await begun(chosen)]
    uris = [f"dispatch://runs/{run}" for run in runs]
    async with news_listener.listening(made(chosen), "legacy", uris) as listener:
        await news_listener.unsubscribe(listener.desk.client, uris[0])
        await news_listener.unsubscribe(listener.desk.client, uris[0])
        for run in runs:
            await listener.desk.call("steer_run", run_id=run, action="pause")
        assert await listener.next() == uris[1]


async def test_a_client_subscribes_to_a_thousand_resources_and_no_more(
    chosen: configuration.Settings, era: str
) -> None:
    uris = [f"dispatch://nowhere/{number}" for number in range(change_news.MOST_SUBSCRIPTIONS + 1)]
    if era == "legacy":
        async with news_listener.listening(made(chosen), era, uris[:-1]) as listener:
            await news_listener.subscribe(listener.desk.client, uris[0])
            with pytest.raises(MCPError, match="1001 resources"):
                await news_listener.subscribe(listener.desk.client, uris[-1])
        return
    async with Client(made(chosen), cache=None) as client:
        with pytest.raises(MCPError, match="1001 resources"):
            async with client.listen(resource_subscriptions=uris):
                pass


async def test_a_store_that_is_not_there_is_no_reason_to_refuse_a_subscription(
    chosen: configuration.Settings, era: str
) -> None:
    run = await begun(chosen)
    trouble = [errors.StoreTooNew("The store has schema 9.", hint="Install a newer dispatch-mcp.")]

    @asynccontextmanager
    async def opened() -> AsyncGenerator[dispatcher.Dispatcher]:
        if trouble:
            raise trouble[0]
        async with composition.open_dispatcher(chosen) as app:
            yield app

    service = server.make_server(memory_client.loaders(opened))
    async with news_listener.listening(service, era, [f"dispatch://runs/{run}"]) as listener:
        assert (await listener.desk.client.list_tools()).tools
        trouble.clear()
        assert await listener.next() == f"dispatch://runs/{run}"


async def test_news_says_what_changed_and_nothing_of_what_it_is(chosen: configuration.Settings) -> None:
    run = await begun(chosen)
    heard: list[str] = []

    async def hear(message: Any) -> None:
        heard.append(json.dumps(message.model_dump(mode="json", by_alias=True)))

    async with Client(made(chosen), mode="legacy", cache=None, message_handler=hear) as client:
        await news_listener.subscribe(client, f"dispatch://runs/{run}")
        await client.call_tool("steer_run", {"run_id": run, "action": "pause", "reason": "because of the rain"})
        with anyio.fail_after(120):
            while not heard:
                await anyio.lowlevel.checkpoint()
    assert "rain" not in "".join(heard)
