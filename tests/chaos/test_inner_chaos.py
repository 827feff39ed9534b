"""Submodules and ignored files under attack, at CI size; DISPATCH_MCP_CHAOS=full runs the whole."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import chaos_attacks
import pytest

pytestmark = [
    pytest.mark.slice(3, table="servers that are killed"),
    pytest.mark.long,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
    pytest.mark.skipif(shutil.which("git") is None, reason="there is no git"),
]

KILLS = 100 if os.environ.get("DISPATCH_MCP_CHAOS") == "full" else 3
SCRIPT = Path(__file__).parent / "inner_kills.py"


@pytest.mark.promise("R2")
def test_kills_lose_nothing_of_the_users_in_submodules_or_ignored_files_and_nothing_that_was_done_inside() -> None:
    found = chaos_attacks.attack(SCRIPT, "--kills", str(KILLS), timeout_s=2900)
    assert found["kills"] >= KILLS
    never = ("lost_of_user", "lost_inside", "unnamed", "dangling_links", "unmerged", "disorder", "false_success")
    assert {name: found[name] for name in never} == dict.fromkeys(never, 0)
    assert found["faults"] == []
