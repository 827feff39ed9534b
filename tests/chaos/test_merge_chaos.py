"""Merging under attack, at CI size; DISPATCH_MCP_CHAOS=full runs the whole."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
    pytest.mark.skipif(shutil.which("git") is None, reason="there is no git"),
]

FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"
SCRIPT = Path(__file__).parent / "merge_kills.py"
NEVER = ("lost", "merged_twice", "accepted_twice", "paid_twice", "unfinished", "worktrees", "locks", "survivors")


def attack(*arguments: str) -> dict[str, Any]:
    """Runs the program and returns its report; a bad one fails with all of it."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json", *arguments], capture_output=True, text=True, check=False, timeout=2900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.promise("R2")
def test_a_server_killed_at_its_git_commands_loses_no_change_and_merges_none_twice() -> None:
    kills = 120 if FULL else 20
    found = attack("--kills", str(kills), "--each", "10")
    assert found["kills"] >= kills
    assert {name: found[name] for name in NEVER} == dict.fromkeys(NEVER, 0)
    assert found["faults"] == []


@pytest.mark.promise("R2")
def test_a_mixed_run_killed_at_random_pays_for_no_finished_task_again_and_leaves_the_repository_whole() -> None:
    kills = 100 if FULL else 8
    found = attack("--kills", str(kills), "--mixed")
    assert found["kills"] >= kills
    assert {name: found[name] for name in NEVER} == dict.fromkeys(NEVER, 0)
    assert found["faults"] == []
