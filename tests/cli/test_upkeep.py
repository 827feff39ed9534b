"""Keeping house from a shell: what is old goes, what is open or not merged stays, and one sees where it all lies."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import command_runs
import pytest
import temp_repository
from temp_repository import git

from dispatch_mcp.cli import console
from dispatch_mcp.cli.installation import upkeep
from dispatch_mcp.context.indexing import index_files
from dispatch_mcp.store import blobs

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are supervised on POSIX only")

COMMAND = ["python", "-S", "-c", "open('list.txt', 'a').write('second\\n')"]
WRITES = {"id": "add", "do": "Add a line", "files": ["list.txt"], "isolation": "worktree", "command": COMMAND}
LONG_AGO = 40 * 86_400.0


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return temp_repository.listed(tmp_path / "repo", monkeypatch, COMMAND)


def run(shell: command_runs.Shell, folder: Path, *words: str, **task: object) -> str:
    """Carries a document of one task out and returns its run's id."""
    document = command_runs.written(folder, [{"id": "a", "do": "Write the form", **task}])
    return str(shell("run", document, "--quiet", *words).json["correlation_id"])


def grow_old(home: Path) -> None:
    """Lets everything in the store have happened forty days ago."""
    with closing(sqlite3.connect(home / "state" / "state.db", isolation_level=None)) as conn:
        conn.execute("DROP TRIGGER IF EXISTS plan_is_immutable")
        conn.execute("UPDATE plan SET created_at = created_at - ?", (LONG_AGO,))
        for column in ("created_at", "updated_at", "finished_at"):
            conn.execute(f"UPDATE run SET {column} = {column} - ?", (LONG_AGO,))
    then = time.time() - LONG_AGO
    for path in (home / "state").rglob("*"):
        if path.parent.parent.name == blobs.FOLDER or path.suffix == index_files.NOTE:
            os.utime(path, (then, then))


@pytest.fixture
def home(own_home: Path | None) -> Path:
    assert own_home is not None
    return own_home


def test_a_dry_run_says_what_the_real_one_does(shell: command_runs.Shell, home: Path, tmp_path: Path) -> None:
    old = [run(shell, tmp_path, "--dry-run") for _ in range(2)]
    orphan = blobs.FileBlobs(home / "state").put(b"nobody's")
    (tmp_path / "shop").mkdir()
    shell("context", "Write the form", "--workspace", str(tmp_path / "shop"))
    grow_old(home)
    young = run(shell, tmp_path, "--dry-run")
    said = shell("prune", "--dry-run")
    assert "Would go: 2 runs" in said.out
    assert "Nothing was changed" in said.out
    promise = shell("prune", "--dry-run", "--json").json
    assert len(shell("status", "--all", "--json").json["runs"]) == 3
    outcome = shell("prune", "--json").json
    kinds = {share["kind"]: (share["count"], share.get("size")) for share in outcome["shares"]}
    assert {run["run"] for run in outcome["runs"]} == set(old)
    assert outcome["runs"] == promise["runs"]
    assert kinds == {share["kind"]: (share["count"], share.get("size")) for share in promise["shares"]}
    assert (kinds["blob"], kinds["run folder"][0], kinds["index file"][0]) == ((1, 8), 2, 1)
    assert not blobs.path_of(home / "state", orphan).exists()
    assert [row["run_id"] for row in shell("status", "--all", "--json").json["runs"]] == [young]
    assert "pruned on" in shell("status", old[0]).err
    assert "Nothing is old enough" in shell("prune").out


def test_work_that_was_not_merged_keeps_its_run_until_it_is(
    shell: command_runs.Shell, home: Path, repo: Path, tmp_path: Path
) -> None:
    run_id = run(shell, tmp_path, **WRITES)
    grow_old(home)
    run(shell, tmp_path, "--dry-run")
    for words in (("prune", "--dry-run"), ("prune",)):
        assert "not pruned: 1 run, as it holds changes that are not in any branch" in shell(*words).out
    assert shell("status", run_id).code == 0
    revision = shell("apply", run_id, "--json").json["revision"]
    assert shell("apply", run_id, "--expect", revision).code == 0
    grow_old(home)
    run(shell, tmp_path, "--dry-run")
    assert [row["run"] for row in shell("prune", "--json").json["runs"]][:1] == [run_id]
    assert git(repo, "for-each-ref", "refs/dispatch") == ""
    assert (repo / "list.txt").read_text() == "first\nsecond\n"


