"""Carries out tasks with headless Claude Code: one process for each attempt, below the same watchdog as commands.

Claude Code works with the user's own login or key. A killed server's process dies with it (`supervisor`), because a
process that nobody watches spends money unseen; what is kept is its session. The next attempt of the task looks first
at what that process left in its folder: a finished result is taken over and not paid for again, an unfinished session
is resumed, and either way what it had spent is added to what the new attempt reports.
"""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.model import failures, model_names, ports, work_order
from dispatch_mcp.planning import forecast
from dispatch_mcp.process import child_environment, supervisor
from dispatch_mcp.routing import model_choice
from dispatch_mcp.runs import handoff_schema, prompt_builder, tool_permissions
from dispatch_mcp.text import json_types, token_count
from dispatch_mcp.workers import answer_room, attempt_scope, provider_errors, usage_meter
from dispatch_mcp.workers.claude import ceiling_watch, claude_outcome, claude_program, command_line, stream_rows

OUTPUT_CAP: Final = 24 << 20
"""Bytes kept of the stream; the first half, some 150,000 tokens of answers, can be read while the process works."""

MAX_TURNS: Final = 60
MAX_ANSWER: Final = 128_000
"""Tokens that Claude Code 2.1 lets an answer have when nobody says otherwise."""

WIND_UP_S: Final = 4.0
"""How long before its deadline a process is asked to stop, at most; a tenth of shorter deadlines."""

BEAT: Final = "claude"
_NOTHING: Final[Mapping[str, model.Json]] = {ports.SESSION: "", BEAT: {}}
_SESSIONS: Final = uuid.UUID("6f1d3f0e-6c1c-5b3a-9d0e-2a4a1f0c7d11")


@dataclass(frozen=True, slots=True)
class ResumableSession:
    """A conversation of Claude Code. `cost` is what it had cost at its last word, None when its last process had none.

    `directory` is where it worked: elsewhere it cannot be gone on with.
    """

    id: str
    directory: str
    cost: float | None = 0.0
    resume: bool = False

    def to_detail(self) -> dict[str, model.Json]:
        """Returns what the next attempt reads."""
        detail: dict[str, model.Json] = {"session": self.id, "directory": self.directory, "cost": self.cost}
        return {ports.SESSION: self.id, BEAT: detail}


@dataclass(frozen=True, slots=True)
class ClaudeSettings:
    """What the user decides about this worker; `program` is a path or name, empty for the one that is found."""

    program: str = ""
    max_turns: int = MAX_TURNS
    commands: bool = False


class _Brief(NamedTuple):
    """What a process is told: its prompt, its role and its tools; `room` is what its first answer may have."""

    text: str
    system: str
    tools: tuple[str, ...]
    room: answer_room.Room


class _End(NamedTuple):
    """How a process ended and what it said; `stopper` is the ceiling that it was stopped at, empty for none."""

    child: supervisor.ChildResult
    transcript: stream_rows.StreamTranscript
    stopper: str = ""


