"""What hooks say: answers as Claude Code reads them, and the few words about runs that stand in them.

Only the standard library is imported: whoever answers, the server or the hook by itself, says it in these words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from dispatch_mcp import next_steps
from dispatch_mcp.text import attempt_names, escape, json_types, short_forms

NEWS_CHARS, WELCOME_CHARS, MORE_CHARS = 400, 320, 80
"""Characters of what is told after a result (about 100 tokens) and at the start of a session (about 80); and of those
of the former what is kept for saying that there is more."""

MOST_NAMED: Final = 2
"""Open runs that the start of a session names."""

MOST_TITLE: Final = 60

Reply = dict[str, Any]


class Progress(NamedTuple):
    """How far a run is: `ends` of its `tasks` are done; `age_s` is since when it is there."""

    run: str
    title: str
    ends: int
    tasks: int
    age_s: float

    def words(self) -> str:
        """Returns it as a sentence."""
        title = escape.one_line(self.title, limit=MOST_TITLE)
        age = next_steps.duration(max(0.0, self.age_s))
        return f"{title!r} ({short_forms.short(self.run)}): {self.ends} of {self.tasks} tasks done, {age} old."


class Waiting(NamedTuple):
    """An attempt that nobody has begun, and the agent that the host is to call for it."""

    task: str
    attempt: int
    agent: str


class Standing(NamedTuple):
    """Where an attempt stands, as the words of the store: of the run, of the task and of its newest attempt."""

    run_state: str
    is_over: bool
    worker: str
    task_state: str
    newest: int

    def obstacle(self, number: int) -> str:
        """Returns why the attempt with that number cannot begin now, or an empty string."""
        if self.is_over:
            return f"its run is over ({self.run_state})"
        if self.worker != "host":
            return f"the {self.worker} worker does this task"
        if self.newest > number:
            return f"it was replaced by attempt {self.newest}"
        if self.newest < number:
            newest = f"the newest attempt is {self.newest}" if self.newest else f"the task is {self.task_state}"
            return f"it has not been handed out, {newest}"
        if self.task_state != "running":
            return f"it is over, the task is {self.task_state}"
        return "its run is paused" if self.run_state == "paused" else ""


def specific(event: str, **fields: json_types.Json) -> Reply:
    """Returns the answer to an event that has fields of its own."""
    return {"hookSpecificOutput": {"hookEventName": event, **fields}}


def denial(reason: str) -> Reply:
    """Returns the answer that keeps a subagent from starting."""
    return specific("PreToolUse", permissionDecision="deny", permissionDecisionReason=reason)


def welcome(runs: Sequence[Progress]) -> Reply:
    """Returns what the start of a session is told of its open runs; nothing where there are none."""
    if not runs:
        return {}
    sentences = " ".join(run.words() for run in runs[:MOST_NAMED])
    more = f" And {len(runs) - MOST_NAMED} more." if len(runs) > MOST_NAMED else ""
    count = next_steps.counted(len(runs), "open run")
    text = f"dispatch: {count} here. {sentences}{more} get_trace(run_id) shows one."
    return specific("SessionStart", additionalContext=cut(text, WELCOME_CHARS))


def ready(run: str, waiting: Sequence[Waiting], limit: int = NEWS_CHARS) -> str:
    """Returns what the assistant can start now of a run, as calls to make word for word."""
    text = "Ready:"
    for position, attempt in enumerate(waiting):
        name = attempt_names.short(run, attempt.task, attempt.attempt)
        call = f" Agent(subagent_type={attempt.agent!r}, prompt={str(name)!r})"
        if len(text) + len(call) > limit - MORE_CHARS and position:
            rest = next_steps.counted(len(waiting) - position, "more assignment")
            return f"{text} {rest}: dispatch(run_id={short_forms.short(run)!r})."
        text += call
    return text


def at_work(count: int) -> str:
    """Returns that everything that could be started is at work."""
    return f"{next_steps.counted(count, 'subagent')} at work; nothing else is ready."


def cut(text: str, limit: int) -> str:
    """Returns a text of at most so many characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