def test_a_repository_that_cannot_be_read_keeps_its_runs(
    shell: command_runs.Shell, home: Path, repo: Path, tmp_path: Path
) -> None:
    run_id = run(shell, tmp_path, **WRITES)
    grow_old(home)
    run(shell, tmp_path, "--dry-run")
    (repo / ".git" / "HEAD").write_text("damaged")
    [stays] = shell("prune", "--json").json["stays"]
    assert (stays["run"], "cannot be read" in stays["why"]) == (run_id, True)


def test_without_git_the_way_out_is_to_install_it_and_nothing_is_called_clean_or_removed(
    shell: command_runs.Shell, home: Path, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = run(shell, tmp_path, **WRITES)
    grow_old(home)
    run(shell, tmp_path, "--dry-run")
    with monkeypatch.context() as without:
        without.setenv("PATH", str(tmp_path))
        for words, lead in (
            (("apply", run_id), "Nothing can be applied: "),
            (("apply", run_id, "--expect", "0" * 12), "Nothing can be applied: "),
            (("worktrees",), ""),
            (("worktrees", "prune"), ""),
            (("review",), ""),
        ):
            answer = shell(*words)
            assert (answer.code != 0, answer.out) == (True, ""), words
            assert answer.err == f"dispatch-mcp: {lead}git is not on the PATH.\n  Install git 2.38 or newer.\n"
        [stays] = shell("prune", "--json").json["stays"]
        assert (stays["run"], stays["why"].partition(": ")[2]) == (run_id, "git is not on the PATH")
    assert "Would apply 1 commit" in shell("apply", run_id).out


def test_a_repository_that_is_gone_keeps_nothing(
    shell: command_runs.Shell, home: Path, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = run(shell, tmp_path, **WRITES)
    grow_old(home)
    repo.rename(tmp_path / "moved")
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(tmp_path))
    run(shell, tmp_path, "--dry-run")
    assert [row["run"] for row in shell("prune", "--json").json["runs"]] == [run_id]


def test_where_there_is_no_store_none_is_made(shell: command_runs.Shell, home: Path) -> None:
    assert "Nothing is old enough" in shell("prune").out
    assert shell("where").code == 0
    assert not (home / "state").exists()


@pytest.mark.parametrize(
    ("text", "days"),
    [("30d", 30), ("30", 30), ("12h", 0.5), ("8w", 56), ("1y", 365), ("0d", 0), (" 1.5D ", 1.5), ("90m", 0.0625)],
)
def test_an_age_is_a_number_and_a_unit(text: str, days: float) -> None:
    assert upkeep.age(text) == days * 86_400


@pytest.mark.parametrize("text", ["", "x", "-1d", "1d2h", "1e9d", "999999999y", "٣d", "nan", "1 month"])
def test_what_is_no_age_is_refused_before_anything_happens(shell: command_runs.Shell, text: str, home: Path) -> None:
    answer = shell("prune", f"--older={text}")
    assert (answer.code, repr(text) in answer.err) == (2, True)
    assert not (home / "state").exists()


def test_where_and_doctor_tell_how_large_everything_is(shell: command_runs.Shell, home: Path, tmp_path: Path) -> None:
    run(shell, tmp_path, "--dry-run")
    places = {place["name"]: place for place in shell("where", "--json").json}
    assert places["state folder"]["path"] == str(home / "state")
    assert places["store"]["size"] > 10_000
    assert places["indexes"]["size"] is None
    assert places["state folder"]["size"] >= places["store"]["size"] + places["attempts"]["size"]
    [fact] = [fact for fact in shell("doctor", "--json").json if fact["what"] == "space"]
    assert "store" in fact["detail"]
    assert fact["mark"] == "✓"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (123_456, "123 kB"),
        (5_300_000, "5.3 MB"),
        (4 << 40, "4398 GB"),
    ],
)
def test_sizes_are_words(count: int, text: str) -> None:
    assert console.size(count) == text
