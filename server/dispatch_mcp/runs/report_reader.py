"""Entries of a report as hosts write them: each is read by itself, and one that cannot be taken spoils no other.

A host pays for every result, so its habits are read as they are meant: other names of fields and ends, null for
nothing, an answer as a list of content blocks, a handoff as text, usage in its own words. What is not known is ignored.
What contradicts itself or cannot be is refused, with the place, the value and what to send.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import (
    TaskState,
    WorkerKind,
    agent_refusals,
    bounds,
    problems,
    records,
    usage_reader,
)
from dispatch_mcp.runs import handoff_parser
from dispatch_mcp.text import json_types, redaction
from dispatch_mcp.text.reading import handoff_texts, host_notices, reported_failures

MAX_REPORT_CHARS: Final = 2_000_000
"""Characters of an answer that one report may carry; what is longer belongs into files."""

MAX_ERROR_CHARS: Final = 20_000
"""Characters of an error that are kept; it is shown to whoever tries next."""

KEPT_CHARS: Final = 4_000
"""Characters of work that did not come to its end which the next attempt is shown."""

MAX_REFUSAL_CHARS: Final = 1_000
"""Characters of an answer that may be a host's refusal to start a subagent and nothing else."""

MOST_TASKS: Final = 5
"""Tasks that a refusal names."""

End = Literal["succeeded", "failed", "cancelled"]
ENDS: Final[tuple[End, ...]] = ("succeeded", "failed", "cancelled")

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "task_id": ("task_id", "id", "task"),
    "attempt": ("attempt", "attempt_number", "attempt_no"),
    "status": ("status", "state"),
    "text": ("text", "answer", "content", "result", "response", "message"),
    "handoff": ("handoff", "hand_off"),
    "output": ("output", "structured_output"),
    "error": ("error", "error_message", "errors"),
    "retryable": ("retryable", "retry"),
    "usage": ("usage", "token_usage"),
    "is_error": ("is_error",),
}
"""The fields of an entry, each with the names it is read under, the first that says something first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What the host says about one of its assignments; `text` is the subagent's whole answer."""

    task_id: str
    attempt: int
    status: End = "succeeded"
    text: str = ""
    handoff: Mapping[str, model.Json] | None = None
    output: model.Json = None
    error: str = ""
    retryable: bool = False
    usage: usage_reader.ReportedUsage = usage_reader.NOTHING

    @property
    def answer(self) -> model.Json:
        """All that was answered: what one field holds, or a text of what several do, the form of an answer last."""
        text = "" if self.text == self.output else self.text
        is_echo = redaction.beginning(self.text, KEPT_CHARS) in self.error  # it only repeats how the text began
        error = "" if is_echo else self.error
        parts = [part for part in (text, error, dict(self.handoff or {}), self.output) if part not in ("", None, {})]
        if len(parts) < 2:
            return parts[0] if parts else None
        return "\n\n".join(part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts)


class RefusedEntry(NamedTuple):
    """An entry that cannot be taken, as far as it could be read, and why."""

    task_id: str
    attempt: int
    why: str
    kind: Literal["wrong", "out", "unstarted"] = "wrong"
    """What it is instead: nothing that can be read, or word that its subagent is at work, or that nobody was called."""


class _Wrong(Exception):
    """Why an entry is refused, with its place and value and what to send."""

    kind: Literal["wrong", "out", "unstarted"] = "wrong"


class _Out(_Wrong):
    """The same of one that only says that its subagent is at work."""

    kind = "out"


class _Unstarted(_Wrong):
    """The same of one that only says that nobody was called."""

    kind = "unstarted"


def read(raw: Sequence[model.Json], rows: Mapping[str, records.TaskRecord]) -> list[HostReport | RefusedEntry]:
    """Returns what each entry says, in their order; `rows` are the tasks of the run by id."""
    return [_read(entry, f"results[{position}]", rows) for position, entry in enumerate(raw)]


