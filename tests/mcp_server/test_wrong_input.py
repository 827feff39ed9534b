"""R13 and S3 at the face: whatever a client sends, it gets an answer in words, and nothing is half done."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from mcp import MCPError
from mcp.types import INVALID_PARAMS

from dispatch_mcp.mcp_server import tool_arguments
from dispatch_mcp.text import json_types

FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"
CASES = 2_000 if FULL else 150
TABLES = ("plan", "run", "message")
TEN_MB = "x" * 10_000_000
Count = Callable[[], list[int]]
GOOD_TASKS = [{"id": "a", "do": "Write a"}, {"id": "b", "do": "Write b", "deps": ["a"]}]

UNASKED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
"""What hypothesis need not watch here: the calls are drawn to be large and odd."""

pytestmark = pytest.mark.anyio


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    workspace = memory_client.repository(tmp_path / "shop")
    with anyio.fail_after(1500):
        async with memory_client.desk(
            memory_client.make_server(memory_client.settings(tmp_path / "home", workspace))
        ) as it:
            yield it


@pytest.fixture
def stored(tmp_path: Path) -> Count:
    """Returns what counts the plans, runs and messages in the store; there is none before the first call."""

    def count() -> list[int]:
        if not (tmp_path / "home" / "state.db").exists():
            return [0, 0, 0]
        with closing(sqlite3.connect(tmp_path / "home" / "state.db")) as conn:
            return [conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES]

    return count


async def told(desk: memory_client.Desk, tool: str, given: Mapping[str, Any]) -> str | None:
    """Calls a tool and returns its refusal, or None; anything but an answer in words fails."""
    with anyio.fail_after(120):
        result = await desk.client.call_tool(tool, dict(given))
    text = " ".join(getattr(block, "text", "") for block in result.content)
    assert "Error executing tool" not in text, (given, text[:500])
    assert "Traceback" not in text
    assert "pydantic" not in text
    assert text, given
    if not result.is_error:
        assert result.structured_content is not None
        return None
    assert len(text) < 60_000
    return text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
VALUES: list[Any] = [
    "",
    " ",
    "\0",
    "a\0b",
    "\ud800",
    "\u202egnp.exe",
    "\u200b",
    "../../etc/passwd",
    "latest",
    "%s%n",
    "'; DROP TABLE run; --",
    "{{7*7}}",
    "-1",
    -1,
    0,
    2**63,
    10**400,
    1e308,
    math.nan,
    math.inf,
    True,
    None,
    [],
    {},
    [[]],
    {"": ""},
    "x" * 5_000,
]
NASTY = st.sampled_from(VALUES)


def merged(objects: tuple[dict[Any, Any], dict[Any, Any]]) -> dict[Any, Any]:
    return {**objects[0], **objects[1]}


def mutated(value: Any) -> st.SearchStrategy[Any]:
    """Draws the value with one or more of its parts replaced, dropped, doubled or added."""
    whole = st.just(value) | NASTY | JSON
    if json_types.is_object(value):
        kept = {key: mutated(item) for key, item in value.items()}
        parts = st.fixed_dictionaries({}, optional=kept)
        more = st.dictionaries(st.text(max_size=8), JSON, max_size=2)
        return whole | parts | st.tuples(parts, more).map(merged)
    if json_types.is_list(value):
        return whole | st.lists(st.one_of([mutated(item) for item in value] or [JSON]), max_size=5)
    return whole


def valid(handles: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Returns calls that are right, to begin from."""
    plan_id, run_id = handles["plan_id"], handles["run_id"]
    task = {
        "id": "a",
        "do": "Write it",
        "deps": [],
        "files": ["a.py"],
        "reads": ["b.py"],
        "agent": "backend-engineer",
        "model": "sonnet",
        "effort": "S",
        "priority": "high",
        "context": ["file:a.py"],
        "constraints": ["no new dependency"],
        "output": ["a.py"],
        "command": ["git", "log"],
        "inputs": {"script": {"sleep_s": 0}},
    }
    result = {
        "task_id": "a",
        "attempt": 1,
        "status": "succeeded",
        "text": "done",
        "handoff": {"completed_work": "x", "files_modified": ["a.py"], "decisions_made": []},
        "output": {"a": 1},
        "error": "",
        "retryable": False,
        "usage": {"input_tokens": 1, "output_tokens": 2, "cost_usd": 0.1},
    }
    edit = {"op": "modify", "id": "a", "task": {"do": "Write more"}, "reason": "why"}
    return {
        "route_task": [{"task": "fix the login", "files": ["a.py"], "roster": "backend", "urgency": "high"}],
        "plan_dag": [
            {
                "request": "x",
                "tasks": [task, {"id": "b", "do": "y", "deps": ["a"]}],
                "max_parallel": 3,
                "diagram": True,
            },
            {"plan_id": plan_id, "base_version": 1, "edits": [edit, {"op": "add", "id": "z", "task": {"do": "q"}}]},
        ],
        "dispatch": [
            {"plan_id": plan_id, "worker": "scripted", "request_key": "k", "dry_run": True, "limits": {"tasks": 9}},
            {"run_id": run_id, "fresh": True},
        ],
        "report": [{"run_id": run_id, "results": [result]}],
        "review_council": [{"diff": "--- a\n+++ b\n", "range": "HEAD~1..HEAD", "run_id": run_id}],
        "get_trace": [{"run_id": run_id, "task_id": "a", "view": "timeline", "cursor": "1"}, {"view": "all"}],
        "steer_run": [{"run_id": run_id, "action": "retry", "task_id": "a", "reason": "again"}],
        "message_agents": [{"run_id": run_id, "action": "send", "recipient": "a", "kind": "warning", "text": "mind"}],
    }


