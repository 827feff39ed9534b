"""Under which names a host was asked to start somebody for a task."""

from __future__ import annotations

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import assignments


@pytest.mark.parametrize(
    ("agent", "stand_ins", "names"),
    [
        ("debugger", (), ("debugger",)),
        (None, (), ("general-purpose",)),
        ("debugger", (model.StandIn("test-automator"),), ("debugger", "test-automator")),
        ("debugger", (model.StandIn("test-automator", "default"),), ("debugger", "default")),
        ("debugger", (model.StandIn("debugger", "general"), model.StandIn("debugger")), ("debugger", "general")),
        (None, (model.StandIn(""), model.StandIn("", "worker")), ("general-purpose", "worker")),
    ],
)
def test_each_name_that_was_called_is_listed_once_in_the_order_of_the_calls(
    agent: str | None, stand_ins: tuple[model.StandIn, ...], names: tuple[str, ...]
) -> None:
    assert assignments.names_called(agent, stand_ins) == names
