"""Answers as forms that a model fills in: the schema it is held to, and our own reading of what comes back.

Most answers are handoffs. An order with a `schema` of its own asks for something else, which its task's kind reads: it
is passed on as it came, in whatever form, so that a provider that does not hold to schemas costs nothing but form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.model import work_order
from dispatch_mcp.runs import handoff_parser, prompt_builder
from dispatch_mcp.text import escape, json_types
from dispatch_mcp.text.reading import reported_failures

_TEXTS: Final[Mapping[str, model.Json]] = {"type": "array", "items": {"type": "string"}}
_FILE: Final[Mapping[str, model.Json]] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "path": {"type": "string"}},
    "required": ["name", "path"],
    "additionalProperties": False,
}

_NOTE: Final[Mapping[str, model.Json]] = {
    "type": "object",
    "description": "a note for another task of the run, its agent, all or the orchestrator",
    "properties": {
        "to": {"type": "string"},
        "kind": {"enum": ["information", "request", "warning", "confirmation", "handoff"]},
        "text": {"type": "string"},
    },
    "required": ["to", "kind", "text"],
    "additionalProperties": False,
}

_EDITS: Final = "proposed_edits"
_EDIT: Final[Mapping[str, model.Json]] = {
    "type": "string",
    "description": "the JSON of one change of the plan, only if the plan itself has to change, such as "
    '{"op": "add", "id": "cache", "task": {"do": "…", "deps": []}, "reason": "…"}',
}

SCHEMA: Final[Mapping[str, model.Json]] = {
    "type": "object",
    "properties": {
        "completed_work": {"type": "string", "description": "what is done, in two sentences"},
        "files_modified": _TEXTS,
        "decisions_made": _TEXTS,
        "open_questions": _TEXTS,
        "mistakes_learned": _TEXTS,
        "artifacts": {"type": "array", "items": _FILE},
        "messages": {"type": "array", "items": _NOTE},
        _EDITS: {"type": "array", "items": _EDIT},
        "answer": {"type": "string", "description": "the result that OUTPUT asks for, whole"},
    },
    "required": [
        *("completed_work", "files_modified", "decisions_made", "open_questions", "mistakes_learned", "artifacts"),
        *("messages", _EDITS, "answer"),
    ],
    "additionalProperties": False,
}
"""What a worker's structured answer looks like: a handoff, and beside it the whole answer."""

STRUCTURED_ANSWER: Final = (
    "Give your result in the structured form that you are asked for; [] where there is nothing to say."
)
GIST: Final = 300
"""Characters of an answer of another form that stand where a handoff says what is done."""

GO_ON: Final = (
    "Go on with the task that this conversation began with: your last try was cut off before it was done. Do not "
    "repeat what is done already; look where it stopped, finish it, and give the result in the same form."
)

NEWS: Final = (
    "While you work, others of the same run have written to you. Take it into account where it concerns your task, "
    "and go on with that."
)


def schema_of(work: work_order.WorkOrder) -> Mapping[str, model.Json]:
    """Returns what the answer of an order is held to."""
    return SCHEMA if work.schema is None else work.schema


def for_structured_answer(prompt: prompt_builder.Prompt, work: work_order.WorkOrder) -> prompt_builder.Prompt:
    """Returns the prompt for a worker whose answer is held to the schema instead of ending with a JSON block."""
    words = STRUCTURED_ANSWER if work.schema is None else work.schema_form
    sections = tuple(
        replace(section, parts=tuple(_unless_at_the_end(part, words) for part in section.parts))
        for section in prompt.sections
    )
    return replace(prompt, sections=sections)


def _unless_at_the_end(part: prompt_builder.Part, words: str) -> prompt_builder.Part:
    if isinstance(part, prompt_builder.Prose) and part.label == prompt_builder.AT_THE_END:
        return replace(part, text=words)
    return part


def continuation(prompt: prompt_builder.Prompt, messages: Sequence[model.Message] = ()) -> prompt_builder.Prompt:
    """Returns what a conversation is told that already knows `prompt`: to go on, why it was cut off, and what came."""
    errors = tuple(data for data in prompt.section("CONTEXT").data if data.kind == "error")
    return _turn(prompt, GO_ON, (*errors, *prompt_builder.message_data(messages)))


def news(prompt: prompt_builder.Prompt, messages: Sequence[model.Message]) -> prompt_builder.Prompt:
    """Returns what a conversation that knows `prompt` is told of messages that have come meanwhile."""
    return _turn(prompt, NEWS, tuple(prompt_builder.message_data(messages)))


def _turn(prompt: prompt_builder.Prompt, words: str, data: tuple[prompt_builder.Part, ...]) -> prompt_builder.Prompt:
    context = (prompt_builder.Section("CONTEXT", data),) if data else ()
    return replace(prompt, sections=(prompt_builder.Section("GOAL", (prompt_builder.Prose(words),)), *context))


def read(work: work_order.WorkOrder, value: model.Json, text: str = "") -> tuple[model.Handoff | None, str, str]:
    """Returns the handoff of an attempt's answer, the whole answer, and what is wrong with it if there is no handoff.

    `value` is the structured answer, None where there is none; `text` what was said besides. With a schema of its own
    an order takes the one or the other, and whoever asked judges it.
    """
    if work.schema is None:
        return _failure(reported_failures.of_value(value)) or parse(value)
    whole = text.strip() if value is None else json.dumps(value, ensure_ascii=False)
    if not whole:
        return None, "", "there is no answer"
    return model.Handoff(completed_work=f"Answered: {escape.one_line(whole, limit=GIST)}"), whole, ""


def read_text(work: work_order.WorkOrder, text: str) -> tuple[model.Handoff | None, str, str]:
    """Returns what `read` does for a structured answer that is still text."""
    if work.schema is not None:
        return read(work, None, text)
    return _failure(reported_failures.of_text(text)) or parse_text(text)


def _failure(sign: str) -> tuple[None, str, str] | None:
    """Returns what is wrong with an answer that itself reports a failure, whatever else it holds."""
    return (None, "", f"{reported_failures.LEAD}{sign}") if sign else None


def parse(value: model.Json) -> tuple[model.Handoff | None, str, str]:
    """Returns the handoff of a structured answer, its whole answer, and what is wrong with it if there is no handoff.

    A handoff without a word about what was done is none.
    """
    handoff, problem = handoff_parser.parse_handoff(_with_edits(value))
    if handoff is None or not handoff.completed_work:
        return None, "", problem or "completed_work is empty"
    answer = value.get("answer", "") if json_types.is_object(value) else ""
    whole = answer if isinstance(answer, str) else ""
    # The form has no field for it, and the brief asks for it at the end of the answer.
    return _failure(reported_failures.at_the_end(whole)) or (handoff, whole, "")


def _with_edits(value: model.Json) -> model.Json:
    """Returns the answer with its proposed edits read: a closed schema cannot describe them, so they come as text."""
    if not json_types.is_object(value) or not json_types.is_list(value.get(_EDITS)):
        return value
    return {**value, _EDITS: [_loaded(edit) for edit in value[_EDITS]]}


def _loaded(edit: model.Json) -> model.Json:
    if not isinstance(edit, str):
        return edit
    try:
        return json.loads(edit)
    except (ValueError, RecursionError):
        return None


def parse_text(text: str) -> tuple[model.Handoff | None, str, str]:
    """Returns what `parse` does for a structured answer that is still text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return None, "", f"it is no JSON: {error}"
    return parse(value)
