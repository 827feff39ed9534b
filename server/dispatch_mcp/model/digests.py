"""Digests that name finished work, so that it is never repeated or paid for twice."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from operator import attrgetter

from dispatch_mcp import model

_HANDOFF = attrgetter("completed_work", "files_modified", "decisions_made", "open_questions", "mistakes_learned")
# One encoder for all: making one costs more than most of the digests do.
_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def digest(value: model.Json) -> str:
    """Returns the SHA-256 hex digest of the canonical JSON of `value`."""
    return hashlib.sha256(_encode(value).encode("utf-8", "surrogatepass")).hexdigest()


def plan_digest(plan: model.Plan) -> str:
    """Returns the digest of a plan as it is: another task, edge, limit or version of it gives another one."""
    return digest(plan.model_dump(mode="json", exclude_defaults=True))


def spec_digest(task: model.Task) -> str:
    """Returns the digest of what a task asks for, without its place in the plan or its limits.

    Finished work is recognised by it across versions of this program: the fields that always count are a list in
    their order, and younger ones stand behind it with their names, only where they are set.
    """
    always, when_set = _spec_fields(type(task))
    younger = [[name, value] for name, default in when_set if (value := getattr(task, name)) != default]
    return digest([*always(task), *younger])


@functools.cache
def _spec_fields(
    task_type: type[model.Task],
) -> tuple[attrgetter[tuple[model.Json, ...]], list[tuple[str, model.Json]]]:
    """Returns what reads the values that always count, and name and default of those that count when set."""
    names = {
        use: [field.attribute for field in model.task_fields(task_type).values() if field.is_a.spec == use]
        for use in ("always", "when_set")
    }
    defaults = [
        (name, task_type.model_fields[name].get_default(call_default_factory=True)) for name in names["when_set"]
    ]
    return attrgetter(*names["always"]), defaults


def work_key(spec: str, upstream: Iterable[tuple[str, str]]) -> str:
    """Returns the key of a task's work: its spec and the (task id, result digest) pairs it builds on."""
    lines = [spec, *(f"{task_id}={result}" for task_id, result in sorted(upstream))]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def result_digest(outcome: model.Outcome) -> str:
    """Returns the digest of what dependants receive from an outcome."""
    artifacts = [artifact.model_dump(mode="json") for artifact in outcome.handoff.artifacts]
    return digest((_HANDOFF(outcome.handoff), artifacts, outcome.output, outcome.summary))
