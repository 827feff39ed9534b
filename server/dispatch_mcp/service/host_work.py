"""The host as a worker: orders for ready tasks, assignments for the assistant, outcomes from its reports."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import Field, ValidationError

from dispatch_mcp import errors, model
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import attempt_driver, briefing, executor, proof, review_attempt, run_view
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, assignments, records, transitions, work_order
from dispatch_mcp.review import review_tasks, reviewer_selection
from dispatch_mcp.runs import handoff_parser, message_rules, prompt_builder, receipts, task_isolation, tool_permissions
from dispatch_mcp.service import answers
from dispatch_mcp.store import sqlite_store

Assign = Callable[..., assignments.Assignment]
"""`workers.host.assignment`, handed in."""

MAX_REPORT_CHARS = 2_000_000
SUMMARY_CHARS = 1_200
KEPT_CHARS = 4_000
"""Characters of an unreadable answer that the next attempt is shown."""


_STATES = {
    "succeeded": AttemptState.SUCCEEDED,
    "success": AttemptState.SUCCEEDED,
    "done": AttemptState.SUCCEEDED,
    "failed": AttemptState.FAILED,
    "error": AttemptState.FAILED,
    "cancelled": AttemptState.CANCELLED,
}


class Report(model.Value):
    """What the host says about one of its assignments; `text` is the subagent's whole answer."""

    task_id: str
    attempt: int = Field(ge=1)
    status: str = "succeeded"
    text: str = Field(default="", max_length=MAX_REPORT_CHARS)
    handoff: dict[str, model.Json] | None = None
    output: model.Json = None
    error: str = Field(default="", max_length=20_000)
    retryable: bool = False
    usage: model.Usage = model.Usage()


def read_reports(raw: Sequence[Mapping[str, model.Json]]) -> list[Report]:
    """Returns the reports. Raises InputError that names the first entry that is not one."""
    reports: list[Report] = []
    for position, entry in enumerate(raw):
        try:
            reports.append(Report.model_validate(entry))
        except ValidationError as wrong:
            first = wrong.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise errors.InputError(
                f"results[{position}].{place}: {first['msg']} (got {str(first['input'])[:80]!r}).",
                hint="An entry is {task_id, attempt, status, text or handoff, error, usage}.",
            ) from None
    return reports


def outcome_of(report: Report) -> model.Outcome:
    """Returns the outcome that a report claims; unproven success is marked unverified.

    Raises:
        InputError: the status is not one of succeeded, failed, cancelled.
    """
    state = _STATES.get(report.status)
    if state is None:
        raise errors.InputError(
            f"Task {report.task_id!r}: status {report.status!r} is unknown.",
            hint="Use 'succeeded', 'failed' or 'cancelled'.",
        )
    handoff, problem = _handoff(report)
    claim = model.Receipt(kind="claim", ok=state is AttemptState.SUCCEEDED, detail="reported by the host")
    return model.Outcome(
        state=state,
        summary=(handoff.completed_work or report.text or report.error)[:SUMMARY_CHARS],
        handoff=handoff,
        output=report.output if report.output is not None else (report.text or None),
        error=report.error or problem if state is AttemptState.FAILED else problem,
        error_kind="host" if state is AttemptState.FAILED else "",
        retryable=report.retryable,
        unverified=state is AttemptState.SUCCEEDED,
        usage=report.usage,
        receipts=(claim,),
    )


def is_unreadable(outcome: model.Outcome) -> bool:
    """Returns whether a claimed success tried to hand over and nobody could read it."""
    return outcome.state is AttemptState.SUCCEEDED and outcome.error.startswith(handoff_parser.BROKEN)


def again(report: Report, outcome: model.Outcome) -> model.Outcome:
    """Returns the outcome that has an unreadable answer asked for once more; what was said goes along."""
    error = f"The handoff cannot be used: {outcome.error}. The work may be done already: look, do not repeat it."
    return model.Outcome(
        state=AttemptState.FAILED,
        error=f"{error} The answer began:\n{report.text[:KEPT_CHARS]}",
        error_kind=transitions.UNUSABLE,
        summary=error,
        retryable=True,
        usage=report.usage,
    )


def is_out(task: records.TaskRecord) -> bool:
    """Returns whether an assignment of the task is out with the host."""
    return task.worker is WorkerKind.HOST and task.state is TaskState.RUNNING


def refusal(report: Report, tasks: Mapping[str, records.TaskRecord]) -> str:
    """Returns why a report cannot be taken at all, or an empty string."""
    task = tasks.get(report.task_id)
    if task is None:
        return "the run has no such task"
    if task.worker is not WorkerKind.HOST:
        return f"the {task.worker.value} worker does this task; its result is not yours to report"
    return ""


