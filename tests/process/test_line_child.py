"""A program beside us hears and says lines, and ends with us."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch_mcp.process import line_child

ECHO = """import os, sys
print(os.getpid(), os.getcwd(), flush=True)
for line in sys.stdin:
    if line == "end\\n":
        break
    print(line.strip()[::-1], os.environ.get(line.strip(), ""), flush=True)
"""
PATIENCE_S = 120.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a folder in which children start and a module lies that they must not import; `echo` lies elsewhere."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/echo.py").write_text(ECHO)
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours/queue.py").write_text("raise SystemExit('imported from where it works')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    return tmp_path / "ours"


@pytest.fixture
def lines() -> queue.SimpleQueue[bytes]:
    return queue.SimpleQueue()


@pytest.fixture
def child(folder: Path, lines: queue.SimpleQueue[bytes]) -> Iterator[line_child.LineChild]:
    started = line_child.LineChild("echo", (), folder, lines.put)
    yield started
    started.close()


def test_lines_go_there_and_back(child: line_child.LineChild, lines: queue.SimpleQueue[bytes], folder: Path) -> None:
    assert lines.get(timeout=PATIENCE_S).split() == [b"%d" % child.pid, os.fsencode(os.path.realpath(folder))]
    for word in (b"tide", b"quay"):
        assert child.send(word)
        assert lines.get(timeout=PATIENCE_S).strip() == word[::-1]


def test_a_child_learns_no_secret(
    folder: Path, lines: queue.SimpleQueue[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARBOUR_API_KEY", "sk-not-for-children")
    child = line_child.LineChild("echo", (), folder, lines.put)
    try:
        lines.get(timeout=PATIENCE_S)
        assert child.send(b"HARBOUR_API_KEY")
        assert lines.get(timeout=PATIENCE_S).strip() == b"YEK_IPA_RUOBRAH"
    finally:
        child.close()


def test_the_end_of_a_child_is_an_empty_line_and_nothing_more_can_be_sent(
    child: line_child.LineChild, lines: queue.SimpleQueue[bytes]
) -> None:
    lines.get(timeout=PATIENCE_S)
    assert child.send(b"end")
    assert lines.get(timeout=PATIENCE_S) == b""
    assert not child.send(b"tide")


def test_closing_ends_a_child_even_one_that_does_not_listen(
    folder: Path, lines: queue.SimpleQueue[bytes], tmp_path: Path
) -> None:
    (tmp_path / "modules/deaf.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(900)\n")
    child = line_child.LineChild("deaf", (), folder, lines.put)
    assert lines.get(timeout=PATIENCE_S) == b"here"
    child.close()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    child.close()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_child_ends_when_its_parent_is_killed(folder: Path, tmp_path: Path) -> None:
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import queue, sys, pathlib\nfrom dispatch_mcp.process import line_child\nlines = queue.SimpleQueue()\n"
        "line_child.LineChild('echo', (), pathlib.Path(sys.argv[1]), lines.put)\n"
        "print(lines.get().decode().split()[0], flush=True)\nlines.get()\n"
    )
    package = str(Path(line_child.__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([package, str(tmp_path / "modules")])}
    command = [sys.executable, str(parent), str(folder)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        number = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        assert process.stdout.read() == ""
        process.wait(PATIENCE_S)
    watch = subprocess.run(["tail", f"--pid={number}", "-f", "/dev/null"], timeout=PATIENCE_S, check=False)
    assert watch.returncode == 0


def test_what_cannot_be_started_is_an_error_of_the_system(tmp_path: Path, lines: queue.SimpleQueue[bytes]) -> None:
    with pytest.raises(OSError, match="no-such-folder"):
        line_child.LineChild("echo", (), tmp_path / "no-such-folder", lines.put)
    assert lines.empty()
