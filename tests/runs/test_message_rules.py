"""Notes between agents: who reads them, and what a request for change becomes."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import TaskState
from dispatch_mcp.planning import plan_edits
from dispatch_mcp.runs import handoff_parser, message_rules

TASKS = (
    model.Task(id="api", do="Build the API", agent="backend", files=("api.py",)),
    model.Task(id="page", do="Build the page", agent="frontend", deps=("api",)),
)
STATES = {"api": TaskState.SUCCEEDED, "page": TaskState.BLOCKED}


def note(sender: str, recipient: str, kind: model.MessageKind = "information", text: str = "hello") -> model.Message:
    return model.Message(run_id="r", sender=sender, recipient=recipient, kind=kind, text=text)


def test_a_task_reads_what_is_for_it_its_agent_or_everybody_but_not_its_own() -> None:
    sent = [note("x", "page"), note("x", "frontend"), note("x", "all"), note("page", "all"), note("x", "api")]
    assert message_rules.messages_for(sent, TASKS[1]) == tuple(sent[:3])


def test_a_request_to_work_that_waits_is_left_to_its_brief() -> None:
    assert message_rules.proposal(note("api", "page", "request"), TASKS, STATES) is None
    assert message_rules.proposal(note("api", "frontend", "request"), TASKS, STATES) is None


@pytest.mark.parametrize("recipient", ["api", "backend"])
def test_a_request_to_work_that_is_done_becomes_a_task_after_it(recipient: str) -> None:
    edit = message_rules.proposal(note("page", recipient, "request", "Enable CORS for localhost:3000"), TASKS, STATES)
    assert edit is not None
    assert edit["task"]["deps"] == ["api"]
    assert "Enable CORS for localhost:3000" in edit["task"]["do"]
    tasks, problems = plan_edits.apply(TASKS, [edit])
    assert problems == []
    assert [(task.id, task.agent, task.files) for task in tasks][-1] == ("api-change", "backend", ("api.py",))


def test_two_requests_become_two_tasks() -> None:
    asked = [note("page", "api", "request", text) for text in ("Add pages", "Add limits")]
    edits = message_rules.proposals(asked, TASKS, STATES)
    assert [edit["id"] for edit in edits] == ["api-change", "api-change-2"]


@pytest.mark.parametrize(
    "message",
    [note("page", "api", "warning"), note("page", "orchestrator", "request"), note("page", "nobody", "request")],
)
def test_other_notes_change_no_plan(message: model.Message) -> None:
    assert message_rules.proposal(message, TASKS, STATES) is None


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"to": "api", "kind": "request", "text": "x"}, ("api", "request", "x")),
        ({"recipient": "api", "type": "Warning", "message": "x"}, ("api", "warning", "x")),
        ({"to": "api", "kind": "shout", "text": "x"}, ("api", "information", "x")),
        ({"to": "api"}, None),
        ("just words", None),
    ],
)
def test_the_messages_of_a_handoff_are_read_leniently(said: Any, read: tuple[str, str, str] | None) -> None:
    handoff, _ = handoff_parser.parse_handoff({"completed_work": "done", "messages": [said]})
    assert handoff is not None
    assert [(note.to, note.kind, note.text) for note in handoff.messages] == ([read] if read else [])
