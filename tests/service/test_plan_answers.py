"""Plans in the short form that a model reads, over the whole product."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import reviewed_runs

from dispatch_mcp.mcp_server import tool_wording
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


async def answered(tmp_path: Path, **flags: Any) -> dict[str, Any]:
    shop = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "home", shop, **flags) as chat:
        proposal = await chat.app.plans.plan(TASKS)
        return plan_answers.plan_answer(proposal, tool_wording.words, diagram=False)


async def test_six_tasks_with_the_council_at_their_end_are_answered_in_few_characters(tmp_path: Path) -> None:
    answer = await answered(tmp_path, reviews="end")
    assert len(json.dumps(answer, separators=(",", ":"))) <= MOST_CHARS, answer
    assert next(iter(answer)) == "added"


async def test_what_says_nothing_of_its_own_is_left_out(tmp_path: Path) -> None:
    answer = await answered(tmp_path)
    decisions = [decision for decision in answer["tasks"].values() if "agent" in decision]
    assert [decision["conf"] for decision in decisions if "conf" in decision] != []
    assert all(decision.get("conf") != 1.0 for decision in decisions)
    assert not {"title", "next", "est_min"}.intersection(answer)


async def test_a_council_stands_in_the_waves_for_those_who_sit_in_it(tmp_path: Path) -> None:
    answer = await answered(tmp_path, reviews="end")
    assert answer["waves"][-1] == ["council"]
    assert {task_id for wave in answer["waves"] for task_id in wave} == {*(task["id"] for task in TASKS), "council"}
    assert answer["critical_path"][-1] == "council"
    assert not [name for name in answer["tasks"] if name.startswith("council.")]
    assert not [name for name in answer["critical_path"] if name.startswith("council.")]
    assert "no_files_declared" not in [warning["code"] for warning in answer["warnings"]]
