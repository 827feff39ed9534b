"""Looks that go on for as long as a process lives, whatever happens to some of them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import anyio

from dispatch_mcp import errors

log = logging.getLogger(__name__)


class LookPauses(NamedTuple):
    """Seconds between two looks, and after one that failed before the next."""

    look_s: float
    retry_s: float


async def keep_looking(look: Callable[[], Awaitable[None]], failure: str, pauses: LookPauses) -> None:
    """Looks again and again until it is cancelled.

    `failure` says what then does not happen: the log says it once for each new trouble with the store or its disk, and
    every time with a fault of ours.
    """
    last_trouble = ""
    while True:
        try:
            await look()
            last_trouble = ""
        except (errors.StoreError, OSError) as trouble:
            if str(trouble) != last_trouble:
                last_trouble = str(trouble)
                log.warning("%s: %s", failure, trouble)
            await anyio.sleep(pauses.retry_s)
        except Exception:
            log.exception("%s", failure)
            await anyio.sleep(pauses.retry_s)
        await anyio.sleep(pauses.look_s)
