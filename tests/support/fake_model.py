"""A model's provider on loopback that says what it is told: the Messages API, plain and streamed, with all its faults.

Run as `python fake_model.py`; it prints its address and serves until it is ended. What the model says is decided by
the first rule that fits (POST /_fake/rules), else by a script in the prompt:

    <<FAKE [step, step, ...] FAKE>>           or, inside other texts, <<FAKE64 base64url of the list FAKE64>>

The step is the number of the assistant's turns since that text, so the server keeps no conversation. A step is an
object of: text, tool + input, tools, json (a structured answer), thinking, stop_reason, usage, delay, error (+ type,
message, code, headers, times), mid_error, cut, ends_at (the event that never comes), hang. `{last}` in a text is the
last tool result, `{place}` the workspace that the prompt names, `{agent}` the newest subagent in the background.

GET /_fake/log lists requests with their answers, GET /_fake/health counts them, POST /_fake/reset forgets them, and
POST /_fake/storm makes it fail at random: {"seed": 1, "share": {"429": 0.2, "cut": 0.1, ...}, "retry_after": "0.05"}.
"""

# What clients send is any JSON.
# pyright: basic
from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
import re
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import gemini_api
import responses_api
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

PLAIN = re.compile(r"<<FAKE\s*(\[.*?\])\s*FAKE>>", re.DOTALL)
CODED = re.compile(r"<<FAKE64 ([A-Za-z0-9_=-]+) FAKE64>>")
AGENT = re.compile(r"agentId: (\w+)")
PLACE = re.compile(r"Workspace:\n- (\S+)")
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
WORDS_A_CHUNK = 4
Json = Any


class Cut(Exception):
    """The connection is dropped on purpose."""


@dataclass
class State:
    rules: list[dict[str, Json]] = field(default_factory=list)
    log: list[dict[str, Json]] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)
    storm: dict[str, Json] = field(default_factory=dict)
    dice: random.Random = field(default_factory=lambda: random.Random(0))
    in_flight: int = 0
    most_in_flight: int = 0

    def begin(self) -> None:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def end(self) -> None:
        self.in_flight -= 1


STATE = State()


def blocks(content: Json) -> list[dict[str, Json]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content or [])


def text_of(content: Json) -> str:
    return "\n".join(block.get("text", "") for block in blocks(content) if block.get("type") == "text")


def is_result(message: dict[str, Json]) -> bool:
    return any(block.get("type") == "tool_result" for block in blocks(message["content"]))


def last_result(messages: list[dict[str, Json]]) -> str:
    for message in reversed(messages):
        if message["role"] == "user" and is_result(message):
            found = [block for block in blocks(message["content"]) if block.get("type") == "tool_result"]
            return "\n".join(text_of(block.get("content")) for block in found)
    return ""


def turns_after(messages: list[dict[str, Json]], place: int) -> int:
    return sum(message["role"] == "assistant" for message in messages[place + 1 :])


def choose(body: dict[str, Json]) -> tuple[dict[str, Json], int]:
    """Returns the step to play and its number."""
    messages = body["messages"]
    spoken = [
        place
        for place, message in enumerate(messages)
        if message["role"] == "user" and text_of(message["content"]).strip() and not is_result(message)
    ]
    place = spoken[-1] if spoken else -1
    human = text_of(messages[place]["content"]) if spoken else ""
    number = turns_after(messages, place)
    for name, rule in enumerate(STATE.rules):
        if fits(rule.get("match", {}), body, human) and may_use(f"rule {name}", rule["match"], number):
            return step_of(rule["steps"], number), number
    for place in reversed(spoken):
        text = text_of(messages[place]["content"])
        found = PLAIN.findall(text) or [base64.urlsafe_b64decode(code) for code in CODED.findall(text)]
        if found:
            number = turns_after(messages, place)
            return step_of(json.loads(found[-1]), number), number
    return {"text": "ok"}, 0


def fits(match: dict[str, Json], body: dict[str, Json], human: str) -> bool:
    texts = {"model": body.get("model", ""), "system": text_of(body.get("system")), "user": human}
    return all(re.search(match[key], text) for key, text in texts.items() if key in match)


def may_use(name: str, match: dict[str, Json], number: int) -> bool:
    if number or "times" not in match:
        return True
    STATE.used[name] = STATE.used.get(name, 0) + 1
    return STATE.used[name] <= match["times"]


def step_of(steps: list[dict[str, Json]], number: int) -> dict[str, Json]:
    return steps[number] if number < len(steps) else {"text": "done"}


def filled(value: Json, known: dict[str, str]) -> Json:
    if isinstance(value, str):
        for name, text in known.items():
            value = value.replace("{" + name + "}", text)
        return value
    if isinstance(value, dict):
        return {key: filled(item, known) for key, item in value.items()}
    return [filled(item, known) for item in value] if isinstance(value, list) else value


