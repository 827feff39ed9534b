"""What hooks are answered about real runs: briefs by name, refusals, reports, news, what a session leaves behind."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import dispatcher_setup
import hook_setup
import pytest
from dispatcher_setup import task
from hook_setup import Session, words

from dispatch_mcp import errors, model
from dispatch_mcp.hooks import hook_answers, hook_words
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.model.short_ids import short
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.text import token_count

pytestmark = pytest.mark.anyio


def price(_name: str | None, usage: model.Usage) -> float:
    return usage.tokens * 1e-6


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[dispatcher_setup.Desk]:
    async with dispatcher_setup.opened(tmp_path / "home", rules={"price": price}) as desk:
        yield desk


@pytest.fixture
def session(desk: dispatcher_setup.Desk, tmp_path: Path) -> Session:
    return Session(desk, tmp_path / "transcripts")


async def contact(session: Session) -> None:
    """The session calls our server: from now on it knows that hooks are there."""
    assert await session.calls("", tool="mcp__dispatch__dispatch") == {}


async def begun(session: Session, *tasks: dict[str, Any]) -> tuple[str, list[str]]:
    """Returns a new run and the names of the attempts that it hands out."""
    await contact(session)
    progress = await dispatcher_setup.started(session.desk, *tasks)
    return progress.run_id, [handout.call.prompt for handout in progress.assignments]


async def test_an_assignment_of_a_session_with_hooks_is_one_line_and_the_brief_comes_when_it_begins(
    session: Session,
) -> None:
    before = (await dispatcher_setup.handed(session.desk, task("first")))[0]
    assert "Do first" in before.call.prompt
    await contact(session)
    progress = await dispatcher_setup.started(session.desk, task("a"), task("b"))
    handout = progress.assignments[0]
    assert handout.call.prompt == f"dispatch {short(progress.run_id)}/a/1"
    assert len(handout.model_dump_json(exclude_defaults=True)) < 300
    assert handout.instructions == ""
    assert isinstance(progress.next, NextStep)
    assert (progress.next.kind, progress.next.by_name) == (StepKind.DO_ASSIGNMENTS, True)
    given = await session.begins(handout.call.prompt)
    assert given["prompt"].startswith(f"[dispatch {short(progress.run_id)}/a/1]\n")
    assert "Do a" in given["prompt"]
    assert given["subagent_type"] == "general-purpose", "as planned, whatever the assistant wrote"
    assert given["run_in_background"] is True
    assert given["description"]


async def test_calls_that_are_not_ours_are_answered_with_nothing(session: Session) -> None:
    for prompt in ("", "Find the bug", "dispatch it", "dispatch a/b", "please dispatch r/a/1", "dispatch r/a/0"):
        assert await session.calls(prompt) == {}, prompt
    assert await session.calls("dispatch r/a/1", tool="Bash") == {}


async def test_an_attempt_that_cannot_begin_is_refused_with_its_reason(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"), task("b", "a"), task("c", command=["true"]))
    assert "no run" in (await session.refusal("dispatch feedfeed/a/1")).lower()
    assert "no task 'aa'; did you mean 'a'?" in await session.refusal(f"dispatch {short(run_id)}/aa/1")
    assert "has not been handed out, the task is blocked" in await session.refusal(f"dispatch {short(run_id)}/b/1")
    assert "has not been handed out, the newest attempt is 1" in await session.refusal(f"dispatch {short(run_id)}/a/2")
    assert "the command worker does this task" in await session.refusal(f"dispatch {short(run_id)}/c/1")
    await session.begins(name)
    assert "A subagent of this session does 'a' already" in await session.refusal(name, "call-2")
    await session.begins(name)  # the same call once more: its hook was repeated
    await session.desk.app.steer(run_id, "cancel", "", "")
    assert "its run is over (cancelled)" in await session.refusal(name, "call-3")


async def test_of_calls_that_name_one_attempt_at_once_only_the_first_begins_it(
    session: Session, tmp_path: Path
) -> None:
    run_id, (name,) = await begun(session, task("a"))
    sessions = [session, Session(session.desk, tmp_path / "transcripts", id="session-2", pid=os.getppid())]
    decisions: list[str] = []

    async def start(caller: Session, call_id: str) -> None:
        answer = (await caller.calls(name, call_id))["hookSpecificOutput"]
        decisions.append(answer["permissionDecision"])
        assert "does 'a' already" in answer.get("permissionDecisionReason", "does 'a' already")

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(start, sessions[number % 2], f"call-{number}")
    assert sorted(decisions) == ["allow", *["deny"] * 5]
    assert await session.desk.states(run_id) == {"a": "running"}


async def test_a_refusal_says_everything_once(session: Session, tmp_path: Path) -> None:
    _, (name,) = await begun(session, task("a"))
    await session.begins(name)
    other = Session(session.desk, tmp_path / "transcripts", id="session-2", pid=os.getppid())
    assert (await other.refusal(name)).count("Leave it to that session.") == 1


async def test_a_paused_run_begins_nothing(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"))
    await session.desk.app.steer(run_id, "pause", "", "")
    assert "its run is paused" in await session.refusal(name)


async def test_an_attempt_that_was_answered_or_replaced_does_not_begin_again(session: Session) -> None:
    run_id, names = await begun(session, task("a"), task("b"))
    given = await session.begins(names[0])
    await session.ends(given["prompt"])
    assert "it is over, the task is unverified" in await session.refusal(names[0])
    await session.desk.app.report(run_id, [{"task_id": "b", "attempt": 1, "status": "failed", "retryable": True}])
    session.desk.clock.now += 3600
    await session.desk.app.dispatch(run_id=run_id)
    assert "it was replaced by attempt 2" in await session.refusal(names[1])


async def test_a_run_of_another_workspace_is_not_begun_from_here(
    session: Session, tmp_path: Path, desk: dispatcher_setup.Desk
) -> None:
    run_id, (name,) = await begun(session, task("a"))
    async with dispatcher_setup.opened(tmp_path / "home", rules={"max_parallel": 2}) as other:
        other.app.rules = dataclasses.replace(other.app.rules, workspace="/elsewhere")
        stranger = Session(other, tmp_path / "transcripts", id="stranger", pid=os.getppid())
        assert "of another workspace" in await stranger.refusal(name)
        assert await stranger.ends(f"[{name}]\n") == {}
    assert (await desk.states(run_id)) == {"a": "running"}


async def test_a_result_is_reported_with_what_each_model_used(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"), task("b", "a"))
    given = await session.begins(name)
    path = session.writes(
        given["prompt"],
        hook_setup.answer("m1", output_tokens=1),
        hook_setup.answer("m1", output_tokens=30),  # the same answer, a block later
        hook_setup.answer("m2", "claude-haiku-5-5"),
    )
    answer = await session.tells(
        "SubagentStop", agent_transcript_path=str(path), last_assistant_message=hook_setup.ANSWER
    )
    assert answer == {}
    spend = await hook_setup.spend(session.desk.app, run_id)
    assert (spend.input_tokens, spend.output_tokens) == (200, 50)
    assert (spend.cache_read_tokens, spend.cache_write_tokens) == (10, 14)
    assert spend.cost_usd == pytest.approx(274e-6)
    assert await session.desk.states(run_id) == {"a": "unverified", "b": "running"}
    # The assistant's own report of the same attempt changes nothing.
    late = await session.desk.app.report(run_id, [{"task_id": "a", "attempt": 1, "text": "Something else"}])
    assert not late.results[0].accepted
    assert await hook_setup.spend(session.desk.app, run_id) == spend


async def test_an_answer_that_is_no_handoff_is_asked_for_once_more_and_then_kept(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"))
    brief = (await session.begins(name))["prompt"]
    first = await session.ends(brief, "I did it!")
    assert first["decision"] == "block"
    assert "no JSON block" in first["reason"]
    assert await session.desk.states(run_id) == {"a": "running"}
    assert await session.ends(brief, "I did it, really.", stop_hook_active=True) == {}
    assert await session.desk.states(run_id) == {"a": "unverified"}
    assert "I did it, really." in await session.desk.app.result(run_id, "a")


@pytest.mark.parametrize("tokens", [10**400, 10**18, -5, True, 2.5])
async def test_a_result_is_taken_without_figures_that_nobody_can_have_used(session: Session, tokens: Any) -> None:
    run_id, (name,) = await begun(session, task("a"))
    path = session.writes((await session.begins(name))["prompt"], hook_setup.answer("m1", output_tokens=tokens))
    await session.tells("SubagentStop", agent_transcript_path=str(path), last_assistant_message=hook_setup.ANSWER)
    assert await session.desk.states(run_id) == {"a": "unverified"}
    spend = await hook_setup.spend(session.desk.app, run_id)
    assert (spend.input_tokens, spend.output_tokens) == (100, 0)


async def test_an_answer_with_characters_that_nobody_keeps_is_taken_without_them(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"))
    await session.ends((await session.begins(name))["prompt"], "first\0last \ud800", stop_hook_active=True)
    assert await session.desk.states(run_id) == {"a": "unverified"}
    assert "first\ufffdlast" in await session.desk.app.result(run_id, "a")


async def test_an_answer_that_cannot_be_taken_is_a_failure_that_says_why(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"))
    await session.ends((await session.begins(name))["prompt"], "x" * 2_100_000, stop_hook_active=True)
    assert await session.desk.states(run_id) == {"a": "ready"}
    (attempt,) = await session.desk.app.store.attempts(run_id, "a")
    assert "has 2,100,000 characters" in attempt.error
    assert (await hook_setup.spend(session.desk.app, run_id)).output_tokens == 20


async def test_a_subagent_without_an_answer_has_failed(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"))
    await session.ends((await session.begins(name))["prompt"], "  ")
    assert await session.desk.states(run_id) == {"a": "ready"}


@pytest.mark.parametrize("brief", ["Find the bug", "", "[dispatch nobody/a/1]\nDo it", "[dispatch r/a/1]"])
async def test_the_end_of_a_subagent_that_is_not_ours_is_answered_with_nothing(session: Session, brief: str) -> None:
    assert await session.ends(brief) == {}


async def test_transcripts_of_elsewhere_are_not_read(session: Session, tmp_path: Path) -> None:
    run_id, (name,) = await begun(session, task("a"))
    brief = (await session.begins(name))["prompt"]
    path = session.writes(brief)
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_bytes(path.read_bytes())
    link = path.with_name("agent-link.jsonl")
    link.symlink_to(foreign)
    for place in (foreign, link, path.parent / ".." / ".." / ".." / "foreign.jsonl", tmp_path, Path("relative.jsonl")):
        answer = await session.tells(
            "SubagentStop", agent_transcript_path=str(place), last_assistant_message=hook_setup.ANSWER
        )
        assert answer == {}
    assert await session.desk.states(run_id) == {"a": "running"}


async def test_after_a_call_that_waited_the_assistant_reads_what_is_ready_in_few_words(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"), *[task(f"task-{number}", "a") for number in range(5)])
    brief = (await session.begins(name))["prompt"]
    await session.ends(brief)
    after = await session.tells(
        "PostToolUse", tool_name="Agent", tool_input={"prompt": brief}, tool_response={"status": "completed"}
    )
    text = words(after)
    assert text.startswith(
        f"a: unverified. Ready: Agent(subagent_type='general-purpose', prompt='dispatch {short(run_id)}/"
    )
    assert "more assignments: dispatch(run_id=" in text
    assert token_count.count(text) <= hook_words.NEWS_TOKENS


async def test_a_call_that_was_only_launched_is_answered_with_nothing(session: Session) -> None:
    _, (name,) = await begun(session, task("a"))
    brief = (await session.begins(name))["prompt"]
    launched = {"status": "async_launched", "isAsync": True, "agentId": "a1"}
    fields = {"tool_name": "Agent", "tool_input": {"prompt": brief}, "tool_response": launched}
    assert await session.tells("PostToolUse", **fields) == {}


async def test_an_end_that_was_missed_is_reported_after_the_call(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"))
    brief = (await session.begins(name))["prompt"]
    session.writes(brief, agent="a7")
    response = {"status": "completed", "agentId": "a7", "content": [{"type": "text", "text": hook_setup.ANSWER}]}
    after = await session.tells("PostToolUse", tool_name="Agent", tool_input={"prompt": brief}, tool_response=response)
    assert words(after).startswith("a: unverified. ")
    assert (await hook_setup.spend(session.desk.app, run_id)).output_tokens == 20


async def test_a_subagent_that_could_not_start_has_failed_and_is_tried_again(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"))
    brief = (await session.begins(name))["prompt"]
    after = await session.tells(
        "PostToolUseFailure", tool_name="Agent", tool_input={"prompt": brief}, error="API Error: 500"
    )
    assert words(after).startswith("a: ready. ")
    assert await session.desk.states(run_id) == {"a": "ready"}


FULL = "Concurrent subagent limit reached. You can run 1 subagents at once. Do not retry."


async def test_a_subagent_that_the_host_refused_to_start_spends_no_attempt_and_can_be_called_again(
    session: Session,
) -> None:
    run_id, (name,) = await begun(session, task("a"))
    brief = (await session.begins(name))["prompt"]
    after = await session.tells("PostToolUseFailure", tool_name="Agent", tool_input={"prompt": brief}, error=FULL)
    assert (
        words(after)
        == "a: not started. As many are at work as this host allows, so call it when another one has ended."
    )
    assert await session.desk.states(run_id) == {"a": "running"}
    assert (await session.begins(name, "toolu_2"))["prompt"] == brief


async def test_a_refusal_by_the_user_that_the_assistant_reports_frees_the_attempt_that_was_begun(
    session: Session,
) -> None:
    run_id, (name,) = await begun(session, task("a"))
    await session.begins(name)
    assert "does 'a' already" in await session.refusal(name, "toolu_2")
    refused = "The user doesn't want to proceed with this tool use. The tool use was rejected."
    with pytest.raises(errors.InputError, match="no subagent was started"):
        await session.desk.app.report(run_id, [{"task_id": "a", "attempt": 1, "text": refused}])
    assert await session.desk.states(run_id) == {"a": "running"}
    assert (await session.begins(name, "toolu_2"))["prompt"]


async def test_word_that_a_subagent_waits_for_its_own_ends_nothing(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"))
    session.writes((await session.begins(name))["prompt"])
    notice = notification("completed", result="I wait.").replace(
        "<result>", '<summary>Agent "a" is waiting on its own background work</summary>\n<result>'
    )
    await session.tells("UserPromptSubmit", prompt=notice)
    assert await session.desk.states(run_id) == {"a": "running"}


def ended_process() -> int:
    """Returns the number of a process that is over."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def notification(status: str, agent: str = "a1", result: str = "") -> str:
    return (
        f"<task-notification>\n<task-id>{agent}</task-id>\n<status>{status}</status>\n<result>{result}</result>\n"
        "</task-notification>"
    )


