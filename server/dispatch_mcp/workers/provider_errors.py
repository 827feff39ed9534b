"""What goes wrong at a model's provider: which kind of failure it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import AttemptState, failures, transitions
from dispatch_mcp.planning import forecast
from dispatch_mcp.text import escape, redaction
from dispatch_mcp.text.reading import reported_failures

MAX_HOLDS: Final = 30
"""The last attempt of a task that is put back by a rate limit or overload; hours later it fails like any other."""

SHOWN: Final = 600
"""Characters of an answer that an error shows."""
LONGEST_ASKED_S: Final = 3_600.0
"""A provider that asks for a longer pause is asked again after this one."""


class Trouble(NamedTuple):
    """One kind of failure; `hint` says what the user can do."""

    kind: failures.FailureKind
    hint: str = ""

    @property
    def retryable(self) -> bool:
        """Whether another attempt could end differently."""
        return failures.is_retryable(self.kind)


_LOGIN: Final = "Check ANTHROPIC_API_KEY, or log in to Claude Code with `claude auth`."
_STATUSES: Final[Mapping[int, Trouble]] = {
    400: Trouble("bad_request"),
    401: Trouble("not_logged_in", _LOGIN),
    402: Trouble("billing", "Check the account's credit and spend limit."),
    403: Trouble("no_permission", "Check what this key or login may use."),
    404: Trouble("unknown_model", "Name another model; `sonnet` always means the current one."),
    408: Trouble("timeout"),
    409: Trouble("conflict"),
    413: Trouble("too_large", "Split the task, or give it less context."),
    422: Trouble("bad_request"),
}
_TYPES: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "timeout_error": 408,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 529,
}


def trouble(status: int | None, kind: str = "", *, attempt: int = 1) -> Trouble:
    """Returns the trouble of an HTTP status, or of an error's `kind` when the status says nothing (200, None).

    A rate limit and overload hold the whole run back (`moves.RATE_LIMIT`) and count as no failure, up to `MAX_HOLDS`
    attempts.
    """
    if status is None or status < 400:
        status = _TYPES.get(kind, 0)
    if status in (429, 529):
        if attempt <= MAX_HOLDS:
            return Trouble(transitions.RATE_LIMIT)
        return Trouble("rate_limited" if status == 429 else "overloaded", "Try again later, or on another model.")
    if status in _STATUSES:
        return _STATUSES[status]
    if status == 0:
        return Trouble("no_connection", "Check the network and ANTHROPIC_BASE_URL.")
    return Trouble("server_error") if status >= 500 else Trouble("bad_request")


def at_ceiling(stopper: str) -> Trouble:
    """Returns the trouble of an attempt that stops at what it was given of `stopper`, dollars or tokens."""
    return Trouble(transitions.CEILINGS[stopper], f"Give the task or the run a higher ceiling of {stopper}.")


def unpriced(name: str, ceiling: model.TaskLimits, price: forecast.Price) -> model.Outcome | None:
    """Returns why an attempt does not begin whose dollars nobody could count, or None."""
    if ceiling.dollars is None or price(name, model.Usage(output_tokens=1)) is not None:
        return None
    return failed(
        Trouble("no_price", "Name another model, or give a ceiling of tokens alone."),
        f"Nobody knows a price of {name!r}, and there is a ceiling of dollars.",
    )


def no_handoff(problem: str, answer: str, usage: model.Usage) -> model.Outcome:
    """Returns the outcome of an attempt whose last answer is no handoff, or one that itself reports a failure."""
    gist = escape.one_line(answer, limit=SHOWN)
    if problem.startswith(reported_failures.LEAD):
        return failed(Trouble("given_up"), f"{problem}. The answer: {gist}", usage)
    return failed(Trouble("no_handoff"), f"No structured result: {problem}. The answer: {gist}", usage)


def failed(
    trouble: Trouble, error: str, usage: model.Usage = model.Usage(), *, retry_after_s: float | None = None
) -> model.Outcome:
    """Returns the outcome of an attempt that ended with trouble."""
    text = f"{error} {trouble.hint}".strip()
    pause = None if retry_after_s is None else min(max(retry_after_s, 0.0), LONGEST_ASKED_S)
    return model.Outcome(
        state=AttemptState.FAILED,
        summary=redaction.beginning(text, 1_200),
        error=text,
        error_kind=trouble.kind,
        retryable=trouble.retryable,
        retry_after_s=pause,
        usage=usage,
        receipts=(model.Receipt(kind="claim", ok=False, detail=trouble.kind),),
    )


def timed_out(seconds: float | None, usage: model.Usage) -> model.Outcome:
    """Returns the outcome of an attempt that was ended at its deadline, with what it used until then."""
    text = f"No result after {seconds:g} s." if seconds is not None else "No result before the deadline."
    return model.Outcome(
        state=AttemptState.TIMED_OUT,
        summary=text,
        error=text,
        error_kind=transitions.TIMEOUT,
        retryable=failures.is_retryable(transitions.TIMEOUT),
        usage=usage,
        receipts=(model.Receipt(kind="claim", ok=False, detail="ended at its deadline"),),
    )


def succeeded(handoff: model.Handoff, answer: str, usage: model.Usage, said_by: str) -> model.Outcome:
    """Returns the outcome of an attempt whose model says that the work is done; receipts have yet to prove it."""
    return model.Outcome(
        state=AttemptState.SUCCEEDED,
        summary=redaction.beginning(handoff.completed_work or answer, 1_200),
        handoff=handoff,
        output=answer or None,
        unverified=True,
        usage=usage,
        receipts=(model.Receipt(kind="claim", ok=True, detail=f"said by {said_by}"),),
    )
