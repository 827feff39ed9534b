"""Calls that start what only the server carries on are tasks for clients that can follow one, and for no others."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.to_thread
import memory_client
import pytest
import task_client
from mcp import Client, MCPError
from mcp.types import CallToolResult, ElicitResult

from dispatch_mcp import composition, configuration, errors
from dispatch_mcp.mcp_server import run_tasks, server, task_extension

pytestmark = pytest.mark.anyio

GATE = {"id": "gate", "do": "May we go on?", "worker": "human", "deps": ["build"]}
WRITE = {"id": "write", "do": "Write the form"}


@dataclass
class House:
    """A workspace whose command task waits until it may go on."""

    chosen: configuration.Settings
    pipe: Path

    @property
    def build(self) -> dict[str, Any]:
        return {"id": "build", "do": "Build it", "command": ["python", "-c", f"open({str(self.pipe)!r}).read()"]}

    async def go_on(self) -> None:
        await anyio.to_thread.run_sync(self.pipe.write_text, "go")

    @asynccontextmanager
    async def client(self, *, follows: bool = True, era: str = "auto", asks: bool = False) -> AsyncGenerator[Client]:
        async def later(_context: object, _params: object) -> ElicitResult:
            return ElicitResult(action="cancel")

        extensions = [task_client.Following()] if follows else []
        more: dict[str, Any] = {"elicitation_callback": later} if asks else {}
        made = memory_client.make_server(self.chosen)
        async with Client(made, mode=era, cache=None, extensions=extensions, **more) as client:
            yield client


@pytest.fixture
def house(tmp_path: Path) -> House:
    os.mkfifo(tmp_path / "pipe")
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    return House(chosen, tmp_path / "pipe")


async def dispatched(client: Client, *tasks: dict[str, Any], **more: Any) -> dict[str, Any]:
    desk = memory_client.Desk(client)
    result = await client.call_tool("dispatch", {"plan_id": await desk.planned(*tasks), **more})
    assert not result.is_error
    assert result.structured_content is not None
    return result.structured_content


async def until(client: Client, task_id: str, status: str) -> dict[str, Any]:
    with anyio.fail_after(120):
        while (state := await task_client.send(client, "tasks/get", task_id))["status"] != status:
            await news(client, task_id)
    return state


async def news(client: Client, task_id: str) -> None:
    """Returns once the run of a task is over or waits for a person."""
    await client.call_tool("get_trace", {"run_id": task_id.partition(":")[2], "wait_s": 5})


async def test_what_the_server_carries_on_alone_is_a_task_that_ends_with_the_run_s_summary(house: House) -> None:
    async with house.client() as client:
        task = await dispatched(client, house.build)
        assert task["resultType"] == "task"
        state = await task_client.send(client, "tasks/get", task["taskId"])
        assert state["status"] == "working"
        assert state["statusMessage"] == "0 of 1 tasks are over."
        assert "result" not in state
        await house.go_on()
        state = await until(client, task["taskId"], "completed")
        answer = state["result"]["structuredContent"]
        assert answer["counts"] == {"unverified": 1} or answer["counts"] == {"succeeded": 1}
        assert state["lastUpdatedAt"] >= state["createdAt"]
        handle = answer["run_id"]
        assert (await memory_client.Desk(client).call("get_trace", run_id=handle))["state"] == answer["state"]


@pytest.mark.parametrize(("follows", "era"), [(False, "auto"), (False, "legacy"), (True, "legacy")])
async def test_who_cannot_follow_tasks_gets_the_handle_and_no_word_of_them(
    house: House, *, follows: bool, era: str
) -> None:
    async with house.client(follows=follows, era=era) as client:
        answer = await dispatched(client, house.build)
        assert answer["state"] == "running"
        assert "taskId" not in answer
        with pytest.raises(MCPError):
            await task_client.send(client, "tasks/get", f"dispatch:{answer['run_id']}")
        await house.go_on()


async def test_what_the_host_has_to_do_comes_at_once(house: House) -> None:
    async with house.client() as client:
        answer = await dispatched(client, WRITE, worker="host")
        assert [one["task_id"] for one in answer["assignments"]] == ["write"]
        review = await client.call_tool("review_council", {"diff": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"})
        assert "taskId" not in (review.structured_content or {})


@pytest.mark.parametrize("more", [{"dry_run": True}, {"limits": {"tasks": 0}}])
async def test_no_answer_is_lost_because_a_client_follows_tasks(house: House, more: dict[str, Any]) -> None:
    async with house.client() as client, house.client(follows=False) as other:
        answers: list[CallToolResult] = []
        for one in (client, other):
            plan = await memory_client.Desk(one).planned({"id": "look", "do": "Look at it"}, WRITE)
            answers.append(await one.call_tool("dispatch", {"plan_id": plan, "worker": "host", **more}))
        assert answers[0].is_error == answers[1].is_error


async def test_another_process_answers_for_a_task_and_it_outlives_the_one_that_made_it(house: House) -> None:
    async with house.client() as client:
        task = await dispatched(client, house.build)
        async with house.client() as other:
            assert (await task_client.send(other, "tasks/get", task["taskId"]))["status"] == "working"
        await house.go_on()
        await until(client, task["taskId"], "completed")
    async with house.client() as later:
        state = await task_client.send(later, "tasks/get", task["taskId"])
        assert state["status"] == "completed"
        assert state["result"]["structuredContent"]["next"]


async def test_a_cancelled_task_is_a_cancelled_run_and_one_that_is_over_stays(house: House) -> None:
    async with house.client() as client:
        task = await dispatched(client, house.build)
        await task_client.send(client, "tasks/cancel", task["taskId"])
        await until(client, task["taskId"], "cancelled")
        await task_client.send(client, "tasks/cancel", task["taskId"])
        assert (await task_client.send(client, "tasks/get", task["taskId"]))["status"] == "cancelled"


@pytest.mark.parametrize(("decision", "state"), [("approve", "unverified"), ("reject", "failed")])
async def test_a_decision_is_asked_and_answered_inside_the_task(house: House, decision: str, state: str) -> None:
    async with house.client(asks=True) as client:
        task = await dispatched(client, house.build, GATE)
        await house.go_on()
        asked = await until(client, task["taskId"], "input_required")
        [(name, question)] = asked["inputRequests"].items()
        assert question["method"] == "elicitation/create"
        assert "May we go on?" in question["params"]["message"]
        answer = {"action": "accept", "content": {"decision": decision}}
        await task_client.send(client, "tasks/update", task["taskId"], {name: answer, "nobody.1": answer})
        end = await until(client, task["taskId"], "completed")
        assert end["result"]["structuredContent"]["counts"].get("failed", 0) == (state == "failed")


@pytest.mark.parametrize(
    "answer", [{"action": "decline"}, {"action": "accept", "content": {"decision": "later"}}, {"action": "cancel"}]
)
async def test_who_does_not_decide_is_not_asked_again_and_the_run_waits(house: House, answer: dict[str, Any]) -> None:
    async with house.client(asks=True) as client:
        task = await dispatched(client, house.build, GATE)
        await house.go_on()
        [name] = (await until(client, task["taskId"], "input_required"))["inputRequests"]
        await task_client.send(client, "tasks/update", task["taskId"], {name: answer})
        state = await task_client.send(client, "tasks/get", task["taskId"])
        assert state["status"] == "working"
        assert "Waits for a person: " in state["statusMessage"]


@pytest.mark.parametrize("answer", [17, {"action": "accept", "content": {"decision": "perhaps"}}, {"action": "yes"}])
async def test_an_answer_that_is_none_is_refused_with_what_it_is(house: House, answer: Any) -> None:
    async with house.client(asks=True) as client:
        task = await dispatched(client, house.build, GATE)
        await house.go_on()
        [name] = (await until(client, task["taskId"], "input_required"))["inputRequests"]
        with pytest.raises(MCPError, match=name):
            await task_client.send(client, "tasks/update", task["taskId"], {name: answer})
        assert (await task_client.send(client, "tasks/get", task["taskId"]))["status"] == "input_required"


@pytest.mark.parametrize("is_answer", [True, False])
async def test_a_store_that_cannot_be_used_is_told_in_words_with_what_to_do(*, is_answer: bool) -> None:
    async def refuse() -> None:
        raise errors.StoreBusy("The store is busy.", hint="Call again.")

    tasks = run_tasks.RunTasks(cast("run_tasks.Respond", None))
    ctx: Any = SimpleNamespace(lifespan_context=SimpleNamespace(get=refuse))
    with pytest.raises(MCPError, match=r"The store is busy\. Call again\."):
        await (tasks.answer(ctx, "dispatch:x", {}) if is_answer else tasks.cancel(ctx, "dispatch:x"))


async def test_a_client_that_cannot_ask_is_told_that_a_person_is_waited_for(house: House) -> None:
    async with house.client() as client:
        task = await dispatched(client, house.build, GATE)
        await house.go_on()
        await news(client, task["taskId"])
        state = await task_client.send(client, "tasks/get", task["taskId"])
        assert state["status"] == "working"
        assert "Waits for a person" in state["statusMessage"]


@pytest.mark.parametrize(
    "task_id", ["", "x", "dispatch:", "dispatch:latest", "dispatch:none", "report:%", "steer_run:%"]
)
async def test_what_is_no_task_is_unknown_and_so_is_somebody_else_s(house: House, task_id: str) -> None:
    async with house.client() as client:
        task = await dispatched(client, house.build)
        run = task["taskId"].partition(":")[2]
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            with pytest.raises(MCPError, match="no task"):
                await task_client.send(client, method, task_id.replace("%", run), {})
        maker = server.make_server(
            memory_client.loaders(lambda: composition.open_dispatcher(house.chosen, principal="ben"))
        )
        async with Client(maker, cache=None, extensions=[task_client.Following()]) as ben:
            with pytest.raises(MCPError, match="no task"):
                await task_client.send(ben, "tasks/get", task["taskId"])
        await house.go_on()


async def test_the_extension_is_advertised_in_the_newest_era_alone(house: House) -> None:
    for era, is_there in (("auto", True), ("legacy", False)):
        async with house.client(era=era) as client:
            assert (task_extension.TASKS in (client.server_capabilities.extensions or {})) == is_there
    assert {"dispatch", "review_council"} == run_tasks.TOOLS
