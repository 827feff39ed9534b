"""Two hundred hostile inputs to each hook while a run is open: nothing is said, nothing written, nothing waits."""

from __future__ import annotations

import gc
import io
import json
import os
import random
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import dispatcher_setup
import growth
import hook_setup
import pytest
from dispatcher_setup import task

from dispatch_mcp.hooks import hook_events, hook_program, hook_socket

COUNT = 200
BOUND_S = 0.25
"""Seconds of processor that one input may take once everything is loaded."""

HUGE = 50 << 20
FIELDS = (
    *("tool_name", "tool_input", "tool_response", "prompt", "session_id", "transcript_path", "agent_transcript_path"),
    *("cwd", "last_assistant_message", "background_tasks", "source", "reason", "tool_use_id", "error", "agent_id"),
)


class Place:
    """A folder with an open run of one session, and the files that a hostile other one has beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.strange = folder / "strange"
        anyio.run(self._begin)
        (self.strange / "stranger" / "subagents").mkdir(parents=True)
        self.paths = [*self._files(), "/dev/zero", "/dev/null", "/etc/passwd", "/proc/self/mem", "relative.jsonl", "/"]
        self.paths += ["\0", f"{self.strange}/\0.jsonl", f"{self.strange}/{'x' * 300}.jsonl", "/x" * 3_000, "~/x.jsonl"]

    async def _begin(self) -> None:
        async with dispatcher_setup.opened(self.home) as desk:
            desk.app.hooks = "full"
            progress = await dispatcher_setup.started(desk, task("a"), task("b"))
            self.run = progress.run_id
            session = hook_setup.Session(desk, self.folder / "transcripts")
            brief = (await session.begins(progress.assignments[0].call.prompt))["prompt"]
            self.own = session.writes(brief)

    def _files(self) -> Iterator[str]:
        """Yields transcripts of the stranger: linked, foreign, endless, broken, or naming what others have begun."""
        folder = self.strange / "stranger" / "subagents"
        for name, target in (("link", self.own), ("loop", folder / "agent-loop.jsonl"), ("dir", self.own.parent)):
            (folder / f"agent-{name}.jsonl").symlink_to(target)
        (self.strange / "linked").symlink_to(self.own.parent.parent)
        os.mkfifo(folder / "agent-fifo.jsonl")
        (folder / "agent-folder.jsonl").mkdir()
        rows = {
            "names": json.dumps(said(f"[dispatch {self.run}/a/1]\n# GOAL")),
            "short": json.dumps(said(f"dispatch {self.run[:12]}/a/1")),
            "unknown": json.dumps(said("[dispatch nobody/a/1]")),
            "other": json.dumps(said("Find the bug")) + "\n" + json.dumps(hook_setup.answer("m1")),
            "bytes": "\udcff\udc80{",
            "deep": "[" * 200_000,
            "line": "x" * (9 << 20),
            "rows": "{}\n" * 50_000,
        }
        for name, text in rows.items():
            (folder / f"agent-{name}.jsonl").write_bytes(text.encode("utf-8", "surrogateescape"))
        yield from map(str, sorted(folder.iterdir()))
        yield str(self.own)
        yield str(self.strange / "linked" / "subagents" / self.own.name)
        yield f"{folder}/../../../transcripts/session-1/subagents/{self.own.name}"

    def content(self) -> tuple[list[str], list[Any]]:
        """Returns every file beside the store's own, and what the store holds."""
        files = [f"{path} {path.lstat().st_mtime_ns}" for path in sorted(self.folder.rglob("*"))]
        with sqlite3.connect(f"file:{self.home / 'state.db'}?mode=ro", uri=True) as connection:
            tables = ("run", "task", "attempt", "result", "event", "message")
            rows = [connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]
        return [file for file in files if "state.db" not in file and not file.startswith(f"{self.home} ")], rows


def said(text: str) -> dict[str, Any]:
    return {"type": "user", "message": {"role": "user", "content": text}}


def inputs(place: Place) -> list[bytes]:
    """Returns hostile inputs: of every kind some, of wrong values in right places the most."""
    event = json.dumps({"session_id": "stranger", "tool_name": "Agent", "cwd": "/", "prompt": "x"}).encode()
    raw = [
        b"",
        b"\0" * 99,
        b"\xff\xfe{",
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[]",
        b"null",
        b"1e999",
    ]
    raw += [b'{"a":1' + b"0" * 9_999 + b"}", b'{"prompt":"' + b"x" * HUGE + b'"}', b"{" * HUGE, event * 2]
    raw += [event[:end] for end in range(0, len(event), 9)]
    chance = random.Random(7)
    prompts = [
        f"dispatch {place.run}/a/1; rm",
        f"dispatch ../{place.run}/a/1",
        f"[dispatch {place.run}/a/1]\0",
        "\ud800",
    ]
    prompts += [
        f"<task-notification><task-id>{name}</task-id><status>completed</status><result>x</result>"
        for name in ("names", "short", "link", "fifo", "unknown", "../x", "\0", "x" * 70, "other")
    ]
    values: list[Any] = [None, True, 3, -1e308, [], {}, [[]], "", "\0", "x" * 100_000, {"prompt": 3}, [{"type": 3}]]
    values += [{"status": "completed", "agentId": name} for name in ("names", "fifo", "../x", 3)]
    deep: Any = "x"
    for _ in range(400):
        deep = {"a": [deep]}
    while len(raw) < COUNT:
        fields: dict[str, Any] = {
            "session_id": "stranger",
            "tool_name": chance.choice(["Agent", "Task", "Bash", "mcp__dispatch__report"]),
            "tool_input": {"prompt": chance.choice(prompts)},
            "tool_response": {"status": "completed", "agentId": chance.choice(["names", "link", "fifo"])},
            "prompt": chance.choice(prompts),
            "transcript_path": chance.choice([f"{place.strange}/stranger.jsonl", chance.choice(place.paths)]),
            "agent_transcript_path": chance.choice(place.paths),
            "last_assistant_message": chance.choice([hook_setup.ANSWER, "la la", "\0"]),
        }
        for name in chance.sample(FIELDS, chance.randint(0, 3)):
            fields[name] = chance.choice([*values, deep])
        if fields["session_id"] in ("session-1", ""):
            fields["session_id"] = "stranger"
        raw.append(json.dumps(fields).encode())
    return raw


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("name", hook_events.EVENTS)
@pytest.mark.slice(2)
def test_two_hundred_hostile_inputs_say_nothing_write_nothing_and_take_no_time(
    name: str, place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A session that starts here may be told of the run that is open here; a stranger starts elsewhere.
    folder = tmp_path if name == "SessionStart" else place.folder
    monkeypatch.chdir(folder)
    for variable in (hook_socket.SESSION, "DISPATCH_MCP_HOOKS", "DISPATCH_MCP_WORKSPACE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DISPATCH_MCP_HOME", str(place.home))
    monkeypatch.setenv("CLAUDE_PROJECT_DIR", str(folder))
    before = place.content()
    data = inputs(place)
    assert len(data) == COUNT

    def answer(item: bytes) -> None:
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(item)))
        monkeypatch.setattr(sys, "stdout", out)
        assert hook_program.main([name]) == 0
        assert out.getvalue() == "", item[:2_000]

    most_s = BOUND_S * growth.slowness()
    gc.freeze()  # what other tests have left in this process is not looked through again at the hook's expense
    for item in data:
        assert growth.best_s(lambda item=item: answer(item), most_s) <= most_s, item[:2_000]
    gc.unfreeze()
    assert place.content() == before
