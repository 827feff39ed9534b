"""An event as Claude Code hands it to a hook: read within bounds, and told from what is none of our business.

Only the standard library is imported here: this runs at every turn of every session (docs/reference/hooks.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import IO, Final, NamedTuple

from dispatch_mcp.text import attempt_names, json_types
from dispatch_mcp.text.reading import excerpts

FOLDER: Final = "hooks"
"""The folder of the state directory that hooks and their server share."""

LOG: Final = "hooks.log"
"""The file in it that has a line for each fault of ours."""

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

OF_SUBAGENTS: Final = ("PostToolUse", "PostToolUseFailure", "SubagentStop", "UserPromptSubmit")
"""The events by which is learnt what became of a subagent, also when its run is over by then."""

LEVELS: Final = ("full", "report", "off")
"""What hooks may do, as the settings say; the first if they say nothing."""

Event = Mapping[str, json_types.Json]

COMPLETED: Final = "completed"
ENDS: Final = ("failed", "killed", "stopped", "cancelled")
"""How a notification says that a subagent ended without an answer."""

_TAG: Final = re.compile(r"<(task-id|status)>([^<>]{1,80})</\1>")
_NO_AGENTS: Final = ("shell", "monitor", "MCP task")
"""Background work of the host that may go on for days: a server for development is no subagent."""

_GOES_ON: Final = ("clear", "resume")
"""Reasons for which a session ends while its process, and its subagents, go on."""


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


class Notification(NamedTuple):
    """News of a subagent in the background: which one, and how it is."""

    agent: str
    status: str

    @property
    def is_end(self) -> bool:
        """Whether the subagent works no longer; other news tells how far it is."""
        return self.status in (COMPLETED, *ENDS)


def notification(event: Event) -> Notification:
    """Returns what the prompt of an event says of a subagent, empty where it says nothing."""
    tags = dict(_TAG.findall(excerpts.NOTIFICATION.of(text(event, "prompt"))))
    return Notification(tags.get("task-id", ""), tags.get("status", ""))


def agent_of(event: Event) -> str:
    """Returns the subagent that an event is about, empty if it names none."""
    return text(event, "agent_id") or text(event, "tool_response", "agentId") or notification(event).agent


def has_background_work(event: Event) -> bool:
    """Returns whether subagents of the session still work."""
    return bool(running_agents(event))


def running_agents(event: Event) -> list[str]:
    """Returns the ids of the subagents of the session that still work, empty where one has none."""
    tasks = event.get("background_tasks")
    works = [task for task in tasks if json_types.is_object(task)] if json_types.is_list(tasks) else []
    return [
        text(work, "id")
        for work in works
        if work.get("status") in ("running", "pending") and work.get("type") not in _NO_AGENTS
    ]


def is_farewell(event: Event) -> bool:
    """Returns whether the process of the session ends with it."""
    return text(event, "reason") not in _GOES_ON


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
            return text(event, "tool_name") in AGENT_TOOLS and attempt_names.begun(prompt) is not None
        case "UserPromptSubmit":
            return text(event, "prompt").lstrip().startswith(NOTIFICATION)
        case "SubagentStop":
            return bool(text(event, "agent_transcript_path"))
        case _:
            return name in EVENTS
