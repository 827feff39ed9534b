"""Plans as functions of values: checks, schedule, conflicts, edits, forecast, documents."""
