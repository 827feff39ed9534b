"""Carries out tasks that are an argv, when the user's configuration allows it. There is no shell."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.git import command_log, edits_copy, git_process, repository_programs
from dispatch_mcp.model import AttemptState, failures, ports, work_order
from dispatch_mcp.process import allowlist, child_environment, program_path, supervisor
from dispatch_mcp.text import escape, redaction
from dispatch_mcp.text.reading import runner_endings
from dispatch_mcp.workers import attempt_scope

INLINE_CHARS = 16_384
GIT_LOG = "git-log"
FAREWELL_S = 5.0
"""What looking at the checkout may take after a command that was cancelled: whoever cancels waits for it."""

_CUT = "\n[... {} characters left out; the artifact has more ...]\n"


@dataclass(frozen=True, slots=True)
class CommandRefusal:
    """Why a command is not started; nothing that a repeated attempt would change."""

    kind: failures.FailureKind
    error: str
    hint: str


class CommandWorker:
    """Runs `task.command` in the order's workspace with an allow-listed environment.

    `home` is the state directory: output goes to files under `<home>/runs` while the program runs. `inline_chars`
    bounds what an outcome carries of standard output and error together; more is stored as blobs, by reference.
    `how_to_allow` says what the user writes where so that a command may start. `trusted_folders` are those of
    repositories whose own programs git may start, as in `git_process`.
    """

    def __init__(
        self,
        allow: allowlist.AllowList,
        home: Path,
        policy: child_environment.ChildPolicy,
        *,
        grace_s: float = supervisor.GRACE_S,
        output_cap: int = supervisor.OUTPUT_CAP,
        inline_chars: int = INLINE_CHARS,
        beat_every_s: float = attempt_scope.BEAT_EVERY_S,
        how_to_allow: Callable[[Sequence[str]], str] = lambda _argv: "Only the user can allow it.",
        trusted_folders: tuple[Path, ...] = (),
    ) -> None:
        self._allow = allow
        self._home = home
        self._policy = policy
        self._grace_s = grace_s
        self._output_cap = output_cap
        self._inline_chars = inline_chars
        self._beat_every_s = beat_every_s
        self._how_to_allow = how_to_allow
        self._git = git_process.Git(home, policy, trusted_folders)

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns success for exit code 0; a refusal, another code, a signal or a timeout otherwise."""
        call = await self._call(work)
        if isinstance(call, CommandRefusal):
            return _failure(call.kind, f"{call.error} {call.hint}")
        argv, env = call
        folder = attempt_scope.folder_of(self._home, work)
        try:
            async with attempt_scope.heartbeat(ctx, self._beat_every_s):
                return await self._watched(ctx, work, (argv, env, folder))
        finally:
            attempt_scope.remove(folder)

    async def _watched(
        self, ctx: ports.TaskContext, work: work_order.WorkOrder, call: tuple[list[str], dict[str, str], Path]
    ) -> model.Outcome:
        """Returns how a command ended; in the user's checkout it is no success that takes something of theirs."""
        argv, env, folder = call
        guard = await self._guard(work, folder / GIT_LOG)
        if guard is None:
            return await self._ended(ctx, work, call)
        before = await guard.begin()
        env = {**env, command_log.VARIABLE: str(guard.log)}
        try:
            outcome = await self._ended(ctx, work, (argv, env, folder))
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(FAREWELL_S, shield=True):
                await guard.end(ctx, before, model.Outcome(state=AttemptState.CANCELLED))
            raise
        return await guard.end(ctx, before, outcome)

    async def _guard(self, work: work_order.WorkOrder, log: Path) -> edits_copy.CheckoutGuard | None:
        """Returns what guards the checkout that a command works in; None in a worktree, and for one that only reads."""
        if work.base or allowlist.only_reads(work.task.command):
            return None
        try:
            repo = await git_process.find(self._git, work.workspace)
        except git_process.Unusable:
            return None
        return edits_copy.CheckoutGuard(self._git, repo, work, log)

    async def _ended(
        self, ctx: ports.TaskContext, work: work_order.WorkOrder, call: tuple[list[str], dict[str, str], Path]
    ) -> model.Outcome:
        result = await self._end_of(*call[:2], work, call[2])
        return result if isinstance(result, model.Outcome) else self._outcome(ctx, work, result)

    async def _end_of(
        self, argv: list[str], env: Mapping[str, str], work: work_order.WorkOrder, folder: Path
    ) -> supervisor.ChildResult | model.Outcome:
        try:
            return await supervisor.run_child(
                argv,
                cwd=Path(work.workspace),
                env=env,
                folder=folder,
                timeout_s=work.timeout_s,
                grace_s=self._grace_s,
                output_cap=self._output_cap,
            )
        except supervisor.Unstartable as error:
            return _failure("unstartable", str(error))
        except errors.WorkerError as error:
            return _failure("not_started", str(error))

    async def _call(self, work: work_order.WorkOrder) -> tuple[list[str], dict[str, str]] | CommandRefusal:
        """Returns the argv with an absolute program and its environment, or why it is not started."""
        command = work.task.command
        refusal = _malformed(command) or self._forbidden(command) or _homeless(work.workspace)
        if refusal:
            return refusal
        rule = self._allow.find(command)
        assert rule is not None
        env = self._policy.environment({**rule.env, **attempt_scope.git_log(work)}, dollars=work.ceiling.dollars)
        program = program_path.find(command[0], env.get("PATH", ""))
        if program is None:
            return CommandRefusal(
                "no_program", f"The program {command[0]!r} is not on the PATH.", "Install it, or check the PATH."
            )
        try:
            env = await self._without_programs(env, work.workspace) if rule.reads_repository else env
        except errors.WorkerError as trouble:
            return CommandRefusal("not_allowed", str(trouble), "Only commands that you allow yourself may start there.")
        return rule.argv(command, program), env

    async def _without_programs(self, env: dict[str, str], workspace: str) -> dict[str, str]:
        """Returns the environment in which git starts no program that the workspace's repository configures."""
        programs = await self._git.own_programs(Path(workspace))
        return repository_programs.joined(env, programs.replacements())

    def _forbidden(self, command: tuple[str, ...]) -> CommandRefusal | None:
        if self._policy.too_deep:
            return CommandRefusal(
                "depth_limit",
                f"This server runs at depth {self._policy.depth} of {self._policy.depth_limit}; it may start nothing.",
                "Give the task to the assistant (worker `host`), or let the user raise `depth_limit`.",
            )
        if self._allow.find(command) is None:
            return CommandRefusal(
                "not_allowed",
                f"The command {_quoted(command)} is not on the user's allow-list.",
                self._how_to_allow(command),
            )
        return None

    def _outcome(
        self, ctx: ports.TaskContext, work: work_order.WorkOrder, result: supervisor.ChildResult
    ) -> model.Outcome:
        stderr_chars = self._inline_chars // 4
        texts = {"stdout": _text(result.stdout), "stderr": _text(result.stderr)}
        stderr = _shorten(texts["stderr"], stderr_chars)
        stdout = _shorten(texts["stdout"], self._inline_chars - min(len(stderr), stderr_chars))
        extracts = {"stdout": stdout, "stderr": stderr}
        artifacts = tuple(
            model.Artifact(name=name, digest=ctx.blobs.put(data), size=len(data))
            for name, data in (("stdout", result.stdout), ("stderr", result.stderr))
            if extracts[name] != texts[name]
        )
        output = {"exit_code": result.exit_code, **extracts, "truncated": result.truncated or bool(artifacts)}
        ending = _ending(result, work)
        summary = f"{_quoted(work.task.command)} {ending}. {_gist(result)}".rstrip()
        success = result.exit_code == 0 and not result.timed_out
        kind = _error_kind(result)
        doubt = runner_endings.doubt(work.task.command, texts["stdout"], texts["stderr"]) if success else ""
        detail = f"{ending}, which proves nothing: {doubt}" if doubt else ending
        return model.Outcome(
            state=_state(result),
            unverified=bool(doubt),
            summary=summary,
            handoff=model.Handoff(completed_work=summary if success else "", artifacts=artifacts),
            output=output,
            error="" if success else summary,
            error_kind=kind,
            retryable=bool(kind) and failures.is_retryable(kind),
            usage=model.Usage(seconds=result.seconds),
            receipts=(model.Receipt(kind="exit_code", ok=success, checked=not doubt, detail=detail),),
        )


