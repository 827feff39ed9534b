"""Every command with stdin, stdout or stderr closed: it does what it does otherwise, and ends without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import command_runs
import nursery
import pytest
import temp_repository

from dispatch_mcp.cli import arguments

pytestmark = [
    pytest.mark.promise("R13"),
    pytest.mark.skipif(not nursery.can_fork(dict(os.environ)), reason="closes the streams of a forked process"),
]

STREAMS: Final = ("stdin", "stdout", "stderr")
TYPED: Final[dict[str, list[str]]] = {
    "run": ["tasks.json", "--dry-run"],
    "plan": ["tasks.json"],
    "route": [],
    "context": [],
    "status": [],
    "watch": ["latest"],
    "trace": ["latest"],
    "steer": ["pause", "latest"],
    "limit": ["latest", "dollars=8"],
    "approve": ["latest"],
    "apply": ["latest"],
    "waive": ["latest", "f1", "--reason", "a fixture"],
    "review": ["HEAD~99"],
    "worker": ["--idle", "0.1"],
    "completion": ["bash"],
    "hook": ["Stop"],
    "demo": ["--repo", "nowhere"],
    "serve": [],
}
"""What is typed behind a command, with nothing on stdin."""
BARE: Final = {
    *("token", "statusline", "agents", "worktrees", "install", "uninstall", "where", "prune", "doctor", "config"),
    "notify",
}
"""Commands behind which nothing is typed."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repository = temp_repository.make(tmp_path / "shop")
    command_runs.written(repository, [{"id": "a", "do": "Write the page"}])
    for name in ("HOME", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    return repository


def ended(folder: Path, *words: str, closed: str = "") -> tuple[int | None, str]:
    process = command_runs.OwnProcess(*words, cwd=folder, closed=closed)
    out, err = process.communicate()
    return process.returncode, f"{out}\n{err}"


def test_every_command_is_tried() -> None:
    assert set(TYPED) | BARE == set(arguments.COMMANDS)


@pytest.mark.parametrize("command", sorted({*TYPED, *BARE}))
@pytest.mark.slice(3)
def test_a_command_does_the_same_whichever_stream_is_closed(folder: Path, command: str) -> None:
    assert ended(folder, "run", "tasks.json", "--dry-run")[0] == 0
    words = [command, *TYPED.get(command, [])]
    usual = ended(folder, *words)
    assert "Traceback" not in usual[1]
    for stream in STREAMS:
        code, text = ended(folder, *words, closed=stream)
        assert "Traceback" not in text, (stream, text)
        has_no_line = command == "serve" and stream != "stderr"
        assert code == (2 if has_no_line else usual[0]), (stream, text)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes them")
@pytest.mark.parametrize("closing", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_a_shell_has_closed_are_those_that_python_has_not(folder: Path, closing: str) -> None:
    line = f'exec "$0" -m dispatch_mcp status {closing}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (">&-" not in closing.replace("2>&-", ""))
