"""A session of Claude Code as its hooks tell of it: events, transcripts in files, and what they are answered."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dispatcher_setup

from dispatch_mcp import model
from dispatch_mcp.hooks import hook_answers, hook_listener
from dispatch_mcp.service import dispatcher, host_assignments

ANSWER = json.dumps({"completed_work": "It is done."})
USAGE = {"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 7}


@dataclass
class Session:
    """A session at a desk; `answers` are those of its own server."""

    desk: dispatcher_setup.Desk
    folder: Path
    id: str = "session-1"
    pid: int = field(default_factory=os.getpid)
    level: host_assignments.Hooks = "full"

    def __post_init__(self) -> None:
        self.answers = hook_answers.HookAnswers(self.desk.app, hook_listener.SessionMemory(), self.level)

    @property
    def transcript(self) -> Path:
        return self.folder / f"{self.id}.jsonl"

    async def tells(self, name: str, **fields: Any) -> dict[str, Any]:
        """Returns what the hook of an event is answered."""
        event = {"session_id": self.id, "transcript_path": str(self.transcript), "hook_event_name": name, **fields}
        return await self.answers.answer({"name": name, "event": event, "pid": self.pid})

    async def calls(self, prompt: str, call_id: str = "call-1", tool: str = "Agent", **more: Any) -> dict[str, Any]:
        """Returns what is answered before a subagent is called with that prompt."""
        arguments = {"description": "Do it", "prompt": prompt, "subagent_type": "Explore", **more}
        return await self.tells("PreToolUse", tool_name=tool, tool_input=arguments, tool_use_id=call_id)

    async def begins(self, prompt: str, call_id: str = "call-1") -> dict[str, Any]:
        """Returns the input with which the subagent of a call starts."""
        answer = (await self.calls(prompt, call_id))["hookSpecificOutput"]
        assert answer["permissionDecision"] == "allow", answer
        return answer["updatedInput"]

    async def refusal(self, prompt: str, call_id: str = "call-1") -> str:
        """Returns why a call is denied."""
        answer = (await self.calls(prompt, call_id))["hookSpecificOutput"]
        assert answer["permissionDecision"] == "deny", answer
        return answer["permissionDecisionReason"]

    async def ends(self, brief: str, text: str = ANSWER, agent: str = "a1", **more: Any) -> dict[str, Any]:
        """Returns what is answered when the subagent with that brief has said `text`."""
        path = self.writes(brief, agent=agent)
        return await self.tells(
            "SubagentStop", agent_id=agent, agent_transcript_path=str(path), last_assistant_message=text, **more
        )

    def writes(self, brief: str, *answers: dict[str, Any], agent: str = "a1") -> Path:
        """Writes the transcript of a subagent and returns where."""
        path = self.folder / self.id / "subagents" / f"agent-{agent}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"type": "user", "message": {"role": "user", "content": brief}}, *(answers or (answer("m1"),))]
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return path


def answer(message_id: str, name: str = "claude-sonnet-5-5", **usage: int) -> dict[str, Any]:
    """Returns the row of a model's answer."""
    message = {"id": message_id, "role": "assistant", "model": name, "usage": {**USAGE, **usage}}
    return {"type": "assistant", "message": message}


def words(reply: dict[str, Any]) -> str:
    """Returns what an answer tells the assistant, empty if nothing."""
    return reply.get("hookSpecificOutput", {}).get("additionalContext", reply.get("reason", ""))


async def spend(app: dispatcher.Dispatcher, run_id: str) -> model.Usage:
    """Returns what a run has used."""
    return (await app.trace(run_id=run_id)).spend or model.Usage()
