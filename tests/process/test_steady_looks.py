"""Looks that go on: what fails is said, once for each new trouble, and the next look comes all the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio
import pytest

from dispatch_mcp import errors
from dispatch_mcp.process import steady_looks

pytestmark = pytest.mark.anyio

PAUSES = steady_looks.LookPauses(look_s=0.0, retry_s=0.0)
WHAT = "nobody sees it"


async def looked(troubles: Sequence[Exception | None]) -> None:
    """Looks once for each entry, which is what goes wrong then, and is cancelled."""
    rest = list(troubles)

    async def look() -> None:
        if not rest:
            scope.cancel()
            await anyio.sleep_forever()
        trouble = rest.pop(0)
        if trouble is not None:
            raise trouble

    with anyio.fail_after(120), anyio.CancelScope() as scope:
        await steady_looks.keep_looking(look, WHAT, PAUSES)
    assert not rest


async def test_looks_go_on_until_they_are_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    await looked([None] * 50)
    assert caplog.records == []


async def test_the_same_trouble_is_said_once_until_a_look_has_worked(caplog: pytest.LogCaptureFixture) -> None:
    busy, full = errors.StoreBusy("busy"), OSError("disk full")
    await looked([busy, busy, full, full, busy, None, busy])
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{WHAT}: {trouble}" for trouble in ("busy", "disk full", "busy", "busy")]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


async def test_a_fault_of_ours_is_said_each_time_with_where_it_was_and_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await looked([ZeroDivisionError("0"), ZeroDivisionError("0"), None])
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(logging.ERROR, WHAT)] * 2
    assert all(record.exc_info for record in caplog.records)
