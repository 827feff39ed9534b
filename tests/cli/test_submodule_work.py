"""Work inside a submodule, as a person meets it at a shell: refused, named, kept, and never in the way of the rest."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import command_runs
import pytest
import submodule_setup
from submodule_setup import PLACE
from temp_repository import git, make, write

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are supervised on POSIX only")

FILL = "git -c protocol.file.allow=always submodule update -q --init"
IDENTITY = "git -c user.name=w -c user.email=w@example.org"
COMMIT = f"{FILL} && echo two > {PLACE}/a.txt && cd {PLACE} && {IDENTITY} commit -qam two"
LOOSE = f"echo loose > {PLACE}/new.txt; echo kept > log.txt"
PLAIN = "echo plain > plain.txt"


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    at = make(tmp_path / "repo")
    submodule_setup.add_submodule(at, tmp_path / "pump")
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(at))
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([["sh", "-c", "**"]]))
    return at


def task(name: str, script: str, file: str) -> dict[str, object]:
    return {"id": name, "do": name, "files": [file], "isolation": "worktree", "command": ["sh", "-c", script]}


def whole_id(answer: dict[str, Any]) -> str:
    """Returns the id of a run as files and refs are named, in which its traces lie."""
    return Path(answer["results"][0]["trace_file"]).parts[-3]


def test_a_plan_says_which_files_lie_in_a_submodule_before_anything_runs(
    tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = command_runs.shell(monkeypatch, capsys)
    document = command_runs.written(tmp_path, [task("inner", COMMIT, f"{PLACE}/a.txt"), task("plain", PLAIN, "b.txt")])
    answer = shell("plan", document, "--json").json
    notices = {notice["code"]: notice for notice in answer["warnings"]}
    assert notices["inside_submodule"]["tasks"] == ["inner"]
    assert f"`{PLACE}`" in notices["inside_submodule"]["message"]


def test_work_inside_a_submodule_fails_once_says_where_it_is_and_lets_the_rest_be_applied(
    tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = command_runs.shell(monkeypatch, capsys)
    tasks = [task("inner", COMMIT, PLACE), task("loose", LOOSE, "log.txt"), task("plain", PLAIN, "plain.txt")]
    place = submodule_setup.link(repo, "HEAD")
    answer = shell("run", command_runs.written(tmp_path, tasks), "--quiet")
    assert answer.code == 1
    run_id = answer.json["correlation_id"]
    errors = {result["task_id"]: result["error"] for result in answer.json["results"]}
    kept = f"refs/dispatch/{whole_id(answer.json)}/kept/inner/1"
    assert f"submodule `{PLACE}`: 1 commit of its own" in errors["inner"]
    assert kept in errors["inner"]
    assert git(repo / PLACE, "show", f"{kept}:a.txt") == "two"
    assert f"submodule `{PLACE}`: 1 file that is in no commit (`new.txt`)" in errors["loose"]
    status = shell("status", run_id, "--json").json["tasks"]
    assert {line["id"]: line["attempts"] for line in status} == {"inner": 1, "loose": 1, "plain": 1}
    trees = shell("worktrees", "prune", "--json").json["trees"]
    assert ["new.txt" in tree["note"] for tree in trees] == [True]
    assert (Path(trees[0]["path"]) / PLACE / "new.txt").read_text() == "loose\n"
    revision = shell("apply", run_id, "--json").json["revision"]
    assert shell("apply", run_id, "--expect", revision).code == 0
    assert (repo / "plain.txt").read_text() == "plain\n"
    assert (submodule_setup.link(repo, "HEAD"), (repo / "log.txt").exists()) == (place, False)
    assert kept in shell("trace", run_id, "--view", "results").out


def test_a_task_behind_one_that_failed_does_not_begin_and_what_the_others_did_is_kept(
    tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = command_runs.shell(monkeypatch, capsys)
    broken = f"{LOOSE}; exit 3"
    tasks = [
        task("inner", COMMIT, PLACE),
        {**task("behind", LOOSE, "log.txt"), "deps": ["inner"]},
        task("broken", broken, "log.txt"),
        {**task("last", PLAIN, "plain.txt"), "deps": ["broken"]},
    ]
    answer = shell("run", command_runs.written(tmp_path, tasks), "--quiet")
    run_id = answer.json["correlation_id"]
    lines = {
        line["id"]: (line["state"], line.get("attempts", 0)) for line in shell("status", run_id, "--json").json["tasks"]
    }
    assert lines == {"inner": ("failed", 1), "behind": ("skipped", 0), "broken": ("failed", 1), "last": ("skipped", 0)}
    kept = f"refs/dispatch/{whole_id(answer.json)}/kept"
    assert git(repo / PLACE, "show", f"{kept}/inner/1:a.txt") == "two"
    assert git(repo, "show", f"{kept}/broken/1:log.txt") == "kept"
    [left] = [tree for tree in shell("worktrees", "--json").json["trees"] if tree["task"] == "broken"]
    assert (Path(left["path"]) / PLACE / "new.txt").read_text() == "loose\n"
    assert "new.txt" in left["note"]


def test_a_task_that_writes_into_the_checkout_itself_is_told_of(
    tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = command_runs.shell(monkeypatch, capsys)
    write(repo, "own.txt", "mine")
    stray = task("t", f"echo x > plain.txt; echo theirs > {repo}/own.txt; git branch stray", "plain.txt")
    answer = shell("run", command_runs.written(tmp_path, [stray]), "--quiet")
    assert answer.code == 0
    receipts = shell("trace", "latest", "--view", "results", "--json").out
    assert "changed meanwhile in the checkout itself, by this task or somebody else" in receipts
    assert "branch `stray` is new" in receipts
    assert "`own.txt`" in receipts
