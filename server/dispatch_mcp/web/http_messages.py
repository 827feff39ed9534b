"""Messages in the bodies of requests: each is a message for the server, or is answered with why it is none.

What is a message, and what becomes of broken characters in it, is the same as on stdin. And each request is answered:
what fails behind it is logged with its traceback and told as an error of the protocol, never by a status alone. Errors
of the protocol are read for secrets here (S10): the SDK refuses some requests before any middleware, and quotes them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio
from mcp.types import INTERNAL_ERROR, INVALID_REQUEST, PARSE_ERROR, JSONRPCMessage, JSONRPCRequest, RequestId
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dispatch_mcp import errors, model
from dispatch_mcp.mcp_server import stdio_messages
from dispatch_mcp.process import computation
from dispatch_mcp.text import json_types, redaction

log = logging.getLogger(__name__)

FAULT: Final = "The server failed at this request; its log (stderr) says how. Send the request again."
CUT_OFF: Final = "The session ended before there was an answer. Begin a new one and send the request again."
STOPPED: Final = "The server was stopped before it could answer. Send the request again once it runs."

MOST_DIGITS: Final = 15
"""Digits of a length that is looked at."""

_ERROR: Final = b'"error"'
_DATA: Final = b"data: "

LAST_WORD_S: Final = 1.0
"""Seconds that a client has to take the answer to a request that the server's end cut off."""


@dataclass(slots=True)
class Exchange:
    """A request and how much of its answer has been sent; `message` is what the application reads as its body.

    `clean` takes secrets out of a part of an answer; `beginning` tells its length, and so waits for the part.
    """

    to_read: Receive
    to_send: Send
    clean: Callable[[bytes], Awaitable[bytes]]
    message: Message | None = None
    beginning: Message | None = None
    has_answer: bool = False
    is_answered: bool = False
    is_stream: bool = False
    is_over: bool = False

    async def receive(self) -> Message:
        """Returns what the application reads next."""
        if self.message is not None:
            message, self.message = self.message, None
            return message
        message = await self.to_read()
        self.is_over = self.is_over or message["type"] == "http.disconnect"
        return message

    async def send(self, message: Message) -> None:
        """Sends a part of the answer."""
        if message["type"] == "http.response.start":
            self.is_stream = (b"content-type", b"text/event-stream") in message["headers"]
            if (b"content-type", b"application/json") in message["headers"]:
                self.beginning = message
                return
        else:
            message = {**message, "body": await self.clean(message.get("body", b""))}
        self.has_answer = True
        if self.beginning is not None:
            beginning, self.beginning = self.beginning, None
            await self.to_send(_with_length(beginning, message))
        await self.to_send(message)
        self.is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)


def _with_length(beginning: Message, body: Message) -> Message:
    """Returns the beginning of an answer that has only this body, with its length."""
    length = (b"content-length", str(len(body["body"])).encode())
    headers = [(name, value) for name, value in beginning["headers"] if name != b"content-length"]
    return beginning if body.get("more_body", False) else {**beginning, "headers": [*headers, length]}


