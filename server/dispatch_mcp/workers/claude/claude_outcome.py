"""What became of one process of Claude Code: only here is decided whether it succeeded.

Rule: docs/rules.md#claude-code-outcomes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import work_order
from dispatch_mcp.planning import forecast
from dispatch_mcp.process import supervisor
from dispatch_mcp.runs import handoff_schema
from dispatch_mcp.text import escape, json_types, redaction
from dispatch_mcp.workers import provider_errors, usage_meter
from dispatch_mcp.workers.claude.stream_rows import StreamTranscript

UNKNOWN_SESSION: Final = re.compile(r"no conversation found", re.IGNORECASE)
SESSION_IN_USE: Final = re.compile(r"already in use", re.IGNORECASE)
_LIMIT_UNTIL: Final = re.compile(r"limit reached\|(\d{9,11})\b", re.IGNORECASE)
_LIMIT: Final = re.compile(r"\b(?:usage|rate|session|weekly|hourly) limit\b", re.IGNORECASE)
_NAME: Final = "Claude Code"

_ENDS: Final[Mapping[str, provider_errors.Trouble]] = {
    "prompt_too_long": provider_errors.Trouble("prompt_too_long", "Split the task, or give it less context."),
    "max_turns": provider_errors.Trouble("max_turns", "The next attempt goes on where this one stopped."),
    "budget_exhausted": provider_errors.at_ceiling("dollars"),
}
"""Terminal reasons that have a name of their own."""


def spent(
    transcript: StreamTranscript, child: supervisor.ChildResult, price: forecast.Price, before: float | None
) -> model.Usage:
    """Returns what this process used.

    `before` is what the session had cost when the process began: 0 for a new session, None when nobody knows because
    its last process was killed. The figure of Claude Code counts the whole session, so `before` is taken off; where
    that cannot be done, the requests of this process count at list prices.
    """
    usage = transcript.usage(price)
    if not transcript.requests and transcript.result:
        usage = usage_meter.usage_of(transcript.result.get("usage"))
    if transcript.total is not None and before is not None:
        usage = usage.model_copy(update={"cost_usd": max(0.0, transcript.total - before)})
    return usage.model_copy(update={"seconds": child.seconds})


def outcome(
    transcript: StreamTranscript,
    child: supervisor.ChildResult,
    work: work_order.WorkOrder,
    usage: model.Usage,
    now: float,
    *,
    stopper: str = "",
) -> model.Outcome:
    """Returns how the attempt ended: success only for exit 0, a completed result and a structured handoff.

    `stopper` is the ceiling at which it was stopped, empty for none.
    """
    if stopper and not is_done(transcript, child, work):
        text = f"{_NAME} was stopped at its ceiling of {stopper}."
        return provider_errors.failed(provider_errors.at_ceiling(stopper), text, usage)
    if child.timed_out or not transcript.result:
        return provider_errors.timed_out(work.timeout_s, usage) if child.timed_out else _without_result(child, usage)
    reason = usage_meter.text(transcript.result.get("terminal_reason"))
    if child.exit_code != 0 or transcript.result.get("is_error") is not False or reason != "completed":
        return _failed(transcript, child, work, usage, now)
    if transcript.result.get("stop_reason") == "refusal":
        return provider_errors.failed(
            provider_errors.Trouble("refusal"), f"The model refused: {_gist(transcript)}", usage
        )
    handoff, answer, problem = _answer(transcript, work)
    if handoff is None:
        return provider_errors.no_handoff(problem, _gist(transcript), usage)
    return provider_errors.succeeded(_with_denials(handoff, transcript), answer, usage, _NAME)


def is_done(transcript: StreamTranscript, child: supervisor.ChildResult, work: work_order.WorkOrder) -> bool:
    """Returns whether a process had finished its work, so that its result can be taken over."""
    reason = usage_meter.text(transcript.result.get("terminal_reason"))
    good = child.exit_code == 0 and transcript.result.get("is_error") is False and reason == "completed"
    return good and _answer(transcript, work)[0] is not None


def _answer(transcript: StreamTranscript, work: work_order.WorkOrder) -> tuple[model.Handoff | None, str, str]:
    """Returns the structured answer read; where a schema was never met, an order with its own takes the last words."""
    text = usage_meter.text(transcript.result.get("result"))
    return handoff_schema.read(work, transcript.result.get("structured_output"), text)


def _without_result(child: supervisor.ChildResult, usage: model.Usage) -> model.Outcome:
    complaint = escape.one_line(redaction.ending(child.stderr.decode("utf-8", "replace").strip(), 400), limit=400)
    if child.exit_code == 1 and complaint:
        hint = "Check the version of Claude Code; the doctor command shows it."
        return provider_errors.failed(
            provider_errors.Trouble("bad_call", hint), f"{_NAME} did not start: {complaint}", usage
        )
    how = f"exit code {child.exit_code}" if child.signal is None else f"signal {child.signal}"
    return provider_errors.failed(
        provider_errors.Trouble("no_result"), f"{_NAME} ended without a result ({how}).", usage
    )


def _failed(
    transcript: StreamTranscript,
    child: supervisor.ChildResult,
    work: work_order.WorkOrder,
    usage: model.Usage,
    now: float,
) -> model.Outcome:
    reason = usage_meter.text(transcript.result.get("terminal_reason"))
    text = _gist(transcript) or reason or usage_meter.text(transcript.result.get("subtype"))
    if reason in _ENDS:
        return provider_errors.failed(_ENDS[reason], f"{_NAME} stopped ({reason}). {_gist(transcript)}".strip(), usage)
    if reason == "api_error":
        trouble = provider_errors.trouble(_status(transcript), attempt=work.attempt)
        if _status(transcript) is None and _LIMIT.search(text):
            trouble = provider_errors.trouble(429, attempt=work.attempt)
        return provider_errors.failed(trouble, f"{_NAME}: {text}", usage, retry_after_s=_wait(transcript, text, now))
    return provider_errors.failed(
        provider_errors.Trouble("interrupted"),
        f"{_NAME} ended early ({reason or child.exit_code}): {text}",
        usage,
    )


def _status(transcript: StreamTranscript) -> int | None:
    status = usage_meter.number(transcript.result.get("api_error_status"))
    return None if status is None else int(status)


def _wait(transcript: StreamTranscript, text: str, now: float) -> float | None:
    match = _LIMIT_UNTIL.search(text)
    until = float(match[1]) if match else transcript.limited_until
    return None if until is None or until <= now else until - now


def _gist(transcript: StreamTranscript) -> str:
    text = usage_meter.text(transcript.result.get("result")) or " ".join(
        error for error in _list(transcript.result.get("errors")) if isinstance(error, str)
    )
    return escape.one_line(text, limit=600)


def _with_denials(handoff: model.Handoff, transcript: StreamTranscript) -> model.Handoff:
    """Returns the handoff with what Claude Code was not allowed to do, which nothing else tells."""
    tools = [usage_meter.text(denial.get("tool_name")) or "a tool" for denial in _denials(transcript)]
    if not tools:
        return handoff
    note = f"Not allowed here, so not done: {', '.join(sorted(set(tools)))} ({len(tools)} times)."
    return handoff.model_copy(update={"open_questions": (*handoff.open_questions, note)})


def _denials(transcript: StreamTranscript) -> list[Mapping[str, model.Json]]:
    return [denial for denial in _list(transcript.result.get("permission_denials")) if json_types.is_object(denial)]


def _list(value: model.Json) -> list[model.Json]:
    return list(value) if json_types.is_list(value) else []
