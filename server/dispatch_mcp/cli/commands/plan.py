"""`dispatch-mcp plan FILE`: every problem at once, or waves, critical path and estimate; `--request`: a draft."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator, Mapping

import anyio

from dispatch_mcp import composition, configuration, errors, model
from dispatch_mcp.cli import catalog_arguments, console, input_files
from dispatch_mcp.planning import flowchart, plan_documents, proof_proposals
from dispatch_mcp.planning.drafts import draft_builder
from dispatch_mcp.service import plan_answers, planner

MOST_TASKS = 5
"""Tasks that a line names."""

MAX_REQUEST = 200_000
"""Characters of a request that are looked at."""


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Checks, schedules and stores the document's plan, or drafts one. Raises PlanRejected with every problem."""
    if options.request is not None:
        return _draft(options, setup)
    if options.roster:
        raise errors.InputError(
            f"--roster {options.roster!r} is for --request only.", hint="Tasks of a document name their agent."
        )
    document = input_files.read(options.file)
    proposal = anyio.run(_plan, setup.settings, document, options.on_conflict)
    if options.json:
        todo = {"todo": list(flowchart.todos(proposal.plan.tasks))} if options.todo else {}
        console.emit({**plan_answers.plan_answer(proposal, diagram=options.diagram), **todo})
    else:
        _show(proposal, setup.settings)
        _extras(proposal.plan, options)
    return console.OK


async def _plan(
    settings: configuration.Settings, document: plan_documents.Document, on_conflict: model.Conflict
) -> planner.PlanProposal:
    async with composition.open_dispatcher(settings, drives=False) as app:
        return await app.plans.plan_document(document, on_conflict=on_conflict)


def _draft(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints a draft; needs no store, as a draft is not kept."""
    if options.file != "-":
        raise errors.InputError(f"Both a file {options.file!r} and --request are given.", hint="Leave one of them out.")
    if not options.request.strip():
        raise errors.InputError(
            "The request is empty.", hint='Say what is to be done: dispatch-mcp plan --request "…".'
        )
    catalogue = catalog_arguments.choose(setup.settings, options.roster)
    draft = draft_builder.draft(options.request[:MAX_REQUEST], catalogue, hints=composition.hints(setup.settings))
    plan = draft_builder.plan_of(draft)
    if options.json:
        todo = {"todo": list(flowchart.todos(plan.tasks))} if options.todo else {}
        console.emit({**plan_answers.draft_answer(draft, diagram=options.diagram), **todo})
        return console.OK
    console.say(f"pattern: {draft.pattern}, confidence {draft.pattern_confidence:.2f}", style="bold")
    if draft.why:
        console.say(f"words that say so: {', '.join(draft.why)}")
    for assumption in draft.assumed:
        console.say(f"assumed: {assumption}")
    for offer in draft.patterns:
        console.say(f"{offer['pattern']} ({offer['share']:.2f}): {offer['when']} Needs {offer['needs']}.")
    for task in draft.tasks:
        after = f", after {', '.join(task.deps)}" if task.deps else ""
        console.say(
            f"{task.id}: {task.goal} [{task.agent or task.worker or 'anybody'}, {task.model or 'any model'}]{after}"
        )
    if draft.question:
        console.say(f"ask first: {draft.question}", style="yellow")
    console.say("a draft: split it into exact tasks and give those to `dispatch-mcp plan FILE`", style="yellow")
    _extras(plan, options)
    return console.OK


def _show(proposal: planner.PlanProposal, settings: configuration.Settings) -> None:
    plan, schedule = proposal.plan, proposal.prepared
    for number, wave in enumerate(schedule.waves, 1):
        console.say(f"wave {number}: {', '.join(wave)}")
    for task_id, choice in proposal.decided.items():
        agent = f"{choice['agent']} ({choice['model']}), confidence {choice['conf']:.2f}" if "agent" in choice else ""
        console.say(f"{task_id}: {agent or choice.get('why', '')}")
    console.say(f"critical path: {' → '.join(schedule.critical_path)}", style="bold")
    at = schedule.estimate
    console.say(
        f"about {at.parallel:g} min with {plan.max_parallel} at a time ({at.serial:g} one by one, "
        f"{at.speedup:.2f} times faster; no plan is shorter than {at.lower_bound:g})"
    )
    console.say(_expected(plan.forecast))
    for edge in schedule.added_edges:
        console.say(f"added: {edge.before} before {edge.after}: {edge.reason}", style="yellow")
    for notice in schedule.notices:
        console.say(f"{notice.code}: {notice.message}", style="yellow")
    for line in _proofs(proposal.proofs, settings):
        console.say(line, style="yellow")
    console.say(f"plan {plan.id}, version {plan.version}: run it with `dispatch-mcp run {plan.id}`")


def _proofs(proofs: proof_proposals.Proposals, settings: configuration.Settings) -> Iterator[str]:
    """Yields what could prove the tasks that ask for no proof, in the words of a task document."""
    by_acceptance: dict[tuple[str, ...], list[str]] = {}
    for task_id, acceptance in proofs.by_task.items():
        by_acceptance.setdefault(acceptance, []).append(task_id)
    for acceptance, ids in by_acceptance.items():
        names = ", ".join(ids[:MOST_TASKS]) + (f" and {len(ids) - MOST_TASKS} more" if len(ids) > MOST_TASKS else "")
        field = f'"acceptance": {json.dumps(acceptance, ensure_ascii=False)}'
        yield f"no proof is asked for: {field} would do for {names}"
    if proofs.if_allowed:
        yield f"`{shlex.join(proofs.if_allowed)}` would prove more. {settings.how_to_allow(proofs.if_allowed)}"


def _expected(figures: Mapping[str, model.Json]) -> str:
    """Returns a forecast in a line."""
    tokens, minutes = figures["tokens"], figures["min"]
    dollars = f", ${figures['usd'][0]:.2f} to ${figures['usd'][1]:.2f}" if "usd" in figures else ""
    return (
        f"forecast ({figures['basis']}; half the time less than the first figure, nine times in ten less than the "
        f"second): {tokens[0]:,} to {tokens[1]:,} tokens{dollars}, {minutes[0]} to {minutes[1]} min, "
        f"{figures['spawns']} agents"
    )


def _extras(plan: model.Plan, options: argparse.Namespace) -> None:
    """Prints the list and the picture that were asked for."""
    if options.todo:
        for item in flowchart.todos(plan.tasks):
            console.say(f"[{'x' if item['status'] == 'completed' else ' '}] {item['content']} ({item['priority']})")
    if options.diagram:
        console.say(plan_answers.flowchart(plan))
