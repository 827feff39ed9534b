"""The user's uncommitted work around an attempt: copied before it under a ref of ours, and missed after it.

Whatever a worker does to the checkout, what was there can be had back. The copy goes when nothing is missing.

An attempt in a worktree has no business in the checkout, and answers for what its own git commands did there. A command
that works in the checkout itself answers for all that is gone afterwards, but for files that tasks of its run declare:
those belong to the run, and others may be at work on them.
"""

from __future__ import annotations

import contextlib
import itertools
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import anyio.to_thread

from dispatch_mcp import errors, model
from dispatch_mcp.git import checkout_watch, command_log, foreign_repositories, git_process, merge_queue, merge_rules
from dispatch_mcp.model import AttemptState, Receipt, ports, problems, run_refs, work_order
from dispatch_mcp.runs import receipts
from dispatch_mcp.text import escape, path_globs, unified_diff

MOST_FILES: Final = 2_000
MOST_BYTES: Final = 64 << 20
"""What is copied at most, of files and of bytes in all: a data set in the checkout is not."""

MOST_REWRITTEN: Final = 100
MOST_READ: Final = 8 << 20
"""Files with uncommitted work that are looked into after they were changed, and the bytes of one."""

COPY_S: Final = 10.0
NAMED: Final = 20
"""Files that the command names which brings them back."""

_STATUS: Final = (
    *("status", "--porcelain", "-z", "--no-renames"),
    *("--untracked-files=all", "--ignore-submodules=all"),
)


class EditsCopy(NamedTuple):
    """What was not committed: the commit that holds it, and the files, below the top of the repository.

    `absent` are those of the files that were deleted already, `nonempty` those with something in them, `rest` further
    ones that the copy has no room for. Without a commit it has room for none. `stage` is the commit of what is staged
    and stands nowhere else, a parent of the other. `marks` tell two states of the files apart without reading them.
    """

    ref: str
    commit: str
    paths: frozenset[str]
    absent: frozenset[str] = frozenset()
    nonempty: frozenset[str] = frozenset()
    rest: frozenset[str] = frozenset()
    stage: str = ""
    marks: Mapping[str, str] = {}

    def missing(self, losses: Collection[str]) -> list[str]:
        """Returns the files of the copy that are among these paths, of which some may be folders."""
        names, folders = frozenset(losses), tuple(path for path in losses if path.endswith("/"))
        return sorted(path for path in self.paths if path in names or path.startswith(folders))

    def gone(self, top: Path) -> list[str]:
        """Returns the files, copied or not, that are not in the checkout any more, or of which nothing is left."""
        paths = (self.paths | self.rest) - self.absent
        return sorted(path for path in paths if not _is_there(top / path, has_contents=path in self.nonempty))

    def way_back(self, paths: Sequence[str]) -> str:
        """Returns the command that brings files back as they were."""
        source = f"git restore --source={self.commit[:12]} --worktree --"
        if len(paths) > NAMED:
            return f"`git diff --name-only HEAD {self.commit[:12]}` lists them, `{source} FILE` brings one back"
        return f"`{source} {merge_rules.in_shell(paths)}` brings back what was there"


GONE: Final = "Uncommitted work is gone from the checkout, through this task or somebody else"
WRITTEN_OVER: Final = "Uncommitted work in the checkout was written over meanwhile, by this task or somebody else"


def notice(copy: EditsCopy | None, losses: Collection[str], lead: str = GONE) -> str:
    """Returns what became of uncommitted work in the checkout, and how to have it back; nothing where nothing did.

    `losses` are files and folders that are gone; what there is no copy of is called so.
    """
    files = copy.missing(losses) if copy else []
    bare = _uncovered(losses, files)
    folders = tuple(path for path in bare if path.endswith("/"))
    rest = [path for path in bare if path in folders or not path.startswith(folders)]
    if not files and not rest:
        return ""
    names = problems.in_backticks(merge_rules.printable([*files, *rest]), NAMED)
    back = f" {copy.way_back(files)} (kept as {copy.ref})." if copy and files else ""
    gap = f" There is no copy of {problems.in_backticks(merge_rules.printable(rest), NAMED)}." if rest else ""
    return f"{lead}: {names}.{back}{gap}"


