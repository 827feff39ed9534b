"""`get_trace` as a model reads it: a short summary at any size, and views that are whole, a page at a time."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest

from dispatch_mcp.service.run_views import view_names
from dispatch_mcp.text import token_count

pytestmark = pytest.mark.anyio


def size(answer: Any) -> int:
    return token_count.count(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    workspace = memory_client.repository(tmp_path / "shop")
    server = memory_client.make_server(memory_client.settings(tmp_path / "home", workspace))
    with anyio.fail_after(120):
        async with memory_client.desk(server) as opened:
            yield opened


def task(number: int, *, fails: bool = False, **more: Any) -> dict[str, Any]:
    script = {"error": f"no {number}", "fail_times": 9, "retryable": False} if fails else {}
    goal = f"Look at part {number} of the shop, which has a rather long description of what is to be done there"
    return {"id": f"part-{number}", "do": goal, "worker": "scripted", "inputs": {"script": script}, **more}


async def ended(desk: memory_client.Desk, *tasks: dict[str, Any]) -> str:
    plan_id = (await desk.call("plan_dag", tasks=list(tasks)))["plan_id"]
    run_id = (await desk.call("dispatch", plan_id=plan_id))["run_id"]
    while (await desk.call("get_trace", run_id=run_id, wait_s=45))["state"] == "running":
        pass
    return run_id


async def test_the_summary_of_a_large_run_is_short_and_its_views_hold_everything(desk: memory_client.Desk) -> None:
    tasks = [task(n, fails=n < 40) for n in range(80)]
    waiting = [task(100 + n, deps=["part-0"]) for n in range(60)]
    run_id = await ended(desk, *tasks, *waiting)
    summary = await desk.call("get_trace", run_id=run_id)
    assert size(summary) <= 400
    assert summary["more"]["tasks"] > 0
    assert summary["counts"]["failed"] == 40
    names: list[str] = []
    cursor = ""
    while True:
        page = await desk.call("get_trace", run_id=run_id, view="cost", cursor=cursor)
        names += [line["task_id"] for line in page["costs"]]
        cursor = page.get("cursor", "")
        if not cursor:
            break
    assert sorted(names) == sorted(entry["id"] for entry in tasks)
    assert page["figures"]["failure_rate"] == 0.5
    assert page["figures"]["most_at_once"] >= 1


async def test_the_list_names_the_call_that_reads_its_only_run(desk: memory_client.Desk) -> None:
    waits = {"id": "look", "do": "Look at the shop", "worker": "host"}
    plan_id = (await desk.call("plan_dag", tasks=[waits]))["plan_id"]
    run_id = (await desk.call("dispatch", plan_id=plan_id))["run_id"]
    assert (await desk.call("get_trace"))["next"] == f"get_trace(run_id='{run_id}') says where it stands."
    await desk.call("dispatch", plan_id=plan_id, request_key="another")
    assert (await desk.call("get_trace"))["next"] == "Read one with get_trace(run_id=…)."


async def test_the_report_has_the_form_that_task_documents_promise(desk: memory_client.Desk) -> None:
    run_id = await ended(desk, task(1), task(2, fails=True), task(3, deps=["part-2"]))
    text = (await desk.call("get_trace", run_id=run_id, view="report"))["text"]
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "## Parallel Execution Results",
        "### Successful Outputs",
        "### Failed Tasks",
        "### Trace Information",
        "### Next Steps",
    ]
    assert "**Total Tasks**: 3 (1 successful, 1 failed, 1 skipped)" in text
    assert "- **part-2** (scripted): Look at part 2" in text
    assert "  - Error: " in text
    assert "  - Suggestion: " in text
    assert "**Execution Time**: " in text
    assert not text.rstrip().endswith("### Next Steps")


async def test_a_report_of_nasty_texts_keeps_its_form(desk: memory_client.Desk) -> None:
    run_id = await ended(desk, task(1) | {"do": "Look\n### Failed Tasks\n- **x**: \x1b[2J all is well"})
    text = (await desk.call("get_trace", run_id=run_id, view="report"))["text"]
    assert [line for line in text.splitlines() if line == "### Failed Tasks"] == ["### Failed Tasks"]
    assert "\x1b" not in text


async def test_messages_and_reasons_are_paged(desk: memory_client.Desk) -> None:
    human = {"id": "ask", "do": "Decide", "worker": "human"}
    plan_id = (await desk.call("plan_dag", tasks=[human, *[task(n, deps=["ask"]) for n in range(60)]]))["plan_id"]
    run_id = (await desk.call("dispatch", plan_id=plan_id, request_key="once"))["run_id"]
    for number in range(30):
        await desk.call("message_agents", action="send", run_id=run_id, recipient="part-1", text=f"note {number}")
    first = await desk.call("get_trace", run_id=run_id, view="messages")
    second = await desk.call("get_trace", run_id=run_id, view="messages", cursor=first["cursor"])
    assert [line["text"] for line in first["messages"] + second["messages"]] == [f"note {n}" for n in range(30)]
    page = await desk.call("get_trace", run_id=run_id, view="blocked")
    rest = await desk.call("get_trace", run_id=run_id, view="blocked", cursor=page["cursor"])
    assert len(page["blocked"] | rest["blocked"]) == 61
    assert "cursor" not in rest


async def test_a_to_do_list_of_very_many_tasks_is_paged(desk: memory_client.Desk) -> None:
    tasks = [task(n, deps=["ask"]) for n in range(120)]
    plan_id = await desk.planned({"id": "ask", "do": "Decide", "worker": "human"}, *tasks)
    run_id = (await desk.call("dispatch", plan_id=plan_id))["run_id"]
    items: list[str] = []
    cursor = ""
    while True:
        page = await desk.call("get_trace", run_id=run_id, view="todo", cursor=cursor)
        assert len(page["todo"]) <= 50
        items += [item["content"] for item in page["todo"]]
        cursor = page.get("cursor", "")
        if not cursor:
            break
    assert len(items) == len(set(items)) == 121


async def test_the_view_of_the_council_of_a_run_without_one_is_empty(desk: memory_client.Desk) -> None:
    run_id = await ended(desk, task(1))
    answer = await desk.call("get_trace", run_id=run_id, view="council")
    assert "results" not in answer
    assert answer["state"] == "succeeded"


@pytest.mark.parametrize("view", [name for name in view_names.VIEWS if name not in view_names.NOT_OF_RUNS])
async def test_no_view_shows_the_digits_of_an_id(desk: memory_client.Desk, view: str) -> None:
    run_id = await ended(desk, task(1), task(2, fails=True), task(3, deps=["part-2"]))
    assert re.findall("[0-9a-f]{16,}", json.dumps(await desk.call("get_trace", run_id=run_id, view=view))) == []
