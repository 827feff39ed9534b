"""Who stands in for an agent that could not be started, attempt by attempt, and what is said when nobody is left."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import activation
from dispatch_mcp.model import AttemptState, StandIn, WorkerKind, transitions, work_order

REFUSAL = "Agent type 'debugger' not found. Available agents: {0}"
AGENTS = catalog.merge(
    [
        catalog.Agent(name="debugger", description="Debugs crashes.", sha256="1", body="You debug."),
        catalog.Agent(
            name="error-detective", description="Debugs crashes and errors in logs.", sha256="2", body="You."
        ),
        catalog.Agent(name="empty", description="Debugs crashes.", sha256="3", body=" "),
    ]
)


def order(*stand_ins: StandIn, worker: WorkerKind = WorkerKind.HOST, **fields: Any) -> work_order.WorkOrder:
    task = model.Task(id="t", do="Debug the crash of the login", agent="debugger")
    return work_order.WorkOrder("run", task, len(stand_ins) + 1, worker, stand_ins=stand_ins, **fields)


def after(work: work_order.WorkOrder, error: str = "", agents: catalog.Catalog = activation.NO_AGENTS) -> model.Outcome:
    """Returns what becomes of an attempt whose agent could not be started."""
    failure = model.Outcome(state=AttemptState.FAILED, error=error, error_kind=transitions.NO_AGENT, retryable=True)
    assert activation.is_missing(failure)
    return activation.with_stand_in(work, failure, agents)


def test_the_one_whom_routing_would_choose_next_stands_in_first() -> None:
    outcome = after(order(), REFUSAL.format("error-detective, general-purpose"), AGENTS)
    assert outcome.stand_in == StandIn("error-detective", "error-detective")
    assert (
        outcome.summary
        == "'debugger' could not be started; 'error-detective' stands in in the role of 'error-detective'."
    )
    assert not outcome.retryable


def test_a_runner_up_that_the_host_does_not_have_is_played_by_its_general_subagent() -> None:
    outcome = after(order(), REFUSAL.format("general-purpose, Explore"), AGENTS)
    assert outcome.stand_in == StandIn("error-detective", "general-purpose")


def test_where_the_host_does_not_say_whom_it_has_a_runner_up_is_called_by_its_own_name() -> None:
    assert after(order(), "no such agent", AGENTS).stand_in == StandIn("error-detective")


@pytest.mark.parametrize(
    ("available", "general"),
    [
        ("general-purpose, Explore", "general-purpose"),
        ("Explore, worker", "worker"),
        ("plugin:general, x", "plugin:general"),
    ],
)
def test_without_a_runner_up_the_hosts_own_general_subagent_plays_the_agent(available: str, general: str) -> None:
    assert after(order(), REFUSAL.format(available)).stand_in == StandIn("debugger", general)


def test_after_the_runner_up_comes_the_general_agent_and_after_that_nobody() -> None:
    second = order(StandIn("error-detective"))
    assert after(second, "no such agent", AGENTS).stand_in == StandIn("debugger", "general-purpose")
    third = after(order(StandIn("error-detective"), StandIn("debugger", "general-purpose")), "no such agent", AGENTS)
    assert third.stand_in is None
    assert not third.retryable
    assert third.summary == third.error
    assert (
        "None of the agents for this task could be started: 'debugger', 'error-detective' and 'general-purpose'."
        in third.error
    )


def test_where_the_host_has_no_general_subagent_of_that_name_another_one_plays_the_agent() -> None:
    refusal = "Agent type 'general-purpose' not found. Available agents: error-detective, worker"
    assert after(order(), refusal, AGENTS).stand_in == StandIn("debugger", "worker")


def test_where_nobody_says_whom_there_is_the_next_general_subagent_is_tried() -> None:
    refusal = "Agent type 'general-purpose' not found."
    outcome = after(order(), refusal)
    assert outcome.stand_in is not None
    assert outcome.stand_in.subagent not in {"", "general-purpose"}


def test_a_review_is_done_by_nobody_without_its_role_unless_an_assistant_plays_it() -> None:
    task = model.Task(id="t", do="Review the login", agent="debugger", deps=("a",), reviews=("a",))
    works = [work_order.WorkOrder("run", task, 1, worker) for worker in (WorkerKind.API, WorkerKind.HOST)]
    outcomes = [after(work, REFUSAL.format("general-purpose")) for work in works]
    assert [outcome.stand_in for outcome in outcomes] == [None, StandIn("debugger", "general-purpose")]
    assert after(order(worker=WorkerKind.API), REFUSAL.format("general-purpose")).stand_in is not None


def test_the_guidance_names_the_reason_and_whom_there_is_within_bounds() -> None:
    crowd = ", ".join(f"agent-{number}" for number in range(30))
    last = order(StandIn("debugger", "general-purpose"))
    outcome = after(last, f"{REFUSAL.format(crowd)} {'because ' * 200}")
    assert "The last reason: Agent type 'debugger' not found." in outcome.error
    assert "here there are agent-0, agent-1" in outcome.error
    assert outcome.error.count("agent-") <= 2 * activation.MOST_AVAILABLE + activation.REASON_CHARS
    assert len(outcome.error) < 1_200


@pytest.mark.parametrize(("worker", "can_do_it_alone"), [(WorkerKind.HOST, True), (WorkerKind.API, False)])
def test_only_an_assistant_can_do_a_task_without_a_subagent(worker: WorkerKind, *, can_do_it_alone: bool) -> None:
    outcome = after(order(StandIn("debugger", "general"), worker=worker), "no such agent")
    assert ("do the task without a subagent" in outcome.error) is can_do_it_alone


def test_the_same_report_is_decided_alike_however_often_it_comes() -> None:
    outcomes = [after(order(), REFUSAL.format("Explore, general"), AGENTS) for _ in range(3)]
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.parametrize(
    ("fields", "is_without"),
    [
        ({"no_role": "nobody has described it", "worker": WorkerKind.API}, True),
        ({"no_role": "nobody has described it", "worker": WorkerKind.CLAUDE}, True),
        ({"no_role": "nobody has described it", "worker": WorkerKind.HOST}, False),
        ({"no_role": "", "worker": WorkerKind.API}, False),
    ],
)
def test_only_workers_of_the_server_need_the_text_of_a_role(fields: dict[str, Any], *, is_without: bool) -> None:
    assert activation.is_without_role(order(**fields)) is is_without
    assert not activation.is_without_role(order(StandIn("debugger", "general"), **fields))


def test_where_the_agent_itself_is_the_general_one_somebody_better_suited_comes_first() -> None:
    task = model.Task(id="t", do="Debug the crash of the login", agent="general-purpose")
    work = work_order.WorkOrder("run", task, 1, WorkerKind.HOST)
    outcome = after(work, "Agent type 'general-purpose' not found. Available agents: error-detective, Explore", AGENTS)
    assert outcome.stand_in is not None
    assert outcome.stand_in.agent == "error-detective"
