"""A round of the council with the real Claude Code as the host, on the fake provider."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import claude_lab
import fake_provider
import memory_client
import pytest
from fake_provider import script
from test_claude_as_host import call, results

pytestmark = pytest.mark.anyio

QUOTE = "return db.execute(f\"SELECT id FROM users WHERE name = '{name}'\")"


def said(task_id: str, verdict: str, *findings: dict[str, Any]) -> dict[str, Any]:
    answer = json.dumps({"verdict": verdict, "files": ["db.py", "app.py"], "findings": list(findings)})
    return {"task_id": task_id, "attempt": 1, "text": f"I looked.\n```json\n{answer}\n```"}


async def test_a_session_reviews_and_is_told_to_stop(provider: fake_provider.Provider, tmp_path: Path) -> None:
    workspace = memory_client.repository(tmp_path / "workspace")
    (workspace / "db.py").write_text(f"def find(db, name):\n    {QUOTE}\n", encoding="utf-8")
    env = claude_lab.variables(provider, tmp_path / "home")
    server = {
        "type": "stdio",
        "command": sys.executable,
        "args": ["-m", "dispatch_mcp", "serve"],
        "env": {"DISPATCH_MCP_HOME": str(tmp_path / "state")},
        "alwaysLoad": True,
    }
    finding = {
        "severity": "critical",
        "file": "db.py",
        "line": 2,
        "quote": QUOTE,
        "claim": "injection",
        "evidence": "'",
    }
    answers = [
        said("architecture-strategist", "PASS"),
        said("security-sentinel", "FAIL", finding),
        said("test-coverage-auditor", "PASS"),
    ]
    steps = [call("review_council"), call("report", run_id="latest", results=answers), {"text": "{last}"}]
    with anyio.fail_after(120):
        host = await claude_lab.session(env, workspace, server, f"Review it. {script(*steps)}")
    assert host.exit_code == 0, host.stderr
    started, reported = results(provider)[-2:]
    assert [one["task_id"] for one in started["assignments"]] == [one["task_id"] for one in answers]
    assert reported["decision"]["outcome"] == "BLOCK"
    assert reported["decision"]["findings"][0]["place"] == "db.py:2"
