"""What an agent's definition gives a server's own worker, and what it cannot give (promise S7)."""

from __future__ import annotations

import pytest

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import order_builder, task_kinds
from dispatch_mcp.model import WorkerKind, work_order
from dispatch_mcp.runs import prompt_builder, tool_permissions

pytestmark = pytest.mark.promise("S7")

TEXT = """---
name: builder
description: Builds things.
tools: Read, Edit, Write, Bash
model: opus
effort: max
---
You build things.
"""


def placed(layer: catalog.Layer, text: str = TEXT) -> work_order.WorkOrder:
    agent = catalog.read_agent(text, path="builder.md", layer=layer)
    work = work_order.WorkOrder(
        "r", model.Task(id="t", do="x", agent="builder"), 1, WorkerKind.CLAUDE, directory="/own"
    )
    return order_builder.with_agent(work, catalog.Catalog((agent,)))


def test_an_agent_of_the_user_has_the_rights_of_its_definition() -> None:
    work = placed("user")
    assert (work.model, work.effort) == ("opus", "max")
    assert tool_permissions.tools_for(work, commands=True) == ("Read", "Edit", "Write", "Bash")


def test_an_agent_of_a_project_that_nobody_approved_only_looks() -> None:
    work = placed("project")
    assert work.agent_prompt.strip() == "You build things."
    assert (work.model, work.effort) == (None, "")
    assert tool_permissions.tools_for(work, commands=True) == tool_permissions.LOOK


def test_the_role_text_of_an_agent_that_nobody_approved_stands_in_the_brief_as_data() -> None:
    text = task_kinds.brief(placed("project")).text
    blocks = [block for section in prompt_builder.parse(text).sections for block in section.data]
    assert [block.text.strip() for block in blocks] == ["You build things."]
    assert text.count("You build things.") == 1
    assert "You build things." not in task_kinds.brief(placed("user")).text


def test_what_a_definition_disallows_is_not_given() -> None:
    work = placed("user", TEXT.replace("tools: Read, Edit, Write, Bash", "disallowedTools: Write, Bash"))
    assert tool_permissions.tools_for(work, commands=True) == ("Read", "Glob", "Grep", "Edit")
