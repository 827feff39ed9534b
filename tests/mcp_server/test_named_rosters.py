"""A roster that is named is asked alone, in every tool that routes, and a plan keeps to it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import memory_client
import pytest

pytestmark = pytest.mark.anyio

EMAILS: Final = "Write a sequence of five onboarding emails for trial users"
VAGUE: Final = "Sort out the leftovers"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    async with memory_client.desk(memory_client.make_server(chosen)) as client:
        yield client


async def members(desk: memory_client.Desk, roster: str) -> set[str]:
    agents = json.loads(await desk.read("dispatch://agents"))
    return {agent["name"] for agent in agents if agent["roster"] == roster}


async def agent_of(desk: memory_client.Desk, plan_id: str, task_id: str = "a") -> str:
    plan = json.loads(await desk.read(f"dispatch://plans/{plan_id}"))
    return next(task.get("agent", "") for task in plan["tasks"] if task["id"] == task_id)


async def test_a_plan_of_tasks_is_routed_in_the_roster_that_is_named(desk: memory_client.Desk) -> None:
    growth = await members(desk, "growth")
    answer = await desk.call("plan_dag", tasks=[{"id": "a", "do": EMAILS}], roster="growth")
    assert await agent_of(desk, answer["plan_id"]) in growth
    everybody = await desk.call("plan_dag", tasks=[{"id": "a", "do": EMAILS}])
    assert await agent_of(desk, everybody["plan_id"]) not in growth


async def test_a_plan_of_parts_and_an_offer_ask_the_roster_that_is_named(desk: memory_client.Desk) -> None:
    growth = await members(desk, "growth")
    parts = [EMAILS, "Build a referral loop that turns users into a growth channel"]
    answer = await desk.call(
        "plan_dag", request=" and ".join(parts), pattern="parallel-implementation", parts=parts, roster="growth"
    )
    plan = json.loads(await desk.read(f"dispatch://plans/{answer['plan_id']}"))
    assert {task["agent"] for task in plan["tasks"] if task["do"] in parts} <= growth
    offer = await desk.call("plan_dag", request=EMAILS, roster="growth")
    assert set(offer["agents"]) <= growth


async def test_tasks_that_are_added_to_a_plan_keep_to_its_roster_until_another_is_named(
    desk: memory_client.Desk,
) -> None:
    answer = await desk.call("plan_dag", tasks=[{"id": "a", "do": EMAILS}], roster="growth")
    edits = [{"op": "add", "id": "b", "task": {"do": "Build a referral loop that turns users into a growth channel"}}]
    await desk.call("plan_dag", plan_id=answer["plan_id"], base_version=1, edits=edits)
    assert await agent_of(desk, answer["plan_id"], "b") in await members(desk, "growth")
    edits = [{"op": "add", "id": "c", "task": {"do": "Add a table for sessions to the database schema"}}]
    await desk.call("plan_dag", plan_id=answer["plan_id"], base_version=2, edits=edits, roster="engineering")
    assert await agent_of(desk, answer["plan_id"], "c") in await members(desk, "engineering")


async def test_dispatch_routes_what_only_the_general_agent_would_do_in_the_roster_that_is_named(
    desk: memory_client.Desk,
) -> None:
    answer = await desk.call("plan_dag", tasks=[{"id": "a", "do": EMAILS}, {"id": "b", "do": VAGUE}])
    run = await desk.call("dispatch", plan_id=answer["plan_id"], roster="growth", worker="host")
    assert run["plan_version"] == 2
    assert await agent_of(desk, answer["plan_id"]) in await members(desk, "growth")
    again = await desk.call("dispatch", plan_id=answer["plan_id"], roster="growth", worker="host")
    assert (again["run_id"], again["plan_version"]) == (run["run_id"], 2)


async def test_a_run_that_goes_on_takes_no_other_roster(desk: memory_client.Desk) -> None:
    answer = await desk.call("plan_dag", tasks=[{"id": "a", "do": VAGUE}])
    run = await desk.call("dispatch", plan_id=answer["plan_id"], worker="host")
    with pytest.raises(memory_client.Refused, match="roster 'growth' is for plan_id"):
        await desk.call("dispatch", run_id=run["run_id"], roster="growth")


@pytest.mark.parametrize("arguments", [{"tasks": [{"id": "a", "do": VAGUE}]}, {"request": VAGUE}], ids=list)
async def test_a_roster_that_there_is_not_is_refused_with_those_that_there_are(
    desk: memory_client.Desk, arguments: dict[str, object]
) -> None:
    with pytest.raises(memory_client.Refused, match="no roster 'growht'") as refusal:
        await desk.call("plan_dag", roster="growht", **arguments)
    assert "growth" in str(refusal.value)
    assert await desk.known("plan_id") == []


async def test_an_ordinary_vague_task_goes_to_the_general_agent_and_nobody_is_asked(tmp_path: Path) -> None:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    chosen = chosen.model_copy(update={"review_policy": "standard"})
    vague = ("Sort out the leftovers", "Write something for the team page", "Change the wording", "Finish the job")
    async with memory_client.desk(memory_client.make_server(chosen)) as desk:
        for roster in ("", "growth"):
            tasks = [{"id": f"t{number}", "do": do, "files": [f"n{number}.md"]} for number, do in enumerate(vague)]
            answer = await desk.call("plan_dag", tasks=tasks, roster=roster)
            plan = json.loads(await desk.read(f"dispatch://plans/{answer['plan_id']}"))
            assert not [task for task in plan["tasks"] if task.get("worker") == "human"]
            assert all(task["agent"] for task in plan["tasks"])
            assert "general-purpose" in {task["agent"] for task in plan["tasks"]}