def staging_notice(copy: EditsCopy | None, paths: Sequence[str]) -> str:
    """Returns that what was staged of files is not staged any more, and how to stage it again; nothing for no file."""
    if not paths:
        return ""
    names = problems.in_backticks(merge_rules.printable(paths), NAMED)
    lead = (
        f"What was staged of {names} and stood nowhere else is gone from the index, through this task or somebody else."
    )
    if copy is None or not copy.stage:
        return f"{lead} There is no copy of it."
    files = merge_rules.in_shell(paths) if len(paths) <= NAMED else "FILE"
    return f"{lead} `git restore --source={copy.stage[:12]} --staged -- {files}` stages it again (kept as {copy.ref})."


@dataclass(frozen=True, slots=True)
class EditsCopies:
    """Copies what is not committed in the checkout of `repo`."""

    git: git_process.Git
    repo: git_process.Repository

    async def keep(
        self, ref: str, index_files: Mapping[str, checkout_watch.StagedFile] | None = None
    ) -> EditsCopy | None:
        """Returns the copy that `ref` names now; None where nothing is to be copied, or it cannot be.

        `index_files` are what is staged of files and stands nowhere else.
        """
        git = replace(self.git, max_seconds=COPY_S)
        try:
            status = (await git.run(self.repo.top, *_STATUS)).out
            # Of a repository inside, which ends with a slash, a copy would hold its name alone.
            names = [entry[3:] for entry in status.split("\0") if entry and not entry.endswith("/")]
            sizes = await anyio.to_thread.run_sync(_sizes, self.repo.top, names)
        except errors.WorkerError:
            return None
        if not sizes:
            return None
        paths, nonempty = frozenset(_affordable(sizes)), frozenset(path for path, size in sizes.items() if size)
        copy = EditsCopy(ref, "", frozenset(), frozenset(path for path in sizes if sizes[path] is None), nonempty)
        try:
            index = await self._staged(git, index_files) if index_files and paths else ""
            copy = copy._replace(stage=index)
            commit = await self._commit(git, copy, sorted(paths), copy.absent & paths) if paths else ""
        except errors.WorkerError:
            return copy._replace(rest=frozenset(sizes), stage="")
        marks = await anyio.to_thread.run_sync(_marks, self.repo.top, paths)
        return copy._replace(commit=commit, paths=paths, rest=frozenset(sizes) - paths, marks=marks)

    async def _staged(self, git: git_process.Git, index_files: Mapping[str, checkout_watch.StagedFile]) -> str:
        """Returns a commit of the last one with these files as they are staged; the index itself is left alone."""
        lines = "".join(f"{file.mode} {file.blob}\t{path}\0" for path, file in index_files.items())
        with tempfile.TemporaryDirectory() as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            await git.run(self.repo.top, "read-tree", "HEAD", env=env)
            await git.run(self.repo.top, "update-index", "-z", "--index-info", stdin=lines, env=env)
            tree = (await git.run(self.repo.top, "write-tree", env=env)).out.strip()
        return await merge_queue.Merger(git).commit(self.repo, tree, (self.repo.head,), "What was staged\n")

    async def _commit(
        self, git: git_process.Git, copy: EditsCopy, paths: Sequence[str], absent: Collection[str]
    ) -> str:
        top, merger = self.repo.top, merge_queue.Merger(git)
        present, rest = [path for path in paths if path not in absent], sorted(absent)
        with tempfile.TemporaryDirectory() as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            await git.run(top, "read-tree", "HEAD", env=env)
            if rest:
                remove = ("update-index", "--force-remove", "-z", "--stdin")
                await git.run(top, *remove, stdin="\0".join(rest), env=env)
            if present:
                add = ("add", "--force", "--sparse", "--pathspec-from-file=-", "--pathspec-file-nul")
                await git.run(top, *add, stdin="\0".join(present), env={**env, "GIT_LITERAL_PATHSPECS": "1"})
            tree = (await git.run(top, "write-tree", env=env)).out.strip()
        parents = [self.repo.head, *[copy.stage] * bool(copy.stage)]
        commit = await merger.commit(self.repo, tree, parents, "What was not committed before an attempt\n")
        await merger.keep(self.repo, copy.ref, commit)
        return commit

    async def overwritten(self, copy: EditsCopy) -> list[str]:
        """Returns the files of a copy that have other contents now, but for those that have all lines of it and more.

        Of one that is gone nothing is said here. Where git cannot tell, all that were touched count.
        """
        now = await anyio.to_thread.run_sync(_marks, self.repo.top, copy.paths)
        paths = sorted(path for path, mark in now.items() if mark and mark != copy.marks.get(path))
        if not paths or not copy.commit:
            return []
        git = replace(self.git, max_seconds=COPY_S)
        options = ("--unified=0", "--no-color", "--no-renames", "--no-ext-diff", "--no-textconv")
        try:
            differing = await self._differing(git, copy, paths)
            words = (*options, f"{copy.commit}^1", copy.commit, "--", *differing[:MOST_REWRITTEN])
            diff = (await git.run(self.repo.top, "diff", *words, env={"GIT_LITERAL_PATHSPECS": "1"})).out
        except errors.WorkerError:
            return paths
        larger = frozenset(await anyio.to_thread.run_sync(_larger, self.repo.top, diff) if differing else ())
        return [path for path in differing if path not in larger]

    async def _differing(self, git: git_process.Git, copy: EditsCopy, paths: Sequence[str]) -> list[str]:
        """Returns which of these files of a copy have other contents now."""
        options = ("--name-only", "-z", "--no-renames", "--no-ext-diff", "--ignore-submodules=all")
        with tempfile.TemporaryDirectory() as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder) / "index"), "GIT_LITERAL_PATHSPECS": "1"}
            await git.run(self.repo.top, "read-tree", copy.commit, env=env)
            names = (await git.run(self.repo.top, "diff", *options, "--", *paths, env=env)).out
        return sorted(filter(None, names.split("\0")))

    async def drop(self, copy: EditsCopy) -> None:
        """Removes the ref of a copy of which nothing is missing."""
        await self.git.run(self.repo.top, "update-ref", "-d", copy.ref, copy.commit)


