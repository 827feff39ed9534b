"""The transactions that move runs. Everything here runs on the writer's thread, inside its open transaction.

Who may move a run: its owner, who shows the epoch under which it adopted it (`_fence`), or anybody who makes a contact
of the host, as its attempts belong to no process of ours. The host's own attempts are held to by leases instead: each
contact renews them, and those that have lapsed are taken back when the next host asks for work (`_expire`), not by a
clock of ours, so that nothing is lost while nobody would do it anyway. The lease of a task with a deadline ends with
it, whoever is in contact; what is reported later is turned away (`_hold_deadlines`).
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dispatch_mcp import errors, model
from dispatch_mcp.model import ports, records, short_ids, transitions
from dispatch_mcp.planning import forecast
from dispatch_mcp.runs import budget, ledger, request_reuse, state_machine
from dispatch_mcp.store import codec, failpoints, finished_work, messages, owner_locks, plan_shelf, samples, table_rows
from dispatch_mcp.store.outbox import alert_reasons

K = TypeVar("K")
V = TypeVar("V")

CORES = 32
"""How many runs are kept in memory: more than one server drives at a time. What falls out is read again."""

STEP_BACK_S = 1.0
"""Seconds: a clock that goes back by more than this has jumped; smaller steps are its discipline (Linux slews up to
half a second) or two processes that did not read it in the order in which they wrote."""

_SELECT_PLAN = "SELECT document FROM plan WHERE id = ? AND version = ?"
_LEASED = "SELECT no FROM task WHERE run = ? AND worker = 'host' AND state = 'running'"
_EXPIRED = """
SELECT task.id FROM task JOIN attempt ON attempt.task = task.no AND attempt.attempt = task.attempt
WHERE task.run = ? AND task.worker = 'host' AND task.state = 'running' AND attempt.lease_until <= ?
"""
_RENEW = f"""
UPDATE attempt SET lease_until = ? WHERE state = 'running' AND lease_until < ?
  AND task IN ({_LEASED} AND id NOT IN (SELECT value FROM json_each(?)))
"""  # noqa: S608  # constants
_SHIFT_LEASES = f"UPDATE attempt SET lease_until = lease_until - ? WHERE state = 'running' AND task IN ({_LEASED})"  # noqa: S608
_SHIFT_RETRIES = "UPDATE task SET ready_at = max(0.0, ready_at - ?) WHERE run = ? AND ready_at > 0.0"
_SELECT_RECORD = f"SELECT {table_rows.RUN_COLUMNS}, {table_rows.COUNTS} FROM run WHERE id = ?"  # noqa: S608
_OPEN_OF_PLAN = "SELECT id FROM run WHERE plan_id = ? AND principal = ? AND finished_at IS NULL ORDER BY no"
_NEWEST_VERSION = "SELECT max(version) FROM plan WHERE id = ?"
_REOPENING = ("retry", "skip")  # what opens a run again that is over

_EDIT_RUN = "UPDATE run SET plan_version = ?, server_driven = ? WHERE no = ?"
_SET_LIMITS = "UPDATE run SET limits = ? WHERE no = ?"
_FAILED_DRIVES = """
SELECT count(*) FROM event WHERE run = ?1 AND kind = 'drive_failed' AND seq > coalesce(
  (SELECT max(seq) FROM event WHERE run = ?1 AND kind IN ('attempt_finished', 'task_retried', 'plan_edited')), 0)
