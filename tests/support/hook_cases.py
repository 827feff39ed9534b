"""A session at a desk whose events a look answers, and its server beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dispatcher_setup
import hook_setup

from dispatch_mcp.hooks import hook_answers, hook_words, quick_answers
from dispatch_mcp.store.looks import open_runs

DEAD = 2**22 - 3
"""A number that no process has: above the highest that systems give out here."""


class Case:
    """A session at a desk, and what it is answered in both ways."""

    def __init__(self, desk: dispatcher_setup.Desk, folder: Path) -> None:
        self.desk, self.folder = desk, folder
        self.session = hook_setup.Session(desk, folder / "transcripts")

    async def run(self, *tasks: dict[str, Any], **more: Any) -> tuple[str, list[str]]:
        """Returns a new run and the names that it hands out."""
        progress = await dispatcher_setup.started(self.desk, *tasks, **more)
        return progress.run_id, [handout.call.prompt for handout in progress.assignments]

    def look(self, name: str, **fields: Any) -> quick_answers.Look:
        event = {"session_id": self.session.id, "transcript_path": str(self.session.transcript), **fields}
        workspace = open_runs.places(str(self.folder))
        now = self.desk.clock.now
        return quick_answers.Look(name, event, str(self.folder / "home"), workspace, self.session.id, now)

    async def agrees(self, name: str, **fields: Any) -> hook_words.Reply | None:
        """Returns what a look answers alone; where it answers, the server says the same."""
        look = self.look(name, **fields)
        quick = quick_answers.before(look)
        if quick is None:
            quick = quick_answers.alone(look)
        if quick is not None:
            question = {"name": name, "event": look.event, "pid": os.getpid()}
            alone = hook_answers.HookAnswers(self.desk.app, hook_answers.memory_of(question), "full")
            assert quick == await alone.answer(question), name
        return quick

    def after(self, brief: str, status: str = "completed") -> dict[str, Any]:
        return {"tool_name": "Agent", "tool_input": {"prompt": brief}, "tool_response": {"status": status}}
