"""A limit in a test only stops what hangs: it is long enough for a machine that is ten times slower than ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import source

TESTS = source.REPOSITORY / "tests"
LEAST_S = 120.0
"""Seconds. What has to end sooner is told by a value of the product, as in `fail_after(traces.MAX_WAIT_S - 5)`."""

BY_HAND = frozenset({"chaos/step_attacks.py", "architecture/test_time_limits.py"})
"""Programs that no test runs, and this one."""

EXEMPT = frozenset(
    {
        "mcp_server/test_stdio.py: 40",  # whoever waits for news waits for 45
        "registration/test_trial.py: 0.5",  # the patience of the product, which has to end
    }
)

LIMIT = re.compile(
    r"\bfail_after\((?P<a>\d[\d._]*)"
    r"|\b(?:timeout|within_s)=(?P<b>\d[\d._]*)"
    r"|\.(?:wait|join|close|line|communicate|timeout)\((?P<c>\d[\d._]*)\)"
    r"|\brun_sync\([^()]*, (?P<d>\d[\d._]*)\)"
    r"|\b\w*PATIENCE\w* = (?P<e>\d[\d._]*)"
)
"""The most that something may take, as a number: the limit of a block, an argument, a method's only one, a name."""


def short_limits(text: str) -> list[str]:
    """Returns the limits that a test module gives as numbers and that are too short; 0 is a look and no wait."""
    numbers = ["".join(filter(None, match.groups())) for match in LIMIT.finditer(text)]
    return [number for number in numbers if 0 < float(number) < LEAST_S]


def modules() -> dict[str, Path]:
    paths = {path.relative_to(TESTS).as_posix(): path for path in sorted(TESTS.rglob("*.py"))}
    return {name: path for name, path in paths.items() if name not in BY_HAND}


def test_no_test_fails_because_the_machine_is_slow() -> None:
    short = {f"{name}: {limit}" for name, path in modules().items() for limit in short_limits(path.read_text("utf-8"))}
    assert short == EXEMPT


@pytest.mark.parametrize(
    "text",
    [
        "with anyio.fail_after(5):\n    pass",
        "with anyio.move_on_after(1), fail_after(119.5):\n    pass",
        "subprocess.run(command, timeout=30)",
        "process.wait(10)",
        "thread.join(10)",
        "server.close(within_s=3)",
        "await anyio.to_thread.run_sync(event.wait, 5)",
        "PATIENCE_S = 20.0",
        "@pytest.mark.timeout(60)",
    ],
)
def test_a_short_limit_is_an_offence(text: str) -> None:
    assert len(short_limits(text)) == 1


@pytest.mark.parametrize(
    "text",
    ["fail_after(120)", "fail_after(traces.MAX_WAIT_S - 5)", "' '.join(words)", "process.wait()", "process.wait(0)"],
)
def test_a_long_one_and_what_is_none_pass(text: str) -> None:
    assert short_limits(text) == []
