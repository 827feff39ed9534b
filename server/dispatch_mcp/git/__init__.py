"""Worktrees, the merge queue and what is applied to the user's branch: everything that asks git."""
