from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import WorkerKind, model_names, work_order, worker_choice
from dispatch_mcp.routing import model_choice
from dispatch_mcp.runs import tool_permissions

KEY, CLAUDE = {"key": True}, {"claude": "/usr/bin/claude"}


@pytest.mark.parametrize(
    ("there", "kind", "why"),
    [
        ({}, WorkerKind.HOST, "no key"),
        (KEY, WorkerKind.API, "this server has a key"),
        (CLAUDE, WorkerKind.HOST, "no key"),
        ({**KEY, "subagents": True}, WorkerKind.HOST, "its own subagents"),
        ({**KEY, **CLAUDE, "preferred": WorkerKind.CLAUDE}, WorkerKind.CLAUDE, "default_worker"),
        ({"preferred": WorkerKind.API}, WorkerKind.HOST, "no key"),
        ({"chat": False, **KEY, **CLAUDE}, WorkerKind.API, "there is a key"),
        ({"chat": False, **CLAUDE}, WorkerKind.CLAUDE, "Claude Code is installed"),
        ({"chat": False}, WorkerKind.API, "neither a key nor Claude Code"),
        ({"chat": False, "preferred": WorkerKind.HOST, **CLAUDE}, WorkerKind.CLAUDE, "Claude Code is installed"),
    ],
)
def test_whoever_is_there_is_picked_and_the_reason_is_said(there: dict[str, Any], kind: WorkerKind, why: str) -> None:
    picked = worker_choice.AvailableWorkers(**there).pick()
    assert picked.kind is kind
    assert why in picked.why


def test_who_is_missing_is_said_and_why() -> None:
    nobody = worker_choice.AvailableWorkers(chat=False)
    assert "ANTHROPIC_API_KEY" in nobody.missing(WorkerKind.API)
    assert "claude_program" in nobody.missing(WorkerKind.CLAUDE)
    assert "no assistant" in nobody.missing(WorkerKind.HOST)
    assert nobody.missing(WorkerKind.HUMAN)
    assert nobody.missing(WorkerKind.COMMAND) == ""
    everybody = worker_choice.AvailableWorkers(key=True, claude="/claude")
    assert [kind for kind in WorkerKind if everybody.missing(kind)] == [WorkerKind.HUMAN]


@pytest.mark.parametrize("name", sorted(model_names.TABLE))
def test_every_short_name_has_one_model_and_where_that_is_known_from(name: str) -> None:
    assert model_names.resolve(name).startswith(f"claude-{name}-")
    assert model_names.TABLE[name].provenance
    assert model_choice.exists(name)
    assert model_choice.exists(model_names.resolve(name))


def test_other_names_are_taken_as_they_are_and_suffixes_have_no_price() -> None:
    assert model_names.resolve("claude-opus-5") == "claude-opus-5"
    assert model_names.resolve(None) == model_names.resolve("inherit") == model_names.resolve("") == ""
    assert model_names.bare("claude-opus-5-5@20261103[1m]") == model_names.bare("opus") == "claude-opus-5-5"
    assert (model_names.effort(" High "), model_names.effort("--effort"), model_names.effort("")) == ("high", "", "")


def work(directory: str = "", tools: tuple[str, ...] | None = None) -> work_order.WorkOrder:
    return work_order.WorkOrder("r", model.Task(id="t", do="x"), 1, WorkerKind.API, directory=directory, tools=tools)


@pytest.mark.promise("S8")
def test_without_a_directory_nothing_can_be_changed_whatever_the_agent_may() -> None:
    for tools in (None, ("*",), ("Edit", "Write", "Bash"), ("MultiEdit",)):
        assert not tool_permissions.changes_files(tool_permissions.tools_for(work(tools=tools), commands=True))


@pytest.mark.promise("S8")
def test_tools_narrow_and_never_widen() -> None:
    own = tool_permissions.tools_for(work("/own"))
    assert set(tool_permissions.tools_for(work("/own", ("Read", "Teleport")))) < set(own)
    assert "Bash" not in tool_permissions.tools_for(work("/own", ("*",)))
    assert "Bash" in tool_permissions.tools_for(work("/own", ("*",)), commands=True)
    assert "Bash" not in tool_permissions.tools_for(work("/own"), commands=True)


def test_what_a_definition_takes_away_is_gone() -> None:
    assert tool_permissions.tools_of_agent(("Read", "Edit"), ()) == ("Read", "Edit")
    assert tool_permissions.tools_of_agent(None, ()) is None
    assert tool_permissions.tools_of_agent(None, ("Edit", "Write", "Bash")) == ("Glob", "Grep", "Read")
    assert tool_permissions.tools_of_agent(("Read", "Bash(git *)"), ("Bash",)) == ("Read",)


EVERYWHERE = [
    worker_choice.AvailableWorkers(chat=chat, subagents=subagents, key=key, claude=claude, preferred=preferred)
    for chat in (True, False)
    for subagents in (True, False)
    for key in (True, False)
    for claude in ("", "/usr/bin/claude")
    for preferred in (None, *WorkerKind)
]


def test_whoever_is_picked_can_be_asked_or_nobody_can() -> None:
    for there in EVERYWHERE:
        kind = there.pick().kind
        alone = not (there.chat or there.key or there.claude or there.preferred in there.kinds)
        assert (kind in there.kinds) is not alone, there
        assert not alone or kind is WorkerKind.API


def test_who_is_preferred_is_picked_wherever_he_can_be_asked_and_changes_nothing_elsewhere() -> None:
    for there in EVERYWHERE:
        without = dataclasses.replace(there, preferred=None)
        if there.preferred in there.kinds:
            assert there.pick().kind is there.preferred
            assert there.pick().why.startswith(f"{there.preferred}: ")
        else:
            assert there.pick() == without.pick()


def test_a_worker_is_missing_exactly_if_he_cannot_be_asked_and_people_are_never_for_whole_runs() -> None:
    for there in EVERYWHERE:
        assert {kind for kind in WorkerKind if not there.missing(kind)} == there.kinds
        assert {WorkerKind.COMMAND, WorkerKind.SCRIPTED} <= there.kinds
        assert WorkerKind.HUMAN not in there.kinds
        assert (WorkerKind.HOST in there.kinds) is there.chat


def test_a_key_that_a_host_with_subagents_hands_down_does_not_move_the_work_to_the_api() -> None:
    for there in EVERYWHERE:
        if there.chat and there.subagents and there.preferred not in there.kinds:
            assert there.pick().kind is WorkerKind.HOST
            assert there.pick() == dataclasses.replace(there, key=not there.key).pick() or there.preferred