def verdicts(
    reports: Sequence[Report],
    refused: Sequence[str],
    outcomes: Sequence[model.Outcome],
    accepted: Sequence[bool],
    tasks: Sequence[records.TaskRecord],
) -> list[answers.Accepted]:
    """Returns what became of each report, in order; `accepted` answers those that were not refused."""
    states = {task.id: task for task in tasks}
    rest = iter(accepted)
    out: list[answers.Accepted] = []
    for report, why, outcome in zip(reports, refused, outcomes, strict=True):
        taken = not why and next(rest)
        task = states.get(report.task_id)
        out.append(
            answers.Accepted(
                task_id=report.task_id,
                attempt=report.attempt,
                accepted=taken,
                state=task.state.value if task else "",
                why=why or (_refuted(outcome) if taken else _fenced(report, task)),
                receipts=tuple(one for one in outcome.receipts if one.kind != "claim") if taken else (),
                proposed_edits=outcome.handoff.proposed_edits if taken else (),
            )
        )
    return out


def _refuted(outcome: model.Outcome) -> str:
    return outcome.error if outcome.error_kind == receipts.NOT_ACCEPTED else ""


def _fenced(report: Report, task: records.TaskRecord | None) -> str:
    if task is None or task.attempt == report.attempt:
        return "this attempt is over already; its result was kept once"
    return f"attempt {report.attempt} was replaced; the newest is {task.attempt}"


@dataclass(frozen=True, slots=True)
class Hosting:
    """What turns ready host tasks into assignments."""

    store: sqlite_store.Store
    catalog: catalog.Catalog
    installed: Collection[str]
    assign: Assign
    services: attempt_driver.AttemptServices = attempt_driver.BARE

    async def assignments(self, loaded: run_view.RunView, task_ids: Collection[str]) -> list[assignments.Assignment]:
        """Returns the assignments of these running host tasks, in plan order."""
        wanted = [task for task in loaded.tasks if task.id in task_ids]
        if not wanted:
            return []
        tries = {(past.task_id, past.attempt): past for past in await self.store.attempts(loaded.run.id)}
        out: list[assignments.Assignment] = []
        for task in wanted:
            work, facts = await self._briefed(await self.order(loaded, task))
            newest = tries.get((task.id, task.attempt))
            if newest and not newest.beat:
                await self._look(work, facts)
            out.append(
                await self._handed(work, lease_until=newest.lease_until if newest else None, background=len(wanted) > 1)
            )
        return out

    async def whole(self, loaded: run_view.RunView, task: records.TaskRecord) -> str:
        """Returns the whole prompt of a task's newest attempt, with what is gathered for it now."""
        work, _ = await self._briefed(await self.order(loaded, task))
        return self.prompt(work).text

    async def _briefed(self, work: work_order.WorkOrder) -> briefing.Briefed:
        found = self.services.briefing
        return briefing.Briefed(work, {}) if found is None or work.material else await found.briefed(work)

    async def _handed(
        self, work: work_order.WorkOrder, *, lease_until: float | None, background: bool
    ) -> assignments.Assignment:
        """Returns the assignment of an order; what was gathered goes by reference if it is long.

        A brief that the host should not hold is a file of our own too, for subagents that cannot read resources. A
        reviewer's role is always ours: a subagent of the same name that the host has installed may say anything.
        """
        reference = f"dispatch://runs/{work.run_id}/tasks/{work.task.id}/prompt"
        whole = self.prompt(work)
        agent = agent_of(work.task, self.catalog)
        installed = frozenset[str]() if work.material else self.installed
        file = ""
        if len(whole.text) > assignments.INLINE_LIMIT:
            told = whole.with_role(agent.body) if agent and agent.name not in installed else whole
            kept = await self.store.keep_brief(work.run_id, work.task.id, work.attempt, told.text)
            file = str(kept or "")
        places = tuple(place for place in (reference, file) if place)
        short = replace(work, gathered=(), gathered_at=places) if file and work.gathered else work
        return self.assign(
            short,
            self.prompt(short),
            known_subagents=installed,
            prompt_ref=reference,
            prompt_file=file,
            lease_until=lease_until,
            background=background,
        )

    async def _look(self, work: work_order.WorkOrder, facts: Mapping[str, model.Json]) -> None:
        """Keeps how the workspace is before the host begins, and what it was given, where any process finds it."""
        found: dict[str, model.Json] = {briefing.FACTS: dict(facts)} if facts else {}
        if self.services.verifier is not None and proof.asks_for_proof(work.task):
            known = replace(work, last_beat=await self.store.last_beat(work.run_id, work.task.id))
            found |= await proof.before(self.services.verifier, known)
        if found:
            await self.store.beat(work.run_id, work.task.id, work.attempt, found)

    async def judged(self, loaded: run_view.RunView, report: Report, outcome: model.Outcome) -> model.Outcome:
        """Returns what a report claims as receipts judge it. Writes nothing, so that a report can be repeated."""
        task = loaded.task(report.task_id)
        spec = next(spec for spec in loaded.plan.tasks if spec.id == task.id)
        if not is_out(task) or task.attempt != report.attempt:
            return outcome
        if review_tasks.place(spec) is not None:
            return await review_attempt.judged(self.store, spec, outcome)
        if self.services.archive is not None:
            outcome = await self.services.archive.kept(loaded.run.workspace, outcome)
        if not proof.asks_for_proof(spec):
            return outcome
        work = await self.order(loaded, task)
        tries = await self.store.attempts(loaded.run.id, task.id)
        before = next((past.beat for past in tries if past.attempt == report.attempt), dict[str, model.Json]())
        return await proof.judged(self.services.verifier, self.store, work, before, outcome)

    async def order(self, loaded: run_view.RunView, task: records.TaskRecord) -> work_order.WorkOrder:
        """Returns the work order of a task's newest attempt."""
        spec = next(spec for spec in loaded.plan.tasks if spec.id == task.id)
        outcomes = await self.store.outcomes(loaded.run.id, spec.deps)
        messages = await self.store.inbox(loaded.run.id)
        bare = work_order.WorkOrder(
            run_id=loaded.run.id,
            task=spec,
            attempt=task.attempt,
            worker=task.worker,
            workspace=loaded.run.workspace,
            timeout_s=spec.timeout_s or loaded.plan.timeout_s,
            model=spec.model,
            upstream=tuple(executor.upstream_of(dep, outcomes[dep]) for dep in spec.deps if dep in outcomes),
            messages=message_rules.delivered(messages, spec),
            last_error=await self._last_error(loaded.run.id, task),
            notices=task_isolation.host_notices(spec, loaded.plan.tasks, loaded.tasks, loaded.run.id),
        )
        return await review_attempt.prepared(self.store, with_agent(bare, self.catalog))

    async def _last_error(self, run_id: str, task: records.TaskRecord) -> str:
        if task.attempt < 2:
            return ""
        tries = await self.store.attempts(run_id, task.id)
        return next((past.error for past in tries if past.attempt == task.attempt - 1), "")

    def prompt(self, work: work_order.WorkOrder) -> prompt_builder.Prompt:
        """Returns the prompt of an order."""
        return brief(work)


