"""Git as this server runs it: argv lists, no hooks, no signatures, no questions, an allow-listed environment.

Everything here that starts git does so with `Git.run`, whether it reads or writes, and no program that a repository's
own configuration names is started with it, unless the user trusts that repository. Unlike the programs of tasks, git
is not supervised: it is short, writes whole files only, and one that outlives a killed server finishes what it does
instead of leaving a lock behind; one that only prints ends with its pipe.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc
import anyio.to_thread

from dispatch_mcp import errors
from dispatch_mcp.git import merge_rules, repository_programs
from dispatch_mcp.model import failures
from dispatch_mcp.process import child_environment, program_path
from dispatch_mcp.text import escape

MAX_SECONDS = 300.0
PATIENCE_S = 3.0
"""How long a git that is told to stop may take to remove its locks."""

OUTPUT_CAP = 256 << 20
"""Bytes that one git may print, which are held in memory: the names of some million files."""

# Settings of the user and of the repository that would start programs, ask questions, change what git prints, or leave
# something running. `core.fsync` flushes commits and refs, so that what a run has merged survives a power cut.
_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=committed,reference",
    "core.quotePath=false",
    "core.safecrlf=false",
    "commit.gpgSign=false",
    "log.showSignature=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "advice.detachedHead=false",
    "i18n.commitEncoding=UTF-8",
    "merge.autoStash=false",
)
_COMPLAINT_CAP = 64 << 10
_INSTALL = f"Install git {'.'.join(map(str, merge_rules.OLDEST_GIT))} or newer."
_ENV = {
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_EDITOR": "true",
    "GIT_SEQUENCE_EDITOR": "true",
    "LC_ALL": "C.UTF-8",
}
_ELSEWHERE = frozenset({"GIT_DIR", "GIT_COMMON_DIR"})
"""Variables by which git takes another repository than the one around the folder that it is started in."""

_COMPARES_SUBMODULES = ("--ignore-submodules=dirty",)
"""Git would look for uncommitted changes of a submodule by a git inside of it, under the configuration in there."""

_SHOWS_PATCHES = ("--no-ext-diff", "--no-textconv")
_ALWAYS: Mapping[str, tuple[str, ...]] = {
    "status": _COMPARES_SUBMODULES,
    "diff": (*_SHOWS_PATCHES, *_COMPARES_SUBMODULES),
    "diff-index": (*_SHOWS_PATCHES, *_COMPARES_SUBMODULES),
    "log": _SHOWS_PATCHES,
}
"""Options by which a command starts no program."""


def _options(settings: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for setting in settings for word in ("-c", setting))


_OPTIONS = _options(_SAFE)


class Unusable(Exception):
    """There is no repository here in which worktrees can be made: `reason` says why, and `hint` what would help."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(f"{reason}. {hint.removesuffix('.')}" if hint else reason)
        self.reason, self.hint = reason, hint


