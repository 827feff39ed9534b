"""The store: the one record of plans, runs and everything that happened in them.

Each method is one transaction or one read. Many processes may have the same store open at once.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final, TypeVar

import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.model import ports, records, transitions
from dispatch_mcp.planning import forecast
from dispatch_mcp.routing import learning
from dispatch_mcp.store import (
    blobs,
    codec,
    health,
    messages,
    owner_locks,
    plan_shelf,
    prompt_files,
    queries,
    route_outcomes,
    run_transactions,
    samples,
    sqlite,
    table_rows,
    whereabouts,
)
from dispatch_mcp.store.attempts import attempt_rows
from dispatch_mcp.store.heartbeats import wave_looks
from dispatch_mcp.store.looks import unsettled_runs
from dispatch_mcp.store.outbox import alert_box, alert_reasons
from dispatch_mcp.store.pruning import old_runs
from dispatch_mcp.store.reader import Reader
from dispatch_mcp.store.writer import WAIT_S, Writer

T = TypeVar("T")

BIRTH_S = 1.0
"""Seconds that opening waits to make or migrate a store; reads do without it."""

RELEASE_S = 1.0
"""Seconds that a process that ends waits to leave its runs to others."""

INLINE_BYTES = 64 * 1024
"""Outcomes whose text is longer go to a blob."""

WITHHELD: Final = "[not read]"
"""What stands for an output that is there and was not asked for."""


class Store:
    """An open store; `open_store` makes one."""

    def __init__(
        self,
        home: Path,
        *,
        clock: Callable[[], float] = time.time,
        wait_s: float = WAIT_S,
        price: forecast.Price = forecast.no_price,
        unproven_end: model.UnprovenEnd = "succeeded",
        states_of: ports.StatesOf = ports.no_states,
        warn_share: float = alert_reasons.NEVER,
    ) -> None:
        self._home = home
        self._clock = clock
        self.states_of = states_of
        self._wait_s = wait_s
        self._shelf = plan_shelf.Shelf()
        self._runs = run_transactions.Runs(
            home, clock, self._shelf, price, unproven_end, states_of=states_of, warn_share=warn_share
        )
        self._writer = Writer(home, wait_s=wait_s, on_rollback=self._runs.forget)
        self._reader = Reader(home)
        self._common = wave_looks.CommonLooks(self._reader)
        self.alerts = alert_box.AlertBox(self._reader, self._writer)
        self._blobs = blobs.FileBlobs(home)
        self._briefs = prompt_files.FileBriefs(home)

    @property
    def home(self) -> Path:
        """The folder that holds everything."""
        return self._home

    @property
    def blobs(self) -> blobs.FileBlobs:
        """Bulk by reference; as durable as the store."""
        return self._blobs

    def now(self) -> float:
        """Returns the time as the store writes it down, in seconds since the epoch."""
        return self._clock()

    async def open(self) -> None:
        """Opens the file for reading, which waits for nobody; the first write opens it for writing.

        A store that is not there yet, or of an older schema, is made or migrated at once if it can be. If not, reads
        find what there is, and writes say why they cannot.

        Raises:
            StoreError: the file cannot even be read.
        """
        await anyio.to_thread.run_sync(sqlite.refuse_network, self._home)
        if not await self._reader.open():
            await self._begin()
        await anyio.to_thread.run_sync(owner_locks.sweep_owners, self._home)

    async def look(self) -> None:
        """Opens what there is for reading alone, and makes or changes nothing. Raises StoreError."""
        await self._reader.open()

    async def _begin(self) -> None:
        try:
            await self._writer.open(min(BIRTH_S, self._wait_s))
            await self._reader.open()
        except (errors.StoreUnavailable, errors.StoreBusy):
            return
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finishes what is queued and closes the file; a second call does nothing."""
        try:
            await self._reader.close()
        finally:
            await self._writer.close()

    async def save_plan(self, plan: model.Plan, principal: str, *, base_version: int | None = None) -> None:
        """Records a version of a plan.

        Raises:
            StaleVersion: the version is not the newest plus one, or `base_version` is not the newest.
            UnknownHandle: the plan belongs to somebody else.
        """
        row = await self._row_of(plan, principal)
        await self._writer.run(lambda conn: table_rows.insert_plan(conn, row, base_version))

    async def _row_of(self, plan: model.Plan, principal: str) -> table_rows.PlanRow:
        """Returns a plan as it is stored; writing thousands of tasks down takes a thread of its own."""
        document = await anyio.to_thread.run_sync(codec.dump, plan)
        return table_rows.PlanRow(plan.id, plan.version, codec.clean(principal), document, self._clock())

    async def revise(self, plan: model.Plan, principal: str, *, base_version: int) -> None:
        """Records the next version of a plan and lets its open runs go on with it, all in one transaction.

        Raises:
            StaleVersion: `base_version` is not the newest.
            PlanRejected: an open run has begun or ended what the version changes.
            UnknownHandle: the plan belongs to somebody else.
        """
        row = await self._row_of(plan, principal)

        def record(conn: sqlite3.Connection) -> None:
            table_rows.insert_plan(conn, row, base_version)
            self._runs.edit(conn, plan, principal)

        await self._writer.run(record)

    async def plan(self, plan_id: str, version: int | None = None, *, principal: str) -> model.Plan:
        """Returns a version of a plan, the newest by default. Raises UnknownHandle."""
        return await queries.plan(self._reader, self._shelf, plan_id, version, principal)

    async def plans(self, principal: str, limit: int = 20, after: str = "") -> list[model.Plan]:
        """Returns the newest versions of plans, latest first, behind the plan `after`."""
        return await queries.plans(self._reader, principal, limit, after)

    async def create_run(self, new: records.NewRun) -> tuple[records.RunRecord, bool]:
        """Returns the run and whether this call made it: a principal's request key stands for one run for ever.

        Raises:
            InputError: the key belongs to the run of another request.
            UnknownHandle: the principal has no such version of the plan.
        """
        return await self._writer.run(lambda conn: self._runs.create(conn, new))

    async def advance(self, run_id: str, step: records.Step) -> records.Advance:
        """Applies one step of a run as one transaction and returns once it is durable.

        Reports of attempts that are no longer the running one are recorded as `attempt_fenced`, not accepted.
        A step that changes nothing writes nothing.

        Raises:
            Fenced: `step.owner` no longer owns the run.
            InputError: an action is not possible in the task's state; then nothing of the step happens.
            UnknownHandle: there is no such run or task.
        """
        bodies = [_body(report.outcome) for report in step.finished]
        for place, body in enumerate(bodies):
            if body is not None and body.inline is not None and len(body.inline) > INLINE_BYTES:
                digest = await anyio.to_thread.run_sync(self._blobs.put, body.inline.encode())
                bodies[place] = table_rows.Body(None, digest, _head(step.finished[place].outcome))
        return await self._writer.run(lambda conn: self._runs.advance(conn, run_id, step, bodies))

    async def adopt(self, run_id: str, owner_id: str) -> int | None:
        """Makes `owner_id` drive an open run that nobody alive drives.

        Returns:
            The epoch that fences earlier owners, the same again for who owns the run already, or None if the run
            is over or somebody alive owns it. Running attempts of a dead owner are taken back as crashed.
        """
        return await self._writer.run(lambda conn: self._runs.adopt(conn, run_id, owner_id))

    async def release(self, owner_id: str) -> None:
        """Leaves the owner's runs to others and takes their running attempts back, not as crashed.

        Waits less than other calls: a process that is about to end does it, and without it its runs are only taken
        over as those of a process that died.
        """
        await self._writer.run(lambda conn: self._runs.release(conn, owner_id), min(RELEASE_S, self._wait_s))

    async def fail_drive(self, run_id: str, owner: records.Owner, why: str) -> None:
        """Takes a run from an owner whose drive of it has failed, and tells why; the next owner tries again.

        Its running attempts are taken back as crashed. After too many failures in a row what only a drive could go on
        with is ended instead.

        Raises:
            Fenced: somebody else owns the run.
        """
        await self._writer.run(lambda conn: self._runs.fail_drive(conn, run_id, owner, why))

    async def adoptable(
        self,
        limit: int = 100,
        *,
        own: str = "",
        drives: Collection[str] = (),
        kinds: Collection[model.WorkerKind] = transitions.SERVER_WORKERS,
    ) -> list[str]:
        """Returns open runs with work for the server that nobody alive drives, oldest first.

        So also those of the owner `own` that are not among its `drives`. Their open tasks need no other worker of the
        server than one of `kinds`.
        """
        return (await queries.adoptable(self._reader, self._home, own, drives, kinds))[:limit]

    async def kept_by(self, owner_id: str) -> dict[str, int]:
        """Returns the open runs of an owner with their revisions, oldest first."""
        return await queries.kept_by(self._reader, owner_id)

    async def begun(self, run_id: str) -> list[transitions.Start]:
        """Returns the attempts of the server's workers that run, as they began, with the ceilings they were given."""
        return await queries.begun(self._reader, self._shelf, run_id)

    async def run(self, run_id: str, *, principal: str) -> records.RunRecord:
        """Returns a run; `records.ANYBODY` reads everybody's.

        Raises:
            UnknownHandle: there is none, or it is another principal's.
        """
        return await queries.run(self._reader, run_id, principal)

    async def whole_run(self, run_id: str, *, principal: str) -> records.WholeRun:
        """Returns a run with its plan, tasks and running attempts, all of one moment. Raises UnknownHandle."""
        whole = await queries.whole_run(self._reader, self._shelf, run_id, principal)
        await self._common.fill(whole.run.id, [attempt.last_beat for attempt in whole.attempts])
        owner = whole.run.owner
        return whole._replace(is_driven=bool(owner) and owner_locks.is_alive(self._home, owner))

    async def begun_run(self, key: str, *, principal: str) -> tuple[records.RunRecord, dict[str, model.Json]] | None:
        """Returns the run of a request key with what its first request named; None if none has that key."""
        return await queries.begun_run(self._reader, principal, key)

    async def plan_to_run(self, plan_id: str, *, principal: str) -> records.PlanToRun:
        """Returns the newest version of a plan with what a new run of it meets. Raises UnknownHandle."""
        return await queries.plan_to_run(self._reader, self._shelf, plan_id, principal)

    async def newest_attempt(self, run_id: str, task_id: str) -> records.NewestAttempt:
        """Returns the newest attempt of a task with what earlier ones have left it."""
        newest = await queries.newest_attempt(self._reader, run_id, task_id)
        await self._common.fill(run_id, [newest.last_beat])
        return newest

    async def ids(self, kind: queries.Named, handle: str, principal: str) -> list[str]:
        """Returns the ids of a principal's runs or plans that begin with a handle, or whose number does; a few."""
        return await queries.ids(self._reader, kind, handle, principal)

    async def runs(
        self, principal: str, *, open_only: bool = False, limit: int = 20, after: str = ""
    ) -> list[records.RunRecord]:
        """Returns runs, latest first, behind the run `after`."""
        return await queries.runs(self._reader, principal, open_only=open_only, limit=limit, after=after)

    async def objected_workspaces(self, principal: str) -> list[str]:
        """Returns the workspaces of runs that have not ended well, in which a review may have blocked work."""
        return await unsettled_runs.objected_workspaces(self._reader, principal)

    async def objected_runs(self, principal: str, workspaces: Collection[str]) -> list[str]:
        """Returns the newest runs in some workspaces in which a review has blocked work, latest first.

        What it blocked may have been let go, or passed by a later run.
        """
        return await unsettled_runs.objected_runs(self._reader, principal, workspaces)

    async def gated_runs(self, principal: str, workspaces: Collection[str]) -> list[str]:
        """Returns the newest runs in some workspaces that ask a person, latest first.

        They begin with the earliest in which a person has refused something, or still has to decide; none without one.
        """
        return await unsettled_runs.gated_runs(self._reader, principal, workspaces)

    async def open_work(self, run_ids: Iterable[str]) -> dict[str, records.OpenWork]:
        """Returns how many tasks of each of these runs are ready or at work, by who does them."""
        return await queries.open_work(self._reader, run_ids)

    async def finished_runs(self, plan_id: str, *, principal: str) -> int:
        """Returns how many runs of a plan are over."""
        return await queries.finished_runs(self._reader, plan_id, principal)

    async def tasks(self, run_id: str) -> list[records.TaskRecord]:
        """Returns the tasks of a run in plan order."""
        return await queries.tasks(self._reader, run_id)

    async def attempts(self, run_id: str, task_id: str | None = None) -> list[records.AttemptRecord]:
        """Returns the attempts of a run, or of one of its tasks, in the order they began."""
        return await self._attempts(run_id, None if task_id is None else (task_id,))

    async def attempts_of(self, run_id: str, task_ids: Iterable[str]) -> list[records.AttemptRecord]:
        """Returns the attempts of some tasks of a run, in the order they began."""
        return await self._attempts(run_id, task_ids)

    async def _attempts(self, run_id: str, task_ids: Iterable[str] | None) -> list[records.AttemptRecord]:
        attempts = await attempt_rows.attempts(self._reader, run_id, task_ids)
        await self._common.fill(run_id, [attempt.beat for attempt in attempts])
        return attempts

    async def events(self, run_id: str, after: int = 0, limit: int = 500) -> list[model.Event]:
        """Returns up to `limit` events of a run behind number `after`; they are numbered from 1."""
        return await queries.events(self._reader, run_id, after, limit)

    async def last_event(self, run_id: str) -> int:
        """Returns the number of a run's newest event, 0 without one."""
        return await queries.last_event(self._reader, run_id)

    async def outcome(self, run_id: str, task_id: str) -> model.Outcome | None:
        """Returns the accepted outcome of a task, wherever it was made, or None."""
        return (await self.outcomes(run_id, [task_id])).get(task_id)

    async def outcomes(
        self, run_id: str, task_ids: Iterable[str], *, with_output: bool = True
    ) -> dict[str, model.Outcome]:
        """Returns the accepted outcomes of those tasks that have one."""
        return await self.of_outcomes(run_id, task_ids, lambda _, outcome: outcome, with_output=with_output)

    async def of_outcomes(
        self,
        run_id: str,
        task_ids: Iterable[str],
        view: Callable[[str, model.Outcome], T],
        *,
        with_output: bool = True,
    ) -> dict[str, T]:
        """Returns what a view makes of each accepted outcome by its task, of which only one is held at a time.

        Without `with_output` long ones are not read: `WITHHELD` may stand for their output.
        """
        bodies = await queries.bodies(self._reader, run_id, task_ids)
        if not with_output:
            bodies = {task_id: table_rows.Body(body.inline or body.head, body.blob) for task_id, body in bodies.items()}

        def read() -> dict[str, T]:
            return {task_id: view(task_id, self._outcome(body)) for task_id, body in bodies.items()}

        is_short = len(bodies) <= 1 and all(body.inline is not None for body in bodies.values())
        return read() if is_short else await anyio.to_thread.run_sync(read)

    def _outcome(self, body: table_rows.Body) -> model.Outcome:
        return codec.load(model.Outcome, self._blobs.get(body.blob or "") if body.inline is None else body.inline)

    async def spend(self, run_id: str) -> model.Usage:
        """Returns what all attempts of a run used; the cost is None if any of them has no known price."""
        return (await self.usage_and_count(run_id))[0]

    async def usage_and_count(self, run_id: str) -> tuple[model.Usage, int]:
        """Returns what all attempts of a run used, and how many of them count against a ceiling."""
        return await attempt_rows.usage_and_count(self._reader, run_id)

    async def attempt_sums(self, run_id: str) -> attempt_rows.AttemptSums:
        """Returns what the attempts of a run come to."""
        return await attempt_rows.sums(self._reader, run_id)

    async def costs(self, run_id: str, now: float, *, limit: int, skip: int = 0) -> list[attempt_rows.TaskCost]:
        """Returns what tasks of a run have used until now, the dearest first, behind those that are skipped."""
        return await attempt_rows.costs(self._reader, run_id, now, limit, skip)

    async def spans(self, run_id: str) -> list[attempt_rows.Span]:
        """Returns when attempts of a run began and ended: those that are over and that no person made."""
        return await attempt_rows.spans(self._reader, run_id)

    async def limit_reached(self, run_id: str) -> dict[str, model.Json]:
        """Returns which ceiling a run met last, as its event says, or nothing."""
        return await queries.last_data(self._reader, run_id, "limit_reached")

    async def context_tokens(self, principal: str) -> tuple[int, int]:
        """Returns the tokens of a principal's packs whose tasks named files, and of those files, each whole."""
        return await queries.context_tokens(self._reader, principal)

    async def samples(self, principal: str) -> list[forecast.Sample]:
        """Returns what the principal's newest finished tasks took; at most 500."""
        return await samples.newest(self._reader, principal)

    async def data_version(self) -> int:
        """Returns a number that differs from the last one if anything was written in between."""
        return await queries.data_version(self._reader)

    async def check(self) -> list[health.Fact]:
        """Returns what there is to say about the health of the store."""
        return await anyio.to_thread.run_sync(health.facts, self._home)

    async def learn(self, principal: str, lessons: Sequence[learning.Lesson]) -> None:
        """Adds how routes went; texts are cut to 1,000 characters and must hold no secrets."""
        if lessons:
            await self._writer.run(lambda conn: route_outcomes.learn(conn, principal, lessons))

    async def learned(self, principal: str, limit: int = 2000, *, after: int = 0) -> list[learning.Lesson]:
        """Returns the newest lessons of a principal behind number `after`, the newest last."""
        return await route_outcomes.learned(self._reader, principal, limit, after)

    async def lessons(self, principal: str) -> tuple[int, int]:
        """Returns how many lessons a principal has, and the number of the newest."""
        count = (await self.new_lessons(principal, 0))[0]
        return count.lessons, count.newest

    async def new_lessons(
        self, principal: str, limit: int, *, after: int = 0
    ) -> tuple[route_outcomes.LessonCount, list[learning.Lesson]]:
        """Returns how many lessons a principal has, and the newest `limit` of them behind number `after`."""
        return await route_outcomes.new_lessons(self._reader, principal, limit, after)

    async def forget(self, principal: str) -> int:
        """Deletes all lessons of a principal and returns how many there were."""
        return await self._writer.run(lambda conn: route_outcomes.forget(conn, principal))

    async def keep_brief(self, run_id: str, task_id: str, attempt: int, text: str) -> Path | None:
        """Keeps the whole brief of an attempt as a file of our own and returns where, if its ids name a file."""
        return await anyio.to_thread.run_sync(self._briefs.put, run_id, task_id, attempt, text)

    async def kept_brief(self, run_id: str, task_id: str, attempt: int) -> str:
        """Returns what `keep_brief` kept, or an empty string."""
        return await anyio.to_thread.run_sync(self._briefs.get, run_id, task_id, attempt)

    async def beat(
        self,
        run_id: str,
        task_id: str,
        attempt: int,
        details: dict[str, model.Json],
        *,
        after: Mapping[str, model.Json] | None = None,
    ) -> bool:
        """Keeps what an attempt wants its successor to know; returns whether it still is the running one.

        With `after` only if nothing else than that was kept until now.
        """
        shortener = wave_looks.Shortener()
        beat = shortener.short(details)
        old = () if after is None else (shortener.short(after).text, codec.dump_map(after))
        return await self._writer.run(lambda conn: messages.beat(conn, run_id, task_id, attempt, beat, old=old))

    async def beats(self, run_id: str, details: Mapping[tuple[str, int], Mapping[str, model.Json]]) -> None:
        """Keeps what running attempts want their successors to know, by task and number, all at once."""
        shortener = wave_looks.Shortener()
        shorts = {attempt: shortener.short(beat) for attempt, beat in details.items()}
        if shorts:
            await self._writer.run(lambda conn: messages.beats(conn, run_id, shorts))

    async def last_beat(self, run_id: str, task_id: str) -> dict[str, model.Json]:
        """Returns the details that the latest attempt with any left behind."""
        beat = await queries.last_beat(self._reader, run_id, task_id)
        await self._common.fill(run_id, [beat])
        return beat

    async def first_look(self, run_id: str, *, in_copy: bool) -> dict[str, model.Json]:
        """Returns what the run's first attempt left that had looked at its place: a copy, or the workspace itself."""
        beat = await queries.first_look(self._reader, run_id, in_copy=in_copy)
        await self._common.fill(run_id, [beat])
        return beat

    async def origins(self, run_id: str) -> dict[str, set[str]]:
        """Returns the files that finished work of a run has left, with their states from before it, as far as known."""
        return await queries.origins(self._reader, run_id)

    async def rivals(self, run_id: str, task_ids: Iterable[str]) -> dict[str, list[ports.Rival]]:
        """Returns by task the tasks of other runs that have been at work in the run's workspace since it began."""
        return await queries.rivals(self._reader, self._shelf, run_id, task_ids, self._clock())

    async def send(self, message: model.Message) -> int:
        """Delivers a message and returns its id; a message without a time gets the present one."""
        now = self._clock()
        return await self._writer.run(lambda conn: messages.send(conn, message, now))

    async def inbox(self, run_id: str, recipient: str | None = None, *, mark_read: bool = False) -> list[model.Message]:
        """Returns the messages of a run, to one recipient or to all, as they were before this call marked them."""
        mail = await queries.inbox(self._reader, run_id, recipient)
        unread = [message.id for message in mail if not message.read]
        if mark_read and unread:
            await self.mark_read(unread)
        return mail

    async def mail(self, run_id: str) -> records.Mail:
        """Returns the messages of a run and to whom they have come."""
        return await queries.mail(self._reader, run_id)

    async def deliver(self, run_id: str, deliveries: Sequence[records.Delivery]) -> None:
        """Records to whom messages of a run have come."""
        now = self._clock()
        if deliveries:
            await self._writer.run(lambda conn: messages.deliver(conn, run_id, deliveries, now))

    async def note(self, run_id: str, notes: Sequence[transitions.NewEvent]) -> None:
        """Adds events to a run that change nothing in it."""
        now = self._clock()
        if notes:
            await self._writer.run(lambda conn: table_rows.append_events(conn, run_id, notes, now))

    async def mark_read(self, numbers: Sequence[int]) -> None:
        """Marks messages as read, by their ids."""
        await self._writer.run(lambda conn: messages.mark_read(conn, numbers))

    async def prune_plans(
        self, plan_ids: Sequence[str], before: float, keep: Collection[str]
    ) -> tuple[int, list[old_runs.OldRun]]:
        """Removes the old runs of some of these plans, each on record; returns of how many, and which runs.

        Those that were over before a time go, in seconds since the epoch, unless they are among `keep` or something
        that stays needs them; a plan goes with its last run.
        """
        now = self._clock()
        return await self._writer.run(lambda conn: old_runs.prune_plans(conn, plan_ids, before, keep, now))


