"""Who has started a subagent, as the host keeps it beside each transcript, and what follows from it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import hook_cases
import hook_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp.hooks import agent_parents, agent_transcripts, hook_words, quick_answers
from dispatch_mcp.hooks.agent_parents import Birth

pytestmark = pytest.mark.anyio

EVIL = json.dumps({"completed_work": "What nobody has done."})


def born(path: Path, call: Any = "", parent: Any = "") -> str:
    """Keeps who has started the subagent of a transcript, as the host does."""
    path.with_suffix(".meta.json").write_text(json.dumps({"toolUseId": call, "parentAgentId": parent, "spawnDepth": 2}))
    return str(path)


def transcript(folder: Path, agent: str) -> Path:
    path = folder / f"agent-{agent}.jsonl"
    path.write_text("")
    return path


async def states(case: hook_cases.Case, run_id: str) -> dict[str, str]:
    return {line.id: str(line.state) for line in (await case.desk.app.trace(run_id=run_id)).tasks}


def test_ancestors_and_descendants_are_followed_also_in_a_circle(tmp_path: Path) -> None:
    a, b, c = (transcript(tmp_path, name) for name in "abc")
    born(a, "call-1")
    born(b, "call-2", "a")
    born(c, "call-3", "b")
    assert agent_parents.birth(str(b)) == Birth("call-2", "a")
    assert agent_parents.ancestors(str(c)) == [str(c), str(b), str(a)]
    assert agent_parents.descendants(str(a)) == [str(b), str(c)]
    born(a, "call-1", "c")
    assert agent_parents.ancestors(str(c)) == [str(c), str(b), str(a)]
    assert agent_parents.descendants(str(tmp_path / "nowhere" / "agent-a.jsonl")) == []
    assert agent_parents.ancestors("") == []


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"toolUseId": 3, "parentAgentId": ["a"]}', "\0"])
def test_what_says_nothing_of_a_birth_is_none(text: str, tmp_path: Path) -> None:
    path = transcript(tmp_path, "a")
    path.with_suffix(".meta.json").write_text(text)
    assert agent_parents.birth(str(path)) == agent_parents.NO_BIRTH


def test_a_birth_is_read_from_no_link_no_pipe_and_no_other_folder(tmp_path: Path) -> None:
    path, other = transcript(tmp_path, "a"), transcript(tmp_path, "b")
    born(other, "call-2", "../c")
    path.with_suffix(".meta.json").symlink_to(other.with_suffix(".meta.json"))
    assert agent_parents.birth(str(path)) == agent_parents.NO_BIRTH
    path.with_suffix(".meta.json").unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(path.with_suffix(".meta.json"))
        assert agent_parents.birth(str(path)) == agent_parents.NO_BIRTH
    assert agent_parents.birth(str(tmp_path / "agent-a.txt")) == agent_parents.NO_BIRTH
    assert agent_parents.ancestors(str(other)) == [str(other)], "a name that leads elsewhere is none"


async def test_what_a_subagents_own_subagents_use_is_used_for_its_attempt(case: hook_cases.Case) -> None:
    session = case.session
    path = session.writes("[dispatch run/a/1]\n# GOAL", hook_setup.answer("m1"))
    for agent, parent, rows in (("b2", "a1", ("m2", "m3")), ("c3", "b2", ("m4",)), ("d4", "zz", ("m5",))):
        other = session.writes("Help.", *[hook_setup.answer(row) for row in rows], agent=agent)
        born(other, f"call-{agent}", parent)
    usage = agent_transcripts.read(str(path), str(session.transcript)).model_usage()
    assert usage["claude-sonnet-5-5"]["input_tokens"] == 400
    nested = agent_transcripts.read(str(path.with_name("agent-b2.jsonl")), str(session.transcript))
    assert nested.prompt.name is None


async def test_another_subagent_reports_nothing_for_an_attempt_whatever_it_was_called_with(
    case: hook_cases.Case,
) -> None:
    run_id, names = await case.run(task("a"), task("b"))
    brief = (await case.session.begins(names[0], "call-1"))["prompt"]
    born(case.session.writes(brief), "call-1")
    other = names[1].removeprefix("dispatch ")
    for agent, call, parent, prompt in (
        ("e1", "call-2", "", brief),
        ("e2", "call-3", "a1", brief),
        ("e3", "call-4", "a1", f"[dispatch {other}]\nDo it."),
    ):
        born(case.session.writes(prompt, agent=agent), call, parent)
        assert await case.session.ends(prompt, EVIL, agent=agent) == {}
        fields = {"agent_id": agent, "last_assistant_message": EVIL}
        path = case.session.folder / case.session.id / "subagents" / f"agent-{agent}.jsonl"
        assert await case.agrees("SubagentStop", **fields, agent_transcript_path=str(path)) == {}
    assert await case.session.tells("PostToolUse", tool_use_id="call-2", **case.after(brief)) == {}
    failure = {"tool_name": "Agent", "tool_input": {"prompt": names[0]}, "error": "no"}
    assert await case.session.tells("PostToolUseFailure", tool_use_id="call-2", **failure) == {}
    assert await states(case, run_id) == {"a": "running", "b": "running"}
    assert await case.session.ends(brief) == {}
    assert await states(case, run_id) == {"a": "unverified", "b": "running"}


async def test_a_subagent_at_work_gets_no_brief_of_another_attempt(case: hook_cases.Case) -> None:
    _, names = await case.run(task("a"), task("b"))
    case.session.writes((await case.session.begins(names[0]))["prompt"])
    call = {"tool_name": "Agent", "tool_input": {"prompt": names[1]}, "tool_use_id": "call-2"}
    answer = quick_answers.before(case.look("PreToolUse", agent_id="a1", **call))
    assert answer == hook_words.denial(hook_words.no_others("a"))
    assert quick_answers.before(case.look("PreToolUse", agent_id="zz", **call)) is None, "one that orchestrates may"


@pytest.mark.parametrize("caller", ["a1", "b2"])
async def test_the_end_of_a_call_by_a_subagent_at_work_or_by_one_that_it_has_started_ends_no_other_attempt(
    case: hook_cases.Case, caller: str
) -> None:
    run_id, names = await case.run(task("a"), task("b"))
    case.session.writes((await case.session.begins(names[0]))["prompt"])
    born(case.session.writes("Help.", agent="b2"), "call-2", "a1")
    forged = case.after(f"[{names[1]}]\nDo it.")
    call = {"agent_id": caller, "tool_use_id": "call-3"}
    assert quick_answers.before(case.look("PostToolUse", **call, **forged)) == {}
    assert await case.session.tells("PostToolUse", **call, **forged) == {}
    failure = {"tool_name": "Agent", "tool_input": forged["tool_input"], "error": "no"}
    assert await case.session.tells("PostToolUseFailure", **call, **failure) == {}
    brief = {"tool_name": "Agent", "tool_input": {"prompt": names[1]}}
    assert quick_answers.before(case.look("PreToolUse", **call, **brief)) == hook_words.denial(
        hook_words.no_others("a")
    )
    assert await states(case, run_id) == {"a": "running", "b": "running"}


async def test_an_answer_that_leaves_a_subagent_of_its_own_at_work_is_asked_for_once_more(
    case: hook_cases.Case,
) -> None:
    run_id, names = await case.run(task("a"))
    brief = (await case.session.begins(names[0]))["prompt"]
    path = case.session.writes(brief)
    born(case.session.writes("Help.", agent="b2"), "call-2", "a1")
    work = {"background_tasks": [{"id": agent, "type": "subagent", "status": "running"} for agent in ("a1", "b2", "z")]}
    fields = {"agent_id": "a1", "agent_transcript_path": str(path), "last_assistant_message": hook_setup.ANSWER}
    expected = hook_words.asked_again(hook_words.OTHERS_AT_WORK)
    assert await case.agrees("SubagentStop", **fields, **work) == expected
    assert await case.session.tells("SubagentStop", **fields, **work) == expected
    assert await case.session.tells("SubagentStop", **fields, **work, stop_hook_active=True) == {}
    assert await states(case, run_id) == {"a": "unverified"}


async def test_what_a_subagent_used_counts_though_its_attempt_was_over_before_it(case: hook_cases.Case) -> None:
    run_id, names = await case.run(task("a"), task("b"))
    briefs = [(await case.session.begins(name, f"call-{name}"))["prompt"] for name in names]
    await case.desk.app.report(run_id, [{"task_id": "a", "attempt": 1, "status": "succeeded", "text": EVIL}])
    await case.session.ends(briefs[0])
    assert (await hook_setup.spend(case.desk.app, run_id)).input_tokens == 100
    await case.desk.app.steer(run_id, "cancel", "", "")
    for _ in range(2):
        await case.session.ends(briefs[1], agent="a2")
    assert (await hook_setup.spend(case.desk.app, run_id)).input_tokens == 200
    assert await states(case, run_id) == {"a": "unverified", "b": "cancelled"}
