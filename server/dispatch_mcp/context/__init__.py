"""The I/O of context: safe reads, the workspace index, git history."""
