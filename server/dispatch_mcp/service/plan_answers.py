"""Plans in the short form that a model reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from pydantic import ValidationError

from dispatch_mcp import errors, model
from dispatch_mcp.model import bounds, problems, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind, Words
from dispatch_mcp.planning import flowchart as diagrams
from dispatch_mcp.planning import gated_work, limits, plan_checks, proof_proposals, review_rules
from dispatch_mcp.planning.drafts import plan_offer
from dispatch_mcp.service import plan_proposals
from dispatch_mcp.text import json_types


def plan_answer(proposal: plan_proposals.PlanProposal, words: Words, *, diagram: bool) -> dict[str, model.Json]:
    """Returns what planning decided, without the input (docs/rules.md#plan-answers).

    What nobody asked for stands first, with the way to refuse it in an interface's `words`. Of the input only the parts
    of a pattern come back: they say which task is whose.
    """
    plan = proposal.plan
    schedule = plan_checks.answer(
        proposal.prepared, plan_id=short_ids.short(plan.id), version=plan.version, decided=_decided(proposal)
    )
    answer = {**_added(proposal, words), **_without_seats(schedule, _seats(proposal))}
    answer["forecast"] = _forecast(plan, sum(map(len, answer["waves"])))
    answer |= proof_proposals.answer(proposal.proofs)
    if proposal.changes:
        answer["changes"] = proposal.changes
    if diagram:
        answer["diagram"] = diagrams.mermaid(plan, proposal.prepared)
    return answer


def _without_seats(schedule: Mapping[str, model.Json], seats: Collection[str]) -> dict[str, model.Json]:
    """Returns a schedule in which a council stands for those who sit in it, as in what was added."""
    waves = [[task_id for task_id in wave if task_id not in seats] for wave in schedule["waves"]]
    decisions = {task_id: decision for task_id, decision in schedule.get("tasks", {}).items() if task_id not in seats}
    answer = {
        **schedule,
        "waves": [wave for wave in waves if wave],
        "tasks": _with_common_model(decisions),
        "critical_path": [task_id for task_id in schedule["critical_path"] if task_id not in seats],
    }
    return {name: value for name, value in answer.items() if value not in ([], {})}


def _with_common_model(decisions: Mapping[str, Mapping[str, model.Json]]) -> Mapping[str, Mapping[str, model.Json]]:
    """Returns decisions in which the commonest model stands once, for `*`, if each of them has one."""
    counts = Counter(decision.get("model") for decision in decisions.values())
    if None in counts or len(counts) == len(decisions):
        return decisions
    common = ("model", counts.most_common(1)[0][0])
    rest = {
        task_id: {name: value for name, value in decision.items() if (name, value) != common}
        for task_id, decision in decisions.items()
    }
    return {"*": dict([common]), **rest}


def _forecast(plan: model.Plan, count: int) -> dict[str, model.Json]:
    """Returns a plan's forecast; that each of its `count` tasks is one agent's work need not be said."""
    return {name: value for name, value in plan.forecast.items() if (name, value) != ("spawns", count)}


def _added(proposal: plan_proposals.PlanProposal, words: Words) -> dict[str, model.Json]:
    """Returns what was added and how to refuse it; a council is one thing, whoever sits in it."""
    return {"added": {**reasons(proposal)}, "refuse": words(refusal_step(proposal))} if proposal.additions else {}


def reasons(proposal: plan_proposals.PlanProposal) -> dict[str, str]:
    """Returns why each thing was added, by its task; a council is one, with its seats counted."""
    seats = _seats(proposal)
    by_task = {task_id: why for task_id, why in proposal.additions.items() if task_id not in seats}
    for task in proposal.plan.tasks:
        if task.joins and task.id in by_task:
            by_task[task.id] += f", {len(task.joins)} seats"
    return by_task


def _seats(proposal: plan_proposals.PlanProposal) -> set[str]:
    """Returns the reviews that go with the council that joins them."""
    return {seat_id for task in proposal.plan.tasks for seat_id in task.joins}


def _fixed_reviews(proposal: plan_proposals.PlanProposal) -> set[str]:
    """Returns the reviews that no edit takes out, as one has blocked a change of the same files before."""
    work = {name for note in proposal.prepared.notices if note.code == review_rules.BLOCKED for name in note.tasks}
    return {task.id for task in proposal.plan.tasks if work.intersection(task.reviews)}


def refusal_step(proposal: plan_proposals.PlanProposal) -> NextStep:
    """Returns how to do without what was added: it is taken out, or agents are named where a decision stands for them.

    A person's decision of a pattern can be taken out until a run has begun; what no edit takes out, a person lets go.
    """
    by_route = {task.id for task in proposal.plan.tasks if _is_gate(task) and task.id in proposal.additions}
    by_route -= {task_id for task_id, why in proposal.additions.items() if why.startswith(plan_proposals.PATTERN)}
    approval_ids = {task_id for task_id, why in proposal.additions.items() if why.startswith(gated_work.AGAIN)}
    by_route -= approval_ids
    kept_ids = by_route | approval_ids | _seats(proposal) | _fixed_reviews(proposal)
    removable = tuple(task_id for task_id in proposal.additions if task_id not in kept_ids)
    advice = "To do without the decision, name an agent for what waits for it." if by_route else ""
    advice = f"{advice} Only a person decides {', '.join(sorted(approval_ids))}.".strip() if approval_ids else advice
    plan, fixed_ids = proposal.plan, tuple(sorted(_fixed_reviews(proposal) - _seats(proposal)))
    if fixed_ids and not (removable or advice):
        return NextStep(StepKind.LET_REVIEW_GO, tasks=fixed_ids)
    by_pattern = tuple(
        task_id for task_id in removable if proposal.additions[task_id].startswith(plan_proposals.PATTERN)
    )
    return NextStep(
        StepKind.REFUSE_ADDED,
        plan=plan.id,
        version=plan.version,
        tasks=removable,
        by_pattern=by_pattern,
        advice=advice,
    )


def _is_gate(task: model.Task) -> bool:
    return task.worker is model.WorkerKind.HUMAN


def _decided(proposal: plan_proposals.PlanProposal) -> Mapping[str, Mapping[str, model.Json]]:
    """Returns what was chosen for each task."""
    goals = {task_id: {"do": do} for task_id, do in proposal.goals.items()}
    choices = proposal.decided
    return {task_id: {**goals.get(task_id, {}), **choices.get(task_id, {})} for task_id in {**goals, **choices}}


def offer_answer(offer: plan_offer.PlanOffer, words: Words) -> dict[str, model.Json]:
    """Returns what is offered for a request, with what is left to fill in; what comes next in an interface's words."""
    fields = offer.model_dump(mode="json", exclude_defaults=True, exclude={"request"})
    fill = ["pattern", "parts"] if offer.pattern == plan_offer.UNSURE else ["parts"]
    step = NextStep(StepKind.SPLIT_REQUEST)
    return {"ok": True, "draft": True, **fields, "fill": fill, "next": words(step), "request": offer.request}


def flowchart(plan: model.Plan) -> str:
    """Returns a plan as a Mermaid flowchart."""
    schedule = plan_checks.prepare(plan.tasks, max_parallel=plan.max_parallel, on_conflict="worktree")
    return diagrams.mermaid(plan, schedule)


def read_limits(raw: Mapping[str, model.Json]) -> model.Limits:
    """Returns the ceilings. Raises InputError that names the wrong one; a person's word is none of them."""
    ceilings = limits.canonical(raw)
    for name in ceilings.keys() - bounds.CEILINGS.keys():
        raise _wrong_limit(name, ceilings[name])
    try:
        return model.Limits.model_validate(ceilings)
    except ValidationError as wrong:
        name, value = next((str(fault["loc"][0]), fault["input"]) for fault in wrong.errors())
        raise _wrong_limit(name, value) from None


def _wrong_limit(name: str, value: model.Json) -> errors.InputError:
    ceiling = bounds.CEILINGS.get(name)
    reason = f"it can be {ceiling}." if ceiling else "there is no such limit."
    near = "" if ceiling else problems.nearest(name, bounds.CEILINGS)
    return errors.InputError(
        f"limits.{name[:80]} is {json_types.quoted(value)}; {reason}",
        hint=f"Did you mean {near!r}?" if near else f"Limits are {', '.join(bounds.CEILINGS)}.",
    )