"""
"""How many drives of a run have failed since it last got anywhere."""

MOST_FAILED_DRIVES = 4
"""As many in a row end what only a drive can go on with: with their pauses that is some seconds, in which a machine
that was short of something has had its chance."""

_OWNED = "SELECT id FROM run WHERE owner = ? AND finished_at IS NULL"


@dataclass(slots=True)
class Live:
    """A run in memory, true as of `revision`: keys and overdrafts of running tasks, ceilings said to be near."""

    core: state_machine.RunCore
    revision: int
    numbers: table_rows.Numbers
    keys: dict[str, str] = field(default_factory=dict[str, str])
    history: finished_work.WorkHistory | None = None
    near: alert_reasons.Ceilings | None = None
    overdrafts: samples.Overdrafts = field(default_factory=dict[tuple[str, int], str])


Report = tuple[transitions.Finished, "table_rows.Body | None"]
"""A reported outcome, and its text if it is work that dependants will read."""


@dataclass(slots=True)
class Transition:
    """What one transaction does to a run, besides what its core has to say. `reports` are the accepted ones."""

    now: float
    reports: Sequence[Report] = ()
    notes: list[transitions.NewEvent] = field(default_factory=list[transitions.NewEvent])
    sources: Mapping[str, int] = field(default_factory=dict[str, int])
    lease_s: float = 0.0


class Runs:
    """Runs as state machines over their rows, with the machines of recent runs kept in memory."""

    def __init__(
        self,
        home: Path,
        clock: Callable[[], float],
        shelf: plan_shelf.Shelf,
        price: forecast.Price = forecast.no_price,
        unproven_end: model.UnprovenEnd = "succeeded",
        *,
        states_of: ports.StatesOf = ports.no_states,
        warn_share: float = alert_reasons.NEVER,
    ) -> None:
        self._home = home
        self._warn_share = warn_share
        self._states_of = states_of
        self._clock = clock
        self._price = price
        self._unproven_end: model.UnprovenEnd = unproven_end
        self._live: OrderedDict[str, Live] = OrderedDict()
        self._shelf = shelf

    def forget(self) -> None:
        """Drops what is in memory, because a transaction was lost."""
        self._live.clear()

    def create(self, conn: sqlite3.Connection, new: records.NewRun) -> tuple[records.RunRecord, bool]:
        """Returns the run and whether it is new; the same principal and request key give the same run.

        Raises:
            InputError: the key belongs to the run of another request.
        """
        request = (codec.clean(new.principal), codec.clean(new.request_key))
        plan_key = (codec.clean(new.plan_id), new.plan_version)
        cells = (*request, *plan_key, codec.clean(short_ids.short(new.id)))
        run_id, birth, document, twin = conn.execute(table_rows.SELECT_REQUEST, cells).fetchone()
        if run_id is not None:
            run = table_rows.record_of_cells(conn.execute(_SELECT_RECORD, (run_id,)).fetchone())
            request_reuse.refuse(new, run, codec.load_map(birth))
            return run, False
        if document is None:
            raise table_rows.unknown_plan(new.plan_id, new.plan_version)
        plan = self._shelf.get(plan_key) or self._shelf.put(plan_key, document)
        if twin is not None:
            new = new.model_copy(update={"id": table_rows.free_id(conn, new)})
        return self._begin(conn, new, plan), True

    def _begin(self, conn: sqlite3.Connection, new: records.NewRun, plan: model.Plan) -> records.RunRecord:
        now = self._clock()
        worker = model.WorkerKind.SCRIPTED if new.dry_run else new.worker
        core = state_machine.RunCore.begin(new.id, plan, worker, force=new.dry_run, unproven_end=self._unproven_end)
        server_driven = any(row.worker in transitions.SERVER_WORKERS for row in core.rows)
        row, first = table_rows.insert_run(conn, new, worker.value, server_driven=server_driven, now=now)
        core.ledger = samples.open_ledger(conn, row, plan, self._price)
        live = Live(core, row.revision, table_rows.insert_tasks(conn, row.no, core.rows, first))
        core.drain()
        data: dict[str, model.Json] = {"plan": new.plan_id, "version": new.plan_version, "worker": worker.value}
        if new.named_limits:
            data[request_reuse.LIMITS] = new.named_limits
        row = self._persist(conn, row, live, Transition(now, notes=[transitions.NewEvent("run_created", data=data)]))
        states = Counter(task.state.value for task in core.rows)
        return table_rows.run_record(row, dict(sorted(states.items())))

    def advance(
        self, conn: sqlite3.Connection, run_id: str, step: records.Step, bodies: Sequence[table_rows.Body | None]
    ) -> records.Advance:
        """Applies one step. `bodies` are the texts of the outcomes in `step.finished`, one to one.

        Raises:
            Fenced: `step.owner` no longer owns the run.
            InputError: an action is not possible; then nothing of the step happens.
        """
        row = table_rows.run_row(conn, run_id)
        if step.owner is not None:
            _fence(row, step.owner)
        try:
            self._follow_clock(conn, row, step.now)
            return self._step(conn, row, self._load(conn, row), step, bodies)
        except BaseException:
            # The savepoint undoes the rows; the machine in memory may be half moved, so it is read again next time.
            self._live.pop(run_id, None)
            raise

    def _step(
        self,
        conn: sqlite3.Connection,
        row: table_rows.RunRow,
        live: Live,
        step: records.Step,
        bodies: Sequence[table_rows.Body | None],
    ) -> records.Advance:
        core, revision_before = live.core, row.revision
        # What was decided from an earlier state of the run is dropped with all that it says of it.
        is_stale = step.verdict is not None and step.verdict.revision != row.revision
        notes: list[transitions.NewEvent] = [] if is_stale else [*step.notes]
        if step.limits is not None:
            notes.append(budget.limits_event(step, codec.load(model.Limits, row.limits), row.plan_version))
            row = self._limit(conn, row, live, step.limits)
        if model.WorkerKind.HOST in step.start:
            self._hold_deadlines(conn, row, core, step)
        # Reports first: what a person cancels or retries in the same step sees them. Leases are looked at only when the
        # host may begin something, for only then is there anybody to do the work again.
        verdicts = tuple([core.finish(report, step.now) for report in step.finished])
        if core.over and any(action.kind in _REOPENING for action in step.actions):
            row = self._follow(conn, row, live)
        if step.actions and core.ledger is not None:
            core.ledger.remember(samples.trails(conn, row.no))
        unbegun = [end for action in step.actions if (end := _act(core, action, step.now)) is not None]
        _restart_leases(conn, row, core, step)
        if step.verdict is not None and not is_stale:
            core.settle(step.verdict.state)
        notes += _fenced(conn, live, step, verdicts)
        if model.WorkerKind.HOST in step.start:
            self._expire(conn, row, core, step.now)
        transition = Transition(step.now, notes=notes, lease_s=step.lease_s)
        pairs = zip(zip(step.finished, bodies, strict=True), verdicts, strict=True)
        transition.reports = [*(pair for pair, ok in pairs if ok), *((end, None) for end in unbegun)]
        transition.notes += messages.send_of_reports(conn, row, [report for report, _ in transition.reports], step.now)
        starts: list[transitions.Start] = []
        if step.start:
            search = self._search(conn, row, live)
            starts = core.next(step.now, step.start, step.free, search.find)
            transition.sources = search.numbers
        row = self._persist(conn, row, live, transition)
        if step.renew:
            until = step.now + step.lease_s
            conn.execute(_RENEW, (until, until, row.no, json.dumps(_bounded(core))))
        return records.Advance(
            core.state,
            row.revision,
            verdicts,
            tuple(starts),
            core.waiting_until(),
            core.running,
            plan_version=row.plan_version,
            revision_before=revision_before,
            needs_verdict=core.needs_verdict,
        )

    def _limit(
        self, conn: sqlite3.Connection, row: table_rows.RunRow, live: Live, limits: model.Limits
    ) -> table_rows.RunRow:
        """Gives the run other ceilings and takes account anew."""
        row = row._replace(limits=codec.dump(limits))
        conn.execute(_SET_LIMITS, (row.limits, row.no))
        live.core.ledger = samples.open_ledger(conn, row, live.core.plan, self._price)
        live.core.at_ceiling = False  # whether it waits at the new ones is seen, and said, by the next look
        return row

    def _hold_deadlines(
        self, conn: sqlite3.Connection, row: table_rows.RunRow, core: state_machine.RunCore, step: records.Step
    ) -> None:
        """Ends the host's attempts whose deadline had passed when this contact was made."""
        bounded_ids = _bounded(core)
        contact_at = step.now if step.received_at is None else step.received_at
        for (task_id,) in conn.execute(_EXPIRED, (row.no, contact_at)).fetchall() if bounded_ids else ():
            if task_id in bounded_ids:
                core.time_out(task_id, step.now)

    def _expire(
        self, conn: sqlite3.Connection, row: table_rows.RunRow, core: state_machine.RunCore, now: float
    ) -> None:
        """Takes back the host's attempts whose lease has run out: no crash, as it may only have forgotten them."""
        if not _out(core):
            return
        bounded_ids = _bounded(core)
        for (task_id,) in conn.execute(_EXPIRED, (row.no, now)).fetchall():
            if task_id not in bounded_ids:
                core.abandon(task_id, now, crashed=False)

    def edit(self, conn: sqlite3.Connection, plan: model.Plan, principal: str) -> None:
        """Lets every open run of a plan go on with its new version, which is recorded already.

        Raises:
            PlanRejected: one of them has begun or ended what the version changes; then nothing has happened.
        """
        open_runs = [run_id for (run_id,) in conn.execute(_OPEN_OF_PLAN, (plan.id, codec.clean(principal))).fetchall()]
        try:
            for run_id in open_runs:
                row = table_rows.run_row(conn, run_id)
                self._edit(conn, row, self._load(conn, row), plan)
        except BaseException:
            for run_id in open_runs:
                self._live.pop(run_id, None)
            raise

    def _follow(self, conn: sqlite3.Connection, row: table_rows.RunRow, live: Live) -> table_rows.RunRow:
        """Lets a run that was over go on with the newest version of its plan; edits have only moved open ones."""
        newest = conn.execute(_NEWEST_VERSION, (row.plan_id,)).fetchone()[0]
        if newest == row.plan_version:
            return row
        return self._go_on_with(conn, row, live, self._plan(conn, row.plan_id, newest))

    def _edit(self, conn: sqlite3.Connection, row: table_rows.RunRow, live: Live, plan: model.Plan) -> None:
        self._persist(conn, self._go_on_with(conn, row, live, plan), live, Transition(self._clock()))

    def _go_on_with(
        self, conn: sqlite3.Connection, row: table_rows.RunRow, live: Live, plan: model.Plan
    ) -> table_rows.RunRow:
        live.core.edit(plan, model.WorkerKind(row.worker))
        live.numbers = table_rows.place_tasks(conn, row.no, live.core.rows, live.numbers)
        live.history = None
        server_driven = any(task.worker in transitions.SERVER_WORKERS for task in live.core.rows)
        conn.execute(_EDIT_RUN, (plan.version, server_driven, row.no))
        return row._replace(plan_version=plan.version)

    def adopt(self, conn: sqlite3.Connection, run_id: str, owner_id: str) -> int | None:
        """Returns the epoch under which `owner_id` now drives the run, or None if it is over or somebody lives."""
        row = table_rows.run_row(conn, run_id)
        if row.finished_at is not None:
            return None
        if row.owner == owner_id:
            return row.epoch
        # Asked inside the transaction: of two that find the owner dead, the second sees the first one's name here.
        if row.owner is not None and owner_locks.is_alive(self._home, row.owner):
            return None
        crashed = row.owner is not None  # an owner that ends in order leaves no name (`release`)
        # The epoch only ever rises, so a former owner that wakes up (a suspended laptop) is fenced for good, although
        # its process lives.
        row = row._replace(owner=owner_id, epoch=row.epoch + 1)
        data: dict[str, model.Json] = {"owner": owner_id, "epoch": row.epoch, "crashed": crashed}
        self._change_hands(conn, row, transitions.NewEvent("run_adopted", data=data), crashed=crashed)
        return row.epoch

    def release(self, conn: sqlite3.Connection, owner_id: str) -> None:
        """Leaves every run of an owner to others; what it was running is taken back, not counted as a crash.

        The epoch stays: nobody else has written yet, and the next owner raises it.
        """
        for (run_id,) in conn.execute(_OWNED, (owner_id,)).fetchall():
            row = table_rows.run_row(conn, run_id)._replace(owner=None)
            data: dict[str, model.Json] = {"owner": owner_id}
            self._change_hands(conn, row, transitions.NewEvent("run_released", data=data), crashed=False)

    def fail_drive(self, conn: sqlite3.Connection, run_id: str, owner: records.Owner, why: str) -> None:
        """Takes a run from the owner whose drive of it has failed, and gives up what has failed too often.

        Raises:
            Fenced: the run is somebody else's.
        """
        row = table_rows.run_row(conn, run_id)
        _fence(row, owner)
        if row.finished_at is not None:
            return
        failures = conn.execute(_FAILED_DRIVES, (row.no,)).fetchone()[0] + 1
        is_last = failures >= MOST_FAILED_DRIVES
        data: dict[str, model.Json] = {"error": why, "failures": failures, "gives_up": is_last}
        note = transitions.NewEvent("drive_failed", data=data)
        self._change_hands(conn, row._replace(owner=None), note, crashed=True, gives_up=is_last)

    def _change_hands(
        self,
        conn: sqlite3.Connection,
        row: table_rows.RunRow,
        note: transitions.NewEvent,
        *,
        crashed: bool,
        gives_up: bool = False,
    ) -> None:
        now = self._clock()
        try:
            live = self._load(conn, row)
            if live.core.ledger is not None:
                live.core.ledger.remember(samples.trails(conn, row.no))
            # The host's and people's attempts belong to no process and go on, whoever drives the run.
            for task in live.core.rows:
                if task.state is model.TaskState.RUNNING and task.worker in transitions.SERVER_WORKERS:
                    live.core.abandon(task.id, now, crashed=crashed)
            if gives_up:
                live.core.give_up(transitions.SERVER_WORKERS)
            self._persist(conn, row, live, Transition(now, notes=[note]))
        except BaseException:
            self._live.pop(row.id, None)
            raise

    def _plan(self, conn: sqlite3.Connection, plan_id: str, version: int) -> model.Plan:
        plan = self._shelf.get((plan_id, version))
        if plan is None:
            cells = conn.execute(_SELECT_PLAN, (plan_id, version)).fetchone()
            if cells is None:
                raise table_rows.unknown_plan(plan_id, version)
            plan = self._shelf.put((plan_id, version), cells[0])
        return plan

    def _load(self, conn: sqlite3.Connection, row: table_rows.RunRow) -> Live:
        """Returns the run's machine, from memory if no other process has moved the run since."""
        live = self._live.get(row.id)
        if live is None or live.revision != row.revision:
            plan = self._plan(conn, row.plan_id, row.plan_version)
            live = _restored(row, plan, conn.execute(table_rows.SELECT_TASKS, (row.no,)).fetchall(), self._unproven_end)
            live.core.ledger = samples.open_ledger(conn, row, plan, self._price)
        _remember(self._live, row.id, live)
        return live

    def _search(self, conn: sqlite3.Connection, row: table_rows.RunRow, live: Live) -> finished_work.WorkSearch:
        """Returns where this step looks for work that other runs of the plan have finished."""
        if row.fresh:
            return finished_work.NOTHING
        history = live.history = live.history or finished_work.WorkHistory(row, self._home, self._states_of)
        return history.search(conn, lambda version: self._plan(conn, row.plan_id, version))

    def _follow_clock(self, conn: sqlite3.Connection, row: table_rows.RunRow, now: float) -> None:
        """Moves the run's deadlines with a clock that has jumped back, so that nothing waits the jump out.

        Forward it needs nothing: a lease or a delay then ends early, which repeats an attempt at worst (promise R12).
        """
        back = row.updated_at - now
        if back > STEP_BACK_S and row.finished_at is None:
            conn.execute(_SHIFT_LEASES, (back, row.no))
            conn.execute(_SHIFT_RETRIES, (back, row.no))
            conn.execute("UPDATE run SET updated_at = ? WHERE no = ?", (now, row.no))
            self._live.pop(row.id, None)

    def _persist(
        self, conn: sqlite3.Connection, row: table_rows.RunRow, live: Live, transition: Transition
    ) -> table_rows.RunRow:
        """Writes what has changed since the last time, and nothing if nothing has; returns the row as it is now."""
        core, now = live.core, transition.now
        changes = core.drain()
        notes = [*changes.notes, *transition.notes, *self._near(conn, row, live, now)]
        if not changes and not notes:
            return row
        state = core.state
        if state.value != row.state and state in model.RUN_FINAL:
            notes.append(transitions.NewEvent("run_finished", data={"state": state.value}))
        failpoints.hit("before_apply")
        table_rows.update_tasks(conn, live.numbers, changes.rows.values())
        _write_attempts(conn, live, changes, transition)
        live.overdrafts = samples.keep_overdrafts(conn, core, live.numbers, live.overdrafts)
        table_rows.insert_replays(conn, _replays(live, changes.notes, transition.sources))
        table_rows.insert_events(conn, row, notes, now)
        before, row = row, table_rows.moved_row(row, core, state, now=now, events=row.events + len(notes))
        table_rows.update_run(conn, before, row)
        alert_reasons.write(conn, before.state, row, core, notes)
        failpoints.hit("after_apply")
        live.revision = row.revision
        _remember(self._live, row.id, live)
        return row

    def _near(
        self, conn: sqlite3.Connection, row: table_rows.RunRow, live: Live, now: float
    ) -> list[transitions.NewEvent]:
        """Returns an event for each ceiling that the run has come near, once for each height of it."""
        share, over = self._warn_share, row.finished_at is not None
        near = [] if over else alert_reasons.near_ceilings(live.core.ledger, share, now)
        if not near:
            return []
        if live.near is None:
            live.near = alert_reasons.past_mentions(conn, row.no)
        return alert_reasons.near_notes(near, live.near, share)


