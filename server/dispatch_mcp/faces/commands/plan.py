"""`dispatch-mcp plan FILE`: every problem at once, or waves, critical path and estimate."""

from __future__ import annotations

import argparse

import anyio

from dispatch_mcp import config
from dispatch_mcp.core import documents as formats
from dispatch_mcp.core import model
from dispatch_mcp.engine import planner
from dispatch_mcp.faces import build, console, plans
from dispatch_mcp.faces.commands import documents


def main(options: argparse.Namespace, loaded: config.Loaded) -> int:
    """Checks, schedules and stores the document's plan. Raises PlanRejected with every problem at once."""
    document = documents.read(options.file)
    planned = anyio.run(_plan, loaded.settings, document, options.on_conflict)
    if options.json:
        console.emit(plans.plan_answer(planned, diagram=options.diagram))
    else:
        _show(planned, diagram=options.diagram)
    return console.OK


async def _plan(settings: config.Settings, document: formats.Document, on_conflict: model.Conflict) -> planner.Planned:
    async with build.open_dispatcher(settings) as app:
        return await app.plans.plan_document(document, on_conflict=on_conflict)


def _show(planned: planner.Planned, *, diagram: bool) -> None:
    plan, prepared, decided = planned
    for number, wave in enumerate(prepared.waves, 1):
        console.say(f"wave {number}: {', '.join(wave)}")
    for task_id, choice in decided.items():
        console.say(f"{task_id}: {choice['agent']} ({choice['model']}), confidence {choice['conf']:.2f}")
    console.say(f"critical path: {' → '.join(prepared.critical_path)}", style="bold")
    at = prepared.estimate
    console.say(
        f"about {at.parallel:g} min with {plan.max_parallel} at a time ({at.serial:g} one by one, "
        f"{at.speedup:.2f} times faster; no plan is shorter than {at.lower_bound:g})"
    )
    for edge in prepared.added_edges:
        console.say(f"added: {edge.before} before {edge.after}: {edge.reason}", style="yellow")
    for notice in prepared.notices:
        console.say(f"{notice.code}: {notice.message}", style="yellow")
    console.say(f"plan {plan.id}, version {plan.version}: run it with `dispatch-mcp run {plan.id}`")
    if diagram:
        console.say(str(plans.plan_answer(planned, diagram=True)["diagram"]))
