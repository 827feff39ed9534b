"""What Claude Code says while it works, read from its stream of JSON lines (docs/rules.md#claude-code-output)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.planning import forecast
from dispatch_mcp.text import json_types
from dispatch_mcp.workers import usage_meter

MAX_LINE: Final = 4 << 20
_NO_ROW: Final[Mapping[str, model.Json]] = {}


@dataclass(frozen=True, slots=True)
class Transcript:
    """Everything that one process said. `result` is its last result row, empty if it ended without one.

    `requests` holds the usage of each request of the model by its id, with the model's name; `limited_until` is when
    a rate limit ends, in seconds since the epoch.
    """

    result: Mapping[str, model.Json] = field(default_factory=dict[str, model.Json])
    requests: Mapping[str, tuple[str, model.Usage]] = field(default_factory=dict[str, tuple[str, model.Usage]])
    limited_until: float | None = None

    @property
    def total(self) -> float | None:
        """The dollars that the whole session has cost so far, as Claude Code counts."""
        return usage_meter.number(self.result.get("total_cost_usd"))

    def usage(self, price: forecast.Price) -> model.Usage:
        """Returns what this process used, request by request, at list prices; no price if one is not known."""
        total = usage_meter.NOTHING
        for name, request in self.requests.values():
            total = usage_meter.total(total, request.model_copy(update={"cost_usd": price(name, request)}))
        return total


def read(stdout: bytes) -> Transcript:
    """Returns what the lines say; what is not a JSON object is passed over."""
    result: Mapping[str, model.Json] = _NO_ROW
    requests: dict[str, tuple[str, model.Usage]] = {}
    until, current = None, ""
    for row in _rows(stdout):
        kind = row.get("type")
        if kind == "result":
            result = row
        elif kind == "assistant":
            _note(requests, _object(row.get("message")), only_new=True)
        elif kind == "stream_event":
            current = _note_event(requests, _object(row.get("event")), current)
        elif kind == "rate_limit_event":
            until = usage_meter.number(_object(row.get("rate_limit_info")).get("resetsAt")) or until
    return Transcript(result, requests, until)


def keep_bill(folder: Path) -> None:
    """Leaves of what a process wrote only its requests' usage; all else may hold anybody's secrets."""
    try:
        transcript = read((folder / "stdout").read_bytes())
        rows = [_row(key, name, usage) for key, (name, usage) in transcript.requests.items()]
        (folder / "stdout").write_text("".join(rows), encoding="utf-8")
    except OSError:
        return
    for name in ("stdin", "stderr", "system"):
        (folder / name).unlink(missing_ok=True)


def _row(key: str, name: str, usage: model.Usage) -> str:
    message: dict[str, model.Json] = {"id": key, "model": name, "usage": usage_meter.to_raw(usage), "content": []}
    return json.dumps({"type": "assistant", "message": message}) + "\n"


def _rows(stdout: bytes) -> Iterator[Mapping[str, model.Json]]:
    start = 0
    while start < len(stdout):
        end = stdout.find(b"\n", start)
        end = len(stdout) if end < 0 else end
        if end - start <= MAX_LINE and stdout[start : start + 1] == b"{":
            with contextlib.suppress(ValueError, RecursionError):  # a line cut in the middle, or somebody else's
                yield _object(json.loads(stdout[start:end]))
        start = end + 1


def _note_event(requests: dict[str, tuple[str, model.Usage]], event: Mapping[str, model.Json], current: str) -> str:
    """Notes what an event says of its request and returns that request's id."""
    if event.get("type") == "message_start":
        return _note(requests, _object(event.get("message")))
    if event.get("type") == "message_delta" and current in requests and event.get("usage"):
        name, before = requests[current]
        usage = usage_meter.usage_of(event.get("usage"))
        parts = {
            key: max(value, getattr(before, key)) for key, value in usage.model_dump(exclude_defaults=True).items()
        }
        requests[current] = (name, before.model_copy(update=parts))
    return current


def _note(
    requests: dict[str, tuple[str, model.Usage]], message: Mapping[str, model.Json], *, only_new: bool = False
) -> str:
    key = usage_meter.text(message.get("id"))
    if key and not (only_new and key in requests):
        requests[key] = (usage_meter.text(message.get("model")), usage_meter.usage_of(message.get("usage")))
    return key


def _object(value: model.Json) -> Mapping[str, model.Json]:
    return value if json_types.is_object(value) else _NO_ROW