def _write_attempts(conn: sqlite3.Connection, live: Live, changes: transitions.Changes, transition: Transition) -> None:
    attempts = {(report.task_id, report.attempt) for report, _ in transition.reports}
    silent = [end for end in changes.ends if (end.task_id, end.attempt) not in attempts]
    table_rows.end_attempts(conn, live.numbers, silent, transition.now)
    table_rows.report_attempts(conn, live.numbers, [report for report, _ in transition.reports], transition.now)
    table_rows.insert_results(conn, _results(live, transition.reports))
    table_rows.begin_attempts(
        conn,
        live.numbers,
        changes.starts,
        now=transition.now,
        leases=_leases(live.core, changes.starts, transition),
    )
    for start in changes.starts:
        live.keys[start.task_id] = start.key


def _out(core: state_machine.RunCore) -> list[str]:
    """Returns the tasks that are out with the host."""
    return [
        task.id for task in core.rows if task.state is model.TaskState.RUNNING and task.worker is model.WorkerKind.HOST
    ]


def _bounded(core: state_machine.RunCore) -> list[str]:
    """Returns the tasks that are out with the host and have a deadline."""
    return [task_id for task_id in _out(core) if core.deadline_s(task_id) is not None]


def _restart_leases(
    conn: sqlite3.Connection, row: table_rows.RunRow, core: state_machine.RunCore, step: records.Step
) -> None:
    """Counts the time of what the host begins only now from now on, and not from when it was handed out."""
    for action in step.actions:
        if action.kind == "begin":
            deadline_s = core.deadline_s(action.task_id)
            until = step.now + (step.lease_s if deadline_s is None else deadline_s)
            table_rows.restart_lease(conn, row.no, action.task_id, action.attempt, until)


