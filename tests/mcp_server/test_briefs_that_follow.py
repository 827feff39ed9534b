"""A handle comes at once, however large the workspace is: what its tasks should read follows, by reference."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest
from mcp import Client

from dispatch_mcp.context import file_index, pack_gatherer
from dispatch_mcp.context.indexing import reading_order
from dispatch_mcp.process import file_lock

pytestmark = pytest.mark.anyio

TASK = {"id": "mend", "do": "Mend moor_7 of the quay", "files": ["berth7.py"], "agent": "general-purpose"}


@pytest.fixture(scope="module")
def quay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a workspace that is too large to be read on the spot."""
    root = memory_client.repository(tmp_path_factory.mktemp("large") / "quay")
    for at in range(pack_gatherer.SMALL + 50):
        (root / f"berth{at}.py").write_text(f"def moor_{at}(vessel):\n    return vessel + {at}\n")
    return root


@pytest.fixture
def turn(tmp_path: Path, quay: Path) -> Iterator[file_lock.FileLock]:
    """Yields the right to read a workspace of which a part was read, taken: nobody goes on until it is given back."""
    with file_index.FileIndex(tmp_path / "home", quay) as index:
        index.refresh(reading_order.Bounds(seconds=0.0))
        lock = file_lock.FileLock(index.path.with_suffix(".turn"))
    assert lock.take()
    yield lock
    while lock.is_held:
        lock.give_back()


@pytest.fixture
async def desk(tmp_path: Path, quay: Path, turn: file_lock.FileLock) -> AsyncGenerator[memory_client.Desk]:
    settings = memory_client.settings(tmp_path / "home", quay)
    waits = {"handle_wait_s": 0.0, "context_wait_s": 0.0, "worker_context_wait_s": 100.0}
    async with Client(memory_client.make_server(settings.model_copy(update=waits))) as client:
        yield memory_client.Desk(client)


async def dispatched(desk: memory_client.Desk) -> tuple[str, dict[str, Any]]:
    """Returns the run and the assignment of the task."""
    run = await desk.call("dispatch", plan_id=await desk.planned(TASK))
    return run["run_id"], run["assignments"][0]


async def brief(desk: memory_client.Desk, run_id: str) -> str:
    return (await desk.call("get_trace", run_id=run_id, task_id="mend", view="brief"))["text"]


@pytest.mark.promise("R23")
async def test_an_assignment_is_handed_out_before_the_workspace_is_read_and_says_where_the_rest_will_be(
    desk: memory_client.Desk,
) -> None:
    with anyio.fail_after(120):
        run_id, assignment = await dispatched(desk)
    prompt = assignment["call"]["prompt"]
    assert "Mend moor_7 of the quay" in prompt
    assert "Gathered for this task, with this brief; read it before anything else" in prompt
    assert f"dispatch://runs/{run_id}/tasks/mend/prompt" in prompt
    assert "def moor_7" not in prompt
    assert "the file " not in prompt, "it would not be whole yet"
    assert not assignment.get("gap")


async def test_who_reads_the_brief_too_early_gets_what_there_is_and_is_told_so(desk: memory_client.Desk) -> None:
    with anyio.fail_after(120):
        run_id, _ = await dispatched(desk)
        text = await brief(desk, run_id)
    assert re.search(r"only \d{2,3} of the", text)
    assert "files of the workspace have been searched so far. What is given is not all; look up the rest." in text
    assert "def moor_7" in text, "a file that is named needs no search"


async def _event(desk: memory_client.Desk, run_id: str, kind: str) -> dict[str, Any]:
    """Returns the first event of a kind, once there is one."""
    with anyio.fail_after(120):
        while True:
            timeline = (await desk.call("get_trace", run_id=run_id, view="timeline"))["timeline"]
            if events := [event for event in timeline if event["kind"] == kind]:
                return events[0]
            await anyio.sleep(0.05)


async def test_that_a_knowledge_document_is_missing_is_in_the_trace_though_the_brief_follows(
    desk: memory_client.Desk, quay: Path
) -> None:
    agent = quay / ".claude/agents/harbour-pilot.md"
    agent.parent.mkdir(parents=True, exist_ok=True)
    agent.write_text("---\nname: harbour-pilot\ndescription: Knows quays\nknowledge: docs/none.md\n---\nYou moor.\n")
    run = await desk.call("dispatch", plan_id=await desk.planned({**TASK, "agent": "harbour-pilot"}))
    event = await _event(desk, run["run_id"], "knowledge_missing")
    assert event["data"] == {"missing": "docs/none.md", "stand_in": ""}


async def test_what_a_brief_that_follows_could_not_hold_in_time_is_in_the_trace(
    tmp_path: Path, quay: Path, turn: file_lock.FileLock
) -> None:
    settings = memory_client.settings(tmp_path / "home", quay)
    waits = {"handle_wait_s": 0.0, "context_wait_s": 0.0, "worker_context_wait_s": 0.0}
    async with Client(memory_client.make_server(settings.model_copy(update=waits))) as client:
        hasty = memory_client.Desk(client)
        run_id, _ = await dispatched(hasty)
        assert (await _event(hasty, run_id, "context_missing"))["task"] == "mend"
    assert turn.is_held


@pytest.mark.promise("R23")
async def test_once_the_workspace_is_read_the_brief_is_whole_and_its_saving_is_told(
    desk: memory_client.Desk, turn: file_lock.FileLock
) -> None:
    with anyio.fail_after(120):
        run_id, _ = await dispatched(desk)
        turn.give_back()
        while "so far" in (text := await brief(desk, run_id)):  # noqa: ASYNC110  # another process is at work
            await anyio.sleep(0.05)
        assert "def moor_7" in text
        while not (trace := await desk.call("get_trace", run_id=run_id)).get("context"):  # noqa: ASYNC110
            await anyio.sleep(0.05)
    assert trace["context"]["sent"] > 0
    assert "search" not in trace


async def test_how_far_the_search_is_stands_in_the_trace_and_is_told_to_who_asks_for_progress(
    desk: memory_client.Desk,
) -> None:
    news: list[tuple[float, float | None, str | None]] = []
    enough = anyio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        news.append((progress, total, message))
        enough.set()

    with anyio.fail_after(120):
        run_id, _ = await dispatched(desk)
        while not (trace := await desk.call("get_trace", run_id=run_id)).get("search"):  # noqa: ASYNC110
            await anyio.sleep(0.05)
        async with anyio.create_task_group() as group:
            arguments = {"run_id": run_id, "wait_s": 45}
            group.start_soon(lambda: desk.client.call_tool("get_trace", arguments, progress_callback=hear))
            await enough.wait()
            group.cancel_scope.cancel()
    waited, most, words = news[0]
    assert 0 < waited <= (most or 0) == 45
    searching = re.fullmatch(r"Reading the workspace: 200 of (\d+) files", words or "")
    assert searching
    total = int(searching[1])
    assert total > pack_gatherer.SMALL
    assert trace["search"] == f"200 of {total} files of the workspace are searched so far."
