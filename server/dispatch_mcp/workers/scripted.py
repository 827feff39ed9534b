"""A worker that does nothing, visibly: for tests, benches and dry runs."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
import pydantic
from pydantic import Field

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, bounds, failures, ports, work_order

LABEL = "simulated"


class Script(model.Value):
    """What an attempt pretends to do; `fail` is a number of attempts that fail first, or a kind of failure."""

    sleep_s: bounds.Seconds = 0.0
    output: model.Json = Field(default=None, alias="result")
    handoff: model.Handoff | None = None
    fail: int | Literal["permanent", "transient"] = 0
    error: str = "a simulated failure"
    hang: bool = False
    usage: model.Usage = model.Usage()


_NOTHING = Script()
_DONE = (model.Receipt(kind=LABEL, ok=True, detail="nothing was done; the result is simulated"),)
_FAILED = (model.Receipt(kind=LABEL, ok=False, detail="nothing was done; the failure is simulated"),)


class ScriptedWorker:
    """Carries out `task.inputs["script"]`, or succeeds at once; every outcome is labelled as simulated.

    In a dry run real tasks come here too: one that names another worker, or a command, has its script ignored, and
    one that names no worker has it ignored unless it is a script from end to end.
    """

    def __init__(self, *, sleep: Callable[[float], Awaitable[object]] = anyio.sleep) -> None:
        self._sleep = sleep

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns the outcome that the script asks for, after its sleep; keeps the order's deadline."""
        ctx.beat()
        try:
            script = _script_of(work)
        except pydantic.ValidationError as error:
            return _failed(work, f"The script is not understood: {_first_problem(error)}", "bad_script")
        seconds = math.inf if script.hang else script.sleep_s
        if work.timeout_s is not None and seconds > work.timeout_s:
            await self._sleep(work.timeout_s)
            return _timed_out(work, work.timeout_s)
        if seconds:
            await self._sleep(seconds)
        return _ending(work, script)


def _script_of(work: work_order.WorkOrder) -> Script:
    """Returns the task's script. Raises ValidationError for a bad one that is certainly meant for this worker."""
    script = work.task.inputs.get("script")
    if script is None or not _may_be_meant(work.task):
        return _NOTHING
    try:
        return Script.model_validate(script)
    except pydantic.ValidationError:
        if work.task.worker is None:
            return _NOTHING
        raise


def _may_be_meant(task: model.Task) -> bool:
    return task.worker is model.WorkerKind.SCRIPTED or (task.worker is None and not task.command)


def _first_problem(error: pydantic.ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False)[0]
    return f"{'.'.join(map(str, problem['loc'])) or 'script'}: {problem['msg']}"


def _ending(work: work_order.WorkOrder, script: Script) -> model.Outcome:
    if script.fail == "permanent":
        return _failed(work, script.error, "simulated_permanent", usage=script.usage)
    if script.fail == "transient" or work.attempt <= script.fail:
        return _failed(work, script.error, "simulated_transient", usage=script.usage)
    summary = f"{LABEL}: {work.task.goal[:200]}"
    return model.Outcome(
        state=AttemptState.SUCCEEDED,
        summary=summary,
        handoff=script.handoff or model.Handoff(completed_work=summary),
        output=script.output,
        usage=script.usage,
        receipts=_DONE,
    )


def _failed(
    work: work_order.WorkOrder, error: str, kind: failures.FailureKind, *, usage: model.Usage = _NOTHING.usage
) -> model.Outcome:
    return model.Outcome(
        state=AttemptState.FAILED,
        summary=f"{LABEL} failure of {work.task.id}: {error[:200]}",
        error=error,
        error_kind=kind,
        retryable=failures.is_retryable(kind),
        usage=usage,
        receipts=_FAILED,
    )


def _timed_out(work: work_order.WorkOrder, seconds: float) -> model.Outcome:
    return model.Outcome(
        state=AttemptState.TIMED_OUT,
        summary=f"{LABEL} timeout of {work.task.id}",
        error=f"No result after {seconds:g} s.",
        error_kind="timeout",
        retryable=failures.is_retryable("timeout"),
        receipts=_FAILED,
    )
