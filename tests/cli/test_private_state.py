"""The state folder is its owner's alone whichever command is the first, and commands that only read leave none."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import command_runs
import pytest

from dispatch_mcp.cli import arguments

pytestmark = [pytest.mark.promise("S14"), pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")]

READERS = (
    ("route", "Fix the login"),
    ("doctor",),
    ("agents", "list"),
    ("agents", "lint"),
    ("config",),
    ("config", "check"),
    ("config", "path"),
    ("plan", "--request", "Fix the login"),
    ("token",),
    ("where",),
    ("notify",),
    ("prune",),
    ("install",),
    ("install", "claude-code", "--dry-run"),
    ("uninstall", "--dry-run"),
    ("completion", "bash"),
    ("completion", "bash", "--values", "tasks"),
    ("status",),
    ("status", "--all"),
    ("statusline",),
    ("hook", "Stop"),
    ("demo", "--repo", "/no/such/folder"),
    ("status", "latest"),
    ("status", "--json"),
    ("trace", "latest"),
    ("trace", "shop-3f2a", "--html", "-"),
    ("watch",),
    ("agents", "misroutes"),
    ("worktrees",),
    ("worktrees", "prune"),
    ("review", "--choose"),
    ("review", "--run", "shop-3f2a"),
)
ABOUT_NOTHING = (
    ("run", "shop-3f2a"),
    ("steer", "pause", "latest"),
    ("limit", "latest", "dollars=1"),
    ("limit", "latest", "dollars=1", "--expect", "0a1b"),
    ("approve", "latest"),
    ("apply", "latest"),
    ("waive", "latest", "x", "--reason", "why"),
    ("agents", "forget"),
)
"""Commands that change what is there, where nothing is."""
OTHERS = (
    ("context", "Fix the login"),
    ("token", "add", "laptop"),
    ("plan", "DOCUMENT"),
    ("run", "DOCUMENT", "--dry-run", "--quiet"),
    ("worker", "--idle", "0", "--quiet"),
    ("uninstall",),
)


def test_every_command_is_among_those_that_are_tried() -> None:
    """`serve` is tried over stdio below: in this process it would read the standard input of the tests."""
    assert {words[0] for words in (*READERS, *ABOUT_NOTHING, *OTHERS)} == set(arguments.COMMANDS) - {"serve"}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.mark.parametrize("words", [*READERS, *ABOUT_NOTHING], ids=" ".join)
def test_a_command_that_only_reads_or_finds_nothing_makes_no_state(
    shell: command_runs.Shell, own_home: Path, words: tuple[str, ...]
) -> None:
    shell(*words)
    assert not (own_home / "state").exists()


@pytest.mark.parametrize("words", [*READERS, *ABOUT_NOTHING, *OTHERS], ids=" ".join)
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


def test_a_server_that_is_the_first_leaves_nothing_that_others_can_read(own_home: Path) -> None:
    command = [sys.executable, "-m", "dispatch_mcp", "serve"]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, umask=0o022, check=True)
    state = own_home / "state"
    paths = [state, *state.rglob("*")] if state.exists() else []
    assert [path for path in paths if stat.S_IMODE(path.lstat().st_mode) & 0o077] == []


def test_settings_are_edited_in_a_file_that_nobody_else_can_read(
    shell: command_runs.Shell, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "editor.py"
    program.write_text("import sys\nopen(sys.argv[1], 'a').write(sys.argv[0] and 'max_parallel = 3\\n')\n")
    monkeypatch.setenv("EDITOR", shlex.join([sys.executable, str(program)]))
    before = os.umask(0o022)
    try:
        answer = shell("config", "edit")
    finally:
        os.umask(before)
    assert (answer.code, "Every setting can be used" in answer.out) == (0, True)
    file = own_home / "state" / "config.toml"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file.parent, file)] == [0o700, 0o600]
    assert shell("config", "--json").json["max_parallel"]["value"] == 3
    monkeypatch.setenv("EDITOR", shlex.join([sys.executable, "-c", "1/0"]))
    answer = shell("config", "edit")
    assert (answer.code, "ended with 1" in answer.err) == (1, True)


def test_an_edit_that_breaks_the_settings_is_told_at_once(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "editor.py"
    program.write_text("import sys\nopen(sys.argv[1], 'a').write('max_parallel = maybe')\n")
    monkeypatch.setenv("EDITOR", shlex.join([sys.executable, str(program)]))
    answer = shell("config", "edit")
    assert (answer.code, "is not TOML" in answer.err) == (2, True)