def _body(outcome: model.Outcome) -> table_rows.Body | None:
    """Returns the text of work that dependants may read; a failure's is in its attempt."""
    if outcome.state is not model.AttemptState.SUCCEEDED:
        return None
    return table_rows.Body(codec.dump(outcome, sparse=True), None)


def _head(outcome: model.Outcome) -> str | None:
    """Returns the text of an outcome without its output, None where that is long too."""
    if outcome.output is not None:
        outcome = outcome.model_copy(update={"output": WITHHELD})
    text = codec.dump(outcome, sparse=True)
    return text if len(text) <= INLINE_BYTES else None


@asynccontextmanager
async def open_store(
    home: Path,
    *,
    clock: Callable[[], float] = time.time,
    wait_s: float = WAIT_S,
    price: forecast.Price = forecast.no_price,
    unproven_end: model.UnprovenEnd = "succeeded",
    states_of: ports.StatesOf = ports.no_states,
    warn_share: float = alert_reasons.NEVER,
    begins: bool = True,
) -> AsyncGenerator[Store]:
    """Yields the store in `home`, made if it is not there; `wait_s` is how long a write may wait for its turn.

    `price` is what ceilings in dollars are counted by; `unproven_end` is how runs end that hold unverified work.
    `states_of` is asked whether finished work still stands before it is taken over. `warn_share` is the share of a
    ceiling from which a run counts as near it. Without `begins` no store is made: where there is none, an empty one
    elsewhere passes with the block.

    Raises:
        StoreError: the file cannot be used; the hint says what to do.
    """
    with nullcontext(home) if begins else whereabouts.home_of_reader(home) as folder:
        store = Store(
            folder,
            clock=clock,
            wait_s=wait_s,
            price=price,
            unproven_end=unproven_end,
            states_of=states_of,
            warn_share=warn_share,
        )
        await store.open()
        try:
            yield store
        finally:
            with anyio.CancelScope(shield=True):
                await store.close()
