"""A context that passes everything on, so that what wraps one only says what it changes."""

from __future__ import annotations

import pytest
import worker_conformance

from dispatch_mcp import model
from dispatch_mcp.model import ports


@pytest.mark.anyio
async def test_a_relay_passes_on_everything_that_a_context_offers() -> None:
    note = model.Message(run_id="r", sender="x", recipient="t", kind="warning", text="mind the step")
    inner = worker_conformance.FakeContext("r", "t", 3, {"a": 1}, post=[note])
    relay = ports.Relay(inner)
    relay.beat(step=2)
    assert (relay.run_id, relay.task_id, relay.attempt, relay.last_beat) == ("r", "t", 3, {"a": 1})
    assert relay.blobs is inner.blobs
    assert inner.beats == [{"step": 2}]
    assert list(await relay.mail()) == [note]
    assert list(await relay.mail()) == []
