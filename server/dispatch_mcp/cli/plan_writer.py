"""Has a model write the plan of a request: the lead's own task, whose answer is checked like any task document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dispatch_mcp import errors, model
from dispatch_mcp.model import WorkerKind, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.planning import plan_documents
from dispatch_mcp.service import dispatcher, plan_proposals
from dispatch_mcp.text import damaged_json, json_types

LEAD: Final = "orch-planner"
"""The role that leads: it plans, and others build."""

TASK: Final = "plan"
DO: Final = (
    "Plan what `request` in the inputs asks for: tasks for several specialists, with as few dependencies as the truth "
    "allows. Keep the words of the request, leave nothing out, and add nothing that it does not ask for."
)
AGAIN: Final = "Correct the plan so that none of the `problems` in the inputs is left."


@dataclass(frozen=True, slots=True)
class PlanWriter:
    """Asks a worker for plans; each is a run of its own."""

    app: dispatcher.Dispatcher
    worker: WorkerKind

    async def write(self, request: str, *, roster: str = "") -> plan_proposals.PlanProposal:
        """Returns the plan that the lead has written, checked, assigned, scheduled and stored.

        It is asked once more when its first plan has problems. Its tasks are routed in `roster` if one is named.

        Raises:
            PlanRejected: the second plan has problems too; nothing was stored.
            WorkerError: the worker gave no answer, or none that holds tasks.
        """
        document = await self._document(request, ())
        faults = self.app.plans.check(document.reading)
        if faults:
            document = await self._document(
                request, [f"{fault.where}: {fault.message} {fault.fix}" for fault in faults]
            )
        return await self.app.plans.plan_document(document, request=request, roster=roster)

    async def _document(self, request: str, faults: Sequence[str]) -> plan_documents.PlanDocument:
        """Returns the tasks that the lead answers with."""
        plans = self.app.plans.without_additions()
        proposal = await plans.plan([self._task(request, faults)], request=request)
        progress = await self.app.dispatch(plan_id=proposal.plan.id, worker=self.worker.value, fresh=True)
        async for _ in self.app.engine.events(progress.run_id):
            pass
        outcome = await self.app.store.outcome(progress.run_id, TASK)
        if outcome is None:
            raise errors.WorkerError(
                f"Nobody has written a plan: run {short_ids.short(progress.run_id)} ended without an answer.",
                hint=NextStep(StepKind.READ_RUN, progress.run_id),
            )
        tasks = tasks_in(outcome.output if isinstance(outcome.output, str) else outcome.summary)
        if not tasks:
            raise errors.WorkerError(
                f"The answer of run {short_ids.short(progress.run_id)} holds no tasks.",
                hint=NextStep(StepKind.READ_RUN, progress.run_id),
            )
        return plan_documents.read_document({"tasks": tasks})

    def _task(self, request: str, faults: Sequence[str]) -> dict[str, model.Json]:
        fields = ", ".join(f"`{name}`" for name, field in model.task_fields().items() if field.is_a.offered)
        return {
            "id": TASK,
            "do": f"{DO} {AGAIN}" if faults else DO,
            "agent": LEAD if LEAD in self.app.catalog().names else None,
            "inputs": {"request": request, **({"problems": list(faults)} if faults else {})},
            "constraints": ["Change nothing.", "Leave `agent` out where you are not sure who fits."],
            "output": [f'As your whole answer one JSON object, {{"tasks": […]}}; a task has {fields}.'],
        }


def tasks_in(answer: str) -> list[model.Json]:
    """Returns the tasks that stand in an answer, however it wraps them; none for any other text."""
    pieces = [piece.value for piece in damaged_json.objects(answer)]
    lists = [piece["tasks"] for piece in pieces if json_types.is_list(piece.get("tasks"))]
    return list(lists[-1]) if lists else [piece for piece in pieces if "id" in piece and "do" in piece]
