"""What blocks goes back to who owns it, in bounded rounds (docs/rules.md#feedback-loop)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from dispatch_mcp import errors, model
from dispatch_mcp.engine import council_rounds, run_view
from dispatch_mcp.model import records, short_ids, transitions
from dispatch_mcp.planning import plan_documents
from dispatch_mcp.review import council_decision, rounds
from dispatch_mcp.service import planner

_CONSTRAINTS: Final = (
    "Mend the causes, not the words that the reviewers quote.",
    "If a finding is wrong, leave it and say with evidence why, under open_questions.",
)


async def plan(
    plans: planner.Planner,
    subject: run_view.RunView,
    council_round: council_rounds.Round,
    decision: council_decision.Decision,
) -> str:
    """Returns the plan in which the owners of what blocks mend it: the run's own while it is open, else a new one.

    Asking again changes nothing: the tasks' names say which round they belong to.
    """
    by_owner = rounds.owners(decision, council_round.manifest.owners)
    number = council_round.manifest.round
    tasks = [_task(owner, subject.specs.get(owner), blocking, number) for owner, blocking in by_owner.items()]
    if subject.run.state not in model.RUN_FINAL:
        return await _edited(plans, subject, tasks, list(by_owner))
    plan_id = hashlib.sha256(f"mend\0{plans.principal}\0{council_round.run.id}".encode()).hexdigest()[:32]
    try:
        return (await plans.store.plan(await plans.handles.plan_id(plan_id), principal=plans.principal)).id
    except errors.UnknownHandle:
        document = plan_documents.PlanDocument(
            plan_documents.read_tasks([_raw(task.model_copy(update={"deps": ()})) for task in tasks]), None
        )
        fresh = await plans.without_additions().plan_document(
            document, request=f"Mend the findings of review {short_ids.short(council_round.run.id)}", plan_id=plan_id
        )
        return fresh.plan.id


async def _edited(
    plans: planner.Planner, subject: run_view.RunView, tasks: Sequence[model.Task], owners: Sequence[str]
) -> str:
    """Adds the tasks to the open run, before everything that waits for their owners and has not begun."""
    present = {task.id for task in subject.plan.tasks}
    missing = [task for task in tasks if task.id not in present]
    if not missing:
        return subject.plan.id
    rows = {row.id: records.row_of(row) for row in subject.tasks}
    fixes = {owner: task.id for owner, task in zip(owners, tasks, strict=True)}
    edits: list[dict[str, model.Json]] = [{"op": "add", "id": task.id, "task": _raw(task)} for task in missing]
    for task in subject.plan.tasks:
        behind = [fixes[dep] for dep in task.deps if dep in fixes]
        if behind and not transitions.is_fixed(rows[task.id]):
            edits.append({"op": "modify", "id": task.id, "task": {"deps": [*task.deps, *behind]}})
    return (await plans.edit(subject.plan.id, subject.plan.version, edits)).plan.id


def _task(
    owner: str, spec: model.Task | None, blocking: Sequence[council_decision.MergedFinding], number: int
) -> model.Task:
    files = tuple(
        dict.fromkeys((*(spec.files if spec else ()), *(finding.file for finding in blocking if finding.file)))
    )
    return model.Task(
        id=f"{owner[:50] or 'findings'}.mend-{number}",
        do=rounds.MEND_GOAL,
        deps=(owner,) if owner else (),
        agent=spec.agent if spec else None,
        model=spec.model if spec else None,
        files=files,
        constraints=(*(spec.constraints if spec else ()), *_CONSTRAINTS),
        acceptance=spec.acceptance if spec else (),
        inputs={rounds.MEND_INPUT: "\n\n".join(map(rounds.brief, blocking))},
        isolation=spec.isolation if spec else "shared",
        output=("Each finding: mended where and how, or why it is wrong",),
    )


def _raw(task: model.Task) -> Mapping[str, model.Json]:
    return task.model_dump(mode="json", by_alias=True, exclude_defaults=True)
