"""A real server that gets damaged lines through its pipe: everything with an id is answered, and it lives."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import damage
import memory_client
import raw_server
import readers

PATIENCE_S = 120.0
"""Seconds that an answer may take; it is the machine that may be busy, the processor's second is counted apart."""

TOOLS = ("route_task", "plan_dag", "dispatch", "report", "get_trace", "steer_run", "message_agents", "review_council")
_WORDS = (
    "latest",
    "a",
    "b",
    "",
    "host",
    "summary",
    "all",
    "cancel",
    "retry",
    "warning",
    "../x",
    "\ud83d",
    "\0",
    "é" * 50,
)

_FIGURES = (0, -1, 1, 2**31, 2**53, 2**63, 10**23, 0.5, 1e308, float("nan"), float("inf"))
_FIELDS = (
    "id",
    "do",
    "deps",
    "files",
    "task_id",
    "attempt",
    "text",
    "status",
    "op",
    "dollars",
    "usage",
    "handoff",
    "x",
)


class Session:
    """A server and what was tried of it."""

    def __init__(self, wire: raw_server.Wire, log: Path, chance: random.Random) -> None:
        self.wire, self.log, self.chance = wire, log, chance
        self.lines = self.answers = self.errors = 0
        self.slowest_s = 0.0

    def ask(self, data: bytes, number: int) -> None:
        """Sends a line and a ping behind it, and reads until the ping is answered. Raises AssertionError."""
        began = time.monotonic()
        self.wire.write(data + b'\n{"jsonrpc":"2.0","id":%d,"method":"ping"}\n' % number)
        self.lines += 1
        while True:
            message = json.loads(self.wire.line(PATIENCE_S))
            if message.get("id") == number and message.get("result") == {}:
                break
            self.answers += "id" in message
            self.errors += "error" in message
            code = message.get("error", {}).get("code")
            assert code != -32603, f"an internal error for {data[:2_000]!r}: {message}"
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def call(self, number: int, data: bytes) -> None:
        """Sends a call that is a message and waits for its answer. Raises AssertionError when there is none."""
        began = time.monotonic()
        self.wire.write(data + b"\n")
        self.lines += 1
        while True:
            message = json.loads(self.wire.line(PATIENCE_S))
            code = message.get("error", {}).get("code")
            assert code != -32603, f"an internal error for {data[:2_000]!r}: {message}"
            if message.get("id") == number:
                break
        self.answers += 1
        self.errors += "error" in message or bool(message["result"].get("isError"))
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)


def told(seconds: float, number: int) -> str:
    """Returns what a server was sent for so long and how it answered. Raises AssertionError, TimeoutError or Gone."""
    chance = random.Random(number)
    with tempfile.TemporaryDirectory() as place:
        shop = memory_client.repository(Path(place) / "shop")
        log = Path(place) / "log"
        env = raw_server.environment(Path(place) / "state", shop)
        with raw_server.Wire(env, shop, log=log, era="legacy") as wire:
            wire.greet()
            wire.call("get_trace")
            session = Session(wire, log, chance)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                step(session)
            assert wire.close() == 0
            trouble = log.read_text(errors="replace")
            assert "Traceback" not in trouble, trouble[-4_000:]
    return (
        f"{session.lines} lines, {session.answers} answers, {session.errors} of them errors, "
        f"slowest {session.slowest_s:.3f} s by the clock"
    )


def step(session: Session) -> None:
    """Sends one line: a call with odd arguments, or one that was damaged on its way."""
    chance, number = session.chance, session.lines + 1_000
    message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params(chance)}
    data = json.dumps(message).encode()
    if chance.random() < 0.6:
        session.call(number, data)
    else:
        session.ask(damaged(data, chance).replace(b"\n", b" "), -number)


def params(chance: random.Random) -> dict[str, Any]:
    samples = [text for name in ("plan_document", "report", "diff", "reviewer_answer") for text in readers.corpus(name)]
    names = ("request", "run_id", "plan_id", "tasks", "edits", "results", "diff", "text", "task_id", "worker", "limits")
    more = (
        "view",
        "action",
        "recipient",
        "kind",
        "attempt",
        "cursor",
        "wait_s",
        "request_key",
        "base_version",
        "pattern",
    )
    keys = chance.sample([*names, *more], chance.randint(0, 5))
    arguments = {key: value(chance, samples) for key in keys}
    arguments.pop("wait_s", None)
    return {"name": chance.choice(TOOLS), "arguments": arguments}


def value(chance: random.Random, samples: Sequence[str], depth: int = 0) -> Any:
    """Returns a value of any kind: words that mean something, other people's texts, figures, and values in values."""
    if depth < 3 and chance.random() < 0.3:
        return nested(chance, samples, depth)
    sample = chance.choice(samples)
    piece = chance.choice(damage.PIECES) * chance.randint(1, 300)
    leaves: list[Any] = [
        chance.choice(_WORDS),
        sample,
        chance.choice(_FIGURES),
        None,
        True,
        [],
        {},
        loaded(sample),
        piece,
    ]
    return chance.choice(leaves)


def nested(chance: random.Random, samples: Sequence[str], depth: int) -> Any:
    inner = [value(chance, samples, depth + 1) for _ in range(chance.randint(0, 5))]
    return inner if chance.random() < 0.3 else {chance.choice(_FIELDS): part for part in inner}


def loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Returns a line with bytes cut out, doubled, changed or put in."""
    for _ in range(chance.randint(1, 4)):
        start, end = sorted(chance.randint(0, len(data)) for _ in range(2))
        end = min(end, start + chance.choice((1, 3, 40, 4_000)))
        piece = chance.choice((b"", data[start:end] * 2, bytes(chance.randrange(256) for _ in range(4)), b"[" * 300))
        data = data[:start] + piece + data[end:]
    return data
