"""What an attempt may do. The worked examples are in tests/model/test_worker_choice.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, work_order
from dispatch_mcp.runs import tool_permissions

names = st.sampled_from(
    ["*", "Read", "read", "Edit", "MultiEdit", "Bash", "Bash(git *)", "LS", "search", "Teleport", ""]
)
lists = st.none() | st.lists(names, max_size=6).map(tuple)


def rights(tools: tuple[str, ...] | None, directory: str, *, commands: bool) -> frozenset[str]:
    work = work_order.WorkOrder("r", model.Task(id="t", do="x"), 1, WorkerKind.API, directory=directory, tools=tools)
    return frozenset(tool_permissions.tools_for(work, commands=commands))


@given(tools=lists, directory=st.sampled_from(["", "/own"]), commands=st.booleans())
def test_every_attempt_has_some_tool_and_changes_only_in_a_place_of_its_own(
    tools: tuple[str, ...] | None, directory: str, *, commands: bool
) -> None:
    granted = rights(tools, directory, commands=commands)
    assert granted
    assert directory or not tool_permissions.changes_files(granted)


@given(tools=lists, directory=st.sampled_from(["", "/own"]), commands=st.booleans())
def test_programs_run_only_if_user_agent_and_place_all_allow_it(
    tools: tuple[str, ...] | None, directory: str, *, commands: bool
) -> None:
    agent = tools is not None and any(name == "*" or name.startswith("Bash") for name in tools)
    assert ("Bash" in rights(tools, directory, commands=commands)) == bool(agent and commands and directory)


@given(st.lists(names, max_size=6).map(tuple))
def test_naming_tools_never_gives_more_than_naming_none(tools: tuple[str, ...]) -> None:
    assert rights(tools, "/own", commands=False) <= rights(None, "/own", commands=False)


@given(lists, st.lists(names, max_size=4))
def test_what_a_definition_takes_away_cannot_come_back(tools: tuple[str, ...] | None, without: list[str]) -> None:
    granted = tool_permissions.tools_of_agent(tools, without)
    if not without:
        assert granted == tools
    else:
        assert granted is not None
        again = tool_permissions.tools_of_agent(("*",), without)
        assert again is not None
        assert set(granted) <= set(again)


@pytest.mark.parametrize(
    ("name", "tool"),
    [
        ("Bash(git status)", "Bash"),
        ("  multiedit", "Edit"),
        ("NotebookEdit", "Edit"),
        ("ls", "Glob"),
        ("List", "Glob"),
        ("VIEW", "Read"),
    ],
)
def test_tools_are_known_by_the_names_of_other_programs(name: str, tool: str) -> None:
    assert tool_permissions.tools_of_agent((name,), ("Write",)) == (tool,)


def test_an_agent_whose_tools_nobody_knows_may_still_look() -> None:
    assert rights(("Teleport",), "/own", commands=True) == set(tool_permissions.LOOK)
