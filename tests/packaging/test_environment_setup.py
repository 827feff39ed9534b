"""What people see while `make demo` or `make test` sets up an environment, which a slow network makes long."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CHUNK = 4_096

# The Python that it makes is new enough and has no pip, so that nothing is ever installed for real.
INSTALLER = """#!/bin/sh
case $1 in
  venv) for last; do :; done; mkdir -p "$last/bin"; cp "{python}" "$last/bin/python" ;;
  pip) [ ! -p "{gate}" ] || cat "{gate}"; {ending} ;;
esac
"""
PYTHON = """#!/bin/sh
case "$*" in *version_info*) ;; *) echo "no pip in here" >&2; exit 1 ;; esac
"""
FAILS = 'echo "no such index" >&2; exit 1'

pytestmark = pytest.mark.skipif(os.name != "posix", reason="it is made with sh")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Returns a copy of what sets up an environment."""
    copy = tmp_path / "checkout"
    for name in ("scripts/environment.sh", "pyproject.toml"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, copy / name)
    return copy


def call(checkout: Path, ending: str = ":") -> tuple[list[str], dict[str, str]]:
    """Returns the call and its variables, with an installer that ends as it is told once its gate is open."""
    uv = checkout.parent / "bin" / "uv"
    uv.parent.mkdir()
    python = uv.with_name("python3")
    python.write_text(PYTHON)
    uv.write_text(INSTALLER.format(python=python, gate=checkout.parent / "gate", ending=ending))
    for program in (uv, python):
        program.chmod(0o755)
    path = os.pathsep.join((str(uv.parent), "/usr/bin", "/bin"))
    env = {"PATH": path, "HOME": str(checkout.parent), "TERM": "xterm"}
    return ["sh", str(checkout / "scripts/environment.sh"), "plain"], env


@pytest.mark.timeout(240)
def test_on_a_terminal_one_line_lives_until_the_environment_is_there(checkout: Path) -> None:
    words, env = call(checkout)
    gate = checkout.parent / "gate"
    os.mkfifo(gate)
    parent, child = pty.openpty()
    text = ""
    with subprocess.Popen(words, env=env, stdin=child, stdout=child, stderr=child) as process:
        os.close(child)
        while "packages, 2 s" not in text:  # waits as long as the installer does, and counts
            text += os.read(parent, CHUNK).decode()
        gate.write_text("")
        while chunk := _read(parent):
            text += chunk
    os.close(parent)
    assert process.returncode == 0, text
    assert text.count("\n") == 1
    states = [state.partition("\x1b[K")[2] for state in text.split("\r") if "packages" in state]
    assert states[0] == "Setting up .venv (plain), once: fetching and installing packages, 0 s"
    assert len(set(states)) > 1
    last = text.split("\r\x1b[K")[-2]
    assert last.startswith("Set up .venv (plain) in ")
    assert max(map(len, states)) < 80


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, CHUNK).decode()
    except OSError:  # the last program that had the terminal has ended
        return ""


@pytest.mark.timeout(240)
def test_in_a_pipe_it_is_plain_lines_and_a_second_time_none(checkout: Path) -> None:
    words, env = call(checkout)
    first = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert first.stdout == ""
    lines = first.stderr.splitlines()
    assert lines[0] == "Setting up .venv (plain), once ..."
    assert lines[-1].startswith("Set up .venv (plain) in ")
    assert not {"\r", "\x1b"} & set(first.stderr)
    again = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert (again.stdout, again.stderr) == ("", "")


@pytest.mark.timeout(240)
def test_what_the_installers_say_against_it_stands_at_the_end_and_nothing_counts_as_set_up(checkout: Path) -> None:
    words, env = call(checkout, FAILS)
    answer = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert answer.returncode != 0
    lines = answer.stderr.splitlines()
    assert lines[1:3] == ["no such index", "uv could not do it; pip was tried ..."]
    assert lines[-1] == "no pip in here"
    assert "Set up" not in answer.stderr
    assert not list((checkout / ".venv").glob(".ready-*"))
