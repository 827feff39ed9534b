"""A council over a real store: the shipped reviewers and a model that answers as a test says and keeps what it read."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from dispatch_mcp import configuration, model
from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.engine import executor, order_builder, task_kinds
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import AttemptState, WorkerKind, ports, work_order, worker_choice
from dispatch_mcp.review import review_scope, review_tasks
from dispatch_mcp.service import dispatcher, plan_proposals, review_answers, review_subjects, reviews
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.workers import host, scripted

PACE = run_engine.Pace(look_s=0.01, takeover_s=0.05)
PASS = '{"verdict": "PASS", "files": ["app.py", "db.py", "shop.py", "check_shop.py"], "findings": []}'

Answer = Callable[[work_order.WorkOrder, str], str | model.Outcome]


@functools.cache
def shipped() -> catalog.Catalog:
    """Returns the catalogue of the bundled agents alone."""
    folder = Path(__file__).parents[2] / "agents"
    return loader.Source((loader.Folder(folder, "bundled", nested=True),)).catalog()


def fails(quote: str, file: str = "app.py", severity: str = "high", **more: Any) -> str:
    """Returns an answer with one finding, in prose and JSON."""
    finding = {"severity": severity, "file": file, "line": 1, "quote": quote, "claim": "It is wrong", "evidence": "x"}
    return "I looked.\n```json\n" + json.dumps({"verdict": "FAIL", "findings": [{**finding, **more}]}) + "\n```"


def passes(prompt: str) -> str:
    """Returns a PASS that names the files of the change in a prompt."""
    files = re.findall(r"^diff --git a/(.+?) b/", prompt, re.MULTILINE)
    return json.dumps({"verdict": "PASS", "files": list(dict.fromkeys(files)), "findings": []})


@dataclass
class Model:
    """Answers each reviewer by name, else PASS. `read` are the prompts, by reviewer and in order."""

    answers: dict[str, list[str | model.Outcome] | str] = field(
        default_factory=dict[str, "list[str | model.Outcome] | str"]
    )
    read: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    models: set[str | None] = field(default_factory=set["str | None"])

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        name = work.task.agent or ""
        self.read.append((name, task_kinds.brief(work).with_role(work.agent_prompt).text))
        self.models.add(work.model)
        given = self.answers.get(name) or passes(self.read[-1][1])
        said = given if isinstance(given, str) else given[min(work.attempt, len(given)) - 1]
        if isinstance(said, model.Outcome):
            return said
        return model.Outcome(state=AttemptState.SUCCEEDED, summary=said[:100], output=said, unverified=True)

    def prompts(self, name: str) -> list[str]:
        return [text for reviewer, text in self.read if reviewer == name]


@dataclass
class Tree:
    """Changes that a test hands out."""

    text: str = ""
    asked: list[str] = field(default_factory=list[str])
    in_workspace: bool = False

    async def of_range(self, workspace: str, span: str) -> review_scope.Change:
        self.asked.append(span)
        return review_scope.Change(self.text, f"range {span}", "f00")

    async def of_tree(self, workspace: str, paths: Any = ()) -> review_scope.Change:
        self.asked.append(f"tree {sorted(paths)}")
        return review_scope.Change(self.text, "the working tree", in_workspace=self.in_workspace)


@dataclass
class Chamber:
    """The council and what surrounds it."""

    council: reviews.Council
    app: dispatcher.Dispatcher
    model: Model
    tree: Tree

    async def reviewed(self, diff: str | None = None, **asked: Any) -> review_answers.ReviewAnswer:
        """Returns the decision of a round that the fake model carries out."""
        started = await self.council.review(reviews.ReviewRequest(diff=diff, worker="api", **asked))
        return await self.ended(started) if started.run_id else started

    async def ended(self, started: review_answers.ReviewAnswer) -> review_answers.ReviewAnswer:
        with anyio.fail_after(120):
            async for _ in self.app.engine.events(started.run_id):
                pass
        found = await self.council.look(started.run_id)
        assert found is not None
        return found


@asynccontextmanager
async def opened(home: Path, answers: dict[str, Any] | None = None, **means: Any) -> AsyncGenerator[Chamber]:
    """Yields a chamber; `means` are fields of `subjects.Means`."""
    fake, tree = Model(answers or {}), Tree()

    def make(work: work_order.WorkOrder) -> work_order.WorkOrder:
        return order_builder.with_agent(work, shipped())

    workers = {WorkerKind.API: fake, WorkerKind.SCRIPTED: scripted.ScriptedWorker()}
    async with (
        sqlite_store.open_store(home) as store,
        executor.open_engine(store, workers, pace=PACE, make_order=make) as engine,
    ):
        app = dispatcher.Dispatcher(
            store=store,
            engine=engine,
            rules=plan_proposals.PlanningRules(workspace=str(home.parent), review_policy="off"),
            catalog=shipped,
            assign=host.assignment,
            available_workers=worker_choice.AvailableWorkers(key=True),
            default_worker=WorkerKind.HOST,
            means=review_subjects.ReviewMeans(changes=tree, **means),
        )
        yield Chamber(app.council, app, fake, tree)


def part_of(task: model.Task) -> review_tasks.ReviewAssignment:
    found = review_tasks.assignment_of(task)
    assert found is not None
    return found


def settings(home: Path, workspace: Path) -> configuration.Settings:
    return configuration.load({}, flags={"home": home, "workspace": workspace}, cwd=workspace).settings
