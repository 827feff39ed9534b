"""What real hosts say in the place of a subagent's answer."""

from __future__ import annotations

STARTED = (
    "Async agent launched successfully. (This tool result is internal metadata — never quote or paste any part of it, "
    "including the agentId below, into a user-facing reply.)\nagentId: a65e10ede6463ed16\nThe agent is working in the "
    "background. You will be notified automatically when it completes.\noutput_file: tasks/a65e10.output"
)
"""What Claude Code answers when a subagent begins in the background."""
