"""RunCore: what may happen next in one run, as a pure state machine that every engine shares.

No clock, no I/O, no randomness: `now` is an argument (seconds since the epoch, UTC) and jitter comes from
a digest. Every change is recorded and handed out by `drain`, so that an engine can persist exactly it.
"""

from __future__ import annotations

from collections.abc import Iterable

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, RunState, TaskState, WorkerKind, digests, failures, short_ids, transitions
from dispatch_mcp.model.transitions import Changes, Finished, Start, TaskRow
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.planning import edit_rules, proof_edits
from dispatch_mcp.review import review_tasks
from dispatch_mcp.runs import budget, dependencies, ledger, objections, retry_policy, task_table

_HUMAN = frozenset({WorkerKind.HUMAN})
_DONE = (TaskState.SUCCEEDED, TaskState.UNVERIFIED)
"""The states of accepted work, by whether nobody proved it."""


class RunCore:
    """The state machine of one run. Not thread-safe; cheap to rebuild from its rows with `restore`.

    It decides what happens; `TaskTable` makes the moves, and tasks are known there by their position in the plan.
    """

    def __init__(
        self,
        run_id: str,
        plan: model.Plan,
        rows: Iterable[TaskRow],
        policy: retry_policy.RetryPolicy = retry_policy.RetryPolicy(),
        *,
        unproven_end: model.UnprovenEnd = "succeeded",
    ) -> None:
        self.run_id = run_id
        self.unproven_end = unproven_end
        self.plan = plan
        self.policy = policy
        self.paused = False
        self.cancelled = False
        self.at_ceiling = False
        self.verdict: RunState | None = None
        self.ledger: ledger.Ledger | None = None
        self._specs: dict[int, str] = {}
        self._tasks = task_table.TaskTable(plan, rows)

    @classmethod
    def begin(
        cls,
        run_id: str,
        plan: model.Plan,
        worker: WorkerKind,
        *,
        force: bool = False,
        policy: retry_policy.RetryPolicy = retry_policy.RetryPolicy(),
        unproven_end: model.UnprovenEnd = "succeeded",
    ) -> RunCore:
        """Returns a new run of `plan`; tasks without a worker of their own get `worker`, all of them if `force`."""
        rows = [TaskRow(task.id, worker if force else transitions.worker_of(task, worker)) for task in plan.tasks]
        core = cls(run_id, plan, rows, policy, unproven_end=unproven_end)
        core._specs = {position: digests.spec_digest(task) for position, task in enumerate(plan.tasks)}
        core._tasks.begin()
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
        at_ceiling: bool = False,
        verdict: RunState | None = None,
        policy: retry_policy.RetryPolicy = retry_policy.RetryPolicy(),
        unproven_end: model.UnprovenEnd = "succeeded",
    ) -> RunCore:
        """Returns the run as its rows say. A row that `plan` lacks is of a task that an edit has removed."""
        core = cls(run_id, plan, rows, policy, unproven_end=unproven_end)
        core.paused, core.cancelled, core.at_ceiling, core.verdict = paused, cancelled, at_ceiling, verdict
        return core

    @property
    def rows(self) -> list[TaskRow]:
        """The tasks in plan order; treat as read-only."""
        return self._tasks.rows

    @property
    def over(self) -> bool:
        """Whether every task is final."""
        return self._tasks.unfinished == 0

    @property
    def running(self) -> int:
        """How many tasks are running."""
        return self._tasks.running

    @property
    def state(self) -> RunState:
        """The state of the run that its tasks add up to."""
        if not self.over:
            if self.paused or self.at_ceiling:
                return RunState.PAUSED
            return RunState.WAITING_INPUT if self._tasks.waits_for_people else RunState.RUNNING
        if self.cancelled:
            return RunState.CANCELLED
        if self._is_council:
            return self.verdict or RunState.RUNNING
        end = objections.ending(self._tasks.rows, self._tasks.subjects, self.plan.tasks)
        is_claimed = any(row.state is TaskState.UNVERIFIED for row in self._tasks.rows)
        return RunState(self.unproven_end) if end is RunState.SUCCEEDED and is_claimed else end

    @property
    def needs_verdict(self) -> bool:
        """Whether everybody of a council's round has answered and nobody has said yet what that decides."""
        return self.over and not self.cancelled and self.verdict is None and self._is_council

    @property
    def _is_council(self) -> bool:
        """Whether the run is a round of the council, which its tasks alone do not decide."""
        return any(review_tasks.assignment_of(task) for task in self.plan.tasks[:1])

    def settle(self, verdict: RunState) -> None:
        """Takes over what a council decided, also when a person has changed that since."""
        if self.over and self._is_council and not self.cancelled:
            self.verdict = verdict

    def row(self, task_id: str) -> TaskRow:
        """Returns the row of a task. Raises UnknownHandle."""
        return self._tasks.rows[self._position(task_id)]

    def waiting_until(self) -> float | None:
        """Returns when the earliest delayed retry becomes ready, or None."""
        return self._tasks.queue.wakes_at()

    def key(self, task_id: str) -> str:
        """Returns the key of a task's work; final only once its dependencies are."""
        position = self._position(task_id)
        if position not in self._specs:
            self._specs[position] = digests.spec_digest(self.plan.tasks[position])
        deps = (self._tasks.rows[dep] for dep in self._tasks.graph.deps[position])
        return digests.work_key(self._specs[position], [(row.id, row.result) for row in deps])

    def drain(self) -> Changes:
        """Returns what changed since the last call and forgets it."""
        return self._tasks.drain()

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
        self._tasks.queue.wake(now)
        self._ask_people(now)
        workers = self._tasks.queue.unthrottled(workers, now)
        while free is None or len(starts) < free:
            position = self._tasks.queue.take(workers, self._has_room)
            if position is None:
                break
            row = self._tasks.rows[position]
            key = self.key(row.id)
            if self._replay(position, key, find_result) or self._fail_at_own_ceiling(position):
                continue
            if self._refusal(position, now) is None:
                starts.append(self._start(position, key, now))
            else:
                # Back into the queue as it was: raised limits or a cheaper outcome let it begin. Its worker begins
                # nothing else either, or small tasks would keep passing the most urgent one until the money is spent.
                self._tasks.queue.add(position)
                workers -= {row.worker}
        self._tasks.changes.starts += starts
        self._wait_at_ceiling(now)
        return starts

    def _has_room(self, kind: WorkerKind) -> bool:
        return self._tasks.busy(kind) < self.plan.max_parallel

    def _ask_people(self, now: float) -> None:
        """Begins every ready task of a person; it runs until somebody has answered."""
        while (position := self._tasks.queue.take(_HUMAN, lambda _kind: True)) is not None:
            self._tasks.changes.starts += [self._start(position, self.key(self._tasks.rows[position].id), now)]

    def _replay(self, position: int, key: str, find_result: transitions.FindResult) -> bool:
        """Returns whether the task is done by taking over what is known of its work."""
        earlier = None if self._tasks.is_always_new(position, self.plan.tasks[position]) else find_result(key)
        return earlier is not None and self._tasks.take_over(position, key, earlier)

    def _fail_at_own_ceiling(self, position: int) -> bool:
        """Returns whether the task has failed because its own ceiling leaves no further attempt."""
        row = self._tasks.rows[position]
        limit = self.ledger.used_up(row.id, row.attempt - row.false_starts) if self.ledger else ""
        if limit:
            self._tasks.note("limit_reached", row, {"limit": limit, "of": "task"})
            self._fail_for_good(position, f"{transitions.LIMIT}{limit}")
            self._send_back()
        return bool(limit)

    def _refusal(self, position: int, now: float) -> budget.Hold | None:
        if self.ledger is None:
            return None
        row = self._tasks.rows[position]
        running = self._tasks.running - self._tasks.deciding
        return self.ledger.refusal(row.id, row.worker, now, running)

    def _start(self, position: int, key: str, now: float) -> Start:
        tasks, row = self._tasks, self._tasks.rows[position]
        data: dict[str, model.Json] = {"worker": str(row.worker)}
        ceiling = model.NO_LIMITS
        if self.ledger is not None:
            room = self.plan.max_parallel - tasks.busy(row.worker)
            ceiling = self.ledger.begin(row.id, row.worker, now, min(room, tasks.unfinished - tasks.running))
            if ceiling != model.NO_LIMITS:
                data[transitions.CEILING] = ceiling.model_dump(mode="json", exclude_none=True)
        tasks.start(position)
        tasks.note("attempt_started", row, data)
        return Start(row.id, row.attempt, row.worker, key, ceiling, row.stand_ins)

    def _wait_at_ceiling(self, now: float) -> None:
        """Makes the run wait, visibly, when its ceilings let nothing begin and nothing runs.

        Set anew by every `next`, so a run leaves this state by itself once a ceiling is raised: it is not a pause.
        """
        hold = self._hold(now)
        if hold is not None and not self.at_ceiling:
            self._tasks.note_run("limit_reached", hold.task_id, hold._asdict())
        self.at_ceiling = hold is not None

    def _hold(self, now: float) -> budget.Hold | None:
        """Returns why nothing can begin, or None while anything runs or could begin."""
        if self.ledger is None or self._tasks.running > self._tasks.deciding:
            return None
        holds = [self._refusal(position, now) for position in self._tasks.queue.heads()]
        return holds[0] if holds and None not in holds else None

    def finish(self, report: Finished, now: float) -> bool:
        """Applies an outcome. Returns False, changing nothing, when the attempt is not the running one."""
        row = self.row(report.task_id)
        # The fence of promise R3. Whoever was given up (a lapsed lease, a dead owner, a cancelled or skipped task) may
        # still report; its number is then an older one, or the task no longer runs.
        if row.state is not TaskState.RUNNING or row.attempt != report.attempt:
            return False
        position, outcome = self._position(report.task_id), report.outcome
        self._end(row, outcome.state, outcome)
        self._tasks.note_finished(row, outcome)
        row.false_starts += outcome.error_kind == transitions.NO_AGENT
        if outcome.state is AttemptState.SUCCEEDED:
            cause = f"{transitions.DISPUTED}{'|'.join(outcome.disputes)}" if outcome.disputes else ""
            self._tasks.succeed(position, digests.result_digest(outcome), _DONE[outcome.unverified], cause)
            self._tasks.ask_again(outcome.asks_again)
        elif outcome.state is AttemptState.CANCELLED:
            self._tasks.close(position, TaskState.CANCELLED, outcome.error_kind)
            self._tasks.skip_dependants(position)
        elif outcome.stand_in is not None:
            # running -> ready at once, without counting a failure: the work itself never had its chance.
            self._tasks.replace_agent(position, outcome.stand_in)
        elif outcome.error_kind == transitions.RATE_LIMIT:
            self._hold_back(position, outcome, now)
        elif failures.is_ours(outcome.error_kind):
            self._tasks.count_fault(position, outcome.error_kind)
            at = now + self.policy.fault_s(self.run_id, row, outcome.error_kind)
            self._take_back(position, at, outcome.error_kind)
        elif outcome.error_kind == transitions.NEEDS_CHANGES and position in self._tasks.subjects:
            self._block(position, outcome)
        elif self.ledger is not None and ledger.stopped_by(outcome.error_kind):
            # running -> ready without counting a failure: the ceiling ended it, and `refusal` says when it goes on.
            row.cause = outcome.error_kind
            self._tasks.ready(position)
        else:
            self._fail(position, outcome, now)
        is_council = position in self._tasks.seats_of and row.cause != transitions.MOVED
        if is_council and (decision := transitions.council_decision(outcome)):
            self._tasks.note("council_decided", row, {**decision})
        self._send_back()
        return True

    def _block(self, position: int, outcome: model.Outcome) -> None:
        """Takes a review's objection: what it objects to goes back if it has rounds left, else the review has failed.

        running -> blocked while the work is done again: its judgement stands until it has judged that too.
        """
        tasks, row = self._tasks, self._tasks.rows[position]
        row.rounds += 1
        subjects = tasks.subjects[position]
        targets = [subject for subject in subjects if tasks.rows[subject].id in outcome.sends_back] or list(subjects)
        for subject in targets:
            if tasks.rows[subject].state in model.TASK_DONE:
                tasks.mark(subject, transitions.NEEDS_CHANGES)
        names: list[model.Json] = [tasks.rows[subject].id for subject in targets]
        most = self.plan.tasks[position].rounds
        tasks.note("review_blocked", row, {"round": row.rounds, "of": most, "tasks": names})
        if row.rounds < most and any(objections.can_be_mended(tasks.rows[subject]) for subject in targets):
            tasks.await_mending(position)
        else:
            self._fail_for_good(position, transitions.NEEDS_CHANGES)

    def _send_back(self) -> None:
        """Opens the work that reviews object to, as soon as all who judge it have said what they have to say.

        succeeded, unverified -> ready or blocked, and so the reviews that passed it: one round of findings, one
        attempt to mend them.
        """
        tasks = self._tasks
        if not tasks.objecting:
            return
        for review in objections.unaskable(tasks.graph, tasks.rows, tasks.objecting):
            self._fail_for_good(review, transitions.NEEDS_CHANGES)  # blocked -> failed: nobody can ask it again
        subjects = [subject for review in tasks.objecting for subject in tasks.subjects[review]]
        for subject in objections.to_send_back(tasks.rows, subjects, tasks.reviews_of):
            row = tasks.rows[subject]
            if dependencies.standing(tasks.graph, tasks.rows, subject)[0] is TaskState.SKIPPED:
                # What the work was built on is lost, so nobody can do it again: its reviews have blocked it for good.
                for review in tasks.objecting.intersection(tasks.reviews_of[subject]):
                    self._fail_for_good(review, transitions.NEEDS_CHANGES)
                continue
            tasks.note("task_sent_back", row, {"round": row.rounds + 1})
            tasks.send_back(subject)

    def _fail(self, position: int, outcome: model.Outcome, now: float) -> None:
        """Closes a failed task, or sends it back to the queue while it has attempts left."""
        row = self._tasks.rows[position]
        row.failures += 1
        is_review = position in self._tasks.subjects
        if position in self._tasks.seats_of and outcome.error_kind == transitions.MOVED:
            self._ask_seats_again(position)
            return
        if is_review and transitions.UNUSABLES.issuperset((outcome.error_kind, row.cause)):
            self._fail_for_good(position, transitions.INCONCLUSIVE)  # it was asked once more already
            return
        if not outcome.retryable or row.failures >= self.plan.tasks[position].max_attempts:
            is_mute = is_review and outcome.error_kind in transitions.UNUSABLES
            self._fail_for_good(position, transitions.INCONCLUSIVE if is_mute else outcome.error_kind)
            return
        # running -> ready: the trouble may pass, so it waits; an answer that could not be used, or is not true, was no
        # trouble of anybody's, and the next attempt is told what was wrong with it. A host's deadline was wait enough.
        is_late = row.worker is WorkerKind.HOST and outcome.state is AttemptState.TIMED_OUT
        waits = not is_late and outcome.error_kind not in (*transitions.UNUSABLES, *transitions.REFUTATIONS)
        delay = max(self.policy.backoff_s(self.run_id, row), outcome.retry_after_s or 0.0) if waits else 0.0
        row.cause = outcome.error_kind
        self._tasks.ready(position, now + delay)

    def _ask_seats_again(self, position: int) -> None:
        """Opens the seats of a council once more, as what they have judged is no longer what stands there.

        running -> blocked, and the seats succeeded, unverified -> ready; a change that moves again gets no verdict.
        """
        if self._tasks.rows[position].failures > 1:
            self._fail_for_good(position, transitions.INCONCLUSIVE)
            return
        self._tasks.open_seats(position)
        self._tasks.rows[position].cause = transitions.MOVED
        self._tasks.ready(position)

    def _fail_for_good(self, position: int, cause: str) -> None:
        """Closes a failed task and what waits for it; a seat has ended without a verdict, and its council goes on."""
        tasks, row = self._tasks, self._tasks.rows[position]
        if position in tasks.seats and row.state in (TaskState.RUNNING, TaskState.READY):
            # running, ready -> unverified: what a seat leaves open is for the decision of its council to weigh.
            tasks.close(position, TaskState.UNVERIFIED, cause)
            tasks.release(position)
            return
        tasks.close(position, TaskState.FAILED, cause)
        tasks.skip_dependants(position)

    def _hold_back(self, position: int, outcome: model.Outcome, now: float) -> None:
        """Puts a task back that met a rate limit, and lets its worker begin nothing before the limit is over.

        running -> ready without counting a failure: the work itself never had its chance, and a storm of limits must
        not use up a task's attempts (promise R11).
        """
        row = self._tasks.rows[position]
        until = now + self.policy.hold_s(self.run_id, row, outcome.retry_after_s)
        self._tasks.queue.throttle(row.worker, until)
        self._tasks.note("rate_limited", row, {"worker": str(row.worker), "until": until})
        row.cause = transitions.RATE_LIMIT
        self._tasks.ready(position, until)

    def deadline_s(self, task_id: str) -> float | None:
        """Returns the seconds that an attempt of a task of the host may take, None for no deadline."""
        return budget.deadline_s(self.plan.tasks[self._position(task_id)], self.plan.timeout_s)

    def time_out(self, task_id: str, now: float) -> None:
        """Ends a running attempt whose deadline has passed: a failure, tried again like one.

        What it used is not known yet; whoever reports it late still says so.
        """
        position = self._position(task_id)
        row = self._tasks.rows[position]
        if row.state is not TaskState.RUNNING:
            return
        seconds = self.deadline_s(task_id) or 0.0
        outcome = model.Outcome(
            state=AttemptState.TIMED_OUT,
            error=f"No result after {seconds:g} s.",
            error_kind=transitions.TIMEOUT,
            retryable=True,
        )
        self._end(row, outcome.state, error=outcome.error, error_kind=outcome.error_kind)
        self._tasks.note_finished(row, outcome)
        self._fail(position, outcome, now)

    def abandon(self, task_id: str, now: float, *, crashed: bool) -> None:
        """Takes a running attempt back: its owner died (`crashed`) or its lease ran out.

        running -> ready: nobody knows how far the attempt came, and its report would be turned away from now on, so
        the work is done again (at least once); only the number of crashes ends that, as it may be what kills.
        """
        position = self._position(task_id)
        row = self._tasks.rows[position]
        if row.state is not TaskState.RUNNING:
            return
        row.crashes += crashed
        self._end(row, AttemptState.ABANDONED)
        self._tasks.note("attempt_abandoned", row, {"crashes": row.crashes} if crashed else {})
        self._take_back(position, now, "quarantined" if crashed else "")
        self._send_back()

    def _take_back(self, position: int, at: float, cause: str) -> None:
        """Puts a task back, from `at` on; one that has met too many crashes fails for that `cause` instead."""
        if cause and self.policy.is_given_up(self._tasks.rows[position], cause):
            self._fail_for_good(position, cause)
        else:
            self._tasks.ready(position, at)

    def give_up(self, workers: frozenset[WorkerKind]) -> None:
        """Ends what these workers should do next, or all that is left for them: nobody can drive the run."""
        self.settle(RunState.INCONCLUSIVE)
        for position in dependencies.next_of(workers, self.rows):
            if self.rows[position].state not in model.TASK_FINAL:  # neither failed nor skipped with one before
                self._fail_for_good(position, transitions.FAULT)
        self._send_back()

    def pause(self) -> None:
        """Starts nothing until `resume`."""
        if not self.paused and not self.over:
            self.paused = True
            self._tasks.note_run("run_paused")

    def resume(self) -> None:
        """Undoes `pause`."""
        if self.paused:
            self.paused = False
            self._tasks.note_run("run_resumed")

    def cancel(self, reason: str = "", *, by_person: bool = False) -> None:
        """Closes every open task; attempts that still run are fenced off from now on.

        Of a person who was asked, and has not cancelled it, it is noted that the question was never answered.
        """
        if self.over:
            return
        self.cancelled, self.paused = True, False
        self._tasks.note_run("run_cancelled", data={"reason": reason})
        for position, row in enumerate(self._tasks.rows):
            if row.state in model.TASK_FINAL:
                continue
            is_unanswered = row.state is TaskState.RUNNING and row.worker is WorkerKind.HUMAN and not by_person
            if row.state is TaskState.RUNNING:
                self._end(row, AttemptState.CANCELLED)
            self._tasks.close(position, TaskState.CANCELLED, transitions.UNANSWERED if is_unanswered else reason)

    def retry(self, task_id: str) -> None:
        """Opens a failed, skipped or cancelled task again, and what was skipped because of it.

        failed, skipped, cancelled -> ready or blocked, by a person's or the host's word only. What is upstream of it
        and lost opens too, for else it would wait for ever; its attempt number goes on, so that reports of the attempts
        before stay fenced off, but what failed counts from nothing: whoever retries has removed its cause. Work that a
        review has blocked for good is sent back once more (succeeded, unverified -> ready), and the review waits for it
        (failed -> blocked) with all its rounds.

        Raises:
            InputError: the task is in a state that leaves nothing to retry.
        """
        position = self._position(task_id)
        row, rows = self._tasks.rows[position], self._tasks.rows
        blocking = objections.final_reviews(position, rows, self._tasks.reviews_of)
        if not blocking and (
            row.state not in (TaskState.FAILED, TaskState.SKIPPED, TaskState.CANCELLED)
            or row.cause in transitions.DONE_WITHOUT
        ):
            raise errors.InputError(
                f"Task {task_id!r} is {row.state}; only a failed, cancelled or upstream-skipped task can be retried.",
                hint=NextStep(StepKind.READ_RUN, self.run_id),
            )
        self.cancelled = False  # the run goes on for this task's sake; what else was cancelled stays so
        self.verdict = None
        self._tasks.note("task_retried", row)
        for target in blocking or (position,):
            self._tasks.forgive(target)
            if not blocking:
                self._tasks.open_seats(target)
        if blocking:
            self._tasks.send_back(position)
        seeds = {*blocking} or {position, *dependencies.lost_upstream(self._tasks.graph, rows, position)}
        for follower in dependencies.revived_with(self._tasks.graph, rows, seeds):
            self._tasks.reopen(follower)

    def skip(self, task_id: str, reason: str = "", *, by_person: bool = False) -> None:
        """Counts an unfinished or failed task as satisfied without its work.

        What had been skipped because the task failed opens again (skipped -> ready or blocked): its reason is gone.

        Raises:
            InputError: the task has a result already, or was cancelled or skipped.
            NotAllowed: it is, or waits for, a person's decision, or a review that objects and that no person lets go.
        """
        position = self._position(task_id)
        row = self._tasks.rows[position]
        edit_rules.refuse_skip(self.run_id, row, self.plan.tasks, self._tasks.rows, by_person=by_person)
        by = transitions.BY_USER if by_person else transitions.BY_ASSISTANT
        for target in (*self._tasks.open_seats_of(position), position):
            own = self._tasks.rows[target]
            self._tasks.note("task_skipped", own, {"reason": reason, "by": by})
            if own.state is TaskState.RUNNING:
                self._end(own, AttemptState.SUPERSEDED)
            self._tasks.close(target, TaskState.SKIPPED, by)
        for follower in dependencies.revived_with(self._tasks.graph, self._tasks.rows, {position}):
            if follower != position:
                self._tasks.reopen(follower)
        self._tasks.release(position)
        self._tasks.drop_objections(position)
        self._send_back()

    def free(self, task_id: str) -> None:
        """Takes it that a review has passed the blocked files which accepted work had changed."""
        self._tasks.free(self._position(task_id))

    def edit(self, plan: model.Plan, worker: WorkerKind) -> None:
        """Goes on with another version of the plan; new tasks without a worker of their own get `worker`.

        Removed tasks are closed but keep their row, so that their attempts stay fenced if they come back. In a run that
        is over only what has a result has ended: what failed or was cancelled may be opened again as changed.

        Raises:
            PlanRejected: the version touches a task that runs or has ended, or goes round a person's decision.
        """
        tasks, rows = self.plan.tasks, self._tasks.rows
        additions = self.plan.added_edges
        refusals = edit_rules.refusals(tasks, plan.tasks, rows, additions=additions, reopening=self.over)
        if refusals:
            raise errors.PlanRejected(
                f"Run {short_ids.short(self.run_id)} cannot go on with version {plan.version} of its plan: "
                f"{len(refusals)} problem{'s' if len(refusals) > 1 else ''}; nothing was changed.",
                hint=NextStep(StepKind.BEGIN_ANEW, self.run_id, plan=plan.id)
                if self.over
                else "Leave what runs or has ended as it is.",
                problems=tuple(refusals),
            )
        losses = proof_edits.losses(tasks, plan.tasks, rows)
        self._tasks.replace(plan, worker)
        self.plan = plan
        self._send_back()
        self._specs.clear()
        if self.ledger is not None:
            self.ledger.replan({task.id: task for task in plan.tasks})
        self._tasks.note_run(transitions.PLAN_EDITED, data={"version": plan.version, **proof_edits.details(losses)})

    def _position(self, task_id: str) -> int:
        position = self._tasks.graph.index.get(task_id)
        if position is None:
            raise errors.UnknownHandle(
                f"Run {short_ids.short(self.run_id)} has no task {task_id!r}.",
                hint=NextStep(StepKind.LIST_TASKS, self.run_id),
            )
        return position

    def _end(
        self,
        row: TaskRow,
        state: AttemptState,
        outcome: model.Outcome | None = None,
        *,
        error: str = "",
        error_kind: str = "",
    ) -> None:
        """Records that the running attempt of a task is over, and what it used if an outcome says so."""
        self._tasks.end(row, state, error, error_kind)
        if self.ledger is not None:
            self.ledger.end(ledger.ended(row.id, row.attempt, row.worker, outcome))
