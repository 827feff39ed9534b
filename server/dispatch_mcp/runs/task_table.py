"""The tasks of one run: their rows, what is derived from them, and the moves that keep both true."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, TaskState, WorkerKind, transitions
from dispatch_mcp.model.transitions import Changes, TaskRow
from dispatch_mcp.planning import graph, schedule
from dispatch_mcp.runs import dependencies, ready_queue, task_isolation

_RANK = {model.Priority.HIGH: 0, model.Priority.MEDIUM: 1, model.Priority.LOW: 2}


class TaskTable:
    """Rows by their position in the plan. Only the rows are stored; everything else is made from them by `arrange`.

    Every move is checked against `transitions.MOVES` and recorded in `changes`. What may move, and why, is decided by
    `RunCore`.
    """

    def __init__(self, plan: model.Plan, rows: Iterable[TaskRow]) -> None:
        by_id = {row.id: row for row in rows}
        self.changes = Changes()
        self.rows = [by_id.pop(task.id) for task in plan.tasks]
        self._removed = by_id
        self.arrange(plan)

    def arrange(self, plan: model.Plan) -> None:
        """Derives from the plan and the rows the graph, the queue and the counters."""
        self.graph = graph.graph_of(plan.tasks)
        self._agents = [task.agent or "" for task in plan.tasks]
        tails = schedule.tails(self.graph, [graph.DEFAULT_MINUTES[task.effort] for task in plan.tasks])
        urgencies = [(-tail, _RANK[task.priority]) for tail, task in zip(tails, plan.tasks, strict=True)]
        self.queue = ready_queue.ReadyQueue(self.rows, urgencies)
        has_result = [dependencies.is_satisfied(row) for row in self.rows]
        # How many dependencies each task waits for: counted down as they end, so that an end costs its followers only.
        self._missing = [sum(not has_result[dep] for dep in deps) for deps in self.graph.deps]
        self.subjects, self.reviews_of = _reviewing(self.graph, plan.tasks)
        self.seats_of = {
            position: tuple(self.graph.index[name] for name in task.joins if name in self.graph.index)
            for position, task in enumerate(plan.tasks)
            if task.joins
        }
        self.seats = frozenset(seat for seats in self.seats_of.values() for seat in seats)
        self._objecting = {review for review in self.subjects if transitions.is_objecting(self.rows[review])}
        self.unfinished = sum(row.state not in model.TASK_FINAL for row in self.rows)
        self._busy = {transitions.HOST_WORKERS: 0, transitions.SERVER_WORKERS: 0, transitions.HUMAN_WORKERS: 0}
        for row in self.rows:
            if row.state is TaskState.RUNNING:
                self._busy[transitions.pool(row.worker)] += 1

    @property
    def running(self) -> int:
        """How many tasks are running, those that wait for a person's answer included."""
        return sum(self._busy.values())

    @property
    def deciding(self) -> int:
        """How many tasks wait for a person's answer."""
        return self._busy[transitions.HUMAN_WORKERS]

    @property
    def waits_for_people(self) -> bool:
        """Whether nothing goes on but what waits for a person's answer."""
        return 0 < self.deciding == self.running and not any(row.state is TaskState.READY for row in self.rows)

    def busy(self, kind: WorkerKind) -> int:
        """Returns how many tasks run in the pool of a worker."""
        return self._busy[transitions.pool(kind)]

    def begin(self) -> None:
        """Records the rows of a new run and opens the tasks that wait for nothing."""
        for position, row in enumerate(self.rows):
            self._touch(row)
            if self._missing[position] == 0:
                self.ready(position)

    def start(self, position: int) -> TaskRow:
        """Begins the next attempt of a ready task."""
        row = self.rows[position]
        row.attempt += 1
        self._move(row, TaskState.RUNNING)
        self._busy[transitions.pool(row.worker)] += 1
        return row

    def end(self, row: TaskRow, state: AttemptState, error: str = "", error_kind: str = "") -> None:
        """Ends the running attempt of a task; the task itself has still to be moved."""
        self._busy[transitions.pool(row.worker)] -= 1
        self.changes.ends.append(transitions.AttemptEnd(row.id, row.attempt, state, error, error_kind))

    def ready(self, position: int, at: float = 0.0) -> None:
        """Puts a task into the queue, from `at` on; one whose dependency was sent back meanwhile waits for it again.

        If that dependency was lost meanwhile, so is the task. A review all of whose work was skipped is skipped too:
        there is nothing to review.
        """
        row = self.rows[position]
        if self._missing[position]:
            row.ready_at = 0.0
            state, cause = dependencies.standing(self.graph, self.rows, position)
            if state is not TaskState.SKIPPED:
                self._move(row, TaskState.BLOCKED)
                return
            self._skip(position, cause)
            self.skip_dependants(position)
            return
        subjects = self.subjects.get(position, ())
        if subjects and all(self.rows[subject].state is TaskState.SKIPPED for subject in subjects):
            self._skip(position, transitions.NOTHING_TO_REVIEW)
            self.release(position)
            return
        row.ready_at = at
        self._move(row, TaskState.READY)
        self.queue.add(position)

    def close(self, position: int, state: TaskState, cause: str) -> None:
        """Moves a task to a final state."""
        row = self.rows[position]
        if row.state not in model.TASK_FINAL:
            self.unfinished -= 1
        self._move(row, state)
        row.cause = cause

    def succeed(self, position: int, result: str, state: TaskState, cause: str = "") -> None:
        """Closes a task with its accepted result, and opens what waited for it; `cause` is what is said of it."""
        self.rows[position].result = result
        self.close(position, state, cause)
        self.release(position)
        self.drop_objections(position)

    def take_over(self, position: int, key: str, earlier: transitions.EarlierResult) -> bool:
        """Returns whether a task is done by what an earlier run has finished; says so where that does not stand."""
        row = self.rows[position]
        if not self._is_reviewed_by(position, earlier.open_reviews):
            return False
        if earlier.gap:
            cause = f"{transitions.STALE}{earlier.gap}"
            if row.cause != cause:
                self.note("result_stale", row, {"why": earlier.gap})
                self.mark(position, cause)
            return False
        self.note("task_replayed", row, {"key": key})
        self.succeed(position, earlier.digest, TaskState.UNVERIFIED if earlier.unverified else TaskState.SUCCEEDED)
        row.cause = transitions.REPLAYED
        return True

    def is_always_new(self, position: int, task: model.Task) -> bool:
        """Returns whether nothing can be taken over for a task, whoever has done the same before.

        What has begun is done here, and what a review sent back is to be done otherwise; a verdict holds for the work
        that it is about, which was done anew unless all of it was taken over as well.
        """
        row = self.rows[position]
        if row.worker is WorkerKind.COMMAND or task_isolation.is_own(task, row.worker):
            return True
        subjects = self.subjects.get(position, ())
        return (
            row.attempt > 0
            or row.rounds > 0
            or any(self.rows[subject].cause != transitions.REPLAYED for subject in subjects)
        )

    def release(self, position: int) -> None:
        """Opens the tasks that waited last for this one, which is satisfied now."""
        for follower in self.graph.dependents[position]:
            self._missing[follower] -= 1
            if self._missing[follower] == 0 and self.rows[follower].state is TaskState.BLOCKED:
                self.rows[follower].cause = ""
                self.ready(follower)

    def skip_dependants(self, position: int) -> None:
        """Closes what waits for a task that is lost, directly or through others."""
        cause = transitions.UPSTREAM + self.rows[position].id
        for follower in dependencies.blocked_downstream(self.graph, self.rows, position):
            self._skip(follower, cause)

    def _skip(self, position: int, cause: str) -> None:
        self.note("task_skipped", self.rows[position], {"by": cause})
        self.close(position, TaskState.SKIPPED, cause)

    def open_seats_of(self, position: int) -> list[int]:
        """Returns the seats of a council that have not ended; none for any other task."""
        seats = self.seats_of.get(position, ())
        return [seat for seat in seats if self.rows[seat].state not in model.TASK_FINAL]

    def open_seats(self, position: int) -> None:
        """Has the seats of a council asked again that have ended, also those that came to no verdict."""
        for seat in self.seats_of.get(position, ()):
            if self.rows[seat].state in model.TASK_DONE:
                self.forgive(seat)
                self.withdraw(seat)

    def await_mending(self, position: int) -> None:
        """Lets a review wait until what it blocks is done again."""
        row = self.rows[position]
        row.failures = row.crashes = row.host_losses = 0
        self._move(row, TaskState.BLOCKED)
        row.cause = transitions.NEEDS_CHANGES
        self._objecting.add(position)

    @property
    def objecting(self) -> set[int]:
        """The reviews that wait until what they block is done again."""
        self._objecting = {review for review in self._objecting if transitions.is_objecting(self.rows[review])}
        return self._objecting

    def mark(self, position: int, cause: str) -> None:
        """Says of a task why it stands where it does."""
        self.rows[position].cause = cause
        self._touch(self.rows[position])

    def free(self, position: int) -> None:
        """Ends the dispute about blocked files that accepted work has changed; what is in no dispute stays as it is."""
        row = self.rows[position]
        if row.cause.startswith(transitions.DISPUTED) and row.state in model.TASK_DONE:
            self.note("files_freed", row)
            self.mark(position, "")

    def drop_objections(self, position: int) -> None:
        """Clears what reviews say against work that all who were asked now pass, or that nobody waits for to pass it.

        A review that is retried, or cancelled then, has not taken back what it said.
        """
        for subject in self.subjects.get(position, ()):
            reviews = [self.rows[review] for review in self.reviews_of[subject]]
            if self.rows[subject].cause == transitions.NEEDS_CHANGES and not any(map(transitions.is_awaited, reviews)):
                self.mark(subject, "")

    def _is_reviewed_by(self, position: int, reviews: Iterable[str]) -> bool:
        """Returns whether all of these reviews judge a task."""
        return {self.rows[review].id for review in self.reviews_of.get(position, ())}.issuperset(reviews)

    def replace_agent(self, position: int, stand_in: model.StandIn) -> None:
        """Puts a task back whose agent could not be started, for whoever stands in."""
        row = self.rows[position]
        before = row.stand_ins[-1].agent if row.stand_ins else self._agents[position]
        data: dict[str, model.Json] = {"agent": before, "by": stand_in.agent}
        if stand_in.subagent:
            data["subagent"] = stand_in.subagent
        self.note("agent_replaced", row, data)
        row.stand_ins += (stand_in,)
        row.cause = transitions.NO_AGENT
        self.ready(position)

    def count_fault(self, position: int, cause: str) -> None:
        """Counts what ended an attempt and was nobody's failure."""
        if cause == transitions.HOST_LOST:
            self.rows[position].host_losses += 1
        else:
            self.rows[position].crashes += 1

    def forgive(self, position: int) -> None:
        """Lets everything that counts against a closed task count from nothing; work was sent back all the same.

        Its own agent gets another try too: whoever retries may have installed it.
        """
        row = self.rows[position]
        row.failures = row.crashes = row.host_losses = 0
        row.stand_ins = ()
        if position in self.subjects:
            row.rounds = 0

    def send_back(self, position: int) -> None:
        """Opens work that has a result, to be done again, and the reviews that passed it.

        What waits for it waits again; what has begun on it goes on, and what is done stays so.
        """
        row = self.rows[position]
        row.rounds += 1
        row.failures = row.crashes = row.host_losses = 0
        self.withdraw(position)
        row.cause = transitions.SENT_BACK

    def withdraw(self, position: int) -> None:
        """Opens a task that is done, and the reviews that passed it."""
        self.rows[position].result = ""
        for follower in self.graph.dependents[position]:
            self._missing[follower] += 1
            if self.rows[follower].state is TaskState.READY:
                self.rows[follower].ready_at = 0.0
                self._move(self.rows[follower], TaskState.BLOCKED)
        self.reopen(position)
        for review in self.reviews_of.get(position, ()):
            if self.rows[review].state in model.TASK_DONE:
                self.withdraw(review)

    def ask_again(self, task_ids: Collection[str]) -> None:
        """Opens reviews that have passed what is no longer what stands there, with the seats of a council."""
        for task_id in task_ids:
            position = self.graph.index.get(task_id, -1)
            if position in self.subjects and self.rows[position].state in model.TASK_DONE:
                self.open_seats(position)
                self.forgive(position)
                self.withdraw(position)
                self.rows[position].cause = transitions.MOVED
                self.note("review_reopened", self.rows[position], {"cause": transitions.MOVED})

    def reopen(self, position: int) -> None:
        """Moves a closed task back to where its dependencies put it; the run has one more to finish.

        It is open before it is ready: a review that has nothing left to judge is closed there and then, and counted.
        """
        row = self.rows[position]
        row.cause = ""
        self.unfinished += 1
        self._move(row, TaskState.BLOCKED)
        if self._missing[position] == 0:
            self.ready(position)

    def replace(self, plan: model.Plan, worker: WorkerKind) -> None:
        """Goes on with another version of the plan; new tasks without a worker of their own get `worker`.

        A removed task is closed and keeps its row: if it comes back, its attempts go on counting, and a report of an
        attempt from before stays fenced off.
        """
        agents = dict(zip(self.graph.ids, self._agents, strict=True))
        rows = {**self._removed, **{row.id: row for row in self.rows}}
        self.rows = [transitions.row_in_version(rows.pop(task.id, None), task, worker) for task in plan.tasks]
        self._removed = rows
        for row, task in zip(self.rows, plan.tasks, strict=True):
            if (task.agent or "") != agents.get(row.id, ""):
                row.stand_ins = ()  # they stood in for somebody else
            self._touch(row)
        for row in rows.values():
            if row.cause != transitions.REMOVED:
                if row.state is not TaskState.CANCELLED:
                    self._move(row, TaskState.SKIPPED)
                self._touch(row)
                row.cause = transitions.REMOVED
        self._settle(graph.graph_of(plan.tasks))
        self.arrange(plan)

    def _settle(self, tasks: graph.Graph) -> None:
        """Opens, holds back or skips every task that has not begun, as its dependencies now say.

        In topological order, so that each sees what has become of those before it. This is the only way from ready
        back to blocked (a dependency was added), and one of those from skipped to ready or blocked (a lost one went).
        """
        for position in tasks.order:
            row = self.rows[position]
            if transitions.is_fixed(row):
                continue
            state, cause = dependencies.standing(tasks, self.rows, position)
            if state is not row.state or row.cause == transitions.REMOVED:
                self._move(row, state)
                row.ready_at = 0.0
                row.cause = cause

    def _move(self, row: TaskRow, state: TaskState) -> None:
        if state is not row.state and state not in transitions.MOVES[row.state]:
            raise AssertionError(f"illegal move of {row.id!r}: {row.state} -> {state}")
        row.state = state
        self._touch(row)

    def _touch(self, row: TaskRow) -> None:
        self.changes.rows[row.id] = row

    def note(self, kind: str, row: TaskRow, data: Mapping[str, model.Json] | None = None) -> None:
        """Records an event of a task's present attempt."""
        self.changes.notes.append(transitions.NewEvent(kind, row.id, row.attempt, data or {}))

    def note_finished(self, row: TaskRow, outcome: model.Outcome) -> None:
        """Records the event of an attempt that somebody has reported."""
        data: dict[str, model.Json] = {"state": str(outcome.state)}
        if outcome.error_kind:
            data["error_kind"] = outcome.error_kind
        if outcome.unverified:
            data["unverified"] = True
        self.note("attempt_finished", row, data)
        if outcome.handoff.proposed_edits:
            self.note("edits_proposed", row, {"edits": list(outcome.handoff.proposed_edits)})

    def note_run(self, kind: str, task_id: str = "", data: Mapping[str, model.Json] | None = None) -> None:
        """Records an event of the whole run; `task_id` is the task that it came from, if one did."""
        self.changes.notes.append(transitions.NewEvent(kind, task_id, data=data or {}))

    def drain(self) -> Changes:
        """Returns what changed since the last call and forgets it."""
        changes, self.changes = self.changes, Changes()
        return changes


_Positions = Mapping[int, tuple[int, ...]]


def _reviewing(tasks: graph.Graph, plan: Sequence[model.Task]) -> tuple[_Positions, _Positions]:
    """Returns the work that each review judges, and the reviews of each task, both by position in the plan."""
    subjects: dict[int, tuple[int, ...]] = {}
    reviews: dict[int, tuple[int, ...]] = {}
    for position, task in enumerate(plan):
        if task.reviews:
            subjects[position] = tuple(tasks.index[name] for name in task.reviews if name in tasks.index)
            for subject in subjects[position]:
                reviews[subject] = (*reviews.get(subject, ()), position)
    return subjects, reviews
