"""Changes as git gives them: of a range, or of the working tree with its new files.

What a user calls a range is resolved to commits first (`git.revisions`), so no word of a user reaches the command that
makes the diff. No configured program takes part: no external diff, no text conversion, no hooks, no monitor of files.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import anyio.to_thread

from dispatch_mcp import errors
from dispatch_mcp.git import git_process, revisions
from dispatch_mcp.next_steps import NextStep, StepKind
from dispatch_mcp.process import safe_paths
from dispatch_mcp.review import review_scope
from dispatch_mcp.text import escape, path_globs, unified_diff

MAX_SECONDS: Final = 60.0
OUTPUT_CAP: Final = 20 << 20
MAX_NEW_FILES: Final = 2_000
MAX_MARKED: Final = 500
"""Files that git was told to take for unchanged, each of which is looked at by itself."""

MAX_FILE_BYTES: Final = OUTPUT_CAP
MAX_BINARY_FILES: Final = 200
"""Binary files of which one after the other is looked at for text that only attributes call binary."""

MAX_NAMED: Final = 8
CONTEXT_LINES: Final = 6

_SETTINGS: Final = (
    "core.quotePath=true",
    "diff.noprefix=false",
    "diff.mnemonicPrefix=false",
    "diff.external=",
    "diff.relative=false",
    "diff.orderFile=/dev/null",
    "diff.suppressBlankEmpty=false",
    "color.ui=false",
)
"""So that a diff has one form whatever the user has configured: the one that `text.unified_diff` reads."""

_DIFF: Final = (
    *("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--find-renames", f"--unified={CONTEXT_LINES}"),
    *("--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", "--ignore-submodules=dirty", "--no-indent-heuristic"),
)
_STAGED: Final = frozenset({"--cached", "--staged"})
"""What people call the index, who know `git diff`."""

_UNMERGED: Final = re.compile(r"^\* Unmerged path .*\n?", re.MULTILINE)
"""What git says before the diff of a file with conflicts, which is whole all the same."""

_WILD_MARK: Final = re.compile(r"[*?\[]")


class _Tree(NamedTuple):
    """A checkout: its folder, and the path of the workspace below it, empty or with a slash at its end."""

    top: str
    below: str


@dataclass(frozen=True, slots=True)
class GitChanges:
    """Reads changes with git, each of which may take `max_seconds` and be `output_cap` bytes long."""

    git: git_process.Git
    max_seconds: float = MAX_SECONDS
    output_cap: int = OUTPUT_CAP

    async def of_range(self, workspace: str, span: str) -> review_scope.Change:
        """Returns what a range of commits changes (`git.revisions`), or what is staged for `--cached`.

        Raises:
            InputError: it is no range, or names what is not there.
        """
        if span.strip() in _STAGED:
            return await self._staged(workspace)
        commits = await self._revisions(workspace).span(span)
        text = await self._diff(workspace, commits.begin, commits.end)
        return review_scope.Change(text, f"range {escape.one_line(span, limit=200)}", commits.end, commits.note)

    async def of_tree(
        self, workspace: str, paths: Sequence[str] = (), base: str = "", leave_out: Collection[str] = ()
    ) -> review_scope.Change:
        """Returns what the working tree changes against `base` (HEAD), new files too, wherever in it one stands.

        `paths`, relative to the workspace, say where to look, and `leave_out` which files not to look at.

        Raises:
            InputError: the workspace is in no checkout, all paths lie outside of it, or `base` is no commit of it.
        """
        tree = await self._tree(workspace)
        start = await self._revisions(tree.top).commit(base) if base else await self._head(tree)
        limits = (*_limits(tree, workspace, paths), *(_named(tree, path, "exclude,") for path in leave_out))
        names = await self._marked_files(tree.top, limits)
        rest = (*limits, *(f":(exclude,top,literal){path}" for path in names))
        text = await self._diff(tree.top, start, limits=rest)
        parts = [await self._marked_diff(tree.top, start, path) for path in names]
        new = await self._new_files(tree.top, limits)
        return review_scope.Change(
            "\n".join([text.rstrip("\n"), *filter(None, parts), *new]), "the working tree", in_workspace=True
        )

    async def _staged(self, workspace: str) -> review_scope.Change:
        """Returns what the next commit would change."""
        tree = await self._tree(workspace)
        text = await self._diff(tree.top, await self._head(tree), options=("--cached",))
        return review_scope.Change(text, "what is staged", note="Nothing is staged; `git add` stages files.")

    async def _tree(self, workspace: str) -> _Tree:
        answer = await self._run(workspace, "rev-parse", "--show-toplevel", "--show-prefix")
        if answer.code != 0:
            raise errors.InputError(
                f"git cannot say what changed in {workspace!r}: {answer.complaint}",
                hint=NextStep(StepKind.HAND_IN_CHANGE),
            )
        top, _, below = answer.out.removesuffix("\n").partition("\n")
        return _Tree(top, below)

    async def _head(self, tree: _Tree) -> str:
        """Returns the present commit; before the first one the tree of no files."""
        answer = await self._run(tree.top, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        return answer.out.strip() if answer.code == 0 else await self._revisions(tree.top).empty_tree()

    def _revisions(self, folder: str) -> revisions.Revisions:
        return revisions.Revisions(functools.partial(self._run, folder))

    async def _diff(self, folder: str, *ends: str, options: Sequence[str] = (), limits: Sequence[str] = ()) -> str:
        """Returns a diff between these ends, or the last of them and the files, as Unicode.

        Text that the repository's attributes call binary is shown all the same: nobody leaves a review by that.
        """
        call = (*_DIFF, *options)
        answer = await self._run(folder, *call, "--end-of-options", *ends, "--", *limits)
        if answer.code != 0:
            raise errors.InputError(
                f"git cannot compare {' and '.join(end[:12] for end in ends)}: {answer.complaint}",
                hint="Send the change as diff instead.",
            )
        text = _UNMERGED.sub("", _readable(answer))
        if "\nBinary files " not in text:
            return text
        diff = unified_diff.parse(text)
        texts: dict[str, unified_diff.FileChange] = {}
        # One by one, so that a binary file too large to be printed hides no other.
        for path in [file.path for file in diff.files if file.binary][:MAX_BINARY_FILES]:
            with contextlib.suppress(errors.InputError):
                again = await self._run(
                    folder, *call, "--text", "--end-of-options", *ends, "--", f":(top,literal){path}"
                )
                texts |= {file.path: file for file in unified_diff.parse(_readable(again)).files if _is_text(file)}
        return "\n".join(unified_diff.render(texts.get(file.path, file)) for file in diff.files)

    async def _marked_files(self, top: str, limits: Sequence[str]) -> list[str]:
        """Returns files that git was told to take for unchanged, or for not checked out though they are there."""
        listing = await self._run(top, "ls-files", "-v", "-z", "--", *limits)
        entries = [entry for entry in listing.out.split("\0") if entry[:1] == "S" or entry[:1].islower()]
        names = [name for tag, name in ((entry[0], entry[2:]) for entry in entries) if _counts(Path(top, name), tag)]
        if len(names) > MAX_MARKED:
            raise errors.InputError(
                f"Git was told to take {len(names)} files for unchanged; at most {MAX_MARKED} are looked at.",
                hint="Take the marks away: `git update-index --really-refresh`, `--no-skip-worktree`.",
            )
        return names

    async def _marked_diff(self, top: str, start: str, path: str) -> str:
        """Returns what a file changes against a commit, whatever the index says of it; nothing where it is the same."""
        if not await anyio.Path(top, path).is_symlink() and not await anyio.Path(top, path).exists():
            empty = await self._revisions(top).empty_tree()
            return (await self._diff(top, start, empty, limits=[f":(top,literal){path}"])).rstrip("\n")
        answer = await self._run(top, *_DIFF, "--text", "--end-of-options", f"{start}:{path}", "--", path)
        if answer.code == 0:
            return _readable(answer).rstrip("\n")
        return "\n".join(await anyio.to_thread.run_sync(lambda: list(_diffs(Path(top), [path]))))

    async def _new_files(self, top: str, limits: Sequence[str]) -> list[str]:
        """Returns a diff for each file that git neither knows nor ignores."""
        listing = await self._run(top, "ls-files", "--others", "--exclude-standard", "-z", "--", *limits)
        names = [name for name in listing.out.split("\0") if name]
        if len(names) > MAX_NEW_FILES:
            raise errors.InputError(
                f"There are {len(names)} new files; at most {MAX_NEW_FILES} are looked at.",
                hint="Add what is not meant to be reviewed to .gitignore, or commit and name a range.",
            )
        return await anyio.to_thread.run_sync(lambda: list(self._within(_diffs(Path(top), names))))

    def _within(self, diffs: Iterable[str]) -> Iterator[str]:
        """Yields diffs as long as they fit the cap together. Raises InputError when they do not."""
        size = 0
        for diff in diffs:
            size += len(diff)
            if size > self.output_cap:
                raise self._too_large()
            yield diff

    def _too_large(self) -> errors.InputError:
        return errors.InputError(
            f"The change is larger than {self.output_cap >> 20} MiB.", hint="Review it in smaller ranges."
        )

    async def _run(self, workspace: str, *arguments: str) -> git_process.GitAnswer:
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
            raise self._too_large() from None


def _counts(path: Path, tag: str) -> bool:
    """Returns whether a file with a mark may have changed: what is not checked out is not there for that reason."""
    return (tag.islower() and tag != "s") or os.path.lexists(path)


def _readable(answer: git_process.GitAnswer) -> str:
    """Returns a diff as Unicode, for people and models; files need not be UTF-8."""
    return answer.stdout.decode("utf-8", "replace")


def _limits(tree: _Tree, workspace: str, paths: Sequence[str]) -> Iterator[str]:
    """Yields what git takes for where to look; nothing where that is everywhere.

    Raises:
        InputError: none of the paths is in the workspace.
    """
    inside = [clean for path in paths if _is_inside(clean := path_globs.normalise(path, workspace))]
    if paths and not inside:
        raise errors.InputError(
            f"None of these paths is in {workspace!r}: {', '.join(map(repr, paths[:MAX_NAMED]))}.",
            hint="Name files below it.",
        )
    folder = _WILD_MARK.sub(r"[\g<0>]", tree.below)
    for path in dict.fromkeys(inside):
        yield _named(tree, path)
        if path_globs.WILD.search(path):
            yield f":(top,glob){folder}{path}"


def _is_inside(path: str) -> bool:
    return not path.startswith(("/", "..")) and "\0" not in path


def _named(tree: _Tree, path: str, more: str = "") -> str:
    """Returns a path below the workspace as git takes it, whatever characters it has; an empty one is all of it."""
    return f":({more}top,literal){tree.below}{path}".removesuffix("/")


def _is_text(file: unified_diff.FileChange) -> bool:
    return bool(file.hunks) and not any("\0" in line for hunk in file.hunks for line in hunk.lines)


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
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # also a folder, which cannot be opened as a file
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES or b"\0" in data[:8_000]:
        return None
    return data.decode("utf-8", "replace")
