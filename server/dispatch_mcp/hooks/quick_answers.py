"""What a hook can answer by a look into the store, without the server of its session or anything that it would load.

`before` is asked first: most events of a session with an open run are still none of ours. `alone` is asked where there
is no server. Both return None for what takes more than a look: then `hand_in` keeps the event for who moves runs. Where
that returns None too, everything is needed at once. Calls by name are answered by `quick_calls`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dispatch_mcp.hooks import agent_transcripts, hand_ins, holders, hook_events, hook_words
from dispatch_mcp.store.looks import open_runs
from dispatch_mcp.text import attempt_names

OF_FULL_HOOKS: Final = ("PreToolUse", "Stop")
"""What is answered only where hooks do all that they can."""

SILENCE: Final[hook_words.Reply] = {}


@dataclass(frozen=True)
class Look:
    """One event of a session of that id, with the state directory and its workspace.

    `now` is in Unix seconds, `pid` the session's process, 0 if unknown. It has no slots: transcripts are read once.
    """

    name: str
    event: hook_events.Event
    home: str
    workspace: frozenset[str]
    session: str
    now: float
    pid: int = 0

    @property
    def holder(self) -> holders.Session:
        """The session as it holds attempts."""
        return holders.Session(self.session, self.pid)

    def text(self, *path: str) -> str:
        """Returns the text at a path of fields of the event, empty if there is none."""
        return hook_events.text(self.event, *path)

    def at_work(self) -> list[open_runs.TaskLook]:
        """Returns what is out with the host or waits for a person in the open runs of the workspace."""
        return [task for task in open_runs.at_work(self.home, self.workspace) if task.workspace in self.workspace]

    @functools.cached_property
    def first_prompt(self) -> agent_transcripts.FirstPrompt:
        """Which attempt the event is about, and whether its subagent has the brief."""
        session_transcript = self.text("transcript_path")
        match self.name:
            case "PreToolUse":
                return agent_transcripts.FirstPrompt(attempt_names.called(self.text("tool_input", "prompt")), False)
            case "SubagentStop":
                return agent_transcripts.first_prompt_in(self.text("agent_transcript_path"), session_transcript)
            case "UserPromptSubmit":
                agent = hook_events.notification(self.event).agent
                path = agent_transcripts.path_of(session_transcript, agent)
                return agent_transcripts.first_prompt_in(path, session_transcript)
            case _:
                return agent_transcripts.prompt_of_call(self.event)

    @property
    def agent(self) -> str:
        """The subagent that the event is about."""
        return hook_events.agent_of(self.event)


def before(look: Look) -> hook_words.Reply | None:
    """Returns the answer that needs nobody, None if the server of the session is to be asked."""
    match look.name:
        case "SessionStart":
            return _welcome(look)
        case "PreToolUse":
            name = agent_transcripts.attempt_of_caller(look.event)
            return hook_words.denial(hook_words.no_others(name.task)) if name else None
        case "SubagentStop":
            return None if look.first_prompt.name else SILENCE
        case "UserPromptSubmit" | "PostToolUseFailure":
            return None if _is_news(look) else SILENCE
        case "PostToolUse":
            is_end = look.text("tool_response", "status") == hook_events.COMPLETED
            return None if is_end and _is_news(look) else SILENCE
        case _:
            return None


def _is_news(look: Look) -> bool:
    """Returns whether an event is about an attempt, and of a run that is over only if the session had begun it."""
    task = _newest(look)
    session = holder_of(task) if task else None
    is_own = session is not None and look.holder.is_same(session)
    return look.first_prompt.name is not None and (task is None or not task.is_over or is_own)


def alone(look: Look) -> hook_words.Reply | None:
    """Returns the answer of a hook whose session has no server, None if everything is to be loaded."""
    answers: Mapping[str, Callable[[Look], hook_words.Reply | None]] = {
        "PostToolUse": _news,
        "PostToolUseFailure": _news,
        "SubagentStop": _end,
        "UserPromptSubmit": _news,
        "Stop": _reason_to_go_on,
        "SessionEnd": _farewell,
    }
    answer = answers.get(look.name)
    return answer(look) if answer else None


class HandIn(NamedTuple):
    """An event that is kept for who takes what is kept of that workspace, and what its hook says meanwhile.

    Without a workspace nothing is kept.
    """

    workspace: str
    reply: hook_words.Reply


def hand_in(look: Look, question: hand_ins.Question) -> HandIn | None:
    """Keeps an event that moves a run for who can do so, and returns what to say; None for what has to be done at once.

    Raises OSError.
    """
    match look.name:
        case "SubagentStop":
            return _kept_result(look, {**question, "event": {**look.event, "stop_hook_active": True}})
        case "PostToolUse" | "PostToolUseFailure":
            return _kept_result(look, question)
        case "UserPromptSubmit":
            return _kept_result(look, question) if hook_events.notification(look.event).is_end else None
        case "SessionStart":
            dead = [task for task in look.at_work() if (session := holder_of(task)) and not session.is_alive]
            return _kept(look, dead, "dead sessions", question, _told_of_runs(look))
        case "SessionEnd":
            own = [task for task in look.at_work() if (session := holder_of(task)) and look.holder.is_same(session)]
            return _kept(look, own, f"end of {look.session} {look.pid}", question)
        case _:
            return None


def _kept_result(look: Look, question: hand_ins.Question) -> HandIn | None:
    """Keeps how the attempt of a subagent ended that has begun it, or has its brief."""
    task = _newest(look)
    if task is None or not _is_out(look, task) or not _is_begun(look, task) or _is_of_others(look, task):
        return None
    news = hook_words.news(look.name, task.id, "handed in", hook_words.handed_in(task.run))
    reply = SILENCE if look.name == "SubagentStop" else news
    return _kept(look, [task], f"{task.run}/{task.id}/{task.attempt}", question, reply)


def _kept(
    look: Look,
    tasks: Sequence[open_runs.TaskLook],
    key: str,
    question: hand_ins.Question,
    reply: hook_words.Reply = SILENCE,
) -> HandIn | None:
    """Keeps an event that is about these tasks."""
    if not tasks or not hand_ins.HandIns(look.home, tasks[0].workspace).keep(key, question):
        return None
    return HandIn(tasks[0].workspace, reply)


def _welcome(look: Look) -> hook_words.Reply | None:
    """Tells of open runs; what dead sessions hold is freed by who can move runs."""
    if any(not session.is_alive for task in look.at_work() if (session := holder_of(task))):
        return None
    return _told_of_runs(look)


def _told_of_runs(look: Look) -> hook_words.Reply:
    return hook_words.welcome(
        [
            hook_words.RunProgress(run.id, run.title or "", run.ends, run.tasks, look.now - run.created_at)
            for run in open_runs.of(look.home, look.workspace)
            if run.workspace in look.workspace
        ]
    )


def _end(look: Look) -> hook_words.Reply | None:
    """Says nothing to a subagent whose attempt is over; an answer that is no handoff is asked for once more.

    One that is out is reported by who can judge it.
    """
    task = _newest(look)
    if task is None or not _is_out(look, task) or _is_of_others(look, task):
        return SILENCE
    answer = look.text("last_assistant_message")
    if not _is_begun(look, task) or not answer.strip() or look.event.get("stop_hook_active"):
        return None
    if agent_transcripts.leaves_others(look.event):
        return hook_words.asked_again(hook_words.OTHERS_AT_WORK)
    from dispatch_mcp.text.reading import handoff_texts

    fault = handoff_texts.fault(answer)
    return hook_words.asked_again(fault) if fault and not open_runs.is_review(look.home, task.run, task.id) else None


def _news(look: Look) -> hook_words.Reply | None:
    """Tells what is ready after an attempt that is reported or has not begun, or how its run has ended."""
    task = _newest(look)
    if task is None or _is_of_others(look, task):
        return SILENCE
    goes_on = look.name == "UserPromptSubmit" and not hook_events.notification(look.event).is_end
    if _is_out(look, task) and _is_begun(look, task) and not goes_on:
        return None
    words = _words_of_run(look, task, hook_words.room_after(task.id, task.state))
    return hook_words.news(look.name, task.id, task.state, words)


def _words_of_run(look: Look, task: open_runs.TaskLook, limit: int) -> str:
    """Returns what is ready, or how the run of a task has ended, in so many tokens; what else to do takes more."""
    end = open_runs.end_of(look.home, task.run) if task.is_over else None
    if end:
        return hook_words.RunEnding(task.run, *end).words(limit)
    at_work = [other for other in look.at_work() if other.run == task.run and other.is_out]
    if not at_work or task.run_state != "running":
        return hook_words.waits(task.run)
    waiting = _unbegun(at_work)
    return hook_words.ready(task.run, waiting, limit) if waiting else hook_words.at_work(len(at_work))


def _reason_to_go_on(look: Look) -> hook_words.Reply:
    """Keeps a session going once that has begun attempts of a run in which others are ready."""
    if look.event.get("stop_hook_active") or hook_events.has_background_work(look.event):
        return SILENCE
    at_work = look.at_work()
    for run in dict.fromkeys(task.run for task in at_work):
        tasks = [task for task in at_work if task.run == run]
        waiting = _unbegun([task for task in tasks if task.is_out and task.run_state == "running"])
        is_own = any(task.is_out and task.session == look.session for task in tasks)
        if waiting and is_own and not any(task.worker == "human" for task in tasks):
            return {"decision": "block", "reason": hook_words.ready(run, waiting)}
    return SILENCE


def _farewell(look: Look) -> hook_words.Reply | None:
    """Says nothing where the session holds nothing."""
    holds = any(look.holder.is_same(session) for task in look.at_work() if (session := holder_of(task)))
    return None if holds and hook_events.is_farewell(look.event) else SILENCE


def _newest(look: Look) -> open_runs.TaskLook | None:
    """Returns the task that the event is about, of a run of the session's workspace."""
    name = look.first_prompt.name
    tasks = open_runs.task(look.home, name.run, name.task) if name else []
    return next((task for task in tasks if task.workspace in look.workspace), None)


def _is_out(look: Look, task: open_runs.TaskLook | None) -> bool:
    name = look.first_prompt.name
    return bool(task and name and task.is_out and task.attempt == name.attempt)


def _is_begun(look: Look, task: open_runs.TaskLook) -> bool:
    """Returns whether a task that is out was begun by whom it is looked up for."""
    return bool(task.session) or look.first_prompt.has_brief


def _is_of_others(look: Look, task: open_runs.TaskLook | None) -> bool:
    """Returns whether another session, or another call of this one, has begun the attempt of a task."""
    session = holder_of(task) if task and task.is_out else None
    if task is None or session is None:
        return False
    return not look.holder.is_same(session) or not look.first_prompt.is_of(task.attempt, task.call, look.agent)


def holder_of(task: open_runs.TaskLook) -> holders.Session | None:
    """Returns which session has begun the newest attempt of a task."""
    return holders.Session(task.session, task.pid or 0) if task.session else None


def _unbegun(tasks: Sequence[open_runs.TaskLook]) -> list[hook_words.Waiting]:
    return [
        hook_words.Waiting(task.id, task.attempt, task.agent or "general-purpose") for task in tasks if not task.session
    ]
