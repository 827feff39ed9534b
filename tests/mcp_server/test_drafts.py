"""Drafts as they are asked for: by a tool call and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import command_runs
import pytest

from dispatch_mcp.planning.drafts import patterns

AGENTS = Path(__file__).parents[2] / "agents"
RENAME = "Rename the field in the orders, billing and shipping services"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


def test_a_request_gets_a_pattern_with_confidence_and_a_skeleton(shell: command_runs.Shell) -> None:
    said = shell("plan", "--request", RENAME, "--json")
    draft = json.loads(said.out)
    assert said.code == 0
    assert draft["pattern"] in {pattern.name for pattern in patterns.PATTERNS}
    assert 0 < draft["pattern_confidence"] <= 1
    assert (draft["ok"], draft["draft"]) == (True, True)
    assert "plan_id" not in draft


def test_a_folder_of_agents_can_stand_in_for_the_roster(shell: command_runs.Shell) -> None:
    folder = str(AGENTS / "example-backend-lead")
    said = json.loads(shell("plan", "--request", "Fix bug trong budget tracking", "--roster", folder, "--json").out)
    assert list(said["specialists"]) == ["agentic-agent"]


def test_a_draft_comes_as_a_list_and_as_a_picture(shell: command_runs.Shell) -> None:
    said = json.loads(shell("plan", "--request", RENAME, "--json", "--todo", "--mermaid").out)
    assert {item["status"] for item in said["todo"]} == {"pending"}
    assert said["diagram"].startswith("flowchart LR")
    printed = shell("plan", "--request", RENAME, "--todo", "--mermaid").out
    assert "parallel-implementation" in printed
    assert "flowchart LR" in printed


def test_a_stored_plan_comes_as_a_list_and_as_a_picture(shell: command_runs.Shell, tmp_path: Path) -> None:
    document = tmp_path / "plan.json"
    document.write_text(json.dumps([{"id": "a", "do": "write it", "priority": "high"}]), encoding="utf-8")
    said = json.loads(shell("plan", str(document), "--json", "--todo", "--mermaid").out)
    assert said["todo"][0] == {"content": "a: write it", "status": "pending", "priority": "high"}
    assert "flowchart LR" in shell("plan", str(document), "--todo", "--mermaid").out


@pytest.mark.parametrize(
    "typed", [("--request", "  "), ("x.json", "--request", RENAME), ("x.json", "--roster", "backend")]
)
def test_a_request_that_cannot_be_meant_so_is_refused(shell: command_runs.Shell, typed: tuple[str, ...]) -> None:
    assert shell("plan", *typed).code == 2
