"""What is offered of hundreds of agents over MCP, and that the choice that comes back is learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import memory_client
import name_lines
import pytest

from dispatch_mcp.model import records
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.anyio

FOLDERS: Final = ("brewing", "baking", "sailing", "mining", "weaving")
VAGUE: Final = "Something is odd with the zeppelin of the museum"
PARTS: Final = ("Paint the balloon of the fair", "carry the tickets to the harbour")
REPAIR: Final = "Restore the zeppelin of the museum"


def hall(tmp_path: Path) -> Path:
    workspace = memory_client.repository(tmp_path / "hall")
    for folder in FOLDERS:
        agents = workspace / ".claude" / "agents" / folder
        agents.mkdir(parents=True)
        for number in range(40):
            name = f"{folder}-{chr(97 + number % 26)}{number}"
            about = f"Looks after part {number} of {folder} in every town and season."
            text = f"---\nname: {name}\ndescription: {about}\n---\nB\n"
            (agents / f"{name}.md").write_text(text, encoding="utf-8")
    return workspace


def size(answer: dict[str, Any]) -> int:
    return len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))


async def test_of_hundreds_five_forty_more_names_and_the_groups_are_offered(tmp_path: Path) -> None:
    chosen = memory_client.settings(tmp_path / "home", hall(tmp_path))
    async with memory_client.desk(memory_client.make_server(chosen)) as desk:
        answer = await desk.call("route_task", task=VAGUE)
        assert size(answer) <= 1_000
        assert answer["specialist"] is None
        assert len(answer["choose_from"]) == 5
        assert {"general-purpose"} <= {choice["agent"] for choice in answer["choose_from"]}
        groups = dict(entry.rsplit(" ", 1) for entry in answer["groups"].split(", "))
        assert set(FOLDERS) <= set(groups)
        assert len(name_lines.read_back(answer["others"])) >= 40
        inside = await desk.call("route_task", task=VAGUE, roster="sailing")
        names = {choice["agent"].partition("-")[0] for choice in inside["choose_from"]}
        assert names == {"sailing"}


async def test_the_agent_that_the_model_names_after_an_offer_is_learnt_as_its_choice(tmp_path: Path) -> None:
    chosen = memory_client.settings(tmp_path / "home", hall(tmp_path))
    async with memory_client.desk(memory_client.make_server(chosen)) as desk:
        offered = await desk.call("route_task", task=REPAIR)
        agent = offered["choose_from"][3]["agent"]
        await desk.call("plan_dag", tasks=[{"id": "a", "do": REPAIR, "agent": agent}])
        await desk.call("plan_dag", request=f"{PARTS[0]}, then {PARTS[1]}")
        tasks = [
            {"id": f"b{number}", "do": do, "agent": f"sailing-a{number}"}
            for number, do in ((0, PARTS[0]), (26, PARTS[1]))
        ]
        await desk.call("plan_dag", tasks=tasks)
        await desk.call("plan_dag", tasks=[{"id": "c", "do": "Feed the parrots", "agent": "mining-a0"}])
    async with sqlite_store.open_store(chosen.home) as store:
        lessons = [(lesson.agent, lesson.text) for lesson in await store.learned(records.LOCAL)]
    assert lessons == [(agent, REPAIR), ("sailing-a0", PARTS[0]), ("sailing-a26", PARTS[1])]
