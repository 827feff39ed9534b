"""Every command on a stream that takes no more than ASCII, or than a code page of Windows: it stays readable."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import command_runs
import pytest
import rich.console

from dispatch_mcp import __main__ as entry
from dispatch_mcp.cli import arguments
from dispatch_mcp.cli.demo import lanes
from dispatch_mcp.process import standard_streams

NUMBER = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
"""How a character is written that nothing stands for."""

COMMANDS = (
    *(f"{name} --help" for name in ("", *arguments.COMMANDS)),
    *(f"trace latest --view {view}" for view in arguments.VIEWS),
    *(f"completion {shell}" for shell in arguments.SHELLS),
    "run good.json",
    "run bad.json",
    "run bad.json --dry-run",
    "plan good.json --diagram --todo",
    'plan --request "Add payments to the shop"',
    'plan --request "Add payments" --pattern fan_out --part "Add the form" --part "Add the page"',
    "worker --idle 0",
    'route "Fix the login"',
    'context "Fix the login"',
    "agents",
    "agents lint",
    "agents misroutes",
    "agents forget",
    "status",
    "status --all",
    "status latest",
    "watch latest",
    "steer retry latest a",
    "steer cancel latest",
    "steer pause latest",
    "limit latest",
    "limit latest dollars=8",
    "approve latest",
    "apply latest",
    "waive latest f --reason fine",
    "review --choose",
    "review --diff change.diff",
    "review --diff none.diff",
    "worktrees",
    "worktrees prune",
    "install",
    "install claude-code --dry-run",
    "uninstall --dry-run",
    "where",
    "prune",
    "doctor",
    "config",
    "config --origin",
    "config check",
    "config path",
    "notify",
    "token add laptop",
    "token",
    "demo --repo /no/such/folder",
    "statsu",
)
OTHERWISE = {"serve", "hook", "statusline"}
"""Commands that speak JSON, or are tried below."""


def test_every_command_is_among_those_that_are_tried() -> None:
    names = {words.split()[0] for words in COMMANDS if "--help" not in words}
    assert names - {"statsu"} | OTHERWISE == set(arguments.COMMANDS)


def printed(words: str, encoding: str, patch: pytest.MonkeyPatch) -> str:
    """Returns what a command in this process prints on streams of an encoding."""
    with patch.context() as streams:
        buffers = {name: io.BytesIO() for name in ("stdout", "stderr")}
        for name, buffer in buffers.items():
            streams.setattr(sys, name, io.TextIOWrapper(buffer, encoding=encoding, write_through=True))
        streams.setattr(sys, "argv", ["dispatch-mcp", *shlex.split(words)])
        with contextlib.suppress(SystemExit):
            entry.main()
        return "\n".join(buffer.getvalue().decode(encoding) for buffer in buffers.values())


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_whatever_a_command_prints_can_be_read_where_its_stream_takes_no_marks(
    encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    task = '{"tasks": [{"id": "a", "do": "Look around", "command": ["%s"]}]}'
    (tmp_path / "good.json").write_text(task % '", "'.join(["git", "status", "--short"]), encoding="utf-8")
    (tmp_path / "bad.json").write_text(task % '", "'.join(["pytest", "-q"]), encoding="utf-8")
    (tmp_path / "change.diff").write_text("--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n", encoding="utf-8")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    printed("run good.json", encoding, monkeypatch)
    texts = {words: printed(words, encoding, monkeypatch) for words in COMMANDS}
    assert {words: NUMBER.findall(text) for words, text in texts.items() if NUMBER.search(text)} == {}
    assert "?" not in texts["doctor"], "nothing was lost on the way"


def test_the_demo_and_the_line_below_the_prompt_are_drawn_in_ascii(own_home: Path) -> None:
    standard_streams.degrade()
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors=standard_streams.PLAINLY)
    lane = lanes.Lane("cart", 2.0, "succeeded", note="again")
    rich.console.Console(file=stream, width=80).print(lanes.Screen("A shop", "all", "nothing", {"cart": lane}))
    stream.flush()
    assert f"cart     {'=' * lanes.BAR}  done" in raw.getvalue().decode()
    good = command_runs.written(own_home, [{"id": "a", "do": "A title that is longer than the line has room for it"}])
    with command_runs.OwnProcess("plan", good, cwd=own_home) as planned:
        assert planned.communicate()[0]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "dispatch_mcp", "statusline"]
    done = subprocess.run(command, input=b"{}", env=env, cwd=own_home, capture_output=True, check=True)
    assert done.stdout.isascii()


def test_a_letter_of_somebodys_text_is_printed_as_its_number_so_that_nothing_is_lost() -> None:
    standard_streams.degrade()
    assert "Añade → 表 ✓".encode("ascii", standard_streams.PLAINLY) == rb"A\xf1ade -> \u8868 +"
