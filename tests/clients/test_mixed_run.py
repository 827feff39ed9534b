"""One run of every worker on a real repository, from a shell: it ends with merged commits and an exact bill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import claude_lab
import council_setup
import fake_provider
import pytest
from fake_provider import done, script

pytestmark = pytest.mark.anyio

DIGEST = "def total(items):\n    return sum(items)\n"
TESTS = "from shop import total\n\nassert total([1, 2]) == 3\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "README.md").write_text("# Shop\n")
    for argv in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Begin"]):
        git(folder, *argv)
    return folder


def git(folder: Path, *argv: str) -> str:
    done = subprocess.run(["git", *argv], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def document(repository: Path) -> dict[str, Any]:
    code = {"tool": "write_file", "input": {"path": "shop.py", "text": DIGEST}}
    look = {"tool": "Glob", "input": {"pattern": "**/*.py"}}
    tests = {"tool": "Write", "input": {"file_path": "{place}/check_shop.py", "content": TESTS}}
    return {
        "tasks": [
            {"id": "history", "do": "Say what there is", "command": ["git", "log", "--oneline"]},
            {"id": "idea", "do": "Think", "worker": "scripted", "inputs": {"script": {"result": "add them up"}}},
            {
                "id": "code",
                "do": f"Write total(). {script(code, done(files_modified=['shop.py']))}",
                "worker": "api",
                "model": "haiku",
                "deps": ["idea", "history"],
                "files": ["shop.py"],
                "acceptance": ["file:shop.py"],
            },
            {
                "id": "tests",
                "do": f"Test total(). {script(look, tests, done(files_modified=['check_shop.py']))}",
                "worker": "claude",
                "model": "sonnet",
                "deps": ["idea"],
                "files": ["check_shop.py"],
                "acceptance": ["file:check_shop.py", "diff"],
            },
            {"id": "tree", "do": "Say what is there now", "command": ["git", "ls-files"], "deps": ["code", "tests"]},
        ]
    }


def shell(env: dict[str, str], *argv: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "dispatch_mcp", *argv], env=env, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout)


async def test_a_mixed_run_ends_with_merged_commits_receipts_and_the_providers_own_bill(
    provider: fake_provider.Provider, tmp_path: Path, repository: Path
) -> None:
    env = {
        **claude_lab.variables(provider, tmp_path / "home"),
        "DISPATCH_MCP_HOME": str(tmp_path / "state"),
        "DISPATCH_MCP_WORKSPACE": str(repository),
        "DISPATCH_MCP_CLAUDE_PROGRAM": claude_lab.PROGRAM,
        "DISPATCH_MCP_PASS_ENV": json.dumps(sorted(claude_lab.QUIET)),
        "DISPATCH_MCP_TASK_TIMEOUT_S": "120",
    }
    provider.rules({"match": {"system": "You are the"}, "steps": [done(answer=council_setup.PASS)]})
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(document(repository)))
    ran = await anyio.to_thread.run_sync(shell, env, "run", str(plan), "--quiet")
    assert ran["status"] == "success", ran
    outcomes = traces(ran)
    assert {task: trace["task"]["worker"] for task, trace in outcomes.items()} == {
        "history": "command",
        "idea": "scripted",
        "code": "api",
        "tests": "claude",
        "tree": "command",
    }
    for task in ("code", "tests"):
        assert outcomes[task]["task"]["state"] == "succeeded"  # proven, not claimed
        assert any(receipt["ok"] and receipt["criterion"] for receipt in outcomes[task]["outcome"]["receipts"])
    assert "shop.py" in json.dumps(outcomes["tree"]["outcome"]["output"])
    summary = shell(env, "trace", "latest", "--view", "summary", "--json")
    council = {task["id"]: task["state"] for task in summary["tasks"] if task["id"].partition(".")[0] == "council"}
    assert list(council.values()) == ["succeeded"] * 4, council
    bill = summary["spend"]["cost_usd"]
    assert bill == pytest.approx(provider.booked(), abs=1e-6)
    assert bill > 0
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "log", "--format=%s") == "Begin"
    offer = shell(env, "apply", "latest", "--json")
    shell(env, "apply", "latest", "--expect", offer["revision"], "--json")
    assert (repository / "shop.py").read_text() == DIGEST
    assert (repository / "check_shop.py").read_text() == TESTS
    assert git(repository, "status", "--porcelain") == ""
    assert git(repository, "fsck", "--no-progress") == ""
    await anyio.run_process([sys.executable, "check_shop.py"], cwd=repository)


def traces(ran: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the trace file of each task."""
    found = [json.loads(Path(result["trace_file"]).read_text()) for result in ran["results"]]
    return {trace["task"]["id"]: trace for trace in found}
