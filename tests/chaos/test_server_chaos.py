"""The server under attack, at CI size; DISPATCH_MCP_CHAOS=full runs the whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
]

FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"
SCRIPT = Path(__file__).parent / "server_kills.py"


def attack(*arguments: str) -> dict[str, Any]:
    """Runs the program and returns its report; a bad one fails with all of it."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json", *arguments], capture_output=True, text=True, check=False, timeout=1500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.promise("R1")
def test_a_server_that_is_killed_again_and_again_loses_and_repeats_nothing() -> None:
    found = attack("--kills", "100" if FULL else "12")
    assert found["kills"] >= (100 if FULL else 12)
    assert found["lost"] == found["duplicated"] == found["unexpected"] == found["marks_missing"] == 0
    assert found["faults"] == []


@pytest.mark.promise("R1")
def test_a_second_server_takes_over_the_run_of_a_killed_one() -> None:
    found = attack("--takeover")
    print(f"taken over after {found['takeover_s']} s")  # noqa: T201  # the figure
    assert found["state"] == "succeeded"
    assert found["adoptions"] == 2
    assert found["takeover_s"] < 5.0, "it looks twice a second; the rest is the machine's"
