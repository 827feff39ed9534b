"""What became of one process of Claude Code: only here is decided whether it succeeded.

Rule: docs/rules.md#claude-code-outcomes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import work_order
from dispatch_mcp.planning import forecast, json_reader
from dispatch_mcp.process import supervisor
from dispatch_mcp.runs import handoff_schema
from dispatch_mcp.text import escape
from dispatch_mcp.workers import provider_errors, usage_meter
from dispatch_mcp.workers.claude.stream_rows import Said

UNKNOWN_SESSION: Final = re.compile(r"no conversation found", re.IGNORECASE)
SESSION_IN_USE: Final = re.compile(r"already in use", re.IGNORECASE)
_LIMIT_UNTIL: Final = re.compile(r"limit reached\|(\d{9,11})\b", re.IGNORECASE)
_LIMIT: Final = re.compile(r"\b(?:usage|rate|session|weekly|hourly) limit\b", re.IGNORECASE)
_NAME: Final = "Claude Code"

_ENDS: Final[Mapping[str, provider_errors.Trouble]] = {
    "prompt_too_long": provider_errors.Trouble("prompt_too_long", False, "Split the task, or give it less context."),
    "max_turns": provider_errors.Trouble("max_turns", True, "The next attempt goes on where this one stopped."),
    "budget_exhausted": provider_errors.Trouble(
        "budget", True, "Give the task or the run a higher ceiling of dollars."
    ),
}
"""Terminal reasons that have a name of their own."""


def spent(said: Said, ended: supervisor.ChildResult, price: forecast.Price, before: float | None) -> model.Usage:
    """Returns what this process used.

    `before` is what the session had cost when the process began: 0 for a new session, None when nobody knows because
    its last process was killed. The figure of Claude Code counts the whole session, so `before` is taken off; where
    that cannot be done, the requests of this process count at list prices.
    """
    usage = said.usage(price)
    if not said.requests and said.result:
        usage = usage_meter.usage_of(said.result.get("usage"))
    if said.total is not None and before is not None:
        usage = usage.model_copy(update={"cost_usd": max(0.0, said.total - before)})
    return usage.model_copy(update={"seconds": ended.seconds})


def outcome(
    said: Said, ended: supervisor.ChildResult, work: work_order.WorkOrder, usage: model.Usage, now: float
) -> model.Outcome:
    """Returns how the attempt ended: success only for exit 0, a completed result and a structured handoff."""
    if ended.timed_out:
        return provider_errors.timed_out(work.timeout_s, usage)
    if not said.result:
        return _without_result(ended, usage)
    reason = usage_meter.text(said.result.get("terminal_reason"))
    if ended.exit_code != 0 or said.result.get("is_error") is not False or reason != "completed":
        return _failed(said, ended, work, usage, now)
    if said.result.get("stop_reason") == "refusal":
        return provider_errors.failed(
            provider_errors.Trouble("refusal", False), f"The model refused: {_gist(said)}", usage
        )
    handoff, answer, problem = handoff_schema.read(said.result.get("structured_output"))
    if handoff is None:
        return provider_errors.failed(
            provider_errors.Trouble("no_handoff", True), f"No structured result ({problem}): {_gist(said)}", usage
        )
    return provider_errors.succeeded(_with_denials(handoff, said), answer, usage, _NAME)


def is_done(said: Said, ended: supervisor.ChildResult) -> bool:
    """Returns whether a process had finished its work, so that its result can be taken over."""
    reason = usage_meter.text(said.result.get("terminal_reason"))
    good = ended.exit_code == 0 and said.result.get("is_error") is False and reason == "completed"
    return good and handoff_schema.read(said.result.get("structured_output"))[0] is not None


def _without_result(ended: supervisor.ChildResult, usage: model.Usage) -> model.Outcome:
    told = escape.one_line(ended.stderr.decode("utf-8", "replace").strip()[-400:], limit=400)
    if ended.exit_code == 1 and told:
        hint = "Check the version of Claude Code; the doctor command shows it."
        return provider_errors.failed(
            provider_errors.Trouble("bad_call", False, hint), f"{_NAME} did not start: {told}", usage
        )
    how = f"exit code {ended.exit_code}" if ended.signal is None else f"signal {ended.signal}"
    return provider_errors.failed(
        provider_errors.Trouble("no_result", True), f"{_NAME} ended without a result ({how}).", usage
    )


def _failed(
    said: Said, ended: supervisor.ChildResult, work: work_order.WorkOrder, usage: model.Usage, now: float
) -> model.Outcome:
    reason = usage_meter.text(said.result.get("terminal_reason"))
    text = _gist(said) or reason or usage_meter.text(said.result.get("subtype"))
    if reason in _ENDS:
        return provider_errors.failed(_ENDS[reason], f"{_NAME} stopped ({reason}). {_gist(said)}".strip(), usage)
    if reason == "api_error":
        found = provider_errors.trouble(_status(said), attempt=work.attempt)
        if _status(said) is None and _LIMIT.search(text):
            found = provider_errors.trouble(429, attempt=work.attempt)
        return provider_errors.failed(found, f"{_NAME}: {text}", usage, retry_after_s=_wait(said, text, now))
    return provider_errors.failed(
        provider_errors.Trouble("interrupted", True),
        f"{_NAME} ended early ({reason or ended.exit_code}): {text}",
        usage,
    )


def _status(said: Said) -> int | None:
    found = usage_meter.number(said.result.get("api_error_status"))
    return None if found is None else int(found)


def _wait(said: Said, text: str, now: float) -> float | None:
    told = _LIMIT_UNTIL.search(text)
    until = float(told[1]) if told else said.limited_until
    return None if until is None or until <= now else until - now


def _gist(said: Said) -> str:
    found = usage_meter.text(said.result.get("result")) or " ".join(
        one for one in _list(said.result.get("errors")) if isinstance(one, str)
    )
    return escape.one_line(found, limit=600)


def _with_denials(handoff: model.Handoff, said: Said) -> model.Handoff:
    """Returns the handoff with what Claude Code was not allowed to do, which nothing else tells."""
    denied = [usage_meter.text(one.get("tool_name")) or "a tool" for one in _denials(said)]
    if not denied:
        return handoff
    note = f"Not allowed here, so not done: {', '.join(sorted(set(denied)))} ({len(denied)} times)."
    return handoff.model_copy(update={"open_questions": (*handoff.open_questions, note)})


def _denials(said: Said) -> list[Mapping[str, model.Json]]:
    return [one for one in _list(said.result.get("permission_denials")) if json_reader.is_object(one)]


def _list(value: model.Json) -> list[model.Json]:
    return list(value) if json_reader.is_list(value) else []
