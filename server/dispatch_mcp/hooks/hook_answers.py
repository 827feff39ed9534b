"""What a hook is answered: briefs by name, reports by themselves, what is ready next, and what is open here.

Every answer is the JSON object that Claude Code reads from a hook's stdout (docs/reference/hooks.md); an empty one says
nothing and changes nothing. Whatever comes from the host is data: names are looked up, texts are reported as results.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import anyio

from dispatch_mcp import composition, configuration, errors, model
from dispatch_mcp.engine import run_view
from dispatch_mcp.hooks import agent_transcripts, hand_ins, holders, hook_events, hook_listener, hook_words, host_calls
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.model import RunState, TaskState, WorkerKind, assignments, records, short_ids
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.runs import budget, report_reader
from dispatch_mcp.service import dispatcher, host_assignments
from dispatch_mcp.text import attempt_names, escape, json_types
from dispatch_mcp.text.reading import handoff_texts, host_notices

MOST_STOPS: Final = 3
"""How often in a row a session is kept going that would end with ready work in its hands."""

Reply = hook_words.Reply


class SessionEvent(NamedTuple):
    """One event with the session that it is of."""

    event: hook_events.Event
    session: holders.Session

    def text(self, *path: str) -> str:
        """Returns the text at a path of fields, empty if there is none."""
        return hook_events.text(self.event, *path)

    def transcript(self, path: str) -> agent_transcripts.Transcript:
        """Returns what the transcript of one of the session's subagents tells."""
        return agent_transcripts.read(path, self.text("transcript_path"))

    @property
    def agent(self) -> str:
        """The subagent that the event is about, empty if it names none."""
        return hook_events.agent_of(self.event)

    def called_with(self) -> agent_transcripts.FirstPrompt:
        """What a call that is over had called its subagent with."""
        return agent_transcripts.prompt_of_call(self.event)

    def agent_path(self, agent_id: str) -> str:
        """Returns where the transcript of a subagent stands."""
        return agent_transcripts.path_of(self.text("transcript_path"), agent_id)


class Attempt(NamedTuple):
    """An attempt in its run and the task that it is of; `is_out` is whether the host still has it."""

    view: run_view.RunView
    row: records.TaskRecord
    is_out: bool


