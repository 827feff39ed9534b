"""Agents that the host or the server cannot start: who stands in, step by step, and what it costs nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dispatcher_setup
import pytest
from dispatcher_setup import Desk, said

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.model import (
    AttemptState,
    WorkerKind,
    assignments,
    ports,
    records,
    transitions,
    work_order,
    worker_choice,
)
from dispatch_mcp.service import answers

pytestmark = pytest.mark.anyio


def agent(name: str, words: str, **more: Any) -> catalog.Agent:
    return catalog.Agent(name=name, description=words, keywords=tuple(words.split()), body=f"You are {name}.", **more)


AGENTS = catalog.Catalog(
    (
        agent("db-expert", "database schema migration table index"),
        agent("sql-tuner", "database query slow table"),
        agent("overview", "anything else", fallback=True),
    )
)
HERE = worker_choice.AvailableWorkers(key=True, claude="claude")
GOAL = "Add an index to the slow database table"
GONE = "Agent type {!r} not found."
INSTALLED = ("db-expert", "sql-tuner", "overview")


def opened(home: Path, *, installed: Sequence[str] = INSTALLED, agents: catalog.Catalog = AGENTS, **more: Any) -> Any:
    return dispatcher_setup.opened(home, catalog=lambda: agents, installed=lambda: frozenset(installed), **more)


def task(**more: Any) -> dict[str, Any]:
    return {"id": "a", "do": GOAL, "agent": "db-expert", **more}


async def handed(desk: Desk, *tasks: dict[str, Any], **more: Any) -> assignments.Assignment:
    [one] = (await desk.app.dispatch(plan_id=await desk.planned(*(tasks or (task(),))), **more)).assignments
    return one


def refused(one: assignments.Assignment, text: str = "", **more: Any) -> dict[str, Any]:
    error = text or GONE.format(one.call.subagent_type)
    return {"task_id": one.task_id, "attempt": one.attempt, "status": "failed", "error": error, **more}


async def refuse(desk: Desk, one: assignments.Assignment, text: str = "", **more: Any) -> answers.ReportAnswer:
    return await desk.app.report(one.run_id, [refused(one, text, **more)])


async def events(desk: Desk, run_id: str, kind: str) -> list[dict[str, model.Json]]:
    return [event.data for event in await desk.app.store.events(run_id) if event.kind == kind]


async def test_the_runner_up_of_routing_stands_in_then_the_general_agent_then_guidance_ends_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "home") as desk:
        first = await handed(desk)
        assert (first.call.subagent_type, first.in_place_of) == ("db-expert", ())
        answer = await refuse(desk, first)
        assert answer.results[0].accepted
        assert answer.results[0].why == "'db-expert' could not be started; 'sql-tuner' stands in."
        [second] = answer.assignments
        assert (second.attempt, second.agent, second.call.subagent_type) == (2, "sql-tuner", "sql-tuner")
        assert second.in_place_of == ("db-expert",)
        answer = await refuse(desk, second)
        [third] = answer.assignments
        assert (third.agent, third.call.subagent_type) == ("db-expert", "general-purpose")
        assert third.in_place_of == ("db-expert", "sql-tuner")
        assert "You are db-expert." in third.call.prompt
        answer = await refuse(desk, third)
        assert (answer.assignments, answer.state) == ((), model.RunState.FAILED)
        [line] = answer.results
        assert "'db-expert', 'sql-tuner' and 'general-purpose'" in line.why
        assert "What can be done:" in line.why
        trace = await desk.app.trace(run_id=first.run_id)
        assert trace.tasks[0].error == transitions.NO_AGENT
        [result] = (await desk.app.trace(run_id=first.run_id, view="results")).results
        assert "without a subagent" in result.capsule
        assert await events(desk, first.run_id, "agent_replaced") == [
            {"agent": "db-expert", "by": "sql-tuner"},
            {"agent": "sql-tuner", "by": "db-expert", "subagent": "general-purpose"},
        ]


async def test_who_stands_in_is_in_the_trace_and_what_was_refused_is_not_in_the_next_brief(tmp_path: Path) -> None:
    async with opened(tmp_path / "home") as desk:
        first = await handed(desk)
        [second] = (await refuse(desk, first)).assignments
        assert "not found" not in second.call.prompt
        [line] = (await desk.app.trace(run_id=first.run_id)).tasks
        assert (line.agent, line.in_place_of, line.attempts) == ("sql-tuner", "db-expert", 2)
        plan_id = (await desk.app.trace(run_id=first.run_id)).plan_id
        plan = await desk.app.store.plan(plan_id, principal=records.LOCAL)
        assert (plan.version, plan.tasks[0].agent) == (1, "db-expert")


@pytest.mark.parametrize("limits", [{}, {"limits": {"attempts": 1}}, {"max_attempts": 1}])
async def test_standing_in_costs_no_attempt_of_the_task(tmp_path: Path, limits: dict[str, Any]) -> None:
    async with opened(tmp_path / "home") as desk:
        one = await handed(desk, task(**limits))
        for _ in range(2):
            [one] = (await refuse(desk, one, retryable=True)).assignments
        answer = await desk.app.report(one.run_id, [said(one)])
        assert (answer.results[0].accepted, answer.state) == (True, model.RunState.SUCCEEDED)


async def test_standing_in_costs_no_attempt_of_the_run_also_after_a_restart(tmp_path: Path) -> None:
    limits = model.Limits(attempts=1, tokens=10_000_000)
    async with opened(tmp_path / "home") as desk:
        first = await handed(desk, limits=limits)
        [second] = (await refuse(desk, first)).assignments
    async with opened(tmp_path / "home") as desk:
        [third] = (await refuse(desk, second)).assignments
        trace = await desk.app.trace(run_id=first.run_id)
        assert trace.left["attempts"] == 0, "the one that is out"
        assert third.attempt == 3
        assert (await desk.app.report(third.run_id, [said(third)])).state is model.RunState.SUCCEEDED


async def test_a_restart_between_two_steps_goes_on_with_the_same_stand_in(tmp_path: Path) -> None:
    async with opened(tmp_path / "home") as desk:
        first = await handed(desk)
        [second] = (await refuse(desk, first)).assignments
    async with opened(tmp_path / "home") as desk:
        [again] = (await desk.app.dispatch(run_id=first.run_id)).assignments
        assert (again.attempt, again.call.subagent_type) == (second.attempt, second.call.subagent_type)
        late = await refuse(desk, first)
        assert not late.results[0].accepted, "told twice"
        [third] = (await refuse(desk, again)).assignments
        assert third.call.subagent_type == "general-purpose"


@pytest.mark.parametrize(
    ("text", "subagent", "name"),
    [
        ("Agent type 'db-expert' not found. Available agents: general-purpose, sql-tuner", "sql-tuner", "sql-tuner"),
        ("Agent type 'db-expert' not found. Available agents: general-purpose, Plan", "general-purpose", "sql-tuner"),
        ("Invalid subagent_type: db-expert. Must be one of: generalPurpose, explore", "generalPurpose", "sql-tuner"),
        ("Agent type 'db-expert' not found. Available agents: my:sql-tuner", "my:sql-tuner", "sql-tuner"),
    ],
)
async def test_what_a_host_lists_decides_how_the_runner_up_is_called(
    tmp_path: Path, text: str, subagent: str, name: str
) -> None:
    async with opened(tmp_path / "home") as desk:
        [second] = (await refuse(desk, await handed(desk), text)).assignments
        assert (second.call.subagent_type, second.agent) == (subagent, name)
        assert "You are sql-tuner." in second.call.prompt


@pytest.mark.parametrize(
    ("text", "subagent"),
    [
        ("Unknown agent type: general-purpose is not a valid agent type", "generalPurpose"),
        ("Unknown agent type: general-purpose. Available agents: build, general", "general"),
    ],
)
async def test_a_host_that_calls_its_general_subagent_otherwise_gets_the_same_role(
    tmp_path: Path, text: str, subagent: str
) -> None:
    async with opened(tmp_path / "home", installed=()) as desk:
        first = await handed(desk)
        assert first.call.subagent_type == "general-purpose"
        [second] = (await refuse(desk, first, text)).assignments
        assert (second.call.subagent_type, second.agent) == (subagent, "db-expert")
        assert "You are db-expert." in second.call.prompt


async def test_a_host_without_any_subagent_that_would_do_ends_in_guidance_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path / "home", installed=()) as desk:
        answer = await refuse(desk, await handed(desk), "Unknown agent type: general-purpose. Available agents: build")
        assert answer.state is model.RunState.FAILED
        assert "here there are build" in answer.results[0].why


async def test_an_answer_that_is_nothing_but_the_refusal_is_none(tmp_path: Path) -> None:
    async with opened(tmp_path / "home") as desk:
        first = await handed(desk)
        entry = {"task_id": "a", "attempt": 1, "text": GONE.format("db-expert")}
        answer = await desk.app.report(first.run_id, [entry])
        assert [one.agent for one in answer.assignments] == ["sql-tuner"]


async def test_work_that_failed_over_agents_of_its_own_is_a_failure_like_any(tmp_path: Path) -> None:
    async with opened(tmp_path / "home") as desk:
        answer = await refuse(desk, await handed(desk), "The test says: unknown agent type: robot")
        assert answer.state is model.RunState.FAILED
        assert (await desk.app.trace(run_id=answer.run_id)).tasks[0].error == transitions.BY_WORKER


async def test_a_retry_begins_with_the_planned_agent_again(tmp_path: Path) -> None:
    async with opened(tmp_path / "home") as desk:
        one = await handed(desk, task(limits={"attempts": 1}))
        for _ in range(2):
            [one] = (await refuse(desk, one)).assignments
        await refuse(desk, one)
        await desk.app.steer(one.run_id, "retry", "a", "")
        [again] = (await desk.app.dispatch(run_id=one.run_id)).assignments
        assert (again.attempt, again.call.subagent_type, again.in_place_of) == (4, "db-expert", ())


async def test_an_edit_to_another_agent_ends_the_standing_in(tmp_path: Path) -> None:
    async with opened(tmp_path / "home") as desk:
        tasks = [task(), {"id": "b", "do": "Say so", "agent": "db-expert", "deps": ["a"]}]
        one = await handed(desk, *tasks)
        for _ in range(3):
            answer = await refuse(desk, one)
            [one] = answer.assignments or [one]
        plan_id = (await desk.app.trace(run_id=one.run_id)).plan_id
        await desk.app.plans.edit(plan_id, 1, [{"op": "modify", "id": "a", "task": {"agent": "overview"}}])
        await desk.app.steer(one.run_id, "retry", "a", "")
        [again] = (await desk.app.dispatch(run_id=one.run_id)).assignments
        assert (again.agent, again.in_place_of) == ("overview", ())


@dataclass
class Model:
    """A model that keeps in whose role it was asked."""

    roles: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        self.roles.append((work.agent, work.agent_prompt))
        return model.Outcome(state=AttemptState.SUCCEEDED, summary="done")


@pytest.mark.parametrize("kind", [WorkerKind.API, WorkerKind.CLAUDE])
@pytest.mark.parametrize("others", [AGENTS.agents[1:2], ()])
async def test_a_worker_of_the_server_plays_no_agent_without_a_role(
    tmp_path: Path, kind: WorkerKind, others: tuple[catalog.Agent, ...]
) -> None:
    mute = catalog.Catalog((AGENTS.agents[0].model_copy(update={"body": " \n"}), *others))
    worker = Model()
    async with opened(tmp_path / "home", agents=mute, models={kind: worker}, available_workers=HERE) as desk:
        answer = await desk.app.dispatch(plan_id=await desk.planned(task()), worker=kind.value)
        trace = await desk.ended(answer.run_id)
        assert trace.state == "succeeded"
        replacements = await events(desk, answer.run_id, "agent_replaced")
    if others:
        assert worker.roles == [("sql-tuner", "You are sql-tuner.")]
        assert replacements == [{"agent": "db-expert", "by": "sql-tuner"}]
    else:
        assert worker.roles == [("db-expert", " \n")]
        assert [one["subagent"] for one in replacements] == ["general-purpose"]
