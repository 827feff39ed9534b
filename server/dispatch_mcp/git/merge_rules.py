"""Worktrees and merging as decisions: who gets a worktree, what things are called, what a merge comes to.

Git does the work (`git/workspace_provider.py`, `git/merge_queue.py`); what is decided here needs no repository.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import digests, failures, problems, run_refs, work_order
from dispatch_mcp.text import escape, path_globs

OLDEST_GIT: Final = (2, 38)
"""The first git that can merge without a checkout (`git merge-tree --write-tree`)."""

ZERO: Final = "0" * 40
GITLINK: Final = "160000"
"""The mode of a tree's entry that is a commit of another repository."""

MAX_NAMED: Final = 12
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT_OBJECT = re.compile(r"[0-9a-f]{7,64}")
_LOCK = re.compile(r"Unable to create '([^'\n]+\.lock)': File exists")
_UNBORN = re.compile(r"'([^'\n]+)' does not have a commit checked out")
_BROKEN_FILTER = re.compile(r"(?:smudge|clean) filter '?([^'\n]+?)'? failed")
_BROKEN_STORE = re.compile(r"unable to read (?:tree|sha1 file)|is corrupt|bad object|promisor remote")
_LITTER_FOLDERS = frozenset(
    {"__pycache__", "node_modules", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
)
_LITTER_FILE = re.compile(r"[^/]*\.py[co]|\.DS_Store|Thumbs\.db")


_STATE_OF: Final[Mapping[str, run_refs.State]] = {"done": "done", "conflicts": "conflicts", "kept": "kept"}


class KeptChange(NamedTuple):
    """The change of one attempt, as its ref says; `task` as `part` names it, `spec` and `outcome` are digests."""

    state: run_refs.State
    task: str
    attempt: int
    commit: str
    spec: str = ""
    outcome: str = ""


KEPT_FORMAT: Final = "%(refname)%00%(objectname)%00%(contents)%00"
"""What `git for-each-ref` is asked for, for `read_kept`; versions of git differ in how they print single trailers."""


def read_kept(listing: str, refs: run_refs.Refs) -> list[KeptChange]:
    """Returns the changes in an answer of `KEPT_FORMAT`, by task and attempt; other refs are left out."""
    fields = listing.split("\0")
    triples = zip(fields[::3], fields[1::3], fields[2::3], strict=False)
    changes = (_change_of_ref(*triple, refs) for triple in triples)
    return sorted((change for change in changes if change), key=lambda change: (change.task, change.attempt))


def _change_of_ref(ref: str, commit: str, message: str, refs: run_refs.Refs) -> KeptChange | None:
    names = ref.strip().removeprefix(f"{refs.root}/").split("/")
    state = _STATE_OF.get(names[0])
    if state is None or len(names) != 3 or not names[2].isdigit() or not _OBJECT.fullmatch(commit):
        return None
    return KeptChange(state, names[1], int(names[2]), commit, _trailer(message, "Spec"), _trailer(message, "Outcome"))


def _trailer(message: str, name: str) -> str:
    head = f"Dispatch-{name}: "
    return next((line.removeprefix(head) for line in reversed(message.splitlines()) if line.startswith(head)), "")


def is_object(text: str) -> bool:
    """Returns whether a text is the full name of a git object."""
    return bool(_OBJECT.fullmatch(text))


def is_revision(text: str) -> bool:
    """Returns whether a text can be (the beginning of) the name of a commit."""
    return bool(_SHORT_OBJECT.fullmatch(text))


def message(work: work_order.WorkOrder, outcome: str = "") -> str:
    """Returns the commit message of an attempt's change; `outcome` is the digest of what it reported."""
    lines = [
        escape.one_line(f"{work.task.id}: {work.task.goal}", limit=72),
        "",
        f"Dispatch-Run: {escape.one_line(work.run_id)}",
        f"Dispatch-Task: {escape.one_line(work.task.id)}",
        f"Dispatch-Attempt: {work.attempt}",
        f"Dispatch-Spec: {digests.spec_digest(work.task)}",
        *([f"Dispatch-Outcome: {outcome}"] if outcome else []),
    ]
    return "\n".join(lines) + "\n"


class PathChange(NamedTuple):
    """One line of a raw diff: what happened to a path, and its modes and objects, those from before last."""

    status: str
    mode: str
    path: str
    object: str = ""
    old_mode: str = ""
    old_object: str = ""


def read_changes(text: str) -> list[PathChange]:
    """Returns the changes in the answer of `git diff --raw -z --no-renames --full-index`, or `diff-index`."""
    fields = text.split("\0")
    changes: list[PathChange] = []
    for head, path in zip(fields[::2], fields[1::2], strict=False):
        words = head.removeprefix(":").split(" ")
        if len(words) == 5:
            changes.append(PathChange(words[4][:1], words[1], path, words[3], words[0], words[2]))
    return changes


def set_back(
    changes: Iterable[PathChange], between: Iterable[PathChange], task: model.Task, below: str = ""
) -> list[str]:
    """Returns the files that are not as a worktree began because an older commit was gone back to.

    `between` leads from its beginning back to what was gone back to. Of a file that the task declares, in the folder
    `below`, a change of its own is none.
    """
    older = {change.path: change.object for change in between}
    paths = [path_globs.normalise(f"{below}/{path}" if below else path) for path in task.files]
    return [
        change.path
        for change in changes
        if change.path in older
        and (older[change.path] == change.object or not any(path_globs.touch(path, change.path) for path in paths))
    ]


def gitlinks(listing: str) -> dict[str, str]:
    """Returns the commits of other repositories in an answer of `git ls-files --stage -z`, by path."""
    head = f"{GITLINK} "
    entries = (entry for entry in listing.split("\0") if entry.startswith(head))
    return {path: words.split(" ")[1] for words, _, path in (entry.partition("\t") for entry in entries)}


def submodule_names(listing: str) -> dict[str, str]:
    """Returns the names of submodules by path, from an answer of `git config -z --get-regexp` for their paths."""
    pairs = (entry.partition("\n") for entry in listing.split("\0") if entry)
    return {path.rstrip("/"): key.removeprefix("submodule.").removesuffix(".path") for key, _, path in pairs}


def unborn_repository(complaint: str) -> str:
    """Returns the repository without a commit that `git add` complains about, empty for another complaint."""
    match = _UNBORN.search(complaint)
    return match[1].rstrip("/") if match else ""


_STAYS: Final = "The folder of submodule {} was gone; the submodule stays, because `.gitmodules` still lists it."


class Link(NamedTuple):
    """The commits of an inner repository that the base of a worktree and its index record; empty for none."""

    before: str = ""
    now: str = ""


def links(now: Mapping[str, str], changes: Iterable[PathChange], unborn: Iterable[str]) -> dict[str, Link]:
    """Returns the inner repositories of a worktree by path: entries of its index and base, and those without a commit.

    Those among caches and installed packages are nobody's work.
    """
    entries = {path: Link(commit, commit) for path, commit in now.items() if not is_litter(path)}
    for change in changes:
        before = change.old_object if change.old_mode == GITLINK else ""
        if before or change.mode == GITLINK:
            entries[change.path] = Link(before, change.object if change.mode == GITLINK else "")
    return {**entries, **{path: Link() for path in unborn if not is_litter(path)}}


def is_within(path: str, folders: Collection[str]) -> bool:
    """Returns whether a path is one of the folders or lies in one."""
    parts = path.split("/")
    return any("/".join(parts[:depth]) in folders for depth in range(1, len(parts) + 1))


def links_to_put_back(
    changes: Sequence[PathChange], held_back: Collection[str], names: Collection[str]
) -> list[PathChange]:
    """Returns the changes of entries that are commits which may not be part of a tree.

    Those at the paths `held_back` would name commits, or leave out work, that the user does not have; and a submodule
    whose folder is gone without a word stays: whoever takes one out takes it out of `.gitmodules` too (`names` are the
    paths in it), or puts files in its place.
    """
    new = [change.path for change in changes if change.status != "D"]
    absent = [change for change in changes if _is_absent(change) and change.path in names]
    silent = [change for change in absent if not any(path.startswith(f"{change.path}/") for path in new)]
    return [*silent, *(change for change in changes if change.mode == GITLINK and change.path in held_back)]


def _is_absent(change: PathChange) -> bool:
    return change.status == "D" and change.old_mode == GITLINK


def link_remarks(changes: Iterable[PathChange], back: Collection[PathChange], absent: Iterable[str]) -> Iterator[str]:
    """Yields what is to be said of the submodules in a change, given what was put back and which folders are gone."""
    for path in absent:
        yield _STAYS.format(problems.in_backticks(printable([path])))
    for change in changes:
        name = problems.in_backticks(printable([change.path]))
        if change.path == ".gitmodules":
            yield f"{name} is changed: look at its addresses before you update submodules."
        elif change in back and _is_absent(change):
            yield _STAYS.format(name)
        elif change.mode == GITLINK and change not in back and change.object != change.old_object:
            yield f"Submodule {name} moves to commit {change.object[:12]}."
        elif _is_absent(change):
            yield f"Submodule {name} is taken out."


def index_lines(entries: Iterable[PathChange]) -> str:
    """Returns what `git update-index -z --index-info` reads, to put paths back to what they were before a change."""
    return "".join(
        f"{entry.old_mode if entry.status != 'A' else 0} {entry.old_object if entry.status != 'A' else ZERO}\t"
        f"{entry.path}\0"
        for entry in entries
    )


def litter(changes: Iterable[PathChange], declared: Collection[str]) -> list[str]:
    """Returns those new files that tools leave behind (caches, installed packages) and the task did not declare."""
    new = (change.path for change in changes if change.status == "A")
    return [path for path in new if is_litter(path) and path not in declared]


def is_litter(path: str) -> bool:
    """Returns whether a file or folder is a cache, or something installed."""
    *folders, name = path.split("/")
    return not _LITTER_FOLDERS.isdisjoint(folders) or bool(_LITTER_FILE.fullmatch(name))


def files_by_name(task: model.Task) -> list[str]:
    """Returns the files that a task declares by name: they are part of its change even where git ignores them."""
    paths = (path_globs.normalise(path) for path in task.files)
    return [path for path in paths if path and not path_globs.WILD.search(path) and not path.startswith(("/", "../"))]


class Merge(NamedTuple):
    """What `git merge-tree` found: the merged tree, the files in conflict and how it put that."""

    tree: str
    conflicts: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()


def read_merge_tree(text: str) -> Merge:
    """Returns the answer of `git merge-tree --write-tree -z --name-only`.

    Raises:
        ValueError: it is none.
    """
    fields = text.split("\0")
    if not _OBJECT.fullmatch(fields[0]):
        raise ValueError(f"{fields[0][:80]!r} is not a tree")
    rest = iter(fields[1:])
    paths = list(_until_empty(rest))
    conflicts = [line.strip() for kind, line in _messages(rest) if kind.startswith("CONFLICT")]
    return Merge(fields[0], tuple(dict.fromkeys(paths)), tuple(conflicts))


def _until_empty(fields: Iterator[str]) -> Iterator[str]:
    for field in fields:
        if not field:
            return
        yield field


def _messages(fields: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yields kind and text of each message: a count, so many paths, the kind, the text."""
    for count in fields:
        if not count.isdigit():
            return
        for _ in range(int(count)):
            next(fields, "")
        yield next(fields, ""), next(fields, "")


Step = Literal["nothing", "forward", "merge"]


def step(head: str, parent: str, tree: str, parent_tree: str) -> Step:
    """Returns how a change on top of `parent` comes to `head`: it changes nothing, head moves, or both are merged."""
    if tree == parent_tree:
        return "nothing"
    return "forward" if head == parent else "merge"


class Side(NamedTuple):
    """A task that changed the same files, and its commit."""

    task: str
    commit: str


def conflict_brief(merge: Merge, commit: str, base: str, sides: Sequence[Side]) -> str:
    """Returns what the next attempt is told: which files, who else changed them, and where its change is kept."""
    files = problems.in_backticks(printable(merge.conflicts), MAX_NAMED)
    tasks = "; ".join(f"task `{side.task}` in {side.commit[:12]}" for side in sides[:MAX_NAMED])
    complaints = "".join(f"- {escape.one_line(message, limit=200)}\n" for message in merge.messages[:MAX_NAMED])
    return (
        f"This change could not be merged with what other tasks of the run merged meanwhile; in conflict: {files}.\n"
        f"{complaints}The other side: {tasks or 'an earlier commit of this run'}.\n"
        f"The change is kept as commit {commit[:12]} (`git diff {base[:12]} {commit[:12]}` shows it). The next attempt "
        "begins from the merged state: make the change again on top of it, and keep what the others did."
    )


def merged_detail(head: str, refs: run_refs.Refs) -> str:
    """Returns what a receipt says of a merged change."""
    return f"merged as {head[:12]} into {refs.merged}; the checkout stays as it is until a person applies it"


def dirty_notice(paths: Sequence[str]) -> str:
    """Returns the notice about changes of the checkout that a worktree does not have; empty without any."""
    if not paths:
        return ""
    names = problems.in_backticks(printable(paths), 3)
    return (
        f"{_count(len(paths), 'file')} of the checkout with uncommitted changes ({names}): the worktree does not have "
        "these changes."
    )


def filter_notice(names: Sequence[str]) -> str:
    """Returns the notice about filters that do not run in worktrees; empty without any."""
    if not names:
        return ""
    filters = problems.in_backticks(printable(names), 3)
    return (
        f"The filters {filters}, which this repository configures itself, do not run: "
        "files that go through them are as git stores them. The user may allow them with `trusted_repositories`."
    )


def printable(paths: Iterable[str]) -> list[str]:
    """Returns names of files as they can be printed and stored: one line each, in Unicode."""
    return [escape.one_line(path, limit=200) for path in paths]


def in_shell(paths: Iterable[str]) -> str:
    """Returns names of files as the words of a shell's command that name just these: in one line, and in Unicode."""
    return " ".join(shlex.quote(path) if path.isprintable() else f"$'{_escaped(path)}'" for path in paths)


def _escaped(path: str) -> str:
    marks = [char if char.isprintable() and char not in "\\'" else _bytes_in_shell(char) for char in path]
    return "".join(marks)


def _bytes_in_shell(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def order_for_copy(work: work_order.WorkOrder, workspace: str) -> work_order.WorkOrder:
    """Returns the order for another copy of its workspace; absolute paths that it declares become relative."""
    root = f"{work.workspace.rstrip('/')}/"
    task = work.task
    declarations = {"files": task.files, "reads": task.reads, "acceptance": task.acceptance}
    relative = {name: tuple(text.replace(root, "") for text in texts) for name, texts in declarations.items()}
    if relative != declarations:
        task = task.model_copy(update=relative)
    return replace(work, task=task, workspace=workspace)


def lock_in(complaint: str, common: str) -> str:
    """Returns the lock file that git complains about, if it is one of our own refs' in the repository `common`."""
    match = _LOCK.search(complaint)
    path = posixpath.normpath(match[1]) if match else ""
    return path if path.startswith(f"{posixpath.normpath(common)}/{run_refs.PREFIX}/") else ""


class Obstacle(NamedTuple):
    """What keeps git from doing something however often it is tried, and what the user can do about it."""

    kind: failures.FailureKind
    hint: str


def lasting_obstacle(complaint: str) -> Obstacle | None:
    """Returns the lasting obstacle that a complaint of git tells of; None for what may pass, or is unknown."""
    if match := _BROKEN_FILTER.search(complaint):
        name = escape.one_line(match[1], limit=40)
        program = " (git-lfs)" if name == "lfs" else ""
        return Obstacle("broken_filter", f"Install the program{program} that git's filter `{name}` runs, then retry.")
    if _BROKEN_STORE.search(complaint):
        return Obstacle("no_worktree", "Objects of the repository are missing or damaged; `git fsck` says which.")
    return None


def version(text: str) -> tuple[int, int]:
    """Returns major and minor of `git version 2.39.5`; zeros for what is none."""
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)
