"""What runs have left behind, as a person reads it."""

from __future__ import annotations

import pytest

from dispatch_mcp.cli.commands import worktrees
from dispatch_mcp.git import worktree_leftovers

RUN = "shop-3f2a7c90b1d2e4a53f2a7c90b1d2e4a5"
TREE = worktree_leftovers.LeftWorktree(path="/x", run=RUN, task="api", attempt=2, left=True, note="in use by git")
WORK = worktree_leftovers.LeftRun(repository="/r", run=RUN, merged="f" * 40, applied=True, conflicts=1, kept=2)


def test_a_worktree_and_a_change_are_shown_with_what_became_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    worktrees.show(worktree_leftovers.Leftovers(trees=(TREE,), works=(WORK,)), prune=False)
    out = capsys.readouterr().out
    assert "shop-3f2a  api   2    left over  in use by git" in out
    assert f"shop-3f2a  ffffffffffff  {WORK.fate}" in out
    assert out.endswith("removes what is safe elsewhere; nothing that was not merged.\n")


@pytest.mark.parametrize(("removed", "text"), [(0, "0 refs"), (1, "1 ref"), (5, "5 refs")])
def test_pruning_says_how_much_it_removed(capsys: pytest.CaptureFixture[str], removed: int, text: str) -> None:
    works = (WORK.model_copy(update={"removed": removed}),)
    worktrees.show(worktree_leftovers.Leftovers(works=works), prune=True)
    assert capsys.readouterr().out.endswith(f"Removed {text} whose commits are held elsewhere.\n")


def test_where_nothing_is_left_nothing_is_advised(capsys: pytest.CaptureFixture[str]) -> None:
    worktrees.show(worktree_leftovers.Leftovers(), prune=False)
    assert capsys.readouterr().out == "No run has left anything.\n"
