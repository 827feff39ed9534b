"""Reviews through a real client: assignments, reports, the decision, and waivers that only a user can give."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest
import raw_server
from mcp import Client, StdioServerParameters
from mcp.types import ElicitResult

from dispatch_mcp import configuration

pytestmark = pytest.mark.anyio

BAD = "def find(db, name):\n    return db.execute(f\"SELECT id FROM users WHERE name = '{name}'\")\n"
QUOTE = "return db.execute(f\"SELECT id FROM users WHERE name = '{name}'\")"
PASS = '```json\n{"verdict": "PASS", "files": ["db.py"], "findings": []}\n```'


def fails(quote: str = QUOTE) -> str:
    finding = {
        "severity": "critical",
        "file": "db.py",
        "line": 2,
        "quote": quote,
        "claim": "injection",
        "evidence": "'",
    }
    return "```json\n" + json.dumps({"verdict": "FAIL", "findings": [finding]}) + "\n```"


def chosen(tmp_path: Path, change: str = BAD) -> configuration.Settings:
    shop = memory_client.repository(tmp_path / "shop")
    (shop / "db.py").write_text(change, encoding="utf-8")
    return memory_client.settings(tmp_path / "home", shop)


async def answered(desk: memory_client.Desk, started: dict[str, Any], answers: dict[str, str]) -> dict[str, Any]:
    """Reports an answer for every assignment until there are none left, and returns the last answer."""
    answer, waiting = started, started["assignments"]
    while waiting:
        results = [
            {"task_id": one["task_id"], "attempt": one["attempt"], "text": answers.get(one["task_id"], PASS)}
            for one in waiting
        ]
        answer = await desk.call("report", run_id=started["run_id"], results=results)
        waiting = answer.get("assignments", [])
    return answer


@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_a_host_carries_out_a_round_in_two_calls(tmp_path: Path, era: str) -> None:
    async with memory_client.desk(memory_client.make_server(chosen(tmp_path)), era) as desk:
        started = await desk.call("review_council")
        assert [one["task_id"] for one in started["assignments"]][:2] == [
            "architecture-strategist",
            "security-sentinel",
        ]
        assert {one["call"]["model"] for one in started["assignments"]} == {"sonnet"}
        assert all(one["call"]["run_in_background"] for one in started["assignments"])
        answer = await answered(desk, started, {"security-sentinel": fails()})
    assert answer["decision"]["outcome"] == "BLOCK"
    assert answer["decision"]["findings"][0]["place"] == "db.py:2"
    assert answer["decision"]["findings"][0]["reviewers"] == ["security-sentinel"]


async def test_the_advocate_is_handed_out_when_everybody_passes(tmp_path: Path) -> None:
    async with memory_client.desk(memory_client.make_server(chosen(tmp_path))) as desk:
        started = await desk.call("review_council")
        results = [{"task_id": one["task_id"], "attempt": 1, "text": PASS} for one in started["assignments"]]
        second = await desk.call("report", run_id=started["run_id"], results=results)
        assert [one["task_id"] for one in second["assignments"]] == ["devils-advocate"]
        assert "decision" not in second
        last = await answered(desk, {**second, "run_id": started["run_id"]}, {})
    assert last["decision"]["outcome"] == "PASS"


async def test_an_unusable_answer_comes_back_once(tmp_path: Path) -> None:
    async with memory_client.desk(memory_client.make_server(chosen(tmp_path))) as desk:
        started = await desk.call("review_council")
        answers = {one["task_id"]: PASS for one in started["assignments"]} | {"security-sentinel": "LGTM"}
        results = [
            {"task_id": one["task_id"], "attempt": 1, "text": answers[one["task_id"]]} for one in started["assignments"]
        ]
        second = await desk.call("report", run_id=started["run_id"], results=results)
        assert [(one["task_id"], one["attempt"]) for one in second["assignments"]] == [("security-sentinel", 2)]
        last = await answered(desk, {**second, "run_id": started["run_id"]}, answers)
    assert last["decision"]["outcome"] == "INCONCLUSIVE"
    assert last["decision"]["blocks"]


async def test_asking_again_repeats_nothing_and_says_where_it_stands(tmp_path: Path) -> None:
    async with memory_client.desk(memory_client.make_server(chosen(tmp_path))) as desk:
        started = await desk.call("review_council")
        again = await desk.call("review_council")
        assert again["run_id"] == started["run_id"]
        answer = await answered(desk, started, {"security-sentinel": fails()})
        found = await desk.call("review_council", run_id=started["run_id"])
        trace = await desk.call("get_trace", run_id=started["run_id"], view="council")
    assert found["outcome"] == answer["decision"]["outcome"] == trace["council"]["outcome"] == "BLOCK"
    assert {one["reviewer"] for one in trace["council"]["calibration"]} >= {"security-sentinel"}


@pytest.mark.parametrize(
    ("action", "decision", "reason", "passes"),
    [
        ("accept", "waive", "the table is public", True),
        ("accept", "keep", "", False),
        ("accept", "waive", "", False),
        ("decline", "", "", False),
        ("cancel", "", "", False),
    ],
)
async def test_only_the_user_can_waive(
    tmp_path: Path, action: str, decision: str, reason: str, *, passes: bool
) -> None:
    asked: list[str] = []

    async def answer(_context: object, params: Any) -> ElicitResult:
        asked.append(params.message)
        content = {"decision": decision, "reason": reason} if decision else None
        return ElicitResult(action=action, content=content)  # type: ignore[arg-type]

    async with memory_client.desk(memory_client.make_server(chosen(tmp_path)), elicitation_callback=answer) as desk:
        started = await desk.call("review_council")
        found = (await answered(desk, started, {"security-sentinel": fails()}))["decision"]["findings"][0]["id"]
        call = {"run_id": started["run_id"], "action": "waive", "task_id": found, "reason": "the model says so"}
        if passes:
            waived = await desk.call("steer_run", **call)
            assert waived["outcome"] == "PASS"
            assert waived["findings"][0]["waived"] == "the user, asked by the client: the table is public"
        else:
            with pytest.raises(memory_client.Refused):
                await desk.call("steer_run", **call)
            assert (await desk.call("review_council", run_id=started["run_id"]))["outcome"] == "BLOCK"
    assert len(asked) == 1
    assert "injection" in asked[0]


async def test_a_client_that_cannot_ask_waives_nothing(tmp_path: Path) -> None:
    async with memory_client.desk(memory_client.make_server(chosen(tmp_path))) as desk:
        started = await desk.call("review_council")
        found = (await answered(desk, started, {"security-sentinel": fails()}))["decision"]["findings"][0]["id"]
        with pytest.raises(memory_client.Refused, match="dispatch-mcp waive"):
            await desk.call("steer_run", run_id=started["run_id"], action="waive", task_id=found, reason="because")


async def test_a_round_trip_over_real_pipes(tmp_path: Path) -> None:
    settings = chosen(tmp_path)
    env = raw_server.environment(settings.home, settings.workspace)
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "dispatch_mcp"], env=env, cwd=str(settings.workspace)
    )
    with anyio.fail_after(120):
        async with Client(parameters) as client:
            desk = memory_client.Desk(client)
            started = await desk.call("review_council")
            whole = await desk.read(f"dispatch://runs/{started['run_id']}/tasks/security-sentinel/prompt")
            answer = await answered(desk, started, {"security-sentinel": fails()})
    assert QUOTE in whole
    assert answer["decision"]["outcome"] == "BLOCK"
    assert answer["decision"]["findings"][0]["place"] == "db.py:2"
