"""Attempts that the host's own assistant carries out: each becomes a call it can make word for word."""

from __future__ import annotations

import re
from collections.abc import Collection

from dispatch_mcp.model import assignments, model_names, short_ids, work_order
from dispatch_mcp.runs import prompt_builder
from dispatch_mcp.text import escape

GENERAL = assignments.GENERALS[0]
"""The host's subagent that becomes a specialist through its prompt (docs/rules.md#specialists-by-prompt)."""

_WORD = re.compile(r"[^\W_][\w./'-]*")
_WORDS = (3, 6)


def assignment(
    work: work_order.WorkOrder,
    prompt: prompt_builder.Prompt,
    *,
    known_subagents: Collection[str],
    prompt_ref: str | None = None,
    prompt_file: str = "",
    lease_until: float | None = None,
    background: bool = False,
    inline: bool = False,
    brief: bool = False,
) -> assignments.Assignment:
    """Returns the assignment of one attempt.

    Args:
        work: The attempt.
        prompt: What `prompt_builder.build` made of it.
        known_subagents: Names of the subagents that the host has installed.
        prompt_ref: Where the whole prompt can be read; None when only inline will do.
        prompt_file: The same as a file, if there is one.
        lease_until: When the attempt is taken back, in seconds since the epoch.
        background: Whether other work goes on beside it.
        inline: Whether to hand over the whole prompt however long it is.
        brief: Whether to hand over no more than the call itself, which only says where the prompt is.
    """
    if brief and prompt_ref:
        return _in_short(work, prompt_ref, prompt_file, background=background)
    subagent = "" if work.subagent else installed_name(work.agent, known_subagents)
    whole = (
        prompt if subagent else prompt.with_role(work.agent_prompt, work.agent, is_instruction=work.is_role_instruction)
    )
    text = whole.text
    by_reference = prompt_ref is not None and not inline and len(text) > assignments.INLINE_LIMIT
    call = assignments.HostCall(
        subagent_type=subagent or work.subagent or GENERAL,
        model=alias(work.model),
        description=description(work),
        prompt=_pointer(work, prompt_ref, prompt_file) if by_reference and prompt_ref else text,
        run_in_background=background,
    )
    return assignments.Assignment(
        run_id=work.run_id,
        task_id=work.task.id,
        attempt=work.attempt,
        agent=work.agent,
        in_place_of=_missing_agents(work),
        call=call,
        prompt_ref=prompt_ref or "" if by_reference else "",
        instructions=_instructions(work, call.subagent_type),
        lease_until=lease_until,
    )


def _in_short(
    work: work_order.WorkOrder, prompt_ref: str, prompt_file: str, *, background: bool
) -> assignments.Assignment:
    """Returns an assignment whose prompt is read where it is kept, in as few words as a subagent needs to get there."""
    call = assignments.HostCall(
        subagent_type=work.subagent or GENERAL,
        model=alias(work.model),
        description=f"Review: {work.task.id}",
        prompt=f"Read MCP resource {prompt_ref} and do exactly what it says.",
        run_in_background=background,
    )
    return assignments.Assignment(
        task_id=work.task.id,
        attempt=work.attempt,
        call=call,
        prompt_file=prompt_file,
        in_place_of=_missing_agents(work),
    )


def _missing_agents(work: work_order.WorkOrder) -> tuple[str, ...]:
    """Returns who could not be started, by the names under which they were to be called; the planned one first."""
    return assignments.names_called(work.task.agent, work.stand_ins[:-1]) if work.stand_ins else ()


def installed_name(agent: str | None, subagents: Collection[str]) -> str:
    """Returns the name under which the host has `agent`, a plugin's prefix included, or an empty string."""
    if not agent:
        return ""
    plugin, _, own = agent.partition("/")
    for name in (agent, f"{plugin}:{own}"):
        if name in subagents:
            return name
    candidates = sorted(name for name in subagents if name.endswith(f":{agent}"))
    return candidates[0] if len(candidates) == 1 else ""


def alias(name: str | None) -> str | None:
    """Returns the host's alias for a model, such as `opus` for `claude-opus-5-5`; None when it has none."""
    parts = re.split(r"[^a-z]+", (name or "").lower())
    return next((short for short in model_names.TABLE if short in parts), None)


def description(work: work_order.WorkOrder) -> str:
    """Returns three to six words that name the work."""
    least, most = _WORDS
    words = _WORD.findall(escape.one_line(work.task.goal, limit=200))[:most]
    if len(words) < least:
        words = ["Task", f"{work.task.id}:", *words, *(["as", "planned"] if not words else [])]
    return " ".join(word.rstrip("./'-") for word in words)


def _pointer(work: work_order.WorkOrder, prompt_ref: str, prompt_file: str) -> str:
    """Returns what a subagent is told whose prompt is too long to pass through the host."""
    ways = "\n".join(f"- {way}" for way in prompt_builder.places(prompt_ref, work, prompt_file))
    run = short_ids.short(work.run_id)
    return (
        f"Your task is {work.task.id} of run {run}: {escape.one_line(work.task.goal, limit=300)}\n\n"
        f"Before anything else read your brief, in the first way that you have:\n{ways}\n\n"
        "It holds GOAL, CONSTRAINTS, CONTEXT and OUTPUT. Carry it out exactly and answer in the form that its OUTPUT "
        f"asks for. {prompt_builder.UNREAD}"
    )


def _instructions(work: work_order.WorkOrder, subagent: str) -> str:
    is_own = subagent != GENERAL
    missing = f" No {subagent!r} here? Report that refusal as failed; who stands in comes back." if is_own else ""
    return (
        "No subagents here? Do it yourself: follow `call.prompt` as if it were addressed to you. Either way call "
        f"report with task_id {work.task.id!r}, attempt {work.attempt} and the whole answer.{missing}"
    )
