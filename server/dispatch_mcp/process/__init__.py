"""Child processes: which may start, in which environment, and how they end."""
