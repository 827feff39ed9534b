"""What an assistant has to read in answer to one result: short, whatever the result was about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest

pytestmark = pytest.mark.anyio

LIMIT = 900
"""Characters of an answer to one result, but for what it hands out next."""

NAMES = tuple(f"services/of/the/shop/module_{number:02}/service_of_it.py" for number in range(20))
NOISY = "command: python -c \"print('and so on ' * 3000); raise SystemExit(3)\""
CASES: dict[str, tuple[dict[str, Any], tuple[str, ...], dict[str, Any]]] = {
    "nothing was changed": ({"files": NAMES}, (), {"text": "done"}),
    "all was changed": ({"files": NAMES}, NAMES, {"text": "done"}),
    "half was changed": ({"files": NAMES}, NAMES[:10], {"text": "done"}),
    "a false claim": ({"files": NAMES}, NAMES[:1], {"handoff": {"completed_work": "x", "files_modified": NAMES[1:]}}),
    "many criteria that fail": (
        {"files": NAMES[:1], "acceptance": [NOISY, *(f"file:{name}" for name in NAMES[1:]), "diff"]},
        NAMES[:1],
        {"text": "done"},
    ),
    "many criteria that hold": (
        {"files": NAMES, "acceptance": [f"file:{name}" for name in NAMES]},
        NAMES,
        {"text": "x"},
    ),
    "criteria that nobody can check": (
        {"files": NAMES[:1], "acceptance": [f"command: make the-target-number-{number}" for number in range(20)]},
        NAMES[:1],
        {"text": "done"},
    ),
    "other files changed meanwhile": ({"files": NAMES[:1]}, NAMES, {"text": "done"}),
    "an endless error": ({}, (), {"status": "failed", "error": "because " * 2000}),
    "a broken handoff": ({}, (), {"text": '```json\n{"completed_work": ' + "x" * 5000}),
    "a long answer": ({}, (), {"text": "word " * 5000}),
}


@pytest.mark.slice(3)
@pytest.mark.parametrize("name", CASES)
async def test_the_answer_to_one_result_is_short_and_the_trace_has_the_rest(name: str, tmp_path: Path) -> None:
    fields, writes, said = CASES[name]
    workspace = memory_client.repository(tmp_path / "shop")
    task = {"id": "a-task-with-a-rather-long-name", "do": "Change it", **fields}
    with anyio.fail_after(120):
        async with memory_client.desk(
            memory_client.make_server(memory_client.settings(tmp_path / "home", workspace))
        ) as desk:
            run = await desk.call("dispatch", plan_id=await desk.planned(task), worker="host")
            for path in writes:
                (workspace / path).parent.mkdir(parents=True, exist_ok=True)
                (workspace / path).write_text("two")
            result = {"task_id": task["id"], "attempt": 1, **said}
            answer = await desk.call("report", run_id=run["run_id"], results=[result])
            trace = await desk.call("get_trace", run_id=run["run_id"], view="results")
    answer.pop("assignments", None)
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    assert len(text) <= LIMIT
    [line] = answer["results"]
    for result in trace.get("results", ()):
        told = len(line.get("receipts", ())) + line.get("more_receipts", 0)
        assert len([one for one in result.get("receipts", ()) if one["kind"] != "claim"]) == told


@pytest.mark.parametrize("name", ["all was changed", "a false claim", "an endless error", "many criteria that fail"])
async def test_ten_long_notes_leave_the_answer_short_and_are_read_whole_elsewhere(name: str, tmp_path: Path) -> None:
    fields, writes, said = CASES[name]
    workspace = memory_client.repository(tmp_path / "shop")
    task: dict[str, Any] = {"id": "a-task-with-a-rather-long-name", "do": "Change it", **fields}
    other: dict[str, Any] = {"id": "another-task-with-a-long-name", "do": "Look on", "deps": []}
    notes = [f"{number}: {'you have to know this, ' * 160}" for number in range(10)]
    async with memory_client.desk(
        memory_client.make_server(memory_client.settings(tmp_path / "home", workspace))
    ) as desk:
        run = await desk.call("dispatch", plan_id=await desk.planned(task, other), worker="host")
        names = ("a-task-with-a-rather-long-name", "another-task-with-a-long-name", "orchestrator")
        for to in names:
            for note in notes:
                await desk.call("message_agents", run_id=run["run_id"], action="send", recipient=to, text=note)
        for path in writes:
            (workspace / path).parent.mkdir(parents=True, exist_ok=True)
            (workspace / path).write_text("two")
        answer = await desk.call(
            "report", run_id=run["run_id"], results=[{"task_id": task["id"], "attempt": 1, **said}]
        )
        whole = json.loads(await desk.read(answer["notes_at"]))
    answer.pop("assignments", None)
    assert len(json.dumps(answer, ensure_ascii=False, separators=(",", ":"))) <= LIMIT
    assert [note["text"] for note in whole] == notes * 3


async def test_why_a_result_was_refused_comes_whole_to_whoever_does_it_again(tmp_path: Path) -> None:
    workspace = memory_client.repository(tmp_path / "shop")
    async with memory_client.desk(
        memory_client.make_server(memory_client.settings(tmp_path / "home", workspace))
    ) as desk:
        plan_id = await desk.planned({"id": "t", "do": "Change it", "files": NAMES[:8], "acceptance": [NOISY]})
        run = await desk.call("dispatch", plan_id=plan_id, worker="host")
        answer = await desk.call(
            "report", run_id=run["run_id"], results=[{"task_id": "t", "attempt": 1, "text": "done"}]
        )
    [line], [again] = answer["results"], answer["assignments"]
    assert line["why"].startswith("`command: python -c")
    assert "and so on and so on" in again["call"]["prompt"]
    assert all(name in again["call"]["prompt"].partition("no declared file was changed")[2] for name in NAMES[:8])
