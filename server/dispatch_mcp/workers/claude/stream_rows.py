"""What Claude Code says while it works, read from its stream of JSON lines (docs/rules.md#claude-code-output)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.planning import forecast
from dispatch_mcp.text import json_types
from dispatch_mcp.workers import usage_meter

MAX_LINE: Final = 4 << 20
CHUNK: Final = 1 << 20
_NO_ROW: Final[Mapping[str, model.Json]] = {}


@dataclass(frozen=True, slots=True)
class StreamTranscript:
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
        return usage_meter.dollars(self.result.get("total_cost_usd"))

    def usage(self, price: forecast.Price) -> model.Usage:
        """Returns what this process used, request by request, at list prices; no price if one is not known."""
        total = usage_meter.NOTHING
        for name, request in self.requests.values():
            total = usage_meter.total(total, request.model_copy(update={"cost_usd": price(name, request)}))
        return total


def read(stdout: bytes) -> StreamTranscript:
    """Returns what the lines say; what is not a JSON object is passed over."""
    reader = StreamReader()
    for start in range(0, len(stdout), CHUNK):  # not all at once, which would copy it
        reader.feed(stdout[start : start + CHUNK])
    reader.feed(b"\n")
    return reader.transcript()


@dataclass(slots=True)
class StreamReader:
    """Reads the stream as it comes.

    `letters` are of the answer that the current request is getting, 0 between two; `is_between_turns` is whether the
    last answer has ended and asks for tools, so that another request follows.
    """

    result: Mapping[str, model.Json] = field(default_factory=dict[str, model.Json])
    requests: dict[str, tuple[str, model.Usage]] = field(default_factory=dict[str, tuple[str, model.Usage]])
    limited_until: float | None = None
    current: str = ""
    letters: int = 0
    is_between_turns: bool = False
    _rest: bytes = b""

    def feed(self, data: bytes) -> None:
        """Takes in the next bytes; a line counts once it is whole."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        # Of a line that is too long nothing is kept but that it is: its end must not pass for a line of its own.
        self._rest = self._rest[: MAX_LINE + 1]
        for line in lines:
            if len(line) <= MAX_LINE and line[:1] == b"{":
                with contextlib.suppress(ValueError, RecursionError):  # a line cut in the middle, or somebody else's
                    self._take(_object(json.loads(line)))

    def _take(self, row: Mapping[str, model.Json]) -> None:
        kind = row.get("type")
        if kind == "result":
            self.result = row
        elif kind == "assistant":
            self._note(_object(row.get("message")), only_new=True)
        elif kind == "stream_event":
            self._take_event(_object(row.get("event")))
        elif kind == "rate_limit_event":
            until = usage_meter.number(_object(row.get("rate_limit_info")).get("resetsAt"))
            self.limited_until = until or self.limited_until

    def _take_event(self, event: Mapping[str, model.Json]) -> None:
        kind = event.get("type")
        if kind == "message_start":
            self.current, self.letters, self.is_between_turns = self._note(_object(event.get("message"))), 0, False
        elif kind == "content_block_delta":
            self.letters += usage_meter.letters(event)
        elif kind == "message_delta" and self.current in self.requests and event.get("usage"):
            self.letters = 0
            self.is_between_turns = _object(event.get("delta")).get("stop_reason") == "tool_use"
            name, before = self.requests[self.current]
            usage = usage_meter.usage_of(event.get("usage"))
            parts = {
                key: max(value, getattr(before, key)) for key, value in usage.model_dump(exclude_defaults=True).items()
            }
            self.requests[self.current] = name, before.model_copy(update=parts)

    def _note(self, message: Mapping[str, model.Json], *, only_new: bool = False) -> str:
        key = usage_meter.text(message.get("id"))
        if key and not (only_new and key in self.requests):
            usage = usage_meter.usage_of(message.get("usage"))
            self.requests[key] = usage_meter.text(message.get("model")), usage
        return key

    def transcript(self) -> StreamTranscript:
        """Returns what was read so far; an answer that has not ended counts a token for four letters."""
        requests = dict(self.requests)
        if self.letters and self.current in requests:
            name, usage = requests[self.current]
            tokens = max(usage.output_tokens, usage_meter.tokens_of(self.letters))
            requests[self.current] = name, usage.model_copy(update={"output_tokens": tokens})
        return StreamTranscript(self.result, requests, self.limited_until)


def keep_bill(folder: Path, *, with_result: bool = False) -> None:
    """Leaves of what a process wrote only its requests' usage; all else may hold anybody's secrets.

    `with_result` leaves its result too, for the next attempt to take over.
    """
    try:
        transcript = read((folder / "stdout").read_bytes())
        rows = [_row(key, name, usage) for key, (name, usage) in transcript.requests.items()]
        if with_result and transcript.result:
            rows.append(json.dumps(transcript.result) + "\n")
        (folder / "stdout").write_text("".join(rows), encoding="utf-8")
        if with_result:
            (folder / "stderr").write_bytes(b"")  # empty, and there: an end without it reads as a kill
    except OSError:
        return
    for name in ("stdin", "system", *(() if with_result else ("stderr",))):
        (folder / name).unlink(missing_ok=True)


def _row(key: str, name: str, usage: model.Usage) -> str:
    message: dict[str, model.Json] = {"id": key, "model": name, "usage": usage_meter.to_raw(usage), "content": []}
    return json.dumps({"type": "assistant", "message": message}) + "\n"


def _object(value: model.Json) -> Mapping[str, model.Json]:
    return value if json_types.is_object(value) else _NO_ROW