def _read(raw: model.Json, place: str, rows: Mapping[str, records.TaskRecord]) -> HostReport | RefusedEntry:
    task_id, attempt = "", 0
    try:
        entry = _object(raw, place)
        fields = _fields(entry)
        task_id = _task_id(fields, place, rows)
        attempt = _attempt(fields, place, rows.get(task_id))
        return _report(task_id, attempt, fields, entry, place)
    except (_Wrong, usage_reader.UnreadableUsage) as wrong:
        more = " Correct it, or leave the usage out." if isinstance(wrong, usage_reader.UnreadableUsage) else ""
        kind = wrong.kind if isinstance(wrong, _Wrong) else "wrong"
        return RefusedEntry(task_id, attempt, f"{wrong}{more}", kind)


def _object(raw: model.Json, place: str) -> Mapping[str, model.Json]:
    """Returns an object, also one that comes as text."""
    entry = _unpacked(raw) if isinstance(raw, str) else raw
    if not json_types.is_object(entry):
        raise _Wrong(f"{place} is {json_types.quoted(raw)}, not an object of task_id, attempt, status and text.")
    fault = json_types.fault_in(entry, place)
    if fault:
        raise _Wrong(f"{fault.message} {fault.fix}")
    return entry


def _unpacked(text: str) -> model.Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _fields(entry: Mapping[str, model.Json]) -> dict[str, model.Json]:
    """Returns the fields that say something under their own names."""
    plain: dict[str, model.Json] = {}
    for key, value in json_types.without_left_out(entry).items():
        plain.setdefault(json_types.plain_name(key), value)
    return {
        name: next(plain[alias] for alias in aliases if alias in plain)
        for name, aliases in _NAMES.items()
        if any(alias in plain for alias in aliases)
    }