@dataclass(frozen=True, slots=True)
class HookAnswers:
    """Answers the hooks of one session as far as `level` allows."""

    app: dispatcher.Dispatcher
    memory: hook_listener.SessionMemory
    level: host_assignments.Hooks

    @property
    def calls(self) -> host_calls.HostCalls:
        """What the sessions here begin and hold."""
        return host_calls.HostCalls(self.app)

    async def answer(self, question: Mapping[str, json_types.Json]) -> Reply:
        """Returns what the hook prints; nothing for an event that is none of ours."""
        name, event, pid = question.get("name"), question.get("event"), question.get("pid")
        if self.level == "off" or not json_types.is_object(event):
            return {}
        session = holders.Session(hook_events.text(event, "session_id"), pid if isinstance(pid, int) else 0)
        self.memory.turn_to(session.id)
        handle = self._handlers().get(str(name))
        return await handle(SessionEvent(event, session)) if handle else {}

    def _handlers(self) -> Mapping[str, Callable[[SessionEvent], Awaitable[Reply]]]:
        return {
            "SessionStart": self._welcome,
            "PreToolUse": self._before_tool,
            "PostToolUse": self._after_tool,
            "PostToolUseFailure": self._after_failure,
            "SubagentStop": self._after_subagent,
            "UserPromptSubmit": self._after_notification,
            "Stop": self._before_stop,
            "SessionEnd": self._farewell,
            hand_ins.DENIAL: self._after_denial,
        }

    async def _before_tool(self, moment: SessionEvent) -> Reply:
        """A call of ours says that hooks are here; a call of a subagent by an attempt's name gets the brief."""
        if moment.text("tool_name") not in hook_events.AGENT_TOOLS:
            self.app.hooks = self.level
            return {}
        name = attempt_names.called(moment.text("tool_input", "prompt"))
        if name is None or self.level != "full":
            return {}
        try:
            attempt = await self.calls.begin(*name, moment.session, moment.text("tool_use_id"))
        except errors.StoreError:  # a fault of ours denies nobody anything
            raise
        except errors.DispatchError as refusal:
            return hook_words.denial(refusal.full_text(tool_wording.words))
        self._note(attempt.run_id)
        return hook_words.called(moment.event["tool_input"], attempt.call, _marked(name, attempt))

    async def _after_subagent(self, moment: SessionEvent) -> Reply:
        """Reports an attempt whose subagent has answered, or has it answer once more in the form that is asked for."""
        transcript = moment.transcript(moment.text("agent_transcript_path"))
        attempt = await self._find(transcript.prompt, moment)
        if attempt is None:
            return {}
        if not attempt.is_out:
            await self._add_usage(attempt, transcript)
            return {}
        if not _is_begun(attempt, transcript.prompt):
            return await self._brief_late(moment, transcript.prompt)
        text = moment.text("last_assistant_message")
        is_early = bool(text.strip()) and agent_transcripts.leaves_others(moment.event)
        fault = hook_words.OTHERS_AT_WORK if is_early else _fault(attempt, text)
        if fault and not moment.event.get("stop_hook_active"):
            return hook_words.asked_again(fault)
        await self._report(attempt, text, transcript)
        return {}

    async def _brief_late(self, moment: SessionEvent, prompt: agent_transcripts.FirstPrompt) -> Reply:
        """Gives the brief to a subagent that was called by a name alone, as the hook before its call has failed."""
        name = prompt.name
        if name is None or self.level != "full":
            return {}
        try:
            attempt = await self.calls.begin(*name, moment.session, prompt.call or moment.agent)
        except errors.StoreError:
            raise
        except errors.DispatchError:  # whoever calls it again reads why
            return {}
        self._note(attempt.run_id)
        return hook_words.late(_marked(name, attempt))

    async def _after_tool(self, moment: SessionEvent) -> Reply:
        """Tells what is ready after a subagent that its call has waited for."""
        if moment.text("tool_response", "status") != hook_events.COMPLETED:
            return {}
        prompt = moment.called_with()
        attempt = await self._find(prompt, moment)
        if attempt and attempt.is_out and _is_begun(attempt, prompt):  # its end was missed
            transcript = moment.transcript(moment.agent_path(moment.text("tool_response", "agentId")))
            await self._report(attempt, _content(moment.event), transcript)
            attempt = await self._find(prompt, moment)
        return _news("PostToolUse", attempt)

    async def _after_failure(self, moment: SessionEvent) -> Reply:
        """Reports a subagent that could not be started, so that another one can stand in."""
        prompt = moment.called_with()
        attempt = await self._find(prompt, moment)
        if attempt and attempt.is_out and _is_begun(attempt, prompt):
            error = moment.text("error") or "The subagent did not start."
            notice = host_notices.read(error)
            if notice.kind == "unstarted":
                await self._free(attempt, error)
                return hook_words.news("PostToolUseFailure", attempt.row.id, "not started", _sentence(notice.advice))
            await self._send(attempt, status="failed", error=error, retryable=True)
            attempt = await self._find(prompt, moment)
        return _news("PostToolUseFailure", attempt)

    async def _after_notification(self, moment: SessionEvent) -> Reply:
        """Tells what is ready after a subagent in the background; reports one that was ended before it answered."""
        prompt = moment.text("prompt")
        news = hook_events.notification(moment.event)
        transcript = moment.transcript(moment.agent_path(news.agent))
        attempt = await self._find(transcript.prompt, moment)
        if attempt and not attempt.is_out and news.is_end:
            await self._add_usage(attempt, transcript)
        is_end = news.is_end and attempt is not None and attempt.is_out and host_notices.read(prompt).kind != "out"
        if attempt and is_end and _is_begun(attempt, transcript.prompt):
            if news.status == hook_events.COMPLETED:  # its own end was missed
                await self._report(attempt, host_notices.between(prompt, "result", last=True) or "", transcript)
            else:
                error = f"The subagent ended as {news.status!r}."
                await self._send(attempt, transcript, status="failed", error=error, retryable=True)
            attempt = await self._find(transcript.prompt, moment)
        return _news("UserPromptSubmit", attempt)

    async def _before_stop(self, moment: SessionEvent) -> Reply:
        """Keeps a session going that has ready work in its hands, a few times in a row."""
        if self.level != "full" or self.memory.stops >= MOST_STOPS or hook_events.has_background_work(moment.event):
            return {}
        for view in await self.calls.open_runs():
            if view.run.state is RunState.RUNNING and host_calls.unbegun(view) and self._drives(view, moment.session):
                self.memory.stops += 1
                return {"decision": "block", "reason": _ready(view)}
        return {}

    def _drives(self, view: run_view.RunView, session: holders.Session) -> bool:
        """Returns whether a session works on a run in which no person has to decide first."""
        sessions = [holder.session.id for row in view.tasks if (holder := host_calls.holder_of(view, row))]
        is_own = view.run.id in self.memory.runs or session.id in sessions
        return is_own and not any(
            row.worker is WorkerKind.HUMAN and row.state is TaskState.RUNNING for row in view.tasks
        )

    async def _welcome(self, _moment: SessionEvent) -> Reply:
        """Tells of the open runs of this workspace, and frees what sessions had that are gone."""
        await self.calls.give_back_of_dead()
        return hook_words.welcome([_progress(view) for view in await self.calls.open_runs()])

    async def _farewell(self, moment: SessionEvent) -> Reply:
        """Frees at once what the session had begun."""
        if hook_events.is_farewell(moment.event):
            await self.calls.give_back(moment.session)
        return {}

    async def _after_denial(self, moment: SessionEvent) -> Reply:
        """Takes back what a hook has denied, as a ceiling did not bear it any more; nobody is told of it again."""
        attempt = await self._find(moment.called_with(), moment)
        if attempt and attempt.is_out and host_calls.holder_of(attempt.view, attempt.row) is None:
            await self.calls.take_back_overdrawn(attempt.view, attempt.row)
        return {}

    async def _find(self, prompt: agent_transcripts.FirstPrompt, moment: SessionEvent) -> Attempt | None:
        """Returns the attempt of a subagent as it is now; None if there is none here, or another call has it."""
        name = prompt.name
        if name is None:
            return None
        try:
            view = await self.app.handles.run(name.run)
        except errors.UnknownHandle:
            return None
        row = view.rows.get(name.task)
        if row is None or view.run.workspace != self.app.handles.workspace:
            return None
        holder = host_calls.holder_of(view, row)
        is_own = holder is None or (
            holder.session.is_same(moment.session) and prompt.is_of(row.attempt, holder.call_id, moment.agent)
        )
        if not is_own:
            return None
        return Attempt(view, row, report_reader.is_out(row) and row.attempt == name.attempt)

    async def _add_usage(self, attempt: Attempt, transcript: agent_transcripts.Transcript) -> None:
        """Adds what a subagent has used whose attempt was over before it was, if nobody has said that yet."""
        name = transcript.prompt.name
        figures = transcript.model_usage()
        if name is None or not figures:
            return
        attempts = await self.app.store.attempts(attempt.view.run.id, name.task)
        if any(other.attempt == name.attempt and budget.is_silent(other.usage) for other in attempts):
            late: dict[str, model.Json] = {"task_id": name.task, "attempt": name.attempt, "status": "failed"}
            entry: dict[str, model.Json] = {**late, "error": "It came too late.", "usage": {"modelUsage": figures}}
            await self.app.report(attempt.view.run.id, [entry])

    async def _report(self, attempt: Attempt, text: str, transcript: agent_transcripts.Transcript) -> None:
        if text.strip():
            keepable = escape.encodable(text).replace("\0", "\ufffd")
            await self._send(attempt, transcript, status="succeeded", text=keepable)
        else:
            error = "The subagent ended without an answer."
            await self._send(attempt, transcript, status="failed", error=error, retryable=True)

    async def _free(self, attempt: Attempt, error: str) -> None:
        """Reports that an attempt's subagent was not started, which spends nothing and leaves it to be called again."""
        entry: dict[str, model.Json] = {"task_id": attempt.row.id, "attempt": attempt.row.attempt, "status": "failed"}
        with contextlib.suppress(errors.InputError):  # which says what the news say
            await self.app.report(attempt.view.run.id, [{**entry, "error": error}])

    async def _send(
        self, attempt: Attempt, transcript: agent_transcripts.Transcript | None = None, **entry: model.Json
    ) -> None:
        """Reports an attempt as the assistant would, with what its models used; what cannot be taken, as failed."""
        view, row, _ = attempt
        figures = transcript.model_usage() if transcript else {}
        usage: dict[str, model.Json] = {"usage": {"modelUsage": figures}} if figures else {}
        holder = host_calls.holder_of(view, row)
        if holder is None or holder.session.id == self.memory.session:  # else it was begun before the host was cleared
            self._note(view.run.id)
        name: dict[str, model.Json] = {"task_id": row.id, "attempt": row.attempt}
        try:
            await self.app.report(view.run.id, [{**name, **entry, **usage}])
        except errors.InputError as refusal:  # nobody would report it otherwise, and its run would wait for ever
            failure = {"status": "failed", "error": refusal.message, "retryable": True}
            await self.app.report(view.run.id, [{**name, **failure, **usage}])

    def _note(self, run_id: str) -> None:
        """Notes that the session works on a run, and that its hooks do."""
        self.app.hooks = self.level
        self.memory.stops = 0
        self.memory.runs.add(run_id)


