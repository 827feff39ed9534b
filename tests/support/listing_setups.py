"""What clients keep about this server on a machine of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PLUGIN = "dispatch@dispatch-mcp"


def registered(home: Path, name: str = "dispatch", command: str = "/opt/dispatch-mcp") -> None:
    """Registers a server in Claude Code for all projects."""
    put(home / ".claude.json", {"mcpServers": {name: {"command": command, "args": ["serve"]}}})


def plugin(home: Path, *, is_on: bool = True) -> None:
    """Installs our plugin in Claude Code as its own `claude plugin install` does."""
    put(home / ".claude/settings.json", {"enabledPlugins": {PLUGIN: is_on}})
    place = {"scope": "user", "installPath": "/cache/dispatch", "version": "0.1.0"}
    put(home / ".claude/plugins/installed_plugins.json", {"version": 2, "plugins": {PLUGIN: [place]}})


def put(file: Path, value: Any) -> None:
    """Writes a JSON file, with the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")
