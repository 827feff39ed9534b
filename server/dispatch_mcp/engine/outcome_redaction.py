"""Where secrets are taken out before the store sees them: outcomes, bulk, and what attempts leave behind (S10).

Simulated outcomes are let through: they hold what the plan says already, and benches run thousands of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from dispatch_mcp import model
from dispatch_mcp.model import ports, work_order
from dispatch_mcp.process import computation
from dispatch_mcp.text import redaction


def outcome(redactor: redaction.Redactor, raw: model.Outcome) -> model.Outcome:
    """Returns the outcome without secrets; the same object when there are none in it."""
    fields = raw.model_dump(mode="json", exclude_defaults=True)
    clean = redactor.redact_json(fields)
    return raw if clean == fields else model.Outcome.model_validate(clean)


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker whose outcomes, bulk and heartbeats carry no secrets."""

    inner: ports.Worker
    redactor: redaction.Redactor

    async def carry_out(self, ctx: ports.TaskContext, work: work_order.WorkOrder) -> model.Outcome:
        """Returns the inner worker's outcome without secrets."""
        raw = await self.inner.carry_out(_Context(ctx, self.redactor), work)
        return await computation.apart(outcome, self.redactor, raw)


@dataclass(frozen=True, slots=True)
class _Blobs:
    inner: ports.Blobs
    redactor: redaction.Redactor

    def put(self, data: bytes) -> str:
        """Stores the data; what is text is stored without secrets."""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
            return self.inner.put(self.redactor.redact(text).encode("latin-1", "replace"))
        return self.inner.put(self.redactor.redact(text).encode("utf-8"))

    def get(self, digest: str) -> bytes:
        """Returns the bytes of a digest. Raises UnknownHandle."""
        return self.inner.get(digest)


@dataclass(slots=True)
class _Context(ports.Relay):
    redactor: redaction.Redactor

    @property
    def blobs(self) -> ports.Blobs:
        return _Blobs(self.inner.blobs, self.redactor)

    def beat(self, **details: model.Json) -> None:
        self.inner.beat(**{name: self.redactor.redact_json(value) for name, value in details.items()})