def _leases(
    core: state_machine.RunCore, starts: Iterable[transitions.Start], transition: Transition
) -> dict[str, float]:
    """Returns until when the host has each task that begins, in seconds since the epoch; others have no lease."""
    leases: dict[str, float] = {}
    for start in starts:
        if start.worker is model.WorkerKind.HOST:
            deadline_s = core.deadline_s(start.task_id)
            leases[start.task_id] = transition.now + (transition.lease_s if deadline_s is None else deadline_s)
    return leases


def _remember(cache: OrderedDict[K, V], key: K, value: V) -> None:
    """Puts a value in front of a cache and lets the oldest go."""
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > CORES:
        cache.popitem(last=False)


def _restored(
    row: table_rows.RunRow, plan: model.Plan, tasks: list[table_rows.TaskCells], unproven_end: model.UnprovenEnd
) -> Live:
    rows = [table_rows.task_row(cells) for cells in tasks]
    # No column says that a run waits at its ceilings: it is paused without anybody having paused it.
    at_ceiling = row.state == model.RunState.PAUSED.value and not row.paused
    core = state_machine.RunCore.restore(
        row.id,
        plan,
        rows,
        paused=bool(row.paused),
        cancelled=bool(row.cancelled),
        at_ceiling=at_ceiling,
        verdict=model.RunState(row.verdict) if row.verdict else None,
        unproven_end=unproven_end,
    )
    return Live(core, row.revision, {cells[1]: cells[0] for cells in tasks})


