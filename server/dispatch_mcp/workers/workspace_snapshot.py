"""Which files an attempt touched: the workspace before it, and again after it.

With git, a snapshot is the commit and a digest of every file that differs from it or is declared by name: small,
whatever the size of the repository. Without git, it is a digest of every declared file, and nothing is known of
others. A symbolic link is compared by where it points and never followed. Everything is bounded: what is too much,
or takes too long, is not measured, and the snapshot says so.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.process import allowlist, child_environment, program_path, supervisor
from dispatch_mcp.text import json_types, path_globs
from dispatch_mcp.workers import safe_look
from dispatch_mcp.workers.safe_look import Unmeasured

MAX_FILES = 2_000
"""Files of which one snapshot holds a digest."""
MAX_SECONDS = 10.0
OUTPUT_CAP = 4 << 20

_STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames", "--", ".")
_BLANKS_BEFORE_PATH = {"1": 8, "u": 10, "?": 1}
_HEAD = "# branch.oid "
_UNBORN = "(initial)"
_READ_ONLY = allowlist.parse(())


class Snapshot(NamedTuple):
    """A workspace at one moment. `head` is a commit, `(initial)`, or empty without git.

    `files` has a digest per file, empty for one that is not there; `problem` says why nothing was measured.
    """

    head: str = ""
    files: Mapping[str, str] = {}
    problem: str = ""

    def wire(self) -> dict[str, model.Json]:
        """Returns the snapshot as JSON; `of` reads it back."""
        return {"head": self.head, "files": dict(self.files), "problem": self.problem}


def of(value: model.Json) -> Snapshot:
    """Returns the snapshot of a JSON value; one with a problem when it is none."""
    if not json_types.is_object(value) or not json_types.is_object(value.get("files")):
        return Snapshot(problem="there is no snapshot from before the attempt")
    files = {path: str(digest) for path, digest in value["files"].items()}
    return Snapshot(str(value.get("head", "")), files, str(value.get("problem", "")))


@dataclass(frozen=True, slots=True)
class Camera:
    """Takes snapshots. `home` is the state directory; git runs under the supervisor, in the policy's environment."""

    home: Path
    policy: child_environment.ChildPolicy
    max_files: int = MAX_FILES
    max_seconds: float = MAX_SECONDS

    async def take(self, workspace: str, declared: Collection[str], also: Collection[str] = ()) -> Snapshot:
        """Returns the workspace as it is; `also` names files to look at whatever git says of them."""
        root = Path(workspace)
        try:
            with anyio.fail_after(self.max_seconds):
                head, differing = await self._status(root)
                wanted = {*differing, *also}
                return await safe_look.in_thread(lambda stop: self._digests(root, head, wanted, declared, stop))
        except Unmeasured as why:
            return Snapshot(problem=str(why))
        except TimeoutError:
            return Snapshot(problem=f"looking took longer than {self.max_seconds:g} s")

    async def changed(self, workspace: str, declared: Collection[str], before: Snapshot) -> tuple[Snapshot, set[str]]:
        """Returns the workspace now, and which files differ from `before`, relative to the workspace."""
        if before.problem:
            return before, set()
        now = await self.take(workspace, declared, before.files)
        if not now.problem and bool(now.head) != bool(before.head):
            now = Snapshot(problem="the workspace became a git repository in between, or ceased to be one")
        if now.problem:
            return now, set()
        try:
            moved = await self._moved(Path(workspace), before.head, now.head)
        except Unmeasured as why:
            return Snapshot(problem=str(why)), set()
        absent = None if now.head else ""
        differing = {path for path, digest in now.files.items() if before.files.get(path, absent) != digest}
        return now, differing | (moved - before.files.keys())

    async def _status(self, root: Path) -> tuple[str, set[str]]:
        """Returns the commit, empty without git, and the files that differ from it."""
        top = _top(root)
        if top is None or self.policy.too_deep:
            return "", set()
        head, paths = "", set[str]()
        for entry in (await self._git(root, *_STATUS)).split("\0"):
            if entry.startswith(_HEAD):
                head = entry.removeprefix(_HEAD)
            elif entry[:1] in _BLANKS_BEFORE_PATH:
                paths.add(entry.split(" ", _BLANKS_BEFORE_PATH[entry[0]])[-1])
        return head, _below(root, top, paths)

    async def _moved(self, root: Path, before: str, now: str) -> set[str]:
        """Returns the files that differ between two commits."""
        top = _top(root)
        if before == now or top is None:
            return set()
        if before == _UNBORN:
            text = await self._git(root, "ls-files", "-z", "--cached", "--full-name", "--", ".")
        else:
            text = await self._git(root, "diff", "--name-only", "-z", "--no-renames", before, now, "--", ".")
        return _below(root, top, {path for path in text.split("\0") if path})

    async def _git(self, root: Path, *arguments: str) -> str:
        rule = _READ_ONLY.find(("git", *arguments))
        if rule is None:
            raise Unmeasured("git would be asked for more than reading")
        env = self.policy.environment(rule.env)
        program = program_path.found("git", env.get("PATH", ""))
        if program is None:
            raise Unmeasured("git is not on the PATH")
        result = await self._output([program, *arguments], root, env)
        if result.truncated:
            raise Unmeasured("the workspace differs from the last commit in too many files")
        if result.exit_code != 0:
            raise Unmeasured(f"git {arguments[0]} failed: {os.fsdecode(result.stderr[-200:]).strip()}")
        return os.fsdecode(result.stdout)

    async def _output(self, argv: list[str], root: Path, env: Mapping[str, str]) -> supervisor.ChildResult:
        folder = self.home / "runs" / f"git-{secrets.token_hex(8)}"
        try:
            return await supervisor.run_child(
                argv, cwd=root, env=env, folder=folder, timeout_s=self.max_seconds, output_cap=OUTPUT_CAP
            )
        except errors.WorkerError as error:
            raise Unmeasured(str(error)) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _digests(
        self, root: Path, head: str, wanted: Collection[str], declared: Collection[str], stop: threading.Event
    ) -> Snapshot:
        paths = set(wanted)
        for pattern in (path_globs.normalise(path, str(root)) for path in declared):
            paths |= _named(pattern) if head else set(safe_look.declared(root, pattern, stop))
            if len(paths) > self.max_files:
                what = "differ from the last commit" if head else "are declared, and there is no git"
                raise Unmeasured(f"more than {self.max_files} files {what}")
        return Snapshot(head, {path: safe_look.digest(root, path) for path in sorted(paths) if not stop.is_set()})


def _named(pattern: str) -> set[str]:
    return set() if not pattern or any(mark in pattern for mark in "*?") else {pattern}


def _top(root: Path) -> Path | None:
    """Returns the folder of the git repository that `root` is in."""
    return next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)


def _below(root: Path, top: Path, paths: Collection[str]) -> set[str]:
    """Returns those paths, relative to the repository, that lie in the workspace, relative to it."""
    prefix = root.relative_to(top).as_posix()
    head = "" if prefix == "." else f"{prefix}/"
    return {path.removeprefix(head) for path in paths if path.startswith(head) and safe_look.sayable(path)}
