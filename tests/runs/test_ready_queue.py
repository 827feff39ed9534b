from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dispatch_mcp.model import TaskState, WorkerKind, transitions
from dispatch_mcp.runs import ready_queue

API, HOST, HUMAN = WorkerKind.API, WorkerKind.HOST, WorkerKind.HUMAN
EVERYBODY = frozenset(WorkerKind)
TASKS = 6


def ready(task_id: str, worker: WorkerKind = API, **fields: object) -> transitions.TaskRow:
    return transitions.TaskRow(task_id, worker, TaskState.READY, **fields)


def queue_of(*rows: transitions.TaskRow, urgencies: list[tuple[float, int]] | None = None) -> ready_queue.ReadyQueue:
    return ready_queue.ReadyQueue(rows, urgencies or [(0.0, 0)] * len(rows))


def has_room(_kind: WorkerKind) -> bool:
    return True


def test_the_longest_remaining_path_is_taken_first_then_the_priority_then_the_place_in_the_plan() -> None:
    rows = [ready(name) for name in "abcd"]
    queue = queue_of(*rows, urgencies=[(-5.0, 1), (-5.0, 0), (-9.0, 2), (-5.0, 1)])
    assert [queue.take(EVERYBODY, has_room) for _ in range(5)] == [2, 1, 0, 3, None]


def test_only_the_named_workers_tasks_are_taken() -> None:
    queue = queue_of(ready("a", HOST), ready("b", API))
    assert queue.take(frozenset({API}), has_room) == 1
    assert queue.take(frozenset({API}), has_room) is None
    assert queue.take(frozenset({HOST}), has_room) == 0


def test_a_worker_without_room_keeps_its_task_in_the_queue() -> None:
    queue = queue_of(ready("a", API), ready("b", HOST), urgencies=[(-9.0, 0), (-1.0, 0)])
    assert queue.take(EVERYBODY, lambda kind: kind is not API) == 1
    assert queue.take(EVERYBODY, lambda kind: kind is not API) is None
    assert queue.take(EVERYBODY, has_room) == 0


def test_a_task_that_is_no_longer_ready_is_dropped_when_it_comes_to_the_front() -> None:
    rows = [ready("a"), ready("b")]
    queue = queue_of(*rows)
    rows[0].state = TaskState.SKIPPED
    assert list(queue.heads()) == [1]
    assert queue.take(EVERYBODY, has_room) == 1


def test_the_heads_are_the_most_urgent_of_each_worker_and_stay_where_they_are() -> None:
    rows = [ready("a", API), ready("b", HOST), ready("c", API)]
    queue = queue_of(*rows, urgencies=[(-1.0, 0), (-2.0, 0), (-3.0, 0)])
    assert sorted(queue.heads()) == [1, 2]
    assert sorted(queue.heads()) == [1, 2]


def test_a_delayed_task_comes_when_its_time_has_come() -> None:
    rows = [ready("a", ready_at=10.0), ready("b", ready_at=5.0)]
    queue = queue_of(*rows)
    assert queue.take(EVERYBODY, has_room) is None
    assert queue.wakes_at() == 5.0
    queue.wake(4.9)
    assert queue.take(EVERYBODY, has_room) is None
    queue.wake(5.0)
    assert queue.take(EVERYBODY, has_room) == 1
    assert queue.wakes_at() == 10.0
    assert rows[0].ready_at == 10.0
    queue.wake(99.0)
    assert (queue.take(EVERYBODY, has_room), rows[0].ready_at, queue.wakes_at()) == (0, 0.0, None)


def test_a_task_that_was_put_off_again_does_not_come_at_its_first_time() -> None:
    row = ready("a", ready_at=5.0)
    queue = queue_of(row)
    row.ready_at = 20.0
    queue.add(0)
    queue.wake(6.0)
    assert queue.take(EVERYBODY, has_room) is None
    queue.wake(20.0)
    assert queue.take(EVERYBODY, has_room) == 0


def test_a_rate_limit_holds_its_own_worker_only_until_it_is_over() -> None:
    queue = queue_of(ready("a"))
    queue.throttle(API, 30.0)
    assert queue.unthrottled(frozenset({API, HOST}), 29.9) == {HOST}
    assert queue.unthrottled(frozenset({API, HOST}), 30.0) == {API, HOST}


def test_a_rate_limit_is_known_again_from_the_rows_alone() -> None:
    queue = queue_of(ready("a", ready_at=30.0, cause=transitions.RATE_LIMIT), ready("b", HOST, ready_at=40.0))
    assert queue.unthrottled(frozenset({API, HOST}), 0.0) == {HOST}


@given(st.lists(st.floats(0, 1_000)), st.floats(0, 1_000))
def test_a_later_hold_is_never_shortened_by_an_earlier_one(holds: list[float], now: float) -> None:
    queue = queue_of()
    for until in holds:
        queue.throttle(API, until)
    assert (API in queue.unthrottled(EVERYBODY, now)) == (max(holds, default=0.0) <= now)


@dataclass
class Copy:
    """What the queue should hold, as the simplest thing that can hold it: nothing but the rows."""

    rows: list[transitions.TaskRow]
    urgencies: list[tuple[float, int]]
    out: set[int] = field(default_factory=set[int])

    def first(self, kinds: frozenset[WorkerKind]) -> int | None:
        positions = [
            position
            for position, row in enumerate(self.rows)
            if row.state is TaskState.READY and not row.ready_at and row.worker in kinds and position not in self.out
        ]
        return min(positions, key=lambda position: (self.urgencies[position], position), default=None)


class QueueBesideItsCopy(RuleBasedStateMachine):
    """Random moves of tasks: what is taken is what looking through all rows would have found."""

    def __init__(self) -> None:
        super().__init__()
        workers = [API, HOST, HUMAN]
        rows = [transitions.TaskRow(f"t{n}", workers[n % 3]) for n in range(TASKS)]
        urgencies = [(-float(n % 2), n % 3) for n in range(TASKS)]
        self.queue, self.copy = ready_queue.ReadyQueue(rows, urgencies), Copy(rows, urgencies)
        self.now = 0.0

    @rule(position=st.integers(0, TASKS - 1), delay=st.sampled_from([0.0, 0.0, 3.0]))
    def open_task(self, position: int, delay: float) -> None:
        row = self.copy.rows[position]
        if row.state is not TaskState.READY:
            row.state, row.ready_at = TaskState.READY, self.now + delay if delay else 0.0
            self.copy.out.discard(position)
            self.queue.add(position)

    @rule(position=st.integers(0, TASKS - 1))
    def close_task(self, position: int) -> None:
        self.copy.rows[position].state = TaskState.SKIPPED

    @rule(seconds=st.floats(0, 5))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        self.queue.wake(self.now)

    @rule(kinds=st.frozensets(st.sampled_from([API, HOST, HUMAN])))
    def take(self, kinds: frozenset[WorkerKind]) -> None:
        first = self.copy.first(kinds)
        assert self.queue.take(kinds, has_room) == first
        if first is not None:
            self.copy.rows[first].state = TaskState.RUNNING

    @precondition(lambda self: self.queue.wakes_at() is not None)
    @invariant()
    def nothing_that_waits_is_overdue(self) -> None:
        waits = [row.ready_at for row in self.copy.rows if row.state is TaskState.READY and row.ready_at]
        assert all(self.queue.wakes_at() <= at for at in waits)

    @invariant()
    def the_heads_are_ready(self) -> None:
        assert all(self.copy.rows[position].state is TaskState.READY for position in self.queue.heads())


TestTheQueueAgreesWithItsRows = QueueBesideItsCopy.TestCase
