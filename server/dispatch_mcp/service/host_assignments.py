"""The host as a worker: it is handed ready tasks as assignments, and keeps its leases while it stays in contact."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import anyio

from dispatch_mcp import errors, model, next_steps
from dispatch_mcp.agents import catalog
from dispatch_mcp.engine import attempt_driver, briefing, council_rounds, order_builder, run_view, task_kinds
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.model import assignments, records, short_ids, transitions, work_order
from dispatch_mcp.runs import prompt_builder, report_reader, step_choice, task_isolation
from dispatch_mcp.service import messaging
from dispatch_mcp.store.looks import host_begins
from dispatch_mcp.text import attempt_names

Assign = Callable[..., assignments.Assignment]
"""`workers.host.assignment`, handed in."""

Hooks = Literal["full", "report", "off"]


@dataclass(frozen=True, slots=True)
class HostAssignments:
    """Prepares attempts for the host; `installed` are the subagents that it has by name.

    `hooks` is what the hooks of the calling session do: with "full" an assignment only names its attempt, and the brief
    comes when the host begins it; with "report" a brief says which attempt it is of, so that its end is recognised.
    `lease_s` is how long it has an attempt without a deadline. Briefs that follow are finished `beside` the runs;
    without that, when somebody reads them.
    """

    driver: attempt_driver.AttemptDriver
    agents: catalog.Catalog
    installed: Collection[str]
    assign: Assign
    hooks: Hooks = "off"
    beside: run_engine.Beside | None = None
    lease_s: float = 1800.0

    async def of(
        self, view: run_view.RunView, task_ids: Collection[str], mail: records.Mail, *, new: Collection[str]
    ) -> tuple[list[assignments.Assignment], list[records.Delivery]]:
        """Returns the assignments of these running host tasks, in plan order, and which messages their briefs hold.

        Those that are not `new` were handed out before and say so; what came since then is not in the brief that their
        subagent has.
        """
        rows = [row for row in view.tasks if row.id in task_ids]
        orders = self._orders(view, mail)
        await orders.read_results(dep for row in rows for dep in view.spec(row.id).deps)
        preparations = await self._all_prepared(orders, view, rows)
        out: list[assignments.Assignment] = []
        deliveries: list[records.Delivery] = []
        for row, (work, beat) in zip(rows, preparations, strict=True):
            newest = _newest(view, row)
            handout = await self._assignment(work, lease_until=newest.lease_until, background=len(rows) > 1)
            if self.hooks == "full" and host_begins.CALL not in beat:
                lease_s = view.deadline_s(row.id)
                await self._keep_call(work, beat, handout.call, self.lease_s if lease_s is None else lease_s)
            out.append(handout if row.id in new else _repeated(handout, view.now - newest.started_at))
            if row.id in new:
                deliveries += [records.Delivery(note.id, row.id, "brief", row.attempt) for note in work.messages]
        late = [row for row, ready in zip(rows, preparations, strict=True) if ready.work.follows]
        if late and self.beside is not None:
            self.beside(functools.partial(self._finish, view, late))
        return out, deliveries

    async def prompt(self, view: run_view.RunView, row: records.TaskRecord) -> str:
        """Returns the whole prompt of a task's newest attempt, with what is gathered for it now."""
        orders = self._orders(view, await self.driver.store.mail(view.run.id))
        newest = view.attempts.get(row.id) or await orders.store.newest_attempt(view.run.id, row.id)
        ready = await self.driver.for_reader.prepare(await _order(orders, view, row, newest), begun=True)
        kind = task_kinds.kind_of(ready.work.task, ready.work.worker)
        return self._with_role(kind, ready.work, kind.brief(ready.work)).text

    async def _finish(self, view: run_view.RunView, rows: Sequence[records.TaskRecord]) -> None:
        """Keeps the briefs that were not ready when these tasks were handed out, and the figures of their packs."""
        orders, store = self._orders(view, await self.driver.store.mail(view.run.id)), self.driver.store
        for row in rows:
            newest = await store.newest_attempt(view.run.id, row.id)
            ready = await self.driver.prepare(await _order(orders, view, row, newest), begun=True)
            if ready.work.gap:  # whoever reads it gets what there is then
                await store.note(view.run.id, [briefing.gap_event(ready.work)])
                continue
            kind = task_kinds.kind_of(ready.work.task, ready.work.worker)
            text = self._with_role(kind, ready.work, kind.brief(ready.work)).text
            await store.keep_brief(view.run.id, row.id, row.attempt, text)
            beat = (await store.newest_attempt(view.run.id, row.id)).beat
            await store.beat(view.run.id, row.id, row.attempt, {**beat, **ready.beat}, after=beat)

    def _with_role(
        self, kind: task_kinds.TaskKind, work: work_order.WorkOrder, brief: prompt_builder.Prompt
    ) -> prompt_builder.Prompt:
        """Returns a brief for whoever opens it: with the role of its agent, unless the host has a subagent for that."""
        agent = kind.agent(work.agent, self.agents)
        is_needed = agent is not None and agent.name not in self._subagents(kind, work)
        return brief.with_role(agent.body, agent.name, is_instruction=agent.trusted) if agent and is_needed else brief

    def _subagents(self, kind: task_kinds.TaskKind, work: work_order.WorkOrder) -> Collection[str]:
        """Returns which of the host's subagents may do the task under their own role: none where another stands in."""
        return () if work.subagent else kind.subagents(self.installed)

    def _orders(self, view: run_view.RunView, mail: records.Mail) -> order_builder.OrderBuilder:
        fill = functools.partial(order_builder.with_agent, agents=self.agents)
        return order_builder.OrderBuilder(self.driver.store, view.run, view.plan, fill, mail=mail)

    async def _all_prepared(
        self, orders: order_builder.OrderBuilder, view: run_view.RunView, rows: Sequence[records.TaskRecord]
    ) -> list[attempt_driver.Prepared]:
        """Returns the orders of a wave as their workers read them, prepared side by side: they share most of it.

        How the workspace is for those that begin is kept where any process finds it.
        """
        preparations, refusals = dict[str, attempt_driver.Prepared](), list[errors.DispatchError]()

        async def prepare(row: records.TaskRecord) -> None:
            newest = _newest(view, row)
            try:
                preparations[row.id] = await self._prepared(await _order(orders, view, row, newest), newest)
            except errors.DispatchError as refusal:
                refusals.append(refusal)

        async with anyio.create_task_group() as group:
            for row in rows:
                group.start_soon(prepare, row)
        beats = {
            (row.id, row.attempt): preparations[row.id].beat
            for row in rows
            if row.id in preparations and not _newest(view, row).beat and preparations[row.id].beat
        }
        await self.driver.store.beats(view.run.id, beats)
        for refusal in refusals:
            raise refusal
        return [preparations[row.id] for row in rows]

    async def _prepared(self, work: work_order.WorkOrder, newest: records.NewestAttempt) -> attempt_driver.Prepared:
        """Returns the order as its worker reads it, with the heartbeat of its attempt."""
        ready = await self.driver.at_once.prepare(work, begun=bool(newest.beat))
        return ready._replace(beat=newest.beat) if newest.beat else ready

    async def _assignment(
        self, work: work_order.WorkOrder, *, lease_until: float | None, background: bool
    ) -> assignments.Assignment:
        """Returns the assignment of an order; what was gathered goes by reference if it is long.

        A brief that the host should not hold is a file of our own too, for subagents that cannot read resources. That
        of a reviewer always is one: the host that starts several holds none of them. One that follows is none yet.
        """
        kind = task_kinds.kind_of(work.task, work.worker)
        reference = f"dispatch://runs/{short_ids.short(work.run_id)}/tasks/{work.task.id}/prompt"
        whole = kind.brief(work)
        subagents = self._subagents(kind, work)
        file = ""
        if not work.follows and (
            self.hooks == "full" or kind.by_reference or len(whole.text) > assignments.INLINE_LIMIT
        ):
            full = self._with_role(kind, work, whole).text
            path = await self.driver.store.keep_brief(work.run_id, work.task.id, work.attempt, full)
            file = str(path or "")
        if self.hooks == "full":
            return self._named(work, self.assign(work, whole, known_subagents=subagents, background=background))
        places = prompt_builder.places(reference, work, file)
        is_long = work.follows or (bool(file) and bool(work.gathered or work.guides))
        short = replace(work, gathered=(), guides=(), gathered_at=places) if is_long else work
        handout = self.assign(
            short,
            kind.brief(short),
            known_subagents=subagents,
            prompt_ref=reference,
            prompt_file=file,
            lease_until=lease_until,
            background=background,
            brief=kind.by_reference,
        ).model_copy(update={"timeout_s": work.timeout_s, "gap": work.gap})
        return _marked(work, handout) if self.hooks == "report" else handout

    def _named(self, work: work_order.WorkOrder, whole: assignments.Assignment) -> assignments.Assignment:
        """Returns the assignment of a host whose hooks know attempts by name: one short line instead of the brief."""
        name = attempt_names.short(work.run_id, work.task.id, work.attempt)
        return assignments.Assignment(
            task_id=work.task.id,
            attempt=work.attempt,
            agent=work.agent or "",
            in_place_of=whole.in_place_of,
            call=whole.call.model_copy(update={"prompt": str(name)}),
            timeout_s=work.timeout_s,
            gap=work.gap,
        )

    async def _keep_call(
        self, work: work_order.WorkOrder, beat: Mapping[str, model.Json], call: assignments.HostCall, lease_s: float
    ) -> None:
        """Keeps how an attempt is to be called, and how long it may take, unless `beat` has changed since."""
        words = call.model_dump(mode="json", exclude={"prompt"}, exclude_none=True)
        details = {**beat, host_begins.CALL: words, host_begins.LEASE: lease_s}
        await self.driver.store.beat(work.run_id, work.task.id, work.attempt, details, after=beat)


