"""Where Claude Code is installed, and which flags that version knows."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dispatch_mcp import errors
from dispatch_mcp.process import program_path, supervisor
from dispatch_mcp.workers.claude import command_line

NAME: Final = "claude"
_HELP_S: Final = 20.0


def find(program: str, path: str) -> str | None:
    """Returns the absolute path of the program, or None.

    First what the user configured, then `claude` on `path`, then the one that the package claude-agent-sdk brings.
    Relative entries of the path, which a workspace could fill, do not count.
    """
    return program_path.find(program, path) if program else program_path.find(NAME, path) or _bundled()


def _bundled() -> str | None:
    try:
        spec = importlib.util.find_spec("claude_agent_sdk")
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin:
        return None
    program = Path(spec.origin).parent / "_bundled" / NAME
    return str(program) if os.access(program, os.X_OK) else None


async def flags(program: str, env: Mapping[str, str], folder: Path) -> frozenset[str]:
    """Returns the flags that the program's help names; none when it does not answer."""
    return command_line.flags_in(await _ask(program, "--help", env, folder))


async def version(program: str, env: Mapping[str, str], folder: Path) -> str:
    """Returns what the program calls its version; an empty string when it does not answer."""
    return (await _ask(program, "--version", env, folder)).strip().partition(" ")[0][:40]


async def _ask(program: str, flag: str, env: Mapping[str, str], folder: Path) -> str:
    try:
        child = await supervisor.run_child([program, flag], cwd=Path("/"), env=env, folder=folder, timeout_s=_HELP_S)
    except errors.WorkerError:
        return ""
    return child.stdout.decode("utf-8", "replace") if child.exit_code == 0 else ""
