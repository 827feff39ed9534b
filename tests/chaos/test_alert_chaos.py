"""Alerts while servers are killed, at CI size; DISPATCH_MCP_CHAOS=full runs the whole."""

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
SCRIPT = Path(__file__).parent / "alert_kills.py"
attack = functools.partial(chaos_attacks.attack, SCRIPT, timeout_s=1500)


@pytest.mark.parametrize("company", [(), ("--alone",)], ids=["beside a second server", "alone"])
def test_each_end_of_a_run_is_told_once_although_servers_are_killed(company: tuple[str, ...]) -> None:
    report = attack("--kills", "100" if FULL else "2", *company)
    print(f"told after {report['delay_s']} s, {report['late']} late")  # noqa: T201  # the figures
    assert report["kills"] >= (100 if FULL else 2)
    assert report["alerts"] >= report["runs_ended"] > 0
    assert report["lost"] == report["unexpected"] == report["twice_for_one_run"] == report["changed_bodies"] == 0
    assert report["out_of_order"] == 0
    assert report["faults"] == []