def _fence(row: table_rows.RunRow, owner: records.Owner) -> None:
    """Raises Fenced unless the caller owns the run, or owned it last and the run is over."""
    is_owner = row.owner == owner.id or (row.owner is None and row.finished_at is not None)
    if row.epoch != owner.epoch or not is_owner:
        raise errors.Fenced(
            f"Run {row.id!r} is at epoch {row.epoch}; the owner of epoch {owner.epoch} no longer drives it.",
            hint="Stop its attempts here; whoever owns the run now has taken them over.",
        )


def _act(core: state_machine.RunCore, action: records.Action, now: float) -> transitions.Finished | None:
    """Applies an action; returns the end of an attempt that could not begin."""
    match action.kind:
        case "cancel":
            core.cancel(action.reason, by_person=action.by_person)
        case "pause":
            core.pause()
        case "resume":
            core.resume()
        case "retry":
            core.retry(action.task_id)
        case "skip":
            core.skip(action.task_id, action.reason, by_person=action.by_person)
        case "free":
            core.free(action.task_id)
        case "begin":
            # running -> ready if a ceiling does not bear it any more: nothing was spent, and no failure is counted.
            hold = core.ledger.overdrawn(action.task_id) if core.ledger is not None else None
            end = transitions.Finished(action.task_id, action.attempt, hold.unbegun()) if hold else None
            return end if end and core.finish(end, now) else None
        case "give_back":
            if core.row(action.task_id).attempt == action.attempt:
                core.abandon(action.task_id, now, crashed=False)
    return None


