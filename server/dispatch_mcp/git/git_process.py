"""Git as this server runs it: argv lists, no hooks, no signatures, no questions, an allow-listed environment.

Unlike the programs of tasks, git is not supervised: it is short, writes whole files only, and one that outlives a
killed server finishes what it does instead of leaving a lock behind.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc

from dispatch_mcp import errors
from dispatch_mcp.git import merge_rules
from dispatch_mcp.process import child_environment, program_path
from dispatch_mcp.text import escape

MAX_SECONDS = 300.0
PATIENCE_S = 3.0
"""How long a git that is told to stop may take to remove its locks."""

_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.fsync=committed,reference",
    "core.quotePath=false",
    "core.safecrlf=false",
    "commit.gpgSign=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "advice.detachedHead=false",
    "i18n.commitEncoding=UTF-8",
    "merge.autoStash=false",
)
_OPTIONS = tuple(word for setting in _SAFE for word in ("-c", setting))
_ENV = {"GIT_NO_LAZY_FETCH": "1", "GIT_EDITOR": "true", "GIT_SEQUENCE_EDITOR": "true", "LC_ALL": "C.UTF-8"}


class Unusable(Exception):
    """There is no repository here in which worktrees can be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a git command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of its output."""
        return self.out.splitlines()

    @property
    def said(self) -> str:
        """What it complained about, on one line."""
        return escape.one_line(self.err, limit=400)


@dataclass(frozen=True, slots=True)
class Git:
    """Runs git. `home` is the state directory, above which no repository is looked for."""

    home: Path
    policy: child_environment.ChildPolicy
    max_seconds: float = MAX_SECONDS
    known_versions: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    _identity: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    async def run(
        self,
        at: Path,
        *arguments: str,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        codes: Collection[int] = (0,),
    ) -> Done:
        """Runs one git command in the folder `at`.

        Raises:
            WorkerError: it is not there, took too long, or ended with another exit code than `codes`.
        """
        try:
            with anyio.fail_after(self.max_seconds):
                done = await self._run([self._program(), *_OPTIONS, *arguments], at, stdin, env or {})
        except TimeoutError:
            raise errors.WorkerError(f"`git {arguments[0]}` took longer than {self.max_seconds:g} s.") from None
        except OSError as error:
            raise errors.WorkerError(f"`git {arguments[0]}` could not be started: {error}.") from None
        if done.code not in codes:
            raise errors.WorkerError(f"`git {arguments[0]}` failed with exit code {done.code}: {done.said}")
        return done

    async def _run(self, argv: list[str], at: Path, stdin: str, env: Mapping[str, str]) -> Done:
        whole = {**self.policy.environment(_ENV), "GIT_CEILING_DIRECTORIES": str(self.home.absolute()), **env}
        out, err = bytearray(), bytearray()
        async with _started(argv, at, whole) as process, anyio.create_task_group() as group:
            group.start_soon(_collect, process.stdout, out)
            group.start_soon(_collect, process.stderr, err)
            await _feed(process.stdin, stdin)
            await process.wait()
        return Done(process.returncode or 0, os.fsdecode(bytes(out)), os.fsdecode(bytes(err)))

    def _program(self) -> str:
        program = program_path.found("git", self.policy.environment().get("PATH", ""))
        if program is None:
            raise errors.WorkerError("git is not on the PATH.", hint="Install git 2.38 or newer.")
        return program

    async def version(self) -> tuple[int, int]:
        """Returns major and minor of git. Raises WorkerError."""
        return merge_rules.version((await self.run(Path("/"), "version")).out)

    async def identity(self, at: Path) -> dict[str, str]:
        """Returns the environment that names the author: the user's configured identity, else the product's."""
        known = self._identity.get(str(at))
        if known is None:
            found = await self.run(at, "config", "--get-regexp", r"^user\.(name|email)$", codes=(0, 1))
            set_up = dict(line.split(" ", 1) for line in found.lines if " " in line)
            name = set_up.get("user.name", "").strip() or "dispatch-mcp"
            email = set_up.get("user.email", "").strip() or "dispatch-mcp@localhost"
            known = {f"GIT_{who}_{what}": said for who in ("AUTHOR", "COMMITTER") for what, said in _named(name, email)}
            self._identity[str(at)] = known
        return known


def _named(name: str, email: str) -> tuple[tuple[str, str], ...]:
    return ("NAME", name), ("EMAIL", email)


@asynccontextmanager
async def _started(argv: list[str], at: Path, env: Mapping[str, str]) -> AsyncGenerator[anyio.abc.Process]:
    """Yields the process; when the block is left early it is told to stop, so that it removes its locks."""
    process = await anyio.open_process(
        argv, cwd=at, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.terminate()
                with anyio.move_on_after(PATIENCE_S):
                    await process.wait()
            if process.returncode is None:
                process.kill()
            await process.aclose()


async def _collect(stream: anyio.abc.ByteReceiveStream | None, into: bytearray) -> None:
    if stream is not None:
        async for data in stream:
            into += data


async def _feed(stream: anyio.abc.ByteSendStream | None, text: str) -> None:
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
    at = Path(workspace)
    if not workspace or not await anyio.Path(at).is_dir():
        raise Unusable(f"the workspace {workspace!r} is not there")
    try:
        await _new_enough(git)
        found = await git.run(at, "rev-parse", *_ASKED, codes=(0, 128))
        repo = await _bare(git, at, found) if found.lines[:1] == ["true"] else _tree(found)
    except errors.WorkerError as trouble:
        raise Unusable(str(trouble)) from None
    if away_from is not None and repo.top in (away_from, *away_from.parents):
        raise Unusable("the state directory lies inside the repository")
    if not repo.head:
        raise Unusable("the repository has no commit yet; make a first one")
    return repo


_HEAD = "HEAD^{commit}"
_ASKED = (
    "--is-bare-repository",
    "--path-format=absolute",
    "--git-common-dir",
    "--show-toplevel",
    "--show-prefix",
    _HEAD,
)


async def _new_enough(git: Git) -> None:
    if not git.known_versions:
        git.known_versions.append(await git.version())
    if git.known_versions[0] < merge_rules.OLDEST_GIT:
        raise Unusable("git is older than 2.38, which cannot merge without a checkout")


async def _bare(git: Git, at: Path, found: Done) -> Repository:
    common = Path(found.lines[1])
    head = await git.run(at, "rev-parse", "--verify", "--quiet", _HEAD, codes=(0, 1, 128))
    return Repository(common, common, "", head.out.strip(), bare=True)


def _tree(found: Done) -> Repository:
    """Returns the repository of an answer to `_ASKED`, which git gives line by line as far as it knows."""
    if len(found.lines) < 4:
        what = "is not in a git repository" if _no_repository(found) else f"cannot be used: {found.said}"
        raise Unusable(f"the workspace {what}")
    _, common, top, below, *head = found.lines
    known = head[0] if head and merge_rules.is_object(head[0]) else ""
    return Repository(Path(top), Path(common), below.rstrip("/"), known)


def _no_repository(found: Done) -> bool:
    return "not a git repository" in found.err
