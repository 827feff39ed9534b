"""An event as Claude Code hands it to a hook: read within bounds, and told from what is none of our business.

Only the standard library is imported here: this runs at every turn of every session (docs/reference/hooks.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Final

from dispatch_mcp.text import attempt_names, json_types

FOLDER: Final = "hooks"
"""The folder of the state directory that hooks and their server share."""

MOST_BYTES: Final = 16 << 20
"""Bytes of an event that are read; a longer one is somebody else's."""

AGENT_TOOLS: Final = frozenset({"Agent", "Task"})
OUR_TOOL: Final = "dispatch__"
"""What stands in the names under which Claude Code calls the tools of our server."""

NOTIFICATION: Final = "<task-notification>"

EVENTS: Final = (
    "SessionStart",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "SubagentStop",
    "UserPromptSubmit",
    "Stop",
    "SessionEnd",
)

Event = Mapping[str, json_types.Json]


def read(stream: IO[bytes]) -> Event | None:
    """Returns the event, or None for what is no object, too long or too deep."""
    data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        return None
    try:
        event: json_types.Json = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return event if json_types.is_object(event) else None


def text(event: Event, *path: str) -> str:
    """Returns the text at a path of fields, empty if there is none."""
    value: json_types.Json = event
    for name in path:
        value = value.get(name) if json_types.is_object(value) else None
    return value if isinstance(value, str) else ""


def may_be_ours(name: str, event: Event) -> bool:
    """Returns whether an event can concern a run, before any file is looked at."""
    match name:
        case "PreToolUse":
            is_call = text(event, "tool_name") in AGENT_TOOLS
            if is_call:
                return attempt_names.called(text(event, "tool_input", "prompt")) is not None
            return OUR_TOOL in text(event, "tool_name")
        case "PostToolUse" | "PostToolUseFailure":
            prompt = text(event, "tool_input", "prompt")
            return text(event, "tool_name") in AGENT_TOOLS and attempt_names.marked(prompt) is not None
        case "UserPromptSubmit":
            return text(event, "prompt").lstrip().startswith(NOTIFICATION)
        case "SubagentStop":
            return bool(text(event, "agent_transcript_path"))
        case _:
            return name in EVENTS