def known_of(body: dict[str, Json]) -> dict[str, str]:
    texts = [text_of(message["content"]) for message in body["messages"] if message["role"] == "user"]
    places = [found[1] for text in texts if (found := PLACE.search(text))]
    last = last_result(body["messages"])
    agents = AGENT.findall("".join([*texts, last]))
    return {
        "place": places[-1] if places else "",
        "agent": agents[-1] if agents else "",
        "last_q": json.dumps(last)[1:-1],
        "last": last,
    }


def tokens(value: Json) -> int:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return max(1, len(text) // 4)


def prompt_tokens(body: dict[str, Json]) -> int:
    return tokens([body.get("system"), body.get("tools"), body.get("messages")])


def answer(body: dict[str, Json], step: dict[str, Json], number: int) -> dict[str, Json]:
    seed = hashlib.sha256(json.dumps([body["messages"], step], sort_keys=True).encode()).hexdigest()
    content = content_of(body, step, seed)
    calls = any(block["type"] == "tool_use" for block in content)
    return {
        "id": f"msg_fake_{seed[:20]}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": content,
        "stop_reason": step.get("stop_reason") or ("tool_use" if calls else "end_turn"),
        "stop_sequence": None,
        "usage": {**usage_of(body, content, number), **step.get("usage", {})},
    }


def content_of(body: dict[str, Json], step: dict[str, Json], seed: str) -> list[dict[str, Json]]:
    known = known_of(body)
    names = [tool.get("name", "") for tool in body.get("tools") or []]
    content: list[dict[str, Json]] = []
    if "thinking" in step:
        content.append({"type": "thinking", "thinking": step["thinking"], "signature": "ZmFrZQ=="})
    if "text" in step:
        content.append({"type": "text", "text": filled(step["text"], known)})
    calls = [*step.get("tools", []), *([step] if "tool" in step else [])]
    if "json" in step:
        said = filled(step["json"], known)
        by_tool = "StructuredOutput" in names and not (body.get("output_config") or {}).get("format")
        if by_tool:
            calls.append({"tool": "StructuredOutput", "input": said})
        else:
            content.append({"type": "text", "text": json.dumps(said)})
    for place, call in enumerate(calls):
        made = {"type": "tool_use", "id": f"toolu_fake_{seed[:16]}{place:02d}", "name": call["tool"]}
        content.append({**made, "input": filled(call.get("input", {}), known)})
    return content or [{"type": "text", "text": "ok"}]


def usage_of(body: dict[str, Json], content: Json, number: int) -> dict[str, int]:
    whole = prompt_tokens(body)
    fresh = max(1, whole // 10) if '"cache_control"' in json.dumps(body) else whole
    return {
        "input_tokens": fresh,
        "output_tokens": tokens(content),
        "cache_creation_input_tokens": 0 if number else whole - fresh,
        "cache_read_input_tokens": whole - fresh if number else 0,
    }


def event(kind: str, **data: Json) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()


async def streamed(message: dict[str, Json], step: dict[str, Json]) -> AsyncIterator[bytes]:
    begun = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    if step.get("ends_at") == "message_start":
        return
    yield event("message_start", message=begun)
    for index, block in enumerate(message["content"]):
        for part in parts_of(index, block):
            yield part
            if b"content_block_delta" in part and step.get("mid_error"):
                yield event("error", error={"type": step["mid_error"], "message": "fake: in the middle"})
                return
            if b"content_block_delta" in part and step.get("cut"):
                raise Cut
    if step.get("ends_at") == "message_delta":
        return
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=delta, usage=message["usage"])
    yield event("message_stop")


def parts_of(index: int, block: dict[str, Json]) -> list[bytes]:
    start, deltas = block, list[dict[str, Json]]()
    if block["type"] == "text":
        start = {"type": "text", "text": ""}
        words = re.findall(r"\S+\s*|\s+", block["text"]) or [""]
        chunks = ["".join(words[at : at + WORDS_A_CHUNK]) for at in range(0, len(words), WORDS_A_CHUNK)]
        deltas = [{"type": "text_delta", "text": chunk} for chunk in chunks]
    elif block["type"] == "thinking":
        start = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif block["type"] == "tool_use":
        start, raw = {**block, "input": {}}, json.dumps(block["input"])
        deltas = [{"type": "input_json_delta", "partial_json": raw[at : at + 64]} for at in range(0, len(raw), 64)]
    return [
        event("content_block_start", index=index, content_block=start),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    ]


def refused(status: int, step: dict[str, Json]) -> Response:
    kind = step.get("type", TYPES.get(status, "api_error"))
    error = {"type": kind, "message": step.get("message", "a fake error")}
    if "code" in step:
        error["details"] = {"error_code": step["code"]}
    return JSONResponse({"type": "error", "error": error, "request_id": "req_fake"}, status, step.get("headers"))


def stormy(step: dict[str, Json]) -> dict[str, Json]:
    """Returns the step, or the fault that the storm draws instead of it."""
    drawn, edge = STATE.dice.random(), 0.0
    for kind, share in STATE.storm.get("share", {}).items():
        edge += share
        if drawn < edge:
            return fault(kind, step)
    return step


def fault(kind: str, step: dict[str, Json]) -> dict[str, Json]:
    if kind.isdigit():
        after = STATE.storm.get("retry_after")
        return {"error": int(kind), **({"headers": {"retry-after": after}} if after and kind == "429" else {})}
    if kind == "mid_error":
        return {**step, "text": "half an answer of some length", "mid_error": "overloaded_error"}
    return {"hang": True} if kind == "hang" else {**step, "text": "half an answer of some length", "cut": True}


async def client_left(request: Request, seconds: float) -> bool:
    """Waits; returns True as soon as the client has hung up."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(0.02, left))
        if await request.is_disconnected():
            return True
    return False


def must_fail(body: dict[str, Json], step: dict[str, Json]) -> bool:
    if "error" not in step:
        return False
    key = hashlib.sha256(json.dumps([body["messages"], step], sort_keys=True).encode()).hexdigest()
    STATE.used[key] = STATE.used.get(key, 0) + 1
    return STATE.used[key] <= step.get("times", 10**9)


async def messages(request: Request) -> Response:
    body = await request.json()
    if not (request.headers.get("x-api-key") or request.headers.get("authorization")):
        return refused(401, {"message": "x-api-key header is required"})
    if missing := [key for key in ("model", "messages", "max_tokens") if key not in body]:
        return refused(400, {"message": f"{missing[0]}: Field required"})
    step, number = choose(body)
    step = stormy(step)
    entry = noted(request, body)
    STATE.begin()
    streaming = False
    try:
        if await client_left(request, 1e9 if step.get("hang") else step.get("delay", 0)):
            return Response(status_code=499)
        if must_fail(body, step):
            return refused(step["error"], step)
        entry["reply"] = message = answer(body, step, number)
        if not body.get("stream"):
            return JSONResponse(message)
        streaming = True
        return StreamingResponse(until_the_end(message, step), media_type="text/event-stream")
    finally:
        if not streaming:
            STATE.end()


async def until_the_end(message: dict[str, Json], step: dict[str, Json]) -> AsyncIterator[bytes]:
    try:
        async for part in streamed(message, step):
            yield part
    finally:
        STATE.end()


def noted(request: Request, body: Json) -> dict[str, Json]:
    headers = {key: value for key, value in request.headers.items() if key not in ("x-api-key", "authorization")}
    entry = {"t": time.time(), "path": request.url.path, "headers": headers, "body": body}
    STATE.log.append(entry)
    return entry


async def responses(request: Request) -> Response:
    """The same scripts for clients that speak the Responses API, streamed and without faults."""
    asked = await request.json()
    body = responses_api.messages_of(asked)
    step, number = choose(body)
    entry = noted(request, asked)
    entry["reply"] = message = answer(body, step, number)
    lines = [event(kind, **data) for kind, data in responses_api.events(asked, message)]
    return Response(b"".join(lines), media_type="text/event-stream")


async def gemini(request: Request) -> Response:
    """The same scripts for the Gemini CLI, plain and streamed and without faults."""
    model, _, method = request.path_params["call"].partition(":")
    asked = await request.json()
    if method == "countTokens":
        return JSONResponse({"totalTokens": len(json.dumps(asked)) // 4})
    body = gemini_api.messages_of(asked, model)
    step, number = choose(body)
    entry = noted(request, asked)
    entry["reply"] = message = answer(body, step, number)
    given = gemini_api.answer(message)
    if method == "generateContent":
        return JSONResponse(given)
    return Response(f"data: {json.dumps(given)}\n\n", media_type="text/event-stream")


async def count_tokens(request: Request) -> Response:
    body = await request.json()
    noted(request, body)
    return JSONResponse({"input_tokens": prompt_tokens(body)})


async def control(request: Request) -> Response:
    what = request.path_params["what"]
    if what == "log":
        return JSONResponse(STATE.log)
    if what == "reset":
        STATE.__init__()
    elif what == "rules":
        STATE.rules = await request.json()
    elif what == "storm":
        STATE.storm = await request.json()
        STATE.dice = random.Random(STATE.storm.get("seed", 0))
    asked = sum(entry["path"] == "/v1/messages" for entry in STATE.log)
    return JSONResponse({"requests": asked, "in_flight": STATE.in_flight, "most_in_flight": STATE.most_in_flight})


app = Starlette(
    routes=[
        Route("/v1/messages", messages, methods=["POST"]),
        Route("/v1/responses", responses, methods=["POST"]),
        Route("/v1beta/models/{call}", gemini, methods=["POST"]),
        Route("/v1/messages/count_tokens", count_tokens, methods=["POST"]),
        Route("/_fake/{what}", control, methods=["GET", "POST"]),
    ]
)


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        config = uvicorn.Config(app, log_level="critical", lifespan="off")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
