"""Subagents that the real Claude Code does not start, or ends early: nothing of that is work, or spends an attempt."""

from __future__ import annotations

import json
from pathlib import Path

import fake_provider
import pytest
from fake_provider import done
from hooked_sessions import OPTIONS, agent, answers, call, planned, session, started

pytestmark = pytest.mark.anyio

ASKS = f"--settings={json.dumps({'permissions': {'ask': ['Agent']}})}"
"""Has each call of a subagent wait for a person, who is not there with `claude -p`: it is refused."""
SHORT_OF_TURNS = f"--agents={json.dumps({'general-purpose': {'description': 'x', 'prompt': 'x', 'maxTurns': 1}})}"
REPORT = call("report", run_id="latest", results=[{"task_id": "a", "attempt": 1, "text": "{last}"}])


async def test_a_call_that_nobody_allows_is_no_result_and_the_attempt_can_be_called_again(
    provider: fake_provider.Provider, env: dict[str, str], workspace: Path
) -> None:
    steps = [agent("a", background=False), REPORT, agent("a", background=False)]
    where = await session(env, workspace, *started(planned({"a": []})), *steps, options=(*OPTIONS, ASKS))
    assert where["counts"] == {"running": 1}
    texts = [text for entry in provider.requests() for text in answers(entry)]
    assert any("no subagent was started; no attempt is spent" in text for text in texts), texts
    assert "does 'a' already" not in "".join(texts), "the second call was refused by Claude Code itself"


async def test_the_subagents_that_the_host_has_no_room_for_keep_their_attempts(
    env: dict[str, str], workspace: Path
) -> None:
    wave = {"tools": [agent("a", background=True), agent("b", background=True)]}
    limited = {**env, "CLAUDE_CODE_MAX_CONCURRENT_SUBAGENTS": "1"}
    slowly = [{"delay": 3.0, **done(answer="x")}]
    where = await session(limited, workspace, *started(planned({"a": [], "b": []}, a=slowly, b=slowly)), wave)
    assert sorted(where["counts"].items()) == [("running", 1), ("unverified", 1)], where
    assert {task["attempts"] for task in where["tasks"]} == {1}


async def test_work_that_ran_out_of_turns_is_not_done(env: dict[str, str], workspace: Path) -> None:
    steps = [{"text": "Part one.", "tool": "Bash", "input": {"command": "echo 1"}}, done(answer="x")]
    tasks = planned({"a": []}, a=steps)
    options = (*OPTIONS, SHORT_OF_TURNS)
    where = await session(env, workspace, *started(tasks), agent("a", background=False), options=options)
    assert where["counts"] == {"ready": 1}, where
