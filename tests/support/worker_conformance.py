"""What every worker must do. A test module subclasses `WorkerConformance` and says how to make one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import pytest

from dispatch_mcp import errors, model
from dispatch_mcp.model import AttemptState, digests, ports, work_order


class MemoryBlobs:
    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.kept[digest] = data
        return digest

    def get(self, digest: str) -> bytes:
        if digest not in self.kept:
            raise errors.UnknownHandle
        return self.kept[digest]


@dataclass
class FakeContext:
    """A task context that remembers its beats, each with what those before had said, and lets a test wait for one."""

    run_id: str = "run-1"
    task_id: str = "t1"
    attempt: int = 1
    last_beat: Mapping[str, Any] = field(default_factory=dict[str, Any])
    blobs: MemoryBlobs = field(default_factory=MemoryBlobs)
    beats: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    post: list[model.Message] = field(default_factory=list[model.Message])
    beaten: anyio.Event = field(default_factory=anyio.Event)

    def beat(self, **details: Any) -> None:
        self.beats.append({**(self.beats[-1] if self.beats else {}), **details})
        self.beaten.set()

    async def mail(self) -> Sequence[model.Message]:
        """Returns the messages that a test has left in `post`, each once."""
        messages, self.post = self.post, []
        return messages


class WorkerConformance:
    """The suite; the four methods that raise are what a worker's module supplies."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def worker(self) -> ports.Worker:
        raise NotImplementedError

    @pytest.fixture
    def succeeding(self) -> work_order.WorkOrder:
        raise NotImplementedError

    @pytest.fixture
    def failing(self) -> work_order.WorkOrder:
        raise NotImplementedError

    @pytest.fixture
    def hanging(self) -> work_order.WorkOrder:
        raise NotImplementedError

    async def at_work(self, ctx: FakeContext) -> None:
        """Returns when the hanging attempt is really under way."""
        await ctx.beaten.wait()

    async def assert_nothing_left(self) -> None:
        """Fails when the worker left a process or a file behind."""

    async def test_a_success_carries_a_summary_and_good_receipts(
        self, worker: ports.Worker, succeeding: work_order.WorkOrder
    ) -> None:
        with anyio.fail_after(120):
            outcome = await worker.carry_out(FakeContext(), succeeding)
        assert outcome.state is AttemptState.SUCCEEDED
        assert outcome.summary
        assert outcome.receipts
        assert all(receipt.ok for receipt in outcome.receipts)
        assert (outcome.error, outcome.error_kind) == ("", "")
        await self.assert_nothing_left()

    async def test_a_failure_of_the_work_is_an_outcome_and_says_why(
        self, worker: ports.Worker, failing: work_order.WorkOrder
    ) -> None:
        with anyio.fail_after(120):
            outcome = await worker.carry_out(FakeContext(), failing)
        assert outcome.state is AttemptState.FAILED
        assert outcome.error
        assert outcome.error_kind
        assert not all(receipt.ok for receipt in outcome.receipts)
        await self.assert_nothing_left()

    async def test_an_attempt_beats(self, worker: ports.Worker, succeeding: work_order.WorkOrder) -> None:
        ctx = FakeContext()
        with anyio.fail_after(120):
            await worker.carry_out(ctx, succeeding)
        assert ctx.beats

    async def test_the_same_work_has_the_same_result_digest(
        self, worker: ports.Worker, succeeding: work_order.WorkOrder
    ) -> None:
        with anyio.fail_after(120):
            first = await worker.carry_out(FakeContext(), succeeding)
            second = await worker.carry_out(FakeContext(attempt=2), replace(succeeding, attempt=2))
        assert digests.result_digest(first) == digests.result_digest(second)

    async def test_an_outcome_survives_the_way_into_the_store(
        self, worker: ports.Worker, succeeding: work_order.WorkOrder, failing: work_order.WorkOrder
    ) -> None:
        with anyio.fail_after(120):
            for work in (succeeding, failing):
                outcome = await worker.carry_out(FakeContext(), work)
                assert model.Outcome.model_validate_json(outcome.model_dump_json()) == outcome

    async def test_a_deadline_ends_the_attempt_as_retryable(
        self, worker: ports.Worker, hanging: work_order.WorkOrder
    ) -> None:
        with anyio.fail_after(120):
            outcome = await worker.carry_out(FakeContext(), replace(hanging, timeout_s=0.1))
        assert outcome.state is AttemptState.TIMED_OUT
        assert outcome.error_kind == "timeout"
        assert outcome.retryable
        await self.assert_nothing_left()

    async def test_a_cancelled_scope_stops_the_attempt_and_its_leavings(
        self, worker: ports.Worker, hanging: work_order.WorkOrder
    ) -> None:
        ctx, outcomes = FakeContext(), list[model.Outcome]()

        async def attempt() -> None:
            outcomes.append(await worker.carry_out(ctx, hanging))

        with anyio.fail_after(120):
            async with anyio.create_task_group() as group:
                group.start_soon(attempt)
                await self.at_work(ctx)
                group.cancel_scope.cancel()
        assert outcomes == []
        await self.assert_nothing_left()

    @pytest.mark.parametrize("times", [1, 2])
    async def test_a_natively_cancelled_task_stops_the_attempt_and_its_leavings(
        self, worker: ports.Worker, hanging: work_order.WorkOrder, times: int
    ) -> None:
        ctx = FakeContext()
        task = asyncio.ensure_future(worker.carry_out(ctx, hanging))
        with anyio.fail_after(120):
            await self.at_work(ctx)
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
        await self.assert_nothing_left()