def cases(tool: str, handles: Mapping[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    """Draws calls of a tool: mutations of right ones, right names with any value, and anything at all."""
    starts = [mutated(call) for call in valid(handles)[tool]]
    fields = list(tool_arguments.TOOLS[tool].model_fields)
    named = st.dictionaries(st.sampled_from(fields), NASTY | JSON, max_size=4)
    drawn = st.one_of(*starts, named, st.dictionaries(st.text(max_size=12), JSON, max_size=4))
    return drawn.filter(lambda call: isinstance(call, dict)).map(_unhurried)


def _unhurried(call: dict[str, Any]) -> dict[str, Any]:
    """Takes out the waits that are right: thousands of cases cannot sit through 45 seconds each."""
    return {**call, "wait_s": 0} if isinstance(call.get("wait_s"), int | float) and 0 < call["wait_s"] <= 45 else call


@pytest.mark.promise("R13")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("tool", sorted(tool_arguments.TOOLS))
@pytest.mark.slice(2)
async def test_whatever_is_sent_to_a_tool_is_answered_in_words(
    desk: memory_client.Desk, tool: str, stored: Count
) -> None:
    plan_id = await desk.planned(*GOOD_TASKS)
    run_id = (await desk.call("dispatch", plan_id=plan_id))["run_id"]
    drawn: list[dict[str, Any]] = []

    @seed(int(time.time()) if FULL else 13)
    @settings(max_examples=CASES, database=None, suppress_health_check=UNASKED)
    @given(cases(tool, {"plan_id": plan_id, "run_id": run_id}))
    def collect(call: dict[str, Any]) -> None:
        drawn.append(call)

    collect()
    refused = 0
    for call in drawn:
        before = stored()
        refusal = await told(desk, tool, call)
        if refusal is not None:
            refused += 1
            assert stored() == before, (call, refusal)
    assert refused, "some of it must have been wrong"
    assert (await desk.call("get_trace", run_id=run_id))["run_id"] == run_id, "and the server goes on"


UNKNOWN = [
    ("plan_dag", {"plan_id": "f" * 32, "base_version": 1, "edits": [{"op": "remove", "id": "a"}]}),
    ("dispatch", {"plan_id": "f" * 32}),
    ("dispatch", {"run_id": "f" * 32}),
    ("report", {"run_id": "f" * 32, "results": [{"task_id": "a", "attempt": 1}]}),
    ("get_trace", {"run_id": "f" * 32}),
    ("get_trace", {"run_id": "f" * 32, "wait_s": 5}),
    ("get_trace", {"run_id": "f" * 32, "view": "timeline", "cursor": "1"}),
    ("get_trace", {"run_id": "f" * 32, "task_id": "a"}),
    ("steer_run", {"run_id": "f" * 32, "action": "cancel"}),
    ("steer_run", {"run_id": "f" * 32, "action": "skip", "task_id": "a"}),
    ("message_agents", {"run_id": "f" * 32}),
    ("message_agents", {"run_id": "f" * 32, "action": "send", "text": "x", "recipient": "a"}),
]
IDS = [f"{tool}-{'-'.join(given)}" for tool, given in UNKNOWN]


@pytest.mark.promise("R13")
@pytest.mark.parametrize(("tool", "given"), UNKNOWN, ids=IDS)
async def test_an_unknown_handle_is_refused_with_its_value(
    desk: memory_client.Desk, tool: str, given: dict[str, Any]
) -> None:
    refusal = await told(desk, tool, given)
    assert refusal is not None
    assert "f" * 32 in refusal


def renamed(value: Any, ids: Mapping[str, str]) -> Any:
    """Returns the call with another plan's and run's ids in place of unknown ones."""
    return {key: ids.get(key, item) for key, item in value.items()}


@pytest.mark.promise("S3")
async def test_somebody_elses_handle_is_as_unknown_as_one_that_never_was(tmp_path: Path) -> None:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    mine, theirs = (memory_client.make_server(chosen, principal) for principal in ("ann", "bob"))
    with anyio.fail_after(120):
        async with memory_client.desk(mine) as ann, memory_client.desk(theirs) as bob:
            plan_id = await ann.planned(*GOOD_TASKS)
            run_id = (await ann.call("dispatch", plan_id=plan_id))["run_id"]
            before = timeless(await ann.call("get_trace", run_id=run_id, view="timeline"))
            ids = {"plan_id": plan_id, "run_id": run_id}
            for tool, given in UNKNOWN:
                real = await told(bob, tool, renamed(given, ids))
                invented = await told(bob, tool, given)
                assert real is not None
                assert invented is not None
                assert scrubbed(real, ids) == invented, tool
            assert (await bob.call("get_trace", view="all")).get("runs", []) == []
            assert [await bob.known("plan_id"), await bob.known("run_id")] == [[], []]
            for uri in (
                f"dispatch://plans/{plan_id}",
                f"dispatch://runs/{run_id}",
                f"dispatch://runs/{run_id}/trace",
                f"dispatch://runs/{run_id}/tasks/a/prompt",
                f"dispatch://runs/{run_id}/tasks/a/result",
            ):
                seen = [await missing(bob, uri), await missing(bob, scrubbed(uri, ids))]
                assert scrubbed(seen[0], ids) == seen[1]
            after = timeless(await ann.call("get_trace", run_id=run_id, view="timeline"))
            assert after == before, "and nothing happened to it"


def timeless(trace: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a view of a run without the fields that say how long ago something was."""
    return {name: value for name, value in trace.items() if name not in ("age", "next")}


def scrubbed(text: str, ids: Mapping[str, str]) -> str:
    for value in ids.values():
        text = text.replace(value, "f" * 32)
    return text


async def missing(desk: memory_client.Desk, uri: str) -> str:
    with pytest.raises(MCPError) as wrong:
        await desk.read(uri)
    assert memory_client.codes(wrong.value) == INVALID_PARAMS
    return wrong.value.error.message


def big(path: str) -> dict[str, Any]:
    tool = {
        "route_task": {"task": TEN_MB},
        "plan_dag": {"tasks": [{"id": "a", "do": TEN_MB}]},
        "dispatch": {"plan_id": TEN_MB},
        "report": {"run_id": "r", "results": [{"task_id": "a", "attempt": 1, "text": TEN_MB}]},
        "review_council": {"diff": TEN_MB + "x"},
        "get_trace": {"run_id": TEN_MB},
        "steer_run": {"run_id": "r", "action": "cancel", "reason": TEN_MB},
        "message_agents": {"run_id": "r", "action": "send", "text": TEN_MB},
    }
    return tool[path]


@pytest.mark.promise("R13")
@pytest.mark.parametrize("tool", sorted(tool_arguments.TOOLS))
async def test_ten_megabytes_are_refused_shortly(desk: memory_client.Desk, tool: str, stored: Count) -> None:
    refusal = await told(desk, tool, big(tool))
    assert refusal is not None
    assert len(refusal) < 4_000
    assert not any(stored())


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.promise("R13")
@pytest.mark.parametrize("tool", sorted(tool_arguments.TOOLS))
async def test_nul_and_deep_nesting_are_refused_by_every_argument(desk: memory_client.Desk, tool: str) -> None:
    for name in tool_arguments.TOOLS[tool].model_fields:
        for value in ("a\0b", ["a\0b"], {"a": "\0"}, deep(150)):
            assert await told(desk, tool, {name: value}) is not None, (name, str(value)[:40])


@pytest.mark.promise("R13")
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "[" * 5_000, "[" * 5_000 + "]" * 5_000])
async def test_lists_and_numbers_sent_as_text_are_refused_too(desk: memory_client.Desk, text: str) -> None:
    for tool, expected in tool_arguments.TOOLS.items():
        for name, field in expected.model_fields.items():
            if field.annotation is not str:
                assert await told(desk, tool, {name: text}) is not None, (tool, name)


@pytest.mark.promise("R13")
async def test_a_refused_call_writes_nothing(desk: memory_client.Desk, stored: Count) -> None:
    plan_id = await desk.planned(*GOOD_TASKS)
    run_id = (await desk.call("dispatch", plan_id=plan_id))["run_id"]

    async def content() -> str:
        timeline = await desk.call("get_trace", run_id=run_id, view="timeline")
        return json.dumps([{**timeline, "age": ""}, stored()])

    before = await content()
    for tool, wrong in (
        ("plan_dag", {"tasks": [*GOOD_TASKS, {"id": "c", "do": "x", "deps": ["nobody"]}]}),
        ("plan_dag", {"plan_id": plan_id, "base_version": 1, "edits": [{"op": "add", "id": "n", "task": {"do": 5}}]}),
        ("dispatch", {"plan_id": plan_id, "limits": {"tasks": -1}}),
        ("dispatch", {"plan_id": plan_id, "run_id": run_id}),
        ("report", {"run_id": run_id, "results": [{"task_id": "a"}, {"task_id": "b"}]}),
        ("report", {"run_id": run_id, "results": [{"task_id": "a", "attempt": 1, "status": "maybe"}]}),
        ("steer_run", {"run_id": run_id, "action": "retry"}),
        ("steer_run", {"run_id": run_id, "action": "skip", "task_id": "nobody"}),
        ("message_agents", {"run_id": run_id, "action": "send", "text": " "}),
    ):
        assert await told(desk, tool, wrong) is not None, (tool, wrong)
    assert await content() == before


async def test_an_unknown_tool_is_named(desk: memory_client.Desk) -> None:
    result = await desk.client.call_tool("drop_tables", {})
    assert result.is_error
    assert "drop_tables" in getattr(result.content[0], "text", "")