def answer_alone(question: Mapping[str, json_types.Json]) -> Reply:
    """Returns what the session's server would answer if there were one: everything is opened for this event."""
    settings = configuration.load(os.environ, cwd=Path.cwd()).settings
    return {} if settings.hooks == "off" else anyio.run(_answer_alone, settings, question)


async def _answer_alone(settings: configuration.Settings, question: Mapping[str, json_types.Json]) -> Reply:
    async with composition.open_dispatcher(settings, purpose=composition.ACT) as app:
        return await HookAnswers(app, memory_of(question), settings.hooks).answer(question)


def memory_of(question: Mapping[str, json_types.Json]) -> hook_listener.SessionMemory:
    """Returns what is known of a session whose server keeps nothing: whether the host kept it going just now."""
    event = question.get("event")
    goes_on = json_types.is_object(event) and event.get("stop_hook_active")
    return hook_listener.SessionMemory(stops=MOST_STOPS if goes_on else 0)


def _is_begun(attempt: Attempt, prompt: agent_transcripts.FirstPrompt) -> bool:
    """Returns whether an attempt was begun by whom it is looked up for: its subagent has the brief, or it is held."""
    return prompt.has_brief or host_calls.holder_of(attempt.view, attempt.row) is not None


def _marked(name: attempt_names.AttemptName, attempt: host_calls.Begun) -> str:
    """Returns the brief of an attempt below the name by which its transcript is recognised."""
    return f"{name._replace(run=short_ids.short(attempt.run_id)).mark}\n{attempt.brief}"


