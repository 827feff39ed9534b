from __future__ import annotations

import pytest

from dispatch_mcp.core import aliases, choice, hands, model, order, toolsets
from dispatch_mcp.core.model import WorkerKind

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
def test_whoever_is_there_is_picked_and_the_reason_is_said(
    there: dict[str, object], kind: WorkerKind, why: str
) -> None:
    picked = hands.Hands(**there).pick()
    assert picked.kind is kind
    assert why in picked.why


def test_who_is_missing_is_said_and_why() -> None:
    nobody = hands.Hands(chat=False)
    assert "ANTHROPIC_API_KEY" in nobody.missing(WorkerKind.API)
    assert "doctor" in nobody.missing(WorkerKind.CLAUDE)
    assert "no assistant" in nobody.missing(WorkerKind.HOST)
    assert nobody.missing(WorkerKind.HUMAN)
    assert nobody.missing(WorkerKind.COMMAND) == ""
    everybody = hands.Hands(key=True, claude="/claude")
    assert [kind for kind in WorkerKind if everybody.missing(kind)] == [WorkerKind.HUMAN]


@pytest.mark.parametrize("name", sorted(aliases.TABLE))
def test_every_short_name_has_one_model_and_where_that_is_known_from(name: str) -> None:
    assert aliases.resolve(name).startswith(f"claude-{name}-")
    assert aliases.TABLE[name].provenance
    assert choice.known(name)
    assert choice.known(aliases.resolve(name))


def test_other_names_are_taken_as_they_are_and_suffixes_have_no_price() -> None:
    assert aliases.resolve("claude-opus-5") == "claude-opus-5"
    assert aliases.resolve(None) == aliases.resolve("inherit") == aliases.resolve("") == ""
    assert aliases.bare("claude-opus-5-5@20261103[1m]") == aliases.bare("opus") == "claude-opus-5-5"
    assert (aliases.effort(" High "), aliases.effort("--effort"), aliases.effort("")) == ("high", "", "")


def work(directory: str = "", tools: tuple[str, ...] | None = None) -> order.WorkOrder:
    return order.WorkOrder("r", model.Task(id="t", goal="x"), 1, WorkerKind.API, directory=directory, tools=tools)


@pytest.mark.promise("S8")
def test_without_a_directory_nothing_can_be_changed_whatever_the_agent_may() -> None:
    for tools in (None, ("*",), ("Edit", "Write", "Bash"), ("MultiEdit",)):
        assert not toolsets.changes_files(toolsets.of(work(tools=tools), commands=True))


@pytest.mark.promise("S8")
def test_tools_narrow_and_never_widen() -> None:
    own = toolsets.of(work("/own"))
    assert set(toolsets.of(work("/own", ("Read", "Teleport")))) < set(own)
    assert "Bash" not in toolsets.of(work("/own", ("*",)))
    assert "Bash" in toolsets.of(work("/own", ("*",)), commands=True)
    assert "Bash" not in toolsets.of(work("/own"), commands=True)


def test_what_a_definition_takes_away_is_gone() -> None:
    assert toolsets.granted(("Read", "Edit"), ()) == ("Read", "Edit")
    assert toolsets.granted(None, ()) is None
    assert toolsets.granted(None, ("Edit", "Write", "Bash")) == ("Glob", "Grep", "Read")
    assert toolsets.granted(("Read", "Bash(git *)"), ("Bash",)) == ("Read",)
