"""What hooks answer by a look into the store is what the server would answer, and what takes more is left to it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import hook_cases
import hook_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp.hooks import hook_program, quick_answers
from dispatch_mcp.model import short_ids
from dispatch_mcp.store.looks import open_runs

pytestmark = pytest.mark.anyio


async def test_the_start_of_a_session_is_told_the_same_by_a_look(case: hook_cases.Case) -> None:
    assert await case.agrees("SessionStart", source="startup") == {}
    for title in ("Count the apples", "Weigh the pears", "Peel the onions"):
        plan_id = await case.desk.planned(task("a"), task("b", "a"), request=title)
        progress = await case.desk.app.dispatch(plan_id=plan_id)
        await case.desk.app.report(progress.run_id, [{"task_id": "a", "attempt": 1, "text": "done"}])
        case.desk.clock.now += 4_000
        told = await case.agrees("SessionStart", source="compact")
        assert told
        assert title in hook_setup.words(told)
    assert "3 open runs here" in hook_setup.words(told)
    assert "And 1 more" in hook_setup.words(told)


async def test_what_a_dead_session_holds_is_left_to_who_can_free_it(case: hook_cases.Case) -> None:
    _, (name,) = await case.run(task("a"))
    case.session.pid = hook_cases.DEAD
    await case.session.begins(name)
    assert await case.agrees("SessionStart", source="startup") is None


@pytest.mark.parametrize("name", ["SubagentStop", "UserPromptSubmit", "PostToolUse"])
async def test_subagents_of_others_are_answered_by_nobody(name: str, case: hook_cases.Case) -> None:
    await case.run(task("a"))
    path = case.session.writes("Find the bug")
    event = {
        "agent_transcript_path": str(path),
        "prompt": "<task-notification><task-id>a1</task-id><status>completed</status>",
        **case.after("[dispatch x/a/1]", "async_launched"),
    }
    assert quick_answers.before(case.look(name, **event)) == {}
    assert await case.agrees(name, **event) == {}


async def test_an_attempt_that_is_out_is_reported_by_who_can_judge_it(case: hook_cases.Case) -> None:
    _, (name,) = await case.run(task("a"))
    brief = (await case.session.begins(name))["prompt"]
    path = case.session.writes(brief)
    notice = "<task-notification><task-id>a1</task-id><status>completed</status>"
    assert await case.agrees("SubagentStop", agent_transcript_path=str(path)) is None
    assert await case.agrees("UserPromptSubmit", prompt=notice) is None
    assert await case.agrees("PostToolUse", **case.after(brief)) is None
    assert await case.agrees("PostToolUseFailure", **case.after(brief)) is None
    assert await case.agrees("SessionEnd", reason="other") is None
    assert await case.agrees("SessionEnd", reason="clear") == {}


async def test_news_after_a_report_are_the_same_by_a_look(case: hook_cases.Case) -> None:
    run_id, names = await case.run(task("a"), task("b"), *[task(f"c{n}", "a", "b") for n in range(8)])
    briefs = [(await case.session.begins(name, f"call-{name}"))["prompt"] for name in names]
    await case.session.ends(briefs[0])
    told = await case.agrees("PostToolUse", **case.after(briefs[0]))
    assert told is not None
    assert hook_setup.words(told) == "a: unverified. 1 subagent at work; nothing else is ready."
    path = case.session.writes(briefs[0])
    assert await case.agrees("SubagentStop", agent_transcript_path=str(path)) == {}
    await case.session.ends(briefs[1])
    for name in ("PostToolUse", "PostToolUseFailure"):
        told = await case.agrees(name, **case.after(briefs[1]))
        assert told is not None
        assert "b: unverified. Ready: Agent(" in hook_setup.words(told)
        assert "more assignments: dispatch(run_id=" in hook_setup.words(told)
    notice = "<task-notification><task-id>a1</task-id><status>completed</status>"
    assert await case.agrees("UserPromptSubmit", prompt=notice)
    await case.desk.app.steer(run_id, "pause", "", "")
    told = quick_answers.alone(case.look("PostToolUse", **case.after(briefs[1])))
    assert told is not None
    assert hook_setup.words(told).startswith("b: unverified. Nothing is ready; get_trace(run_id="), "why takes the run"


async def test_the_last_result_of_a_run_tells_by_a_look_that_it_has_ended_and_how(case: hook_cases.Case) -> None:
    run_id, names = await case.run(task("a"))
    brief = (await case.session.begins(names[0]))["prompt"]
    await case.session.ends(brief)
    told = await case.agrees("PostToolUse", **case.after(brief))
    assert told is not None
    run = short_ids.short(run_id)
    assert hook_setup.words(told) == (
        f"a: unverified. Run {run!r} is over (succeeded): 0 of 1 proven, 1 UNVERIFIED. "
        f"get_trace(run_id={run!r}, view='results') has everything."
    )
    run_id, names = await case.run(task("a"))
    brief = (await case.session.begins(names[0]))["prompt"]
    await case.session.ends(brief, "")
    for _ in range(9):
        case.desk.clock.now += 3600
        for handout in (await case.desk.app.dispatch(run_id=run_id)).assignments:
            brief = (await case.session.begins(handout.call.prompt))["prompt"]
            await case.session.ends(brief, "")
    told = quick_answers.alone(case.look("PostToolUse", **case.after(brief)))
    assert told is not None
    server = await case.session.tells("PostToolUse", **case.after(brief))
    assert "is over (failed): 0 of 1 proven." in hook_setup.words(told)
    assert hook_setup.words(server).startswith(hook_setup.words(told)), "what to do about it takes the whole run"


async def test_what_is_no_handoff_is_asked_for_once_more_by_a_look_and_one_that_is_left_to_who_judges_it(
    case: hook_cases.Case,
) -> None:
    _, names = await case.run(task("a"), task("r", "a", reviews=["a"]))
    brief = (await case.session.begins(names[0]))["prompt"]
    path = str(case.session.writes(brief))
    fields = {"agent_transcript_path": path, "last_assistant_message": "It is done."}
    damaged = '```json\n{"completed_work": "x" "files": []}\n```'
    for text, fault in ((fields["last_assistant_message"], "has no JSON block"), (damaged, "could not be read")):
        asked = await case.agrees("SubagentStop", **{**fields, "last_assistant_message": text})
        assert asked is not None
        assert asked["decision"] == "block"
        assert fault in asked["reason"]
    assert await case.agrees("SubagentStop", **fields, stop_hook_active=True) is None
    for text in ("", " ", hook_setup.ANSWER):
        assert await case.agrees("SubagentStop", **{**fields, "last_assistant_message": text}) is None
    home = str(case.folder / "home")
    run = open_runs.at_work(home, open_runs.places(str(case.folder)))[0].run
    assert [open_runs.is_review(home, run, name) for name in ("a", "r")] == [False, True]


async def test_a_session_is_kept_going_for_what_it_has_begun_by_a_look(case: hook_cases.Case) -> None:
    _, names = await case.run(task("a"), task("b"))
    assert await case.agrees("Stop") == {}, "whoever began nothing is not kept"
    brief = (await case.session.begins(names[0]))["prompt"]
    kept = await case.agrees("Stop")
    assert kept is not None
    assert kept["decision"] == "block"
    assert "/b/1" in kept["reason"]
    assert await case.agrees("Stop", stop_hook_active=True) == {}
    working = [{"type": "subagent", "status": "running"}]
    assert await case.agrees("Stop", background_tasks=working) == {}
    serving = [{"type": "shell", "status": "running"}, 3]
    assert await case.agrees("Stop", background_tasks=serving)
    await case.session.ends(brief)
    assert await case.agrees("Stop") == {}


@pytest.mark.parametrize("change", ["pause", "decision"])
async def test_nobody_is_kept_going_while_a_run_waits_for_a_person(change: str, case: hook_cases.Case) -> None:
    tasks = [task("a"), task("b"), *([task("d", worker="human")] if change == "decision" else [])]
    run_id, names = await case.run(*tasks)
    await case.session.begins(names[0])
    if change == "pause":
        await case.desk.app.steer(run_id, "pause", "", "")
    assert await case.agrees("Stop") == {}


async def test_a_session_that_holds_nothing_ends_without_anybody(case: hook_cases.Case) -> None:
    await case.run(task("a"))
    assert await case.agrees("SessionEnd", reason="other") == {}


async def test_the_number_of_a_run_is_a_name_of_it(case: hook_cases.Case) -> None:
    run_id, _ = await case.run(task("a"))
    (look,) = open_runs.task(str(case.folder / "home"), run_id.rpartition("-")[2][:6], "a")
    assert (look.run, look.attempt, look.is_out) == (run_id, 1, True)
    assert open_runs.task(str(case.folder / "home"), "zz", "a") == []


@pytest.mark.parametrize(
    ("env", "file", "level"),
    [
        ({}, "", "full"),
        ({"DISPATCH_MCP_HOOKS": "report"}, "", "report"),
        ({"DISPATCH_MCP_HOOKS": "loud"}, "", ""),
        ({}, "hooks = 'report'\n", "report"),
        ({}, "hooks = 3\n", ""),
        ({}, "model = 'api'\n", "full"),
        ({}, "what = is this\n", ""),
        ({}, "workspace = '/elsewhere'\n", "full"),
        ({}, "workspace = 5\n", ""),
        ({}, f"a = {'[' * 100_000}", ""),
        ({"DISPATCH_MCP_HOOKS": "full"}, "hooks = 'off'\n", "full"),
    ],
)
def test_a_look_answers_only_where_it_knows_what_hooks_may_do(
    env: dict[str, str], file: str, level: str, tmp_path: Path
) -> None:
    if file:
        (tmp_path / "config.toml").write_text(file)
    assert hook_program.wishes(str(tmp_path), env).level == level


HEAVY = "{'pydantic', 'anyio', 'asyncio', 'jinja2', 'yaml', 'mcp'}"


@pytest.mark.parametrize("name", ["SessionStart", "Stop", "SessionEnd", "SubagentStop", "PreToolUse", "PostToolUse"])
async def test_what_a_look_answers_loads_nothing_heavy(name: str, case: hook_cases.Case, tmp_path: Path) -> None:
    _, names = await case.run(task("a"), task("b"))
    brief = (await case.session.begins(names[0]))["prompt"]
    await case.session.ends(brief)
    event = {
        **case.look(name).event,
        **case.after(brief),
        "cwd": str(tmp_path),
        "agent_transcript_path": str(case.session.writes(brief)),
    }
    for prompt in (names[0], names[1]) if name == "PreToolUse" else (brief,):
        event["tool_input"] = {"prompt": prompt}
        answer, heavy = await loaded(name, event, tmp_path / "home")
        assert heavy == b"[]"
        assert bool(answer) is (name in ("SessionStart", "PreToolUse", "PostToolUse"))


async def loaded(name: str, event: dict[str, Any], home: Path) -> tuple[bytes, bytes]:
    """Returns what a hook prints that has no server, and which heavy libraries it loads."""
    program = (
        "import sys\nfrom dispatch_mcp.__main__ import light_command\n"
        f"light_command('hook', {name!r})\nprint()\nprint(sorted({HEAVY} & sys.modules.keys()))"
    )
    env = {**os.environ, "DISPATCH_MCP_HOME": str(home)}
    done = await anyio.run_process([sys.executable, "-c", program], env=env, input=json.dumps(event).encode())
    answer, heavy = done.stdout.splitlines()
    return answer, heavy
