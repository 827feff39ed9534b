"""Plans and routes in the short form that a model reads."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from dispatch_mcp import errors, model
from dispatch_mcp.planning import flowchart as diagrams
from dispatch_mcp.planning import limits, plan_checks, proof_proposals
from dispatch_mcp.planning.drafts import draft_builder
from dispatch_mcp.routing import router
from dispatch_mcp.service import planner


def plan_answer(proposal: planner.PlanProposal, *, diagram: bool) -> dict[str, model.Json]:
    """Returns what planning decided, without the input (docs/rules.md#plan-answers)."""
    plan = proposal.plan
    answer = plan_checks.answer(proposal.prepared, plan_id=plan.id, version=plan.version, decided=proposal.decided)
    answer["forecast"] = plan.forecast
    answer |= proof_proposals.answer(proposal.proofs)
    if proposal.changes:
        answer["changes"] = proposal.changes
    if diagram:
        answer["diagram"] = diagrams.mermaid(plan, proposal.prepared)
    return answer


def route_answer(route: router.Route) -> dict[str, model.Json]:
    """Returns the route without empty fields."""
    return route.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def draft_answer(draft: draft_builder.Draft, *, diagram: bool = False) -> dict[str, model.Json]:
    """Returns a draft in short form, with a flowchart when asked for."""
    answer = draft_builder.answer(draft)
    if diagram:
        answer["diagram"] = flowchart(draft_builder.plan_of(draft))
    return answer


def flowchart(plan: model.Plan) -> str:
    """Returns any plan, draft or stored, as a Mermaid flowchart."""
    schedule = plan_checks.prepare(plan.tasks, max_parallel=plan.max_parallel, on_conflict="worktree")
    return diagrams.mermaid(plan, schedule)


def read_limits(raw: Mapping[str, model.Json]) -> model.Limits:
    """Returns the limits. Raises InputError that names the wrong one."""
    try:
        return model.Limits.model_validate(limits.canonical(raw))
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise errors.InputError(
            f"limits.{'.'.join(map(str, first['loc']))}: {first['msg']} (got {str(first['input'])[:80]!r}).",
            hint=f"Limits are {', '.join(model.Limits.model_fields)}: positive numbers.",
        ) from None
