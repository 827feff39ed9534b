"""Waits for a store that cannot serve now: another process holds its lock, or its disk takes nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from dispatch_mcp import errors

T = TypeVar("T")

log = logging.getLogger(__name__)

PAUSE_S = 0.5
"""Seconds between two tries."""

PATIENCE_S = 60.0
"""Seconds that one attempt waits for what only it needs: a disk that is full for longer is seen to by people."""

MOST_QUIET_TRIES = 1024
"""Tries after which a wait is told of again at the latest: some nine minutes. Before that each time that they double,
as a log may lie on the very disk that is full."""


async def served(
    call: Callable[[], Awaitable[T]], waiter: str, *, pause_s: float = PAUSE_S, patience_s: float = PATIENCE_S
) -> T:
    """Returns what `call` returns, tried again until the store serves; `waiter` waits for it, as the log says.

    Raises:
        StoreError: it did not serve for `patience_s`, is damaged, or has a newer schema.
    """
    deadline = time.monotonic() + patience_s
    tries = 0
    while True:
        tries += 1
        try:
            return await call()
        except (errors.StoreBusy, errors.StoreUnavailable) as trouble:
            if time.monotonic() >= deadline:
                raise
            if tries.bit_count() == 1 or tries % MOST_QUIET_TRIES == 0:
                # Not the hint: whoever stops this to call again loses what is to be recorded.
                log.warning("%s waits for the store, and goes on by itself: %s", waiter, trouble.message)
        await anyio.sleep(pause_s)
