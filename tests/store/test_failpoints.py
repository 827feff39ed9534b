"""The places at which tests may stop a process: none of them does anything unless a process was started for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dispatch_mcp.store import failpoints

HIT_TWICE = (
    "from dispatch_mcp.store import failpoints\nfor _ in range(2): failpoints.hit('before_commit')\nprint('done')"
)


def run(failpoint: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DISPATCH_MCP_FAILPOINT": failpoint}
    return subprocess.run([sys.executable, "-c", HIT_TWICE], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", failpoints.NAMES)
def test_a_place_does_nothing_in_an_ordinary_process(name: str) -> None:
    failpoints.hit(name)


@pytest.mark.parametrize("failpoint", ["", "after_commit:kill", "before_commit:raise:3"])
def test_another_place_or_a_later_time_does_not_stop_a_process(failpoint: str) -> None:
    assert run(failpoint).stdout.strip() == "done"


@pytest.mark.parametrize("failpoint", ["before_commit:raise", "before_commit:raise:2", "before_commit:nonsense"])
def test_a_process_meets_an_error_at_its_place(failpoint: str) -> None:
    ended = run(failpoint)
    assert "failpoint before_commit" in ended.stderr
    assert ended.returncode == 1


def test_a_process_is_killed_at_its_place() -> None:
    ended = run("before_commit:kill")
    assert ended.returncode != 0
    assert ended.stdout == ended.stderr == ""