async def test_the_notification_of_a_background_subagent_brings_what_is_ready(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"), task("b", "a"))
    await session.ends((await session.begins(name))["prompt"])
    text = words(await session.tells("UserPromptSubmit", prompt=notification("completed")))
    assert (
        text == f"a: unverified. Ready: Agent(subagent_type='general-purpose', prompt='dispatch {short(run_id)}/b/1')"
    )


@pytest.mark.parametrize(("status", "state"), [("killed", "ready"), ("failed", "ready"), ("completed", "unverified")])
async def test_a_notification_reports_what_has_not_been_reported(session: Session, status: str, state: str) -> None:
    run_id, (name,) = await begun(session, task("a"))
    session.writes((await session.begins(name))["prompt"])
    await session.tells("UserPromptSubmit", prompt=notification(status, result=hook_setup.ANSWER))
    assert await session.desk.states(run_id) == {"a": state}
    assert (await hook_setup.spend(session.desk.app, run_id)).output_tokens == 20


@pytest.mark.parametrize("status", ["running", "pending", "50 %", ""])
async def test_a_notification_of_how_far_a_subagent_is_ends_nothing(session: Session, status: str) -> None:
    run_id, (name,) = await begun(session, task("a"))
    session.writes((await session.begins(name))["prompt"])
    await session.tells("UserPromptSubmit", prompt=notification(status))
    assert await session.desk.states(run_id) == {"a": "running"}


async def test_notifications_of_others_and_of_nobody_are_answered_with_nothing(session: Session) -> None:
    session.writes("Find the bug", agent="other")
    for prompt in (notification("completed", "other"), notification("completed", "../../x"), "<task-notification>"):
        assert await session.tells("UserPromptSubmit", prompt=prompt) == {}


async def test_a_session_with_ready_work_in_its_hands_is_kept_going_three_times_in_a_row(session: Session) -> None:
    _, names = await begun(session, task("a"), task("b"))
    assert await session.tells("Stop") == {}, "nothing of this run was begun here"
    brief = (await session.begins(names[0]))["prompt"]
    for _ in range(3):
        reply = await session.tells("Stop", background_tasks=[])
        assert reply["decision"] == "block"
        assert names[1] in reply["reason"]
    assert await session.tells("Stop") == {}
    await session.ends(brief)
    assert await session.tells("Stop") != {}, "what it does in between counts anew"


async def test_a_session_may_end_while_subagents_work_or_others_do_its_run(session: Session, tmp_path: Path) -> None:
    _, names = await begun(session, task("a"), task("b"))
    await session.begins(names[0])
    at_work = [{"id": "a1", "type": "subagent", "status": "running"}]
    assert await session.tells("Stop", background_tasks=at_work) == {}
    other = Session(session.desk, tmp_path / "transcripts", id="session-2", pid=os.getppid())
    assert await other.tells("Stop", background_tasks=[]) == {}
    await session.begins(names[1], "call-2")
    assert await session.tells("Stop", background_tasks=[]) == {}, "nothing is left to start"


async def test_programs_in_the_background_are_no_subagents_at_work(session: Session) -> None:
    _, names = await begun(session, task("a"), task("b"))
    await session.begins(names[0])
    shell = {"id": "b1", "type": "shell", "status": "running"}
    assert (await session.tells("Stop", background_tasks=[shell]))["decision"] == "block"
    subagent = {"id": "a1", "type": "subagent", "status": "running"}
    assert await session.tells("Stop", background_tasks=[shell, subagent]) == {}


async def test_without_a_server_that_counts_a_session_is_kept_going_once(session: Session) -> None:
    _, names = await begun(session, task("a"), task("b"))
    await session.begins(names[0])

    async def stops(**fields: Any) -> dict[str, Any]:
        memory = hook_answers.memory_of({"event": fields})
        session.answers = hook_answers.HookAnswers(session.desk.app, memory, "full")
        return await session.tells("Stop", **fields)

    assert (await stops())["decision"] == "block"
    assert await stops(stop_hook_active=True) == {}


async def test_a_session_may_end_while_a_person_has_to_decide(session: Session) -> None:
    decision = task("decide", worker="human")
    _, names = await begun(session, task("a"), task("b"), decision)
    await session.begins(names[0])
    assert await session.tells("Stop", background_tasks=[]) == {}


async def test_the_start_of_a_session_tells_of_open_runs_in_few_words_and_of_nothing_else(session: Session) -> None:
    assert await session.tells("SessionStart", source="startup") == {}
    for _ in range(4):
        plan_id = await session.desk.planned(task("a"), task("b", "a"), request="Count all the apples " * 20)
        await session.desk.app.dispatch(plan_id=plan_id)
    text = words(await session.tells("SessionStart", source="compact"))
    assert "4 open runs here. 'Count all the apples" in text
    assert "0 of 2 tasks done" in text
    assert token_count.count(text) <= hook_words.WELCOME_TOKENS


async def test_a_subagent_goes_on_while_its_conversation_is_cleared_and_reports_itself(
    session: Session, tmp_path: Path
) -> None:
    run_id, names = await begun(session, task("a"), task("b"), task("c"))
    brief = (await session.begins(names[0]))["prompt"]
    assert "/b/1" in (await session.tells("Stop"))["reason"]
    assert await session.tells("SessionEnd", reason="clear") == {}
    cleared = hook_setup.Session(session.desk, session.folder, id="session-2")
    cleared.answers = session.answers  # the server is the same
    assert "1 open run here" in words(await cleared.tells("SessionStart", source="clear"))
    assert await cleared.tells("Stop") == {}, "whoever clears a conversation is not pushed on with its run"
    assert "of this session does 'a' already" in await cleared.refusal(names[0], "call-2")
    await cleared.ends(brief)
    assert await session.desk.states(run_id) == {"a": "unverified", "b": "running", "c": "running"}
    assert await cleared.tells("Stop") == {}, "nor by what ends that was begun before"
    await cleared.begins(names[1], "call-3")
    assert "/c/1" in (await cleared.tells("Stop"))["reason"], "now it works on the run itself"
    assert await cleared.tells("SessionEnd", reason="other") == {}
    assert await session.desk.states(run_id) == {"a": "unverified", "b": "ready", "c": "running"}


async def test_the_end_of_a_session_frees_what_it_had_begun_at_once(session: Session, tmp_path: Path) -> None:
    run_id, names = await begun(session, task("a"), task("b"))
    await session.begins(names[0])
    other = Session(session.desk, tmp_path / "transcripts", id="session-2", pid=os.getppid())
    assert "Another session does 'a' already" in await other.refusal(names[0])
    assert await session.tells("SessionEnd", reason="clear") == {}
    assert await session.desk.states(run_id) == {"a": "running", "b": "running"}
    assert await session.tells("SessionEnd", reason="other") == {}
    assert await session.desk.states(run_id) == {"a": "ready", "b": "running"}
    again = await session.desk.app.dispatch(run_id=run_id)
    assert f"dispatch {short(run_id)}/a/2" in [handout.call.prompt for handout in again.assignments]


async def test_what_a_killed_session_had_begun_is_freed_when_the_next_one_starts(
    session: Session, tmp_path: Path
) -> None:
    session.pid = ended_process()
    run_id, (name,) = await begun(session, task("a"))
    await session.begins(name)
    other = Session(session.desk, tmp_path / "transcripts", id="session-2", pid=os.getppid())
    assert words(await other.tells("SessionStart", source="startup"))
    assert await session.desk.states(run_id) == {"a": "ready"}


async def test_an_attempt_does_not_begin_once_others_have_used_what_it_needs(session: Session) -> None:
    await contact(session)
    tasks = [task(name, effort="S", model="sonnet") for name in "ab"]
    limits = model.Limits(tokens=1_200_000)
    progress = await dispatcher_setup.started(session.desk, *tasks, limits=limits)
    names = [handout.call.prompt for handout in progress.assignments]
    assert len(names) == 2
    brief = (await session.begins(names[0]))["prompt"]
    path = session.writes(brief, hook_setup.answer("m1", input_tokens=1_190_000))
    await session.tells("SubagentStop", agent_transcript_path=str(path), last_assistant_message=hook_setup.ANSWER)
    reason = await session.refusal(names[1], "call-2")
    assert "limits.tokens is 1,200,000, spent are 1,190," in reason
    assert await session.desk.states(progress.run_id) == {"a": "unverified", "b": "ready"}
    trace = await session.desk.app.trace(run_id=progress.run_id)
    assert trace.state == "paused"
    assert "limits.tokens" in await session.refusal(names[1], "call-3")
    raised = await session.desk.raised(progress.run_id, tokens=9_000_000)
    assert [handout.call.prompt for handout in raised.assignments] == [f"dispatch {short(progress.run_id)}/b/2"]
    assert (await session.desk.app.trace(run_id=progress.run_id)).spend == trace.spend, "nothing was spent on it"


async def test_the_clock_of_an_attempt_starts_when_it_begins(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a", timeout_s=100))
    session.desk.clock.now += 90
    brief = (await session.begins(name))["prompt"]
    session.desk.clock.now += 90
    await session.ends(brief)
    assert await session.desk.states(run_id) == {"a": "unverified"}


async def test_with_reports_alone_the_assistant_holds_the_brief_and_need_not_report(
    desk: dispatcher_setup.Desk, tmp_path: Path
) -> None:
    session = Session(desk, tmp_path / "transcripts", level="report")
    run_id, (prompt,) = await begun(session, task("a"))
    assert prompt.startswith(f"[dispatch {short(run_id)}/a/1]\n")
    assert "Do a" in prompt
    assert await session.calls(f"dispatch {short(run_id)}/a/1") == {}
    await session.ends(prompt)
    assert await desk.states(run_id) == {"a": "unverified"}
    assert await session.tells("Stop") == {}


async def test_with_hooks_off_nothing_is_answered(desk: dispatcher_setup.Desk, tmp_path: Path) -> None:
    session = Session(desk, tmp_path / "transcripts", level="off")
    _, (prompt,) = await begun(session, task("a"))
    assert not prompt.startswith(("dispatch ", "[dispatch "))
    for name in ("SessionStart", "Stop", "SessionEnd", "Nonsense"):
        assert await session.tells(name) == {}


async def test_a_brief_that_was_kept_is_not_gathered_again_when_it_begins(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"))
    kept = await session.desk.app.store.kept_brief(run_id, "a", 1)
    assert (await session.begins(name))["prompt"] == f"[{name}]\n{kept}"


async def test_dispatching_again_repeats_names_and_says_what_to_do_with_them(session: Session) -> None:
    run_id, names = await begun(session, task("a"), task("b"))
    await session.begins(names[0])
    again = await session.desk.app.dispatch(run_id=run_id)
    assert [handout.call.prompt for handout in again.assignments] == names
    assert all(handout.already_out for handout in again.assignments)
    assert isinstance(again.next, NextStep)
    assert "What no subagent does yet, start with its `call`" in tool_wording.words(again.next)


@pytest.mark.parametrize(
    "fields",
    [
        {"background_tasks": None},
        {"background_tasks": "none"},
        {"background_tasks": [1, {"status": 3}, {"status": "completed"}]},
    ],
)
async def test_what_a_session_says_of_its_background_is_read_in_any_form(
    session: Session, fields: dict[str, Any]
) -> None:
    _, names = await begun(session, task("a"), task("b"))
    await session.begins(names[0])
    assert (await session.tells("Stop", **fields))["decision"] == "block"


async def test_a_subagent_that_was_called_by_the_bare_name_gets_its_brief_when_it_wants_to_end(
    session: Session,
) -> None:
    run_id, (name,) = await begun(session, task("a"))
    late = await session.ends(name, "What is 'dispatch'?")
    assert late["decision"] == "block"
    assert late["reason"].startswith(hook_words.LATE)
    assert f"[dispatch {short(run_id)}/a/1]" in late["reason"]
    assert "# GOAL" in late["reason"]
    assert await session.ends(name, stop_hook_active=True) == {}
    assert await session.desk.states(run_id) == {"a": "unverified"}
    assert (await hook_setup.spend(session.desk.app, run_id)).output_tokens == hook_setup.USAGE["output_tokens"]


@pytest.mark.parametrize("form", ["{}", "[{}]\n# GOAL"])
async def test_what_another_session_has_begun_is_neither_reported_nor_told(
    form: str, session: Session, tmp_path: Path
) -> None:
    run_id, (name,) = await begun(session, task("a"))
    await Session(session.desk, tmp_path / "transcripts", id="another", pid=os.getppid()).begins(name)
    prompt = form.format(name)
    assert await session.ends(prompt) == {}
    call = {"tool_name": "Agent", "tool_input": {"prompt": prompt}, "tool_response": {"status": "completed"}}
    notice = "<task-notification><task-id>a1</task-id><status>completed</status>"
    assert await session.tells("PostToolUse", **call) == {}
    assert await session.tells("PostToolUseFailure", **call) == {}
    assert await session.tells("UserPromptSubmit", prompt=notice) == {}
    assert await session.desk.states(run_id) == {"a": "running"}


async def test_a_bare_name_that_cannot_begin_now_reports_nothing_and_stays_out(session: Session) -> None:
    run_id, (name,) = await begun(session, task("a"))
    await session.desk.app.steer(run_id, "pause", "", "")
    assert await session.ends(name, "What is 'dispatch'?") == {}
    done = {"tool_name": "Agent", "tool_input": {"prompt": name}, "tool_response": {"status": "completed"}}
    assert words(await session.tells("PostToolUse", **done)).startswith("a: running. ")
    failed = {"tool_name": "Agent", "tool_input": {"prompt": name}, "error": "no"}
    assert words(await session.tells("PostToolUseFailure", **failed)).startswith("a: running. ")
    notice = "<task-notification><task-id>a1</task-id><status>killed</status>"
    assert words(await session.tells("UserPromptSubmit", prompt=notice)).startswith("a: running. ")
    assert await session.desk.states(run_id) == {"a": "running"}


async def test_what_nobody_has_begun_is_not_done_by_an_answer_that_is_no_handoff(session: Session) -> None:
    run_id, _ = await begun(session, task("a"), task("b"))
    entries = [
        {"task_id": "a", "attempt": 1, "text": "I do not know what you mean."},
        {"task_id": "b", "attempt": 1, "text": hook_setup.ANSWER},
    ]
    first, second = (await session.desk.app.report(run_id, entries)).results
    assert (first.accepted, first.state, second.state) == (True, "running", "unverified"), "asked for again at once"
    assert "never had its brief" in first.why
    session.desk.app.hooks = "off"
    again = {"task_id": "a", "attempt": 2, "text": "I looked, and there is nothing."}
    assert (await session.desk.app.report(run_id, [again])).results[0].state == "unverified", (
        "the brief was in the call"
    )
