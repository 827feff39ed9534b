"""One run of all of the server's workers on a real repository, from the document to the user's branch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import claude_double
import command_runs
import fake_provider
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are supervised on POSIX only")

MODEL = "haiku"
COMMAND = ["python", "-S", "-c", "open('list.txt', 'a').write('from the command\\n')"]
CHECK = ["python", "-S", "-c", "print(sorted(open('list.txt').read().split()), open('new.txt').read())"]


def git(at: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    at = tmp_path / "repo"
    at.mkdir()
    git(at, "init", "-q", "-b", "main")
    (at / "list.txt").write_text("first\n" + "filler\n" * 8)
    git(at, "add", "-A")
    git(at, "commit", "-q", "-m", "First")
    return at


def tasks() -> list[dict[str, Any]]:
    """An agent over the API, Claude Code and a command change the repository at once; two look at what came of it."""
    edit = {"tool": "edit_file", "input": {"path": "list.txt", "old": "first", "new": "first, from the API"}}
    read = {"tool": "read_file", "input": {"path": "list.txt"}}
    writers = ["agent", "claude", "command"]
    agent, own = {"worker": "api", "model": MODEL}, {"isolation": "worktree"}
    return [
        {"id": "agent", "do": fake_provider.script(edit, fake_provider.done()), "files": ["list.txt"], **agent, **own},
        {"id": "claude", "do": "Write the new file", "files": ["new.txt"], "worker": "claude"},
        {"id": "command", "do": "Add a line", "files": ["list.txt"], "command": COMMAND, **own},
        {"id": "review", "do": fake_provider.script(read, fake_provider.done()), "deps": writers, **agent},
        {"id": "check", "do": "Look", "deps": writers, "command": CHECK},
    ]


@pytest.mark.promise("S8")
def test_all_workers_change_one_repository_and_the_user_takes_over_their_merged_commits(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claude = claude_double.Double(tmp_path / "bin")
    claude.plays({"files": {"new.txt": "from claude\n"}, "rows": [claude_double.result()]})
    shell = command_runs.shell(monkeypatch, capsys)
    with fake_provider.opened() as fake:
        for name, value in fake.env(DISPATCH_MCP_REVIEWS="none").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", f"{claude.folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(repo))
        monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([COMMAND, CHECK]))
        document = command_runs.written(tmp_path, tasks())
        said = shell("run", document, "--quiet")
        assert said.code == 0, said.out + said.err
        run_id = said.json["correlation_id"]
        requests, booked = fake.requests(), fake.booked()
    seen = json.dumps([entry["body"] for entry in requests if "from the command" in json.dumps(entry["body"])])
    assert "first, from the API" in seen, "the reviewer reads what all three have merged"
    trace = shell("status", run_id, "--json").json
    assert trace["spend"]["cost_usd"] == pytest.approx(booked + 0.25)
    results = {one["task_id"]: one for one in shell("trace", run_id, "--view", "results", "--json").json["results"]}
    merged = [
        receipt["detail"] for one in results.values() for receipt in one["receipts"] if receipt["kind"] == "merge"
    ]
    assert len([detail for detail in merged if detail.startswith("merged as")]) == 3
    assert "from the command" not in (repo / "list.txt").read_text()
    revision = shell("apply", run_id, "--json").json["revision"]
    assert shell("apply", run_id, "--expect", revision).code == 0
    text = (repo / "list.txt").read_text()
    assert text.startswith("first, from the API\n")
    assert text.endswith("from the command\n")
    assert (repo / "new.txt").read_text() == "from claude\n"
    named = git(repo, "log", "--no-merges", "--format=%(trailers:key=Dispatch-Task,valueonly)", "HEAD").split()
    assert sorted(named) == ["agent", "claude", "command"]
    assert git(repo, "status", "--porcelain") == ""
    assert git(repo, "worktree", "list").count("\n") == 0
    assert git(repo, "fsck", "--no-dangling") == ""
