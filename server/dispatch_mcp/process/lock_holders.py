"""Which process holds a lock, in words for people who wait for it; as far as Linux tells."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from dispatch_mcp.text import escape

MOST_COMMAND = 60
"""Characters of a command: the program and what it runs, not the rest of its arguments, which may hold secrets."""


def of(path: Path) -> int:
    """Returns the id of the process that holds the lock of a file, 0 if nobody does or the system does not say."""
    with contextlib.suppress(OSError, ValueError):
        number = path.stat().st_ino
        for line in Path("/proc/locks").read_text("utf-8").splitlines():
            fields = line.split()
            # `7: FLOCK ADVISORY WRITE 4711 00:2e:1234 0 EOF`; those who wait have `->` as their second field.
            if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(number) and int(fields[4]) > 0:
                return int(fields[4])
    return 0


def describe(pid: int) -> str:
    """Returns `process 7 (python -m dispatch_mcp, stopped)`, empty if there is no such process."""
    if os.name == "posix":  # on Windows the same call would end it
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
        except PermissionError:  # it lives, and is somebody else's
            pass
    facts = ", ".join(filter(None, (_command(pid), "stopped" if is_stopped(pid) else "")))
    return f"process {pid} ({facts})" if facts else f"process {pid}"


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        options = [*words[1:], "", ""]
        name = f"-m {options[1]}" if options[0] == "-m" else "" if options[0].startswith("-") else Path(options[0]).name
        return escape.one_line(f"{Path(words[0]).name} {name}", limit=MOST_COMMAND)
    return ""


def is_stopped(pid: int) -> bool:
    """Returns whether a process is stopped, by a signal or a debugger, as far as Linux tells."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] in "Tt"
    return False
