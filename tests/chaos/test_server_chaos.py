"""The server under attack, at CI size; DISPATCH_MCP_CHAOS=full runs the whole."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import chaos_attacks
import pytest

pytestmark = [
    pytest.mark.slice(3, table="servers that are killed"),
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
]

FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"
SCRIPT = Path(__file__).parent / "server_kills.py"
attack = functools.partial(chaos_attacks.attack, SCRIPT, timeout_s=1500)


@pytest.mark.promise("R1")
def test_a_server_that_is_killed_again_and_again_loses_and_repeats_nothing() -> None:
    found = attack("--kills", "100" if FULL else "5")
    assert found["kills"] >= (100 if FULL else 5)
    assert found["acknowledged"] > 0, "each died before it had begun anything"
    assert found["lost"] == found["duplicated"] == found["unexpected"] == found["marks_missing"] == 0
    assert found["faults"] == []


@pytest.mark.promise("R1")
def test_a_second_server_takes_over_the_run_of_a_killed_one() -> None:
    found = attack("--takeover")
    print(f"taken over after {found['takeover_s']} s")  # noqa: T201  # the figure
    assert found["state"] == "succeeded"
    assert found["adoptions"] == 2
    assert found["takeover_s"] < 5.0, "it looks twice a second; the rest is the machine's"
