"""The worker that runs Claude Code."""
