"""Notes between agents: who reads them, and what a request for change becomes."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, records
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


def test_the_id_of_a_task_that_a_request_becomes_is_bounded_and_free() -> None:
    long = "a" * 80
    tasks = [model.Task(id=long, do="Work"), model.Task(id=f"{'a' * 50}-change", do="Work")]
    edit = message_rules.proposal(note("page", long, "request"), tasks, {long: model.TaskState.SUCCEEDED})
    assert edit is not None
    assert edit["id"] == f"{'a' * 50}-change-2"


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


# -- what becomes of messages


MIXED = (
    model.Task(id="api", do="Build the API", agent="backend"),
    model.Task(id="api2", do="Build more of it", agent="backend"),
    model.Task(id="page", do="Build the page", agent="frontend"),
    model.Task(id="lint", do="Lint", command=("ruff",)),
    model.Task(id="gate", do="Ship it?", worker=WorkerKind.HUMAN),
)


def rows(worker: WorkerKind = WorkerKind.HOST, **states: TaskState) -> dict[str, records.TaskRecord]:
    """Returns where the tasks of `MIXED` stand: ready, unless `states` says otherwise."""
    workers = {"lint": WorkerKind.COMMAND, "gate": WorkerKind.HUMAN}
    return {
        task.id: records.TaskRecord(
            id=task.id,
            position=place,
            worker=workers.get(task.id, worker),
            state=states.get(task.id, TaskState.READY),
        )
        for place, task in enumerate(MIXED)
    }


def sent(number: int, recipient: str, sender: str = "page") -> model.Message:
    return note(sender, recipient).model_copy(update={"id": number})


@pytest.mark.parametrize(
    ("worker", "state", "fate"),
    [
        (WorkerKind.HOST, TaskState.BLOCKED, message_rules.Fate.BRIEF),
        (WorkerKind.HOST, TaskState.RUNNING, message_rules.Fate.HOST),
        (WorkerKind.HOST, TaskState.UNVERIFIED, message_rules.Fate.ENDED),
        (WorkerKind.API, TaskState.READY, message_rules.Fate.BRIEF),
        (WorkerKind.API, TaskState.RUNNING, message_rules.Fate.TURN),
        (WorkerKind.CLAUDE, TaskState.RUNNING, message_rules.Fate.SESSION),
        (WorkerKind.CLAUDE, TaskState.FAILED, message_rules.Fate.ENDED),
        (WorkerKind.COMMAND, TaskState.READY, message_rules.Fate.COMMAND),
        (WorkerKind.SCRIPTED, TaskState.RUNNING, message_rules.Fate.SIMULATED),
        (WorkerKind.HUMAN, TaskState.RUNNING, message_rules.Fate.PERSON),
    ],
)
def test_who_writes_to_a_task_is_told_when_it_reads_that_or_that_it_cannot(
    worker: WorkerKind, state: TaskState, fate: message_rules.Fate
) -> None:
    row = records.TaskRecord(id="page", position=0, worker=worker, state=state)
    assert message_rules.fate(MIXED[2], row) is fate
    assert fate.value


def test_every_state_of_every_worker_has_a_fate() -> None:
    for worker in WorkerKind:
        for state in TaskState:
            row = records.TaskRecord(id="page", position=0, worker=worker, state=state)
            assert message_rules.fate(MIXED[2], row) in message_rules.Fate


def test_a_message_to_an_agent_reaches_each_of_its_tasks_and_one_to_all_whoever_can_read() -> None:
    standing = rows(api=TaskState.RUNNING, page=TaskState.SUCCEEDED)
    to_agent = message_rules.fates(sent(1, "backend"), MIXED, standing)
    assert to_agent == {message_rules.Fate.HOST: ["api"], message_rules.Fate.BRIEF: ["api2"]}
    to_all = message_rules.fates(sent(2, "all", "api"), MIXED, standing)
    assert to_all == {message_rules.Fate.BRIEF: ["api2"], message_rules.Fate.ENDED: ["page"]}
    to_command = message_rules.fates(sent(3, "lint"), MIXED, standing)
    assert to_command == {message_rules.Fate.COMMAND: ["lint"]}


def test_whoever_was_said_at_once_not_to_read_is_not_mentioned_again() -> None:
    standing = rows(page=TaskState.SUCCEEDED)
    message = sent(1, "page", "api")
    deliveries = message_rules.said_at_once(1, message_rules.fates(message, MIXED, standing))
    assert message_rules.too_late(records.Mail((message,), deliveries), MIXED, standing) == []
    assert message_rules.too_late(records.Mail((message,)), MIXED, standing) == [
        message_rules.UnreadMessage(message, ("page",))
    ]


def test_a_message_to_work_that_is_out_is_passed_on_once_and_again_for_who_may_have_lost_it() -> None:
    standing = rows(api=TaskState.RUNNING, api2=TaskState.RUNNING)
    message = sent(1, "backend")
    waiting = message_rules.UnreadMessage(message, ("api", "api2"))
    assert message_rules.to_pass_on(records.Mail((message,)), MIXED, standing) == [waiting]
    told = records.Mail((message,), [records.Delivery(1, "api", "host"), records.Delivery(1, "api2", "brief", 1)])
    assert message_rules.to_pass_on(told, MIXED, standing) == []
    assert message_rules.to_pass_on(told, MIXED, standing, again=True) == [
        message_rules.UnreadMessage(message, ("api",))
    ]


def test_what_ended_unread_is_said_unless_it_only_stood_among_others_and_never_began() -> None:
    ended = rows(api=TaskState.FAILED, api2=TaskState.SKIPPED, page=TaskState.CANCELLED)
    to_all, direct = sent(1, "all", "x"), sent(2, "api2", "x")
    late = message_rules.too_late(records.Mail((to_all, direct)), MIXED, ended)
    assert late == [message_rules.UnreadMessage(to_all, ("api",)), message_rules.UnreadMessage(direct, ("api2",))]


def test_a_message_to_a_name_that_nobody_has_is_said_to_have_come_to_nothing() -> None:
    message = sent(1, "nobody")
    assert message_rules.too_late(records.Mail((message,)), MIXED, rows()) == [
        message_rules.UnreadMessage(message, ("nobody",))
    ]
    told = records.Mail((message,), [records.Delivery(1, "nobody", "told")])
    assert message_rules.too_late(told, MIXED, rows()) == []


def test_the_news_of_a_task_is_what_its_first_brief_did_not_hold() -> None:
    mail = records.Mail(
        (sent(1, "api"), sent(2, "api"), sent(3, "api")),
        [records.Delivery(1, "api", "brief", 1), records.Delivery(2, "api", "turn", 1)],
    )
    assert [message.id for message in message_rules.news_for(mail, MIXED[0])] == [2, 3]
    assert [message.id for message in message_rules.unread_by(mail, MIXED[0])] == [3]


def test_a_task_and_its_agent_have_one_inbox() -> None:
    mail = records.Mail((sent(1, "frontend", "api"), sent(2, "page", "api"), sent(3, "api")))
    for name in ("page", "frontend"):
        messages, deliveries = message_rules.inbox(mail, name, MIXED)
        assert [message.id for message in messages] == [1, 2]
        read = mail._replace(deliveries=deliveries)
        assert [message_rules.inbox(read, other, MIXED)[0] for other in ("page", "frontend")] == [[], []]


def test_one_task_of_an_agent_does_not_read_for_the_others() -> None:
    mail = records.Mail((sent(1, "backend"), sent(2, "api")))
    _, deliveries = message_rules.inbox(mail, "api", MIXED)
    read = mail._replace(deliveries=deliveries)
    assert [message.id for message in message_rules.inbox(read, "api2", MIXED)[0]] == [1]
    _, deliveries = message_rules.inbox(mail, "backend", MIXED)
    read = mail._replace(deliveries=deliveries)
    assert message_rules.inbox(read, "backend", MIXED)[0] == []
    assert [message.id for message in message_rules.inbox(read, "api2", MIXED)[0]] == [1]


def test_a_message_that_an_older_build_has_marked_as_read_counts_as_read() -> None:
    old = sent(1, "api").model_copy(update={"read": True})
    standing = rows(api=TaskState.RUNNING)
    assert message_rules.to_pass_on(records.Mail((old,)), MIXED, standing) == []
    assert message_rules.too_late(records.Mail((old,)), MIXED, rows(api=TaskState.FAILED)) == []
    assert message_rules.inbox(records.Mail((old,)), "api", MIXED) == ([], [])
