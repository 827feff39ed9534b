"""Begins runs of plans, under a key by which a repeated call finds the run that it began, and within ceilings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from dispatch_mcp import errors, model
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import WorkerKind, records, worker_choice
from dispatch_mcp.runs import budget, request_reuse
from dispatch_mcp.service import approvals, handles, plan_proposals, planner
from dispatch_mcp.store import sqlite_store


@dataclass(frozen=True, slots=True)
class StartRequest:
    """How a plan shall be run. `key` makes a repeated call return the first run; empty for one made from the plan."""

    plan_id: str
    worker: str = "auto"
    key: str = ""
    dry_run: bool = False
    fresh: bool = False
    roster: str = ""
    limits: model.Limits = field(default_factory=model.Limits)


@dataclass(frozen=True, slots=True)
class Workers:
    """Who can work here; `default` is whom the caller has chosen for tasks that name nobody."""

    available: worker_choice.AvailableWorkers
    default: WorkerKind | None = None

    def kind(self, name: str, *, dry_run: bool = False) -> WorkerKind:
        """Returns who does tasks that name nobody. Raises InputError when nobody of that name can work here."""
        if dry_run:
            return WorkerKind.SCRIPTED
        if name == "auto":
            return self.default or self.available.pick().kind
        kinds = {kind.value: kind for kind in WorkerKind}
        missing = self.available.missing(kinds[name]) if name in kinds else "there is none of that name"
        if missing:
            here = ", ".join(sorted(kind.value for kind in self.available.kinds))
            raise errors.InputError(f"No worker {name!r} here: {missing}.", hint=f"Use auto or one of: {here}.")
        return kinds[name]

    def why(self, name: str, tasks: Iterable[model.Task], *, dry_run: bool) -> str:
        """Returns why `kind` names whom it names; empty where these tasks all say for themselves who does them."""
        if dry_run:
            return "dry run: every task is simulated by the scripted worker"
        if all(task.worker or task.command for task in tasks):
            return ""
        return "as asked" if name != "auto" or self.default is not None else self.available.pick().why


@dataclass(frozen=True, slots=True)
class RunStarts:
    """Makes runs for one principal, and changes their ceilings.

    `revise` changes a plan that must be another one before it is run, and returns whether it did; `route_in` routes
    what nobody special has of a plan in a roster.
    """

    store: sqlite_store.Store
    engine: run_engine.RunEngine
    handles: handles.Handles
    rules: plan_proposals.PlanningRules
    workers: Workers
    clock: Callable[[], float]
    new_id: Callable[[], str]
    revise: Callable[[model.Plan], Awaitable[bool]]
    route_in: Callable[[str, str], Awaitable[None]]

    async def create(self, request: StartRequest) -> tuple[records.RunRecord, bool]:
        """Returns the run and whether this call made it.

        Raises:
            InputError: nobody of that name can work here, or the key belongs to another request.
            NotAllowed: the run would be deeper or larger than its limits allow.
        """
        principal = self.handles.principal
        plan_id = await self.handles.plan_id(request.plan_id)
        worker = self.workers.kind(request.worker, dry_run=request.dry_run)
        new = records.NewRun(
            id="",
            plan_id=plan_id,
            plan_version=0,
            worker=worker,
            principal=principal,
            dry_run=request.dry_run,
            fresh=request.fresh,
            named_key=request.key,
            named_worker=None if request.worker == "auto" or request.dry_run else worker,  # nobody works in a dry run
            named_roster=request.roster,
            named_limits=request.limits.model_dump(mode="json", exclude_unset=True),
        )
        # Before anything becomes of the plan: a call that gets the run of another one, or none, changes nothing.
        earlier = await self.store.begun_run(request.key, principal=principal) if request.key else None
        if earlier is not None:
            request_reuse.refuse(new, *earlier)
            return earlier[0], False
        await self.route_in(plan_id, request.roster)
        plan, finished_runs, open_keys = await self.store.plan_to_run(plan_id, principal=principal)
        if await self.revise(plan):
            plan, finished_runs, open_keys = await self.store.plan_to_run(plan_id, principal=principal)
        self._refuse_depth(request.limits)
        limits = budget.limits_in_force(request.limits, self.rules.ceilings)
        planner.refuse_tasks(limits, len(plan.tasks))
        kind = "dry" if request.dry_run else worker.value
        # The key of an open run of the same kind finds that run again, whichever version it began with, as open runs
        # follow the plan; when all are over, one more than those begins.
        own_keys = [key for key in open_keys if key.startswith(f"{plan.id}:") and key.split(":")[2:3] == [kind]]
        own_key = next(iter(own_keys), f"{plan.id}:{plan.version}:{kind}:{finished_runs}")
        title = plan.heading
        details = {
            "id": self.handles.compose(title, self.new_id()),
            "title": title,
            "plan_version": plan.version,
            "request_key": request.key or own_key,
            "workspace": plan.workspace,
            "limits": limits,
        }
        return await self.store.create_run(new.model_copy(update=details))

    async def limit(
        self, handle: str, limits: model.Limits, word: records.PersonWord | None = None
    ) -> records.RunRecord:
        """Returns a run, with those of its ceilings changed that `limits` names; `word` is a person's on a raise.

        Raises:
            NotAllowed: the configuration does not allow so much, or a ceiling rises and nobody has agreed.
            StaleVersion: a person has agreed for another plan, or to another raise.
        """
        run_id, principal = await self.handles.run_id(handle), self.handles.principal
        record = await self.store.run(run_id, principal=principal)
        if not limits.model_fields_set or record.state in model.RUN_FINAL:
            return record
        whole, ceilings, offer = await self._offered(run_id, limits)
        if offer is not None:
            offer.refuse(word)
        basis = records.LimitBasis(whole.run.limits, whole.plan.version, word if offer else None)
        await self.store.advance(run_id, records.Step(now=self.clock(), limits=ceilings, basis=basis))
        self.engine.poke(run_id)
        return await self.store.run(run_id, principal=principal)

    async def offer_raise(self, handle: str, limits: model.Limits) -> approvals.RaiseOffer | None:
        """Returns what a person would have to agree to for a run to have these ceilings; None when nothing rises.

        Raises:
            NotAllowed: the configuration does not allow so much.
        """
        run_id = await self.handles.run_id(handle)
        record = await self.store.run(run_id, principal=self.handles.principal)
        return None if record.state in model.RUN_FINAL else (await self._offered(run_id, limits))[2]

    async def _offered(
        self, run_id: str, limits: model.Limits
    ) -> tuple[records.WholeRun, model.Limits, approvals.RaiseOffer | None]:
        self._refuse_depth(limits)
        whole = await self.store.whole_run(run_id, principal=self.handles.principal)
        ceilings = budget.limits_in_force(budget.with_changes(whole.run.limits, limits), self.rules.ceilings)
        return whole, ceilings, approvals.raise_offer(whole, await self.store.spend(run_id), limits, ceilings)

    def _refuse_depth(self, limits: model.Limits) -> None:
        deepest = min(limits.depth, self.rules.depth_limit)
        if self.rules.depth >= deepest:
            raise errors.NotAllowed(
                f"This server runs inside a worker at depth {self.rules.depth}; the limit is {deepest}.",
                hint="Return the sub-tasks to your orchestrator in the handoff's open_questions.",
            )
