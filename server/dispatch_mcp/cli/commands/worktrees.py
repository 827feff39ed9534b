"""`dispatch-mcp worktrees [list|prune]`: what runs have left in repositories, and what of it can go."""

from __future__ import annotations

import argparse
import functools

import anyio

from dispatch_mcp import configuration
from dispatch_mcp.cli import console, shell_wording
from dispatch_mcp.git import worktree_leftovers
from dispatch_mcp.model import short_ids
from dispatch_mcp.service import checkouts


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints worktrees and kept changes; `prune` removes those that are safe elsewhere before."""
    prune = options.what == "prune"
    leftovers = anyio.run(functools.partial(checkouts.left_over, setup.settings, prune=prune))
    if options.json:
        console.emit(leftovers.model_dump(mode="json", exclude_defaults=True, context=shell_wording.words))
        return console.OK
    show(leftovers, prune=prune)
    return console.OK


def show(leftovers: worktree_leftovers.Leftovers, *, prune: bool) -> None:
    """Prints worktrees and kept changes, and what became of them or could."""
    rows, changes = [_row(tree) for tree in leftovers.trees], [_line(work) for work in leftovers.works]
    if rows:
        console.show(("run", "task", "try", "worktree", ""), rows)
    if changes:
        console.show(("run", "merged", "", "in conflict", "kept"), changes)
    if not rows and not changes:
        console.say("No run has left anything.")
    count = sum(work.removed for work in leftovers.works)
    if prune:
        console.say(f"Removed {count} ref{'' if count == 1 else 's'} whose commits are held elsewhere.")
    elif rows or changes:
        console.say("`dispatch-mcp worktrees prune` removes what is safe elsewhere; nothing that was not merged.")


def _row(tree: worktree_leftovers.LeftWorktree) -> tuple[str, ...]:
    return short_ids.short(tree.run), tree.task, str(tree.attempt), "left over" if tree.left else "in use", tree.note


def _line(work: worktree_leftovers.LeftRun) -> tuple[str, ...]:
    revision = "" if work.empty else work.merged[:12]
    return short_ids.short(work.run), revision, work.fate, str(work.conflicts or ""), str(work.kept or "")
