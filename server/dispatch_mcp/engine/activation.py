"""Agents that could not be started: who stands in, and what is left to do when nobody can.

The order is that of docs/rules.md#fallback-chain: once whoever routing would choose next, then the general agent, then
guidance. It depends on the attempt alone, so that a report which comes twice is decided alike.
"""

from __future__ import annotations

from collections.abc import Iterator

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import task_kinds
from dispatch_mcp.model import WorkerKind, agent_refusals, assignments, transitions, work_order
from dispatch_mcp.next_steps import names

MOST_AVAILABLE = 12
"""Subagents of a host that the guidance names."""

REASON_CHARS = 300
"""Characters of what the host said that the guidance repeats."""

NO_AGENTS = catalog.Catalog(())


def is_without_role(work: work_order.WorkOrder) -> bool:
    """Returns whether a worker of the server would have to play an agent that nobody has described."""
    return bool(work.no_role) and not work.subagent and work.worker in (WorkerKind.API, WorkerKind.CLAUDE)


def with_stand_in(
    work: work_order.WorkOrder, outcome: model.Outcome, agents: catalog.Catalog = NO_AGENTS
) -> model.Outcome:
    """Returns the outcome of an attempt whose agent could not be started, with who does the task next.

    When nobody is left it says so, and what whoever reads it can do.
    """
    refusal = agent_refusals.read(outcome.error, [*_called(work), *assignments.GENERALS])
    refusal = refusal or agent_refusals.AgentRefusal()
    stand_in = _stand_in(work, refusal, agents)
    if stand_in is None:
        error = _guidance(work, refusal, outcome.error)
        return outcome.model_copy(update={"error": error, "summary": error, "retryable": False})
    missing, successor = refusal.name or _called(work)[-1], stand_in.subagent or stand_in.agent
    role = f" in the role of {stand_in.agent!r}" if stand_in.subagent and stand_in.agent else ""
    summary = f"{missing!r} could not be started; {successor!r} stands in{role}."
    return outcome.model_copy(update={"stand_in": stand_in, "summary": summary, "retryable": False})


def _stand_in(
    work: work_order.WorkOrder, refusal: agent_refusals.AgentRefusal, agents: catalog.Catalog
) -> model.StandIn | None:
    """Returns who does the task next; None for nobody."""
    if work.stand_ins and work.stand_ins[-1].agent == (work.task.agent or ""):
        return None  # the general agent was the last resort
    is_general = not agent_refusals.is_same(refusal.name, work.agent) and _is_general(refusal.name)
    if not work.stand_ins and not is_general:
        runner_up = next(_runners_up(work, refusal, agents), None)
        if runner_up is not None:
            return runner_up
    if work.worker is not WorkerKind.HOST and task_kinds.kind_of(work.task, work.worker) is not task_kinds.WORK:
        return None  # a review without its reviewer's role is no review
    general = _general(work, refusal)
    return model.StandIn(work.task.agent or "", general) if general else None


def _runners_up(
    work: work_order.WorkOrder, refusal: agent_refusals.AgentRefusal, agents: catalog.Catalog
) -> Iterator[model.StandIn]:
    """Yields other agents that could be started, as far as anybody knows, the best first."""
    own_agent = agents.find(work.agent)
    for name in task_kinds.kind_of(work.task, work.worker).runners_up(work.task, agents):
        agent = agents.find(name)
        if agent is None or agent is own_agent or not agent.body.strip():
            continue
        if not refusal.available:
            yield model.StandIn(name)
            continue
        # Its own name as the host has it, or else a general subagent with its role.
        subagent = refusal.own_name(agent.name) or _general(work, refusal)
        if subagent:
            yield model.StandIn(name, subagent)


def _general(work: work_order.WorkOrder, refusal: agent_refusals.AgentRefusal) -> str:
    """Returns the general subagent to call: one that the host has, as far as it says which; else an empty string."""
    missing = [refusal.name, *[stand_in.subagent for stand_in in work.stand_ins]]
    for general in assignments.GENERALS:
        is_missing = any(agent_refusals.is_same(name, general) for name in missing)
        own = refusal.own_name(general)
        if not is_missing and (own or not refusal.available):
            return own or general
    return ""


def _is_general(name: str) -> bool:
    return any(agent_refusals.is_same(name, general) for general in assignments.GENERALS)


def _called(work: work_order.WorkOrder) -> tuple[str, ...]:
    return assignments.names_called(work.task.agent, work.stand_ins)


def _guidance(work: work_order.WorkOrder, refusal: agent_refusals.AgentRefusal, reason: str) -> str:
    """Returns that nobody could be started, why, and what can be done about it."""
    last = " ".join(reason.split())[:REASON_CHARS].rstrip(".")
    available = refusal.available[:MOST_AVAILABLE]
    more = f" and {len(refusal.available) - len(available)} more" if len(refusal.available) > len(available) else ""
    here = f" (here there are {', '.join(available)}{more})" if available else ""
    alone = "do the task without a subagent, " if work.worker is WorkerKind.HOST else ""
    return (
        f"None of the agents for this task could be started: {names(_called(work))}. The last reason: {last}. "
        f"What can be done: {alone}install the agent, or edit the plan so that the task names one that exists{here}; "
        "then retry it."
    )


def is_missing(outcome: model.Outcome) -> bool:
    """Returns whether an attempt ended because its agent could not be started."""
    return outcome.error_kind == transitions.NO_AGENT
