"""A repository whose configuration, hooks and attributes name programs, under everything that a person may call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import command_runs
import hostile_repository
import memory_client
import pytest

from dispatch_mcp.cli import arguments
from dispatch_mcp.process import allowlist

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are supervised on POSIX only")

READING = [
    *(
        "git status",
        "git status --short -uall",
        "git diff --stat",
        "git diff --numstat HEAD",
        "git diff --cached --stat",
    ),
    *("git ls-files -m", "git ls-files -d -o", "git log --stat -n 3", "git shortlog -s HEAD", "git grep -n line"),
    *("git describe --always", "git rev-list --count HEAD", "git rev-parse HEAD", "git count-objects -v"),
]
WRITERS = {
    "first": ["sh", "-c", "sed -i s/^line.2$/two/ src/many.txt"],
    "last": ["sh", "-c", "sed -i s/^line.39$/most/ src/many.txt"],
    "code": ["sh", "-c", "echo 'x = 1' > new.py"],
}


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> hostile_repository.Hostile:
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(tmp_path / "hostile" / "repo"))
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([["sh", "-c", "**"]]))
    return hostile_repository.Hostile(tmp_path / "hostile")


def plan() -> list[dict[str, Any]]:
    looks: list[dict[str, Any]] = [
        {"id": f"look{at}", "do": "Look", "command": line.split()} for at, line in enumerate(READING)
    ]
    proof = ["src/many.txt changed", "`git status --short` exits 0"]
    work: list[dict[str, Any]] = [
        {
            "id": name,
            "do": f"Write {name}",
            "command": argv,
            "isolation": "worktree",
            "acceptance": proof[name == "code" :],
            "files": ["new.py" if name == "code" else "src/many.txt"],
        }
        for name, argv in WRITERS.items()
    ]
    return [*looks, *work]


def test_such_a_repository_runs_programs_under_plain_git(hostile: hostile_repository.Hostile) -> None:
    for argv in (["status"], ["diff", "HEAD~1", "HEAD"], ["update-ref", "refs/heads/new", "HEAD"]):
        subprocess.run(["git", *argv], cwd=hostile.repo, check=False, capture_output=True)
    kinds = {name.split(".")[0].split("_")[0] for name in hostile.left()}
    assert {"core", "filter", "included", "hook"} <= kinds, hostile.left()


def test_every_reading_command_of_the_default_list_is_tried_on_it() -> None:
    assert {line.split()[1] for line in READING} == {rule.tokens[1] for rule in allowlist.READ_ONLY}


@pytest.mark.promise("S5")
@pytest.mark.promise("S19")
@pytest.mark.slice(2, table="hostile repositories")
def test_no_command_starts_a_program_that_the_repository_names(
    tmp_path: Path,
    hostile: hostile_repository.Hostile,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shell = command_runs.shell(monkeypatch, capsys)
    document = command_runs.written(tmp_path, plan())
    asked: list[str] = []

    def typed(*words: str) -> command_runs.Said:
        hostile.stir()
        answer = shell(*words)
        asked.append(words[0])
        assert hostile.left() == [], f"after {words}: {answer.err[-2000:]}"
        return answer

    for words in (
        ("doctor",),
        ("where",),
        ("token",),
        ("config",),
        ("install", "--dry-run"),
        ("uninstall", "--dry-run"),
        ("completion", "bash"),
        ("notify",),
        ("agents", "list"),
        ("route", "Fix the total in app.py"),
        ("context", "Fix the total in app.py"),
        ("plan", document),
        ("plan", "--request", "Fix the total in app.py"),
        ("review", "--choose"),
        ("review", "HEAD~1..HEAD", "--choose"),
        ("review", "--worker", "scripted"),
    ):
        typed(*words)
    answer = typed("run", document, "--quiet")
    results = {result["task_id"]: result for result in answer.json["results"]}
    assert {name: results[name]["status"] for name in WRITERS} == dict.fromkeys(WRITERS, "success")
    run_id = answer.json["correlation_id"]
    for words in (
        ("status", run_id),
        ("watch", run_id),
        ("trace", run_id),
        ("limit", run_id, "dollars=8"),
        ("approve", run_id),
        ("waive", run_id, "f1", "--reason", "x"),
        ("steer", "retry", run_id, "look0"),
        ("worker", "--idle", "0.1", "--quiet"),
    ):
        typed(*words)
    revision = typed("apply", run_id, "--json").json["revision"]
    refused = typed("apply", run_id, "--expect", revision)
    assert "`trusted_repositories`" in refused.err, refused
    typed("worktrees", "list")
    typed("worktrees", "prune")
    typed("prune", "--older", "0d")
    assert set(asked) == set(arguments.COMMANDS) - {"serve", "demo", "hook", "statusline"}


@pytest.mark.promise("S5")
@pytest.mark.promise("S19")
@pytest.mark.anyio
@pytest.mark.slice(2, table="hostile repositories")
async def test_no_tool_starts_a_program_that_the_repository_names(
    tmp_path: Path, hostile: hostile_repository.Hostile
) -> None:
    chosen = memory_client.settings(tmp_path / "state", hostile.repo)
    chosen = chosen.model_copy(update={"allow_commands": (("sh", "-c", "**"),)})
    async with memory_client.desk(memory_client.make_server(chosen)) as desk:
        await desk.call("route_task", task="Fix the total in app.py")
        host = {"id": "host", "do": "Fix the total in app.py", "files": ["app.py"], "acceptance": ["app.py changed"]}
        for worker, tasks in (("host", [host]), ("command", plan())):
            hostile.stir()
            plan_id = await desk.planned(*tasks, on_conflict="worktree")
            run_id = (await desk.call("dispatch", plan_id=plan_id, worker=worker))["run_id"]
            if worker == "host":
                (hostile.repo / "app.py").write_text("total = sum\n")
                hostile.stir()
                result = {"task_id": "host", "attempt": 1, "text": "Fixed the total."}
                await desk.call("report", run_id=run_id, results=[result])
            else:
                with anyio.fail_after(120):
                    await desk.finished(run_id)
            await desk.call("message_agents", run_id=run_id)
            await desk.call("get_trace", run_id=run_id, view="all")
            assert hostile.left() == [], worker
        hostile.stir()
        await desk.call("review_council", dry_run=True)
        await desk.call("review_council")
        review = await desk.call("review_council", range="HEAD~1..HEAD")
        await desk.call("steer_run", run_id=review["run_id"], action="cancel")
    assert hostile.left() == []
