"""Work that takes the processor for long, in threads: whoever else is served meanwhile does not wait for it."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Concatenate, Final, ParamSpec, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from dispatch_mcp import errors
from dispatch_mcp.text import json_types
from dispatch_mcp.text.json_types import Json

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_S: Final = 60.0
"""Seconds after which nobody waits any longer for one piece of work."""

AT_ONCE: Final = 2
"""Pieces at work at the same time: they share one interpreter, and those who answer quickly need it, too."""

_slots: Final = anyio.lowlevel.RunVar[anyio.CapacityLimiter]("computation_slots")


async def apart(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Returns what the work returns, done in a thread; its errors are raised here.

    Who waits can be cancelled; the thread then ends by itself. The work must change nothing that others see.

    Raises:
        InputError: it takes longer than `LONGEST_S`.
    """
    return await within(LONGEST_S, functools.partial(work, *args, **kwargs))


AT_ONCE_CHARS: Final = 50_000
"""Characters that are read on the spot: a thread would cost as much as it saves."""


async def of_text(chars: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Returns what the work returns that reads so many characters: done here if they are few, else as in `apart`."""
    return work(*args, **kwargs) if chars <= AT_ONCE_CHARS else await apart(work, *args, **kwargs)


AT_ONCE_JSON: Final = 10_000
"""Characters of JSON that are checked or redacted on the spot, in less than a millisecond."""


async def of_json(work: Callable[Concatenate[Json, P], T], value: Json, *args: P.args, **kwargs: P.kwargs) -> T:
    """Returns what the work returns that goes through a JSON value: done here if that is short, else as in `apart`."""
    if json_types.is_short(value, AT_ONCE_JSON):
        return work(value, *args, **kwargs)
    return await apart(work, value, *args, **kwargs)


async def within(longest_s: float, work: Callable[[], T]) -> T:
    """Does what `apart` does, for at most so many seconds. Raises InputError when they are over."""
    with anyio.move_on_after(longest_s):
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=_limiter())
    raise errors.InputError(f"This takes longer than {longest_s:g} s.", hint="Send less at a time.")


async def detached(work: Callable[[], T]) -> T:
    """Returns what the work returns, done in a thread that no process waits for when it ends.

    For what waits for somebody outside, who may never answer. Its errors are raised here; who waits can be cancelled.
    """
    outcome: futures.Future[T] = futures.Future()

    def carry_out() -> None:
        outcome.set_running_or_notify_cancel()
        try:
            outcome.set_result(work())
        except BaseException as trouble:  # raised where it is waited for
            outcome.set_exception(trouble)

    threading.Thread(target=carry_out, name="detached", daemon=True).start()
    return await asyncio.wrap_future(outcome)


def _limiter() -> anyio.CapacityLimiter:
    """Returns the limiter of this event loop."""
    try:
        return _slots.get()
    except LookupError:
        _slots.set(anyio.CapacityLimiter(AT_ONCE))
        return _slots.get()
