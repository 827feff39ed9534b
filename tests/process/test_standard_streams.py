"""The null device stands in for a standard stream that is closed, and keeps its number from other files."""

from __future__ import annotations

import subprocess
import sys

import pytest

TRIAL = """
import os, subprocess, sys
from dispatch_mcp.process import standard_streams
standard_streams.complete()
others = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
names = ("stdin", "stdout", "stderr")
assert all(getattr(sys, name).fileno() == number for number, name in enumerate(names))
assert min(others) > 2, others
assert sys.stdin.read() == ""
print("printed")
print("told", file=sys.stderr)
child = "import sys; assert None not in (sys.stdin, sys.stdout, sys.stderr); print('by a child')"
subprocess.run([sys.executable, "-c", child], check=True)
sys.exit(100 + sum(1 << number for number, name in enumerate(names) if name in standard_streams.CLOSED))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes them")
@pytest.mark.parametrize(
    ("closing", "closed"),
    [("", 0), ("<&-", 1), (">&-", 2), ("2>&-", 4), ("<&- 2>&-", 5), (">&- 2>&-", 6), ("<&- >&- 2>&-", 7)],
)
def test_a_closed_stream_is_the_null_device_here_and_in_children(closing: str, closed: int) -> None:
    line = f'exec "$0" -c "$1" {closing}'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable, TRIAL], input="", capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 100 + closed, done.stderr
    assert done.stdout.split() == ([] if closed & 2 else ["printed", "by", "a", "child"])
    assert done.stderr.split() == ([] if closed & 4 else ["told"])
