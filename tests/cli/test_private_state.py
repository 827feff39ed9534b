"""The state folder is its owner's alone whichever command is the first, and commands that only read leave none."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import command_runs
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")

READERS = (
    ("route", "Fix the login"),
    ("doctor",),
    ("agents", "list"),
    ("agents", "lint"),
    ("config",),
    ("plan", "--request", "Fix the login"),
    ("token",),
)
OTHERS = (
    ("status", "--all"),
    ("context", "Fix the login"),
    ("worktrees",),
    ("token", "add", "laptop"),
    ("run", "DOCUMENT", "--dry-run", "--quiet"),
)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_a_command_that_only_reads_makes_no_state(
    shell: command_runs.Shell, own_home: Path, words: tuple[str, ...]
) -> None:
    shell(*words)
    assert not (own_home / "state").exists()


@pytest.mark.parametrize("words", [*READERS, *OTHERS], ids=" ".join)
def test_whatever_command_is_the_first_leaves_nothing_that_others_can_read(
    shell: command_runs.Shell, own_home: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    document = command_runs.written(tmp_path, [{"id": "a", "do": "Write the form"}])
    before = os.umask(0o022)
    try:
        shell(*(document if word == "DOCUMENT" else word for word in words))
    finally:
        os.umask(before)
    state = own_home / "state"
    paths = [state, *state.rglob("*")] if state.exists() else []
    assert [path for path in paths if stat.S_IMODE(path.lstat().st_mode) & 0o077] == []
