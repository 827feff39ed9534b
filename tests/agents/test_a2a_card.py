"""Agent cards: every field that A2A 1.0 requires, and what the agent does now."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch_mcp.agents import a2a_card, bundled_files, catalog, loader
from dispatch_mcp.model import TaskState

REQUIRED = (
    *("name", "description", "supportedInterfaces", "version", "capabilities"),
    *("defaultInputModes", "defaultOutputModes", "skills"),
)
AGENT = catalog.Agent(name="db", description="Tables and queries", keywords=("sql",), examples=("Add a table",))


def status(card: dict[str, Any]) -> dict[str, Any]:
    extensions: list[dict[str, Any]] = card["capabilities"]["extensions"]
    return next(one["params"] for one in extensions if one["uri"] == a2a_card.STATUS)


def test_every_shipped_agent_has_a_card_with_all_required_fields() -> None:
    source = loader.Source((loader.Folder(bundled_files.shipped_folder("agents"), "bundled", nested=True),))
    known = source.catalog().agents
    assert len(known) > 50
    for agent in known:
        card = a2a_card.card(agent, version="1")
        assert all(card[name] for name in REQUIRED), agent.name
        for skill in card["skills"]:
            assert all(skill[name] for name in ("id", "name", "description", "tags")), agent.name
        assert all(
            interface[name]
            for interface in card["supportedInterfaces"]
            for name in ("url", "protocolBinding", "protocolVersion")
        )


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ((), "idle"),
        ((TaskState.BLOCKED,), "queued"),
        ((TaskState.READY, TaskState.RUNNING), "working"),
        ((TaskState.SUCCEEDED,), "idle"),
    ],
)
def test_a_card_says_what_the_agent_does_now(states: tuple[TaskState, ...], said: str) -> None:
    work = [a2a_card.CardTask("r", f"t{at}", state) for at, state in enumerate(states)]
    assert status(a2a_card.card(AGENT, version="1", work=work))["status"] == said


def test_open_tasks_are_named_with_their_state() -> None:
    work = [a2a_card.CardTask("r", "a", TaskState.RUNNING), a2a_card.CardTask("r", "b", TaskState.BLOCKED)]
    assert status(a2a_card.card(AGENT, version="1", work=work))["tasks"] == [
        {"runId": "r", "taskId": "a", "state": "TASK_STATE_WORKING"},
        {"runId": "r", "taskId": "b", "state": "TASK_STATE_SUBMITTED"},
    ]


def test_each_capability_is_a_skill_and_the_first_has_the_examples() -> None:
    many = tuple(f"Add table {number}" for number in range(a2a_card.MAX_EXAMPLES + 5))
    agent = AGENT.model_copy(update={"capabilities": ("query-tuning", "data_models"), "examples": many})
    first, second = a2a_card.card(agent, version="1")["skills"]
    assert (first["name"], second["name"]) == ("query tuning", "data models")
    assert first["examples"] == list(many[: a2a_card.MAX_EXAMPLES])
    assert "examples" not in second


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ({"keywords": ("sql", "db")}, ["sql", "db"]),
        ({"keywords": (), "domain": "data", "roster": "r"}, ["data"]),
        ({"keywords": (), "roster": "r"}, ["r"]),
        ({"keywords": ()}, ["db"]),
    ],
)
def test_a_skill_always_has_a_tag(fields: dict[str, Any], tags: list[str]) -> None:
    [skill] = a2a_card.card(AGENT.model_copy(update=fields), version="1")["skills"]
    assert skill["tags"] == tags


def test_a_card_shows_the_form_of_inputs_that_the_agent_asks_for() -> None:
    form = {"type": "object", "required": ["path"], "properties": {"path": {"type": "string"}}}
    [_, inputs] = a2a_card.card(AGENT.model_copy(update={"inputs": form}), version="1")["capabilities"]["extensions"]
    assert (inputs["uri"], inputs["params"]) == (a2a_card.INPUTS, {"schema": form})
    assert len(a2a_card.card(AGENT.model_copy(update={"inputs": {}}), version="1")["capabilities"]["extensions"]) == 1
