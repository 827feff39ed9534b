"""The Gemini API in terms of the Messages API, for the Gemini CLI: what it sends, and what it is sent."""

# What clients send is any JSON.
# pyright: basic
from __future__ import annotations

import json
from typing import Any

Json = Any


def messages_of(body: dict[str, Json], model: str) -> dict[str, Json]:
    """Returns a request of the Gemini API as one of the Messages API."""
    system = "\n".join(part.get("text", "") for part in (body.get("systemInstruction") or {}).get("parts", []))
    messages = [_message(content) for content in body.get("contents", [])]
    return {"model": model, "system": system, "messages": messages, "tools": []}


def _message(content: dict[str, Json]) -> dict[str, Json]:
    role = "assistant" if content.get("role") == "model" else "user"
    return {"role": role, "content": [_block(part) for part in content.get("parts", [])]}


def _block(part: dict[str, Json]) -> dict[str, Json]:
    if call := part.get("functionCall"):
        return {"type": "tool_use", "id": call.get("id", call["name"]), "name": call["name"], "input": {}}
    if answer := part.get("functionResponse"):
        response = answer["response"]
        text = response.get("output", response) if isinstance(response, dict) else response
        blocks = [{"type": "text", "text": text if isinstance(text, str) else json.dumps(text)}]
        return {"type": "tool_result", "tool_use_id": answer.get("id", answer["name"]), "content": blocks}
    return {"type": "text", "text": part.get("text", "")}


def answer(message: dict[str, Json]) -> dict[str, Json]:
    """Returns a message of the Messages API as an answer of the Gemini API."""
    counts = message["usage"]
    usage = {
        "promptTokenCount": counts["input_tokens"],
        "candidatesTokenCount": counts["output_tokens"],
        "totalTokenCount": counts["input_tokens"] + counts["output_tokens"],
    }
    content = {"role": "model", "parts": [_part(block) for block in message["content"]]}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage,
        "modelVersion": message["model"],
        "responseId": message["id"],
    }


def _part(block: dict[str, Json]) -> dict[str, Json]:
    if block["type"] == "text":
        return {"text": block["text"]}
    return {"functionCall": {"name": block["name"], "args": block["input"]}, "thoughtSignature": "c2NyaXB0ZWQ="}
