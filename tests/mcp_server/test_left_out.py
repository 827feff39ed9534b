"""Null and empty texts for what was left out: clients with strict schemas send one of them for every argument."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest

from dispatch_mcp import model
from dispatch_mcp.mcp_server import tool_arguments
from dispatch_mcp.planning import plan_documents, plan_edits

pytestmark = pytest.mark.anyio

RUN_ID = "0" * 32
REQUIRED: dict[str, dict[str, Any]] = {
    "route_task": {"task": "Fix the login"},
    "plan_dag": {},
    "dispatch": {},
    "report": {"run_id": RUN_ID, "results": [{"task_id": "a", "attempt": 1}]},
    "review_council": {},
    "get_trace": {},
    "steer_run": {"run_id": RUN_ID, "action": "pause"},
    "message_agents": {"run_id": RUN_ID},
}
"""The least that each tool takes."""

BLANKS = (None, "")
TASK = {"id": "write", "do": "Write the basket module", "files": ["basket.py"]}


def optional_arguments() -> Iterator[tuple[str, str]]:
    for tool, args_type in tool_arguments.TOOLS.items():
        for name, field in args_type.model_fields.items():
            if not field.is_required() and name not in args_type.EMPTY_SAYS:
                yield tool, name


def arguments(tool: str, raw: dict[str, Any]) -> tool_arguments.Args:
    kept = tool_arguments.without_left_out(tool, raw)
    tool_arguments.check(tool, kept)
    return tool_arguments.TOOLS[tool].model_validate(kept)


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize(("tool", "name"), list(optional_arguments()))
def test_an_optional_argument_without_a_value_counts_as_left_out(tool: str, name: str, blank: str | None) -> None:
    assert arguments(tool, {**REQUIRED[tool], name: blank}) == arguments(tool, REQUIRED[tool])


@pytest.mark.parametrize("tool", sorted(tool_arguments.TOOLS))
def test_null_for_a_required_argument_is_a_missing_one(tool: str) -> None:
    for name in REQUIRED[tool]:
        assert name not in tool_arguments.without_left_out(tool, {**REQUIRED[tool], name: None})


def test_an_empty_diff_says_that_there_is_nothing_and_null_says_nothing() -> None:
    assert tool_arguments.without_left_out("review_council", {"diff": "", "range": ""}) == {"diff": ""}
    assert tool_arguments.without_left_out("review_council", {"diff": None}) == {}


def test_what_a_tool_does_not_take_is_refused_without_a_value_too() -> None:
    assert tool_arguments.without_left_out("get_trace", {"run": None}) == {"run": None}


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize("name", [*plan_documents.readers(model.Task), *plan_documents.ALIASES])
def test_a_field_of_a_task_without_a_value_counts_as_left_out(name: str, blank: str | None) -> None:
    if name in ("id", "do", *(alias for alias, own in plan_documents.ALIASES.items() if own in ("id", "do"))):
        bare = {key: value for key, value in TASK.items() if key != plan_documents.ALIASES.get(name, name)}
        assert plan_documents.read_tasks([{**bare, name: blank}]) == plan_documents.read_tasks([bare])
    else:
        assert plan_documents.read_tasks([{**TASK, name: blank}]).problems == ()
        own = {key: value for key, value in TASK.items() if key != plan_documents.ALIASES.get(name, name)}
        assert plan_documents.read_tasks([{**own, name: blank}]) == plan_documents.read_tasks([own])


@pytest.mark.parametrize("blank", BLANKS)
def test_an_alias_without_a_value_does_not_contradict_the_name_that_has_one(blank: str | None) -> None:
    reading = plan_documents.read_tasks([{**TASK, "agent": "tester", "subagent_type": blank, "task_id": blank}])
    assert (reading.problems, reading.tasks[0].agent, reading.tasks[0].id) == ((), "tester", "write")


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize("name", [name for name in plan_documents.readers(model.Task) if name != "do"])
def test_an_edit_does_not_change_a_field_that_it_gives_no_value(name: str, blank: str | None) -> None:
    (before,) = plan_documents.read_tasks([{**TASK, "agent": "tester", "effort": "L", "timeout_s": 60}]).tasks
    edit = {"op": "modify", "id": "write", "reason": blank, "task": {"do": "Write it well", name: blank}}
    (after,), faults = plan_edits.apply([before], [edit])
    assert faults == []
    assert after == before.model_copy(update={"goal": "Write it well"})


@pytest.mark.parametrize("op", ["skip", "remove"])
def test_an_edit_takes_blanks_for_everything_it_does_not_need(op: str) -> None:
    tasks = plan_documents.read_tasks([TASK, {"id": "test", "do": "Test it"}]).tasks
    left, faults = plan_edits.apply(tasks, [{"op": op, "id": "test", "task": None, "reason": "", "cascade": None}])
    assert (faults, [task.id for task in left]) == ([], ["write"])


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    workspace = memory_client.repository(tmp_path / "shop")
    with anyio.fail_after(120):
        async with memory_client.desk(
            memory_client.make_server(memory_client.settings(tmp_path / "home", workspace))
        ) as it:
            yield it


def filled_up(tool: str, blank: str | None, **arguments: Any) -> dict[str, Any]:
    """Returns a call with a blank for every argument of the tool that it does not give."""
    names = tool_arguments.TOOLS[tool].model_fields
    blanks = {name: blank for name in names if not (blank == "" and name == "diff")}
    return {**blanks, **arguments}


@pytest.mark.parametrize("blank", BLANKS)
async def test_a_client_that_sends_every_argument_goes_the_whole_way(
    desk: memory_client.Desk, tmp_path: Path, blank: str | None
) -> None:
    task = {**dict.fromkeys(tool_arguments.task_schema(model.Task)["properties"], blank), **TASK}
    route = await desk.call("route_task", **filled_up("route_task", blank, task="Write a basket module"))
    assert route["strategy"]
    plan = await desk.call("plan_dag", **filled_up("plan_dag", blank, tasks=[task]))
    limits = dict.fromkeys(model.Limits.model_fields, blank)
    run = await desk.call("dispatch", **filled_up("dispatch", blank, plan_id=plan["plan_id"], limits=limits))
    run_id = run["run_id"]
    note = filled_up("message_agents", blank, run_id=run_id, action="send", recipient="write", text="In cents.")
    assert (await desk.call("message_agents", **note))["sent"] == 1
    (tmp_path / "shop" / "basket.py").write_text("ITEMS = []\n", encoding="utf-8")
    blanks = dict.fromkeys(("status", "handoff", "output", "error", "retryable", "usage"), blank)
    report = await desk.call(
        "report", run_id=run_id, results=[{**blanks, "task_id": "write", "attempt": 1, "text": "Written."}]
    )
    assert [line["accepted"] for line in report["results"]] == [True]
    assert (await desk.call("get_trace", **filled_up("get_trace", blank)))["next"]
    review = await desk.call(
        "review_council",
        **filled_up("review_council", blank, diff="diff --git a/x b/x\nold mode 100644\nnew mode 100755\n"),
    )
    assert review["outcome"] == "NOTHING_TO_REVIEW"
