"""Messages to tasks that are at work: they arrive, or whoever sent them is told that they did not."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import dispatcher_setup
import pytest
from dispatcher_setup import Desk, said, started, task
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.model import AttemptState, WorkerKind, ports, short_ids, work_order
from dispatch_mcp.runs import message_rules
from dispatch_mcp.service import answers, messaging

pytestmark = pytest.mark.anyio

TEXT = "All paths begin with /api/v2"
WRITER = catalog.Agent(name="writer", description="Writes")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    fields: dict[str, Any] = {"catalog": lambda: catalog.Catalog((WRITER,)), "rules": {"review_policy": "off"}}
    async with dispatcher_setup.opened(tmp_path / "home", **fields) as opened:
        yield opened


async def sent(
    desk: Desk, run_id: str, recipient: str, text: str = TEXT, *, sender: str = "s", kind: model.MessageKind = "warning"
) -> answers.MessagesAnswer:
    return await desk.app.send(model.Message(run_id=run_id, sender=sender, recipient=recipient, kind=kind, text=text))


def told(lines: tuple[answers.MessageLine, ...]) -> list[tuple[tuple[str, ...], str]]:
    return [(line.to, line.text) for line in lines]


async def inbox(desk: Desk, run_id: str, name: str) -> list[str]:
    return [message.text for message in (await desk.app.inbox(run_id, name)).messages]


async def test_a_message_to_work_that_is_out_comes_with_the_next_report_to_be_passed_on(desk: Desk) -> None:
    progress = await started(desk, task("s"), task("a"))
    answer = await sent(desk, progress.run_id, "a")
    assert answer.reaches == {message_rules.Fate.HOST.value: ("a",)}
    reported = await desk.app.report(progress.run_id, [said(progress.assignments[0])])
    assert told(reported.pass_on) == [(("a",), TEXT)]
    assert reported.next is not None
    assert "Pass `pass_on` on to 'a' now" in tool_wording.words(reported.next)
    assert (await desk.app.report(progress.run_id, [said(progress.assignments[1])])).unread == ()


async def test_what_its_task_ended_without_reading_is_said_with_the_answer_that_takes_its_result(desk: Desk) -> None:
    progress = await started(desk, task("s"), task("a"))
    await sent(desk, progress.run_id, "a")
    reported = await desk.app.report(progress.run_id, [said(one) for one in progress.assignments])
    assert told(reported.unread) == [(("a",), TEXT)]
    assert reported.next is not None
    assert "'a' ended without having read `unread`" in tool_wording.words(reported.next)
    assert "attempt_finished" in (kinds := await desk.kinds(progress.run_id))
    assert kinds.count("message_delivered") == 1


async def test_what_a_handoff_says_to_work_that_is_out_is_passed_on(desk: Desk) -> None:
    progress = await started(desk, task("s"), task("a"))
    note = {"to": "a", "kind": "information", "text": TEXT}
    result = said(progress.assignments[0])
    result["handoff"]["messages"] = [note]
    assert told((await desk.app.report(progress.run_id, [result])).pass_on) == [(("a",), TEXT)]


async def test_a_host_that_dispatches_again_is_told_again_what_its_subagents_have_not_read(desk: Desk) -> None:
    progress = await started(desk, task("s"), task("a"))
    await sent(desk, progress.run_id, "a")
    await desk.app.report(progress.run_id, [said(progress.assignments[0])])
    again = await desk.app.dispatch(run_id=progress.run_id)
    assert told(again.pass_on) == [(("a",), TEXT)]
    assert TEXT in again.assignments[0].call.prompt


async def test_looking_at_a_run_shows_what_waits_and_changes_nothing(desk: Desk) -> None:
    progress = await started(desk, task("s"), task("a"))
    await sent(desk, progress.run_id, "a")
    before = await desk.kinds(progress.run_id)
    for _ in range(2):
        assert told((await desk.app.trace(run_id=progress.run_id)).pass_on) == [(("a",), TEXT)]
    assert await desk.kinds(progress.run_id) == before


async def test_a_message_to_work_that_waits_is_in_its_brief_and_nowhere_else(desk: Desk) -> None:
    progress = await started(desk, task("s"), task("a", "s"))
    answer = await sent(desk, progress.run_id, "a")
    assert answer.reaches == {message_rules.Fate.BRIEF.value: ("a",)}
    reported = await desk.app.report(progress.run_id, [said(progress.assignments[0])])
    assert TEXT in reported.assignments[0].call.prompt
    assert (reported.pass_on, reported.unread) == ((), ())
    over = await desk.app.report(progress.run_id, [said(reported.assignments[0])])
    assert over.unread == ()


async def test_a_second_attempt_reads_what_the_first_could_not(desk: Desk) -> None:
    progress = await started(desk, task("a"))
    await sent(desk, progress.run_id, "a")
    failure = {"task_id": "a", "attempt": 1, "status": "failed", "error": "no", "retryable": True}
    reported = await desk.app.report(progress.run_id, [failure])
    assert (reported.pass_on, reported.unread) == ((), ())
    desk.clock.now += 60
    [again] = (await desk.app.dispatch(run_id=progress.run_id)).assignments
    assert TEXT in again.call.prompt
    assert (await desk.app.report(progress.run_id, [said(again)])).unread == ()


async def test_who_writes_to_work_that_has_ended_or_is_a_command_is_told_at_once_and_only_once(desk: Desk) -> None:
    progress = await started(desk, task("s"), task("a"), task("c", "a", command=["true"]))
    await desk.app.report(progress.run_id, [said(progress.assignments[0])])
    for name, fate in (("s", message_rules.Fate.ENDED), ("c", message_rules.Fate.COMMAND)):
        assert (await sent(desk, progress.run_id, name, sender="a")).reaches == {fate.value: (name,)}
    assert (await desk.app.report(progress.run_id, [said(progress.assignments[1])])).unread == ()


async def test_a_message_to_the_agent_reaches_each_of_its_tasks(desk: Desk) -> None:
    progress = await started(desk, task("a", agent="writer"), task("b", "a", agent="writer"), task("s"))
    answer = await sent(desk, progress.run_id, "writer")
    assert answer.reaches == {message_rules.Fate.HOST.value: ("a",), message_rules.Fate.BRIEF.value: ("b",)}
    reported = await desk.app.report(progress.run_id, [said(progress.assignments[0])])
    assert told(reported.unread) == [(("a",), TEXT)]
    assert TEXT in reported.assignments[0].call.prompt


@pytest.mark.parametrize(("recipient", "opened"), [("a", "writer"), ("writer", "a"), ("a", "a"), ("writer", "writer")])
async def test_a_task_and_its_agent_share_an_inbox_and_what_was_read_there_is_read(
    desk: Desk, recipient: str, opened: str
) -> None:
    progress = await started(desk, task("a", agent="writer"), task("s"))
    await sent(desk, progress.run_id, recipient)
    assert await inbox(desk, progress.run_id, opened) == [TEXT]
    assert [await inbox(desk, progress.run_id, name) for name in ("a", "writer")] == [[], []]
    reported = await desk.app.report(progress.run_id, [said(one) for one in progress.assignments])
    assert (reported.pass_on, reported.unread) == ((), ())


async def test_the_inbox_of_nobody_says_who_was_probably_meant(desk: Desk) -> None:
    progress = await started(desk, task("checkout"))
    with pytest.raises(errors.InputError, match="'chekout'") as refused:
        await desk.app.inbox(progress.run_id, "chekout")
    assert "'checkout'" in str(refused.value.hint)


async def test_a_handoff_that_writes_to_a_name_that_nobody_has_is_told_so(desk: Desk) -> None:
    progress = await started(desk, task("s"), task("a"))
    result = said(progress.assignments[0])
    result["handoff"]["messages"] = [{"to": "frontend-team", "kind": "warning", "text": TEXT}]
    reported = await desk.app.report(progress.run_id, [result])
    assert told(reported.unread) == [(("frontend-team",), TEXT)]
    assert (await desk.app.report(progress.run_id, [said(progress.assignments[1])])).unread == ()


async def test_a_very_long_message_is_cut_where_it_is_only_mentioned(desk: Desk) -> None:
    progress = await started(desk, task("a"))
    await sent(desk, progress.run_id, "a", "x" * 20_000)
    again = await desk.app.dispatch(run_id=progress.run_id)
    [line] = again.pass_on
    assert len(line.text) < 2_000
    assert line.text.endswith("x…")
    assert again.notes_at == f"dispatch://runs/{short_ids.short(progress.run_id)}/messages"
    assert again.next is not None
    assert "The resource `notes_at`" in tool_wording.words(again.next)
    assert [note.text for note in await desk.app.messages(progress.run_id)] == ["x" * 20_000]


async def test_many_long_messages_share_the_room_and_those_without_any_come_with_later_answers(desk: Desk) -> None:
    progress = await started(desk, task("s"), task("a"), *[task(name) for name in "bcd"])
    texts = [f"{number}: {'y' * 4_000}" for number in range(12)]
    for text in texts:
        await sent(desk, progress.run_id, "a", text)
    numbers: list[str] = []
    for one in progress.assignments[:1] + progress.assignments[2:]:
        answer = await desk.app.report(one.run_id, [said(one)])
        assert sum(len(line.text) for line in answer.pass_on) < 900
        assert answer.notes_at
        numbers += [line.text.partition(":")[0] for line in answer.pass_on]
    shown = (await desk.app.trace(run_id=progress.run_id)).pass_on
    numbers += [line.text.partition(":")[0] for line in shown]
    assert numbers == list(map(str, range(len(numbers)))), "in their order, and none twice"
    assert [note.text for note in await desk.app.messages(progress.run_id)] == texts


async def test_a_message_to_very_many_names_a_few_of_them(desk: Desk) -> None:
    names = [f"task-{number}" for number in range(9)]
    progress = await desk.app.dispatch(plan_id=await desk.planned(*map(task, names), max_parallel=9))
    await sent(desk, progress.run_id, "all")
    [line] = (await desk.app.trace(run_id=progress.run_id)).pass_on
    assert line.to == (*names[:5], "4 more")


@given(st.lists(st.text(max_size=300), max_size=12), st.integers(0, 1_500))
def test_messages_never_take_more_than_their_room(texts: list[str], room: int) -> None:
    notes = [
        model.Message(id=n, run_id="r", sender="s", recipient="orchestrator", kind="information", text=text, at=1.0)
        for n, text in enumerate(texts)
    ]
    visible = messaging.cut(notes, room)
    assert [note.id for note in visible] == list(range(len(visible)))
    assert sum(len(note.model_dump_json(exclude_defaults=True)) + 1 for note in visible) <= max(room, 0)
    if sum(len(note.model_dump_json(exclude_defaults=True)) + 1 for note in notes) + 40 * len(notes) <= room // 2:
        assert [note.text for note in visible] == texts


@dataclass
class Model:
    """A worker of the server that takes as many turns as a test lets it, and keeps what it was told."""

    turns: anyio.Event = field(default_factory=anyio.Event)
    at_work: anyio.Event = field(default_factory=anyio.Event)
    seen: list[str] = field(default_factory=list[str])

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        self.seen += [message.text for message in work.messages]
        self.at_work.set()
        await self.turns.wait()
        self.seen += [message.text for message in await ctx.mail()]
        self.seen += [message.text for message in await ctx.mail()]
        return model.Outcome(state=AttemptState.SUCCEEDED, summary="done")


async def test_a_worker_of_the_server_reads_between_its_turns_what_came_and_once(tmp_path: Path) -> None:
    worker = Model()
    with anyio.fail_after(120):
        async with dispatcher_setup.opened(tmp_path / "home", models={WorkerKind.API: worker}) as desk:
            progress = await started(desk, task("a", worker="api"))
            await worker.at_work.wait()
            answer = await sent(desk, progress.run_id, "a")
            assert answer.reaches == {message_rules.Fate.TURN.value: ("a",)}
            worker.turns.set()
            trace = await desk.ended(progress.run_id)
            assert worker.seen == [TEXT]
            assert (trace.state, trace.unread) == ("succeeded", ())


async def test_what_a_worker_of_the_server_never_asked_for_is_shown_when_its_run_is_over(tmp_path: Path) -> None:
    class Deaf(Model):
        async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
            self.at_work.set()
            await self.turns.wait()
            return model.Outcome(state=AttemptState.SUCCEEDED, summary="done")

    worker = Deaf()
    with anyio.fail_after(120):
        async with dispatcher_setup.opened(tmp_path / "home", models={WorkerKind.CLAUDE: worker}) as desk:
            progress = await started(desk, task("a", worker="claude"))
            await worker.at_work.wait()
            answer = await sent(desk, progress.run_id, "a")
            assert answer.reaches == {message_rules.Fate.SESSION.value: ("a",)}
            worker.turns.set()
            assert told((await desk.ended(progress.run_id)).unread) == [(("a",), TEXT)]


@dataclass
class Watch:
    """Who should have each message, by its text and reader, and whether they had it or their sender was told."""

    desk: Desk
    run_id: str
    heard: dict[tuple[str, str], bool] = field(default_factory=dict[tuple[str, str], bool])

    def sent(self, text: str, reaches: dict[str, tuple[str, ...]]) -> None:
        for fate, readers in reaches.items():
            self.heard |= {(text, reader): fate.startswith("not read") for reader in readers}

    def answered(self, answer: answers.Progress | answers.ReportAnswer) -> None:
        prompts = {one.task_id: one.call.prompt for one in answer.assignments if not one.already_out}
        self.heard |= {(text, name): True for text, name in self.heard if text in prompts.get(name, "")}
        assert answer.next is not None
        for line in (*answer.pass_on, *answer.unread):
            rest = (*answer.next.pass_on, *answer.next.unread) if line.to[-1].endswith(" more") else ()
            self.heard |= {(line.text, reader): True for reader in (*line.to, *rest)}
        if answer.notes_at:  # what ended without reading is named, and everything can be read there
            self.heard |= {(text, name): True for text, name in self.heard if name in answer.next.unread}

    async def lost(self) -> list[tuple[str, str]]:
        """Returns what nobody heard of; who was only one of all and never began does not count."""
        skipped = {name for name, state in (await self.desk.states(self.run_id)).items() if state == "skipped"}
        lost = [key for key, is_heard in self.heard.items() if not is_heard]
        return [(text, name) for text, name in lost if not (name in skipped and text.endswith("to all."))]


def reported(rng: random.Random, one: Any, recipient: str, text: str) -> dict[str, Any]:
    """Returns a report of an assignment: a success, with or without a message, or a failure."""
    if rng.random() < 0.3:
        how = {"status": "failed", "retryable": rng.random() < 0.6, "error": "no"}
        return {"task_id": one.task_id, "attempt": one.attempt, **how}
    messages = [{"to": recipient, "kind": "warning", "text": text}] if rng.random() < 0.5 else []
    handoff = {"completed_work": "done", "messages": messages}
    return {"task_id": one.task_id, "attempt": one.attempt, "handoff": handoff}


@settings(max_examples=examples(60, least=20), deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 6))
async def test_no_message_is_lost_in_silence_whatever_happens_in_which_order(
    tmp_path_factory: pytest.TempPathFactory, seed: int, size: int
) -> None:
    """Everybody whom a message was for has it in a brief, an answer or the inbox, or its sender was told."""
    rng = random.Random(seed)
    async with dispatcher_setup.opened(tmp_path_factory.mktemp("run") / "home") as desk:
        names = [f"t{number}" for number in range(size)]
        tasks = [task(name, *(dep for dep in names[:place] if rng.random() < 0.3)) for place, name in enumerate(names)]
        answer: answers.Progress | answers.ReportAnswer = await started(desk, *tasks)
        watch, out, number = Watch(desk, answer.run_id), list(answer.assignments), 0
        while answer.state not in model.RUN_FINAL:
            number += 1
            desk.clock.now += 90
            recipient = rng.choice([*names, "all"])
            text = f"note {number} to {recipient}."
            if rng.random() < 0.5:
                watch.sent(text, (await sent(desk, answer.run_id, recipient, text, sender="orchestrator")).reaches)
                continue
            if not out or rng.random() < 0.3:
                answer = await desk.app.dispatch(run_id=answer.run_id)
            else:
                one = rng.choice(out)
                result = reported(rng, one, recipient, text)
                if result.get("handoff", {}).get("messages") and recipient not in ("all", one.task_id):
                    watch.heard[text, recipient] = False
                answer = await desk.app.report(answer.run_id, [result])
            watch.answered(answer)
            standing = await desk.states(answer.run_id)
            newest = {one.task_id: one for one in (*out, *answer.assignments)}
            out = [one for name, one in newest.items() if standing[name] == "running"]
        assert await watch.lost() == []
