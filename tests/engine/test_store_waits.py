"""Waiting for a store that cannot serve for a while."""

from __future__ import annotations

from dataclasses import dataclass

import anyio
import pytest

from dispatch_mcp import errors
from dispatch_mcp.engine import store_waits

pytestmark = pytest.mark.anyio


@dataclass
class Moody:
    """Serves after it has refused so many times."""

    refusals: int
    error: type[Exception] = errors.StoreBusy
    calls: int = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.refusals:
            raise self.error("not now")
        return "served"


@pytest.mark.parametrize("error", [errors.StoreBusy, errors.StoreUnavailable])
async def test_who_waits_is_served_once_the_store_serves(error: type[Exception]) -> None:
    store = Moody(3, error)
    assert await store_waits.served(store, "a test", pause_s=0.0) == "served"
    assert store.calls == 4


@pytest.mark.parametrize("error", [errors.StoreDamaged, errors.StoreTooNew, errors.UnknownHandle, ValueError])
async def test_what_does_not_pass_is_not_waited_for(error: type[Exception]) -> None:
    store = Moody(1, error)
    with pytest.raises(error):
        await store_waits.served(store, "a test", pause_s=0.0)
    assert store.calls == 1


async def test_patience_has_an_end() -> None:
    store = Moody(10**9)
    with anyio.fail_after(120), pytest.raises(errors.StoreBusy):
        await store_waits.served(store, "a test", pause_s=0.0, patience_s=0.0)
    assert store.calls == 1


async def test_a_long_wait_is_told_of_ever_more_seldom_but_never_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    store = Moody(2 * store_waits.MOST_QUIET_TRIES)
    with anyio.fail_after(120):
        await store_waits.served(store, "a test", pause_s=0.0)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["a test waits for the store, and goes on by itself: not now"] * 12


async def test_who_waits_can_be_cancelled() -> None:
    with anyio.move_on_after(0.01) as scope:
        await store_waits.served(Moody(10**9), "a test")
    assert scope.cancelled_caught
