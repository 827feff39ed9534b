"""Calls by name without a server: what is denied and begun is what the server would deny and begin."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import hook_cases
import hook_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp import model
from dispatch_mcp.hooks import hand_in_clerk, hand_ins, hook_words, quick_answers, quick_calls
from dispatch_mcp.model import records, short_ids
from dispatch_mcp.store.looks import host_begins, open_runs

pytestmark = pytest.mark.anyio

LIMITS = model.Limits(tokens=1_200_000)


def called(case: hook_cases.Case, prompt: str, call_id: str = "call-1", **more: Any) -> quick_answers.HandIn | None:
    """Returns what a call with that prompt is answered; `more` is of its session."""
    arguments = {"description": "Do it", "prompt": prompt, "subagent_type": "Explore"}
    look = case.look("PreToolUse", tool_name="Agent", tool_input=arguments, tool_use_id=call_id)
    assert quick_answers.before(look) is None, "a server knows more"
    look = dataclasses.replace(look, **{"pid": os.getpid(), **more})
    return quick_calls.answer(look, {"name": "PreToolUse", "event": look.event, "pid": look.pid})


def reason(answer: quick_answers.HandIn | None) -> str:
    assert answer is not None
    fields = answer.reply["hookSpecificOutput"]
    assert fields["permissionDecision"] == "deny"
    return fields["permissionDecisionReason"]


async def denied(case: hook_cases.Case, prompt: str, call_id: str = "call-1") -> str:
    """Returns why a look denies a call, as the server does for the same reason."""
    why = reason(called(case, prompt, call_id))
    assert why.partition(". ")[0].removesuffix(".") in await case.session.refusal(prompt, call_id)
    return why


async def test_names_that_are_not_good_are_denied(case: hook_cases.Case) -> None:
    run_id, names = await case.run(task("a"), task("b"), task("c", "a"), task("d", worker="human"))
    brief = (await case.session.begins(names[0]))["prompt"]
    await case.session.ends(brief)
    assert "it is over, the task is unverified" in await denied(case, names[0])
    assert "it has not been handed out, the newest attempt is 1" in await denied(case, f"{names[1][:-1]}2")
    assert "the human worker does this task" in await denied(case, names[1].replace("/b/", "/d/"))
    assert "There is no run 'nobody'" in await denied(case, "dispatch nobody/a/1")
    assert f"Run {short_ids.short(run_id)!r} has no task 'e'" in await denied(case, names[1].replace("/b/", "/e/"))
    await case.desk.app.report(run_id, [{"task_id": "b", "attempt": 1, "status": "failed", "retryable": True}])
    case.desk.clock.now += 3600
    await case.desk.app.dispatch(run_id=run_id)
    assert "it was replaced by attempt 2" in await denied(case, names[1])
    await case.desk.app.steer(run_id, "pause", "", "")
    assert "its run is paused" in await denied(case, f"{names[1][:-1]}2")
    await case.desk.app.steer(run_id, "cancel", "", "")
    assert "its run is over (cancelled)" in await denied(case, f"{names[1][:-1]}2")


async def test_a_name_that_several_runs_have_is_denied_and_the_latest_is_the_newest_of_the_workspace(
    case: hook_cases.Case, tmp_path: Path
) -> None:
    look: dict[str, Any] = {"workspace": open_runs.places(str(tmp_path / "elsewhere"))}
    assert "none is the latest" in reason(called(case, "dispatch latest/a/1"))
    runs = [(await case.run(task("a")))[0] for _ in range(2)]
    assert "is the beginning of several runs" in await denied(case, "dispatch do/a/1")
    assert "none is the latest" in reason(called(case, "dispatch latest/a/1", **look))
    assert f"Run {short_ids.short(runs[0])!r} is of another workspace" in reason(
        called(case, f"dispatch {runs[0]}/a/1", **look)
    )
    answer = called(case, "dispatch latest/a/1")
    assert answer is not None
    mark = f"[dispatch {short_ids.short(runs[1])}/a/1]"
    assert answer.reply["hookSpecificOutput"]["updatedInput"]["prompt"].startswith(mark)


async def test_the_brief_is_what_the_server_would_give(case: hook_cases.Case) -> None:
    _, names = await case.run(task("a"), task("b"))
    answer = called(case, names[0])
    assert answer is not None
    assert answer.workspace == "", "nothing is kept"
    assert answer.reply["hookSpecificOutput"]["updatedInput"] == await case.session.begins(names[0])
    assert await case.agrees("Stop"), "the session has begun it"


async def test_an_attempt_has_one_subagent_of_one_session_until_that_is_gone(case: hook_cases.Case) -> None:
    _, (name,) = await case.run(task("a"))
    case.session.pid = os.getppid()
    await case.session.begins(name, "call-1")
    assert called(case, name, "call-1", pid=os.getppid()), "the same call begins again"
    assert "A subagent of this session does 'a' already" in await denied(case, name, "call-2")
    other = {"session": "session-2", "pid": os.getpid()}
    assert "Another session does 'a' already" in reason(called(case, name, "call-2", **other))
    case.session.pid = hook_cases.DEAD
    _, (name,) = await case.run(task("a"))
    await case.session.begins(name, "call-1")
    answer = called(case, name, "call-2", **other)
    assert answer is not None
    assert answer.reply["hookSpecificOutput"]["permissionDecision"] == "allow"
    (look, *_) = open_runs.at_work(str(case.folder / "home"), open_runs.places(str(case.folder)))
    assert (look.session, look.call) == ("session-2", "call-2")


@pytest.mark.parametrize("loss", ["brief", "call", "account"])
async def test_what_has_lost_what_it_takes_is_left_to_who_can_make_it_anew(
    loss: str, case: hook_cases.Case, tmp_path: Path
) -> None:
    run_id, (name,) = await case.run(task("a"), limits=LIMITS)
    match loss:
        case "brief":
            (tmp_path / "home" / "briefs" / run_id / "a-1.md").unlink()
        case "call":
            await case.desk.app.store.beat(run_id, "a", 1, {})
        case _:
            with host_begins.sqlite.open_writer(tmp_path / "home") as conn:
                conn.execute("UPDATE attempt SET overdrawn = NULL")
    assert called(case, name) is None


async def overdrawn(case: hook_cases.Case) -> tuple[str, list[str]]:
    """Returns a run, and the names of its two attempts, of which the first has used what the second needs."""
    tasks = [task(name, effort="S", model="sonnet") for name in "ab"]
    run_id, names = await case.run(*tasks, limits=LIMITS)
    brief = (await case.session.begins(names[0]))["prompt"]
    path = case.session.writes(brief, hook_setup.answer("m1", input_tokens=1_190_000))
    await case.session.tells("SubagentStop", agent_transcript_path=str(path), last_assistant_message=hook_setup.ANSWER)
    return run_id, names


async def test_what_a_ceiling_does_not_bear_any_more_is_denied_at_once_and_taken_back_afterwards(
    case: hook_cases.Case, tmp_path: Path
) -> None:
    run_id, names = await overdrawn(case)
    answer = called(case, names[1])
    assert "limits.tokens is 1,200,000, spent are 1,190," in reason(answer)
    assert answer
    assert answer.workspace == str(tmp_path)
    assert await case.desk.states(run_id) == {"a": "unverified", "b": "running"}
    assert called(case, names[1]), "a second call is denied too, and kept once"
    inbox = hand_ins.HandIns(str(tmp_path / "home"), str(tmp_path))
    assert len(inbox.waiting()) == 1
    await hand_in_clerk.take(case.desk.app, tmp_path / "home", "full", 120)
    assert inbox.waiting() == []
    assert await case.desk.states(run_id) == {"a": "unverified", "b": "ready"}
    assert (await case.desk.app.trace(run_id=run_id)).state == "paused"
    assert "limits.tokens is 1" in reason(called(case, names[1])), "its run waits at the ceiling"


async def test_a_denied_attempt_that_its_ceiling_bears_again_stays_out_for_anybody(
    case: hook_cases.Case, tmp_path: Path
) -> None:
    run_id, names = await overdrawn(case)
    assert "cannot begin" in reason(called(case, names[1]))
    step = records.Step(now=case.desk.clock.now, limits=model.Limits(tokens=9_000_000))
    await case.desk.app.store.advance(run_id, step)
    await hand_in_clerk.take(case.desk.app, tmp_path / "home", "full", 120)
    assert await case.desk.states(run_id) == {"a": "unverified", "b": "running"}
    answer = called(case, names[1])
    assert answer is not None
    assert answer.reply["hookSpecificOutput"]["permissionDecision"] == "allow"


async def test_a_denial_that_cannot_be_kept_is_one_all_the_same(case: hook_cases.Case, tmp_path: Path) -> None:
    _, names = await overdrawn(case)
    (tmp_path / "home" / hand_ins.FOLDER).parent.mkdir(exist_ok=True)
    (tmp_path / "home" / hand_ins.FOLDER).write_text("no folder")
    answer = called(case, names[1])
    assert "cannot begin" in reason(answer)
    assert answer is not None
    assert answer.workspace == ""


async def test_a_subagent_that_was_called_by_a_name_alone_gets_its_brief_late(case: hook_cases.Case) -> None:
    _, (name,) = await case.run(task("a"))
    path = str(case.session.writes(name))
    look = case.look("SubagentStop", agent_transcript_path=path, agent_id="a1", last_assistant_message="What is that?")
    assert quick_answers.before(look) is None
    assert quick_answers.alone(look) is None
    assert quick_answers.hand_in(look, {}) is None
    late = quick_calls.late_brief(look)
    assert late is not None
    assert late["reason"].startswith(f"{hook_words.LATE}\n[{name}]\n")
    assert quick_calls.late_brief(look) is None, "it has begun by now"
    assert quick_answers.hand_in(look, {}), "and its next answer is its result"
