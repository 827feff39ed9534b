"""Where secrets are taken out before the store sees them: plans, outcomes, bulk, what attempts leave behind (S10).

Simulated outcomes are let through: they hold what the plan says already, and benches run thousands of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dispatch_mcp import errors, model
from dispatch_mcp.model import ports, work_order
from dispatch_mcp.process import computation
from dispatch_mcp.text import json_types, redaction


def outcome(redactor: redaction.Redactor, raw: model.Outcome) -> model.Outcome:
    """Returns the outcome without secrets; the same object when there are none in it."""
    fields = raw.model_dump(mode="json", exclude_defaults=True, exclude={"footprints"})
    clean = redactor.redact_json(fields)
    footprints = {path: states for path, states in raw.footprints.items() if redactor.redact(path) == path}
    if clean == fields and len(footprints) == len(raw.footprints):
        return raw
    return model.Outcome.model_validate(clean).model_copy(update={"footprints": footprints})


_CARRIED_OUT: Final = frozenset(
    {"id", "deps", "agent", "model", "worker", "files", "reads", "context", "acceptance", "command", "reviews"}
)
"""Fields of a task that are names, paths and commands. Values of variables are not looked for in them: there are
ordinary words among those (a password `postgres`), and another path or program would be worked on."""


def tasks(redactor: redaction.Redactor, raw: Sequence[model.Task]) -> tuple[model.Task, ...]:
    """Returns the tasks without secrets, each the same object when there are none in it.

    Raises:
        InputError: an id looks like a secret, and nothing else can stand for it.
    """
    return tuple(_task(redactor, task) for task in raw)


def _task(redactor: redaction.Redactor, raw: model.Task) -> model.Task:
    fields: dict[str, model.Json] = raw.model_dump(mode="json", exclude_defaults=True)
    carried_out = {name: value for name, value in fields.items() if name in _CARRIED_OUT}
    words = {name: value for name, value in fields.items() if name not in _CARRIED_OUT}
    clean: dict[str, model.Json] = {}
    for part in (_PATTERNS.redact_json(carried_out), redactor.redact_json(words)):
        clean |= part if json_types.is_object(part) else {}
    if clean == fields:
        return raw
    if (clean["id"], clean.get("deps")) != (fields["id"], fields.get("deps")):
        raise errors.InputError("The id of a task looks like a secret.", hint="Give that task another id.")
    return model.Task.model_validate(clean)


_PATTERNS: Final = redaction.Redactor()


@dataclass(frozen=True, slots=True)
class RedactingWorker:
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
