"""`dispatch-mcp plan FILE`: every problem at once, or waves, critical path and estimate.

With `--request` instead of a file: what is offered for it, or the plan of its parts, or one that a model writes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence

import anyio

from dispatch_mcp import composition, configuration, errors, model, workers_present
from dispatch_mcp.cli import catalog_arguments, console, input_files, logs, plan_writer, shell_wording
from dispatch_mcp.cli.commands import run
from dispatch_mcp.model import WorkerKind, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind, sentences
from dispatch_mcp.planning import flowchart, plan_documents, proof_proposals
from dispatch_mcp.planning.drafts import pattern_graphs, patterns, plan_offer
from dispatch_mcp.service import plan_answers, plan_proposals

MOST_TASKS = 5
"""Tasks that a line names."""

OF_REQUESTS = ("pattern", "part", "writer")
"""Options that only mean something beside a request."""


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Plans a document, or looks at a request. Raises PlanRejected with every problem."""
    if options.request is not None:
        return _from_request(options, setup)
    stray = next((name for name in OF_REQUESTS if getattr(options, name)), None)
    if stray:
        name, value = f"--{stray.replace('writer', 'with')}", getattr(options, stray)
        raise errors.InputError(
            f"{name} {value!r} is for --request only.", hint="Tasks of a document name their agent."
        )
    if options.file is None and sys.stdin.isatty():
        raise errors.InputError(
            "There is nothing to plan.",
            hint='Name a task document, or say what is to be done: dispatch-mcp plan --request "…".',
        )
    document = input_files.read(options.file or "-")
    return _answer(anyio.run(_plan, setup.settings, document, options), options, setup)


async def _plan(
    settings: configuration.Settings, document: plan_documents.PlanDocument, options: argparse.Namespace
) -> plan_proposals.PlanProposal:
    settings, roster = catalog_arguments.with_roster(settings, options.roster)
    async with composition.open_dispatcher(settings, purpose=composition.PLAN) as app:
        return await app.plans.plan_file(document, on_conflict=options.on_conflict, title=options.title, roster=roster)


