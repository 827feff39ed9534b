"""`dispatch-mcp plan FILE`: every problem at once, or waves, critical path and estimate."""

from __future__ import annotations

import argparse

import anyio

from dispatch_mcp import config, errors
from dispatch_mcp.core import model, planning, problems
from dispatch_mcp.engine import dispatcher
from dispatch_mcp.faces import build, console, plans
from dispatch_mcp.faces.commands import documents


def main(options: argparse.Namespace, loaded: config.Loaded) -> int:
    """Checks, schedules and stores the document's plan; returns 2 when it has problems."""
    document = documents.read(options.file)
    try:
        dispatcher.refuse(document.reading.problems)
        tasks = [task.model_dump(mode="json", by_alias=True, exclude_defaults=True) for task in document.reading.tasks]
        plan, prepared = anyio.run(_plan, loaded.settings, tasks, document.max_parallel, options.on_conflict)
    except errors.PlanRejected as refused:
        _show_problems(refused, as_json=options.json)
        return console.USAGE
    if options.json:
        console.emit(plans.plan_answer(plan, prepared, diagram=options.diagram))
    else:
        _show(plan, prepared, diagram=options.diagram)
    return console.OK


async def _plan(
    settings: config.Settings, tasks: list[dict[str, model.Json]], max_parallel: int | None, on_conflict: model.Conflict
) -> tuple[model.Plan, planning.Prepared]:
    async with build.open_dispatcher(settings) as app:
        try:
            return await app.plan(tasks, max_parallel=max_parallel, on_conflict=on_conflict)
        except errors.PlanRejected as refused:
            rejected = refused
    raise rejected


def _show_problems(refused: errors.PlanRejected, *, as_json: bool) -> None:
    found = [problem for problem in refused.problems if isinstance(problem, problems.Problem)]
    if as_json:
        console.emit(
            {"ok": False, "errors": [problem.model_dump(mode="json", exclude_defaults=True) for problem in found]}
        )
        return
    rows = [(problem.code, problem.task, problem.message, problem.fix) for problem in found]
    console.show(("problem", "task", "what", "fix"), rows, title=refused.message)


def _show(plan: model.Plan, prepared: planning.Prepared, *, diagram: bool) -> None:
    for number, wave in enumerate(prepared.waves, 1):
        console.say(f"wave {number}: {', '.join(wave)}")
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
        console.say(str(plans.plan_answer(plan, prepared, diagram=True)["diagram"]))
