"""The server's side of the process that reads workspaces: who is asked to look at what, and how far that is."""

from __future__ import annotations

import functools
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from dispatch_mcp.context.indexing import index_tables
from dispatch_mcp.process import line_child

log = logging.getLogger(__name__)

READER: Final = "dispatch_mcp.context.indexing.index_reader"
POLL_S: Final = 0.02
"""Seconds between looks at whether the process has answered."""
MOST_FAULTS: Final = 3
"""How often a process that ends by itself is started again."""

Start = Callable[[str, Sequence[str], Path, line_child.Hear], line_child.LineChild]


@dataclass(slots=True)
class IndexProcess:
    """The process that reads one workspace, started when it is asked for the first time; usable from any thread.

    `progress` is how far it has come, None until it has told.
    """

    state_dir: Path
    workspace: Path
    start: Start = line_child.LineChild
    progress: index_tables.IndexProgress | None = None
    _child: line_child.LineChild | None = None
    _looks: int = 0
    _begun_at: dict[int, float] = field(default_factory=dict[int, float])
    _fresh_at: float = -1.0
    _faults: int = 0
    _number: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_broken(self) -> bool:
        """Whether it has ended by itself too often to be asked again."""
        return self._faults >= MOST_FAULTS

    def ask(self, since: float) -> None:
        """Has it look at the workspace, unless a look that began after `since` is under way or over (monotonic s)."""
        with self._lock:
            if self.is_broken or self._fresh_at >= since or any(at >= since for at in self._begun_at.values()):
                return
            self._looks += 1
            self._begun_at[self._looks] = time.monotonic()
            if not self._sent() and not self._started():
                self._begun_at.clear()

    def is_fresh(self, since: float) -> bool:
        """Returns whether a look that began after `since` is over."""
        return self._fresh_at >= since

    async def fresh(self, since: float, within_s: float) -> bool:
        """Waits for a look that began after `since`, for at most so many seconds; returns whether it is over."""
        self.ask(since)
        with anyio.move_on_after(within_s):
            while not self.is_fresh(since) and not self.is_broken:
                await anyio.sleep(POLL_S)
                self.ask(since)
        return self.is_fresh(since)

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            child, self._child, self._faults = self._child, None, MOST_FAULTS
        if child is not None:
            child.close()

    def _sent(self) -> bool:
        return self._child is not None and self._child.send(b"%d" % self._looks)

    def _started(self) -> bool:
        try:
            self._number += 1
            hear = functools.partial(self._hear, self._number)
            child = self.start(READER, (str(self.state_dir), str(self.workspace)), self.state_dir, hear)
        except OSError as trouble:
            self._faults += 1
            log.warning("no process reads %s: %s", self.workspace, trouble)
            return False
        self._child = child
        return self._sent()

    def _hear(self, number: int, line: bytes) -> None:
        """Takes in a line of the child of that number; one that was replaced has nothing to say."""
        with self._lock:
            if number != self._number:
                return
            if not line:
                self._ended()
                return
            try:
                fields = json.loads(line)
                if "fault" in fields:
                    log.warning("the index of %s is not complete: %s", self.workspace, fields["fault"])
                    return
                self.progress = index_tables.IndexProgress(int(fields["files"]), int(fields["rest"]))
                self._answer(int(fields.get("look", 0)))
            except (ValueError, KeyError, TypeError):
                log.warning("a line of the process that reads %s makes no sense: %r", self.workspace, line[:200])

    def _answer(self, number: int) -> None:
        if not number:
            return
        times = [at for look, at in self._begun_at.items() if look <= number]
        self._fresh_at = max([self._fresh_at, *times])
        self._begun_at = {look: at for look, at in self._begun_at.items() if look > number}
        self._faults = 0

    def _ended(self) -> None:
        """Notes that the process is gone; one that was still asked something had a fault."""
        self._child = None
        if self._begun_at:
            self._faults += 1
            self._begun_at.clear()