def _news(event: str, attempt: Attempt | None) -> Reply:
    """Returns what became of an attempt and what is ready now, in a few words."""
    if attempt is None:
        return {}
    task, state = attempt.row.id, attempt.row.state.value
    return hook_words.news(event, task, state, _ready(attempt.view, hook_words.room_after(task, state)))


def _ready(view: run_view.RunView, limit: int = hook_words.NEWS_TOKENS) -> str:
    """Returns what the assistant can start now, as calls to make word for word, or else what the run waits for."""
    rows = host_calls.unbegun(view)
    if rows:
        return hook_words.ready(view.run.id, [_waiting(view, row) for row in rows], limit)
    out = sum(host_calls.holder_of(view, row) is not None for row in view.tasks)
    if out and view.run.state is RunState.RUNNING:
        return hook_words.at_work(out)
    step = view.next_step()
    if view.run.state in model.RUN_FINAL:
        return _ending(view).words(limit, _after_the_end(step))
    return hook_words.cut(tool_wording.words(step), limit)


def _ending(view: run_view.RunView) -> hook_words.RunEnding:
    states = [row.state for row in view.tasks]
    total = sum(state is not TaskState.SKIPPED for state in states)
    proven, unproven = states.count(TaskState.SUCCEEDED), states.count(TaskState.UNVERIFIED)
    return hook_words.RunEnding(view.run.id, view.run.state.value, proven, unproven, total)


def _after_the_end(step: NextStep) -> str:
    """Returns what there is to do after the end of a run beside reading what came of it."""
    if step.kind is StepKind.READ_RESULTS and not step.has_changes:
        return ""
    return tool_wording.words(replace(step, unproven=0))


def _waiting(view: run_view.RunView, row: records.TaskRecord) -> hook_words.Waiting:
    agent = host_calls.call_of(view, row.id).get("subagent_type", assignments.GENERALS[0])
    return hook_words.Waiting(row.id, row.attempt, str(agent))


def _progress(view: run_view.RunView) -> hook_words.RunProgress:
    ends = sum(row.state in model.TASK_DONE | {TaskState.SKIPPED} for row in view.tasks)
    return hook_words.RunProgress(view.run.id, view.plan.heading, ends, len(view.tasks), view.now - view.run.created_at)


def _fault(attempt: Attempt, text: str) -> str:
    """Returns why an answer cannot be read as the handoff that its brief asks for, empty where it can."""
    return "" if attempt.view.spec(attempt.row.id).reviews or not text.strip() else handoff_texts.fault(text)


def _content(event: hook_events.Event) -> str:
    """Returns what a subagent answered, as its call returns it."""
    response = event.get("tool_response")
    content = response.get("content") if json_types.is_object(response) else None
    parts = content if json_types.is_list(content) else [{"text": content}]
    texts = [part.get("text") for part in parts if json_types.is_object(part)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
