"""What a hook answers to a call by an attempt's name where its session has no server: the brief, or why there is none.

Only what a look into the store tells, or one row written there does. What writes that row is loaded for it, and nothing
that moves runs.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp.hooks import hand_ins, hook_words, quick_answers
from dispatch_mcp.store.looks import open_runs
from dispatch_mcp.text import attempt_names, json_types, short_forms

_LATEST: Final = "latest"
_RUNS: Final = "get_trace() lists the runs."
_WAIT: Final = "Wait for it. If it is lost, report this attempt as failed, and another one comes."


class CallBrief(NamedTuple):
    """An attempt that has begun: the planned arguments of its call, and its brief below its name.

    With a `hold` it has not, as a ceiling does not bear it any more.
    """

    call: hook_words.Reply
    brief: str
    hold: str = ""


def answer(look: quick_answers.Look, question: hand_ins.Question) -> quick_answers.HandIn | None:
    """Returns what a call by name is answered; None for what takes more than this.

    What a ceiling does not bear any more is denied, and kept for who can take it back.
    """
    name = look.first_prompt.name
    if name is None:
        return quick_answers.HandIn("", quick_answers.SILENCE)
    run, why = _run(look, name.run)
    task = next(iter(open_runs.task(look.home, run, name.task)), None) if run else None
    why = why or _refusal(look, run, name, task)
    if why or task is None:
        return quick_answers.HandIn("", hook_words.denial(why))
    call_brief = _begin(look, task, name.attempt, look.text("tool_use_id"))
    if call_brief is None or (call_brief.hold and not hand_ins.IS_POSSIBLE):
        return None
    if call_brief.hold:
        denial = hook_words.denial(f"{task.id!r} cannot begin: {call_brief.hold}. {hook_words.look_at(task.run)}")
        return quick_answers.HandIn(_kept_denial(look, task, question), denial)
    reply = hook_words.called(look.event["tool_input"], call_brief.call, call_brief.brief)
    return quick_answers.HandIn("", reply)


def late_brief(look: quick_answers.Look) -> hook_words.Reply | None:
    """Returns the brief for a subagent that was called by a name alone, as the hook before its call has failed.

    None for what takes more; nobody is told why there is none, as whoever calls it again reads that.
    """
    name, has_brief, call = look.first_prompt
    task = next(iter(open_runs.task(look.home, name.run, name.task)), None) if name else None
    if name is None or task is None or has_brief or task.session or task.workspace not in look.workspace:
        return None
    call_brief = _begin(look, task, name.attempt, call or look.text("agent_id"))
    if call_brief is None:
        return None
    return quick_answers.SILENCE if call_brief.hold else hook_words.late(call_brief.brief)


def _run(look: quick_answers.Look, handle: str) -> tuple[str, str]:
    """Returns the id of the run that a handle means, or else why it means none."""
    if handle == _LATEST:
        run = open_runs.latest(look.home, look.workspace)
        return run, "" if run else f"There is no run of this workspace yet, so none is the latest. {_RUNS}"
    runs = open_runs.named(look.home, handle)
    if len(runs) > 1:
        return "", f"{handle!r} is the beginning of several runs. Give more of the one you mean. {_RUNS}"
    return (runs[0], "") if runs else ("", f"There is no run {handle!r}. {_RUNS}")


def _refusal(
    look: quick_answers.Look, run: str, name: attempt_names.AttemptName, task: open_runs.TaskLook | None
) -> str:
    """Returns why a call gets no brief and what to do instead, or an empty string."""
    if task is None:
        return f"Run {short_forms.short(run)!r} has no task {name.task!r}. {hook_words.look_at(run)}"
    if task.workspace not in look.workspace:
        return f"Run {short_forms.short(run)!r} is of another workspace, {task.workspace!r}. {_RUNS}"
    if why := _obstacle(look, task, name.attempt):
        return f"Attempt {name.attempt} of {task.id!r} cannot begin: {why}. {hook_words.look_at(run)}"
    session = quick_answers.holder_of(task)
    if session is None or not session.is_alive:
        return ""
    if not look.holder.is_same(session):
        return f"Another session does {task.id!r} already. Leave it to that session."
    is_repeated = task.call == look.text("tool_use_id")
    return "" if is_repeated else f"A subagent of this session does {task.id!r} already. {_WAIT}"


def _obstacle(look: quick_answers.Look, task: open_runs.TaskLook, attempt: int) -> str:
    waits_at_ceiling = task.run_state == "paused" and not task.is_paused
    ceiling = open_runs.ceiling_of(look.home, task.run) if waits_at_ceiling else None
    if ceiling:
        return f"its run waits: limits.{ceiling.limit} is {ceiling.amount:,.4g}, spent are {ceiling.use:,.4g}"
    place = hook_words.AttemptStates(task.run_state, bool(task.is_over), task.worker, task.state, task.attempt)
    return place.obstacle(attempt)


def _begin(look: quick_answers.Look, task: open_runs.TaskLook, attempt: int, call_id: str) -> CallBrief | None:
    """Lets an attempt begin; None where that takes more."""
    from dispatch_mcp.store import prompt_files
    from dispatch_mcp.store.looks import host_begins

    home = Path(look.home)
    text = prompt_files.FileBriefs(home).get(task.run, task.id, attempt)
    session = quick_answers.holder_of(task)
    past: dict[str, json_types.Json] = {}
    if session and not session.is_alive:
        past = session.holds(task.call or "")
    holder = look.holder.holds(call_id)
    moment = host_begins.Begin(task.run, task.id, attempt, holder, look.now, past)
    start = host_begins.begin(home, moment) if text else None
    if start is None:
        return None
    mark = attempt_names.short(task.run, task.id, attempt).mark
    return CallBrief(dict(start.call), f"{mark}\n{text}", start.hold)


def _kept_denial(look: quick_answers.Look, task: open_runs.TaskLook, question: hand_ins.Question) -> str:
    """Keeps that an attempt was denied, and returns the workspace in which it is taken back; empty if nobody will."""
    key = f"denial of {task.run}/{task.id}/{task.attempt}"
    with contextlib.suppress(OSError):  # it is denied all the same
        if hand_ins.HandIns(look.home, task.workspace).keep(key, {**question, "name": hand_ins.DENIAL}):
            return task.workspace
    return ""
