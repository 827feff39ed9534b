"""Carries out tasks with headless Claude Code: one process for each attempt, below the same watchdog as commands.

Claude Code works with the user's own login or key. A killed server's process dies with it (`supervisor`), because a
process that nobody watches spends money unseen; what is kept is its session. The next attempt of the task looks first
at what that process left in its folder: a finished result is taken over and not paid for again, an unfinished session
is resumed, and either way what it had spent is added to what the new attempt reports.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.model import model_names, ports, work_order
from dispatch_mcp.planning import forecast, json_reader
from dispatch_mcp.process import child_environment, supervisor
from dispatch_mcp.routing import model_choice
from dispatch_mcp.runs import handoff_schema, prompt_builder, system_prompt, tool_permissions
from dispatch_mcp.workers import attempt_dir, heartbeat, provider_errors, usage_meter
from dispatch_mcp.workers.claude import claude_outcome, claude_program, command_line, stream_rows

OUTPUT_CAP: Final = 8 << 20
MAX_TURNS: Final = 60
WIND_UP_S: Final = 4.0
"""How long before its deadline a process is asked to stop, at most; a tenth of shorter deadlines."""

BEAT: Final = "claude"
_NOTHING: Final[Mapping[str, model.Json]] = {ports.SESSION: "", BEAT: {}}
_SESSIONS: Final = uuid.UUID("6f1d3f0e-6c1c-5b3a-9d0e-2a4a1f0c7d11")


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation of Claude Code. `cost` is what it had cost at its last word, None when its last process had none.

    `directory` is where it worked: elsewhere it cannot be gone on with.
    """

    id: str
    directory: str
    cost: float | None = 0.0
    begun: bool = False

    def wire(self) -> dict[str, model.Json]:
        """Returns what the next attempt reads."""
        kept: dict[str, model.Json] = {"session": self.id, "directory": self.directory, "cost": self.cost}
        return {ports.SESSION: self.id, BEAT: kept}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user decides about this worker; `program` is a path or name, empty for the one that is found."""

    program: str = ""
    max_turns: int = MAX_TURNS
    commands: bool = False


class ClaudeWorker:
    """Runs `claude -p` in the order's place. `home` is the state directory; `brief` makes prompts, `price` prices."""

    def __init__(
        self,
        home: Path,
        policy: child_environment.ChildPolicy,
        brief: prompt_builder.Brief,
        price: forecast.Price,
        *,
        settings: Settings = Settings(),
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
        self._known: dict[str, frozenset[str]] = {}

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns how the attempt ended, with what it cost; never raises for a failure of the work itself."""
        program = claude_program.find(self._settings.program, self._policy.variables.get("PATH", ""))
        refusal = self._refusal(work, program)
        if refusal or program is None:
            return refusal or _refused("no_program", "Claude Code is not here.")
        ctx.beat()
        outcome: model.Outcome | None = None
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(heartbeat.go_on, ctx)
                outcome = await self._started(ctx, work, program)
                group.cancel_scope.cancel()
        finally:
            if outcome is None:
                stream_rows.keep_bill(attempt_dir.of(self._home, work))
            else:
                attempt_dir.remove(attempt_dir.of(self._home, work))
        assert outcome is not None
        return outcome

    async def _started(self, ctx: ports.TaskContext, work: work_order.WorkOrder, program: str) -> model.Outcome:
        try:
            return await self._worked(ctx, work, program)
        except errors.WorkerError as error:
            return provider_errors.failed(provider_errors.Trouble("not_started", True), str(error))

    def _refusal(self, work: work_order.WorkOrder, program: str | None) -> model.Outcome | None:
        if self._policy.too_deep:
            return _refused(
                "depth_limit",
                f"This server runs at depth {self._policy.depth} of {self._policy.depth_limit}; it may start nothing.",
            )
        if program is None:
            return _refused(
                "no_program",
                "Claude Code is not installed here, or not on the PATH. Install it, or name it in `claude_program` of "
                "config.toml; the doctor command says what is found.",
            )
        if not work.place or not Path(work.place).is_dir():
            return _refused("no_workspace", f"The workspace {work.place!r} is not an existing directory.")
        if work.model and not model_choice.known(work.model):
            return _refused("unknown_model", f"There is no model {work.model[:80]!r}.")
        return None

    async def _worked(self, ctx: ports.TaskContext, work: work_order.WorkOrder, program: str) -> model.Outcome:
        await anyio.to_thread.run_sync(
            self._price, model_names.DEFAULT, model.Usage(output_tokens=1), abandon_on_cancel=True
        )
        unseen, done = await self._left_behind(work)
        if done is not None:
            return done
        session = _session(work)
        ended, said, session = await self._conversed(ctx, work, program, session)
        usage = usage_meter.added(claude_outcome.spent(said, ended, self._price, session.cost), unseen)
        outcome = claude_outcome.outcome(said, ended, work, usage, self._clock())
        over = outcome.error_kind == "prompt_too_long"
        ctx.beat(**(_NOTHING if over else Session(session.id, work.place, said.total).wire()))
        return outcome

    async def _conversed(
        self, ctx: ports.TaskContext, work: work_order.WorkOrder, program: str, session: Session
    ) -> tuple[supervisor.ChildResult, stream_rows.Said, Session]:
        """Returns how the process ended, what it said and its session; one that is gone is begun anew."""
        ended, said = await self._run(ctx, work, program, session)
        if said.result or ended.exit_code != 1:
            return ended, said, session
        told = ended.stderr.decode("utf-8", "replace")
        if session.begun and claude_outcome.UNKNOWN_SESSION.search(told):
            session = _new_session(work)
        elif not session.begun and claude_outcome.SESSION_IN_USE.search(told):
            session = Session(session.id, work.place, None, begun=True)
        else:
            return ended, said, session
        return *await self._run(ctx, work, program, session), session

    async def _run(
        self, ctx: ports.TaskContext, work: work_order.WorkOrder, program: str, session: Session
    ) -> tuple[supervisor.ChildResult, stream_rows.Said]:
        ctx.beat(**Session(session.id, work.place, None).wire())
        folder = attempt_dir.of(self._home, work)
        env = command_line.variables(self._policy, work)
        known = await self._flags(program, env, folder)
        tools = tool_permissions.of(work, commands=self._settings.commands)
        prompt = handoff_schema.asked(self._brief(work))
        told = (handoff_schema.going_on(prompt) if session.begun else prompt).text
        system = _written(folder / "system", system_prompt.system(work, tools))
        call = command_line.Call(
            session=session.id,
            resume=session.begun,
            model=model_names.resolve(work.model) or model_names.resolve(model_names.DEFAULT),
            effort=model_names.effort(work.effort),
            tools=tools,
            system_file=str(system),
            max_turns=self._settings.max_turns,
            max_dollars=work.ceiling.dollars,
        )
        wind_up = 0.0 if work.timeout_s is None else min(WIND_UP_S, work.timeout_s / 10)
        ended = await supervisor.run_child(
            [program, *command_line.arguments(call, known)],
            cwd=Path(work.place),
            env=env,
            folder=folder,
            timeout_s=None if work.timeout_s is None else work.timeout_s - wind_up,
            grace_s=wind_up * 0.4 or supervisor.GRACE_S,
            output_cap=self._output_cap,
            stdin=told.encode("utf-8", "replace"),
            interrupt_s=wind_up * 0.4 or supervisor.GRACE_S,
        )
        return ended, stream_rows.read(ended.stdout)

    async def _flags(self, program: str, env: Mapping[str, str], folder: Path) -> frozenset[str]:
        """Returns what the installed version knows; asked once."""
        if program not in self._known:
            self._known[program] = await claude_program.flags(program, env, folder)
        return self._known[program]

    async def _left_behind(self, work: work_order.WorkOrder) -> tuple[model.Usage, model.Outcome | None]:
        """Returns what earlier attempts spent that nobody reported, and a result that one of them had finished.

        An attempt leaves its folder behind only when its server was killed or it was cancelled.
        """
        unseen, done = usage_meter.NOTHING, None
        for attempt in range(1, work.attempt):
            folder = attempt_dir.of(self._home, work, attempt)
            ended = await supervisor.left_over(folder)
            if ended is None:
                continue
            said = stream_rows.read(ended.stdout)
            usage = claude_outcome.spent(said, ended, self._price, None)
            unseen = usage_meter.added(unseen, usage)
            if (_session(work).begun or not work.directory) and claude_outcome.is_done(said, ended):
                done = claude_outcome.outcome(said, ended, work, unseen, self._clock())
            attempt_dir.remove(folder)
        return unseen, done


def _session(work: work_order.WorkOrder) -> Session:
    """Returns the session that an attempt goes on with, or a new one."""
    kept = work.last_beat.get(BEAT)
    if work.attempt == 1 or not json_reader.is_object(kept):
        return _new_session(work)
    known, directory = usage_meter.text(kept.get("session")), usage_meter.text(kept.get("directory"))
    if not _is_session(known) or directory != work.place:
        return _new_session(work)
    return Session(known, directory, usage_meter.number(kept.get("cost")), begun=True)


def _new_session(work: work_order.WorkOrder) -> Session:
    """Returns a session whose id follows from the attempt, so that no two processes can mean different ones."""
    return Session(str(uuid.uuid5(_SESSIONS, f"{work.run_id}/{work.task.id}/{work.attempt}")), work.place)


def _is_session(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8", errors="replace")
    return path


def _refused(kind: str, error: str) -> model.Outcome:
    return provider_errors.failed(provider_errors.Trouble(kind, False), error)
