"""Who can work here; apart from `worker_setup`, so that saying so does not load everything that they work with."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dispatch_mcp import configuration
from dispatch_mcp.model import WorkerKind, worker_choice
from dispatch_mcp.workers.anthropic import api_login
from dispatch_mcp.workers.claude import claude_program


def workers_here(
    settings: configuration.Settings, env: Mapping[str, str], *, chat: bool = True
) -> worker_choice.AvailableWorkers:
    """Returns who can work here; `chat` is whether an assistant calls."""
    preference = None if settings.default_worker == "auto" else WorkerKind(settings.default_worker)
    return worker_choice.AvailableWorkers(
        chat=chat,
        subagents="CLAUDECODE" in env,
        key=bool(api_login.Login.from_env(env)),
        claude=claude_program.find(settings.claude_program, env.get("PATH", "")) or "",
        preferred=preference,
    )


async def claude_version(settings: configuration.Settings) -> str:
    """Returns what the installed Claude Code calls its version; an empty string when it does not answer."""
    program = workers_here(settings, os.environ).claude
    env = settings.child_policy(os.environ).environment()
    with tempfile.TemporaryDirectory() as folder:
        return await claude_program.version(program, env, Path(folder) / "version") if program else ""
