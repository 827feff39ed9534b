"""Whole runs by an assistant that does nothing but start the subagents that it reads of."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hook_setup
import pytest
import reviewed_runs
from hook_setup import words

from dispatch_mcp.hooks import hook_answers, hook_listener, hook_words
from dispatch_mcp.service import dispatcher
from dispatch_mcp.text import token_count

pytestmark = pytest.mark.anyio

NAME = re.compile(r"dispatch [0-9a-z-]+/[\w.-]+/\d+")
MOST_STEPS = 60


@dataclass
class Assistant:
    """Starts what it reads of, one call after the other; `read` is everything that it was told."""

    app: dispatcher.Dispatcher
    workspace: Path
    session: hook_setup.Session
    read: list[str] = field(default_factory=list[str])
    briefs: dict[str, str] = field(default_factory=dict[str, str])

    async def carries(self, *tasks: dict[str, Any]) -> str:
        """Plans and dispatches tasks, follows what it reads until nothing is left, and returns the run."""
        plan = await self.app.plans.plan(list(tasks))
        await self.session.calls("", tool="mcp__dispatch__dispatch")
        progress = await self.app.dispatch(plan_id=plan.plan.id, worker="host")
        names = [handout.call.prompt for handout in progress.assignments]
        for number in range(MOST_STEPS):
            if not names:
                return progress.run_id
            name = names.pop(0)
            brief = (await self.session.begins(name, f"call-{number}"))["prompt"]
            self.briefs[name.split("/")[1]] = brief
            await self.session.ends(brief, self.does(name, brief), agent=f"agent{number}")
            told = words(
                await self.session.tells(
                    "PostToolUse",
                    tool_name="Agent",
                    tool_input={"prompt": brief},
                    tool_response={"status": "completed"},
                )
            )
            self.read.append(told)
            names += [other for other in NAME.findall(told) if other not in names]
        raise AssertionError("it never ends")

    def does(self, name: str, brief: str) -> str:
        """Does a task as its subagent would, and returns the answer."""
        if "verdict" in brief:
            return reviewed_runs.PASS
        if "/fix/" not in name:
            return json.dumps({"completed_work": f"Did {name}"})
        (self.workspace / "app/cart.py").write_text(reviewed_runs.BETTER)
        return json.dumps({"completed_work": f"Did {name}", "files_modified": ["app/cart.py"]})


def assistant(chat: reviewed_runs.Chat, workspace: Path, folder: Path) -> Assistant:
    session = hook_setup.Session.__new__(hook_setup.Session)
    session.folder, session.id, session.pid = folder, "session-1", 0
    session.answers = hook_answers.HookAnswers(chat.app, hook_listener.SessionMemory(), "full")
    return Assistant(chat.app, workspace, session)


async def test_a_run_of_layers_is_carried_to_its_end_by_names_alone(tmp_path: Path) -> None:
    shop = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "home", shop, reviews="none") as chat:
        worker = assistant(chat, shop, tmp_path)
        look = {"id": "look", "do": "Say what the totals miss"}
        fix = {**reviewed_runs.FIX, "deps": ["look"]}
        tell = {"id": "tell", "do": "Sum it up", "deps": ["fix", "look"]}
        run_id = await worker.carries(look, fix, tell)
        trace = await chat.app.trace(run_id=run_id)
        assert trace.state == "succeeded"
        assert worker.read[0].startswith("look: unverified. Ready: Agent(subagent_type='")
        assert "tell: " in worker.read[2]
        assert "Did dispatch" in worker.briefs["tell"], "a brief holds what was found before, when it begins"
        assert all(token_count.count(text) <= hook_words.NEWS_TOKENS for text in worker.read)
        assert (await hook_setup.spend(chat.app, run_id)).output_tokens == 3 * hook_setup.USAGE["output_tokens"]


async def test_reviewers_are_called_by_name_too_and_their_verdicts_count(tmp_path: Path) -> None:
    shop = reviewed_runs.shop(tmp_path / "shop")
    async with reviewed_runs.opened(tmp_path / "home", shop, reviews="end") as chat:
        worker = assistant(chat, shop, tmp_path)
        run_id = await worker.carries(reviewed_runs.FIX)
        reviews = [name for name in worker.briefs if name != "fix"]
        assert len(reviews) >= 3, worker.read
        for name in reviews:
            assert "line.price" in worker.briefs[name], "each has the change in its brief"
        trace = await chat.app.trace(run_id=run_id)
        assert trace.state == "succeeded", worker.read
        assert all(token_count.count(text) <= hook_words.NEWS_TOKENS for text in worker.read)