def _marked(work: work_order.WorkOrder, handout: assignments.Assignment) -> assignments.Assignment:
    """Returns an assignment whose prompt begins with the name of its attempt."""
    mark = attempt_names.short(work.run_id, work.task.id, work.attempt).mark
    call = handout.call.model_copy(update={"prompt": f"{mark}\n{handout.call.prompt}"})
    return handout.model_copy(update={"call": call})


def _newest(view: run_view.RunView, row: records.TaskRecord) -> records.NewestAttempt:
    return view.attempts.get(row.id) or records.NewestAttempt(row.id)


def _repeated(handout: assignments.Assignment, out_s: float) -> assignments.Assignment:
    """Returns an assignment that was handed out so many seconds ago and is only repeated."""
    return handout.model_copy(update={"already_out": f"for {next_steps.duration(out_s)}"})


async def _order(
    orders: order_builder.OrderBuilder,
    view: run_view.RunView,
    row: records.TaskRecord,
    newest: records.NewestAttempt,
) -> work_order.WorkOrder:
    """Returns the order of a task's newest attempt, whoever carries it out."""
    notices = task_isolation.host_notices(view.spec(row.id), view.run.id, has_merged=view.has_merged)
    return await orders.order(records.start_of(row), newest, notices)


class Handover(NamedTuple):
    """What a call of the host is answered with: the run, assignments, and what there is to say of messages.

    `by_name` is whether the assignments only name their attempts.
    """

    view: run_view.RunView
    assignments: tuple[assignments.Assignment, ...] = ()
    news: messaging.News = messaging.News()
    mail: records.Mail = records.Mail()
    by_name: bool = False

    def next_step(self) -> next_steps.NextStep:
        """Returns what to do next."""
        repeats = sum(bool(handout.already_out) for handout in self.assignments)
        new, news = len(self.assignments) - repeats, self.news
        step = self.view.next_step(step_choice.Handouts(new, repeats, news.active, news.late, news.notes_at))
        return replace(step, by_name=self.by_name)


