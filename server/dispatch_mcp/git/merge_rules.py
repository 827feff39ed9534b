"""Worktrees and merging as decisions: who gets a worktree, what things are called, what a merge comes to.

Git does the work (`git/workspace_provider.py`, `git/merge_queue.py`); what is decided here needs no repository.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.model import TaskState, WorkerKind, digests, problems, records, work_order
from dispatch_mcp.planning import conflicts, graph
from dispatch_mcp.text import escape

CONFLICT: Final = "merge_conflict"
NO_WORKTREE: Final = "no_worktree"
OLDEST_GIT: Final = (2, 38)
"""The first git that can merge without a checkout (`git merge-tree --write-tree`)."""

PREFIX: Final = "refs/dispatch"
ZERO: Final = "0" * 40

MAX_NAMED: Final = 12
_EDITING_WORKERS: Final = frozenset({WorkerKind.API, WorkerKind.CLAUDE})
_PLACED_WORKERS: Final = _EDITING_WORKERS | {WorkerKind.COMMAND}
_PLAIN_PART = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT_OBJECT = re.compile(r"[0-9a-f]{7,64}")
_WILD = re.compile(r"[*?\[]")
_LOCK = re.compile(r"Unable to create '([^'\n]+\.lock)': File exists")
_LITTER = re.compile(
    r"(?:^|/)(?:__pycache__|node_modules|\.pytest_cache|\.mypy_cache|\.ruff_cache|\.hypothesis)/|"
    r"\.py[co]$|(?:^|/)(?:\.DS_Store|Thumbs\.db)$"
)


def is_own(task: model.Task, worker: WorkerKind) -> bool:
    """Returns whether a task's changes are made in a worktree of its own (promise S8).

    Tasks that ask for it get one from any worker that this server drives and that can change files; agents that edit
    files get one anyway. A task of an agent that declares no files only reads.
    """
    asked = task.isolation == "worktree" and worker in _PLACED_WORKERS
    return asked or (worker in _EDITING_WORKERS and bool(task.files))


def has_changes(tasks: Sequence[model.Task], rows: Iterable[records.TaskRecord]) -> bool:
    """Returns whether a task with a worktree of its own has succeeded."""
    done = {row.id: row.worker for row in rows if row.state in (TaskState.SUCCEEDED, TaskState.UNVERIFIED)}
    return any(task.id in done and is_own(task, done[task.id]) for task in tasks)


class Placed(NamedTuple):
    """Where a task works, and its place in topological order."""

    isolation: work_order.Isolation
    rank: int


SHARED: Final = Placed("shared", 0)


def placement(tasks: Sequence[model.Task], workers: Mapping[str, WorkerKind]) -> dict[str, Placed]:
    """Returns where tasks work that do not work in the shared workspace; `workers` says who does each.

    What depends on a task with a worktree of its own, directly or not, has to see what was merged.
    """
    own = {task.id for task in tasks if is_own(task, workers[task.id])}
    if not own:
        return {}
    found: dict[str, Placed] = {}
    below: set[str] = set()
    for rank, position in enumerate(graph.of(tasks).order):
        task = tasks[position]
        behind = not below.isdisjoint(task.deps)
        if behind or task.id in own:
            below.add(task.id)
        if task.id in own:
            found[task.id] = Placed("own", rank)
        elif behind and workers[task.id] in _PLACED_WORKERS:
            found[task.id] = Placed("merged", rank)
    return found


def part(name: str) -> str:
    """Returns `name` if it can be part of a ref and of a path everywhere, else a name that no other name gets."""
    if _PLAIN_PART.fullmatch(name):
        return name
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32]
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{slug or 'x'}.{digest}"


State = Literal["done", "conflicts", "kept"]
"""What became of an attempt's change: a success (merged, or about to be), one that does not merge, or the rest."""

_STATE_OF: Final[Mapping[str, State]] = {"done": "done", "conflicts": "conflicts", "kept": "kept"}


@dataclass(frozen=True, slots=True)
class Refs:
    """The names under which a repository keeps what a run made; outside of `refs/heads`, so no branch list grows."""

    run_id: str

    @property
    def root(self) -> str:
        """Everything of the run is below it."""
        return f"{PREFIX}/{part(self.run_id)}"

    @property
    def merged(self) -> str:
        """What the run has merged so far: what later tasks begin from, and what a person applies."""
        return f"{self.root}/merged"

    @property
    def base(self) -> str:
        """The commit that the run began from."""
        return f"{self.root}/base"

    def of(self, state: State, task_id: str, attempt: int) -> str:
        """Returns the name of an attempt's change in that state."""
        return f"{self.root}/{state}/{part(task_id)}/{attempt}"


class Kept(NamedTuple):
    """The change of one attempt, as its ref says; `task` as `part` names it, `spec` and `outcome` are digests."""

    state: State
    task: str
    attempt: int
    commit: str
    spec: str = ""
    outcome: str = ""


KEPT_FORMAT: Final = "%(refname)%00%(objectname)%00%(contents)%00"
"""What `git for-each-ref` is asked for, for `read_kept`; versions of git differ in how they print single trailers."""


def read_kept(listing: str, refs: Refs) -> list[Kept]:
    """Returns the changes in an answer of `KEPT_FORMAT`, by task and attempt; other refs are left out."""
    fields = listing.split("\0")
    found = (_kept(*one, refs) for one in zip(fields[::3], fields[1::3], fields[2::3], strict=False))
    return sorted((one for one in found if one), key=lambda kept: (kept.task, kept.attempt))


