"""Changes as git gives them: of a range, or of the working tree with its new files.

What a user calls a range is resolved to commits first, so no word of a user reaches the command that makes the diff.
No configured program takes part: no external diff, no text conversion, no hooks, no file system monitor.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from dispatch_mcp import errors
from dispatch_mcp.git import git_process, merge_rules
from dispatch_mcp.process import safe_paths
from dispatch_mcp.review import review_scope
from dispatch_mcp.text import path_globs, unified_diff

MAX_SECONDS: Final = 60.0
OUTPUT_CAP: Final = 20 << 20
MAX_NEW_FILES: Final = 2_000
MAX_FILE_BYTES: Final = 1 << 20
CONTEXT_LINES: Final = 6

_SETTINGS: Final = (
    "core.quotePath=true",
    "diff.noprefix=false",
    "diff.mnemonicPrefix=false",
    "diff.external=",
    "diff.relative=false",
    "diff.orderFile=/dev/null",
    "color.ui=false",
)
"""So that a diff has one form whatever the user has configured: the one that `text.unified_diff` reads."""

_DIFF: Final = (
    *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--find-renames", f"--unified={CONTEXT_LINES}"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--ignore-submodules=dirty", "--no-indent-heuristic"),
)
_EMPTY_TREE: Final = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""What git calls the tree of no files; every git knows it."""

_REVISION: Final = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_./@{}~^+:=-]{0,300}")
_SPAN: Final = re.compile(r"(?P<from>[^.\n]*+(?:\.(?!\.)[^.\n]*+)*+)(?P<dots>\.{2,3})(?P<to>.*)")


@dataclass(frozen=True, slots=True)
class GitChanges:
    """Reads changes with git, each of which may take `max_seconds` and be `output_cap` bytes long."""

    git: git_process.Git
    max_seconds: float = MAX_SECONDS
    output_cap: int = OUTPUT_CAP

    async def of_range(self, workspace: str, span: str) -> review_scope.Change:
        """Returns what a range changes: `A..B`, `A...B`, or `A` for everything since it branched off up to HEAD.

        Raises:
            InputError: it is no range, or names what is not there.
        """
        first, dots, last = _ends(span.strip())
        begin = await self._commit(workspace, first or "HEAD")
        end = await self._commit(workspace, last or "HEAD")
        answer = await self._run(workspace, *_DIFF, "--end-of-options", f"{begin}{dots}{end}", "--")
        if answer.code != 0:
            raise errors.InputError(
                f"git cannot compare {span[:200]!r}: {answer.complaint}", hint="Use two dots: A..B."
            )
        return review_scope.Change(_readable(answer), f"range {span.strip()[:200]}", end)

    async def of_tree(self, workspace: str, paths: Sequence[str] = (), base: str = "") -> review_scope.Change:
        """Returns what the working tree changes against `base` (HEAD), new files too; only below `paths` if any.

        Raises:
            InputError: the workspace is in no repository, or `base` is no commit of it.
        """
        head = await self._run(
            workspace, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{base or 'HEAD'}^{{commit}}"
        )
        if base and head.code != 0:
            raise errors.InputError(f"There is no commit {base[:200]!r} here.", hint="Name one that is.")
        base = head.out.strip() if head.code == 0 else _EMPTY_TREE
        limits = ("--", *(_pathspec(path) for path in paths if path and "\0" not in path))
        answer = await self._run(workspace, *_DIFF, "--end-of-options", base, *limits)
        if answer.code != 0:
            raise errors.InputError(
                f"git cannot say what changed in {workspace!r}: {answer.complaint}",
                hint="Send the change as diff instead.",
            )
        new = await self._new_files(workspace, limits)
        return review_scope.Change("\n".join([_readable(answer).rstrip("\n"), *new]), "the working tree")

    async def _new_files(self, workspace: str, limits: Sequence[str]) -> list[str]:
        """Returns a diff for each file that git neither knows nor ignores."""
        listing = await self._run(workspace, "ls-files", "--others", "--exclude-standard", "-z", *limits)
        names = [name for name in listing.out.split("\0") if name]
        if len(names) > MAX_NEW_FILES:
            raise errors.InputError(
                f"There are {len(names)} new files; at most {MAX_NEW_FILES} are looked at.",
                hint="Add what is not meant to be reviewed to .gitignore, or commit and name a range.",
            )
        return await anyio.to_thread.run_sync(lambda: list(_diffs(Path(workspace), names)))

    async def _commit(self, workspace: str, name: str) -> str:
        if not _REVISION.fullmatch(name) or ".." in name:
            raise errors.InputError(f"{name[:200]!r} is no revision.", hint="Such as main, HEAD~3 or v1.2..HEAD.")
        revision = f"{name}^{{commit}}"
        answer = await self._run(workspace, "rev-parse", "--verify", "--quiet", "--end-of-options", revision)
        commit = answer.out.strip()
        if answer.code != 0 or not merge_rules.is_object(commit):
            raise errors.InputError(
                f"There is no commit {name[:200]!r} here.", hint=answer.complaint or "`git branch -a` lists branches."
            )
        return commit

    async def _run(self, workspace: str, *arguments: str) -> git_process.Answer:
        """Runs one git command, whatever its exit code.

        Raises:
            InputError: there is no workspace, or the change is too large.
            WorkerError: git is not there, or takes too long.
        """
        cwd = Path(workspace)
        if not workspace or not await anyio.Path(cwd).is_dir():
            raise errors.InputError(f"The workspace {workspace!r} is not there.", hint="Send the change as diff.")
        git = replace(self.git, max_seconds=self.max_seconds, output_cap=self.output_cap)
        try:
            return await git.run(cwd, *arguments, settings=_SETTINGS, codes=range(256))
        except git_process.TooSlow as trouble:
            raise errors.WorkerError(str(trouble), hint="Review a smaller range.") from None
        except git_process.TooMuch:
            raise errors.InputError(
                f"The change is larger than {self.output_cap >> 20} MiB.", hint="Review it in smaller ranges."
            ) from None


def _readable(answer: git_process.Answer) -> str:
    """Returns a diff as Unicode, for people and models; files need not be UTF-8."""
    return answer.stdout.decode("utf-8", "replace")


def _ends(span: str) -> tuple[str, str, str]:
    """Returns the beginning of a range, its dots and its end; one revision stands for everything since it."""
    match = _SPAN.fullmatch(span)
    return (match["from"], match["dots"], match["to"]) if match else (span, "...", "")


def _pathspec(path: str) -> str:
    """Returns a path or glob as git takes it."""
    return f":(top,glob){path}" if path_globs.WILD.search(path) else f":(literal){path}"


def _diffs(root: Path, names: Sequence[str]) -> Iterator[str]:
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
