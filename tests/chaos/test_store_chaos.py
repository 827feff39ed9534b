"""The store under attack, at CI size; DISPATCH_MCP_CHAOS=full runs the whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import chaos_attacks
import pytest

pytestmark = [
    pytest.mark.slice(2, table="stores that are killed"),
    pytest.mark.long,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked"),
]

FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"


def sized(ci: int, full: int) -> str:
    return str(full if FULL else ci)


def attack(script: str, *arguments: str) -> dict[str, Any]:
    """Runs a program of this folder and returns its report."""
    return chaos_attacks.attack(Path(__file__).parent / script, *arguments, timeout_s=1500)


@pytest.mark.promise("R1")
def test_nothing_acknowledged_is_lost_when_processes_are_killed_at_random() -> None:
    found = attack("store_kills.py", "--kills", sized(30, 1000), "--tasks", sized(300, 10_000))
    assert found["kills"] >= int(sized(30, 1000))
    assert found["tasks"] >= int(sized(300, 10_000))
    assert found["lost"] == found["duplicated"] == found["unexpected"] == 0


@pytest.mark.promise("R2")
def test_a_crash_or_an_error_at_any_named_place_leaves_a_store_to_go_on_from() -> None:
    found = attack("store_failpoints.py", "--seeds", sized(1, 3))
    assert found["not_reached"] == []
    assert found["faults"] == []


@pytest.mark.promise("R3")
def test_what_a_process_reports_after_its_lease_was_over_is_not_accepted() -> None:
    found = attack("store_pauses.py", "--pauses", sized(20, 200), "--zombies", sized(10, 100))
    assert found["fenced"] >= int(sized(10, 100))
    assert found["duplicated"] == 0


@pytest.mark.promise("R4")
@pytest.mark.parametrize("processes", [8, 16] if FULL else [8])
def test_a_crowd_of_processes_never_meets_a_locked_store(processes: int) -> None:
    found = attack("store_crowd.py", "--processes", str(processes), "--tasks", sized(400, 5000))
    assert found["busy"] == found["failed_processes"] == found["duplicated"] == 0
    assert found["ok"] >= int(sized(400, 5000))


def test_a_store_is_made_once_however_many_make_it_and_die_of_it() -> None:
    found = attack("store_births.py", "--rounds", sized(4, 50))
    assert found["refused"] == 0
