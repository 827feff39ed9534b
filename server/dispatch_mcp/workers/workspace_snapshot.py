"""Which files an attempt touched: the workspace before it, and again after it.

With git, a snapshot is the commit and a digest of every file that differs from it or is declared by name, and of those
that git ignores in declared folders and globs: small, whatever the size of the repository. Without git, it is a digest
of every declared file, and nothing is known of others. A symbolic link is never followed out of the workspace. Caches
and installed packages are no change. Everything is bounded: what is too much, or takes too long, is not measured, and
the snapshot says so.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import anyio

from dispatch_mcp import errors, model
from dispatch_mcp.git import foreign_repositories, git_process, merge_rules
from dispatch_mcp.process import safe_paths, shared_looks
from dispatch_mcp.text import file_states, json_types, languages, path_globs
from dispatch_mcp.workers import safe_look
from dispatch_mcp.workers.safe_look import Unmeasured

MAX_FILES = 2_000
"""Files of which one snapshot holds a digest."""
MAX_COMPARED = 256
"""Changed files that are compared with what was committed, where no snapshot has their state."""
MAX_COMPARED_BYTES = 32 << 20

MAX_SECONDS = 10.0
"""What one snapshot may take: an attempt waits for it before it begins and before its result counts."""

MAX_MOVES = 4
"""Pairs of commits of which it is kept what differs between them."""

OUTPUT_CAP = 4 << 20
"""Bytes of names of files, far more than `MAX_FILES` of them have."""

_STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames", "--", ".")
_BLANKS_BEFORE_PATH = {"1": 8, "u": 10, "?": 1}
"""Fields before the path of each kind of entry in porcelain v2: changed, unmerged, untracked."""

_HEAD = "# branch.oid "
_UNBORN = "(initial)"
_UNREAD = "unread"
_LINK, _PROGRAM = "120000", "100755"


class WorkspaceSnapshot(NamedTuple):
    """A workspace at one moment. `head` is a commit, `(initial)`, or empty without git.

    `files` has a digest per file, empty for one that is not there; `problem` says why nothing was measured. `unclear`
    says why a declared file that looks as before may have been changed all the same. `judges` are the states of files
    that decide what commands check, also of those that git does not show; None where nobody has looked for them.
    `common` is the part of `files` that everybody has seen alike who looked at that moment.
    """

    head: str = ""
    files: Mapping[str, str] = {}
    problem: str = ""
    unclear: str = ""
    judges: Mapping[str, str] | None = None
    common: Mapping[str, str] = {}

    def to_json(self) -> dict[str, model.Json]:
        """Returns the snapshot as JSON; `from_json` reads it back."""
        rest: dict[str, model.Json] = {"unclear": self.unclear} if self.unclear else {}
        rest |= {} if self.judges is None else {"judges": self.judges}
        rest |= {"common": self.common} if self.common else {}  # as it is: who stores many of them stores it once
        own = {path: digest for path, digest in self.files.items() if path not in self.common}
        return {"head": self.head, "files": own, "problem": self.problem, **rest}


def from_json(value: model.Json) -> WorkspaceSnapshot:
    """Returns the snapshot of a JSON value; one with a problem when it is none."""
    if not json_types.is_object(value) or not json_types.is_object(value.get("files")):
        return WorkspaceSnapshot(problem="there is no snapshot from before the attempt")
    common, states = value.get("common", {}), value.get("judges", {})
    if not json_types.is_object(common) or not json_types.is_object(states):
        return WorkspaceSnapshot(problem="the snapshot from before the attempt is not stored any more")
    files = {**common, **value["files"]}
    head, problem, unclear = (str(value.get(name, "")) for name in ("head", "problem", "unclear"))
    judges = states if "judges" in value else None
    return WorkspaceSnapshot(head, files, problem, unclear, judges, common)


class FileFate(NamedTuple):
    """What became of a changed file, and its state before; None where nobody could read that."""

    kind: file_states.Kind
    before: str | None


class _Listing(NamedTuple):
    """What git says of a workspace: the commit, empty without git, and the files that differ from it.

    `top` is the repository's folder. `extras` are declared files that git ignores; `unclear` is as in a snapshot.
    """

    head: str = ""
    top: Path | None = None
    differing: frozenset[str] = frozenset()
    extras: frozenset[str] = frozenset()
    unclear: str = ""


@dataclass(slots=True)
class _Status:
    """What git says of a workspace at one moment, whoever asks: the commit, what differs from it, and how files are.

    `digests` has the files that differ, if they are not more than are measured, and whatever was asked for since;
    `common` never more than the former. `folders` are those that git names and does not look into.
    """

    root: Path
    top: Path
    head: str
    differing: frozenset[str]
    digests: dict[str, str]
    folders: frozenset[str]
    common: Mapping[str, str]
    _pending: set[str] = field(default_factory=set[str])
    _looks: shared_looks.SharedLooks[None] = field(default_factory=shared_looks.SharedLooks[None])

    async def states(self, paths: Collection[str]) -> dict[str, str]:
        """Returns the digests of files, in the order of their names; whoever asks at the same time shares a thread."""
        while unread := [path for path in paths if path not in self.digests]:
            self._pending.update(unread)
            await self._looks.get("", self._read)
        return {path: self.digests[path] for path in sorted(paths)}

    async def _read(self) -> None:
        paths = tuple(self._pending)
        self.digests |= await safe_look.in_thread(lambda stop: _digests(self.root, paths, stop))
        self._pending.difference_update(paths)


@dataclass(frozen=True, slots=True)
class Snapshotter:
    """Takes snapshots of at most `max_files` files, each within `max_seconds`.

    A wave of attempts that begins or ends at the same time asks git once, and reads what differs once.
    """

    git: git_process.Git
    max_files: int = MAX_FILES
    max_seconds: float = MAX_SECONDS
    _looks: shared_looks.SharedLooks[_Status | None] = field(default_factory=shared_looks.SharedLooks["_Status | None"])
    _paths: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    _moves: shared_looks.SharedLooks[set[str]] = field(default_factory=shared_looks.SharedLooks[set[str]])

    async def take(self, workspace: str, files: Collection[str], also: Collection[str] = ()) -> WorkspaceSnapshot:
        """Returns the workspace as it is; `also` names files to look at whatever git says of them."""
        return (await self._look(workspace, files, also))[0]

    async def _look(
        self, workspace: str, files: Collection[str], also: Collection[str]
    ) -> tuple[WorkspaceSnapshot, _Listing]:
        root = Path(workspace)
        listing = _Listing()
        try:
            with anyio.fail_after(self.max_seconds):
                status = await self._status(root)
                if status is None:
                    return await safe_look.in_thread(lambda stop: self._declared(root, also, files, stop)), listing
                listing = await self._listing(root, files, status)
                paths = {*listing.differing, *listing.extras, *also}
                for pattern in (path_globs.normalise(path, workspace) for path in files):
                    paths |= _named(pattern)
                    self._refuse_many(paths, "differ from the last commit")
                states = await status.states(paths)
                return WorkspaceSnapshot(status.head, states, "", listing.unclear, None, status.common), listing
        except Unmeasured as why:
            return WorkspaceSnapshot(problem=str(why)), listing
        except TimeoutError:
            return WorkspaceSnapshot(problem=f"looking took longer than {self.max_seconds:g} s"), listing

    async def unchanged(self, workspace: str, before: model.Json) -> list[str]:
        """Returns which files of an earlier snapshot, as JSON, are now as they were then, relative to the workspace.

        A folder that still stands says nothing of what is in it.
        """
        digests = from_json(before).files

        def same(stop: threading.Event) -> list[str]:
            root = Path(workspace)
            return [
                path
                for path, digest in digests.items()
                if not stop.is_set()
                and file_states.same(safe_look.digest(root, path), digest)
                and not safe_look.is_folder(root, path)
            ]

        with anyio.move_on_after(self.max_seconds):
            return await safe_look.in_thread(same)
        return []

    async def is_undone(self, workspace: str, files: Collection[str], before: model.Json) -> bool:
        """Returns whether all that these paths name is as it was in an earlier snapshot, given as JSON.

        Paths are files, folders or globs. False where nobody can tell, as of files outside of the workspace.
        """
        look, root = from_json(before), Path(workspace)
        names = {path_globs.normalise(path, workspace) for path in files}
        now, differing = await self.changed(workspace, files, look)
        if now.problem or now.unclear or look.unclear or not all(name and is_inside(name) for name in names):
            return False
        if any(path_globs.touch(name, path) for name in names for path in differing):
            return False
        open_ended, is_any_bare = await safe_look.in_thread(lambda _stop: _open_ended_and_bare(root, names))
        if is_any_bare:
            return False
        states = await self._states(workspace, sorted(names.difference(open_ended)), look, now)
        return all(file_states.same(earlier, state) for earlier, state in states.values())

    async def changed(
        self, workspace: str, files: Collection[str], before: WorkspaceSnapshot
    ) -> tuple[WorkspaceSnapshot, set[str]]:
        """Returns the workspace now, and which files differ from `before`, relative to the workspace."""
        if before.problem:
            return before, set()
        now, listing = await self._look(workspace, files, before.files)
        if not now.problem and bool(now.head) != bool(before.head):
            now = WorkspaceSnapshot(problem="the workspace became a git repository in between, or ceased to be one")
        if now.problem:
            return now, set()
        try:
            between = await self._moved(Path(workspace), listing.top, before.head, now.head)
        except Unmeasured as why:
            return WorkspaceSnapshot(problem=str(why)), set()
        differing = {
            path for path, digest in before.files.items() if not file_states.same(now.files.get(path, ""), digest)
        }
        # Of what was not looked at before, git says whether it is as committed; without git it was not there.
        new = listing.differing | listing.extras | between if now.head else now.files.keys()
        paths = differing | (new - before.files.keys())
        by_name = {path_globs.normalise(path, workspace) for path in files}
        own = await _of_git(Path(workspace), paths & by_name)
        return now, {path for path in paths - own if path in by_name or not merge_rules.is_litter(path)}

    async def hidden_recipes(self, workspace: str) -> list[str]:
        """Returns the files that git ignores and that runners of tests and builds read all the same; none without git.

        Raises:
            Unmeasured: git fails, or prints too much.
        """
        root = Path(workspace)
        top = await safe_look.in_thread(lambda _stop: _top(root))
        if top is None:
            return []
        command = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory", "--full-name")
        paths = _below(root, top, {path for path in (await self._git(root, *command, "--", ".")).split("\0") if path})
        return sorted(path for path in paths if languages.is_recipe(path) and not merge_rules.is_litter(path))

    async def changed_since(self, workspace: str, files: Collection[str], before: model.Json) -> list[str]:
        """Returns which files differ from an earlier snapshot, as JSON; nothing where that was not measured."""
        return sorted((await self.changed(workspace, files, from_json(before)))[1])

    async def fates(
        self, workspace: str, paths: Collection[str], before: WorkspaceSnapshot, now: WorkspaceSnapshot
    ) -> dict[str, FileFate]:
        """Returns what became of changed files; those that nobody could compare are called so."""
        states = await self._states(workspace, paths, before, now)
        return {
            path: FileFate(_kind(earlier, state, path), None if earlier == _UNREAD else earlier)
            for path, (earlier, state) in states.items()
        }

    async def weaker_tests(
        self, workspace: str, paths: Collection[str], before: WorkspaceSnapshot, now: WorkspaceSnapshot
    ) -> tuple[str, ...]:
        """Returns the changed files of tests that check less than before, if all of them together do."""
        tests = [path for path in paths if languages.role(path) == "test"][:MAX_COMPARED]
        states = await self._states(workspace, tests, before, now) if tests else {}
        pairs = {
            path: (file_states.checks(earlier), file_states.checks(state))
            for path, (earlier, state) in states.items()
            if file_states.are_alike(earlier, state)
        }
        if not file_states.are_fewer(pairs.values()):
            return ()
        return tuple(path for path, pair in sorted(pairs.items()) if file_states.are_fewer([pair]))

    async def _states(
        self, workspace: str, paths: Collection[str], before: WorkspaceSnapshot, now: WorkspaceSnapshot
    ) -> dict[str, tuple[str, str]]:
        """Returns the states of changed files before and now; what nobody could read of before is `_UNREAD`."""
        root = Path(workspace)
        commit_states: Mapping[str, str] = {}
        unlooked = sorted(set(paths).difference(before.files))
        if unlooked and before.head not in ("", _UNBORN):
            commit_states = dict.fromkeys(unlooked, _UNREAD)
            with anyio.move_on_after(self.max_seconds):
                commit_states = await self._committed(root, before.head, unlooked)

        states, unread = now.files, [path for path in paths if path not in now.files]
        if unread:
            states = {**states, **await safe_look.in_thread(lambda stop: _digests(root, unread, stop))}
        return {path: (before.files.get(path, commit_states.get(path, "")), states.get(path, "")) for path in paths}

    async def _committed(self, root: Path, commit: str, paths: Sequence[str]) -> dict[str, str]:
        """Returns the states of files in a commit, empty for those it lacks and `_UNREAD` for those left unread."""
        states = dict.fromkeys(paths, _UNREAD)
        entries, size = list[tuple[str, str, str]](), 0
        with contextlib.suppress(Unmeasured):
            listing = await self._git(root, "ls-tree", "-l", "-z", commit, "--", *paths[:MAX_COMPARED])
            states.update(dict.fromkeys(paths[:MAX_COMPARED], ""))
            for entry in filter(None, listing.split("\0")):
                head, _, path = entry.partition("\t")
                mode, kind, name, length = head.split()
                if kind != "blob":
                    continue
                size += int(length)
                states[path] = _UNREAD
                if size <= MAX_COMPARED_BYTES:
                    entries.append((path, mode, name))
            states.update(await self._blobs(root, entries))
        return states

    async def _blobs(self, root: Path, entries: Sequence[tuple[str, str, str]]) -> dict[str, str]:
        """Returns the states of committed files, of which each entry has the path, the mode and the object."""
        names = "".join(f"{name}\n" for _, _, name in entries)
        try:
            git = replace(self.git, output_cap=2 * MAX_COMPARED_BYTES)
            data = (await git.run(root, "cat-file", "--batch", stdin=names)).stdout if names else b""
        except errors.WorkerError as trouble:
            raise Unmeasured(str(trouble)) from None
        return await safe_look.in_thread(lambda stop: _states_of_blobs(data, entries, stop))

    async def _status(self, root: Path) -> _Status | None:
        """Returns what git says of a workspace now; None without git."""
        if self.git.policy.too_deep:
            return None
        return await self._looks.get(str(root), lambda: self._git_status(root))

    async def _git_status(self, root: Path) -> _Status | None:
        top = await safe_look.in_thread(lambda _stop: _top(root))
        if top is None:
            return None
        head, paths = "", set[str]()
        for entry in (await self._git(root, *_STATUS)).split("\0"):
            if entry.startswith(_HEAD):
                head = entry.removeprefix(_HEAD)
            elif entry[:1] in _BLANKS_BEFORE_PATH:
                paths.add(entry.split(" ", _BLANKS_BEFORE_PATH[entry[0]])[-1])
        differing = frozenset(_below(root, top, paths))

        def states(stop: threading.Event) -> tuple[dict[str, str], frozenset[str]]:
            few = differing if len(differing) <= self.max_files else ()
            return _digests(root, few, stop), frozenset(path for path in differing if (root / path).is_dir())

        digests, folders = await safe_look.in_thread(states) if differing else ({}, frozenset[str]())
        return _Status(root, top, head, differing, digests, folders, dict(sorted(digests.items())))

    async def _listing(self, root: Path, files: Collection[str], status: _Status) -> _Listing:
        top, head, differing = status.top, status.head, status.differing
        patterns = [path_globs.normalise(path, str(root)) for path in files]
        if not patterns:
            return _Listing(head, top, differing)

        def places(_stop: threading.Event) -> tuple[list[str], str]:
            return _open_ended(root, patterns), _inner(root, status.folders, patterns)

        open_ended, inner = await safe_look.in_thread(places)
        try:
            extras = await self._ignored_files(root, top, open_ended)
        except Unmeasured:
            return _Listing(head, top, differing, unclear="git ignores too many files there")
        inner = inner or await self._submodule(root, top, open_ended)
        unclear = f"`{inner}` is a repository of its own" if inner else ""
        return _Listing(head, top, differing, extras, unclear)

    async def _submodule(self, root: Path, top: Path, patterns: Collection[str]) -> str:
        """Returns a submodule in which a declared folder or glob may lie; git does not say what changed in there."""
        try:
            names = await foreign_repositories.submodule_names(self.git, top) if patterns else {}
        except errors.WorkerError as trouble:
            raise Unmeasured(str(trouble)) from None
        inside = _below(root, top, set(names))
        return await safe_look.in_thread(lambda _stop: _inner(root, inside, patterns)) if inside else ""

    async def _ignored_files(self, root: Path, top: Path, open_ended: Collection[str]) -> frozenset[str]:
        """Returns files in declared folders and globs that git ignores, but for what tools leave behind."""
        specs = [
            f":(top,glob){_prefix(root, top)}{text}{end}"
            for text in open_ended
            if is_inside(text)
            for end in ("", "/**")
        ]
        if not specs:
            return frozenset()
        command = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--full-name", "--", *specs)
        paths = _below(root, top, {path for path in (await self._git(root, *command)).split("\0") if path})
        own = {path for path in paths if any(path_globs.touch(text, path) for text in open_ended)}
        files = frozenset(path for path in own if not merge_rules.is_litter(path))
        if len(files) > self.max_files // 2:
            raise Unmeasured("git ignores too many files there")
        return files

    async def _moved(self, root: Path, top: Path | None, before: str, now: str) -> set[str]:
        """Returns the files that differ between two commits."""
        if before == now or top is None:
            return set()
        key = f"{root}\0{before}\0{now}"
        if key not in self._paths:  # what differs between two commits never changes
            paths = await self._moves.get(key, lambda: self._between(root, top, before, now))
            if before == _UNBORN:
                return paths
            self._paths[key] = paths
            while len(self._paths) > MAX_MOVES:
                self._paths.pop(next(iter(self._paths)))
        return self._paths[key]

    async def _between(self, root: Path, top: Path, before: str, now: str) -> set[str]:
        if before == _UNBORN:
            text = await self._git(root, "ls-files", "-z", "--cached", "--full-name", "--", ".")
        else:
            text = await self._git(root, "diff", "--name-only", "-z", "--no-renames", before, now, "--", ".")
        return _below(root, top, {path for path in text.split("\0") if path})

    async def _git(self, root: Path, *arguments: str) -> str:
        """Returns what git prints. Raises Unmeasured when it fails or prints too much."""
        try:
            return (await replace(self.git, output_cap=OUTPUT_CAP).run(root, *arguments)).out
        except git_process.TooMuch:
            raise Unmeasured("the workspace differs from the last commit in too many files") from None
        except errors.WorkerError as trouble:
            raise Unmeasured(str(trouble)) from None

    def _declared(
        self, root: Path, also: Collection[str], files: Collection[str], stop: threading.Event
    ) -> WorkspaceSnapshot:
        """Returns the declared files of a workspace without git."""
        paths = set(also)
        for pattern in (path_globs.normalise(path, str(root)) for path in files):
            paths |= set(safe_look.declared(root, pattern, stop))
            self._refuse_many(paths, "are declared, and there is no git")
        return WorkspaceSnapshot("", _digests(root, sorted(paths), stop))

    def _refuse_many(self, paths: Collection[str], why: str) -> None:
        if len(paths) > self.max_files:
            raise Unmeasured(f"more than {self.max_files} files {why}")


def _digests(root: Path, paths: Iterable[str], stop: threading.Event) -> dict[str, str]:
    return {path: safe_look.digest(root, path) for path in paths if not stop.is_set()}


def _states_of_blobs(data: bytes, entries: Sequence[tuple[str, str, str]], stop: threading.Event) -> dict[str, str]:
    """Returns the states of the files that `git cat-file --batch` has printed, in the order of the entries."""
    states: dict[str, str] = {}
    start = 0
    for path, mode, _ in entries:
        if stop.is_set():
            break
        end = data.index(b"\n", start)
        size = int(data[start:end].split()[-1])
        states[path] = _state_of_blob(data[end + 1 : end + 1 + size], mode, path)
        start = end + size + 2
    return states


def _state_of_blob(data: bytes, mode: str, path: str) -> str:
    if mode == _LINK:
        return file_states.of_link(data, "")
    return file_states.of_content(data, path, is_executable=mode == _PROGRAM)


def _kind(before: str, now: str, path: str) -> file_states.Kind:
    return file_states.Kind.NOT_COMPARED if before == _UNREAD and now else file_states.kind(before, now, path)


def _open_ended(root: Path, patterns: Collection[str]) -> list[str]:
    """Returns the patterns that name no single file: globs and folders."""
    return [text for text in patterns if path_globs.WILD.search(text) or safe_look.is_folder(root, text)]


def _open_ended_and_bare(root: Path, names: Collection[str]) -> tuple[list[str], bool]:
    """Returns the names that are no single file, and whether one of them is a folder that is empty or unreadable."""
    open_ended = _open_ended(root, names)
    return open_ended, any(_is_bare(root / name) for name in open_ended)


async def _of_git(root: Path, paths: Collection[str]) -> set[str]:
    """Returns those paths that lie where git keeps its own."""

    def own(_stop: threading.Event) -> set[str]:
        return {path for path in paths if safe_look.leads_into_git(root, path)}

    return await safe_look.in_thread(own) if paths else set()


def _is_bare(folder: Path) -> bool:
    """Returns whether this is a folder with nothing in it, of which git does not tell; or with what nobody can read."""
    try:
        return folder.is_dir() and not any(folder.iterdir())
    except OSError:
        return True


def _named(pattern: str) -> set[str]:
    return set() if not pattern or any(mark in pattern for mark in "*?") else {pattern}


def _top(root: Path) -> Path | None:
    """Returns the folder of the git repository that `root` is in."""
    folder = str(root)
    while not os.path.exists(f"{folder}/.git"):  # noqa: PTH110  # asked several times of each task of a wave
        folder, below = os.path.dirname(folder), folder  # noqa: PTH120
        if folder in ("", below):
            return None
    return Path(folder)


def _prefix(root: Path, top: Path) -> str:
    prefix = root.relative_to(top).as_posix()
    return "" if prefix == "." else f"{prefix}/"


def is_inside(pattern: str) -> bool:
    """Returns whether a normalised path leads nowhere outside of the workspace."""
    return not pattern.startswith(("/", ".."))


def _inner(root: Path, paths: Collection[str], patterns: Collection[str]) -> str:
    """Returns the first of paths that git names that is a folder, which git does not look into, and declared."""
    folders = ((path, path.rstrip("/")) for path in sorted(paths))
    return next(
        (
            path
            for path, folder in folders
            if (root / folder).is_dir() and any(path_globs.touch(pattern, folder) for pattern in patterns)
        ),
        "",
    )


def _below(root: Path, top: Path, paths: Collection[str]) -> set[str]:
    """Returns those paths, relative to the repository, that lie in the workspace, relative to it."""
    head = _prefix(root, top)
    return {path.removeprefix(head) for path in paths if path.startswith(head) and safe_paths.sayable(path)}
