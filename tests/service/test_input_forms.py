"""Plans whose tasks fill in the forms of their agents, or leave them blank."""

from __future__ import annotations

from pathlib import Path

import dispatcher_setup
import pytest

from dispatch_mcp import errors
from dispatch_mcp.agents import loader
from dispatch_mcp.model import problems

pytestmark = pytest.mark.anyio

FORM = {"contract_description": "Writes users", "node_type": "Effect", "output_path": "out/users.py"}


async def test_a_plan_is_held_to_the_forms_of_its_agents_where_any_of_them_is_filled_in(tmp_path: Path) -> None:
    pair = loader.load(Path(__file__).parents[2] / "agents" / "dispatch")
    async with dispatcher_setup.opened(tmp_path / "home", catalog=lambda: pair) as desk:
        bare = {"id": "a", "do": "Generate the Effect node", "agent": "coder"}
        proposal = await desk.app.plans.plan([bare])
        assert [notice.tasks for notice in proposal.prepared.notices if notice.code == "blank_inputs"] == [("a",)]
        with pytest.raises(errors.PlanRejected) as refused:
            await desk.app.plans.plan([bare, {**bare, "id": "b", "inputs": {**FORM, "output_path": "/etc/users.py"}}])
    faults = [fault for fault in refused.value.problems if isinstance(fault, problems.Problem)]
    assert sorted((fault.task, fault.code) for fault in faults) == [
        *[("a", "missing_input")] * 3,
        ("b", "wrong_input"),
    ]