def _sizes(top: Path, paths: Sequence[str]) -> dict[str, int | None]:
    """Returns the sizes of files without litter, None of those that are deleted; a link has none to lose."""
    return {path: _size(top / path) for path in paths if not merge_rules.is_litter(path)}


def _affordable(sizes: Mapping[str, int | None]) -> Iterator[str]:
    """Yields the files, the smallest first, as far as they are not too many or too large; deleted ones are small."""
    room = MOST_BYTES
    for size, path in sorted((size or 0, path) for path, size in sizes.items())[:MOST_FILES]:
        room -= size
        if room < 0:
            return
        yield path


def _size(path: Path) -> int | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _marks(top: Path, paths: Collection[str]) -> dict[str, str]:
    return {path: checkout_watch.mark_of(top / path) for path in paths}


def _larger(top: Path, diff: str) -> list[str]:
    """Returns the files of a change of which all added lines with a word in them, one at least, are there now."""
    paths = list[str]()
    for file in unified_diff.parse(diff).files:
        lines = {line[1:].strip() for hunk in file.hunks for line in hunk.lines if line[:1] == "+"}
        lines = {line for line in lines if any(map(str.isalnum, line))}
        try:
            with (top / file.path).open("rb") as stream:
                text = stream.read(MOST_READ).decode("utf-8", "replace")
        except OSError:
            continue
        if lines and lines.issubset(map(str.strip, text.split("\n"))):
            paths.append(file.path)
    return paths


