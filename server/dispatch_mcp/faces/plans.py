"""Plans and routes in the short form that a model reads."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from dispatch_mcp import errors
from dispatch_mcp.core import diagrams, model, planning, routing
from dispatch_mcp.engine import planner


def plan_answer(planned: planner.Planned, *, diagram: bool) -> dict[str, model.Json]:
    """Returns what planning decided, without the input (facts: planning B7)."""
    plan = planned.plan
    answer = planning.answer(planned.prepared, plan_id=plan.id, version=plan.version, decided=planned.decided)
    if diagram:
        answer["diagram"] = diagrams.mermaid(plan, planned.prepared)
    return answer


def route_answer(route: routing.Route) -> dict[str, model.Json]:
    """Returns the route without empty fields."""
    return route.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def undivided(request: str, route: routing.Route | None) -> dict[str, model.Json]:
    """Answers a request without tasks: the host splits it, the route says where to begin."""
    if not request.strip():
        raise errors.InputError(
            "There is nothing to plan: request, tasks and edits are all empty.",
            hint="Send tasks: a list of {id, do, deps, files}.",
        )
    advice = "Split the request into tasks {id, do, deps, files}, one measurable goal each, and call plan_dag again."
    answer: dict[str, model.Json] = {"ok": False, "draft": True, "next": advice}
    if route is not None:
        answer["route"] = route_answer(route)
    return answer


def read_limits(raw: Mapping[str, model.Json]) -> model.Limits:
    """Returns the limits. Raises InputError that names the wrong one."""
    try:
        return model.Limits.model_validate(raw)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise errors.InputError(
            f"limits.{'.'.join(map(str, first['loc']))}: {first['msg']} (got {str(first['input'])[:80]!r}).",
            hint="Limits are tasks and depth: positive whole numbers.",
        ) from None
