"""A program of ours that works beside this process and talks in lines: it ends when we do, however that comes.

What it reads is a pipe of which we hold the only writing end; its end is how the child learns that we are gone.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from dispatch_mcp.process import child_environment

GRACE_S: Final = 0.5
"""Seconds that a child has to end once nobody writes to it any more."""

Hear = Callable[[bytes], None]
"""Is told each line of the child, in a thread of its own; at last an empty one, when the child has ended."""


class LineChild:
    """A running module of this package, started with `python -P -m`; close it."""

    def __init__(self, module: str, arguments: Sequence[str], folder: Path, hear: Hear) -> None:
        """Starts the module in `folder`, which is ours: nothing is imported from where it works.

        Raises:
            OSError: it cannot be started.
        """
        self._process = subprocess.Popen(  # noqa: S603  # this interpreter with a module of this package
            [sys.executable, "-P", "-m", module, *arguments],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=os.name == "posix",  # a terminal's Ctrl-C is for us; the pipe tells the child
        )
        threading.Thread(target=self._listen, args=(hear,), name="line-child", daemon=True).start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def send(self, line: bytes) -> bool:
        """Writes a line and returns whether the child could take it."""
        assert self._process.stdin
        try:
            self._process.stdin.write(line + b"\n")
        except (OSError, ValueError):
            return False
        return True

    def close(self) -> None:
        """Ends the child; returns when it is gone."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _listen(self, hear: Hear) -> None:
        assert self._process.stdin
        assert self._process.stdout
        with io.BufferedReader(self._process.stdout) as lines:  # type: ignore[type-var]  # it is unbuffered, so raw
            for line in lines:
                hear(line.rstrip(b"\n"))
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        hear(b"")


def _environment() -> dict[str, str]:
    """Returns what any child receives, and where this package is found."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    base = child_environment.ChildPolicy(os.environ).environment({})
    return {**base, "PYTHONPATH": os.pathsep.join(path for path in paths if path), "PYTHONIOENCODING": "utf-8"}
