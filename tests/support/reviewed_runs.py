"""Runs whose plans have reviews, over a real store and, where it matters, a real repository."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from dispatch_mcp import composition, configuration
from dispatch_mcp.model import assignments
from dispatch_mcp.service import answers, dispatcher

CART = "def total(cart):\n    return sum(cart)\n"
BETTER = "def total(cart):\n    return sum(line.price for line in cart)\n"
FIX: dict[str, Any] = {
    "id": "fix",
    "do": "Make the totals right",
    "files": ["app/cart.py", "CHANGES.md"],
    "agent": "coder",
}
DOCS: dict[str, Any] = {"id": "docs", "do": "Describe it", "deps": ["fix"], "files": ["CHANGES.md"], "agent": "coder"}
PASS = '{"verdict": "PASS", "files": ["app/cart.py", "CHANGES.md"], "findings": []}'


def verdict(word: str, *severities: str, quote: str = "return sum(cart)", file: str = "app/cart.py") -> str:
    """Returns an answer with a finding of each severity."""
    found = [
        {"severity": one, "file": file, "line": 2, "quote": quote, "claim": f"A {one} fault", "evidence": "any number"}
        for one in severities
    ]
    return json.dumps({"verdict": word, "files": ["app/cart.py", "CHANGES.md"], "findings": found})


def shop(at: Path, *, git: bool = True) -> Path:
    """Returns a workspace with two files, committed if it is to be a repository."""
    (at / "app").mkdir(parents=True)
    (at / "app/cart.py").write_text(CART)
    (at / "CHANGES.md").write_text("# Changes\n")
    if git:
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=at, check=True)
        commit(at)
    return at


def commit(at: Path) -> None:
    """Commits everything in a workspace."""
    for command in (["add", "."], ["commit", "-q", "-m", "Change"]):
        subprocess.run(["git", *command], cwd=at, check=True)


@dataclass
class Chat:
    """What an assistant does with one run."""

    app: dispatcher.Dispatcher
    run_id: str = ""

    async def begin(self, *tasks: Mapping[str, Any], **more: Any) -> answers.Progress:
        """Plans and dispatches tasks, and goes on with that run."""
        plan = await self.app.plans.plan(list(tasks))
        progress = await self.app.dispatch(plan_id=plan.plan.id, worker="host", fresh=True, **more)
        self.run_id = progress.run_id
        return progress

    async def out(self) -> dict[str, assignments.Assignment]:
        """Returns what is out with the host, by task."""
        return {one.task_id: one for one in (await self.app.dispatch(run_id=self.run_id)).assignments}

    async def report(self, task_id: str, text: str = "done", **more: Any) -> answers.ReportAnswer:
        """Reports a task that is out."""
        attempt = (await self.out())[task_id].attempt
        return await self.app.report(self.run_id, [{"task_id": task_id, "attempt": attempt, "text": text, **more}])

    async def states(self) -> dict[str, str]:
        return {row.id: row.state.value for row in await self.app.store.tasks(self.run_id)}

    async def prompt(self, task_id: str) -> str:
        return await self.app.brief(self.run_id, task_id)

    async def trace(self, view: Any = "summary") -> answers.Trace:
        return await self.app.trace(run_id=self.run_id, view=view)


@asynccontextmanager
async def opened(home: Path, workspace: Path, **flags: Any) -> AsyncGenerator[Chat]:
    """Yields a chat over the whole product; `flags` are settings."""
    fields = {"home": home, "workspace": workspace, "reviews": "each", **flags}
    settings = configuration.load({}, flags=fields, cwd=workspace).settings
    with anyio.fail_after(120):
        async with composition.open_dispatcher(settings) as app:
            yield Chat(app)
