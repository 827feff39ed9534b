"""RunCore: what may happen next in one run, as a pure state machine that every engine shares.

No clock, no I/O, no randomness: `now` is an argument (seconds since the epoch, UTC) and jitter comes from
a digest. Every change is recorded and handed out by `drain`, so that an engine can persist exactly it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, digests, transitions
from dispatch_mcp.model.transitions import Changes, Finished, Start, TaskRow
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.planning import edit_rules, graph
from dispatch_mcp.runs import budget, pacing, task_isolation

_RANK = {model.Priority.HIGH: 0, model.Priority.MEDIUM: 1, model.Priority.LOW: 2}


class RunCore:
    """The state machine of one run. Not thread-safe; cheap to rebuild from its rows with `restore`."""

    def __init__(
        self, run_id: str, plan: model.Plan, rows: Iterable[TaskRow], policy: transitions.Policy = transitions.Policy()
    ) -> None:
        self.run_id = run_id
        self.plan = plan
        self.policy = policy
        self.paused = False
        self.cancelled = False
        self.held = False
        self.ledger: budget.Ledger | None = None
        self._graph = graph.of(plan.tasks)
        durations = [graph.DEFAULT_MINUTES[task.effort] for task in plan.tasks]
        self._tails = graph.tails(self._graph, durations)
        self._specs: dict[int, str] = {}
        by_id = {row.id: row for row in rows}
        self._rows = [by_id.pop(task.id) for task in plan.tasks]
        self._gone = by_id
        self._changes = Changes()
        self._index()

    @classmethod
    def begin(
        cls,
        run_id: str,
        plan: model.Plan,
        worker: WorkerKind,
        *,
        force: bool = False,
        policy: transitions.Policy = transitions.Policy(),
    ) -> RunCore:
        """Returns a new run of `plan`; tasks without a worker of their own get `worker`, all of them if `force`."""
        rows = [TaskRow(task.id, worker if force else transitions.worker_of(task, worker)) for task in plan.tasks]
        core = cls(run_id, plan, rows, policy)
        core._specs = {position: digests.spec_digest(task) for position, task in enumerate(plan.tasks)}
        for position, row in enumerate(core._rows):
            core._touch(row)
            if core._missing[position] == 0:
                core._ready(position)
        return core

    @classmethod
    def restore(
        cls,
        run_id: str,
        plan: model.Plan,
        rows: Iterable[TaskRow],
        *,
        paused: bool = False,
        cancelled: bool = False,
        held: bool = False,
        policy: transitions.Policy = transitions.Policy(),
    ) -> RunCore:
        """Returns the run as its rows say. A row that `plan` lacks is of a task that an edit has removed."""
        core = cls(run_id, plan, rows, policy)
        core.paused, core.cancelled, core.held = paused, cancelled, held
        return core

    def _index(self) -> None:
        """Derives counters and ready queues from the rows."""
        satisfied = [self._satisfied(row) for row in self._rows]
        self._missing = [sum(not satisfied[dep] for dep in deps) for deps in self._graph.deps]
        self._queues: dict[WorkerKind, list[tuple[float, int, int]]] = {kind: [] for kind in WorkerKind}
        self._later: list[tuple[float, int]] = []
        self._throttled: dict[WorkerKind, float] = {}
        self._open = sum(row.state not in model.TASK_FINAL for row in self._rows)
        self._busy = {transitions.HOST_WORKERS: 0, transitions.SERVER_WORKERS: 0, transitions.HUMAN_WORKERS: 0}
        for position, row in enumerate(self._rows):
            if row.state is TaskState.READY:
                self._enqueue(position)
                if row.cause == transitions.RATE_LIMIT:
                    self._throttle(row.worker, row.ready_at)
            elif row.state is TaskState.RUNNING:
                self._busy[transitions.pool(row.worker)] += 1

    @staticmethod
    def _satisfied(row: TaskRow) -> bool:
        done = row.state is TaskState.SUCCEEDED or row.state is TaskState.UNVERIFIED
        return done or (row.state is TaskState.SKIPPED and row.cause == transitions.BY_USER)

    @property
    def rows(self) -> list[TaskRow]:
        """The tasks in plan order; treat as read-only."""
        return self._rows

    @property
    def over(self) -> bool:
        """Whether every task is final."""
        return self._open == 0

    @property
    def state(self) -> RunState:
        """The state of the run that its tasks add up to."""
        if not self.over:
            if self.paused or self.held:
                return RunState.PAUSED
            return RunState.WAITING_INPUT if self._only_people_left() else RunState.RUNNING
        if self.cancelled:
            return RunState.CANCELLED
        bad = sum(not self._satisfied(row) for row in self._rows)
        if bad == 0:
            return RunState.SUCCEEDED
        return RunState.FAILED if bad == len(self._rows) else RunState.PARTIAL

    @property
    def running(self) -> int:
        """How many tasks are running."""
        return sum(self._busy.values())

    def _only_people_left(self) -> bool:
        asked = self._busy[transitions.HUMAN_WORKERS]
        return 0 < asked == self.running and not any(row.state is TaskState.READY for row in self._rows)

    def row(self, task_id: str) -> TaskRow:
        """Returns the row of a task. Raises UnknownHandle."""
        return self._rows[self._position(task_id)]

    def waiting_until(self) -> float | None:
        """Returns when the earliest delayed retry becomes ready, or None."""
        return self._later[0][0] if self._later else None

    def missing(self, task_id: str) -> list[str]:
        """Returns the dependencies that a task still waits for."""
        position = self._position(task_id)
        return [self._rows[dep].id for dep in self._graph.deps[position] if not self._satisfied(self._rows[dep])]

    def upstream(self, task_id: str) -> list[str]:
        """Returns the dependencies of a task that have a result, in plan order."""
        deps = sorted(self._graph.deps[self._position(task_id)])
        return [self._rows[dep].id for dep in deps if self._rows[dep].result]

    def key(self, task_id: str) -> str:
        """Returns the key of a task's work; final only once its dependencies are."""
        position = self._position(task_id)
        if position not in self._specs:
            self._specs[position] = digests.spec_digest(self.plan.tasks[position])
        deps = (self._rows[dep] for dep in self._graph.deps[position])
        return digests.work_key(self._specs[position], [(row.id, row.result) for row in deps])

    def drain(self) -> Changes:
        """Returns what changed since the last call and forgets it."""
        changes, self._changes = self._changes, Changes()
        return changes

    def next(
        self,
        now: float,
        workers: frozenset[WorkerKind] = transitions.SERVER_WORKERS,
        free: int | None = None,
        find_result: transitions.FindResult = transitions.no_result,
    ) -> list[Start]:
        """Marks up to `free` ready tasks of these workers as running and returns them.

        Longest remaining path first, then priority, then plan order; never more than `max_parallel` at a time
        for the host and for the server's own workers each. Work that `find_result` knows is replayed instead,
        except a command's, as what it reads in the workspace is not part of its key, a change's that the run has to
        merge, and a person's: an approval holds for one run. Ready tasks of people begin too, whoever asks; they are
        not returned. Nothing begins that the ledger refuses, nor of workers whom a rate limit holds back.
        """
        starts: list[Start] = []
        if self.paused or self.cancelled:
            return starts
        self._wake(now)
        self._ask()
        workers = frozenset(kind for kind in workers if self._throttled.get(kind, 0.0) <= now)
        while free is None or len(starts) < free:
            position = self._pop(workers)
            if position is None:
                break
            row = self._rows[position]
            key = self.key(row.id)
            if self._replayed(position, key, find_result) or self._used_up(position):
                continue
            if self._refusal(position, now) is None:
                starts.append(self._started(position, key))
            else:
                self._enqueue(position)
                workers -= {row.worker}
        self._changes.starts += starts
        self._hold(now)
        return starts

    def _ask(self) -> None:
        """Begins every ready task of a person; it runs until somebody has answered."""
        queue = self._queues[WorkerKind.HUMAN]
        while queue:
            _, _, position = heapq.heappop(queue)
            if self._rows[position].state is TaskState.READY:
                self._changes.starts += [self._started(position, self.key(self._rows[position].id))]

    def finish(self, finished: Finished, now: float) -> bool:
        """Applies an outcome. Returns False, changing nothing, when the attempt is not the running one."""
        row = self.row(finished.task_id)
        if row.state is not TaskState.RUNNING or row.attempt != finished.attempt:
            return False
        position = self._position(finished.task_id)
        outcome = finished.outcome
        self._end(row, outcome.state, outcome)
        self._note_finished(row, outcome)
        if outcome.state is AttemptState.SUCCEEDED:
            self._succeed(position, digests.result_digest(outcome), unverified=outcome.unverified)
        elif outcome.state is AttemptState.CANCELLED:
            self._close(position, TaskState.CANCELLED, outcome.error_kind)
            self._skip_dependants(position)
        elif outcome.error_kind == transitions.RATE_LIMIT:
            self._hold_back(position, outcome, now)
        else:
            self._fail(position, outcome, now)
        return True

    def abandon(self, task_id: str, now: float, *, crashed: bool) -> None:
        """Takes a running attempt back: its owner died (`crashed`) or its lease ran out."""
        position = self._position(task_id)
        row = self._rows[position]
        if row.state is not TaskState.RUNNING:
            return
        row.crashes += crashed
        self._end(row, AttemptState.ABANDONED)
        self._note("attempt_abandoned", row, {"crashes": row.crashes} if crashed else {})
        if crashed and row.crashes >= self.policy.max_crashes:
            self._close(position, TaskState.FAILED, "quarantined")
            self._skip_dependants(position)
        else:
            self._ready(position, now)

    def pause(self) -> None:
        """Starts nothing until `resume`."""
        if not self.paused and not self.over:
            self.paused = True
            self._changes.notes.append(transitions.Note("run_paused"))

    def resume(self) -> None:
        """Undoes `pause`."""
        if self.paused:
            self.paused = False
            self._changes.notes.append(transitions.Note("run_resumed"))

    def cancel(self, reason: str = "") -> None:
        """Closes every open task; attempts that still run are fenced off from now on."""
        if self.over:
            return
        self.cancelled, self.paused = True, False
        self._changes.notes.append(transitions.Note("run_cancelled", data={"reason": reason}))
        for position, row in enumerate(self._rows):
            if row.state in model.TASK_FINAL:
                continue
            if row.state is TaskState.RUNNING:
                self._end(row, AttemptState.CANCELLED)
            self._close(position, TaskState.CANCELLED, reason)

    def retry(self, task_id: str) -> None:
        """Opens a failed, skipped or cancelled task again, and what was skipped because of it.

        Raises:
            InputError: the task is in a state that leaves nothing to retry.
        """
        position = self._position(task_id)
        row = self._rows[position]
        if (
            row.state not in (TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED)
            or row.cause == transitions.BY_USER
        ):
            raise errors.InputError(
                f"Task {task_id!r} is {row.state}; only a failed, cancelled or upstream-skipped task can be retried.",
                hint=NextStep(StepKind.READ_RUN, self.run_id),
            )
        self.cancelled = False
        row.failures = row.crashes = 0
        self._note("task_retried", row)
        for reopened in self._revived({position, *self._unmet(position)}):
            self._reopen(reopened)

    def skip(self, task_id: str, reason: str = "") -> None:
        """Counts an unfinished or failed task as satisfied without its work.

        Raises:
            InputError: the task has a result already, or was cancelled or skipped.
        """
        position = self._position(task_id)
        row = self._rows[position]
        if TaskState.SKIPPED not in transitions.MOVES[row.state]:
            raise errors.InputError(
                f"Task {task_id!r} is {row.state} and cannot be skipped.",
                hint="Skip a task that has not finished, or that failed.",
            )
        gate = edit_rules.undecided(task_id, self.plan.tasks, self._rows)
        if gate:
            what = "is a person's decision" if gate == task_id else f"waits for a person's decision in {gate!r}"
            decide = NextStep(StepKind.DECIDE, self.run_id, (gate,))
            raise errors.NotAllowed(f"Task {task_id!r} {what} and cannot be skipped.", hint=decide)
        self._note("task_skipped", row, {"reason": reason, "by": transitions.BY_USER})
        if row.state is TaskState.RUNNING:
            self._end(row, AttemptState.SUPERSEDED)
        self._close(position, TaskState.SKIPPED, transitions.BY_USER)
        for reopened in self._revived({position}):
            if reopened != position:
                self._reopen(reopened)
        self._release(position)

    def edit(self, plan: model.Plan, worker: WorkerKind) -> None:
        """Goes on with another version of the plan; new tasks without a worker of their own get `worker`.

        Removed tasks are closed but keep their row, so that their attempts stay fenced if they come back.

        Raises:
            PlanRejected: the version touches a task that runs or has ended, or goes round a person's decision.
        """
        refused = edit_rules.refusals(self.plan.tasks, plan.tasks, self._rows, added=self.plan.added_edges)
        if refused:
            raise errors.PlanRejected(
                f"The change has {len(refused)} problem(s); nothing was changed.",
                hint="Leave what runs or has ended as it is.",
                problems=tuple(refused),
            )
        known = {**self._gone, **{row.id: row for row in self._rows}}
        self._become(plan, [transitions.placed(known.pop(task.id, None), task, worker) for task in plan.tasks])
        self._gone = known
        for row in known.values():
            if row.cause != transitions.REMOVED:
                self._move(row, TaskState.SKIPPED)
                row.cause = transitions.REMOVED
        self._settle()
        self._index()
        self._changes.notes.append(transitions.Note("plan_edited", data={"version": plan.version}))

    def _become(self, plan: model.Plan, rows: list[TaskRow]) -> None:
        self.plan = plan
        if self.ledger is not None:
            self.ledger.replan({task.id: task for task in plan.tasks})
        self._graph = graph.of(plan.tasks)
        self._tails = graph.tails(self._graph, [graph.DEFAULT_MINUTES[task.effort] for task in plan.tasks])
        self._specs.clear()
        self._rows = rows
        for row in rows:
            self._touch(row)

    def _settle(self) -> None:
        """Opens, holds back or skips every task that has not begun, as its dependencies now say."""
        for position in self._graph.order:
            row = self._rows[position]
            if transitions.is_fixed(row):
                continue
            deps = [self._rows[dep] for dep in self._graph.deps[position]]
            lost = next((dep for dep in deps if not self._may_satisfy(dep)), None)
            waiting = not all(self._satisfied(dep) for dep in deps)
            state = TaskState.SKIPPED if lost else TaskState.BLOCKED if waiting else TaskState.READY
            if state is not row.state or row.cause == transitions.REMOVED:
                self._move(row, state)
                row.ready_at = 0.0
                row.cause = transitions.UPSTREAM + lost.id if lost else ""

    def _position(self, task_id: str) -> int:
        position = self._graph.index.get(task_id)
        if position is None:
            raise errors.UnknownHandle(
                f"Run {self.run_id} has no task {task_id!r}.", hint=NextStep(StepKind.LIST_TASKS, self.run_id)
            )
        return position

    def _pop(self, workers: frozenset[WorkerKind]) -> int | None:
        """Returns the most urgent ready task of a worker that has room, or None."""
        open_kinds = [
            kind
            for kind in workers
            if self._queues[kind] and self._busy[transitions.pool(kind)] < self.plan.max_parallel
        ]
        while open_kinds:
            kind = min(open_kinds, key=lambda kind: self._queues[kind][0])
            _, _, position = heapq.heappop(self._queues[kind])
            if self._rows[position].state is TaskState.READY:
                return position
            if not self._queues[kind]:
                open_kinds.remove(kind)
        return None

    def _replayed(self, position: int, key: str, find_result: transitions.FindResult) -> bool:
        """Returns whether the task is done by taking over what is known of its work."""
        row = self._rows[position]
        bound = row.worker is WorkerKind.COMMAND or task_isolation.is_own(self.plan.tasks[position], row.worker)
        known = None if bound else find_result(key)
        if known is None:
            return False
        self._note("task_replayed", row, {"key": key})
        self._succeed(position, known.digest, unverified=known.unverified)
        row.cause = transitions.REPLAYED
        return True

    def _used_up(self, position: int) -> bool:
        """Returns whether the task has failed because its own ceiling leaves no further attempt."""
        row = self._rows[position]
        limit = self.ledger.used_up(row.id, row.attempt) if self.ledger else ""
        if limit:
            self._note("limit_reached", row, {"limit": limit, "of": "task"})
            self._close(position, TaskState.FAILED, f"{transitions.LIMIT}{limit}")
            self._skip_dependants(position)
        return bool(limit)

    def _refusal(self, position: int, now: float) -> budget.Hold | None:
        row = self._rows[position]
        running = self.running - self._busy[transitions.HUMAN_WORKERS]
        return self.ledger.refusal(row.id, row.worker, now, running) if self.ledger else None

    def _hold(self, now: float) -> None:
        """Makes the run wait, visibly, when its ceilings let nothing begin and nothing runs."""
        hold = self._stuck(now)
        if hold is not None and not self.held:
            data: dict[str, model.Json] = hold._asdict()
            self._changes.notes.append(transitions.Note("limit_reached", hold.task_id, data=data))
        self.held = hold is not None

    def _stuck(self, now: float) -> budget.Hold | None:
        if self.ledger is None or self.running > self._busy[transitions.HUMAN_WORKERS]:
            return None
        found = None
        for queue in self._queues.values():
            while queue and self._rows[queue[0][2]].state is not TaskState.READY:
                heapq.heappop(queue)
            if queue:
                hold = self._refusal(queue[0][2], now)
                if hold is None:
                    return None
                found = found or hold
        return found

    def _started(self, position: int, key: str) -> Start:
        row = self._rows[position]
        row.attempt += 1
        self._move(row, TaskState.RUNNING)
        self._busy[transitions.pool(row.worker)] += 1
        ceiling = model.NO_LIMITS
        if self.ledger is not None:
            ceiling = self.ledger.ceiling(row.id, min(self.plan.max_parallel, self._open))
            self.ledger.begin(row.id, row.worker)
        self._note("attempt_started", row, {"worker": str(row.worker)})
        return Start(row.id, row.attempt, row.worker, key, ceiling)

    def _succeed(self, position: int, result: str, *, unverified: bool) -> None:
        row = self._rows[position]
        row.result = result
        self._close(position, TaskState.UNVERIFIED if unverified else TaskState.SUCCEEDED, "")
        self._release(position)

    def _release(self, position: int) -> None:
        for follower in self._graph.dependents[position]:
            self._missing[follower] -= 1
            if self._missing[follower] == 0 and self._rows[follower].state is TaskState.BLOCKED:
                self._ready(follower)

    def _fail(self, position: int, outcome: model.Outcome, now: float) -> None:
        row = self._rows[position]
        row.failures += 1
        if outcome.retryable and row.failures < self.plan.tasks[position].max_attempts:
            waits = outcome.error_kind != transitions.UNUSABLE
            delay = max(pacing.backoff_s(self.policy, self.run_id, row), outcome.retry_after_s or 0.0) if waits else 0.0
            self._ready(position, now + delay)
            row.cause = outcome.error_kind
        else:
            self._close(position, TaskState.FAILED, outcome.error_kind)
            self._skip_dependants(position)

    def _hold_back(self, position: int, outcome: model.Outcome, now: float) -> None:
        """Puts a task back that met a rate limit, and lets its worker begin nothing before the limit is over."""
        row = self._rows[position]
        until = now + pacing.hold_s(self.policy, self.run_id, row, outcome.retry_after_s)
        self._throttle(row.worker, until)
        self._note("rate_limited", row, {"worker": str(row.worker), "until": until})
        row.cause = transitions.RATE_LIMIT
        self._ready(position, until)

    def _throttle(self, kind: WorkerKind, until: float) -> None:
        self._throttled[kind] = max(until, self._throttled.get(kind, 0.0))

    def _skip_dependants(self, position: int) -> None:
        cause = transitions.UPSTREAM + self._rows[position].id
        stack = list(self._graph.dependents[position])
        while stack:
            follower = stack.pop()
            row = self._rows[follower]
            if row.state is TaskState.BLOCKED:
                self._note("task_skipped", row, {"by": cause})
                self._close(follower, TaskState.SKIPPED, cause)
                stack += self._graph.dependents[follower]

    def _unmet(self, position: int) -> set[int]:
        """Returns the closed tasks upstream that would keep a reopened task waiting for ever."""
        found: set[int] = set()
        stack = list(self._graph.deps[position])
        while stack:
            dep = stack.pop()
            row = self._rows[dep]
            if dep not in found and row.state in model.TASK_FINAL and not self._satisfied(row):
                found.add(dep)
                stack += self._graph.deps[dep]
        return found

    def _revived(self, seeds: set[int]) -> list[int]:
        """Returns `seeds` and every task that was closed only because of them, in plan order."""
        found = set(seeds)
        for position in self._graph.order:
            deps = self._graph.deps[position]
            if position in found or not transitions.is_closed_by_others(self._rows[position]) or found.isdisjoint(deps):
                continue
            if all(dep in found or self._may_satisfy(self._rows[dep]) for dep in deps):
                found.add(position)
        return sorted(found)

    def _may_satisfy(self, row: TaskRow) -> bool:
        return row.state not in model.TASK_FINAL or self._satisfied(row)

    def _reopen(self, position: int) -> None:
        row = self._rows[position]
        row.cause = ""
        self._open += 1
        if self._missing[position] == 0:
            self._move(row, TaskState.READY)
            row.ready_at = 0.0
            self._enqueue(position)
        else:
            self._move(row, TaskState.BLOCKED)

    def _ready(self, position: int, at: float = 0.0) -> None:
        row = self._rows[position]
        row.ready_at = at
        self._move(row, TaskState.READY)
        self._enqueue(position)

    def _enqueue(self, position: int) -> None:
        row = self._rows[position]
        if row.ready_at > 0.0:
            heapq.heappush(self._later, (row.ready_at, position))
        else:
            rank = _RANK[self.plan.tasks[position].priority]
            heapq.heappush(self._queues[row.worker], (-self._tails[position], rank, position))

    def _wake(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            _, position = heapq.heappop(self._later)
            row = self._rows[position]
            if row.state is TaskState.READY and row.ready_at <= now:
                row.ready_at = 0.0
                self._enqueue(position)

    def _close(self, position: int, state: TaskState, cause: str) -> None:
        row = self._rows[position]
        if row.state not in model.TASK_FINAL:
            self._open -= 1
        self._move(row, state)
        row.cause = cause

    def _end(self, row: TaskRow, state: AttemptState, outcome: model.Outcome | None = None) -> None:
        self._busy[transitions.pool(row.worker)] -= 1
        if self.ledger is not None:
            self.ledger.end(budget.tried(row.id, row.attempt, row.worker, outcome))
        self._changes.ends.append(transitions.AttemptEnd(row.id, row.attempt, state))

    def _move(self, row: TaskRow, state: TaskState) -> None:
        if state is not row.state and state not in transitions.MOVES[row.state]:
            raise AssertionError(f"illegal move of {row.id!r}: {row.state} -> {state}")
        row.state = state
        self._touch(row)

    def _touch(self, row: TaskRow) -> None:
        self._changes.rows[row.id] = row

    def _note(self, kind: str, row: TaskRow, data: Mapping[str, model.Json] | None = None) -> None:
        self._changes.notes.append(transitions.Note(kind, row.id, row.attempt, data or {}))

    def _note_finished(self, row: TaskRow, outcome: model.Outcome) -> None:
        data: dict[str, model.Json] = {"state": str(outcome.state)}
        if outcome.error_kind:
            data["error_kind"] = outcome.error_kind
        if outcome.unverified:
            data["unverified"] = True
        self._note("attempt_finished", row, data)
        if outcome.handoff.proposed_edits:
            self._note("edits_proposed", row, {"edits": list(outcome.handoff.proposed_edits)})
