"""Agent cards in the form of the A2A protocol, version 1.0 (specification/a2a.proto, message AgentCard)."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from dispatch_mcp import model
from dispatch_mcp.agents import catalog
from dispatch_mcp.model import TaskState

A2A_VERSION: Final = "1.0"
MCP_BINDING: Final = "https://modelcontextprotocol.io/specification/2026-07-28"
"""How our agents are reached: through the tools of an MCP server; A2A names other bindings than its own by address."""

STATUS: Final = "urn:dispatch-mcp:extension:agent-status:1"
"""The extension that says what an agent is doing now."""

INPUTS: Final = "urn:dispatch-mcp:extension:agent-inputs:1"
"""The extension that says which inputs an agent asks for."""

TEXT: Final = ("text/plain", "text/markdown", "application/json")
MAX_EXAMPLES: Final = 10
_STATES: Final[Mapping[TaskState, str]] = {
    TaskState.BLOCKED: "TASK_STATE_SUBMITTED",
    TaskState.READY: "TASK_STATE_SUBMITTED",
    TaskState.RUNNING: "TASK_STATE_WORKING",
}


class CardTask(NamedTuple):
    """A task of an open run that an agent has or will have."""

    run_id: str
    task_id: str
    state: TaskState


def server_card(url: str, *, version: str, about: str, skills: Mapping[str, str]) -> dict[str, model.Json]:
    """Returns the card of a whole server at its address; `skills` says what each of its tools is for."""
    return {
        "name": "dispatch-mcp",
        "description": about,
        "version": version,
        "supportedInterfaces": [_interface(url)],
        "capabilities": {"streaming": False, "pushNotifications": False, "extendedAgentCard": False},
        "securitySchemes": {"token": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
        "securityRequirements": [{"schemes": {"token": {"list": []}}}],
        "defaultInputModes": list(TEXT),
        "defaultOutputModes": list(TEXT),
        "skills": [
            {"id": name, "name": name.replace("_", " "), "description": text, "tags": ["orchestration"]}
            for name, text in skills.items()
        ],
    }


def _interface(url: str) -> dict[str, model.Json]:
    return {"url": url, "protocolBinding": MCP_BINDING, "protocolVersion": A2A_VERSION}


def card(agent: catalog.Agent, *, version: str, work: Sequence[CardTask] = ()) -> dict[str, model.Json]:
    """Returns the card of an agent; `version` is this product's, `work` what is open for the agent."""
    return {
        "name": agent.name,
        "description": agent.description,
        "version": version,
        "supportedInterfaces": [
            _interface(f"dispatch://agents/{urllib.parse.quote(agent.name, safe='')}"),
        ],
        "capabilities": {
            "streaming": False,
            "pushNotifications": False,
            "extendedAgentCard": False,
            "extensions": [_status(work), *_inputs(agent)],
        },
        "defaultInputModes": list(TEXT),
        "defaultOutputModes": list(TEXT),
        "skills": _skills(agent),
    }


def _inputs(agent: catalog.Agent) -> list[dict[str, model.Json]]:
    """Returns the form of the inputs that the agent asks for, if it asks for any."""
    description = "The JSON Schema that the inputs of this agent's tasks are checked against when they are planned."
    extension = {"uri": INPUTS, "description": description, "required": False, "params": {"schema": agent.inputs}}
    return [extension] if agent.inputs else []


def _status(work: Sequence[CardTask]) -> dict[str, model.Json]:
    tasks = [
        {"runId": task.run_id, "taskId": task.task_id, "state": _STATES[task.state]}
        for task in work
        if task.state in _STATES
    ]
    busy = any(task.state is TaskState.RUNNING for task in work)
    params = {"status": "working" if busy else "queued" if tasks else "idle", "tasks": tasks}
    description = "What the agent does now and next, in this user's open runs."
    return {"uri": STATUS, "description": description, "required": False, "params": params}


def _skills(agent: catalog.Agent) -> list[dict[str, model.Json]]:
    tags = list(agent.keywords[:20]) or [agent.domain or agent.roster or agent.name]
    names = agent.capabilities or (agent.name,)
    return [
        {
            "id": name,
            "name": name.replace("-", " ").replace("_", " "),
            "description": agent.description,
            "tags": tags,
            **({"examples": list(agent.examples[:MAX_EXAMPLES])} if place == 0 and agent.examples else {}),
        }
        for place, name in enumerate(names)
    ]
