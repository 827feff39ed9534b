"""Messages on stdin and stdout: each line is a message for the server, or is answered with why it is none.

The SDK drops what it cannot read, and whoever sent it waits for ever. So we read stdin ourselves and keep the SDK's
stdout. Bytes that are no UTF-8 and halves of a pair of surrogates (an emoji that a client cut) become U+FFFD: a
result that somebody paid for is not refused for one character. Bodies that come over HTTP are read in the same way.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import anyio
import anyio.to_thread
from anyio.streams.memory import MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)
from pydantic import ValidationError

from dispatch_mcp import model
from dispatch_mcp.mcp_server.handshake import input_lines
from dispatch_mcp.text import json_types

MAX_DEPTH: Final = 200
"""Levels of objects and lists in one message."""

MAX_ANSWERS: Final = 100
"""Answers to one batch, which holds a request each; a longer one gets one answer for the whole."""

_ID_AT_THE_END: Final = re.compile(rb'"jsonrpc" ?: ?"2\.0" ?, ?"id" ?: ?(-?[0-9]{1,18}|"[^"\\]{0,200}") ?\}\s{0,8}$')
"""How clients end a request that put the id last."""

_TOKENS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[^"]++', re.DOTALL)
"""A JSON text as strings, the last one perhaps not closed, and what stands between them."""

_MAX_TOKENS: Final = 400_000
"""So many tokens of a broken line are looked through for its id: a fraction of a second."""

_NUMBER: Final = re.compile(r"\s{0,20}:\s{0,20}(-?[0-9]{1,18})\s{0,20}(?:[,}]|$)")
_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""An escaped character: a whole pair of surrogates, half of one (the group), or any other."""


_RIGHT: Final[Mapping[str, str]] = {
    "jsonrpc": '"2.0"',
    "id": "a string or a whole number",
    "method": "a string",
    "params": "an object",
    "result": "an object",
    "error": "an object with code and message",
}
"""What the fields of a message must be."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a line is no message, and the ids of the requests in it; an id of None stands for one that cannot be told."""

    code: int
    reason: str
    ids: tuple[RequestId | None, ...] = (None,)

    def answers(self) -> Iterator[JSONRPCError]:
        """Yields an error for each request of the line."""
        for request_id in self.ids:
            yield JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=self.code, message=self.reason))


def read(line: bytes | input_lines.CutLine) -> JSONRPCMessage | Refusal | None:
    """Returns the message of a line, why it is none, or None for an empty line."""
    if isinstance(line, input_lines.CutLine):
        at_the_end = _ID_AT_THE_END.search(line.tail)
        ids = _ids_in(line.head.decode("utf-8", "replace"), {"id": json.loads(at_the_end[1])} if at_the_end else {})
        return Refusal(
            INVALID_REQUEST, f"The message is longer than {input_lines.MAX_LINE:,} bytes. Send less at a time.", ids
        )
    return read_text(repaired(line))


def repaired(line: bytes) -> str:
    """Returns the text of a line, with U+FFFD for what is no character."""
    return _with_whole_characters(line.decode("utf-8", "replace").removeprefix("\ufeff"))


def read_text(text: str) -> JSONRPCMessage | Refusal | None:
    """Returns the message of a text, why it is none, or None for an empty one."""
    if not text.strip():
        return None
    try:
        value: model.Json = json.loads(text)
    except (ValueError, RecursionError) as wrong:
        return _unreadable(text, wrong)
    return _message(value, text)


def _with_whole_characters(text: str) -> str:
    """Returns a JSON text with U+FFFD for escaped surrogates that are not in pairs."""
    if "\\ud" not in text and "\\uD" not in text:
        return text
    return _ESCAPE.sub(lambda escape: "\\ufffd" if escape[1] else escape[0], text)


def _unreadable(text: str, wrong: Exception) -> Refusal:
    """Returns why a text is no JSON that can be read."""
    ids = _ids_in(text)
    if isinstance(wrong, RecursionError):
        return _too_deep(ids)
    if isinstance(wrong, json.JSONDecodeError):
        reason = f"This is not JSON: {wrong.msg} at character {wrong.pos}. Send one JSON-RPC message at a time."
        return Refusal(PARSE_ERROR, reason, ids)
    limit = f"{sys.get_int_max_str_digits():,}"
    reason = f"A whole number in the message has more than {limit} digits. Send numbers that fit 64 bits."
    return Refusal(INVALID_PARAMS, reason, ids)


def _message(value: model.Json, text: str) -> JSONRPCMessage | Refusal:
    if json_types.is_list(value):
        return _batch(value)
    if not json_types.is_object(value):
        return Refusal(INVALID_REQUEST, f"{json_types.quoted(value)} is not a message. Send a JSON-RPC object.")
    if _is_deep(text, value):
        return _too_deep((_id_of(value),))
    return _of_object(value)


def _too_deep(ids: tuple[RequestId | None, ...]) -> Refusal:
    reason = f"The message is nested deeper than {MAX_DEPTH} levels. Send flatter values."
    return Refusal(INVALID_PARAMS, reason, ids)


