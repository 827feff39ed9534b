"""Plans in the short form that a model reads, over the whole product."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import reviewed_runs

from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.routing import confidence
from dispatch_mcp.service import plan_answers

pytestmark = pytest.mark.anyio

MOST_CHARS = 1_200
TASKS: list[dict[str, Any]] = [
    {"id": "schema", "do": "Add the orders table", "files": ["shop/schema.sql"]},
    {"id": "api", "do": "Serve orders over the REST API", "deps": ["schema"], "files": ["shop/api.py"]},
    {"id": "page", "do": "Show orders on the account page", "deps": ["api"], "files": ["web/orders.tsx"]},
    {"id": "mail", "do": "Mail a receipt after each order", "deps": ["schema"], "files": ["shop/mail.py"]},
    {"id": "tests", "do": "Test the order flow", "deps": ["api", "mail"], "files": ["tests/test_orders.py"]},
    {"id": "docs", "do": "Describe orders in the manual", "deps": ["api"], "files": ["docs/orders.md"]},
]


async def answered(tmp_path: Path, tasks: list[dict[str, Any]] = TASKS, **flags: Any) -> dict[str, Any]:
    place = Path(tempfile.mkdtemp(dir=tmp_path))
    async with reviewed_runs.opened(place / "home", reviewed_runs.shop(place / "shop"), **flags) as chat:
        proposal = await chat.app.plans.plan(tasks)
        return plan_answers.plan_answer(proposal, tool_wording.words, diagram=False)


async def test_six_tasks_with_the_council_at_their_end_are_answered_in_few_characters(tmp_path: Path) -> None:
    answer = await answered(tmp_path, reviews="end")
    assert len(json.dumps(answer, separators=(",", ":"))) <= MOST_CHARS, answer
    assert next(iter(answer)) == "added"


async def test_what_says_nothing_of_its_own_is_left_out(tmp_path: Path) -> None:
    answer = await answered(tmp_path)
    sure = [decision["conf"] for decision in answer["tasks"].values() if "conf" in decision]
    assert sure
    assert max(sure) < confidence.Bands().review
    assert not {"title", "next", "est_min"}.intersection(answer)


async def test_the_commonest_model_stands_once_where_each_task_has_one(tmp_path: Path) -> None:
    decisions = (await answered(tmp_path))["tasks"]
    assert decisions.keys() == {"*", *(task["id"] for task in TASKS)}
    common = decisions["*"]["model"]
    others = [decision["model"] for name, decision in decisions.items() if name != "*" and "model" in decision]
    assert len(others) < len(TASKS) - 1
    assert common not in others
    named: dict[str, Any] = {**TASKS[3], "agent": "Plan", "deps": [], "effort": "S"}
    decisions = (await answered(tmp_path, [*TASKS[:3], named]))["tasks"]
    assert decisions["mail"].keys() == {"slack"}
    assert "*" not in decisions


async def test_how_many_agents_begin_is_said_where_it_is_not_one_for_each_task(tmp_path: Path) -> None:
    assert "spawns" not in (await answered(tmp_path))["forecast"]
    command = {"id": "lint", "do": "Lint", "command": ["git", "status"], "deps": ["docs"]}
    assert (await answered(tmp_path, [*TASKS, command], reviews="none"))["forecast"]["spawns"] == len(TASKS)
    ended = await answered(tmp_path, reviews="end")
    assert ended["forecast"]["spawns"] > len(TASKS) + 1


async def test_a_council_stands_in_the_waves_for_those_who_sit_in_it(tmp_path: Path) -> None:
    answer = await answered(tmp_path, reviews="end")
    assert answer["waves"][-1] == ["council"]
    assert {task_id for wave in answer["waves"] for task_id in wave} == {*(task["id"] for task in TASKS), "council"}
    assert answer["critical_path"][-1] == "council"
    assert not [name for name in answer["tasks"] if name.startswith("council.")]
    assert not [name for name in answer["critical_path"] if name.startswith("council.")]
    assert "no_files_declared" not in [warning["code"] for warning in answer["warnings"]]
