"""What the server itself answers to the questions of a handshake: kept for later sessions, or kept back if given.

It stands between the server and its stdout. What was answered while the server was loaded is not sent again; an answer
that turns out to be another one is no longer kept. Errors are read for secrets on their way (S10): the SDK refuses some
requests before any middleware, and quotes them.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

import anyio
import anyio.to_thread
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from dispatch_mcp.mcp_server.handshake import early_answers, stored_answers
from dispatch_mcp.process import computation, private_files
from dispatch_mcp.text import redaction
from dispatch_mcp.text.json_types import Json

log = logging.getLogger(__name__)

_ANSWER: Final = '{"jsonrpc":"2.0","id":0,"result":'
"""How the SDK writes an answer to request 0, up to what is answered."""


class MessageOutbox(Protocol):
    """Where a server puts its messages."""

    async def send(self, item: SessionMessage, /) -> None:
        """Takes a message."""
        ...

    async def aclose(self) -> None:
        """Takes no more."""
        ...


class AnswerKeeper:
    """The way of a server's messages to its client; it hears of the client's messages, too."""

    def __init__(self, beginning: early_answers.Beginning, outbox: MessageOutbox, redactor: redaction.Redactor) -> None:
        self._beginning = beginning
        self._outbox = outbox
        self._redactor = redactor
        self._session = stored_answers.SessionQuestions()
        self._questions: dict[stored_answers.Id, str] = {}
        self._answers = dict(beginning.answers)
        self._given = dict(beginning.early.given)
        self._heard: set[stored_answers.Id] = set()
        self._writing = anyio.Lock()

    def hear(self, message: JSONRPCMessage) -> None:
        """Notes what the client sends, in its turn and before it is answered."""
        if not isinstance(message, JSONRPCRequest | JSONRPCNotification):
            return
        fields: Mapping[str, Json] = message.model_dump(mode="json", by_alias=True, exclude_unset=True)
        question, request_id = self._session.question(fields), stored_answers.id_of(fields)
        if request_id is None:
            return
        if request_id in self._heard:  # a client that gives an id twice has an answer to each
            self._given.pop(request_id, None)
        elif request_id in self._given:
            self._heard.add(request_id)
        if question:
            self._questions[request_id] = question

    async def send(self, item: SessionMessage, /) -> None:
        """Sends a message to the client, unless it has it already."""
        message = item.message
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
            question, early_answer = self._questions.pop(message.id, ""), self._given.pop(message.id, None)
            answer = _text(message)
            if early_answer not in (None, answer):
                log.warning("A stored answer was out of date: %s", question[-200:])
            if question:
                await self._keep(question, answer)
            if early_answer is not None:
                return
        if isinstance(message, JSONRPCError):
            item = dataclasses.replace(item, message=await self._clean(message))
        await self._outbox.send(item)

    async def _clean(self, refusal: JSONRPCError) -> JSONRPCError:
        words = refusal.error.message
        message = await computation.of_text(len(words), self._redactor.redact, words)
        data = await computation.of_json(self._redactor.redact_json, refusal.error.data)
        error = refusal.error.model_copy(update={"message": message, "data": data})
        return refusal.model_copy(update={"error": error})

    async def _keep(self, question: str, answer: str) -> None:
        """Keeps an answer before it is sent, so that whoever has it can end the session; an empty one is forgotten."""
        if self._answers.get(question, "") == answer:
            return
        async with self._writing:
            self._answers.pop(question, None)
            self._answers |= {question: answer} if answer else {}
            try:
                await anyio.to_thread.run_sync(_write, self._beginning, dict(self._answers))
            except OSError as trouble:
                log.debug("What the handshake was answered is not kept: %s", trouble)

    async def aclose(self) -> None:
        """Closes the way."""
        await self._outbox.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


def _text(message: JSONRPCResponse | JSONRPCError) -> str:
    """Returns what is answered, as the SDK writes it; empty for an error."""
    if isinstance(message, JSONRPCError):
        return ""
    line = message.model_copy(update={"id": 0}).model_dump_json(by_alias=True, exclude_unset=True)
    return line.removeprefix(_ANSWER)[:-1] if line.startswith(_ANSWER) else ""


def _write(beginning: early_answers.Beginning, answers: Mapping[str, str]) -> None:
    """Keeps answers, if everything that they come from still is as it was when this process began."""
    folder = Path(beginning.home)
    if beginning.home and folder.is_dir() and beginning.stamp_now() == beginning.stamp:
        private_files.write(folder / stored_answers.FILE, stored_answers.document(beginning.stamp, answers))
