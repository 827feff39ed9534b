"""`dispatch-mcp statusline`: the open run of this folder in one line, for Claude Code's `statusLine` setting."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Final

from dispatch_mcp.hooks import hook_events, hook_program
from dispatch_mcp.text import json_types

MOST_TITLE: Final = 30


def main() -> int:
    """Prints the line, or an empty one; the exit code is always 0."""
    try:
        event = {} if sys.stdin.isatty() else hook_events.read(sys.stdin.buffer) or {}  # a person types no event
        text = line(event, os.environ)
    except Exception as trouble:  # whatever it is: a status line never breaks a session
        hook_program.note(trouble)
        text = ""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # whoever asked has gone, or has no stdout for us
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    return 0


def line(event: hook_events.Event, env: Mapping[str, str]) -> str:
    """Returns the newest open run: title, tasks done, running, spent against its ceiling, what waits for the user."""
    from dispatch_mcp.store.looks import open_runs

    project = hook_events.text(event, "workspace", "project_dir") or hook_events.text(event, "workspace", "current_dir")
    home = hook_program.home(env)
    folders = hook_program.folders(event, env, hook_program.wishes(home, env).workspace)
    runs = open_runs.of(home, open_runs.places(*folders, *([project] if project else [])))
    if not runs:
        return ""
    run = runs[0]
    title = " ".join((run.title or run.id[:8]).split())
    parts = [
        title if len(title) <= MOST_TITLE else f"{title[: MOST_TITLE - 1]}…",
        f"{run.ends}/{run.tasks} done",
        f"{run.running - run.people} running" if run.running > run.people else "",
        _money(run.dollars, run.limits),
        "paused" if run.is_paused else "",
        "waits for you" if run.people else "",
        f"+{len(runs) - 1} more" if len(runs) > 1 else "",
    ]
    return " · ".join(part for part in parts if part)


def _money(dollars: float, limits: str) -> str:
    import json

    try:
        ceilings: json_types.Json = json.loads(limits or "{}")
    except ValueError:
        ceilings = {}
    ceiling = ceilings.get("dollars") if json_types.is_object(ceilings) else None
    amount = f"${dollars:.2f}"
    if json_types.is_number(ceiling):
        return f"{amount} of ${ceiling:.2f}"
    return amount if dollars else ""
