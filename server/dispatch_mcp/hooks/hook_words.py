"""What hooks say: answers as Claude Code reads them, and the few words about runs that stand in them.

Only the standard library is imported: whoever answers, the server or the hook by itself, says it in these words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from dispatch_mcp import next_steps
from dispatch_mcp.text import attempt_names, escape, json_types, short_forms, token_count

NEWS_TOKENS, WELCOME_TOKENS = 100, 80
"""Tokens of what is told after a result, and at the start of a session."""

_LEVELS_OF_DETAIL: Final = ((2, 60), (2, 24), (1, 60), (1, 24), (1, 8))
"""How many open runs are named and with how many characters of their titles, from the most to the least."""

Reply = dict[str, Any]


class RunProgress(NamedTuple):
    """How far a run is: `ends` of its `tasks` are done; `age_s` is since when it is there."""

    run: str
    title: str
    ends: int
    tasks: int
    age_s: float

    def words(self, most_title: int) -> str:
        """Returns it as a sentence, with so many characters of the title."""
        title = escape.one_line(self.title, limit=most_title)
        age = next_steps.duration(max(0.0, self.age_s))
        return f"{title!r} ({short_forms.short(self.run)}): {self.ends} of {self.tasks} tasks done, {age} old."


class Waiting(NamedTuple):
    """An attempt that nobody has begun, and the agent that the host is to call for it."""

    task: str
    attempt: int
    agent: str


class AttemptStates(NamedTuple):
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


class RunEnding(NamedTuple):
    """How a run has ended: its state, and how many of its `total` tasks are proven, or only claimed."""

    run: str
    state: str
    proven: int
    unproven: int
    total: int

    def words(self, limit: int, more: str = "") -> str:
        """Returns that it is over, how, and where to look, in so many tokens; `more` as far as there is room."""
        run = short_forms.short(self.run)
        claims = f", {self.unproven} UNVERIFIED" if self.unproven else ""
        head = f"Run {run!r} is over ({self.state}): {self.proven} of {self.total} proven{claims}."
        text = f"{head} get_trace(run_id={run!r}, view='results') has everything."
        return cut(f"{text} {more}", limit) if more else text


def specific(event: str, **fields: json_types.Json) -> Reply:
    """Returns the answer to an event that has fields of its own."""
    return {"hookSpecificOutput": {"hookEventName": event, **fields}}


def denial(reason: str) -> Reply:
    """Returns the answer that keeps a subagent from starting."""
    return specific("PreToolUse", permissionDecision="deny", permissionDecisionReason=reason)


def called(arguments: Mapping[str, json_types.Json], call: Mapping[str, json_types.Json], brief: str) -> Reply:
    """Returns the answer by which a subagent starts with a brief: the host's own arguments, changed as planned."""
    return specific("PreToolUse", permissionDecision="allow", updatedInput={**arguments, **call, "prompt": brief})


def welcome(runs: Sequence[RunProgress]) -> Reply:
    """Returns what the start of a session is told of its open runs; nothing where there are none."""
    if not runs:
        return {}
    texts = [_welcome(runs, *detail) for detail in _LEVELS_OF_DETAIL]
    text = next((text for text in texts if token_count.count(text) <= WELCOME_TOKENS), texts[-1])
    return specific("SessionStart", additionalContext=cut(text, WELCOME_TOKENS))


def _welcome(runs: Sequence[RunProgress], most_runs: int, most_title: int) -> str:
    sentences = " ".join(run.words(most_title) for run in runs[:most_runs])
    more = f" And {len(runs) - most_runs} more." if len(runs) > most_runs else ""
    count = next_steps.counted(len(runs), "open run")
    return f"dispatch: {count} here. {sentences}{more} get_trace(run_id) shows one."


def news(event: str, task: str, state: str, words: str) -> Reply:
    """Returns what is told after a result: how its task is, and what is ready or what the run waits for."""
    return specific(event, additionalContext=cut(f"{task}: {state}. {words}", NEWS_TOKENS))


def room_after(task: str, state: str) -> int:
    """Returns the tokens that news have beside the state of their task."""
    return NEWS_TOKENS - token_count.count(f"{task}: {state}. ")


def ready(run: str, waiting: Sequence[Waiting], limit: int = NEWS_TOKENS) -> str:
    """Returns what the assistant can start now of a run, as calls to make word for word, in so many tokens.

    What has no room is fetched by one call for all of it.
    """
    text = _ready(run, waiting, 0)
    for count in range(1, len(waiting) + 1):
        longer = _ready(run, waiting, count)
        if token_count.count(longer) <= limit:
            text = longer
        elif count < len(waiting):
            break
    return text


def _ready(run: str, waiting: Sequence[Waiting], count: int) -> str:
    names = [attempt_names.short(run, attempt.task, attempt.attempt) for attempt in waiting[:count]]
    calls = [
        f" Agent(subagent_type={attempt.agent!r}, prompt={str(name)!r})"
        for attempt, name in zip(waiting, names, strict=False)
    ]
    rest = len(waiting) - count
    more = f" {next_steps.counted(rest, 'more assignment' if count else 'assignment')}: " if rest else ""
    return f"Ready:{''.join(calls)}{more}" + (f"dispatch(run_id={short_forms.short(run)!r})." if rest else "")


OTHERS_AT_WORK: Final = "a subagent that you have started still works, and you are not called again when it ends"
"""Why an answer is asked for once more that leaves subagents of its subagent at work."""


def asked_again(problem: str) -> Reply:
    """Returns the answer by which a subagent answers once more, and why."""
    text = f"Your answer cannot be handed over: {problem}. Answer again, in the form that your task's OUTPUT asks for."
    return {"decision": "block", "reason": text}


LATE: Final = "You were called by a name alone. It is that of this task: do it now."
"""What a subagent is told with its brief that has answered without having it."""


def late(brief: str) -> Reply:
    """Returns the answer by which a subagent gets its brief after it has answered without."""
    return {"decision": "block", "reason": f"{LATE}\n{brief}"}


def no_others(task: str) -> str:
    """Returns why a subagent at work gets no brief of another attempt."""
    return f"You do {task!r} and no other attempt: whoever called you starts those. Do your own task."


def look_at(run: str) -> str:
    """Returns how to look at a run."""
    return f"get_trace(run_id={short_forms.short(run)!r}) shows where the run stands."


def waits(run: str) -> str:
    """Returns that a run goes on by nothing that the assistant could start."""
    return f"Nothing is ready; get_trace(run_id={short_forms.short(run)!r}) says what it waits for."


def handed_in(run: str) -> str:
    """Returns what is told of a result that is kept and not judged yet."""
    return f"Its result is kept and being checked. Then dispatch(run_id={short_forms.short(run)!r}) has what is ready."


def at_work(count: int) -> str:
    """Returns that everything that could be started is at work."""
    return f"{next_steps.counted(count, 'subagent')} at work; nothing else is ready."


def cut(text: str, limit: int) -> str:
    """Returns a text of at most so many tokens."""
    if token_count.count(text) <= limit:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        fits, too_long = (middle, too_long) if token_count.count(f"{text[:middle]}…") <= limit else (fits, middle)
    return f"{text[:fits]}…"
