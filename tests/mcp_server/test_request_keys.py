"""A key stands for one request: with any other argument it is refused, and a new argument cannot be forgotten here."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import memory_client
import pytest

from dispatch_mcp.mcp_server import tool_arguments
from dispatch_mcp.model import short_ids

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R7")]

EMAILS: Final = "Write a sequence of five onboarding emails for trial users"
OTHERS: Final[dict[str, tuple[Any, ...]]] = {
    "worker": ("command",),
    "dry_run": (True,),
    "fresh": (True,),
    "roster": ("growth", "engineering"),
    "limits": ({"dollars": 3}, {"attempts": 2}),
}
"""Other values of each argument than those of the first request, which names a worker and nothing else."""

HANDLES: Final = {"plan_id", "run_id", "request_key"}
"""What names a plan, a run and the request itself: another plan is refused, another key is another request."""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    async with memory_client.desk(memory_client.make_server(chosen)) as client:
        yield client


async def planned(desk: memory_client.Desk) -> str:
    return (await desk.call("plan_dag", tasks=[{"id": "a", "do": EMAILS}]))["plan_id"]


def test_every_argument_that_says_what_is_run_is_tried() -> None:
    assert set(tool_arguments.Dispatch.model_fields) == set(OTHERS) | HANDLES


@pytest.mark.parametrize(("name", "other"), [(name, other) for name in OTHERS for other in OTHERS[name]])
async def test_a_key_used_again_with_another_argument_is_refused_with_both_ids_and_changes_nothing(
    desk: memory_client.Desk, name: str, other: object
) -> None:
    request: dict[str, Any] = {"plan_id": await planned(desk), "worker": "host", "request_key": "mine"}
    first = await desk.call("dispatch", **request)
    before = await desk.read(f"dispatch://plans/{request['plan_id']}")
    with pytest.raises(memory_client.Refused, match="The request key 'mine' belongs to run") as refusal:
        await desk.call("dispatch", **{**request, name: other})
    for handle in (first["run_id"], request["plan_id"]):
        assert short_ids.short(handle) in str(refusal.value)
    assert await desk.read(f"dispatch://plans/{request['plan_id']}") == before
    assert (await desk.call("dispatch", **request))["run_id"] == first["run_id"]


@pytest.mark.parametrize(("name", "value"), [("dry_run", True), ("fresh", True)])
async def test_a_key_used_again_without_what_the_first_request_named_is_refused_too(
    desk: memory_client.Desk, name: str, value: object
) -> None:
    request: dict[str, Any] = {"plan_id": await planned(desk), "worker": "host", "request_key": "mine"}
    first = await desk.call("dispatch", **request, **{name: value})
    with pytest.raises(memory_client.Refused, match="belongs to run"):
        await desk.call("dispatch", **request)
    assert (await desk.call("dispatch", **request, **{name: value}))["run_id"] == first["run_id"]


async def test_another_plan_under_the_key_is_refused_and_another_key_is_another_run(desk: memory_client.Desk) -> None:
    plans = [await planned(desk), await planned(desk)]
    first = await desk.call("dispatch", plan_id=plans[0], worker="host", request_key="mine")
    with pytest.raises(memory_client.Refused, match=f"asks for plan {short_ids.short(plans[1])}"):
        await desk.call("dispatch", plan_id=plans[1], worker="host", request_key="mine")
    with pytest.raises(memory_client.Refused, match="either plan_id or run_id"):
        await desk.call("dispatch", plan_id=plans[0], run_id=first["run_id"], request_key="mine")
    other = await desk.call("dispatch", plan_id=plans[0], worker="host", request_key="yours")
    assert other["run_id"] != first["run_id"]


async def test_the_roster_that_the_first_request_named_is_kept_though_the_plan_has_another_since(
    desk: memory_client.Desk,
) -> None:
    request: dict[str, Any] = {"plan_id": await planned(desk), "worker": "host", "request_key": "mine"}
    first = await desk.call("dispatch", **request, roster="growth")
    edits = [{"op": "add", "id": "b", "task": {"do": "Add a table for sessions to the database schema"}}]
    await desk.call("plan_dag", plan_id=request["plan_id"], base_version=2, edits=edits, roster="engineering")
    again = await desk.call("dispatch", **request, roster="growth")
    assert (again["run_id"], again["plan_version"]) == (first["run_id"], 3)
    plan = json.loads(await desk.read(f"dispatch://plans/{request['plan_id']}"))
    assert plan["roster"] == "engineering"
    with pytest.raises(memory_client.Refused, match="roster 'engineering' instead of 'growth'"):
        await desk.call("dispatch", **request, roster="engineering")
