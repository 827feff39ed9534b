"""Reviews through a real client: assignments, reports, the decision, and waivers that only a user can give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import stage
from mcp.types import ElicitResult

from dispatch_mcp import config
from dispatch_mcp.faces.commands import review

pytestmark = pytest.mark.anyio

BAD = "def find(db, name):\n    return db.execute(f\"SELECT id FROM users WHERE name = '{name}'\")\n"
QUOTE = "return db.execute(f\"SELECT id FROM users WHERE name = '{name}'\")"
PASS = '```json\n{"verdict": "PASS", "findings": []}\n```'


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


def chosen(tmp_path: Path, change: str = BAD) -> config.Settings:
    shop = stage.repository(tmp_path / "shop")
    (shop / "db.py").write_text(change, encoding="utf-8")
    return stage.settings(tmp_path / "home", shop)


async def answered(desk: stage.Desk, started: dict[str, Any], answers: dict[str, str]) -> dict[str, Any]:
    """Reports an answer for every assignment until there are none left, and returns the last answer."""
    answer, waiting = started, started["assignments"]
    while waiting:
        results = [
            {"task_id": one["task_id"], "attempt": one["attempt"], "text": answers.get(one["agent"], PASS)}
            for one in waiting
        ]
        answer = await desk.call("report", run_id=started["run_id"], results=results)
        waiting = answer.get("assignments", [])
    return answer


@pytest.mark.parametrize("era", stage.ERAS)
async def test_a_host_carries_out_a_round_in_two_calls(tmp_path: Path, era: str) -> None:
    async with stage.desk(stage.make_server(chosen(tmp_path)), era) as desk:
        started = await desk.call("review_council")
        assert [one["agent"] for one in started["assignments"]][:2] == ["architecture-strategist", "security-sentinel"]
        assert {one["call"]["model"] for one in started["assignments"]} == {"sonnet"}
        assert all(one["call"]["run_in_background"] for one in started["assignments"])
        answer = await answered(desk, started, {"security-sentinel": fails()})
    assert answer["decision"]["outcome"] == "BLOCK"
    assert answer["decision"]["findings"][0]["place"] == "db.py:2"
    assert answer["decision"]["findings"][0]["reviewers"] == ["security-sentinel"]


async def test_the_advocate_is_handed_out_when_everybody_passes(tmp_path: Path) -> None:
    async with stage.desk(stage.make_server(chosen(tmp_path))) as desk:
        started = await desk.call("review_council")
        results = [{"task_id": one["task_id"], "attempt": 1, "text": PASS} for one in started["assignments"]]
        second = await desk.call("report", run_id=started["run_id"], results=results)
        assert [one["agent"] for one in second["assignments"]] == ["devils-advocate"]
        assert "decision" not in second
        last = await answered(desk, {**second, "run_id": started["run_id"]}, {})
    assert last["decision"]["outcome"] == "PASS"


async def test_an_unusable_answer_comes_back_once(tmp_path: Path) -> None:
    async with stage.desk(stage.make_server(chosen(tmp_path))) as desk:
        started = await desk.call("review_council")
        answers = {one["agent"]: PASS for one in started["assignments"]} | {"security-sentinel": "LGTM"}
        results = [
            {"task_id": one["task_id"], "attempt": 1, "text": answers[one["agent"]]} for one in started["assignments"]
        ]
        second = await desk.call("report", run_id=started["run_id"], results=results)
        assert [(one["agent"], one["attempt"]) for one in second["assignments"]] == [("security-sentinel", 2)]
        last = await answered(desk, {**second, "run_id": started["run_id"]}, answers)
    assert last["decision"]["outcome"] == "INCONCLUSIVE"
    assert last["decision"]["blocks"]


async def test_asking_again_repeats_nothing_and_says_where_it_stands(tmp_path: Path) -> None:
    async with stage.desk(stage.make_server(chosen(tmp_path))) as desk:
        started = await desk.call("review_council")
        again = await desk.call("review_council")
        assert again["run_id"] == started["run_id"]
        answer = await answered(desk, started, {"security-sentinel": fails()})
        found = await desk.call("review_council", run_id=started["run_id"])
        trace = await desk.call("get_trace", run_id=started["run_id"])
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
async def test_only_the_user_can_waive(tmp_path: Path, action: str, decision: str, reason: str, *, passes: bool
) -> None:
    asked: list[str] = []

    async def answer(_context: object, params: Any) -> ElicitResult:
        asked.append(params.message)
        content = {"decision": decision, "reason": reason} if decision else None
        return ElicitResult(action=action, content=content)  # type: ignore[arg-type]

    async with stage.desk(stage.make_server(chosen(tmp_path)), elicitation_callback=answer) as desk:
        started = await desk.call("review_council")
        found = (await answered(desk, started, {"security-sentinel": fails()}))["decision"]["findings"][0]["id"]
        call = {"run_id": started["run_id"], "action": "waive", "task_id": found, "reason": "the model says so"}
        if passes:
            waived = await desk.call("steer_run", **call)
            assert waived["outcome"] == "PASS"
            assert waived["findings"][0]["waived"] == "the user, asked by the client: the table is public"
        else:
            with pytest.raises(stage.Refused):
                await desk.call("steer_run", **call)
            assert (await desk.call("review_council", run_id=started["run_id"]))["outcome"] == "BLOCK"
    assert len(asked) == 1
    assert "injection" in asked[0]


async def test_a_client_that_cannot_ask_waives_nothing(tmp_path: Path) -> None:
    async with stage.desk(stage.make_server(chosen(tmp_path))) as desk:
        started = await desk.call("review_council")
        found = (await answered(desk, started, {"security-sentinel": fails()}))["decision"]["findings"][0]["id"]
        with pytest.raises(stage.Refused, match="dispatch-mcp waive"):
            await desk.call("steer_run", run_id=started["run_id"], action="waive", task_id=found, reason="because")


def test_the_exit_codes_are_those_of_a_gate() -> None:
    assert (review.PASSED, review.BLOCKED, review.INCONCLUSIVE) == (0, 1, 3)
