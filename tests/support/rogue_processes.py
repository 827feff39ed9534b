"""Programs that behave badly, and the question whether a process lives."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import anyio

FORKING = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def child(depth, own_session):
    if os.fork() == 0:
        if own_session:
            os.setsid()
        if depth:
            child(depth - 1, own_session)
        with open(sys.argv[1], "a") as pids:
            pids.write(f"{os.getpid()}\\n")
        while True:
            time.sleep(60)
child(1, False)
child(1, True)
with open(sys.argv[1], "a") as pids:
    pids.write(f"{os.getpid()}\\n")
if len(sys.argv) > 2:
    sys.exit(int(sys.argv[2]))
while True:
    time.sleep(60)
"""
"""Forks four descendants that ignore TERM, two of them outside the group; argv: file for the pids, exit code."""

FORKED = 5

DEADLINES_S = (0.7, 7.0, 70.0)
"""Deadlines for programs that only end by them, tried in turn until one was long enough for the program to begin."""

SHOUTING = """
import sys
left, line = int(sys.argv[1]), b"x" * 1023 + b"\\n"
sys.stdout.buffer.write(b"the start\\n")
for _ in range(left // len(line)):
    sys.stdout.buffer.write(line)
sys.stdout.buffer.write(b"the end\\n")
"""

SERVER = """
import json, os, resource, sys
from pathlib import Path
import anyio
from dispatch_mcp.process import supervisor

def peak():
    # Not ru_maxrss where it can be helped: on Linux it begins with the peak of whoever started this process.
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def main(folder, timeout_s, *argv):
    before = peak()
    result = await supervisor.run_child(
        argv, cwd=Path(folder), env={"PATH": os.defpath}, folder=Path(folder) / "child",
        timeout_s=float(timeout_s) or None,
    )
    Path(folder, "report").write_text(json.dumps({
        "grown": peak() - before, "kept": len(result.stdout), "start": result.stdout[:20].decode(),
        "end": result.stdout[-20:].decode(), "truncated": result.truncated, "exit_code": result.exit_code,
    }))

anyio.run(main, *sys.argv[1:])
"""
"""Plays the server: runs one child under the supervisor and reports on it."""


def python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", program, *map(str, arguments)]


def server(folder: Path, timeout_s: float, argv: Iterable[str]) -> list[str]:
    return [sys.executable, "-c", SERVER, str(folder), str(timeout_s), *argv]


def lives(pid: int) -> bool:
    """Returns whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        state = stat_fields(pid)[0]
    except ProcessLookupError:
        return False
    except OSError:
        return not Path("/proc/self/stat").exists()
    return state not in (b"Z", b"X")


def survivors(pids: Iterable[int]) -> list[int]:
    return [pid for pid in pids if lives(pid)]


async def until(condition: Callable[[], bool]) -> None:
    """Returns when `condition` holds; for what other processes do, which no event of ours can announce."""
    while True:
        if condition():
            return
        await anyio.sleep(0.002)


async def pids_in(path: Path, count: int) -> list[int]:
    """Returns the pids that programs have written to `path`, once there are `count`."""
    await until(lambda: path.exists() and path.read_text().count("\n") >= count)
    return read_pids(path)


def read_pids(path: Path) -> list[int]:
    """Returns the pids that programs have written to `path`; none where none has begun."""
    if not path.exists():
        return []
    return [int(line) for line in path.read_text().split()]


async def noted_pid(folder: Path) -> int:
    """Returns the pid that the watchdog wrote before the program began."""
    note = folder / "pid"
    await until(note.exists)
    return _pid_in(note)


def _pid_in(note: Path) -> int:
    return int(json.loads(note.read_text())["pid"])


def stat_fields(pid: int) -> list[bytes]:
    """Returns the fields of Linux's /proc stat after the name: the state, the parent's pid, ..."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


async def all_dead(pids: Iterable[int]) -> None:
    await until(lambda: not survivors(pids))
