"""Which git commands a worker started, as git itself logs them: by that a change of the checkout is known as its own.

Git writes one JSON object a line into the file that a variable names, which programs hand on. A worker may drop it, so
what is missing proves nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.text import json_types

VARIABLE: Final = "GIT_TRACE2_EVENT"
MAX_BYTES: Final = 16 << 20
"""Of a log; an attempt that ran some ten thousand commands is known by the first of them."""

_MOVING_HERE: Final = frozenset(
    {
        *("am", "branch", "checkout", "cherry-pick", "commit", "fast-import", "merge", "pull", "rebase", "reset"),
        *("revert", "switch", "symbolic-ref", "update-ref"),
    }
)
"""Commands that move what is checked out, or its branch, where they run."""

_DROPPING: Final = frozenset(
    {
        *("checkout", "checkout-index", "clean", "merge", "pull", "read-tree", "rebase", "reset", "restore", "rm"),
        *("stash", "switch"),
    }
)
"""Commands that can take from a checkout what is not committed there."""

_STAGING: Final = _DROPPING | {"add", "am", "apply", "commit", "mv", "update-index"}
"""Commands that can take from the index what is staged there."""

_MOVING_ANY: Final = _MOVING_HERE | {"fetch", "push"}
"""Commands that move the branch that they name."""

_DROPPING_NAMED: Final = _MOVING_ANY | {"tag"}
"""Commands that delete the ref that they name, or move it."""

_DROPPING_UNNAMED: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "fast-import": ("refs/", frozenset()),
    "filter-branch": ("refs/", frozenset()),
    "notes": ("refs/notes/", frozenset()),
    "push": ("refs/", frozenset({"--mirror", "--prune"})),
    "remote": ("refs/remotes/", frozenset({"remove", "rename", "rm"})),
    "update-ref": ("refs/", frozenset({"--stdin"})),
}
"""Commands that delete or move refs that they do not name: which, and the words of which it takes at least one."""

_DROPPING_ENTRIES: Final[Mapping[str, frozenset[str]]] = {
    "reflog": frozenset({"delete", "expire"}),
    "stash": frozenset({"branch", "clear", "drop", "pop"}),
    "update-ref": frozenset({"--stdin", "refs/stash"}),
}
"""Commands that take entries from the stash, and the words of which it takes one."""


class GitCommand(NamedTuple):
    """One git command: its name, its words, and the top folder of the checkout that it ran in."""

    name: str
    words: tuple[str, ...] = ()
    top: str = ""

    def moves_checkout(self, top: Path) -> bool:
        """Returns whether it may move what is checked out in a folder."""
        return self.name in _MOVING_HERE and self._is_in(top)

    def drops_edits(self, top: Path) -> bool:
        """Returns whether it may take from a checkout what is not committed there."""
        return self.name in _DROPPING and self._is_in(top)

    def restages(self, top: Path) -> bool:
        """Returns whether it may take from the index of a checkout what is staged there."""
        return self.name in _STAGING and self._is_in(top)

    def changes(self, top: Path) -> bool:
        """Returns whether it may change a checkout, or what is checked out there."""
        return self.moves_checkout(top) or self.drops_edits(top)

    def forces_removal(self) -> bool:
        """Returns whether it removes another worktree of the repository whatever is not committed there."""
        words = frozenset(self.words)
        return self.name == "worktree" and "remove" in words and not words.isdisjoint({"-f", "-ff", "--force"})

    def _is_in(self, top: Path) -> bool:
        return bool(self.top) and os.path.realpath(self.top) == os.path.realpath(top)

    def moves_branch(self, branch: str) -> bool:
        """Returns whether it names a branch and may move that."""
        return self.name in _MOVING_ANY and self._names(branch, f"refs/heads/{branch}")

    def drops_ref(self, ref: str) -> bool:
        """Returns whether it may delete a ref, or move it back; what fetching does to the copies of remotes is not."""
        head, words = _DROPPING_UNNAMED.get(self.name, ("", frozenset[str]()))
        if head and ref.startswith(head) and (not words or words.intersection(self.words)):
            return True
        short = ref.removeprefix("refs/")
        return self.name in _DROPPING_NAMED and self._names(ref, short, short.partition("/")[2])

    def drops_stash(self) -> bool:
        """Returns whether it may take entries from the stash."""
        return not _DROPPING_ENTRIES.get(self.name, frozenset()).isdisjoint(self.words)

    def _names(self, *names: str) -> bool:
        return any(word.rpartition(":")[2].lstrip("+") in names for word in self.words)


def file_beside(worktree: Path) -> Path:
    """Returns where the log of the attempt in a worktree is."""
    return worktree.with_name(f"{worktree.name}.git-log")


def begin(path: Path) -> None:
    """Forgets what an earlier attempt has logged."""
    path.unlink(missing_ok=True)


def read(path: Path) -> list[GitCommand]:
    """Returns the commands in a log, none where there is no log; what is no event is skipped."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    return list(_commands(text.splitlines()))


def _commands(lines: Iterable[str]) -> Iterator[GitCommand]:
    """Yields a command for each session in which git said what it does."""
    sessions: dict[str, dict[str, Mapping[str, model.Json]]] = {}
    for event in filter(json_types.is_object, map(_event, lines)):
        sessions.setdefault(str(event.get("sid")), {}).setdefault(str(event.get("event")), event)
    for events in sessions.values():
        name, start = events.get("cmd_name", {}).get("name"), events.get("start", {}).get("argv")
        top = events.get("def_repo", {}).get("worktree")
        if isinstance(name, str):
            words = tuple(map(str, start)) if json_types.is_list(start) else ()
            yield GitCommand(name, words, top if isinstance(top, str) else "")


def _event(line: str) -> model.Json:
    try:
        return json.loads(line) if '"start"' in line or '"def_repo"' in line or '"cmd_name"' in line else None
    except (ValueError, RecursionError):
        return None
