"""Numbers that nobody can mean: refused at every door with the value, never stored; old rows of them stay readable."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest

from dispatch_mcp import configuration, errors
from dispatch_mcp.agents import frontmatter
from dispatch_mcp.model import bounds
from dispatch_mcp.service import plan_answers

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R25")]

BEYOND = [2**62, 2**63, 10**400, 1.7e308, -1, True]
COLUMNS = ", ".join(bounds.USAGE)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[memory_client.Desk]:
    chosen = memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    with anyio.fail_after(120):
        async with memory_client.desk(memory_client.make_server(chosen)) as desk:
            yield desk


def rows(home: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(home / "state.db")) as conn, conn:
        return conn.execute(statement, values).fetchall()


async def refusal(desk: memory_client.Desk, tool: str, **arguments: Any) -> str:
    with pytest.raises(memory_client.Refused) as caught:
        await desk.call(tool, **arguments)
    return str(caught.value)


@pytest.mark.parametrize("value", BEYOND, ids=repr)
async def test_no_door_of_a_tool_takes_a_number_beyond_all_bounds(
    desk: memory_client.Desk, tmp_path: Path, value: float
) -> None:
    plan_id = await desk.planned({"id": "a", "do": "Write a"}, {"id": "b", "do": "Write b"})
    run_id = (await desk.call("dispatch", plan_id=plan_id, worker="host"))["run_id"]
    before = rows(tmp_path / "home", "SELECT count(*) FROM event")
    for tool, arguments in (
        ("plan_dag", {"tasks": [{"id": "a", "do": "Write"}], "max_parallel": value}),
        ("plan_dag", {"plan_id": plan_id, "base_version": value, "edits": [{"op": "skip", "id": "a"}]}),
        *(("plan_dag", {"tasks": [{"id": "a", "do": "x", "limits": {name: value}}]}) for name in ("dollars", "tokens")),
        ("plan_dag", {"tasks": [{"id": "a", "do": "Write", "timeout_s": value}]}),
        ("plan_dag", {"tasks": [{"id": "a", "do": "Write", "attempts": value}]}),
        *(("dispatch", {"plan_id": plan_id, "limits": {name: value}}) for name in bounds.CEILINGS),
        ("get_trace", {"run_id": run_id, "wait_s": value}),
        ("report", {"run_id": run_id, "results": [{"task_id": "a", "attempt": value, "text": "x"}]}),
        *(
            (
                "report",
                {"run_id": run_id, "results": [{"task_id": "a", "attempt": 1, "text": "x", "usage": {name: value}}]},
            )
            for name in ("input_tokens", "total_tokens", "cost_usd", "duration_ms")
        ),
    ):
        assert await refusal(desk, tool, **arguments), (tool, arguments)
    assert rows(tmp_path / "home", "SELECT count(*) FROM event") == before
    assert rows(tmp_path / "home", f"SELECT {COLUMNS} FROM attempt WHERE coalesce({COLUMNS}) IS NOT NULL") == []


async def test_many_figures_that_are_possible_alone_are_refused_together(desk: memory_client.Desk) -> None:
    plan_id = await desk.planned({"id": "a", "do": "Write a"})
    run_id = (await desk.call("dispatch", plan_id=plan_id, worker="host"))["run_id"]
    usage = [{"input_tokens": bounds.MAX_TOKENS, "cost_usd": bounds.MAX_DOLLARS}] * 2
    result = {"task_id": "a", "attempt": 1, "text": "x", "usage": usage}
    assert "adds up to more" in await refusal(desk, "report", run_id=run_id, results=[result])


async def test_a_simulated_usage_is_within_bounds_too(desk: memory_client.Desk) -> None:
    script = {"usage": {"input_tokens": 2**62}}
    plan_id = await desk.planned({"id": "a", "do": "Wait", "worker": "scripted", "inputs": {"script": script}})
    run = await desk.finished((await desk.call("dispatch", plan_id=plan_id))["run_id"])
    assert run["state"] == "failed"
    assert run["spend"] == {}


async def test_a_diff_with_impossible_line_numbers_is_read_as_far_as_it_can_be(desk: memory_client.Desk) -> None:
    head = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n"
    diff = f"{head}@@ -{'9' * 5_000} +1 @@\n-a\n+b\n@@ -1 +1 @@\n-x\n+y\n"
    assert "outside of any hunk" in str(await refusal(desk, "review_council", diff=diff))


async def test_a_store_with_such_rows_stays_readable_and_says_which(desk: memory_client.Desk, tmp_path: Path) -> None:
    plan_id = await desk.planned(
        {"id": "a", "do": "Write a"}, {"id": "b", "do": "Write b"}, {"id": "c", "do": "Write c"}
    )
    run_id = (await desk.call("dispatch", plan_id=plan_id, worker="host", limits={"dollars": 5_000}))["run_id"]
    results = [{"task_id": name, "attempt": 1, "text": "Done"} for name in "ab"]
    await desk.call("report", run_id=run_id, results=results)
    home = tmp_path / "home"
    poison = "UPDATE attempt SET input_tokens = ?, output_tokens = ?, cost_usd = ? WHERE seconds IS NOT NULL"
    rows(home, poison, 2**62, 2**62, 1.7e308)
    rows(home, "UPDATE run SET limits = ?", f'{{"dollars":1.7e308,"tokens":{2**62},"attempts":{2**70}}}')
    rows(home, "DROP TRIGGER plan_is_immutable")
    limit = f'"limits":{{"tokens":{2**62}}},"id":"c"'
    rows(home, "UPDATE plan SET document = replace(document, ?, ?)", '"id":"c"', limit)
    for view in ("summary", "all", "results", "timeline", "todo", "mermaid", "artifacts"):
        trace = await desk.call("get_trace", run_id=run_id, view=view)
        if view == "summary":
            assert [line.split(" beyond")[0] for line in trace["doubts"]] == [
                f"Attempt 1 of task '{name}' has input_tokens, output_tokens, cost_usd" for name in "ab"
            ]
            assert trace["spend"]["input_tokens"] == bounds.MAX_TOKENS
            assert trace["limits"]["dollars"] == bounds.MAX_DOLLARS
    assert (await desk.call("get_trace"))["runs"][0]["run_id"] == run_id
    again = await desk.call("dispatch", plan_id=await desk.planned({"id": "z", "do": "Write z"}), worker="host")
    assert again["state"] == "running"
    assert (await desk.call("report", run_id=run_id, results=[{"task_id": "c", "attempt": 1, "text": "x"}]))["counts"]


@pytest.mark.parametrize("value", [str(2**62), "1e308", "nan", "inf", "-1", "9" * 5_000], ids=lambda text: text[:6])
@pytest.mark.parametrize(
    "name", ["max_dollars", "max_tokens", "max_minutes", "max_attempts", "max_tasks", "max_fan_out"]
)
@pytest.mark.parametrize("layer", ["env", "file"])
def test_no_setting_takes_a_number_beyond_all_bounds(tmp_path: Path, name: str, value: str, layer: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    env = {f"DISPATCH_MCP_{name.upper()}": value} if layer == "env" else {}
    if layer == "file":
        (home / "config.toml").write_text(f"{name} = {value}\n", encoding="utf-8")
    with pytest.raises(errors.ConfigError):
        configuration.load(env, home=home, cwd=tmp_path)


def test_numbers_in_agent_files_are_read_or_left_out() -> None:
    header = f"a: 5\nb: {10**400}\nc: -{2**63}\nd: .inf\ne: .nan\nf: 1.7e+308\ng: {{h: {2**64}}}\ni: 0.5"
    values, _ = frontmatter.parse(header)
    nothing = dict.fromkeys("bcdef")
    assert values == {"a": 5, **nothing, "g": {"h": None}, "i": 0.5}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            {"tokens": 2**62},
            "limits.tokens is 4611686018427387904; it can be a whole number from 1 to 1,000,000,000,000",
        ),
        ({"usd": -1}, "limits.dollars is -1; it can be a number from"),
        ({"dollars": True}, "limits.dollars is True"),
        ({"speed": 3}, "limits.speed is 3; there is no such limit"),
    ],
)
def test_a_ceiling_that_cannot_be_is_named_with_what_is_possible(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.InputError) as caught:
        plan_answers.read_limits(limits)
    assert message in str(caught.value)
