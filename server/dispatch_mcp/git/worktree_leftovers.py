"""What runs leave in repositories and in the state directory, as values."""

from __future__ import annotations

from dispatch_mcp import model
from dispatch_mcp.model import short_ids


class LeftWorktree(model.Value):
    """A worktree below the state directory; `left` means that its run is over, or unknown here.

    `run` and `task` are as `run_refs.part` names them; `note` says why it could not be removed.
    """

    path: str
    run: short_ids.Handle
    task: str
    attempt: int
    left: bool
    note: str = ""


class LeftRun(model.Value):
    """What a repository keeps of a run. `applied` means that a branch holds all it has merged.

    `empty` means that it has merged nothing, so that `merged` is where it began. `conflicts` and `kept` count changes
    of attempts that were not merged, `edits` copies of what was not committed in the checkout; only their refs hold
    them. `removed` counts the refs that were removed just now.
    """

    repository: str
    run: short_ids.Handle
    merged: str = ""
    applied: bool = False
    empty: bool = False
    open: bool = False
    conflicts: int = 0
    kept: int = 0
    edits: int = 0
    removed: int = 0

    @property
    def fate(self) -> str:
        """What became of the run's merged work, in a word or two."""
        if self.open:
            return "goes on"
        if not self.merged:
            return ""
        if self.empty:
            return "nothing"
        return "applied" if self.applied else "not applied"

    @property
    def is_needed(self) -> bool:
        """Whether the run holds work that stands nowhere else."""
        return bool((self.merged and not self.applied) or self.conflicts or self.kept or self.edits)


class Leftovers(model.Value):
    """All that was found, by worktree and by run."""

    trees: tuple[LeftWorktree, ...] = ()
    works: tuple[LeftRun, ...] = ()