def _kept(ref: str, commit: str, said: str, refs: Refs) -> Kept | None:
    names = ref.strip().removeprefix(f"{refs.root}/").split("/")
    state = _STATE_OF.get(names[0])
    if state is None or len(names) != 3 or not names[2].isdigit() or not _OBJECT.fullmatch(commit):
        return None
    return Kept(state, names[1], int(names[2]), commit, _trailer(said, "Spec"), _trailer(said, "Outcome"))


def _trailer(said: str, name: str) -> str:
    head = f"Dispatch-{name}: "
    return next((line.removeprefix(head) for line in reversed(said.splitlines()) if line.startswith(head)), "")


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


class Change(NamedTuple):
    """One line of a raw diff: what happened to a path, and the mode that it has now."""

    status: str
    mode: str
    path: str


def read_changes(text: str) -> list[Change]:
    """Returns the changes in the answer of `git diff-index --raw -z --no-renames`."""
    fields = text.split("\0")
    found: list[Change] = []
    for head, path in zip(fields[::2], fields[1::2], strict=False):
        words = head.removeprefix(":").split(" ")
        if len(words) == 5:
            found.append(Change(words[4][:1], words[1], path))
    return found


def nested(changes: Iterable[Change]) -> list[str]:
    """Returns the repositories that were made inside the worktree: git would keep their name and lose their files."""
    return [change.path for change in changes if change.status == "A" and change.mode == "160000"]


def litter(changes: Iterable[Change], declared: Collection[str]) -> list[str]:
    """Returns those new files that tools leave behind (caches, installed packages) and the task did not declare."""
    new = (change.path for change in changes if change.status == "A")
    return [path for path in new if _LITTER.search(path) and path not in declared]


def forced(task: model.Task) -> list[str]:
    """Returns the files that a task declares by name: they are part of its change even where git ignores them."""
    named = (conflicts.normalise(path) for path in task.files)
    return [path for path in named if path and not _WILD.search(path) and not path.startswith(("/", "../"))]


class Merge(NamedTuple):
    """What `git merge-tree` found: the merged tree, the files in conflict and how it put that."""

    tree: str
    conflicts: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


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
    said = [line.strip() for kind, line in _messages(rest) if kind.startswith("CONFLICT")]
    return Merge(fields[0], tuple(dict.fromkeys(paths)), tuple(said))


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


def conflict_brief(found: Merge, mine: str, base: str, others: Sequence[Side]) -> str:
    """Returns what the next attempt is told: which files, who else changed them, and where its change is kept."""
    files = problems.listed(shown(found.conflicts), MAX_NAMED)
    who = "; ".join(f"task `{side.task}` in {side.commit[:12]}" for side in others[:MAX_NAMED])
    said = "".join(f"- {escape.one_line(one, limit=200)}\n" for one in found.said[:MAX_NAMED])
    return (
        f"This change could not be merged with what other tasks of the run merged meanwhile; in conflict: {files}.\n"
        f"{said}The other side: {who or 'an earlier commit of this run'}.\n"
        f"The change is kept as commit {mine[:12]} (`git diff {base[:12]} {mine[:12]}` shows it). The next attempt "
        "begins from the merged state: make the change again on top of it, and keep what the others did."
    )


def merged_detail(head: str, refs: Refs) -> str:
    """Returns what a receipt says of a merged change."""
    return f"merged as {head[:12]} into {refs.merged}; the checkout is as it was until `dispatch-mcp apply`"


_OWN_TREE: Final = (
    "Others change the same files at the same time: work in a git worktree of your own, and merge your change into the "
    "workspace before you report."
)


def host_notices(
    task: model.Task, plan: Sequence[model.Task], rows: Iterable[records.TaskRecord], run_id: str
) -> tuple[str, ...]:
    """Returns what the host is told, whose subagents this server does not place: what it has to see to itself."""
    notices = (_OWN_TREE,) if task.isolation == "worktree" else ()
    if not has_changes(plan, rows):
        return notices
    refs = Refs(run_id)
    changed = (
        f"What tasks of this run changed in worktrees is in {refs.merged}, not in the workspace: "
        f"`git diff {refs.base} {refs.merged}` shows it, `git show {refs.merged}:PATH` a file."
    )
    return (*notices, changed)


def dirty_notice(paths: Sequence[str]) -> str:
    """Returns the notice about changes of the checkout that a worktree does not have; empty without any."""
    if not paths:
        return ""
    names = shown(paths)
    return (
        f"{_count(len(paths), 'file')} of the checkout with uncommitted changes ({problems.listed(names, 3)}): the "
        "worktree does not have these changes."
    )


def shown(paths: Iterable[str]) -> list[str]:
    """Returns names of files as they can be printed and stored: one line each, in Unicode."""
    return [escape.one_line(path, limit=200) for path in paths]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def moved(work: work_order.WorkOrder, workspace: str) -> work_order.WorkOrder:
    """Returns the order for another copy of its workspace; absolute paths that it declares become relative."""
    root = f"{work.workspace.rstrip('/')}/"
    task = work.task
    named = {"files": task.files, "reads": task.reads, "acceptance": task.acceptance}
    changed = {name: tuple(one.replace(root, "") for one in texts) for name, texts in named.items()}
    if changed != named:
        task = task.model_copy(update=changed)
    return replace(work, task=task, workspace=workspace)


def lock_in(said: str, common: str) -> str:
    """Returns the lock file that git complains about, if it is one of our own refs' in the repository `common`."""
    found = _LOCK.search(said)
    path = posixpath.normpath(found[1]) if found else ""
    return path if path.startswith(f"{posixpath.normpath(common)}/{PREFIX}/") else ""


def version(text: str) -> tuple[int, int]:
    """Returns major and minor of `git version 2.39.5`; zeros for what is none."""
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