def brief(work: work_order.WorkOrder) -> prompt_builder.Prompt:
    """Returns the prompt of an order; its fences' nonce cannot be guessed without the run's id."""
    seed = f"{work.run_id}/{work.task.id}/{work.attempt}".encode("utf-8", "surrogatepass")
    return prompt_builder.build(review_attempt.unlabelled(work), nonce=hashlib.sha256(seed).hexdigest()[:16])


def agent_of(task: model.Task, known: catalog.Catalog) -> catalog.Agent | None:
    """Returns the agent of a task; a reviewer of the council is the shipped one, whatever other layers call so."""
    if not task.agent:
        return None
    return reviewer_selection.find(known, task.agent) if review_tasks.place(task) else known.find(task.agent)


def with_agent(work: work_order.WorkOrder, known: catalog.Catalog) -> work_order.WorkOrder:
    """Returns the order with its agent's role text, model, tools and effort, as far as the agent is trusted with them.

    An agent that nobody has approved has no tools but those that look.
    """
    agent = agent_of(work.task, known)
    if agent is None:
        return work
    return replace(
        work,
        agent_prompt=agent.body,
        model=work.model or (agent.model if agent.trusted else None),
        tools=tool_permissions.granted(agent.tools, agent.disallowed_tools) if agent.trusted else (),
        effort=work.effort or (agent.effort if agent.trusted else ""),
    )


def _handoff(report: Report) -> tuple[model.Handoff, str]:
    """Returns the handoff and what was wrong with it."""
    if report.handoff is not None:
        found, problem = handoff_parser.read_handoff(report.handoff)
    else:
        found, problem = handoff_parser.parse_answer(report.text)
    if found is None:
        return model.Handoff(completed_work=report.text[:2000]), problem
    return found, ""
