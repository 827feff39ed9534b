"""Runs as OpenTelemetry sees them (`dispatch-mcp[otel]`)."""
