"""While one client's large input is worked on, the server answers: pings overtake it, through real pipes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import memory_client
import pytest
import raw_server

pytestmark = pytest.mark.promise("R13")

ENOUGH = 4
"""Pings answered before a large call is over; on the event loop itself there would be none or one."""


def diff(body: str, name: str = "x.py") -> str:
    lines = body.split("\n")
    head = f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n@@ -0,0 +1,{len(lines)} @@\n"
    return head + "".join(f"+{line}\n" for line in lines)


CODE = "\n".join(f"def f{number}(a, b):\n    return a + b * {number}  # the login" for number in range(12_000))
LARGE: Mapping[str, tuple[str, Any]] = {
    "a diff of a long file": ("review_council", {"diff": diff(CODE)}),
    "a diff of many files": ("review_council", {"diff": "".join(diff("a = 1", f"d/x{n}.py") for n in range(3_000))}),
    "a long plan": (
        "plan_dag",
        {"tasks": [{"id": f"t{n}", "do": f"Write module {n}", "files": [f"m{n}.py"]} for n in range(3_000)]},
    ),
    "many wrong tasks": ("plan_dag", {"tasks": [{"id": f"t{n}", "do": "x", "deps": ["no"]} for n in range(8_000)]}),
    "deep inputs": (
        "plan_dag",
        {"tasks": [{"id": f"t{n}", "do": "x", "inputs": {"a": [[n] * 10] * 500}} for n in range(60)]},
    ),
    "a great result": (
        "report",
        {"run_id": "latest", "results": [{"task_id": "a", "attempt": 1, "text": "x", "output": [{"a": "b"}] * 40_000}]},
    ),
}

LINES = {
    "one character": "a" * 60_000,
    "blanks": " " * 60_000,
    "quotes": '"' * 60_000,
    "brackets": "(" * 60_000,
    "backslashes": "\\" * 60_000,
    "points": "a." * 30_000,
    "digits": "0x" * 30_000,
}


@pytest.fixture
def server(tmp_path: Path) -> Any:
    shop = memory_client.repository(tmp_path / "shop")
    with raw_server.Wire(raw_server.environment(tmp_path / "state", shop), shop, era="legacy") as wire:
        wire.greet()
        plan_id = wire.call("plan_dag", tasks=[{"id": "a", "do": "Write a"}])["plan_id"]
        wire.call("dispatch", plan_id=plan_id, worker="host")
        yield wire
        assert wire.close() == 0


@pytest.mark.parametrize("name", LARGE)
def test_pings_overtake_a_large_call(server: raw_server.Wire, name: str) -> None:
    tool, arguments = LARGE[name]
    large = server.send("tools/call", {"name": tool, "arguments": arguments})
    pings = 0
    while True:
        number = server.send("ping", {})
        answers = [json.loads(server.line())["id"]]
        while number not in answers:
            answers.append(json.loads(server.line())["id"])
        if large in answers:
            break
        pings += 1
    assert pings >= ENOUGH


@pytest.mark.parametrize("name", LINES)
def test_a_long_line_of_a_change_is_reviewed_like_any_other(server: raw_server.Wire, name: str) -> None:
    answer = server.call("review_council", diff=diff(LINES[name], "x.js"), dry_run=True)
    assert answer["reviewers"]
