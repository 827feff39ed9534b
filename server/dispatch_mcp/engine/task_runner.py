"""One attempt, the same under every engine."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, ports, transitions, work_order
from dispatch_mcp.text import escape, redaction

log = logging.getLogger(__name__)

_NOTHING_USED = model.Usage()


@dataclass(slots=True)
class _SpendWatch(ports.Relay):
    """The context that a worker gets; keeps what the attempt has used so far, in case the worker cannot say it."""

    usage: model.Usage = _NOTHING_USED

    def beat(self, **details: model.Json) -> None:
        """Passes the beat on."""
        if ports.SPENT in details:
            self.usage = model.Usage.model_validate(details[ports.SPENT])
        self.inner.beat(**details)


async def run_task(
    ctx: ports.TaskContext, work: work_order.WorkOrder, workers: Mapping[model.WorkerKind, ports.Worker]
) -> model.Outcome:
    """Returns how the attempt ended: the worker's outcome, its deadline, or why nobody could do it."""
    worker = workers.get(work.worker)
    if worker is None:
        return failure(
            "no_worker",
            f"No {work.worker.value!r} worker is available here. Give the task a command, or dispatch its plan from an "
            "assistant.",
        )
    watch = _SpendWatch(ctx)
    if work.timeout_s is None or isinstance(worker, ports.KeepsDeadline):
        return await _carried_out(worker, watch, work)
    with anyio.move_on_after(work.timeout_s):
        return await _carried_out(worker, watch, work)
    return timed_out(work.timeout_s, watch.usage)


async def _carried_out(worker: ports.Worker, watch: _SpendWatch, work: work_order.WorkOrder) -> model.Outcome:
    try:
        return await worker.carry_out(watch, work)
    except errors.StoreError:
        raise  # no fault of the worker's
    except Exception as crash:
        log.exception("the %s worker crashed on %s/%s", work.worker, work.run_id, work.task.id)
        text = f"The {work.worker.value} worker crashed: {crash!r}"
        return failure("worker_crashed", text, retryable=True).model_copy(update={"usage": watch.usage})


def failure(kind: str, error: str, *, retryable: bool = False) -> model.Outcome:
    """Returns a failed outcome."""
    summary = redaction.beginning(error, 1_200)
    return model.Outcome(state=AttemptState.FAILED, error=error, error_kind=kind, summary=summary, retryable=retryable)


def fault(crash: Exception, usage: model.Usage) -> model.Outcome:
    """Returns the outcome of an attempt that met an exception of ours, when `usage` had been used."""
    text = f"dispatch-mcp itself failed: {escape.one_line(repr(crash), limit=600)}"
    return failure(transitions.FAULT, text, retryable=True).model_copy(update={"usage": usage})


def timed_out(seconds: float, usage: model.Usage) -> model.Outcome:
    """Returns the outcome of an attempt that outlived its deadline of `seconds`."""
    text = f"No result after {seconds:g} s."
    return model.Outcome(
        state=AttemptState.TIMED_OUT,
        error=text,
        error_kind=transitions.TIMEOUT,
        summary=text,
        retryable=True,
        usage=usage,
    )


@dataclass(slots=True)
class LocalContext:
    """The task context of the embedded engine.

    `keep` is told the attempt's details when they change, `write` returns once they are on the disk, `fetch` gets the
    messages that have come. `details` begin with what the attempt goes on from.
    """

    run_id: str
    task_id: str
    attempt: int
    last_beat: Mapping[str, model.Json]
    blobs: ports.Blobs
    keep: Callable[[str, int, Mapping[str, model.Json]], None]
    fetch: Callable[[], Awaitable[Sequence[model.Message]]]
    write: Callable[[str, int], Awaitable[None]]
    details: dict[str, model.Json]

    def beat(self, **details: model.Json) -> None:
        """Keeps the newest details for the next attempt."""
        if details:
            self.details.update(details)
            self.keep(self.task_id, self.attempt, self.details)

    async def settled(self) -> None:
        """Returns once everything that the attempt has left is on the disk, however long the store cannot write."""
        await self.write(self.task_id, self.attempt)

    @property
    def spent(self) -> model.Usage:
        """What the attempt has left word of having used."""
        return model.Usage.model_validate(self.details.get(ports.SPENT, {}))

    async def mail(self) -> Sequence[model.Message]:
        """Returns the messages that have come for the task since it was briefed or asked last."""
        return await self.fetch()
