"""Rounds of the council under attack, at CI size; DISPATCH_MCP_CHAOS=full kills at every commit of every outcome."""

from __future__ import annotations

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
SCRIPT = Path(__file__).parent / "round_kills.py"
CI_SIZE = ("--points", "before_commit", "after_commit", "--step", "12")


@pytest.mark.promise("R1")
@pytest.mark.parametrize("outcome", ["PASS", "BLOCK", "INCONCLUSIVE"])
def test_a_round_whose_process_dies_anywhere_never_reads_as_passed_and_ends_as_it_decides(outcome: str) -> None:
    found = chaos_attacks.attack(SCRIPT, "--outcomes", outcome, *(() if FULL else CI_SIZE), timeout_s=1500)
    assert found["killed"] >= (40 if FULL else 3)
