"""`dispatch-mcp watch` beside a run that another process carries on, in a real terminal and without one."""

from __future__ import annotations

import functools
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import command_runs
import pytest

from dispatch_mcp import configuration, errors
from dispatch_mcp.service import traces

PATIENCE_S = 120.0
IN_SHELL = '"$@" </dev/tty & echo "process $!"; wait $!; echo "ended with $?"; read -r line'
SHOWN_CURSOR = "\x1b[?25h"
WAITING = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a workspace in which a task waits for a file named `go`."""
    workspace = tmp_path / "shop"
    workspace.mkdir()
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(workspace))
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([[sys.executable, "-c", "*"]]))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.chdir(workspace)
    return workspace


@pytest.fixture
def started(place: Path) -> Iterator[command_runs.OwnProcess]:
    """Gives the process that carries on a run of two tasks, the first of which waits."""
    tasks = [
        {"id": "tide", "do": "Write the tide table", "command": [sys.executable, "-c", WAITING], "worker": "command"},
        {"id": "moon", "do": "Write the moon table", "command": [sys.executable, "-c", "pass"], "deps": ["tide"]},
    ]
    process = command_runs.OwnProcess("run", command_runs.written(place, tasks), "--quiet")
    yield process
    (place / "go").touch()
    process.communicate(timeout=PATIENCE_S)


def status() -> dict[str, str]:
    """Returns the state of the only run and of its tasks, as `dispatch-mcp status latest` reads them."""
    settings = configuration.load(os.environ, cwd=Path.cwd()).settings
    trace = anyio.run(traces.read, settings, "latest", "summary")
    return {"run": str(trace.state), **{task.id: str(task.state) for task in trace.tasks}}


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def at_work() -> bool:
    try:
        return status()["run"] == "running"
    except errors.DispatchError:  # there is none yet
        return False


def echoes(descriptor: int) -> bool:
    """Returns whether a terminal shows what is typed."""
    return bool(termios.tcgetattr(descriptor)[3] & termios.ECHO)


class Terminal:
    """A command in a terminal of its own: what it has shown so far, and keys for it."""

    def __init__(self, *arguments: str, in_shell: bool = False) -> None:
        self.shown = ""
        command = [sys.executable, "-m", "dispatch_mcp", *arguments]
        command = ["/bin/sh", "-c", IN_SHELL, "sh", *command] if in_shell else command
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests below nohup has it ignored
            os.execv(command[0], command)

    def until(self, text: str) -> None:
        """Reads until a text was shown since the last look."""
        deadline, start = time.monotonic() + PATIENCE_S, len(self.shown)
        while text not in self.shown[start:]:
            assert time.monotonic() < deadline, self.shown[start:]
            if select.select([self.descriptor], [], [], 0.1)[0]:
                self.shown += os.read(self.descriptor, 65_536).decode("utf-8", "replace")

    def type(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def end(self) -> int:
        """Returns the exit code of a command that ends by itself."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if select.select([self.descriptor], [], [], 0.1)[0]:
                    self.shown += os.read(self.descriptor, 65_536).decode("utf-8", "replace")
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_keys_pause_and_resume_a_run_that_another_process_carries_on(started: command_runs.OwnProcess) -> None:
    eventually(at_work)
    terminal = Terminal("watch")
    terminal.until("q leave")
    terminal.type("p")
    terminal.until("p resume")
    assert status()["run"] == "paused"
    terminal.type("p")
    terminal.until("p pause")
    terminal.type("d")
    terminal.until("try 1: running")
    terminal.type("q")
    assert terminal.end() == 0
    assert status()["tide"] == "running"
    assert started.poll() is None, "who leaves ends nothing"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_screen_leaves_the_terminal_as_it_was(
    started: command_runs.OwnProcess, number: signal.Signals
) -> None:
    eventually(at_work)
    terminal = Terminal("watch", in_shell=True)
    terminal.until("q leave")
    assert not echoes(terminal.descriptor)
    os.kill(int(terminal.shown.partition("process ")[2].split()[0]), number)
    terminal.until(f"ended with {128 + number}")
    assert SHOWN_CURSOR in terminal.shown
    assert echoes(terminal.descriptor)
    terminal.type("\n")
    assert terminal.end() == 0
    assert started.poll() is None, "who leaves ends nothing"


def test_a_run_at_its_own_screen_goes_on_after_a_pause_with_nothing_at_work(place: Path) -> None:
    command = [sys.executable, "-c", WAITING]
    tasks = [
        {"id": "tide", "do": "Write the tide table", "command": command, "worker": "command"},
        {"id": "moon", "do": "Write the moon table", "command": command, "worker": "command", "deps": ["tide"]},
    ]
    terminal = Terminal("run", command_runs.written(place, tasks))
    terminal.until("p pause")
    terminal.type("p")
    terminal.until("p resume")
    (place / "go").touch()
    terminal.until("1 of 2")
    assert "q leave" not in terminal.shown
    terminal.type("p")
    assert terminal.end() == 0
    assert status()["run"] == "succeeded"


@pytest.mark.parametrize("how", ["dumb", "of another session"])
def test_a_terminal_without_pictures_or_keys_is_told_in_lines_or_without_keys(place: Path, how: str) -> None:
    tasks = [{"id": "moon", "do": "Write it", "command": [sys.executable, "-c", "pass"], "worker": "command"}]
    path = command_runs.written(place, tasks)
    master, slave = pty.openpty()
    try:
        environment: dict[str, str] = {**os.environ, "TERM": "dumb" if how == "dumb" else "xterm"}
        command = [sys.executable, "-m", "dispatch_mcp", "run", path]
        start = functools.partial(subprocess.Popen[bytes], command, env=environment, start_new_session=True)
        with start(stdin=slave, stdout=subprocess.PIPE, stderr=slave) as process:
            shown = ""
            while process.poll() is None:
                if select.select([master], [], [], 0.1)[0]:
                    shown += os.read(master, 65_536).decode("utf-8", "replace")
            assert process.stdout is not None
            assert process.returncode == 0, shown
            assert json.loads(process.stdout.read())["summary"]["successful"] == 1
            assert "p pause" not in shown
    finally:
        os.close(master)
        os.close(slave)


def test_cancelling_needs_a_second_key(started: command_runs.OwnProcess) -> None:
    eventually(at_work)
    terminal = Terminal("watch", "latest")
    terminal.until("q leave")
    terminal.type("c")
    terminal.until("Cancel this run?")
    terminal.type("n")
    terminal.until("q leave")
    assert status()["run"] == "running"
    terminal.type("c")
    terminal.until("Cancel this run?")
    terminal.type("y")
    assert terminal.end() == 1
    assert status()["run"] == "cancelled"


def test_without_a_terminal_each_change_is_a_line_and_the_end_the_exit_code(
    place: Path, started: command_runs.OwnProcess
) -> None:
    eventually(at_work)
    watcher = command_runs.OwnProcess("watch", "latest", "--json")
    (place / "go").touch()
    out, err = watcher.communicate(timeout=PATIENCE_S)
    assert watcher.returncode == 0, err
    assert "moon: done" in err or "moon: unproven" in err
    assert json.loads(out)["state"] == "succeeded"


def test_there_is_nothing_to_watch_where_nothing_ever_ran(place: Path) -> None:
    process = command_runs.OwnProcess("watch")
    assert "run" in process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 2