def _fenced(
    conn: sqlite3.Connection, live: Live, step: records.Step, verdicts: tuple[bool, ...]
) -> list[transitions.NewEvent]:
    """Returns an event for each report that came too late, and keeps what it cost."""
    notes: list[transitions.NewEvent] = []
    for report, ok in zip(step.finished, verdicts, strict=True):
        if not ok:
            if table_rows.add_late_usage(conn, live.numbers, report) and live.core.ledger is not None:
                worker = live.core.row(report.task_id).worker
                live.core.ledger.late(ledger.ended(report.task_id, report.attempt, worker, report.outcome))
            data: dict[str, model.Json] = {
                "state": str(report.outcome.state),
                "usage": report.outcome.usage.model_dump(mode="json", exclude_defaults=True),
            }
            notes.append(transitions.NewEvent("attempt_fenced", report.task_id, report.attempt, data))
    return notes


def _results(live: Live, reports: Iterable[Report]) -> list[tuple[object, ...]]:
    """Returns the rows of accepted work for `table_rows.insert_results`."""
    rows: list[tuple[object, ...]] = []
    for report, body in reports:
        key = live.keys.pop(report.task_id, "")
        if body is not None:
            digest = live.core.row(report.task_id).result
            unverified = report.outcome.unverified
            key = key or live.core.key(report.task_id)
            number = live.numbers[report.task_id]
            rows.append((number, report.attempt, key, digest, unverified, body.inline, body.blob, body.head))
    return rows


def _replays(live: Live, notes: Iterable[transitions.NewEvent], sources: Mapping[str, int]) -> list[tuple[int, int]]:
    """Returns the rows of replayed work for `table_rows.insert_replays`."""
    replays = [note for note in notes if note.kind == "task_replayed"] if sources else []
    return [(live.numbers[note.task_id], sources[str(note.data["key"])]) for note in replays]