def _is_there(path: Path, *, has_contents: bool) -> bool:
    """Returns whether a file is there; of one with something in it something has to be."""
    size = _size(path)
    return size is not None and (size > 0 or not has_contents)


def _uncovered(losses: Collection[str], files: Collection[str]) -> list[str]:
    """Returns the losses that are none of the files, and no folders of some of them."""
    names = frozenset(files)
    return [
        path
        for path in losses
        if path not in names and not (path.endswith("/") and any(name.startswith(path) for name in names))
    ]


def _without_moved(top: Path, copy: EditsCopy, losses: Sequence[str], new_files: Sequence[str]) -> list[str]:
    """Returns the losses but for files, and folders, whose files of the copy are in the checkout by another name."""
    marks = {checkout_watch.mark_of(path) for path in itertools.islice(_files(top, new_files), MOST_FILES)}
    there = frozenset(path for path in copy.paths if copy.marks.get(path) in marks)

    def is_moved(path: str) -> bool:
        files = copy.missing([path])
        return bool(files) and there.issuperset(files) and not any(name.startswith(path) for name in copy.rest)

    return [path for path in losses if not is_moved(path)] if marks else [*losses]


def _files(top: Path, paths: Sequence[str]) -> Iterator[Path]:
    """Yields the files at, or below, paths."""
    for path in paths:
        with contextlib.suppress(OSError):
            yield from (top / path).rglob("*") if path.endswith("/") else (top / path,)


class Guarded(NamedTuple):
    """A checkout before an attempt, None where it could not be looked at, and the copy of what is not committed."""

    state: checkout_watch.CheckoutState | None = None
    copy: EditsCopy | None = None


def _settings_notice(before: checkout_watch.CheckoutState, after: checkout_watch.CheckoutState) -> str:
    """Returns which hooks and settings of the repository are gone, by whom nobody can tell; nothing where none are."""
    paths = checkout_watch.missing_settings(before, after)
    names = problems.in_backticks(merge_rules.printable(paths), NAMED)
    lead = "Gone meanwhile, through this task or somebody else, without a copy"
    return f"{lead}: {names}, or what was set there." if paths else ""


def _new_files(before: Guarded, after: checkout_watch.CheckoutState) -> list[str]:
    """Returns the files and folders that git names now and did not name before."""
    return sorted(after.files.keys() - (before.state.files.keys() if before.state is not None else set()))


