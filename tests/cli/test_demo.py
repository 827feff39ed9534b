from __future__ import annotations

import json
import subprocess
from pathlib import Path

import command_runs
import memory_client


def test_the_demo_keeps_what_was_finished_before_the_kill(tmp_path: Path) -> None:
    repo = memory_client.repository(tmp_path / "shop")
    before = subprocess.run(["git", "status", "--porcelain"], cwd=repo, capture_output=True, text=True, check=True)
    with command_runs.own_process("demo", "--quick", "--json", "--repo", str(repo), cwd=tmp_path) as demo:
        out, err = demo.communicate(timeout=100)
    assert demo.returncode == 0, err
    facts = json.loads(out)
    assert facts["state"] == "succeeded"
    assert facts["kept"]
    assert set(facts["kept"]).isdisjoint(facts["begun_again"])
    after = subprocess.run(["git", "status", "--porcelain"], cwd=repo, capture_output=True, text=True, check=True)
    assert (before.stdout, after.stdout) == ("", "")