def _malformed(command: tuple[str, ...]) -> CommandRefusal | None:
    hint = 'Give the task a `command` such as `["git", "log", "-n", "5"]`.'
    if not command or not command[0]:
        return CommandRefusal("bad_command", "The task has no command.", hint)
    if any("\0" in word for word in command):
        return CommandRefusal("bad_command", "The command contains a NUL character.", hint)
    return None


def _homeless(workspace: str) -> CommandRefusal | None:
    is_folder = bool(workspace) and Path(workspace).is_absolute() and Path(workspace).is_dir()
    if is_folder and os.access(workspace, os.R_OK | os.X_OK):
        return None
    return CommandRefusal(
        "no_workspace",
        f"The workspace {workspace!r} {'cannot be read' if is_folder else 'is not an existing directory'}.",
        "Set DISPATCH_MCP_WORKSPACE to the project's absolute path.",
    )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _shorten(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    head, tail = redaction.beginning(text, half), redaction.ending(text, half)
    return head + _CUT.format(len(text) - len(head) - len(tail)) + tail


def _quoted(command: tuple[str, ...]) -> str:
    return "`" + escape.one_line(" ".join(command), limit=120).replace("`", "'") + "`"


def _gist(result: supervisor.ChildResult) -> str:
    is_output = result.exit_code == 0 or not result.stderr.strip()
    stream = result.stdout if is_output else result.stderr
    lines = [line for line in _text(stream[-4096:]).splitlines() if line.strip()]
    count = stream.count(b"\n") + (not stream.endswith(b"\n") and bool(stream))
    kind = "of output" if is_output else "on stderr"
    size = f"{'over ' if result.truncated else ''}{count} line{'' if count == 1 else 's'} {kind}"
    return f"{size}; last: {escape.one_line(lines[-1], limit=200)}" if lines else size


def _ending(result: supervisor.ChildResult, work: work_order.WorkOrder) -> str:
    if result.timed_out:
        return f"was killed after {work.timeout_s:g} s" if work.timeout_s is not None else "was killed at its deadline"
    if result.signal is not None:
        return f"was ended by signal {result.signal}"
    return f"ended with exit code {result.exit_code}"


def _state(result: supervisor.ChildResult) -> AttemptState:
    if result.timed_out:
        return AttemptState.TIMED_OUT
    return AttemptState.SUCCEEDED if result.exit_code == 0 else AttemptState.FAILED


def _error_kind(result: supervisor.ChildResult) -> failures.FailureKind | Literal[""]:
    if result.timed_out:
        return "timeout"
    if result.signal is not None:
        return "signal"
    return "exit_code" if result.exit_code else ""


def _failure(kind: failures.FailureKind, error: str) -> model.Outcome:
    return model.Outcome(
        state=AttemptState.FAILED,
        summary=error,
        error=error,
        error_kind=kind,
        retryable=failures.is_retryable(kind),
    )
