"""The distributed engine: runs as workflows of a Temporal server, attempts as activities (`dispatch-mcp[temporal]`)."""
