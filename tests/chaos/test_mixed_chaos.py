"""Mixed runs under attack, at CI size; DISPATCH_MCP_CHAOS=full runs the whole."""

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
KILLS, LIFE_S = (100, 4.0) if FULL else (4, 1.5)
SCRIPT = Path(__file__).parent / "mixed_kills.py"


@pytest.mark.promise("R1")
@pytest.mark.promise("R10")
def test_work_that_costs_money_is_lost_never_paid_twice_never_and_nobody_survives() -> None:
    found = chaos_attacks.attack(SCRIPT, "--kills", str(KILLS), "--life", str(LIFE_S), timeout_s=1700)
    assert found["kills"] >= KILLS
    bad = ("lost", "unexpected", "duplicated", "paid_twice", "survivors", "unfinished")
    assert [word for word in bad if found[word]] == []
    assert found["repository"] == found["faults"] == []
