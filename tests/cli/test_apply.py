"""From a task document to the user's branch on the command line: run, apply, tidy up."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import anyio
import command_runs
import fake_provider
import pytest
import temp_repository
from temp_repository import git

from dispatch_mcp.model import records
from dispatch_mcp.store import sqlite_store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are supervised on POSIX only")

EDIT = "open('list.txt', 'a').write('second\\n')"
COMMAND = ["python", "-S", "-c", EDIT]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return temp_repository.listed(tmp_path / "repo", monkeypatch, COMMAND)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.fixture
def run_id(shell: command_runs.Shell, repo: Path, tmp_path: Path) -> str:
    task = {"id": "add", "do": "Add a line", "files": ["list.txt"], "isolation": "worktree", "command": COMMAND}
    said = shell("run", command_runs.written(tmp_path, [task]), "--quiet")
    assert said.code == 0, said.out + said.err
    return str(said.json["correlation_id"])


def test_a_run_is_looked_at_then_applied_then_tidied_up(shell: command_runs.Shell, repo: Path, run_id: str) -> None:
    assert (repo / "list.txt").read_text() == "first\n"
    assert f"`dispatch-mcp apply {run_id}`" in shell("status", run_id, "--json").json["next"]
    said = shell("apply", "latest")
    assert said.code == 0
    assert "Would apply 1 commit" in said.out
    offer = shell("apply", run_id, "--json").json
    assert (offer["files"], offer["way"], offer["run_state"]) == (["list.txt"], "forward", "succeeded")
    assert (repo / "list.txt").read_text() == "first\n"
    said = shell("apply", run_id, "--expect", offer["revision"][:12])
    assert said.code == 0, said.err
    assert (repo / "list.txt").read_text() == "first\nsecond\n"
    assert git(repo, "rev-parse", "HEAD") == offer["revision"]
    assert "already has everything" in shell("apply", run_id).out
    assert "unless it is there by now" in shell("status", run_id, "--json").json["next"]
    work = shell("worktrees", "--json").json["works"][0]
    assert (work["run"], work["applied"]) == (run_id, True)
    assert shell("worktrees", "prune").code == 0
    assert git(repo, "for-each-ref", "refs/dispatch") == ""
    assert "No run has left anything" in shell("worktrees").out


def test_an_assistant_may_look_and_not_apply(
    shell: command_runs.Shell, repo: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDECODE", "1")
    revision = shell("apply", run_id, "--json").json["revision"]
    said = shell("apply", run_id, "--expect", revision)
    assert said.code == 1
    assert "a person has to decide" in said.err
    assert (repo / "list.txt").read_text() == "first\n"


def test_another_revision_and_local_changes_are_refused_with_what_to_do(
    shell: command_runs.Shell, repo: Path, run_id: str
) -> None:
    assert shell("apply", run_id, "--expect", "0000000").code == 2
    (repo / "list.txt").write_text("mine\n")
    said = shell("apply", run_id)
    assert "Uncommitted changes would be written over in `list.txt`" in said.out
    revision = shell("apply", run_id, "--json").json["revision"]
    said = shell("apply", run_id, "--expect", revision)
    assert said.code == 1
    assert "Commit these files" in said.err
    assert (repo / "list.txt").read_text() == "mine\n"


def test_a_file_that_git_ignores_is_refused_by_the_look_and_by_applying_and_stays(
    shell: command_runs.Shell, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ["python", "-S", "-c", "import os; os.mkdir('local'); open('local/settings.json', 'w').write('theirs')"]
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([write]))
    (repo / ".gitignore").write_text("local/\n")
    git(repo, "add", ".gitignore")
    git(repo, "commit", "-q", "-m", "Ignore")
    (repo / "local").mkdir()
    (repo / "local" / "settings.json").write_text("mine")
    files = ["local/settings.json"]
    task = {"id": "t", "do": "Write the settings", "files": files, "isolation": "worktree", "command": write}
    assert shell("run", command_runs.written(tmp_path, [task]), "--quiet").code == 0
    preview = shell("apply", "latest")
    assert "would be written over in `local/settings.json`" in preview.out
    assert "Do it:" not in preview.out
    offer = shell("apply", "latest", "--json").json
    answer = shell("apply", "latest", "--expect", offer["revision"])
    assert (answer.code, "`local/settings.json`" in answer.err) == (1, True)
    assert (repo / "local" / "settings.json").read_text() == "mine"


def test_a_run_that_merged_nothing_says_so(shell: command_runs.Shell, repo: Path, tmp_path: Path) -> None:
    task = {"id": "look", "do": "Look", "command": ["git", "log", "--oneline"]}
    assert shell("run", command_runs.written(tmp_path, [task]), "--quiet").code == 0
    said = shell("apply", "latest")
    assert said.code == 2
    assert "merged nothing" in said.err


def test_doctor_names_worktrees_that_were_left_behind(shell: command_runs.Shell, repo: Path, own_home: Path) -> None:
    assert not [fact for fact in shell("doctor", "--json").json if fact["what"] == "worktrees"]
    left = own_home / "state" / "worktrees" / ("f" * 32) / "task.1"
    left.mkdir(parents=True)
    found = [fact for fact in shell("doctor", "--json").json if fact["what"] == "worktrees"]
    assert found[0]["mark"] == "!"
    assert str(left) in found[0]["detail"]
    assert shell("worktrees", "--json").json["trees"][0]["left"]


def test_doctor_says_which_git_there_is_and_when_it_is_too_old(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {fact["what"]: fact for fact in shell("doctor", "--json").json}
    assert facts["git"]["mark"] == "✓"
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho git version 2.30.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(old.parent), prepend=":")
    facts = {fact["what"]: fact for fact in shell("doctor", "--json").json}
    assert facts["git"]["mark"] == "!"
    assert "git 2.30 is too old to merge without a checkout" in facts["git"]["detail"]
    assert "2.38 or newer" in facts["git"]["fix"]


def test_what_a_person_takes_over_speaks_for_the_agent_that_did_it(
    shell: command_runs.Shell,
    repo: Path,
    tmp_path: Path,
    provider: fake_provider.Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def lessons() -> list[tuple[str, str, float]]:
        async with sqlite_store.open_store(Path(os.environ["DISPATCH_MCP_HOME"])) as store:
            return [(one.agent, one.outcome, one.weight) for one in await store.learned(records.LOCAL)]

    for name, value in provider.env(DISPATCH_MCP_REVIEWS="none").items():
        monkeypatch.setenv(name, value)
    edit = {"tool": "edit_file", "input": {"path": "list.txt", "old": "first", "new": "second"}}
    goal = fake_provider.script(edit, fake_provider.done())
    task = {"id": "t", "do": goal, "files": ["list.txt"], "worker": "api", "model": "haiku", "agent": "eng-qa"}
    said = shell("run", command_runs.written(tmp_path, [task]), "--quiet")
    assert (said.code, said.json["proof"]) == (0, "0 of 1 proven")
    assert anyio.run(lessons) == []
    run_id = said.json["correlation_id"]
    revision = shell("apply", run_id, "--json").json["revision"]
    assert anyio.run(lessons) == []
    assert shell("apply", run_id, "--expect", revision).code == 0
    assert (repo / "list.txt").read_text() == "second\n"
    assert anyio.run(lessons) == [("eng-qa", "accepted", 1.0)]


LOSSES = {
    "reverts": ("checkout", "-q", "--", "list.txt"),
    "stashes": ("stash", "-q", "-u"),
    "cleans": ("clean", "-fdq"),
}


@pytest.mark.parametrize("arguments", LOSSES.values(), ids=LOSSES.keys())
def test_uncommitted_work_that_a_worker_takes_away_is_told_of_and_comes_back_by_the_command_that_is_named(
    shell: command_runs.Shell,
    repo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    mine = {"list.txt": "first\nmine\n", "new/notes.txt": "mine\n"}
    (repo / "new").mkdir()
    for path, text in mine.items():
        (repo / path).write_text(text)
    argv = [
        "python",
        "-S",
        "-c",
        f"import subprocess; subprocess.run({['git', '-C', str(repo), *arguments]!r}, check=True); {EDIT}",
    ]
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([["python", "-S", "-c", "*"]]))
    task = {"id": "add", "do": "Add a line", "files": ["list.txt"], "isolation": "worktree", "command": argv}
    run = shell("run", command_runs.written(tmp_path, [task]))
    [loss] = run.json["losses"]
    assert "Uncommitted work is gone from the checkout" in " ".join(run.err.split())
    [told] = shell("status", "latest", "--json").json["losses"]
    assert told == loss
    command = loss.partition("`git restore")[2].partition("`")[0]
    git(repo, "restore", *command.split())
    assert {path: (repo / path).read_text() for path in mine} == mine


def test_nothing_is_kept_and_told_where_all_uncommitted_work_is_there_still(
    shell: command_runs.Shell, repo: Path, tmp_path: Path
) -> None:
    (repo / "list.txt").write_text("first\nmine\n")
    task = {"id": "add", "do": "Add a line", "files": ["list.txt"], "isolation": "worktree", "command": COMMAND}
    run = shell("run", command_runs.written(tmp_path, [task]))
    assert "losses" not in run.json
    assert "/before/" not in git(repo, "for-each-ref", "refs/dispatch")


def test_a_look_says_when_nothing_can_be_applied_and_exits_with_1(
    shell: command_runs.Shell, repo: Path, run_id: str
) -> None:
    git(repo, "switch", "-q", "--detach")
    detached = shell("apply", run_id)
    git(repo, "switch", "-q", "main")
    (repo / "list.txt").write_text("first\nmine\n")
    dirty = shell("apply", run_id)
    for said in (detached, dirty):
        assert said.code == 1
        assert "Cannot apply 1 commit" in said.out
        assert "moves on" not in said.out
    assert "on no branch" in detached.out
    assert "Uncommitted changes would be written over" in dirty.out


def test_a_run_that_has_merged_nothing_is_not_called_applied(
    shell: command_runs.Shell, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ["python", "-S", "-c", "raise SystemExit(3)"]
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([argv]))
    task = {"id": "add", "do": "Add", "files": ["list.txt"], "isolation": "worktree", "command": argv, "attempts": 1}
    run = shell("run", command_runs.written(tmp_path, [task]), "--quiet")
    said = shell("apply", run.json["correlation_id"])
    assert said.code == 1
    assert "has merged nothing: there is nothing to apply" in " ".join(said.out.split())


def test_in_a_repository_without_a_commit_the_way_out_is_to_make_one(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q", "new")
    monkeypatch.chdir(tmp_path / "new")
    task = {"id": "look", "do": "Look", "command": ["git", "status", "--short"]}
    assert shell("run", command_runs.written(tmp_path, [task]), "--quiet").code == 0
    answer = shell("apply", "latest")
    assert answer.code == 2
    assert answer.err.splitlines() == [
        "dispatch-mcp: Nothing can be applied: the repository has no commit yet.",
        "  Make a first one.",
    ]


def test_of_a_run_that_has_merged_nothing_no_revision_is_called_applied(
    shell: command_runs.Shell, repo: Path, tmp_path: Path
) -> None:
    work = {"files": ["list.txt"], "isolation": "worktree", "command": COMMAND, "acceptance": ["diff:other.txt"]}
    task = {"id": "add", "do": "Add a line", **work}
    ended = shell("run", command_runs.written(tmp_path, [task]), "--quiet")
    assert ended.code == 1, ended.out
    [remains] = shell("worktrees", "--json").json["works"]
    assert remains["empty"] is True
    [line] = [line for line in shell("worktrees").out.splitlines() if line.startswith(ended.json["correlation_id"])][
        -1:
    ]
    assert "nothing" in line
    assert remains["merged"][:12] not in line
    assert str(repo) == remains["repository"].removesuffix("/.git")