class Lasting(errors.WorkerError):
    """Git refused what it will refuse again; `kind` says what became of the attempt."""

    def __init__(self, message: str, *, kind: failures.FailureKind, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind: failures.FailureKind = kind


class TooMuch(errors.WorkerError):
    """A git printed more than it may."""


class TooSlow(errors.WorkerError):
    """A git took longer than it may."""


@dataclass(frozen=True, slots=True)
class GitAnswer:
    """How a git command ended: its exit code, negative for a signal, and the bytes that it printed."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        """Its output, with names of files as Python has them: what is no UTF-8 survives as surrogates."""
        return os.fsdecode(self.stdout)

    @property
    def lines(self) -> list[str]:
        """The lines of its output."""
        return self.out.splitlines()

    @property
    def err(self) -> str:
        """What it complained about."""
        return os.fsdecode(self.stderr)

    @property
    def complaint(self) -> str:
        """What it complained about, on one line."""
        return escape.one_line(self.err, limit=400)


@dataclass(frozen=True, slots=True)
class Git:
    """Runs git. `home` is the state directory, above which no repository is looked for.

    One command may take `max_seconds` and print `output_cap` bytes. The filters and merge drivers that repositories
    configure themselves run only where these lie in a folder of `trusted_folders`.
    """

    home: Path
    policy: child_environment.ChildPolicy
    trusted_folders: tuple[Path, ...] = ()
    max_seconds: float = MAX_SECONDS
    output_cap: int = OUTPUT_CAP
    versions: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    _identity: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    async def run(
        self,
        cwd: Path,
        *arguments: str,
        settings: Iterable[str] = (),
        stdin: str | bytes = "",
        env: Mapping[str, str] | None = None,
        codes: Collection[int] = (0,),
    ) -> GitAnswer:
        """Runs one git command in the folder `cwd`; `settings` are `key=value`, beside those that make it safe.

        Raises:
            TooSlow, TooMuch: it went over a limit, and was stopped.
            Lasting: the repository is in its way, and would be again.
            WorkerError: it is not there, or ended with another exit code than `codes`.
        """
        variables = dict(env or {})
        if arguments[0] not in repository_programs.READING_ONLY:
            variables = repository_programs.joined(variables, (await self.own_programs(cwd, env)).replacements())
        command = (arguments[0], *_ALWAYS.get(arguments[0], ()), *arguments[1:])
        return await self._answer(cwd, (*_options(settings), *command), stdin, variables, codes)

    async def own_programs(self, cwd: Path, env: Mapping[str, str] | None = None) -> repository_programs.OwnPrograms:
        """Returns what the repository of a folder configures itself and may not start; nothing if it is trusted.

        Raises:
            Lasting: its configuration says that its files lie elsewhere than around that folder.
            WorkerError: git could not be run.
        """
        is_here = _ELSEWHERE.isdisjoint((*self.policy.pass_names, *(env or {})))
        if is_here and await anyio.to_thread.run_sync(repository_programs.are_none_set, cwd):
            return repository_programs.OwnPrograms()
        listing = await self._answer(cwd, repository_programs.LISTING, "", env or {}, range(256))
        programs = repository_programs.read(listing.out)
        if programs.is_elsewhere and "GIT_WORK_TREE" not in (env or {}):
            await self._check_place(cwd)
        is_trusted = any(programs[:3]) and self.trusted_folders and await self._is_trusted(cwd, env or {})
        return repository_programs.OwnPrograms() if is_trusted else programs

    async def _check_place(self, cwd: Path) -> None:
        top = (await self._answer(cwd, ("rev-parse", "--show-toplevel"), "", {}, range(256))).out.strip()
        if top and not is_around(Path(top), cwd):
            raise Lasting(
                f"The configuration of the repository in {str(cwd)!r} says that its files are in {top!r}.",
                kind="no_worktree",
                hint="Remove `core.worktree` from it, or work in that folder.",
            )

    async def _is_trusted(self, cwd: Path, env: Mapping[str, str]) -> bool:
        ask = ("rev-parse", "--path-format=absolute", "--git-common-dir")
        common = (await self._answer(cwd, ask, "", env, range(256))).out.strip()
        return bool(common) and any(is_around(folder, Path(common)) for folder in self.trusted_folders)

    async def _answer(
        self, cwd: Path, arguments: Sequence[str], stdin: str | bytes, env: Mapping[str, str], codes: Collection[int]
    ) -> GitAnswer:
        whole = {**self.policy.environment(_ENV), "GIT_CEILING_DIRECTORIES": str(self.home.absolute())}
        argv, command = [_program(whole), *_OPTIONS, *arguments], _command(arguments)
        try:
            with anyio.fail_after(self.max_seconds):
                answer = await _run(argv, cwd, stdin, {**whole, **env}, self.output_cap)
        except TimeoutError:
            raise TooSlow(f"`git {command}` took longer than {self.max_seconds:g} s.") from None
        except OSError as error:
            raise errors.WorkerError(f"`git {command}` could not be started: {error}.") from None
        if len(answer.stdout) > self.output_cap:
            raise TooMuch(f"`git {command}` printed more than {self.output_cap:,} bytes.")
        if answer.code not in codes:
            raise refusal(command, answer)
        return answer

    async def version(self) -> tuple[int, int]:
        """Returns major and minor of git, asked once. Raises WorkerError where it is not there, or too old."""
        if not self.versions:
            self.versions.append(merge_rules.version((await self.run(Path("/"), "version")).out))
        major, minor = self.versions[0]
        if (major, minor) < merge_rules.OLDEST_GIT:
            raise errors.WorkerError(f"git {major}.{minor} is too old to merge without a checkout.", hint=_INSTALL)
        return major, minor

    async def identity(self, cwd: Path) -> dict[str, str]:
        """Returns the environment that names the author: the user's configured identity, else the product's."""
        identity = self._identity.get(str(cwd))
        if identity is None:
            answer = await self.run(cwd, "config", "--get-regexp", r"^user\.(name|email)$", codes=(0, 1))
            user = dict(line.split(" ", 1) for line in answer.lines if " " in line)
            name = user.get("user.name", "").strip() or "dispatch-mcp"
            email = user.get("user.email", "").strip() or "dispatch-mcp@localhost"
            pairs = (("NAME", name), ("EMAIL", email))
            identity = {f"GIT_{role}_{key}": text for role in ("AUTHOR", "COMMITTER") for key, text in pairs}
            self._identity[str(cwd)] = identity
        return identity


async def _run(argv: list[str], cwd: Path, stdin: str | bytes, env: Mapping[str, str], cap: int) -> GitAnswer:
    out, err = bytearray(), bytearray()
    async with _child(argv, cwd, env) as process, anyio.create_task_group() as group:
        # Both streams are read while the input is written: git blocks on whichever pipe is full.
        group.start_soon(_collect, process.stdout, out, cap, group.cancel_scope.cancel)
        group.start_soon(_drain, process.stderr, err)
        await _feed(process.stdin, stdin)
        await process.wait()
    return GitAnswer(process.returncode or 0, bytes(out), bytes(err))


def _program(env: Mapping[str, str]) -> str:
    program = program_path.find("git", env.get("PATH", ""))
    if program is None:
        raise errors.WorkerError("git is not on the PATH.", hint=_INSTALL)
    return program


def _command(arguments: Sequence[str]) -> str:
    """Returns the git command that arguments name, behind its settings."""
    at = 0
    while arguments[at] == "-c":
        at += 2
    return arguments[at]


def copy_index(source: Path, target: Path) -> None:
    """Copies an index with its time. Raises OSError.

    From that time git tells which files it has to read, though they look as they did: those that may have been written
    in the second in which the index was. A copy that looks newer would hide an edit of that second of the same size.
    """
    shutil.copy2(source, target)


def is_around(folder: Path, path: Path) -> bool:
    """Returns whether a folder is a path or holds it, links resolved."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def refusal(command: str, answer: GitAnswer) -> errors.WorkerError:
    """Returns what to raise for a command that ended with an exit code that nobody expected."""
    message = f"`git {command}` failed with exit code {answer.code}: {answer.complaint}"
    obstacle = merge_rules.lasting_obstacle(answer.err)
    return Lasting(message, kind=obstacle.kind, hint=obstacle.hint) if obstacle else errors.WorkerError(message)


@contextlib.asynccontextmanager
async def _child(argv: list[str], cwd: Path, env: Mapping[str, str]) -> AsyncGenerator[anyio.abc.Process]:
    """Yields the process; when the block is left early it is told to stop, so that it removes its locks."""
    # Shielded while it starts: cancelled in the middle of that, git would be killed at once and not reaped. Shielded
    # again while it ends: a cancelled caller must not leave a git behind that still writes.
    with anyio.CancelScope(shield=True) as scope:
        process = await anyio.open_process(
            argv, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        try:
            scope.shield = False
            yield process
        finally:
            scope.shield = True
            if process.returncode is None:
                _signal(process, signal.SIGTERM)
                with anyio.move_on_after(PATIENCE_S):
                    await process.wait()
            if process.returncode is None:
                _signal(process, signal.SIGKILL)
            await process.aclose()


def _signal(process: anyio.abc.Process, number: signal.Signals) -> None:
    """Signals git and what it has started: filters of a repository, which would go on without it."""
    # The group is git's own (`start_new_session`), and its number is taken until somebody has waited for git.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _collect(
    stream: anyio.abc.ByteReceiveStream | None, into: bytearray, cap: int, stop: Callable[[], None]
) -> None:
    """Appends what comes; calls `stop` when that is more than `cap`."""
    if stream is None:
        return
    async for chunk in stream:
        into += chunk
        if len(into) > cap:
            stop()
            return


async def _drain(stream: anyio.abc.ByteReceiveStream | None, into: bytearray) -> None:
    """Appends the beginning of what comes, and reads the rest away: warnings must not end a git."""
    if stream is None:
        return
    async for chunk in stream:
        into += chunk if len(into) < _COMPLAINT_CAP else b""


async def _feed(stream: anyio.abc.ByteSendStream | None, text: str | bytes) -> None:
    if stream is None:
        return
    try:
        if text:
            await stream.send(os.fsencode(text))
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass
    finally:
        await stream.aclose()


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository as seen from a workspace in it.

    `top` is the folder whose contents a commit holds, or the repository itself if it is bare; `common` is the folder
    that all its worktrees share; `below` is the workspace's path below `top`; `head` is its commit.
    """

    top: Path
    common: Path
    below: str
    head: str
    bare: bool = False


async def find(git: Git, workspace: str, *, away_from: Path | None = None) -> Repository:
    """Returns the repository that a workspace is in; the folder `away_from` must not lie in it.

    Raises:
        Unusable: there is none, it has no commit, or git cannot be used with it.
    """
    cwd = Path(workspace)
    if not workspace or not await anyio.Path(cwd).is_dir():
        raise Unusable(f"the workspace {workspace!r} is not there")
    try:
        await git.version()
        answer = await git.run(cwd, "rev-parse", *_QUESTIONS, codes=(0, 128))
        repo = await _bare(git, cwd, answer) if answer.lines[:1] == ["true"] else _tree(answer)
        if not repo.bare and not is_around(repo.top, cwd):
            raise Unusable(f"the configuration of the repository says that its files are in {str(repo.top)!r}")
    except errors.WorkerError as trouble:
        raise Unusable(trouble.message.removesuffix("."), str(trouble.hint)) from None
    if away_from is not None and repo.top in (away_from, *away_from.parents):
        raise Unusable("the state folder lies inside the repository")
    if not repo.head:
        raise Unusable("the repository has no commit yet", "Make a first one.")
    return repo


_HEAD = "HEAD^{commit}"
_QUESTIONS = (
    "--is-bare-repository",
    "--path-format=absolute",
    "--git-common-dir",
    "--show-toplevel",
    "--show-prefix",
    _HEAD,
)


async def _bare(git: Git, cwd: Path, answer: GitAnswer) -> Repository:
    common = Path(answer.lines[1])
    head = await git.run(cwd, "rev-parse", "--verify", "--quiet", _HEAD, codes=(0, 1, 128))
    return Repository(common, common, "", head.out.strip(), bare=True)


def _tree(answer: GitAnswer) -> Repository:
    """Returns the repository of an answer to `_QUESTIONS`, which git gives line by line until it cannot."""
    if len(answer.lines) < 4:
        no_repository = "not a git repository" in answer.err
        why = "is not in a git repository" if no_repository else f"cannot be used: {answer.complaint}"
        raise Unusable(f"the workspace {why}")
    _, common, top, below, *rest = answer.lines
    head = rest[0] if rest and merge_rules.is_object(rest[0]) else ""
    return Repository(Path(top), Path(common), below.rstrip("/"), head)
