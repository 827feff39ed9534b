"""The log for clients that ask for it: what is logged for their own requests, from the level that they chose.

Earlier versions of the protocol set a level for a connection, the newest asks with each request. Without that nothing
is sent: the log stands on stderr.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.session import ServerSession
from mcp.types import (
    LOG_LEVEL_META_KEY,
    EmptyResult,
    LoggingLevel,
    LoggingMessageNotification,
    LoggingMessageNotificationParams,
    SetLevelRequestParams,
)

from dispatch_mcp.mcp_server import change_news, lazy
from dispatch_mcp.text import redaction

OURS: Final = "dispatch_mcp"
"""The logger of everything here."""

LEVELS: Final[Mapping[LoggingLevel, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "notice": logging.INFO + 5,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "alert": logging.CRITICAL + 5,
    "emergency": logging.CRITICAL + 10,
}

MOST_LINES: Final = 1_000
"""Lines that wait for a client; older ones go."""

_LEVEL: Final = "log_level"


@dataclass(eq=False, slots=True)
class Feed:
    """What is logged for one request, and for what it has started: `is_open` while the request has no answer yet.

    `logs` is of the server that was asked, beside which there may be others in this process.
    """

    logs: ClientLogs
    session: ServerSession
    level: int
    request_id: Any
    outlives_request: bool
    is_open: bool = True
    lines: deque[logging.LogRecord] = field(default_factory=lambda: deque[logging.LogRecord](maxlen=MOST_LINES))


_feed: ContextVar[Feed | None] = ContextVar("log_feed", default=None)
"""The feed of the request for which something is done: what a request starts goes on with it."""


class ClientLogs(logging.Handler):
    """Hands log records to the feed of the request that they belong to."""

    def __init__(self, redactor: redaction.Redactor) -> None:
        super().__init__()
        self._redactor = redactor
        self._loop: asyncio.AbstractEventLoop | None = None
        self._feeds: dict[Feed, None] = {}
        self._stir = anyio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record until its client is told; may be called by any thread."""
        feed, loop = _feed.get(), self._loop
        if (
            feed is None
            or feed.logs is not self
            or loop is None
            or record.levelno < feed.level
            or not (feed.is_open or feed.outlives_request)
        ):
            return
        feed.lines.append(record)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._note, feed)

    def _note(self, feed: Feed) -> None:
        self._feeds[feed] = None
        stir, self._stir = self._stir, anyio.Event()
        stir.set()

    async def attend(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Tells a client that has asked for it what is logged for this request, before it is answered."""
        level, is_of_connection = _level(ctx)
        if level is None or ctx.request_id is None:
            return await call_next(ctx)
        self._listen(level)
        feed = Feed(self, ctx.session, level, ctx.request_id, is_of_connection)
        token = _feed.set(feed)
        try:
            return await call_next(ctx)
        finally:
            _feed.reset(token)
            await self._send(feed)
            feed.is_open = False

    async def set_level(self, ctx: ServerRequestContext[Any, Any], params: SetLevelRequestParams) -> EmptyResult:
        """Sends this connection what is logged from now on, from that level."""
        change_news.connection_of(ctx).state[_LEVEL] = LEVELS[params.level]
        self._listen(LEVELS[params.level])
        return EmptyResult()

    async def send(self, _opening: lazy.Opening) -> None:
        """Sends what is logged between requests, and in long ones, until it is cancelled."""
        while True:
            stir = self._stir
            for feed in list(self._feeds):
                self._feeds.pop(feed, None)
                await self._send(feed)
            await stir.wait()

    def _listen(self, level: int) -> None:
        """Lets records from that level come; stderr has a level of its own."""
        self._loop = asyncio.get_running_loop()
        logger = logging.getLogger(OURS)
        logger.addHandler(self)
        if logger.getEffectiveLevel() > level:
            logger.setLevel(level)

    async def _send(self, feed: Feed) -> None:
        while feed.lines:
            record = feed.lines.popleft()
            text = self._redactor.redact(record.getMessage())
            params = LoggingMessageNotificationParams(level=_word(record.levelno), logger=record.name, data=text)
            with anyio.move_on_after(change_news.PATIENCE_S):
                await feed.session.send_notification(
                    LoggingMessageNotification(params=params), feed.request_id if feed.is_open else None
                )


def _level(ctx: ServerRequestContext[Any, Any]) -> tuple[int | None, bool]:
    """Returns from which level a client wants to know, if at all, and whether that holds between requests."""
    if (level := change_news.connection_of(ctx).state.get(_LEVEL)) is not None:
        return level, True
    meta: Mapping[str, Any] = ctx.meta or {}
    wish = meta.get(LOG_LEVEL_META_KEY)  # anything: what is no level is the SDK's to refuse
    return next((number for word, number in LEVELS.items() if word == wish), None), False


def _word(number: int) -> LoggingLevel:
    """Returns the protocol's word for a level of Python's: the nearest below."""
    words: list[LoggingLevel] = [word for word, least in LEVELS.items() if number >= least]
    return words[-1] if words else "debug"