def _batch(items: Sequence[model.Json]) -> Refusal:
    ids = [_id_of(item) for item in items if json_types.is_object(item) and "id" in item]
    numbers = tuple(ids) if 0 < len(ids) <= MAX_ANSWERS else (None,)
    return Refusal(INVALID_REQUEST, "Batches are not part of MCP. Send one JSON-RPC message at a time.", numbers)


def _is_deep(text: str, value: model.Json) -> bool:
    """Tells whether a value has more than `MAX_DEPTH` levels; level by level, since only the parser's depth is held."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    level: list[model.Json] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _parts(outer) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _parts(value: model.Json) -> Iterable[model.Json]:
    return value.values() if json_types.is_object(value) else value if json_types.is_list(value) else ()


def _of_object(value: Mapping[str, model.Json]) -> JSONRPCMessage | Refusal:
    """Returns the message that an object is. A request has an id, also one of null; a notification has none."""
    try:
        if "method" in value or not value.keys() & {"result", "error"}:
            kind = JSONRPCRequest if "id" in value or "method" not in value else JSONRPCNotification
            return kind.model_validate(value)
        return (JSONRPCError if "error" in value else JSONRPCResponse).model_validate(value)
    except ValidationError as wrong:
        fault = wrong.errors(include_url=False, include_context=False)[0]
        field = str(fault["loc"][0])
        value_of = "missing" if field not in value else json_types.quoted(value[field])
        code = INVALID_PARAMS if field == "params" else INVALID_REQUEST
        return Refusal(code, f"{field} is {value_of}; it must be {_RIGHT[field]}.", (_id_of(value),))


def _id_of(value: Mapping[str, model.Json]) -> RequestId | None:
    """Returns the id of a request, None if there is none to answer to; the id of a response is one of ours."""
    request_id = value.get("id")
    is_response = "method" not in value and bool(value.keys() & {"result", "error"})
    is_id = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    return request_id if is_id and not is_response else None


def _ids_in(text: str, otherwise: Mapping[str, model.Json] = MappingProxyType({})) -> tuple[RequestId | None, ...]:
    """Returns the id of a request in a text that is no JSON: the one at the top level, as far as it can be read.

    `otherwise` holds the id that counts if there is none.
    """
    fields = dict(otherwise)
    for name, value in _top_fields(text):
        fields[name] = value
        if {"id", "method"} <= fields.keys():
            break
    return (_id_of(fields),)


def _top_fields(text: str) -> Iterator[tuple[str, model.Json]]:
    """Yields the fields of the outermost object, with their values if these are numbers or strings."""
    depth, name = 0, ""
    for at, token in enumerate(_TOKENS.finditer(text)):
        piece = token[0]
        if at > _MAX_TOKENS:
            return
        if not piece.startswith('"'):
            depth += piece.count("{") + piece.count("[") - piece.count("}") - piece.count("]")
            if name and piece.lstrip().startswith(":"):
                number = _NUMBER.match(piece)
                if piece.strip() != ":":
                    yield name, int(number[1]) if number else None
                    name = ""
            else:
                name = ""
        elif name:
            yield name, _string(piece)
            name = ""
        elif depth == 1:
            name = _string(piece) or ""


def _string(piece: str) -> str | None:
    """Returns the text of a JSON string, None for one that is not closed or too long to be a name or an id."""
    try:
        return str(json.loads(piece)) if len(piece) <= 400 else None
    except ValueError:
        return None


async def relay(
    lines: input_lines.LineSource,
    inbox: MemoryObjectSendStream[SessionMessage | Exception],
    answer: Callable[[SessionMessage], Awaitable[None]],
    hear: Callable[[JSONRPCMessage], None],
    redact: Callable[[str], str],
) -> None:
    """Passes on what is a message and answers what is none, until there are no more lines or nobody listens.

    `hear` is told of each message before it is passed on; `redact` reads what is said of a line that is none.
    """
    own = anyio.CapacityLimiter(1)  # whoever else keeps threads busy, lines are read
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async with inbox:
            while outcome := await anyio.to_thread.run_sync(_next, lines, abandon_on_cancel=True, limiter=own):
                if isinstance(outcome, Refusal):
                    clean = replace(outcome, reason=redact(outcome.reason))
                    for error in clean.answers():
                        await answer(SessionMessage(error))
                else:
                    hear(outcome)
                    await inbox.send(SessionMessage(outcome))


def _next(lines: input_lines.LineSource) -> JSONRPCMessage | Refusal | None:
    """Waits for the next line that is not empty and returns what it says; None at the end. For a thread."""
    while (line := lines.next()) is not None:
        if (outcome := read(line)) is not None:
            return outcome
    return None


def exit_within(seconds: float) -> None:
    """Ends the process after so long, whatever still waits: a thread at a pipe that nobody reads cannot be woken."""
    last = threading.Timer(seconds, os._exit, (0,))
    last.daemon = True
    last.start()