class Closed(NamedTuple):
    """A run after closing what needs nobody: which tasks have begun with the host, and how those closed have ended."""

    view: run_view.RunView
    starts: frozenset[str]
    outcomes: Mapping[str, model.Outcome]


@dataclass(frozen=True, slots=True)
class HostContact:
    """What happens whenever the host calls: leases are renewed, ready tasks are handed out, needless ones closed.

    `lease_s` is how long the host has for an attempt without a deadline, in seconds, counted from its last call.
    """

    host: HostAssignments
    principal: str
    clock: Callable[[], float]
    lease_s: float

    def step(self, ends: Sequence[transitions.Finished] = (), *, received_at: float | None = None) -> records.Step:
        """Returns the step of a run that a call of the host makes; `received_at` is when it reported these ends."""
        return records.Step(
            now=self.clock(),
            finished=ends,
            start=transitions.HOST_WORKERS,
            lease_s=self.lease_s,
            renew=True,
            received_at=received_at,
        )

    async def hand_out(self, run_id: str) -> Handover:
        """Returns the run as it is, and the assignments of all tasks out with the host: new ones and repeated ones."""
        advance = await self.host.driver.store.advance(run_id, self.step())
        change = await self.close_needless(run_id, {start.task_id for start in advance.starts})
        out = {row.id for row in change.view.tasks if report_reader.is_out(row)}
        return await self.hand_over(change.view, out, new=change.starts, again=True)

    async def hand_over(
        self,
        view: run_view.RunView,
        task_ids: Collection[str],
        *,
        new: Collection[str],
        again: bool = False,
        room: int = messaging.NOTES_CHARS,
    ) -> Handover:
        """Returns the assignments of these tasks, and what there is to say of messages in `room` characters.

        With `again` also what was said before. What the answer says is recorded before it is given.
        """
        store = self.host.driver.store
        mail = await store.mail(view.run.id)
        handouts, briefs = await self.host.of(view, task_ids, mail, new=new)
        mail = mail._replace(deliveries=(*mail.deliveries, *briefs))
        news = messaging.news(view, mail, again=again, room=room)
        await store.deliver(view.run.id, [*briefs, *news.deliveries])
        return Handover(view, tuple(handouts), news, mail, by_name=self.host.hooks == "full")

    async def close_needless(self, run_id: str, starts: Collection[str]) -> Closed:
        """Returns a run as it is after closing what is out with the host and turned out to need nobody.

        What was closed may have been what others waited for, so what can begin since begins. `starts` have begun just
        now.
        """
        driver, fresh = self.host.driver, frozenset(starts)
        outcomes: dict[str, model.Outcome] = {}
        while True:
            view = await council_rounds.load(driver.store, run_id, self.principal)
            needless = await driver.close_needless(view, self.clock())
            outcomes |= needless
            fresh -= needless.keys()
            if not needless:
                return Closed(view, fresh, outcomes)
            advance = await driver.store.advance(run_id, self.step())
            fresh |= {start.task_id for start in advance.starts}
