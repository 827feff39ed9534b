"""The Responses API in terms of the Messages API, for clients such as Codex: what they send, and what they are sent."""

# What clients send is any JSON.
# pyright: basic
from __future__ import annotations

import json
from typing import Any

Json = Any
SEARCH = "tool_search"
"""The tool by which a model loads others that its client keeps back."""
FINDS = "tool_search_output"
CALLS = ("function_call", "tool_search_call")
OUTPUTS = ("function_call_output", "custom_tool_call_output", FINDS)


def text_of(content: Json) -> str:
    return content if isinstance(content, str) else "\n".join(block.get("text", "") for block in content or [])


def messages_of(body: dict[str, Json]) -> dict[str, Json]:
    """Returns a request of the Responses API as one of the Messages API."""
    tools = [{"name": name} for name in names_of(body)]
    messages = [message for item in body["input"] if (message := _message(item))]
    return {"model": body.get("model"), "system": body.get("instructions") or "", "messages": messages, "tools": tools}


def _message(item: dict[str, Json]) -> dict[str, Json] | None:
    kind = item.get("type", "message")
    if kind == "message" and item["role"] in ("user", "assistant"):
        return {"role": item["role"], "content": text_of(item["content"])}
    if kind in CALLS:
        use = {"type": "tool_use", "id": item["call_id"], "name": item.get("name", SEARCH), "input": {}}
        return {"role": "assistant", "content": [use]}
    if kind in OUTPUTS:
        output = json.dumps(item.get("tools")) if kind == FINDS else text_of(item["output"])
        text = [{"type": "text", "text": output}]
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": item["call_id"], "content": text}]}
    return None


def names_of(body: dict[str, Json]) -> dict[str, str]:
    """Returns the tools of a request by their name, each with the namespace that it stands in."""
    names: dict[str, str] = {}
    finds = [tool for item in body["input"] for tool in item.get("tools") or [] if item.get("type") == FINDS]
    for tool in [*(body.get("tools") or []), *finds]:
        inner = tool.get("tools", []) if tool.get("type") == "namespace" else [tool]
        space = tool["name"] if tool.get("type") == "namespace" else ""
        names.update({entry["name"]: space for entry in inner if entry.get("name")})
    return names


def events(body: dict[str, Json], message: dict[str, Json]) -> list[tuple[str, dict[str, Json]]]:
    """Returns a message of the Messages API as the events of an answer of the Responses API."""
    items = [_item(at, block, names_of(body)) for at, block in enumerate(message["content"])]
    counts = message["usage"]
    usage = {
        "input_tokens": counts["input_tokens"],
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": counts["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counts["input_tokens"] + counts["output_tokens"],
    }
    head = {"id": message["id"], "object": "response", "created_at": 0, "model": body.get("model")}
    begun = {**head, "status": "in_progress", "output": [], "usage": None}
    steps: list[tuple[str, dict[str, Json]]] = [("response.created", {"response": begun})]
    for at, item in enumerate(items):
        steps.append(("response.output_item.added", {"output_index": at, "item": item}))
        steps.append(("response.output_item.done", {"output_index": at, "item": item}))
    steps.append(("response.completed", {"response": {**head, "status": "completed", "output": items, "usage": usage}}))
    return [(kind, {"type": kind, "sequence_number": at, **data}) for at, (kind, data) in enumerate(steps)]


def _item(at: int, block: dict[str, Json], spaces: dict[str, str]) -> dict[str, Json]:
    if block["type"] == "text":
        text = {"type": "output_text", "text": block["text"], "annotations": []}
        return {"type": "message", "id": f"item_{at}", "role": "assistant", "status": "completed", "content": [text]}
    if block["name"] == SEARCH:
        search = {"type": "tool_search_call", "id": f"item_{at}", "status": "completed", "execution": "client"}
        return {**search, "call_id": block["id"], "arguments": block["input"]}
    space = spaces.get(block["name"], "")
    call = {"call_id": block["id"], "name": block["name"], "arguments": json.dumps(block["input"])}
    return {
        "type": "function_call",
        "id": f"item_{at}",
        "status": "completed",
        **call,
        **({"namespace": space} if space else {}),
    }
