"""Agents under the names that their files give them: the assistant calls each by exactly that name."""

from __future__ import annotations

import json
import urllib.parse
from pathlib import Path
from typing import Final

import memory_client
import pytest

pytestmark = pytest.mark.anyio

NAMES: Final = ("Python DevOps/CI-CD Expert", "Käse Meister", "ops.bot v2", "コード係", "(beta) tester", "plain-name")
AGENT: Final = """---
name: {name!r}
description: Looks after {subject}.
tools: Read, Write, Edit
---
You look after {subject}.
"""


def shop(tmp_path: Path) -> Path:
    workspace = memory_client.repository(tmp_path / "shop")
    agents = workspace / ".claude" / "agents"
    agents.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (agents / f"{number}.md").write_text(AGENT.format(name=name, subject=f"the zeppelin{number}"), encoding="utf-8")
    return workspace


async def test_a_name_comes_back_letter_for_letter_from_the_offer_to_the_call(tmp_path: Path) -> None:
    chosen = memory_client.settings(tmp_path / "home", shop(tmp_path))
    async with memory_client.desk(memory_client.make_server(chosen)) as desk:
        tasks = [{"id": f"t{number}", "do": "Polish it", "agent": name} for number, name in enumerate(NAMES)]
        plan = await desk.call("plan_dag", tasks=tasks, max_parallel=len(NAMES))
        run = await desk.call("dispatch", plan_id=plan["plan_id"], worker="host")
        calls = {entry["task_id"]: entry["call"]["subagent_type"] for entry in run["assignments"]}
        assert calls == {f"t{number}": name for number, name in enumerate(NAMES)}


async def test_a_route_and_a_resource_know_agents_by_those_names(tmp_path: Path) -> None:
    chosen = memory_client.settings(tmp_path / "home", shop(tmp_path))
    async with memory_client.desk(memory_client.make_server(chosen)) as desk:
        for number, name in enumerate(NAMES):
            route = await desk.call(
                "route_task", task=f"Grease the zeppelin{number} and look after the zeppelin{number}"
            )
            assert name in json.dumps(route, ensure_ascii=False)
            text = await desk.read(f"dispatch://agents/{urllib.parse.quote(name, safe='')}")
            assert json.loads(text)["name"] == name
            card = json.loads(await desk.read(f"dispatch://agents/{urllib.parse.quote(name, safe='')}/card"))
            assert await desk.read(card["supportedInterfaces"][0]["url"]) == text