def _from_request(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Answers with a plan of the request's parts, with one that a model has written, or with what is offered."""
    if options.file not in (None, "-"):
        raise errors.InputError(f"Both a file {options.file!r} and --request are given.", hint="Leave one of them out.")
    if not options.request.strip():
        raise errors.InputError(
            "The request is empty.", hint='Say what is to be done: dispatch-mcp plan --request "…".'
        )
    if options.writer:
        _refuse_parts(options)
        return _answer(anyio.run(_written, options, setup), options, setup)
    if options.part:
        return _answer(anyio.run(_of_parts, options, setup.settings), options, setup)
    return _offer(options, setup)


def _refuse_parts(options: argparse.Namespace) -> None:
    stray = next((name for name in ("part", "pattern") if getattr(options, name)), None)
    if stray:
        raise errors.InputError(
            f"Both --with {options.writer!r} and --{stray} {getattr(options, stray)!r} are given.",
            hint="Split the request yourself, or have a model write the whole plan.",
        )


async def _written(options: argparse.Namespace, setup: configuration.LoadedSettings) -> plan_proposals.PlanProposal:
    redactor = logs.to_stderr(setup)
    worker = WorkerKind(options.writer)
    _refuse_absent(worker, setup.settings)
    settings, roster = catalog_arguments.with_roster(setup.settings, options.roster)
    purpose = composition.Purpose(tells=False)
    async with composition.open_dispatcher(settings, redactor=redactor, chat=False, purpose=purpose) as app:
        if not options.json:
            console.note(f"{plan_writer.LEAD} writes the plan, with {worker.value}")
        return await plan_writer.PlanWriter(app, worker).write(options.request, roster=roster)


def _refuse_absent(worker: WorkerKind, settings: configuration.Settings) -> None:
    """Raises InputError where this worker cannot be asked, before anything is stored."""
    here = workers_present.workers_here(settings, os.environ, chat=False)
    reason = here.missing(worker)
    if not reason:
        return
    able = [kind.value for kind in (WorkerKind.API, WorkerKind.CLAUDE) if not here.missing(kind)]
    way = f"Use --with {able[0]}" if able else run.WAYS[worker]
    raise errors.InputError(
        f"Nobody can write the plan with {worker.value!r}: {reason}.",
        hint=f'{way}, or split the request yourself: --pattern NAME --part "…" --part "…".',
    )


async def _of_parts(options: argparse.Namespace, settings: configuration.Settings) -> plan_proposals.PlanProposal:
    if not options.pattern:
        names = ", ".join(shape.name for shape in patterns.SHAPES)
        raise errors.InputError("--part needs a --pattern.", hint=f"Choose one: {names}.")
    settings, roster = catalog_arguments.with_roster(settings, options.roster)
    async with composition.open_dispatcher(settings, purpose=composition.PLAN) as app:
        return await app.plans.plan_parts(
            options.part,
            options.pattern,
            request=options.request,
            title=options.title,
            on_conflict=options.on_conflict,
            roster=roster,
        )


def _offer(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints what is offered for a request; needs no store, as nothing of it is kept."""
    for name in ("todo", "diagram"):
        if getattr(options, name):
            raise errors.InputError(f"--{name} needs tasks.", hint='Add --pattern NAME and a --part "…" for each part.')
    catalogue = catalog_arguments.choose(setup.settings, options.roster)
    shape = patterns.shape(options.pattern) if options.pattern else None
    if options.pattern and shape is None:
        plan_proposals.refuse(pattern_graphs.problems_of(options.pattern, ()))
    offer = plan_offer.offer(
        options.request, catalogue, pattern=shape.name if shape else "", hints=composition.hints(setup.settings)
    )
    if options.json:
        console.emit(plan_answers.offer_answer(offer, shell_wording.words))
    else:
        _show_offer(offer)
    return console.OK


def _show_offer(offer: plan_offer.PlanOffer) -> None:
    sure = "" if offer.confidence is None else f", confidence {offer.confidence:.2f}"
    console.say(f"pattern: {offer.pattern}{sure}", style="bold")
    if offer.why:
        console.say(f"words that say so: {', '.join(offer.why)}")
    console.say("how parts can stand to each other (--pattern), and which parts each needs:")
    for name, parts in offer.parts.items():
        console.say(f"  {name}: {parts}")
    console.say("who might do them:")
    for name, purpose in offer.agents.items():
        console.say(f"  {name}: {purpose}")
    if offer.question:
        console.say(f"ask first: {offer.question}", style="yellow")
    console.say(f"request: {offer.request}")
    console.say(shell_wording.words(NextStep(StepKind.SPLIT_REQUEST)), style="yellow")


def _answer(
    proposal: plan_proposals.PlanProposal, options: argparse.Namespace, setup: configuration.LoadedSettings
) -> int:
    """Prints a stored plan, as JSON or for people."""
    if options.json:
        todo = {"todo": list(flowchart.todos(proposal.plan.tasks))} if options.todo else {}
        console.emit({**plan_answers.plan_answer(proposal, shell_wording.words, diagram=options.diagram), **todo})
    else:
        _show(proposal, setup.settings)
        _extras(proposal.plan, options)
    return console.OK


def _show(proposal: plan_proposals.PlanProposal, settings: configuration.Settings) -> None:
    plan, schedule = proposal.plan, proposal.prepared
    for task_id, why in plan_answers.reasons(proposal).items():
        console.say(f"added: {task_id} ({why})", style="yellow")
    if proposal.additions:
        console.say(shell_wording.words(plan_answers.refusal_step(proposal)))
    for number, wave in enumerate(schedule.waves, 1):
        console.say(f"wave {number}: {', '.join(wave)}")
    for task_id, do in proposal.goals.items():
        console.say(f"{task_id}: {do}")
    for task_id, choice in proposal.decided.items():
        sure = f", confidence {choice['conf']:.2f}" if "conf" in choice else ""
        console.say(f"{task_id}: {choice['agent']} ({choice['model']}){sure}")
    console.say(f"critical path: {' → '.join(schedule.critical_path)}", style="bold")
    console.say(_expected(plan))
    for edge in schedule.added_edges:
        console.say(f"added: {edge.before} before {edge.after}: {edge.reason}", style="yellow")
    for notice in schedule.notices:
        of_tasks = f"{_some(notice.tasks)}: " if 0 < len(notice.tasks) < len(plan.tasks) else ""
        console.say(f"{notice.code}: {of_tasks}{notice.message}", style="yellow")
    for line in _proofs(proposal.proofs, settings):
        console.say(line, style="yellow")
    console.say(f"plan {short_ids.short(plan.id)}, version {plan.version}: {_how_to_run(proposal, settings)}")


def _how_to_run(proposal: plan_proposals.PlanProposal, settings: configuration.Settings) -> str:
    """Returns how a plan is run, behind what has to be so before: who does its tasks, what its commands may be."""
    obstacle = run.without_workers(proposal.plan, None, settings)
    is_refused = any(notice.code == proof_proposals.NOT_ALLOWED for notice in proposal.prepared.notices)
    allow = "allow its commands first, as `not_allowed` says, or change them" if is_refused else ""
    if obstacle:
        return sentences(f"{obstacle[0]}.", obstacle[1], f"And {allow}." if allow else "")
    return "; then ".join(filter(None, (allow, f"run it with `dispatch-mcp run {short_ids.short(proposal.plan.id)}`")))


def _proofs(proofs: proof_proposals.Proposals, settings: configuration.Settings) -> Iterator[str]:
    """Yields what could prove the tasks that ask for no proof, in the words of a task document."""
    by_acceptance: dict[tuple[str, ...], list[str]] = {}
    for task_id, acceptance in proofs.by_task.items():
        by_acceptance.setdefault(acceptance, []).append(task_id)
    for acceptance, ids in by_acceptance.items():
        field = f'"acceptance": {json.dumps(acceptance, ensure_ascii=False)}'
        yield f"no proof is asked for: {field} would do for {_some(ids)}"
    if proofs.if_allowed:
        yield f"`{shlex.join(proofs.if_allowed)}` would prove more. {settings.how_to_allow(proofs.if_allowed)}"


def _some(ids: Sequence[str]) -> str:
    """Returns the first of some tasks, and how many others there are."""
    return ", ".join(ids[:MOST_TASKS]) + (f" and {len(ids) - MOST_TASKS} more" if len(ids) > MOST_TASKS else "")


def _expected(plan: model.Plan) -> str:
    """Returns a forecast in a line."""
    figures = plan.forecast
    if not figures.get("spawns") and not figures.get("waits"):
        return "forecast: only commands, so no model is paid; how long they take is known once they have run"
    parts = [f"{_range(figures['min'])} min with {plan.max_parallel} at a time"]
    if "tokens" in figures:
        parts.append(f"{_range(figures['tokens'])} tokens")
    if "usd" in figures:
        parts.append(f"${figures['usd'][0]:.2f} to ${figures['usd'][1]:.2f}")
    if figures.get("unpriced"):
        parts.append(f"no price is known for {figures['unpriced']} of {figures['spawns']} agents")
    if figures.get("waits"):
        parts.append(f"not counting how long people take ({figures['waits']} to decide)")
    return f"forecast ({figures['basis']}; each from the median to what nine in ten stay below): {', '.join(parts)}"


def _range(figures: Sequence[float]) -> str:
    return f"{figures[0]:,} to {figures[1]:,}"


def _extras(plan: model.Plan, options: argparse.Namespace) -> None:
    """Prints the list and the picture that were asked for."""
    if options.todo:
        for item in flowchart.todos(plan.tasks):
            console.say(f"[{'x' if item['status'] == 'completed' else ' '}] {item['content']} ({item['priority']})")
    if options.diagram:
        console.say(plan_answers.flowchart(plan))
