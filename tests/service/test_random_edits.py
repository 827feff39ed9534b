"""Random edits of a running plan by two processes: nothing that has begun changes, and the edits replay."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from thoroughness import examples

from dispatch_mcp import errors, model
from dispatch_mcp.model import TaskState, records, transitions
from dispatch_mcp.planning import edit_rules, plan_checks, plan_edits
from dispatch_mcp.service import answers

pytestmark = pytest.mark.anyio

SEQUENCES, STEPS = examples(30, least=10), 24
DONE = (TaskState.SUCCEEDED, TaskState.UNVERIFIED)


def spec(rng: random.Random, names: list[str]) -> dict[str, Any]:
    files = [f"src/{rng.randrange(6)}.py"] if rng.random() < 0.5 else []
    return {
        "do": f"Do {rng.randrange(100)}",
        "deps": rng.sample(names, min(len(names), rng.randint(0, 2))),
        "files": files,
        "max_attempts": 1,
    }


def edit(rng: random.Random, names: list[str]) -> dict[str, Any]:
    op = rng.choice(["add", "add", "modify", "modify", "skip", "remove"])
    if op == "add":
        return {"op": op, "id": f"n{rng.randrange(1000)}", "task": spec(rng, names)}
    one = rng.choice(names)
    if op == "modify":
        return {"op": op, "id": one, "task": spec(rng, [name for name in names if name != one])}
    return {"op": op, "id": one}


@dataclass
class Scene:
    """Two dispatchers over one store, and what they have agreed on so far."""

    rng: random.Random
    pair: tuple[dispatcher_setup.Desk, dispatcher_setup.Desk]
    plan_id: str
    run_id: str
    history: list[list[dict[str, Any]]] = field(default_factory=list[list[dict[str, Any]]])
    given: dict[str, answers.Assignment] = field(default_factory=dict[str, answers.Assignment])
    refused: int = 0

    @property
    def desk(self) -> dispatcher_setup.Desk:
        return self.rng.choice(self.pair)

    async def plan(self, version: int | None = None) -> model.Plan:
        return await self.desk.app.store.plan(self.plan_id, version, principal=records.LOCAL)

    async def rows(self) -> list[transitions.TaskRow]:
        return [records.row_of(task) for task in await self.desk.app.store.tasks(self.run_id)]

    async def edit(self) -> None:
        before, rows = await self.plan(), await self.rows()
        edits = [edit(self.rng, [task.id for task in before.tasks]) for _ in range(self.rng.choice([1, 1, 2]))]
        try:
            await self.desk.app.plans.edit(self.plan_id, before.version, edits)
        except errors.PlanRejected:
            self.refused += 1
            assert await self.plan() == before
            assert await self.rows() == rows
            return
        self.history.append(edits)
        after = await self.plan()
        assert after.version == before.version + 1
        self.unchanged(before, after, rows)

    @staticmethod
    def unchanged(before: model.Plan, after: model.Plan, rows: list[transitions.TaskRow]) -> None:
        """Checks that what had begun is as it was, and that the new version is a sound plan."""
        fixed = {row.id for row in rows if transitions.is_fixed(row)}
        then = {task.id: task for task in before.tasks}
        now = {task.id: task for task in after.tasks}
        assert {name: now.get(name) for name in fixed & then.keys()} == {
            name: then[name] for name in fixed & then.keys()
        }
        assert plan_checks.check(after.tasks, agents=None, models=()) == []

    async def move(self) -> None:
        self.take((await self.desk.app.dispatch(run_id=self.run_id)).assignments)
        if self.given:
            name = self.rng.choice(sorted(self.given))
            told: dict[str, Any] = {} if self.rng.random() < 0.8 else {"status": "failed", "error": "no luck"}
            reported = await self.desk.app.report(
                self.run_id, [{**dispatcher_setup.said(self.given.pop(name)), **told}]
            )
            assert reported.results[0].accepted
            self.take(reported.assignments)

    def take(self, handed: tuple[answers.Assignment, ...]) -> None:
        self.given.update({one.task_id: one for one in handed})

    async def sound(self) -> None:
        """Checks the run: its version is the newest, and nothing runs before what it waits for is done."""
        run = await self.desk.app.store.run(self.run_id, principal=records.LOCAL)
        plan, rows = await self.plan(), await self.rows()
        if run.state not in model.RUN_FINAL:
            assert run.plan_version == plan.version
        state = {row.id: row.state for row in rows}
        for task in plan.tasks:
            if state.get(task.id) is TaskState.RUNNING:
                assert all(state[dep] in DONE for dep in task.deps), task.id


async def scene(rng: random.Random, pair: tuple[dispatcher_setup.Desk, dispatcher_setup.Desk]) -> Scene:
    names = [f"t{n}" for n in range(rng.randint(3, 8))]
    tasks = [{"id": name, **spec(rng, names[:at])} for at, name in enumerate(names)]
    plan_id = await pair[0].planned(*tasks, max_parallel=3)
    started = await pair[1].app.dispatch(plan_id=plan_id)
    made = Scene(rng, pair, plan_id, started.run_id)
    made.take(started.assignments)
    return made


@pytest.mark.chaos
async def test_random_edits_keep_what_has_begun_and_replay_to_the_same_plan(tmp_path: Path) -> None:
    made = accepted = refused = 0
    async with dispatcher_setup.opened(tmp_path / "home") as one, dispatcher_setup.opened(tmp_path / "home") as two:
        for seed in range(SEQUENCES):
            on = await scene(random.Random(seed), (one, two))
            first = await on.plan()
            for _ in range(STEPS):
                await (on.edit() if on.rng.random() < 0.75 else on.move())
                await on.sound()
                if (await on.desk.app.trace(run_id=on.run_id)).state in model.RUN_FINAL:
                    break
            made, accepted, refused = made + 1, accepted + len(on.history), refused + on.refused
            await replays(on, first)
    assert made == SEQUENCES
    assert accepted >= 3 * SEQUENCES
    assert refused >= 3 * SEQUENCES


async def replays(on: Scene, first: model.Plan) -> None:
    """Checks that the accepted edits, applied to the first version, give each later one.

    A task that had begun behind an edge that scheduling added keeps it, so there may be more edges than were sent.
    """
    tasks = edit_rules.bare(first.tasks, first.added_edges)
    for version, edits in enumerate(on.history, first.version + 1):
        tasks, found = plan_edits.apply(tasks, edits)
        assert found == []
        stored = {task.id: task for task in (await on.plan(version)).tasks}
        assert [task.id for task in tasks] == list(stored)
        for task in tasks:
            assert known(task) == known(stored[task.id])
            assert set(task.deps) <= set(stored[task.id].deps) | gone(on.history, stored)


def gone(history: list[list[dict[str, Any]]], stored: Mapping[str, model.Task]) -> set[str]:
    """Returns what was taken out: its followers inherited edges that only scheduling had added."""
    return {one["id"] for edits in history for one in edits} - stored.keys()


def known(task: model.Task) -> dict[str, Any]:
    return task.model_dump(exclude={"deps", "agent", "model"})
