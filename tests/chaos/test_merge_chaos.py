"""Merging under attack, at CI size; DISPATCH_MCP_CHAOS=full runs the whole."""

from __future__ import annotations

import functools
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

FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"
SCRIPT = Path(__file__).parent / "merge_kills.py"
attack = functools.partial(chaos_attacks.attack, SCRIPT, timeout_s=2900)
NEVER = ("lost", "merged_twice", "accepted_twice", "paid_twice", "unfinished", "worktrees", "locks", "survivors")


@pytest.mark.promise("R2")
def test_a_server_killed_at_its_git_commands_loses_no_change_and_merges_none_twice() -> None:
    kills = 120 if FULL else 5
    found = attack("--kills", str(kills), "--each", "10")
    assert found["kills"] >= kills
    assert {name: found[name] for name in NEVER} == dict.fromkeys(NEVER, 0)
    assert found["faults"] == []


@pytest.mark.promise("R2")
def test_a_mixed_run_killed_at_random_pays_for_no_finished_task_again_and_leaves_the_repository_whole() -> None:
    kills = 100 if FULL else 4
    found = attack("--kills", str(kills), "--mixed")
    assert found["kills"] >= kills
    assert {name: found[name] for name in NEVER} == dict.fromkeys(NEVER, 0)
    assert found["faults"] == []