@dataclass(frozen=True, slots=True)
class CheckoutGuard:
    """Guards the checkout of `repo` around the attempt of an order, whose git commands are logged in the file `log`."""

    git: git_process.Git
    repo: git_process.Repository
    work: work_order.WorkOrder
    log: Path

    @property
    def _watch(self) -> checkout_watch.CheckoutWatch:
        return checkout_watch.CheckoutWatch(self.git, self.repo, self._below(_declared(self.work)))

    async def begin(self) -> Guarded:
        """Returns the checkout as it is, with what is not committed copied."""
        state = await self._watch.look()
        if state is None or not checkout_watch.edits(state):
            return Guarded(state)
        ref = run_refs.Refs(self.work.run_id).edits(self.work.task.id, self.work.attempt)
        index_files = checkout_watch.staged_files(state)
        return Guarded(state, await EditsCopies(self.git, self.repo).keep(ref, index_files))

    async def end(self, ctx: ports.TaskContext, before: Guarded, outcome: model.Outcome) -> model.Outcome:
        """Returns the outcome with what changed in the checkout; a success that it must not have changed so is none.

        What is gone is said where the run is told of too, and the copy stays; else it goes.
        """
        if before.state is None:
            return outcome
        try:
            after = await self._watch.view()
        except (git_process.TooSlow, git_process.TooMuch):
            return outcome
        except errors.WorkerError as trouble:
            return _unseen(ctx, outcome, f"{_UNSEEN}: {escape.one_line(str(trouble), limit=300)}.")
        return await self._judged(ctx, before, after, outcome)

    async def _judged(
        self, ctx: ports.TaskContext, before: Guarded, after: checkout_watch.CheckoutState, outcome: model.Outcome
    ) -> model.Outcome:
        assert before.state is not None
        parts = checkout_watch.differences(before.state, after)
        if parts:
            outcome = receipts.with_receipt(
                outcome, Receipt(kind="touched", ok=False, detail=checkout_watch.notice(parts))
            )
        commands = await anyio.to_thread.run_sync(command_log.read, self.log)
        moves = checkout_watch.own_moves(before.state, after, commands, self.repo.top)
        moves += await self._ref_losses(before.state, after, commands)
        moves += await self._inner_losses(before.state, after, commands)
        moves += checkout_watch.removals(before.state, after, commands)
        folders = (self.repo.top, *(self.repo.top / path for path in before.state.inner))
        is_here = any(command.drops_edits(folder) for command in commands for folder in folders)
        losses = await self._losses(before, after)
        rewritten = await self._rewritten(before.copy, losses, is_here=is_here)
        if rewritten and before.copy is not None and before.state.head != after.head:
            rewritten = await self._uncommitted(before.copy, rewritten, after)
        losses = [path for path in losses if path not in rewritten]
        stage_losses = checkout_watch.unstaged_files(before.state, after, commands, self.repo.top)
        stage_losses = await self._without_grown(stage_losses, before.state, after)
        loss = f"{notice(before.copy, losses)} {staging_notice(before.copy, stage_losses)}".strip()
        losses += stage_losses
        refusal = checkout_watch.refusal(moves, in_worktree=bool(self.work.base)) if moves else ""
        absences = "" if moves else await self._absent_refs(before.state, after)
        words = " ".join(filter(None, (refusal, absences, _settings_notice(before.state, after), loss)))
        if words:
            ctx.beat(**{ports.LOSS: words})
        own = [path for path in rewritten if not self._is_of_others(path)] if self.work.base else []
        if own:
            ctx.beat(**{ports.WRITTEN_OVER: notice(before.copy, own, WRITTEN_OVER)})
        for text in filter(None, (notice(before.copy, rewritten, WRITTEN_OVER), loss)):
            outcome = receipts.with_receipt(outcome, Receipt(kind="touched", ok=False, detail=text))
        if before.copy is not None and before.copy.commit and not (loss or rewritten):
            with contextlib.suppress(errors.WorkerError):
                await EditsCopies(self.git, self.repo).drop(before.copy)
        if outcome.state is not AttemptState.SUCCEEDED:
            return outcome
        if refusal:
            return receipts.as_failure(outcome, "moved_branch", f"{refusal} {loss}".rstrip())
        is_here |= bool(stage_losses) and any(command.restages(self.repo.top) for command in commands)
        is_same = before.state.head == after.head
        if losses and (is_here or (not self.work.base and is_same and not self._are_of_run(losses))):
            return receipts.as_failure(outcome, "lost_edits", f"{loss} {_NOT_YOURS}")
        return outcome

    async def _ref_losses(
        self,
        before: checkout_watch.CheckoutState,
        after: checkout_watch.CheckoutState,
        commands: Sequence[command_log.GitCommand],
    ) -> list[str]:
        """Returns what became of refs that the attempt took away or moved back, the first of very many."""
        losses = checkout_watch.ref_losses(before, after, commands, in_worktree=bool(self.work.base))
        texts = [loss.text for loss in losses[:NAMED] if not await self._is_forward(loss)]
        return [*texts, f"{len(losses) - NAMED} more"] if len(losses) > NAMED else texts

    async def _absent_refs(self, before: checkout_watch.CheckoutState, after: checkout_watch.CheckoutState) -> str:
        """Returns which branches and tags are gone while a worktree was worked in, by whom nobody can tell.

        A branch whose commit another ref of the user's holds was renamed, or merged before: nothing of it is lost.
        """
        losses = checkout_watch.ref_losses(before, after, [], in_worktree=False) if self.work.base else []
        losses = [loss for loss in losses if not loss.after]
        branches = {loss.before for loss in losses if loss.ref.startswith("refs/heads/")}
        bare = await self._held_by_nothing(branches) if branches else ()
        texts = [loss.text for loss in losses if loss.before not in branches or loss.before in bare]
        more = f"; {len(texts) - NAMED} more" if len(texts) > NAMED else ""
        lead = "Gone meanwhile, through this task or somebody else: "
        return f"{lead}{'; '.join(texts[:NAMED])}{more}." if texts else ""

    async def _held_by_nothing(self, commits: Collection[str]) -> Collection[str]:
        """Returns which of these commits are in no ref of the user's."""
        ask = ("rev-list", *sorted(commits), "--not", "--exclude=refs/dispatch/*", "--all")
        try:
            return frozenset((await self.git.run(self.repo.top, *ask)).lines)
        except errors.WorkerError:
            return commits

    async def _rewritten(self, copy: EditsCopy | None, losses: Collection[str], *, is_here: bool) -> list[str]:
        """Returns the files of a copy that are there with other contents than what was not committed of them.

        After work in a worktree these may be as they are committed, unless a command of the attempt can have done that:
        `is_here` says whether one did.
        """
        if copy is None or not copy.commit:
            return []
        paths = [path for path in await EditsCopies(self.git, self.repo).overwritten(copy) if path not in losses]
        if not self.work.base or is_here:
            return paths
        absences = await anyio.to_thread.run_sync(copy.gone, self.repo.top)
        return sorted({*paths, *(path for path in losses if path in copy.paths and path not in absences)})

    async def _without_grown(
        self, paths: Sequence[str], before: checkout_watch.CheckoutState, after: checkout_watch.CheckoutState
    ) -> list[str]:
        """Returns the files without those of which all lines that were staged are staged still, and more."""
        former, blobs = checkout_watch.staged_files(before), checkout_watch.index_blobs(after, paths[:MOST_REWRITTEN])
        additions = set[str]()
        for path, blob in blobs.items():
            with contextlib.suppress(errors.WorkerError):
                counts = (await self.git.run(self.repo.top, "diff", "--numstat", former[path].blob, blob)).out
                additions |= {path} if counts.split()[1:2] == ["0"] else set()
        return [path for path in paths if path not in additions]

    async def _inner_losses(
        self,
        before: checkout_watch.CheckoutState,
        after: checkout_watch.CheckoutState,
        commands: Sequence[command_log.GitCommand],
    ) -> list[str]:
        """Returns what became of repositories inside of the checkout, in the same way."""
        texts = list[str]()
        for path, state in before.inner.items():
            folder, now = self.repo.top / path, after.inner.get(path)
            if self.work.base and not any(command.changes(folder) for command in commands):
                continue
            if now is not None:
                losses = checkout_watch.inner_ref_losses(path, state, now)[:NAMED]
                texts += [loss.text for loss in losses if await self._is_lost(folder, loss)]
            elif foreign_repositories.git_directory(folder) or not await anyio.Path(state.git_dir).exists():
                name = problems.in_backticks(merge_rules.printable([path]))
                texts.append(
                    f"the repository in {name} is gone, or cannot be read any more, and there is no copy of it"
                )
        return texts

    async def _is_lost(self, folder: Path, loss: checkout_watch.RefLoss) -> bool:
        """Returns whether a ref inside is gone, or left a commit that no other one holds."""
        if not loss.after:
            return True
        try:
            return bool((await self.git.run(folder, "rev-list", "-1", loss.before, "--not", "--all")).out.strip())
        except errors.WorkerError:
            return True

    async def _is_forward(self, loss: checkout_watch.RefLoss) -> bool:
        """Returns whether a ref, other than a tag, moved to a commit that holds the one that it had."""
        if not loss.after or loss.ref.startswith("refs/tags/"):
            return False
        ask = ("merge-base", "--is-ancestor", loss.before, loss.after)
        try:
            return (await self.git.run(self.repo.top, *ask, codes=(0, 1))).code == 0
        except errors.WorkerError:
            return False

    async def _losses(self, before: Guarded, after: checkout_watch.CheckoutState) -> list[str]:
        """Returns the files that were not committed before and are neither there nor committed as they were."""
        assert before.state is not None
        copy = before.copy
        files = await anyio.to_thread.run_sync(checkout_watch.missing_files, before.state, after, self.repo.top)
        if copy is None:
            return files if before.state.head == after.head else []
        absences = await anyio.to_thread.run_sync(copy.gone, self.repo.top)
        names = {*files, *copy.missing(files)}
        files = [*files, *(path for path in absences if path not in names)]
        files = await anyio.to_thread.run_sync(_without_moved, self.repo.top, copy, files, _new_files(before, after))
        if before.state.head == after.head or not files:
            return files
        return await self._uncommitted(copy, copy.missing(files), after) if copy.commit else []

    async def _uncommitted(
        self, copy: EditsCopy, files: Sequence[str], after: checkout_watch.CheckoutState
    ) -> list[str]:
        """Returns the files that are not committed now as they are in the copy.

        Who committed what they had has lost nothing of it, whatever became of the branch.
        """
        ask = ("diff", "--name-only", "-z", "--no-renames", copy.commit, after.head, "--")
        with contextlib.suppress(errors.WorkerError):
            differing = frozenset((await self.git.run(self.repo.top, *ask)).out.split("\0"))
            return [path for path in files if path in differing]
        return []

    def _are_of_run(self, paths: Collection[str]) -> bool:
        """Returns whether tasks of the run declare all of these files."""
        patterns = self._below([path_globs.normalise(path, self.work.workspace) for path in self.work.declarations])
        return all(any(path_globs.touch(pattern, path.rstrip("/")) for pattern in patterns) for path in paths)

    def _is_of_others(self, path: str) -> bool:
        """Returns whether other tasks of the run declare a file, and this one does not."""
        own = self._below([path_globs.normalise(name, self.work.workspace) for name in self.work.task.files])
        return self._are_of_run([path]) and not any(path_globs.touch(pattern, path) for pattern in own)

    def _below(self, paths: Sequence[str]) -> list[str]:
        """Returns paths of the workspace as paths below the top of the repository."""
        return [f"{self.repo.below}/{path}".lstrip("/") for path in paths if path]


_UNSEEN = (
    "The repository of the checkout could be read before this task and cannot be read any more, through it or somebody "
    "else"
)
_NOT_YOURS = (
    "A command that has no worktree of its own must leave there what you have not committed. Name in `files` what a "
    "task is to change: then it works in a worktree."
)


def _unseen(ctx: ports.TaskContext, outcome: model.Outcome, text: str) -> model.Outcome:
    """Returns the outcome of an attempt after which the repository cannot be looked at; never a success."""
    ctx.beat(**{ports.LOSS: text})
    outcome = receipts.with_receipt(outcome, Receipt(kind="touched", ok=False, detail=text))
    is_success = outcome.state is AttemptState.SUCCEEDED
    return receipts.as_failure(outcome, "moved_branch", text) if is_success else outcome


def _declared(work: work_order.WorkOrder) -> list[str]:
    """Returns the files that a task declares by name."""
    return merge_rules.files_by_name(merge_rules.order_for_copy(work, work.workspace).task)
