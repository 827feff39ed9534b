"""Which parts of a workspace a task needs: safe reads, the index, the search, the ranking, the pack."""
