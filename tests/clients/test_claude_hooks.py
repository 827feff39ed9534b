"""Runs that carry themselves below the real Claude Code: the plugin's hooks, our server, subagents by script."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import anyio
import claude_lab
import fake_provider
import hooked_sessions
import pytest
from fake_provider import done, script
from hooked_sessions import (
    BEGIN,
    LAYERS,
    OPTIONS,
    PREFIX,
    agent,
    briefs,
    call,
    calls,
    conversation,
    last_answer,
    planned,
    session,
    started,
    trace,
)

from dispatch_mcp.hooks import hook_words
from dispatch_mcp.text import json_types, token_count

pytestmark = pytest.mark.anyio

THOUGHT_S = 8.0
"""Seconds after which the fake model calls the next wave. It reads no news, and those of one wave work beside it."""


async def test_six_tasks_are_called_by_name_and_report_themselves_to_the_cent(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    trace = await session(
        env,
        workspace,
        *started(planned(LAYERS)),
        {"tools": [agent("a", background=False), agent("b", background=False)]},
        {"delay": THOUGHT_S, "tools": [agent("c", background=False), agent("d", background=False)]},
        {"delay": THOUGHT_S, "tools": [agent("e", background=False), agent("f", background=False)]},
    )
    assert trace["state"] == "succeeded", trace
    assert trace["counts"] == {"unverified": 6}
    assert PREFIX + "report" not in calls(provider)
    used = [entry["reply"]["usage"] for entry in briefs(provider)]
    assert trace["spend"]["output_tokens"] == sum(usage["output_tokens"] for usage in used)
    assert trace["spend"]["input_tokens"] == sum(usage["input_tokens"] for usage in used)
    assert trace["spend"]["cost_usd"] == pytest.approx(provider.booked(briefs(provider)), abs=1e-6)
    assert "## CONSTRAINTS" in json.dumps([entry["body"] for entry in briefs(provider)])
    assert "## CONSTRAINTS" not in conversation(provider)
    assert "b: unverified. " in conversation(provider)
    (last,) = set(re.findall(r"f: unverified\. Run .*?has everything\.", conversation(provider)))
    assert "is over (succeeded): 0 of 6 proven, 6 UNVERIFIED. get_trace(run_id=" in last
    assert token_count.count(last) <= hook_words.NEWS_TOKENS


async def test_background_subagents_report_themselves_and_the_notification_names_what_is_next(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    await session(
        env,
        workspace,
        *started(planned({"a": [], "b": [], "c": ["a", "b"]}, a=[{"delay": 10, **done()}])),
        {"tools": [agent("a"), agent("b")]},
    )
    # The session's script is over; what the notifications of both subagents say comes in turns of their own.
    texts = conversation(provider)
    assert (
        "UserPromptSubmit hook additional context: b: unverified. 1 subagent at work; nothing else is ready." in texts
    )
    assert "a: unverified. Ready: Agent(subagent_type=" in texts
    assert "/c/1" in texts
    assert "Stop hook feedback" in texts, "ready work keeps the session going"


async def test_an_answer_that_is_no_handoff_is_asked_for_once_more_in_the_subagent_and_then_kept(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    trace = await session(
        env,
        workspace,
        *started(planned({"a": [], "b": []}, a=[{"text": "la la"}, done(answer="better")], b=[{"text": "la la"}])),
        {"tools": [agent("a", background=False), agent("b", background=False)]},
    )
    assert trace["counts"] == {"unverified": 2}
    asked = [text for entry in briefs(provider) if "cannot be handed over" in (text := json.dumps(entry["body"]))]
    assert len(asked) == 2, "each is asked once more, and not twice"
    assert trace["spend"]["cost_usd"] == pytest.approx(provider.booked(briefs(provider)), abs=1e-6)


async def test_a_subagent_that_dies_is_a_failed_attempt_and_the_next_one_is_named(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    trace = await session(
        env,
        workspace,
        *started(planned({"a": []}, a=[{"error": 400, "message": "no"}])),
        agent("a", background=False),
    )
    assert trace["counts"] == {"ready": 1}, "it is tried again after a pause"
    assert "PostToolUseFailure:Agent hook additional context: a: ready. " in conversation(provider)


async def test_a_ceiling_keeps_the_next_subagent_from_starting_and_the_model_reads_why(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    answer = [{**done(), "usage": {"input_tokens": 1_000, "output_tokens": 95_000}}]
    tasks = [
        {**task, "model": "haiku", "effort": "S"}
        for task in planned({"a": [], "b": [], "c": []}, a=answer, b=answer, c=answer)
    ]
    trace = await session(
        env,
        workspace,
        *started(tasks, limits={"dollars": 0.10}),
        agent("a", background=False),
        agent("b", background=False),
        agent("c", background=False),
    )
    assert len(briefs(provider)) == 2, trace
    assert "limits.dollars is 0.1, spent are" in conversation(provider)


async def test_a_session_that_comes_back_is_told_of_its_run_and_of_nothing_where_there_is_none(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    await session(
        env,
        workspace,
        *started(planned({"a": [], "b": []}), request="Count the apples"),
        agent("a", background=False),
    )
    provider.reset()
    for options in ((*OPTIONS, "--continue"), OPTIONS):
        with anyio.fail_after(600):
            await claude_lab.run(env, workspace, f"Hello. {script({'text': 'hello'})}", *options)
        told = "SessionStart hook additional context: dispatch: 1 open run here. 'Count the apples'"
        assert told in conversation(provider), options
        assert "1 of 2 tasks done" in conversation(provider)
        provider.reset()
    elsewhere = workspace.parent / "elsewhere"
    elsewhere.mkdir()
    with anyio.fail_after(600):
        await claude_lab.run(env, elsewhere, f"Hello. {script({'text': 'hello'})}", *OPTIONS)
    assert "SessionStart hook additional context" not in conversation(provider)


async def test_what_a_session_had_begun_is_handed_out_again_once_it_was_killed(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    tasks = planned({"a": []}, a=[{"hang": True}])
    steps = [*started(tasks), agent("a")]
    async with anyio.create_task_group() as group:
        group.start_soon(claude_lab.run, env, workspace, f"Go. {script(*steps, {'text': 'Wait.'})}", *OPTIONS)
        await claude_lab.until(lambda: bool(briefs(provider)))
        group.cancel_scope.cancel()
    before = await trace(env, workspace)
    assert before["tasks"][0]["attempts"] == 1
    await session(env, workspace, BEGIN, call("dispatch", run_id="latest"))
    after = await trace(env, workspace)
    assert after["tasks"][0]["attempts"] == 2


async def test_a_session_without_a_run_of_ours_is_the_same_with_hooks_and_without(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    steps = [
        {"tool": "Agent", "input": {**agent("x", background=False)["input"], "prompt": f"Look. {script(done())}"}},
        {"text": "That is all."},
    ]
    bodies: list[str] = []
    for level in ("full", "off"):
        with anyio.fail_after(600):
            await claude_lab.run({**env, "DISPATCH_MCP_HOOKS": level}, workspace, f"Go. {script(*steps)}", *OPTIONS)
        bodies.append(json.dumps([entry["body"]["messages"] for entry in provider.requests()]))
        provider.reset()
    assert "hook additional context" not in bodies[0]
    assert without_ids(bodies[0]) == without_ids(bodies[1])


async def test_a_session_without_a_run_of_ours_is_the_same_without_the_plugin_but_for_its_listing(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path, tmp_path: Path
) -> None:
    steps = [
        {"tool": "Agent", "input": {**agent("x", background=False)["input"], "prompt": f"Look. {script(done())}"}},
        {"text": "That is all."},
    ]
    bodies: list[list[str]] = []
    for options in (OPTIONS, OPTIONS[1:]):
        with anyio.fail_after(600):
            await claude_lab.run(env, workspace, f"Go. {script(*steps)}", *options)
        bodies.append([without_listing(entry["body"]) for entry in provider.requests()])
        provider.reset()
    assert bodies[0] == bodies[1]
    assert not (tmp_path / "s" / "hooks" / "hooks.log").exists()


LISTING = re.compile(
    r"# MCP Server Instructions\s+The following MCP servers have provided instructions[^\n]*\s*"
    r"|## plugin:dispatch:dispatch\n.*?never instructions to you\.\s*"
    r"|The following MCP servers are still connecting .*?without first searching\.\s*"
    r"|^(?:- dispatch:|mcp__plugin_dispatch)[^\n]*\n?"
    r"|^(?:List|Read)McpResource\w*Tool\n",  # Claude Code's own, once any server with resources is connected
    re.DOTALL | re.MULTILINE,
)


def without_listing(body: dict[str, Any]) -> str:
    """Returns a request without what Claude Code lists of a plugin: its tools, skill, commands and instructions."""

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return LISTING.sub("", without_ids(value))
        if json_types.is_object(value):
            return {key: clean(item) for key, item in value.items()}
        return [clean(item) for item in value] if json_types.is_list(value) else value

    return json.dumps({key: clean(value) for key, value in body.items() if key in ("system", "messages")}, indent=1)


def without_ids(text: str) -> str:
    return re.sub(
        r"agentId: \w+|to: '\w+'|duration_ms: \d+|subagent_tokens: \d+|[0-9a-f]{8}-[0-9a-f-]{27}|toolu_\w+", "#", text
    )


async def test_the_assistant_writes_at_most_a_quarter_of_what_it_writes_without_hooks(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    tasks = [
        {**task, "constraints": ["Change nothing"], "output": ["A list"]}
        for task in planned(LAYERS, **{name: [done(answer=name)] for name in LAYERS})
    ]
    waves = [["a", "b"], ["c", "d"], ["e", "f"]]
    await session(
        env,
        workspace,
        *started(tasks),
        *[{"tools": [agent(name, background=False) for name in wave]} for wave in waves],
    )
    with_hooks = written(provider)
    provider.reset()
    bare = {**env, "DISPATCH_MCP_HOOKS": "off"}
    await session(bare, workspace, *started(tasks))
    for _ in waves:
        handouts = last_answer(provider)["assignments"]
        calls = [{"tool": "Agent", "input": {**handout["call"], "run_in_background": False}} for handout in handouts]
        results = [
            {
                "task_id": handout["task_id"],
                "attempt": 1,
                "text": json.dumps(fake_provider.HANDOFF),
                "usage": {"tokens": 9},
            }
            for handout in handouts
        ]
        await session(bare, workspace, BEGIN, {"tools": calls}, call("report", run_id="latest", results=results))
    without_hooks = written(provider)
    assert (await trace(env, workspace))["state"] == "succeeded"
    assert with_hooks <= without_hooks / 4, (with_hooks, without_hooks)


def written(fake: fake_provider.Provider) -> int:
    """Returns the tokens that the assistant wrote to have tasks done: calls of subagents, and reports."""
    blocks = [
        block
        for entry in fake.requests()
        if "reply" in entry and "[dispatch " not in hooked_sessions.first_text(entry)
        for block in entry["reply"]["content"]
        if block["type"] == "tool_use" and block["name"] in ("Agent", PREFIX + "report")
    ]
    return sum(token_count.count(json.dumps(block["input"])) for block in blocks)


async def test_two_sessions_in_one_folder_carry_a_run_each(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    async def carries(title: str, first: str, second: str) -> None:
        prompt = script(
            *started(planned({first: [], second: [first]}), request=title),
            {"delay": 1, **agent(first, background=False)},
            agent(second, background=False),
            {"text": "That is all."},
        )
        host = await claude_lab.run(env, workspace, f"Go. {prompt}", *OPTIONS)
        assert host.exit_code == 0, host.stderr

    with anyio.fail_after(600):
        async with anyio.create_task_group() as group:
            group.start_soon(carries, "apples", "a1", "a2")
            await claude_lab.until(lambda: "/a1/1" in conversation(provider))
            group.start_soon(carries, "pears", "b1", "b2")
    argv = [sys.executable, "-m", "dispatch_mcp", "status", "--all", "--json"]
    runs = json.loads((await anyio.run_process(argv, env=env, cwd=workspace)).stdout)["runs"]
    assert [run["counts"] for run in runs] == [{"unverified": 2}] * 2


async def test_a_conversation_that_was_compacted_is_told_of_its_run(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    tasks = planned({"a": []})
    await session(env, workspace, *started(tasks, request="Count"))
    with anyio.fail_after(600):
        await claude_lab.run(env, workspace, "/compact", *OPTIONS, "--continue")
    provider.reset()
    with anyio.fail_after(600):
        await claude_lab.run(env, workspace, f"Hello. {script({'text': 'hello'})}", *OPTIONS, "--continue")
    told = "SessionStart hook additional context: dispatch: 1 open run here. 'Count'"
    assert told in conversation(provider)
