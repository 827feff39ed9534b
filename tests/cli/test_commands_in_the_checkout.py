"""Commands without a worktree of their own work where the user does: what is the user's stays, or the task fails."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import command_runs
import pytest
import temp_repository
from temp_repository import git, write

from dispatch_mcp.git import edits_copy

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are supervised on POSIX only")

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@b.c")

Task = Callable[..., command_runs.Said]

MINE = {"list.txt": "first\nmine\n", "own.txt": "mine\n", "new/notes.txt": "mine\n", "new/more.txt": "mine\n"}


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repo = temp_repository.listed(tmp_path / "repo", monkeypatch, [])
    git(repo, "branch", "side")
    for path, text in MINE.items():
        write(repo, path, text)
    return repo


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch, shell: command_runs.Shell, repo: Path, tmp_path: Path) -> Task:
    """Returns what runs one command task on the command line, in the repository as it is."""
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([["git", "**"], ["sh", "-c", "*"]]))

    def run(*command: str, others: tuple[dict[str, object], ...] = (), **more: object) -> command_runs.Said:
        spec = {"id": "t", "do": "Tidy up", "command": [*command], **more}
        return shell("run", command_runs.written(tmp_path, [spec, *others]))

    return run


TAKEN = {
    "cleans": (("git", "clean", "-fdq"), {"own.txt", "new/notes.txt", "new/more.txt"}),
    "resets": (("git", "reset", "-q", "--hard"), {"list.txt"}),
    "checks out": (("git", "checkout", "-q", "."), {"list.txt"}),
    "restores": (("git", "restore", "."), {"list.txt"}),
    "stashes": (("git", "stash", "-q", "-u"), {*MINE}),
    "removes": (("sh", "-c", "rm own.txt"), {"own.txt"}),
    "removes one of a new folder": (("sh", "-c", "rm new/notes.txt"), {"new/notes.txt"}),
    "empties a new file": (("sh", "-c", ": > own.txt"), {"own.txt"}),
    "puts a link in its place": (("sh", "-c", "ln -sf list.txt own.txt"), {"own.txt"}),
    "removes a tracked file with edits": (("sh", "-c", "rm list.txt"), {"list.txt"}),
    "resets, then commits": (
        ("sh", "-c", "git reset -q --hard && git -c user.name=A -c user.email=a@b.c commit -q --allow-empty -m x"),
        {"list.txt"},
    ),
}


@pytest.mark.slice(3)
@pytest.mark.parametrize(("command", "paths"), TAKEN.values(), ids=TAKEN.keys())
def test_a_command_that_takes_uncommitted_work_from_the_checkout_fails_and_the_command_that_it_names_brings_it_back(
    task: Task, repo: Path, command: tuple[str, ...], paths: set[str]
) -> None:
    run = task(*command)
    assert run.code == 1
    [loss] = run.json["losses"]
    assert loss in run.json["results"][0]["error"]
    named = loss.partition("`git restore")[2].partition("`")[0].split()
    assert {*named[named.index("--") + 1 :]} == paths
    for path in paths:
        (repo / path).unlink(missing_ok=True)
    git(repo, "restore", *named)
    assert {path: (repo / path).read_text() for path in paths} == {path: MINE[path] for path in paths}


LARGE = {
    "one file": ("rm new/huge.bin", {"new/huge.bin"}),
    "one that is emptied": (": > new/huge.bin", {"new/huge.bin"}),
    "all of the folder": ("rm -r new", {"new/huge.bin", "new/notes.txt", "new/more.txt"}),
}


@pytest.mark.parametrize(("act", "paths"), LARGE.values(), ids=LARGE.keys())
def test_a_file_that_no_copy_has_room_for_is_missed_too_and_called_gone_without_a_copy(
    task: Task, repo: Path, act: str, paths: set[str]
) -> None:
    with (repo / "new/huge.bin").open("wb") as file:
        file.truncate(edits_copy.MOST_BYTES + 1)
    run = task("sh", "-c", act)
    [loss] = run.json["losses"]
    assert (run.code, all(path in loss for path in paths)) == (1, True)
    assert loss.endswith("There is no copy of `new/huge.bin`.")


MOVED = {
    "commits": (("git", "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qam", "x"), "branch `main` went"),
    "switches": (("git", "checkout", "-q", "-b", "other"), "`other` is checked out instead of `main`"),
    "deletes a branch": (("git", "branch", "-q", "-D", "side"), "branch `side` is gone"),
    "moves a ref": (("git", "update-ref", "-d", "refs/heads/side"), "branch `side` is gone"),
}


@pytest.mark.parametrize(("command", "words"), MOVED.values(), ids=MOVED.keys())
def test_a_command_that_moves_a_branch_in_the_checkout_fails_with_that_reason(
    task: Task, command: tuple[str, ...], words: str
) -> None:
    run = task(*command)
    error = run.json["results"][0]["error"]
    assert (run.code, words in error, "worktree" in error) == (1, True, False)
    assert words in run.json["losses"][0]


REFS = {
    "a tag": (("git", "tag", "-d", "keep"), ("refs/tags/keep",)),
    "a tag that is set elsewhere": (("git", "tag", "-f", "keep", "HEAD^{tree}"), ("refs/tags/keep",)),
    "a branch": (("git", "branch", "-q", "-D", "side"), ("refs/heads/side",)),
    "a branch without git": (
        ("sh", "-c", "rm .git/refs/heads/side; rm -rf .git/logs"),
        ("refs/heads/side", "stash", "stash"),
    ),
    "a remote branch": (("git", "update-ref", "-d", "refs/remotes/origin/x"), ("refs/remotes/origin/x",)),
    "notes": (("git", "update-ref", "-d", "refs/notes/commits"), ("refs/notes/commits",)),
    "refs of the user's own": (
        ("sh", "-c", "git for-each-ref --format='delete %(refname)' refs/keep | git update-ref --stdin"),
        ("refs/keep/me", "refs/keep/you"),
    ),
    "the last entry of the stash": (("git", "stash", "drop", "-q"), ("stash",)),
    "an entry of the stash": (("git", "stash", "drop", "-q", "stash@{1}"), ("stash",)),
    "the whole stash": (("git", "stash", "clear"), ("stash", "stash")),
}


def refs_of(repo: Path) -> str:
    """Returns all refs, and the entries of the stash in whatever order."""
    refs = git(repo, "for-each-ref", "refs/heads", "refs/tags", "refs/remotes", "refs/notes", "refs/keep")
    return "\n".join([refs, *sorted(git(repo, "stash", "list", "--format=%H").splitlines())])


@pytest.mark.slice(3)
@pytest.mark.parametrize(("command", "names"), REFS.values(), ids=REFS.keys())
def test_a_command_that_takes_a_ref_or_a_stash_entry_fails_and_the_command_that_it_names_brings_it_back(
    task: Task, repo: Path, command: tuple[str, ...], names: tuple[str, ...]
) -> None:
    for text in ("one", "two"):
        write(repo, "list.txt", text)
        git(repo, "stash", "-q")
    for ref in ("refs/tags/keep", "refs/remotes/origin/x", "refs/keep/me", "refs/keep/you"):
        git(repo, "update-ref", ref, "HEAD")
    git(repo, "notes", "add", "-m", "a note", "HEAD")
    before = refs_of(repo)
    run = task(*command)
    assert run.code == 1
    error = run.json["results"][0]["error"]
    ways_back = [text.split("`")[0].split() for text in error.split("(`git ")[1:]]
    assert len(ways_back) == len(names)
    for way_back, name in zip(ways_back, names, strict=True):
        assert way_back[1] == name or way_back[:2] == ["stash", "store"]
        git(repo, *way_back)
    assert refs_of(repo).split() == before.split()


BROKEN = {
    "its git directory is gone": "rm -rf .git",
    "its HEAD is gone": "rm .git/HEAD",
    "its objects are gone": "rm -rf .git/objects",
    "its files are said to lie elsewhere": "git config core.worktree .git",
}


@pytest.mark.parametrize("act", BROKEN.values(), ids=BROKEN.keys())
def test_a_command_after_which_the_repository_cannot_be_read_fails_and_the_run_says_so(
    task: Task, repo: Path, act: str
) -> None:
    run = task("sh", "-c", act)
    [loss] = run.json["losses"]
    assert (run.code, loss in run.json["results"][0]["error"]) == (1, True)
    assert loss.startswith("The repository of the checkout could be read before this task and cannot be read any more")


def test_a_checkout_inside_another_repository_is_not_taken_for_that_one(task: Task, repo: Path) -> None:
    git(repo.parent, "init", "-q")
    git(repo.parent, "commit", "-q", "--allow-empty", "-m", "Outer")
    assert task("sh", "-c", "rm -rf .git").code == 1


LOST_THEN_RETRIED = {"edits": "rm -f own.txt", "a branch": "git branch -q -D side || true"}


@pytest.mark.parametrize("act", LOST_THEN_RETRIED.values(), ids=LOST_THEN_RETRIED.keys())
def test_a_loss_stays_said_first_after_the_task_is_tried_again_and_succeeds(
    task: Task, shell: command_runs.Shell, act: str
) -> None:
    run = task("sh", "-c", act)
    run_id, losses = run.json["correlation_id"], run.json["losses"]
    assert shell("steer", "retry", run_id, "t").code == 0
    with command_runs.OwnProcess("worker", "--idle", "0.1") as process:
        _out, err = process.communicate()
    assert "SOMETHING OF YOURS IS GONE OR MOVED in the checkout, after 1 attempt of the run: see its losses." in err
    lines = shell("status", run_id).out.splitlines()
    assert lines[0].startswith("SOMETHING OF YOURS IS GONE OR MOVED")
    assert lines[1].endswith(": succeeded")
    assert not any(line.startswith("Done.") for line in lines)
    trace = shell("status", "--json", run_id).json
    assert (trace["losses"], trace["next"].startswith("SOMETHING OF YOURS")) == (losses, True)


HARMLESS = {
    "reads": ("git", "show", "--stat"),
    "makes a new file": ("sh", "-c", "echo x > report.txt"),
    "goes on with the user's file": ("sh", "-c", "echo x >> own.txt"),
    "tags": ("git", "tag", "v1"),
    "makes refs": ("sh", "-c", "git branch new && git update-ref refs/keep/new HEAD"),
    "goes on with a note": ("git", *AUTHOR, "notes", "append", "-m", "more", "HEAD"),
    "stashes and takes it out again": ("sh", "-c", "git stash -q && git stash pop -q"),
}


@pytest.mark.parametrize("command", HARMLESS.values(), ids=HARMLESS.keys())
def test_a_command_that_takes_nothing_and_moves_nothing_succeeds_and_leaves_no_copy(
    task: Task, repo: Path, command: tuple[str, ...]
) -> None:
    if "append" in command:
        git(repo, "notes", "add", "-m", "a note", "HEAD")
    run = task(*command)
    assert (run.code, "losses" in run.json) == (0, False), run.json["results"][0]
    assert git(repo, "for-each-ref", "refs/dispatch") == ""


def test_of_a_file_that_a_command_writes_anew_a_copy_stays_which_its_receipt_names(
    task: Task, shell: command_runs.Shell, repo: Path
) -> None:
    run = task("sh", "-c", "echo x > own.txt")
    assert (run.code, "losses" in run.json) == (0, False)
    told = shell("trace", "latest", "--view", "results", "--json").out
    assert "was written over meanwhile" in told
    git(repo, "restore", *told.partition("`git restore")[2].partition("`")[0].split())
    assert (repo / "own.txt").read_text() == MINE["own.txt"]


def test_a_file_that_another_task_of_the_run_declares_is_told_of_and_no_fault_of_the_command(
    task: Task, repo: Path
) -> None:
    other = {
        "id": "u",
        "do": "Write it",
        "files": ["own.txt"],
        "deps": ["t"],
        "command": ["sh", "-c", "echo x > own.txt"],
    }
    run = task("sh", "-c", "rm own.txt", others=(other,))
    assert (run.code, len(run.json["losses"])) == (0, 1)


def test_a_check_that_takes_uncommitted_work_from_the_checkout_proves_nothing(task: Task, repo: Path) -> None:
    run = task("sh", "-c", "true", acceptance=["command: git clean -fdq"])
    assert run.code == 1
    assert "kept as refs/dispatch/" in run.json["results"][0]["error"]
    assert "kept as refs/dispatch/" in run.json["losses"][0]


def test_a_command_in_a_worktree_that_takes_work_from_the_checkout_by_git_fails_too(task: Task, repo: Path) -> None:
    act = f"echo x >> list.txt; git -C '{repo}' checkout -q -- list.txt"
    run = task("sh", "-c", act, files=["list.txt"])
    assert (run.code, len(run.json["losses"])) == (1, 1)


def test_a_file_that_is_written_over_while_a_worktree_is_worked_in_is_named_without_an_alarm(
    task: Task, shell: command_runs.Shell, repo: Path
) -> None:
    run = task("sh", "-c", f"echo x >> list.txt; echo x > '{repo}/own.txt'", files=["list.txt"])
    assert run.code == 0
    [told] = run.json["losses"]
    status = shell("status", "latest").out
    assert told in " ".join(status.split())
    assert "SOMETHING OF YOURS" not in status
    assert "\nDone." in status
    git(repo, "restore", *told.partition("`git restore")[2].partition("`")[0].split())
    assert (repo / "own.txt").read_text() == MINE["own.txt"]


@pytest.mark.parametrize(("text", "code"), [("staged\nand more\n", 0), ("staged no more\n", 1)])
def test_a_command_that_stages_more_of_a_file_has_taken_nothing_that_is_staged_still(
    task: Task, repo: Path, text: str, code: int
) -> None:
    (repo / "own.txt").write_text("staged\n")
    git(repo, "add", "own.txt")
    (repo / "own.txt").write_text(text)
    run = task("sh", "-c", "git add own.txt")
    assert (run.code, "losses" in run.json) == (code, bool(code))


STEERING = {
    "a hook": (".git/hooks/pre-commit", "rm .git/hooks/pre-commit"),
    "what is excluded": (".git/info/exclude", "rm .git/info/exclude"),
    "its configuration": (".git/config", "rm .git/config"),
    "its configuration, made anew": (".git/config", "rm .git/config; git init -q"),
}


@pytest.mark.parametrize(("path", "act"), STEERING.values(), ids=STEERING.keys())
def test_what_steers_the_repository_and_is_gone_is_named_among_the_losses(
    task: Task, repo: Path, path: str, act: str
) -> None:
    git(repo, "config", "alias.mine", "status")
    for name in ("hooks/pre-commit", "info/exclude"):
        (repo / ".git" / name).parent.mkdir(exist_ok=True)
        (repo / ".git" / name).write_text("# mine\n")
    [loss] = task("sh", "-c", act).json["losses"]
    assert f"without a copy: `{path}`" in loss


def test_a_setting_that_is_changed_and_a_sample_that_is_removed_are_no_loss(task: Task, repo: Path) -> None:
    git(repo, "config", "alias.mine", "status")
    (repo / ".git/hooks").mkdir(exist_ok=True)
    (repo / ".git/hooks/pre-push.sample").write_text("# git's own\n")
    run = task("sh", "-c", "git config alias.mine log; rm .git/hooks/*.sample; echo '*.tmp' >> .git/info/exclude")
    assert (run.code, "losses" in run.json) == (0, False)
