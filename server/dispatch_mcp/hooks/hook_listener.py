"""The server's side of the hooks of its session: a socket that only its user can reach."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.abc
import anyio.to_thread
from anyio.streams import buffered

from dispatch_mcp.hooks import hook_events, hook_socket
from dispatch_mcp.process import private_files
from dispatch_mcp.text import json_types

log = logging.getLogger(__name__)

MOST_QUESTION: Final = 2 * hook_events.MOST_BYTES
"""Bytes of a question: JSON in ASCII is longer than what it says."""

Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(slots=True)
class SessionMemory:
    """What the server keeps of its session: how often it was kept going in a row, and which runs it works on.

    A process has several sessions one after another: clearing, resuming or forking a conversation begins another.
    """

    session: str = ""
    stops: int = 0
    runs: set[str] = field(default_factory=set[str])

    def turn_to(self, session: str) -> None:
        """Begins anew where another session speaks: it works on nothing until it does."""
        if self.session and session != self.session:
            self.stops = 0
            self.runs.clear()
        self.session = session


async def listen(
    home: Path, name: str, answer: Answer, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Answers hooks under a name of their session until it is cancelled; without a possible socket, returns at once."""
    place = hook_socket.path_of(str(home / hook_events.FOLDER), name)
    if not place:
        task_status.started()
        return
    path = anyio.Path(place)
    try:
        listener = await _open(path)
        own = await path.stat()
    except OSError as trouble:  # a state directory that cannot be written: hooks then load what they need themselves
        log.info("hooks of this session find no server: %s", trouble)
        task_status.started()
        return
    task_status.started()
    try:
        async with listener:
            await listener.serve(lambda stream: _serve(stream, answer))
    finally:
        with anyio.CancelScope(shield=True), contextlib.suppress(OSError):
            if os.path.samestat(own, await path.stat()):  # else the next server of this session listens there by now
                await path.unlink()


async def _open(path: anyio.Path) -> anyio.abc.SocketListener:
    await anyio.to_thread.run_sync(private_files.make_folder, Path(path.parent))
    with contextlib.suppress(FileNotFoundError):
        await path.unlink()  # of a server of this session that died
    return await anyio.create_unix_listener(str(path), mode=0o600)


async def _serve(stream: anyio.abc.SocketStream, answer: Answer) -> None:
    async with stream:
        try:
            lines = buffered.BufferedByteReceiveStream(stream)
            question: json_types.Json = json.loads(await lines.receive_until(b"\n", MOST_QUESTION))
            reply = await answer(dict(question)) if json_types.is_object(question) else {}
        except Exception:
            log.exception("a hook was not answered")
            reply = {}
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await stream.send(json.dumps(reply).encode("ascii") + b"\n")
