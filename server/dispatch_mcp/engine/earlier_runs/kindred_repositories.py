"""What tells that a repository is another one under a new path, and where its files went meanwhile.

A folder that was renamed or moved, and a clone, have the commits that were there before. A repository of somebody else
never has; so a commit, and not a name, says whether two folders hold the same work.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dispatch_mcp import errors
from dispatch_mcp.git import git_process

MOST_COMMITS: Final = 1_000
"""Commits in which renamed files are looked for."""

_PAIR: Final = 3
"""Words in which git tells of one renamed file: the likeness, the old path, the new one."""


@dataclass(frozen=True, slots=True)
class RepositoryHistory:
    """Reads what became of commits and files in the repository whose working tree is `top`."""

    git: git_process.Git
    top: Path

    async def commits(self, candidates: Collection[str]) -> frozenset[str]:
        """Returns those of some commits that the repository has; none where git cannot tell."""
        names = sorted(candidates)
        answers = await self._known([f"{name}^{{commit}}" for name in names])
        return frozenset(name for name, is_there in zip(names, answers, strict=False) if is_there)

    async def files(self, commit: str, paths: Sequence[str]) -> list[str]:
        """Returns those of some paths below the top that were there in a commit."""
        plain = [path for path in paths if "\n" not in path]
        answers = await self._known([f"{commit}:{path}" for path in plain])
        return [path for path, is_there in zip(plain, answers, strict=False) if is_there]

    async def renames(self, commit: str) -> list[tuple[str, str]]:
        """Returns old and new paths of files that were renamed since a commit, the earliest first, as git tells it."""
        form = ("-M", "--diff-filter=R", "--name-status", "-z")
        log = ("log", "--reverse", f"--max-count={MOST_COMMITS}", "--format=")
        pairs = await self._words(*log, *form, f"{commit}..HEAD")
        words = [*pairs, *await self._words("diff", *form, commit)]
        return [(words[at + 1], words[at + 2]) for at in range(0, len(words) - _PAIR + 1, _PAIR)]

    async def new_files(self, commit: str) -> list[str]:
        """Returns the paths of files that were not there in a commit, but for ignored ones."""
        paths = await self._words("diff", "--no-renames", "--diff-filter=A", "--name-only", "-z", commit)
        return [*paths, *await self._words("ls-files", "--others", "--exclude-standard", "-z")]

    async def _known(self, objects: Sequence[str]) -> list[bool]:
        """Returns of each object whether the repository has it."""
        if not objects:
            return []
        try:
            answer = await self.git.run(self.top, "cat-file", "--batch-check", stdin="\n".join(objects) + "\n")
        except errors.WorkerError:
            return []
        return [not line.endswith(" missing") for line in answer.lines]

    async def _words(self, *arguments: str) -> list[str]:
        try:
            answer = await self.git.run(self.top, *arguments)
        except errors.WorkerError:
            return []
        return [word for word in answer.out.split("\0") if word.strip()]
