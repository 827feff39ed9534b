"""Packs for the command line: one workspace, one budget, one scope, and a history that may be handed in."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dispatch_mcp import configuration
from dispatch_mcp.context import git_log, pack_builder, packs, search_scope


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks for packs of one workspace; `history` replaces the workspace's own if it is given."""

    gatherer: pack_builder.Gatherer
    workspace: Path
    budget: int
    scope: search_scope.Scope
    history: pack_builder.History | None = None

    def pack(self, text: str, keys: Sequence[str] = (), *, before: int | None = None, but: str = "") -> packs.Pack:
        """Returns the pack of a task; of a history that was handed in, commits before `before` and not `but` count.

        Raises:
            NotAllowed: the workspace cannot be read.
        """
        history = self.history.until(before, but) if self.history else None
        return self.gatherer.pack(
            self.workspace, text, keys, budget=self.budget, scope=self.scope, past_commits=history
        )


@contextmanager
def asking(
    settings: configuration.Settings,
    *,
    budget: int,
    scope: search_scope.Scope,
    commits: Sequence[git_log.Commit] | None = None,
) -> Generator[Asking]:
    """Yields what asks for packs of the settings' workspace."""
    with ExitStack() as stack:
        gatherer = stack.enter_context(pack_builder.Gatherer(settings.home))
        history = stack.enter_context(closing(pack_builder.History(commits))) if commits is not None else None
        yield Asking(gatherer, settings.workspace, budget, scope, history)