class ClaudeWorker:
    """Runs `claude -p` in the order's place. `home` is the state directory; `brief` makes prompts, `price` prices."""

    def __init__(
        self,
        home: Path,
        policy: child_environment.ChildPolicy,
        brief: prompt_builder.Brief,
        price: forecast.Price,
        *,
        settings: ClaudeSettings = ClaudeSettings(),
        output_cap: int = OUTPUT_CAP,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._home = home
        self._policy = policy
        self._brief = brief
        self._price = price
        self._settings = settings
        self._output_cap = output_cap
        self._clock = clock
        self._flags_of: dict[str, frozenset[str]] = {}

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns how the attempt ended, with what it cost; never raises for a failure of the work itself."""
        program = claude_program.find(self._settings.program, self._policy.variables.get("PATH", ""))
        refusal = self._refusal(work, program)
        if refusal or program is None:
            return refusal or _refusal("no_program", "Claude Code is not here.")
        folder = attempt_scope.folder_of(self._home, work)
        try:
            async with attempt_scope.heartbeat(ctx):
                outcome = await self._start(ctx, work, program)
        except BaseException as end:
            # Cancelled: the next attempt has to be told what this one spent. A fault of ours: it has to find the result
            # too, which is paid for (`_leftovers`).
            stream_rows.keep_bill(folder, with_result=isinstance(end, Exception))
            raise
        attempt_scope.remove(folder)
        return outcome

    async def _start(self, ctx: ports.TaskContext, work: work_order.WorkOrder, program: str) -> model.Outcome:
        try:
            return await self._work(ctx, work, program)
        except supervisor.Unstartable as error:
            return _refusal("unstartable", str(error))
        except errors.WorkerError as error:
            return provider_errors.failed(provider_errors.Trouble("not_started"), str(error))

    def _refusal(self, work: work_order.WorkOrder, program: str | None) -> model.Outcome | None:
        if self._policy.too_deep:
            return _refusal(
                "depth_limit",
                f"This server runs at depth {self._policy.depth} of {self._policy.depth_limit}; it may start nothing.",
            )
        if program is None:
            return _refusal(
                "no_program",
                "Claude Code is not installed here, or not on the PATH. Install it, or name it in `claude_program` of "
                "config.toml; the doctor command says what is found.",
            )
        if not work.cwd or not Path(work.cwd).is_dir():
            return _refusal("no_workspace", f"The workspace {work.cwd!r} is not an existing directory.")
        if work.model and not model_choice.exists(work.model):
            return _refusal("unknown_model", f"There is no model {work.model[:80]!r}.")
        return provider_errors.unpriced(_model_of(work), work.ceiling, self._price)

    async def _work(self, ctx: ports.TaskContext, work: work_order.WorkOrder, program: str) -> model.Outcome:
        await anyio.to_thread.run_sync(
            self._price, model_names.DEFAULT, model.Usage(output_tokens=1), abandon_on_cancel=True
        )
        unseen, earlier = await self._leftovers(work)
        if earlier is not None:
            return earlier
        session = _session(work)
        brief = self._briefed(work, session)
        if not brief.room.is_enough:
            text = "The first request and an answer could go over the ceiling."
            return provider_errors.failed(provider_errors.at_ceiling(brief.room.stopper), text, unseen)
        end, session = await self._converse(ctx, work, program, session)
        child, transcript = end.child, end.transcript
        usage = usage_meter.total(claude_outcome.spent(transcript, child, self._price, session.cost), unseen)
        outcome = claude_outcome.outcome(transcript, child, work, usage, self._clock(), stopper=end.stopper)
        over = outcome.error_kind == "prompt_too_long"
        ctx.beat(**(_NOTHING if over else ResumableSession(session.id, work.cwd, transcript.total).to_detail()))
        return outcome

    async def _converse(
        self, ctx: ports.TaskContext, work: work_order.WorkOrder, program: str, session: ResumableSession
    ) -> tuple[_End, ResumableSession]:
        """Returns how the process ended, what it said and its session; one that is gone is begun anew."""
        end = await self._run(ctx, work, program, session)
        if end.transcript.result or end.child.exit_code != 1:
            return end, session
        complaint = end.child.stderr.decode("utf-8", "replace")
        if session.resume and claude_outcome.UNKNOWN_SESSION.search(complaint):
            session = _new_session(work)
        elif not session.resume and claude_outcome.SESSION_IN_USE.search(complaint):
            session = ResumableSession(session.id, work.cwd, None, resume=True)
        else:
            return end, session
        return await self._run(ctx, work, program, session), session

    def _briefed(self, work: work_order.WorkOrder, session: ResumableSession) -> _Brief:
        """Returns what the process is told, and how long its first answer may be."""
        tools = tool_permissions.tools_for(work, commands=self._settings.commands)
        prompt = handoff_schema.for_structured_answer(self._brief(work), work)
        text = (handoff_schema.continuation(prompt, work.news) if session.resume else prompt).text
        system = prompt_builder.system_prompt(work, tools)
        room = answer_room.Room(MAX_ANSWER)
        if work.ceiling.tokens is not None or work.ceiling.dollars is not None:
            tokens = token_count.count(system) + token_count.count(text)
            room = answer_room.room(
                MAX_ANSWER, work.ceiling, usage_meter.NOTHING, (_model_of(work), tokens), self._price
            )
        return _Brief(text, system, tools, room)

    async def _run(
        self, ctx: ports.TaskContext, work: work_order.WorkOrder, program: str, session: ResumableSession
    ) -> _End:
        ctx.beat(**ResumableSession(session.id, work.cwd, None).to_detail())
        folder = attempt_scope.folder_of(self._home, work)
        brief = self._briefed(work, session)
        env = command_line.variables(self._policy, work, brief.room if brief.room.stopper else None)
        flags = await self._flags(program, env, folder)
        call = command_line.ClaudeCall(
            session=session.id,
            resume=session.resume,
            model=_model_of(work),
            schema=handoff_schema.schema_of(work),
            effort=model_names.effort(work.effort),
            tools=brief.tools,
            system_file=str(_write(folder / "system", brief.system)),
            max_turns=self._settings.max_turns,
            max_dollars=work.ceiling.dollars,
        )
        wind_up = 0.0 if work.timeout_s is None else min(WIND_UP_S, work.timeout_s / 10)
        start = functools.partial(
            supervisor.run_child,
            [program, *command_line.arguments(call, flags)],
            cwd=Path(work.cwd),
            env=env,
            folder=folder,
            timeout_s=None if work.timeout_s is None else work.timeout_s - wind_up,
            grace_s=wind_up * 0.4 or supervisor.GRACE_S,
            output_cap=self._output_cap,
            stdin=brief.text.encode("utf-8", "replace"),
            interrupt_s=wind_up * 0.4 or supervisor.GRACE_S,
        )
        watch = ceiling_watch.CeilingWatch(
            folder / "stdout",
            work.ceiling,
            self._price,
            lambda usage: ctx.beat(**{ports.SPENT: usage_meter.kept(usage)}),
            readable=self._output_cap // 2,
        )
        child = await watch.over(start) or await supervisor.result_left_over(folder)
        if child is None:
            raise errors.WorkerError("Claude Code was stopped at its ceiling and left nothing.")
        # In a thread: a long day's talk takes a second to read.
        transcript = await anyio.to_thread.run_sync(stream_rows.read, child.stdout, abandon_on_cancel=True)
        return _End(child, transcript, watch.stopper)

    async def _flags(self, program: str, env: Mapping[str, str], folder: Path) -> frozenset[str]:
        """Returns what the installed version knows; asked once."""
        if program not in self._flags_of:
            self._flags_of[program] = await claude_program.flags(program, env, folder)
        return self._flags_of[program]

    async def _leftovers(self, work: work_order.WorkOrder) -> tuple[model.Usage, model.Outcome | None]:
        """Returns what earlier attempts spent that nobody reported, and a result that one of them had finished.

        An attempt leaves its folder behind only when its server was killed or it was cancelled.
        """
        unseen, outcome = usage_meter.NOTHING, None
        for attempt in range(1, work.attempt):
            folder = attempt_scope.folder_of(self._home, work, attempt)
            child = await supervisor.result_left_over(folder)
            if child is None:
                continue
            transcript = await anyio.to_thread.run_sync(stream_rows.read, child.stdout, abandon_on_cancel=True)
            usage = claude_outcome.spent(transcript, child, self._price, None)
            # Of an attempt that ended with an error of ours, the engine has said what it used.
            is_said = attempt == work.attempt - 1 and bool(work.last_error)
            unseen = unseen if is_said else usage_meter.total(unseen, usage)
            if (_session(work).resume or not work.directory) and claude_outcome.is_done(transcript, child, work):
                outcome = claude_outcome.outcome(transcript, child, work, unseen, self._clock())
            attempt_scope.remove(folder)
        return unseen, outcome


def _session(work: work_order.WorkOrder) -> ResumableSession:
    """Returns the session that an attempt goes on with, or a new one."""
    detail = work.last_beat.get(BEAT)
    if work.attempt == 1 or not json_types.is_object(detail):
        return _new_session(work)
    session, directory = usage_meter.text(detail.get("session")), usage_meter.text(detail.get("directory"))
    if not _is_session(session) or directory != work.cwd:
        return _new_session(work)
    return ResumableSession(session, directory, usage_meter.dollars(detail.get("cost")), resume=True)


def _new_session(work: work_order.WorkOrder) -> ResumableSession:
    """Returns a session whose id follows from the attempt, so that no two processes can mean different ones."""
    return ResumableSession(str(uuid.uuid5(_SESSIONS, f"{work.run_id}/{work.task.id}/{work.attempt}")), work.cwd)


def _model_of(work: work_order.WorkOrder) -> str:
    return model_names.resolve(work.model) or model_names.resolve(model_names.DEFAULT)


def _is_session(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8", errors="replace")
    return path


def _refusal(kind: failures.FailureKind, error: str) -> model.Outcome:
    return provider_errors.failed(provider_errors.Trouble(kind), error)