class Messages:
    """An ASGI application that hands messages on to another one, and answers whatever that does not."""

    def __init__(self, app: ASGIApp, most: int, redactor: redaction.Redactor = redaction.Redactor()) -> None:
        """`most` is how many bytes a body may have; `redactor` reads the errors that are answered."""
        self._app = app
        self._most = most
        self._redactor = redactor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        exchange = Exchange(receive, send, self._without_secrets)
        request_id: RequestId | None = None
        if scope["method"] == "POST":
            try:
                outcome = await self._read(Request(scope, receive), exchange)
            except ClientDisconnect:
                return
            except errors.InputError as refusal:
                await _answer(INVALID_REQUEST, str(refusal), None, 413)(scope, receive, send)
                return
            if isinstance(outcome, stdio_messages.Refusal):
                [only] = outcome.ids if len(outcome.ids) == 1 else (None,)
                await _answer(outcome.code, self._redactor.redact(outcome.reason), only, 400)(scope, receive, send)
                return
            request_id = outcome.id if isinstance(outcome, JSONRPCRequest) else None
        await self._hand_on(scope, exchange, request_id)

    async def _read(self, request: Request, exchange: Exchange) -> JSONRPCMessage | stdio_messages.Refusal:
        """Returns the message of a body, which `exchange` has from now on, or why it is none.

        Raises:
            InputError: it is too long.
            ClientDisconnect: the client leaves before it is whole.
        """
        text = stdio_messages.repaired(await _body(request, self._most))
        exchange.message = {"type": "http.request", "body": text.encode(), "more_body": False}
        outcome = await computation.of_text(len(text), stdio_messages.read_text, text)
        return outcome or stdio_messages.Refusal(PARSE_ERROR, "The body is empty. Send one JSON-RPC message in it.")

    async def _hand_on(self, scope: Scope, exchange: Exchange, request_id: RequestId | None) -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except anyio.get_cancelled_exc_class():
            if not exchange.has_answer:
                with anyio.move_on_after(LAST_WORD_S, shield=True):
                    await _answer(INTERNAL_ERROR, STOPPED, request_id, 503)(scope, exchange.receive, exchange.send)
            raise
        except Exception:
            if exchange.has_answer and not exchange.is_answered:
                raise  # whoever serves us logs it and ends the connection: half an answer cannot be taken back
            log.exception("a request of %r failed", scope["method"])
            if exchange.is_answered:  # what comes after an answer, such as news for a session that has ended meanwhile
                return
        else:
            if exchange.is_stream and not (exchange.is_answered or exchange.is_over):
                await _end_stream(exchange, request_id)
            if exchange.has_answer or exchange.is_over:
                return
            log.error("a request of %r got no answer: what worked on it was cancelled", scope["method"])
        await _answer(INTERNAL_ERROR, FAULT, request_id, 200)(scope, exchange.receive, exchange.send)

    async def _without_secrets(self, part: bytes) -> bytes:
        """Returns a part of an answer, an event or a whole body, with the errors in it read for secrets."""
        if _ERROR not in part:
            return part
        return b"".join([await self._clean_line(line) for line in part.splitlines(keepends=True)])

    async def _clean_line(self, line: bytes) -> bytes:
        text = line.removeprefix(_DATA)
        try:
            answer: model.Json = await computation.of_text(len(text), json.loads, text)
        except ValueError:
            return line
        if not json_types.is_object(answer) or "error" not in answer:
            return line
        error = await computation.of_json(self._redactor.redact_json, answer["error"])
        document = json.dumps({**answer, "error": error}, separators=(",", ":")).encode()
        return line[: len(line) - len(text)] + document + line[len(line.rstrip()) :]


async def _end_stream(exchange: Exchange, request_id: RequestId | None) -> None:
    """Ends a stream that was left open, as the SDK does when a session ends under a request."""
    error = {"jsonrpc": "2.0", "id": request_id, "error": {"code": INTERNAL_ERROR, "message": CUT_OFF}}
    event = b"" if request_id is None else f"event: message\r\ndata: {json.dumps(error)}\r\n\r\n".encode()
    await exchange.send({"type": "http.response.body", "body": event, "more_body": False})


async def _body(request: Request, most: int) -> bytes:
    """Returns the body. Raises InputError when it is too long, and ClientDisconnect when it never is whole."""
    too_long = errors.InputError(f"The message is longer than {most:,} bytes.", hint="Send less at a time.")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and (len(length) > MOST_DIGITS or int(length) > most):
        raise too_long
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise too_long
    return bytes(body)


def _answer(code: int, reason: str, request_id: RequestId | None, status: int) -> Response:
    """Returns an error of the protocol. Its status is one that clients read bodies of."""
    return JSONResponse({"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": reason}}, status)
