"""Changes as git gives them: of a range, or of the working tree with its new files.

What a user calls a range is resolved to commits first, so no word of a user reaches the command that makes the diff.
No configured program takes part: no external diff, no text conversion, no hooks, no file system monitor.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import anyio.to_thread

from dispatch_mcp import errors
from dispatch_mcp.process import child_environment, program_path, safe_paths, supervisor
from dispatch_mcp.review import review_scope
from dispatch_mcp.text import unified_diff

MAX_SECONDS: Final = 60.0
OUTPUT_CAP: Final = 20 << 20
MAX_NEW_FILES: Final = 2_000
MAX_FILE_BYTES: Final = 1 << 20
CONTEXT_LINES: Final = 6

_SAFE: Final = tuple(
    word
    for setting in (
        "core.fsmonitor=false",
        "core.hooksPath=/dev/null",
        "core.quotePath=true",
        "diff.noprefix=false",
        "diff.mnemonicPrefix=false",
        "diff.external=",
        "diff.relative=false",
        "diff.orderFile=/dev/null",
        "color.ui=false",
        "log.showSignature=false",
        "submodule.recurse=false",
    )
    for word in ("-c", setting)
)
_DIFF: Final = (
    *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--find-renames", f"--unified={CONTEXT_LINES}"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--ignore-submodules=dirty", "--no-indent-heuristic"),
)
_ENV: Final = {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
_EMPTY_TREE: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_REVISION: Final = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_./@{}~^+:=-]{0,300}")
_SPAN: Final = re.compile(r"(?P<from>.*?)(?P<dots>\.{2,3})(?P<to>.*)")


class _Ended(NamedTuple):
    code: int | None
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class GitChanges:
    """Reads changes with git. `home` is the state directory; git runs supervised, in the policy's environment."""

    home: Path
    policy: child_environment.ChildPolicy
    max_seconds: float = MAX_SECONDS
    output_cap: int = OUTPUT_CAP

    async def of_range(self, workspace: str, asked: str) -> review_scope.Change:
        """Returns what a range changes: `A..B`, `A...B`, or `A` for everything since it branched off up to HEAD.

        Raises:
            InputError: it is no range, or names what is not there.
        """
        first, dots, last = _parted(asked.strip())
        begin = await self._commit(workspace, first or "HEAD")
        end = await self._commit(workspace, last or "HEAD")
        span = f"{begin}{dots}{end}"
        done = await self._run(workspace, *_DIFF, "--end-of-options", span, "--")
        if done.code != 0:
            raise errors.InputError(f"git cannot compare {asked[:200]!r}: {done.err}", hint="Use two dots: A..B.")
        return review_scope.Change(done.out, f"range {asked.strip()[:200]}", end)

    async def of_tree(self, workspace: str, paths: Sequence[str] = ()) -> review_scope.Change:
        """Returns what the working tree changes against HEAD, new files too; only below `paths` if there are any.

        Raises:
            InputError: the workspace is in no repository.
        """
        found = await self._run(workspace, "rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD^{commit}")
        base = found.out.strip() if found.code == 0 else _EMPTY_TREE
        chosen = [path for path in paths if path and "\0" not in path]
        limits = ["--", *(f":(top,glob){path}" if _is_glob(path) else f":(literal){path}" for path in chosen)]
        done = await self._run(workspace, *_DIFF, "--end-of-options", base, *limits)
        if done.code != 0:
            raise errors.InputError(
                f"git cannot say what changed in {workspace!r}: {done.err}", hint="Send the change as diff instead."
            )
        listed = await self._run(workspace, "ls-files", "--others", "--exclude-standard", "-z", *limits)
        names = [name for name in listed.out.split("\0") if name]
        if len(names) > MAX_NEW_FILES:
            raise errors.InputError(
                f"There are {len(names)} new files; at most {MAX_NEW_FILES} are looked at.",
                hint="Add what is not meant to be reviewed to .gitignore, or commit and name a range.",
            )
        new = await anyio.to_thread.run_sync(lambda: list(_new_files(Path(workspace), names)))
        return review_scope.Change("\n".join([done.out.rstrip("\n"), *new]), "the working tree")

    async def _commit(self, workspace: str, name: str) -> str:
        if not _REVISION.fullmatch(name) or ".." in name:
            raise errors.InputError(f"{name[:200]!r} is no revision.", hint="Such as main, HEAD~3 or v1.2..HEAD.")
        done = await self._run(workspace, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        commit = done.out.strip()
        if done.code != 0 or not re.fullmatch(r"[0-9a-f]{40,64}", commit):
            raise errors.InputError(
                f"There is no commit {name[:200]!r} here.", hint=done.err or "`git branch -a` lists branches."
            )
        return commit

    async def _run(self, workspace: str, *arguments: str) -> _Ended:
        """Runs one git command. Raises InputError without a workspace, WorkerError when git fails or says too much."""
        root = Path(workspace)
        if not workspace or not await anyio.Path(root).is_dir():
            raise errors.InputError(f"The workspace {workspace!r} is not there.", hint="Send the change as diff.")
        env = {**self.policy.environment(_ENV), "GIT_CEILING_DIRECTORIES": str(self.home.absolute())}
        folder = self.home / "runs" / f"git-{secrets.token_hex(8)}"
        try:
            result = await supervisor.run_child(
                [self._program(), *_SAFE, *arguments],
                cwd=root,
                env=env,
                folder=folder,
                timeout_s=self.max_seconds,
                output_cap=self.output_cap,
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if result.timed_out:
            raise errors.WorkerError(f"git took longer than {self.max_seconds:g} s.", hint="Review a smaller range.")
        if result.truncated:
            raise errors.InputError(
                f"The change is larger than {self.output_cap >> 20} MiB.", hint="Review it in smaller ranges."
            )
        said = " ".join(result.stderr.decode("utf-8", "replace").split())[:300]
        return _Ended(result.exit_code, result.stdout.decode("utf-8", "replace"), said)

    def _program(self) -> str:
        program = program_path.found("git", self.policy.environment().get("PATH", ""))
        if program is None:
            raise errors.WorkerError("git is not on the PATH.", hint="Install git, or send the change as diff.")
        return program


def _parted(asked: str) -> tuple[str, str, str]:
    """Returns both ends of a range and its dots; one revision stands for everything since it."""
    found = _SPAN.fullmatch(asked)
    return (found["from"], found["dots"], found["to"]) if found else (asked, "...", "")


def _is_glob(path: str) -> bool:
    return any(mark in path for mark in "*?[")


def _new_files(root: Path, names: Sequence[str]) -> Iterator[str]:
    """Yields a diff for each new file: its lines, or that it is binary."""
    for name in names:
        text = _read(root / name)
        if text is None:
            yield unified_diff.render(unified_diff.FileChange(name, name, "new", binary=True))
        elif text:
            whole = text.removesuffix("\n").split("\n")
            lines = tuple(f"+{line}" for line in whole)
            end = () if text.endswith("\n") else ("\\ No newline at end of file",)
            yield unified_diff.render(
                unified_diff.FileChange(name, name, "new", (unified_diff.Hunk(0, 1, "", (*lines, *end)),))
            )
        else:
            yield unified_diff.render(unified_diff.FileChange(name, name, "new"))


def _read(path: Path) -> str | None:
    """Returns the text of a regular file; None for a link, something binary, or one that is too large."""
    try:
        handle = os.open(path, safe_paths.READ)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES or b"\0" in data[:8_000]:
        return None
    return data.decode("utf-8", "replace")