def _task_id(fields: Mapping[str, model.Json], place: str, rows: Mapping[str, records.TaskRecord]) -> str:
    """Returns the id as the run has it, whatever its case and the blanks around it, or as it was sent."""
    value = fields.get("task_id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        subject = "is missing" if value is None else f"is {json_types.quoted(value)}"
        raise _Wrong(f"{place}.task_id {subject}; {_list_out(rows.values())}.")
    name = value.strip()
    if name in rows:
        return name
    twins = [task_id for task_id in rows if task_id.casefold() == name.casefold()]
    return twins[0] if len(twins) == 1 else name


def _list_out(rows: Iterable[records.TaskRecord]) -> str:
    ids = [row.id for row in rows if is_out(row)]
    if not ids:
        return "nothing is out with you"
    more = f" and {len(ids) - MOST_TASKS} more" if len(ids) > MOST_TASKS else ""
    return f"out with you: {', '.join(ids[:MOST_TASKS])}{more}"


def is_unstarted(report: HostReport, subagents: Collection[str]) -> bool:
    """Returns whether a report says that the host has no such subagent, so that nobody began; whatever it calls that.

    `subagents` are the names under which somebody may have been called.
    """
    if report.status == "failed":
        return agent_refusals.read(report.error or report.text, subagents) is not None
    # A host's refusal passed on as if it were the answer: nothing but that sentence.
    is_bare = report.status == "succeeded" and report.handoff is None and len(report.text) <= MAX_REFUSAL_CHARS
    return is_bare and agent_refusals.read(report.text) is not None


def is_out(task: records.TaskRecord) -> bool:
    """Returns whether an assignment of the task is out with the host."""
    return task.worker is WorkerKind.HOST and task.state is TaskState.RUNNING


def _attempt(fields: Mapping[str, model.Json], place: str, row: records.TaskRecord | None) -> int:
    value = fields.get("attempt")
    newest = f"; the newest is {row.attempt}" if row is not None and row.attempt else ""
    if value is None:
        raise _Wrong(f"{place}.attempt is missing{newest}. It is in the assignment.")
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() and len(value) <= 9 else value
    if json_types.is_number(number) and 1 <= number <= bounds.MAX_ATTEMPT and number == int(number):
        return int(number)
    raise _Wrong(f"{place}.attempt is {json_types.quoted(value)}, not the number of an attempt{newest}.")


def _report(
    task_id: str, attempt: int, fields: Mapping[str, model.Json], entry: Mapping[str, model.Json], place: str
) -> HostReport:
    output = fields.get("output")
    text = _text(fields.get("text")) or (output if isinstance(output, str) else "")
    if len(text) > MAX_REPORT_CHARS:
        raise _Wrong(
            f"{place}.text has {len(text):,} characters; at most {MAX_REPORT_CHARS:,} are taken. Put the rest into a "
            "file and name it."
        )
    error = redaction.beginning(_text(fields.get("error")), MAX_ERROR_CHARS)
    end = _end(fields, place)
    notice = host_notices.read(text or _text(output) if end == "succeeded" else error or text)
    _refuse_unfinished(notice, place)
    if end == "succeeded" and notice.kind in ("answer", "empty", "partial"):
        output = notice.text if text and output == text else output
        text = notice.text if text else ""
        end = "partial" if notice.kind == "partial" else end
    if end == "partial":
        error = error or f"Only part of it was done. The answer began:\n{redaction.beginning(text, KEPT_CHARS)}"
    return HostReport(
        task_id=task_id,
        attempt=attempt,
        status="failed" if end == "partial" else end,
        text=text,
        handoff=_handoff(fields.get("handoff"), entry, place),
        output=output,
        error=error,
        retryable=end == "partial" or notice.kind in ("failed", "partial") or _is_true(fields.get("retryable")),
        usage=usage_reader.read(usage_reader.collect(fields.get("usage"), entry), f"{place}.usage"),
    )


def _refuse_unfinished(notice: host_notices.HostNotice, place: str) -> None:
    """Raises what refuses an entry that tells of no end: its subagent is still at work, or never began."""
    if notice.kind == "out":
        raise _Out(f"{place}.text only says that a subagent has begun; report its own answer when it comes.")
    if notice.kind == "unstarted":
        raise _Unstarted(
            f"{place} says that no subagent was started; no attempt is spent and the assignment stays with you: "
            f"{notice.advice}."
        )


def _text(value: model.Json) -> str:
    """Returns a text, also one that comes as content blocks or as another JSON value."""
    if value is None or isinstance(value, str):
        return value or ""
    if json_types.is_list(value):
        return "\n".join(filter(None, map(_text, value)))
    if json_types.is_object(value):
        inner = next((value[key] for key in ("text", "content", "message") if value.get(key)), None)
        if inner is not None:
            return _text(inner)
    return json.dumps(value, ensure_ascii=False)


def _end(fields: Mapping[str, model.Json], place: str) -> Literal[End, "partial"]:
    """Returns how the work ended; without a word for it, an error says that it failed."""
    value = fields.get("status")
    if value is None:
        return "failed" if _is_true(fields.get("is_error")) or "error" in fields else "succeeded"
    if isinstance(value, bool):
        return "succeeded" if value else "failed"
    meaning = reported_failures.meaning(value)
    if meaning == "out":
        raise _Wrong(f"{place}.status is {json_types.quoted(value)}; report it when it has ended.")
    if meaning is None:
        word = value.strip().casefold() if isinstance(value, str) else ""
        nearest = problems.nearest(word, list(reported_failures.MEANINGS)) if word else ""
        instead = f"did you mean {nearest!r}?" if nearest else f"use one of {', '.join(ENDS)}."
        raise _Wrong(f"{place}.status is {json_types.quoted(value)}; {instead}")
    return "failed" if meaning == "succeeded" and _is_true(fields.get("is_error")) else meaning


def _is_true(value: model.Json) -> bool:
    return value.strip().casefold() in ("true", "yes", "1") if isinstance(value, str) else bool(value)


def _handoff(value: model.Json, entry: Mapping[str, model.Json], place: str) -> Mapping[str, model.Json] | None:
    """Returns a handoff as an object: itself, read out of a text, or of fields that stand in the entry instead."""
    if json_types.is_list(value) and len(value) == 1:
        value = value[0]
    if value is None:
        return {key: entry[key] for key in handoff_texts.FIELDS if not json_types.is_left_out(entry.get(key))} or None
    if isinstance(value, str):
        whole = reported_failures.last_object(value)
        if json_types.is_object(whole) and handoff_parser.parse_handoff(whole).handoff is not None:
            return whole  # with what it says of its own end
        handoff = handoff_parser.parse_answer(value).handoff
        return {"completed_work": value} if handoff is None else handoff.model_dump(mode="json")
    if not json_types.is_object(value):
        raise _Wrong(f"{place}.handoff is {json_types.quoted(value)}, not an object.")
    return value
