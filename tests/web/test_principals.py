"""Several people on one store over HTTP: each sees and steers what is theirs, and nothing else is there for them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import memory_client
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ResourceTemplateReference

from dispatch_mcp.mcp_server import tool_arguments
from dispatch_mcp.model import records
from dispatch_mcp.web import http_server

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S3")]

TASK = {"id": "write", "do": "Add a discount to app.py", "files": ["app.py"]}
DIFF = (
    "--- a/app.py\n+++ b/app.py\n@@ -1,2 +1,2 @@\n def total(items):\n"
    "-    return sum(items)\n+    return sum(items) * 2\n"
)


class House:
    """One server over one store; each person has a token of their own."""

    def __init__(self, app: Any) -> None:
        self.app = app

    @asynccontextmanager
    async def person(self, name: str, mode: Any = "auto") -> AsyncGenerator[memory_client.Desk]:
        """Yields what somebody sees of the server."""
        headers = {"Authorization": f"Bearer {name}"}
        async with (
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.app), headers=headers) as http,
            Client(streamable_http_client("http://127.0.0.1/mcp", http_client=http), mode=mode) as client,
        ):
            yield memory_client.Desk(client)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[House]:
    service = memory_client.make_server_for_many(
        memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    )

    async def is_ready() -> None:
        """The state is open."""

    app = http_server.application(service, http_server.Address(), owner=str, is_ready=is_ready, card={})
    async with service.session_manager.run():
        yield House(app)


async def handles(ann: memory_client.Desk) -> dict[str, str]:
    """Makes a plan, a run and a review, and returns their handles."""
    plan_id = await ann.planned(TASK)
    run = await ann.call("dispatch", plan_id=plan_id, worker="host")
    review = await ann.call("review_council", diff=DIFF)
    return {"plan_id": plan_id, "run_id": run["run_id"], "review": review["run_id"]}


def calls(mine: dict[str, str]) -> list[tuple[str, dict[str, Any]]]:
    """Returns a call of each tool with each handle that it takes."""
    result = {"task_id": "write", "attempt": 1, "text": "Done."}
    return [
        ("plan_dag", {"plan_id": mine["plan_id"], "base_version": 1, "edits": [{"op": "remove", "id": "write"}]}),
        ("dispatch", {"plan_id": mine["plan_id"]}),
        ("dispatch", {"run_id": mine["run_id"]}),
        ("report", {"run_id": mine["run_id"], "results": [result]}),
        ("review_council", {"run_id": mine["run_id"]}),
        ("review_council", {"run_id": mine["review"]}),
        ("review_council", {"diff": DIFF, "after": mine["review"]}),
        *(("get_trace", {"run_id": mine["run_id"], "view": view}) for view in ("summary", "timeline", "results")),
        ("get_trace", {"run_id": mine["review"]}),
        ("steer_run", {"run_id": mine["run_id"], "action": "cancel"}),
        ("steer_run", {"run_id": mine["run_id"], "action": "skip", "task_id": "write"}),
        ("message_agents", {"run_id": mine["run_id"], "action": "inbox", "recipient": "write"}),
        (
            "message_agents",
            {"run_id": mine["run_id"], "action": "send", "sender": "x", "recipient": "write", "text": "Hello"},
        ),
    ]


@pytest.mark.parametrize("mode", memory_client.ERAS)
async def test_what_is_somebody_else_s_is_not_there_whatever_one_asks_for(house: House, mode: str) -> None:
    async with house.person("ann") as ann, house.person("ben", mode) as ben:
        mine = await handles(ann)
        before = await ann.call("get_trace", run_id=mine["run_id"], view="timeline")
        named = {name for name, _ in calls(mine)}
        assert named == tool_arguments.TOOLS.keys() - {"route_task"}
        for written in (mine, {key: handle[:-2] for key, handle in mine.items()}, dict.fromkeys(mine, "latest")):
            for name, arguments in calls(written):
                with pytest.raises(memory_client.Refused) as refusal:
                    await ben.call(name, **arguments)
                assert mine["run_id"] not in str(refusal.value).replace(str(arguments.get("run_id")), "")
        after = await ann.call("get_trace", run_id=mine["run_id"], view="timeline")
        assert after["timeline"] == before["timeline"]


async def test_nobody_listens_in_on_a_session_of_somebody_else_or_ends_it(house: House) -> None:
    url, accept = "http://127.0.0.1/mcp", "application/json, text/event-stream"
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    transport = httpx2.ASGITransport(app=house.app)
    async with httpx2.AsyncClient(transport=transport, headers={"Accept": accept}) as http:

        async def send(name: str, verb: str, session: str = "", **message: Any) -> httpx2.Response:
            headers = {"Authorization": f"Bearer {name}", **({"Mcp-Session-Id": session} if session else {})}
            body = {"jsonrpc": "2.0", **message} if message else None
            with anyio.fail_after(120):
                return await http.request(verb, url, headers=headers, json=body)

        answer = await send("ann", "POST", id=1, method="initialize", params=hello)
        session = answer.headers["mcp-session-id"]
        assert (await send("ann", "POST", session, method="notifications/initialized")).status_code == 202
        for verb, message in (("GET", {}), ("DELETE", {}), ("POST", {"id": 2, "method": "ping"})):
            assert (await send("ben", verb, session, **message)).status_code == 404
        assert (await send("ann", "POST", session, id=3, method="ping")).status_code == 200


async def test_lists_and_completions_hold_what_is_one_s_own(house: House) -> None:
    async with house.person("ann") as ann, house.person("ben") as ben:
        mine = await handles(ann)
        theirs = await handles(ben)
        for desk, own, other in ((ann, mine, theirs), (ben, theirs, mine)):
            listed = json.dumps(await desk.call("get_trace", view="all"))
            assert own["run_id"] in listed
            assert other["run_id"] not in listed
            for name in ("run_id", "plan_id"):
                reference = ResourceTemplateReference(uri=f"dispatch://{name.partition('_')[0]}s/{{{name}}}")
                completion = await desk.client.complete(reference, {"name": name, "value": ""})
                assert own[name] in completion.completion.values
                assert other[name] not in completion.completion.values


async def test_resources_of_somebody_else_are_not_found(house: House) -> None:
    async with house.person("ann") as ann, house.person("ben") as ben:
        mine = await handles(ann)
        run = f"dispatch://runs/{mine['run_id']}"
        for address in (
            *(run, f"{run}/trace", f"{run}/messages", f"{run}/tasks/write/prompt"),
            *(f"dispatch://plans/{mine['plan_id']}", f"dispatch://runs/{mine['review']}"),
        ):
            assert await ann.read(address)
            with pytest.raises(MCPError):
                await ben.read(address)


async def test_many_who_come_at_once_have_each_their_own(house: House) -> None:
    seen: dict[str, str] = {}

    async def work(name: str) -> None:
        async with house.person(name) as desk:
            seen[name] = (await desk.call("dispatch", plan_id=await desk.planned(TASK), worker="host"))["run_id"]
            [run] = (await desk.call("get_trace"))["runs"]
            assert run["run_id"] == seen[name]

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(work, f"person-{number}")
    assert len(set(seen.values())) == 8


async def test_the_users_own_token_sees_what_their_assistant_began(house: House, tmp_path: Path) -> None:
    chosen = memory_client.settings(tmp_path / "home", tmp_path / "shop")
    async with memory_client.desk(memory_client.make_server(chosen)) as assistant:
        plan_id = await assistant.planned(TASK)
        run = await assistant.call("dispatch", plan_id=plan_id, worker="host")
        async with house.person(records.LOCAL) as user, house.person("ben") as ben:
            assert (await user.call("get_trace", run_id=run["run_id"]))["state"] == "running"
            with pytest.raises(memory_client.Refused):
                await ben.call("get_trace", run_id=run["run_id"])


async def test_a_default_read_over_http_holds_nothing_of_prompts_results_and_errors(house: House) -> None:
    async with house.person("ann") as ann:
        plan_id = await ann.planned({"id": "write", "do": "Write it", "constraints": ["the-words-of-the-prompt"]})
        run = await ann.call("dispatch", plan_id=plan_id, worker="host")
        text = "the-words-of-the-result"
        result = {"task_id": "write", "attempt": 1, "text": text, "handoff": {"completed_work": text}}
        await ann.call("report", run_id=run["run_id"], results=[result])
        default = json.dumps(await ann.call("get_trace", run_id=run["run_id"]))
        asked = json.dumps(await ann.call("get_trace", run_id=run["run_id"], view="results"))
    assert "the-words-of" not in default
    assert text in asked
