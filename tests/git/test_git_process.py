from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from rogue_processes import DEADLINES_S, read_pids, until
from temp_repository import commit, git, make, write

from dispatch_mcp import errors
from dispatch_mcp.git import git_process
from dispatch_mcp.process import child_environment

pytestmark = pytest.mark.anyio


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make(tmp_path / "repo")


def runner(tmp_path: Path, **limits: Any) -> git_process.Git:
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    return git_process.Git(tmp_path / "state", policy, **limits)


def program(tmp_path: Path, body: str, **limits: Any) -> git_process.Git:
    """Returns a runner whose git is a shell script."""
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    policy = child_environment.ChildPolicy({"PATH": f"{script.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)})
    return git_process.Git(tmp_path / "state", policy, **limits)


def setting(repo: Path, name: str, value: str) -> None:
    git(repo, "config", name, value)


async def test_an_answer_has_code_lines_and_complaint(tmp_path: Path, repo: Path) -> None:
    answer = await runner(tmp_path).run(repo, "ls-files")
    assert (answer.code, answer.lines, answer.complaint) == (0, ["a.txt", "src/b.txt"], "")
    answer = await runner(tmp_path).run(repo, "rev-parse", "--verify", "nothing", codes=(128,))
    assert answer.code == 128
    assert answer.complaint == "fatal: Needed a single revision"


async def test_an_exit_code_that_nobody_expects_is_an_error_with_gits_words(tmp_path: Path, repo: Path) -> None:
    with pytest.raises(errors.WorkerError, match=r"`git rev-parse` failed with exit code 128: fatal: Needed"):
        await runner(tmp_path).run(repo, "rev-parse", "--verify", "nothing")


async def test_names_that_are_no_unicode_survive_both_ways(tmp_path: Path, repo: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    (repo / name).write_text("x")
    await runner(tmp_path).run(repo, "update-index", "--add", "-z", "--stdin", stdin=f"{name}\0")
    answer = await runner(tmp_path).run(repo, "ls-files", "-z")
    assert name in answer.out.split("\0")
    assert b"caf\xe9.txt" in answer.stdout


async def test_a_long_input_and_a_long_output_do_not_block_each_other(tmp_path: Path, repo: Path) -> None:
    names = "".join(f"{'deep/' * 20}{number}\n" for number in range(20_000))
    with anyio.fail_after(120):
        answer = await runner(tmp_path).run(
            repo, "check-ignore", "--stdin", "--verbose", "--non-matching", stdin=names, codes=(1,)
        )
    assert len(answer.lines) == 20_000


async def test_one_that_prints_too_much_is_stopped(tmp_path: Path) -> None:
    endless = program(tmp_path, "exec yes", output_cap=10_000)
    with anyio.fail_after(120), pytest.raises(git_process.TooMuch, match="10,000 bytes"):
        await endless.run(tmp_path, "log")


async def test_as_much_as_is_allowed_is_not_too_much(tmp_path: Path) -> None:
    assert len((await program(tmp_path, "printf 1234567890", output_cap=10).run(tmp_path, "log")).out) == 10


async def test_endless_warnings_do_not_end_a_git_that_succeeds(tmp_path: Path) -> None:
    warning = program(tmp_path, "i=0; while [ $i -lt 4000 ]; do echo 'warning: a line that is quite long' >&2; "
                      "i=$((i+1)); done; echo done")  # fmt: skip
    with anyio.fail_after(120):
        answer = await warning.run(tmp_path, "add")
    assert answer.lines == ["done"]
    assert answer.complaint.startswith("warning: a line")


async def too_slow(git: git_process.Git, command: str, note: Path) -> int:
    """Has a git that never ends be stopped; returns the process id that it has noted, if it was given time to begin."""
    numbers: list[int] = []
    for seconds in DEADLINES_S:
        with anyio.fail_after(seconds + 120), pytest.raises(git_process.TooSlow, match=f"longer than {seconds:g} s"):
            await replace(git, max_seconds=seconds).run(note.parent, command)
        if numbers := read_pids(note):
            break
    [number] = numbers
    return number


async def test_one_that_takes_too_long_is_stopped_with_all_that_it_has_started(tmp_path: Path) -> None:
    slow = program(tmp_path, f"sleep 600 & echo $! > {tmp_path}/child; wait")
    await gone(await too_slow(slow, "fetch", tmp_path / "child"))


async def test_one_that_ignores_a_polite_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_process, "PATIENCE_S", 0.2)
    stubborn = program(tmp_path, f"trap '' TERM; echo $$ > {tmp_path}/self; while :; do sleep 0.05; done")
    await gone(await too_slow(stubborn, "gc", tmp_path / "self"))


async def test_a_cancelled_caller_leaves_no_git_behind(tmp_path: Path) -> None:
    slow = program(tmp_path, f"echo $$ > {tmp_path}/part && mv {tmp_path}/part {tmp_path}/self; sleep 600")
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(slow.run, tmp_path, "status")
            await until((tmp_path / "self").exists)
            group.cancel_scope.cancel()
    await gone(int((tmp_path / "self").read_text()))


async def gone(pid: int) -> None:
    """Returns when a process does not run any more."""
    with anyio.fail_after(120):
        await until(lambda: not running(pid))


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_without_git_on_the_path_the_error_says_what_to_install(tmp_path: Path) -> None:
    homeless = git_process.Git(tmp_path, child_environment.ChildPolicy({"PATH": str(tmp_path)}))
    with pytest.raises(errors.WorkerError, match="not on the PATH") as caught:
        await homeless.run(tmp_path, "status")
    assert "2.38" in str(caught.value.hint)


async def test_a_folder_that_is_not_there_is_an_error_and_no_crash(tmp_path: Path) -> None:
    with pytest.raises(errors.WorkerError, match="could not be started"):
        await runner(tmp_path).run(tmp_path / "nowhere", "status")


@pytest.mark.promise("S5")
async def test_no_program_that_a_repository_names_is_started(tmp_path: Path, repo: Path) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    hooks = repo / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-checkout", "pre-commit", "reference-transaction", "post-merge"):
        (hooks / name).write_text(trap.read_text())
        (hooks / name).chmod(0o755)
    for name in ("core.fsmonitor", "gpg.program", "core.editor", "sequence.editor", "core.pager"):
        setting(repo, name, str(trap))
    for name in ("commit.gpgSign", "log.showSignature"):
        setting(repo, name, "true")
    write(repo, "new.txt", "x")
    safe = runner(tmp_path)
    await safe.run(repo, "add", "--all")
    await safe.run(repo, "status")
    await safe.run(repo, "commit", "-q", "-m", "change", env=await safe.identity(repo))
    await safe.run(repo, "commit", "--amend", env=await safe.identity(repo))
    await safe.run(repo, "log", "-p")
    await safe.run(repo, "worktree", "add", "--detach", str(tmp_path / "copy"))
    assert not (tmp_path / "sprung").exists()


async def test_settings_of_one_call_come_on_top_of_the_safe_ones(tmp_path: Path, repo: Path) -> None:
    name = "ä.txt"
    write(repo, name, "x")
    safe = runner(tmp_path)
    assert (await safe.run(repo, "ls-files", "--others")).lines == [name]
    quoted = await safe.run(repo, "ls-files", "--others", settings=["core.quotePath=true"])
    assert quoted.lines == [r'"\303\244.txt"']


@pytest.mark.promise("S8")
async def test_git_learns_nothing_of_the_servers_secrets(tmp_path: Path) -> None:
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nenv\n")
    script.chmod(0o755)
    variables = {"PATH": f"{script.parent}:{os.environ['PATH']}", "MY_API_KEY": "hunter2hunter2", "GIT_DIR": "/x"}
    names = (await git_process.Git(tmp_path, child_environment.ChildPolicy(variables)).run(tmp_path, "x")).out
    assert "hunter2" not in names
    assert "GIT_DIR" not in names
    assert "GIT_TERMINAL_PROMPT=0" in names.splitlines()
    assert f"GIT_CEILING_DIRECTORIES={tmp_path}" in names.splitlines()


async def test_the_author_is_the_user_or_the_product(tmp_path: Path, repo: Path) -> None:
    other = make(tmp_path / "other")
    setting(other, "user.name", "Ada Lovelace")
    setting(other, "user.email", "ada@example.org")
    safe = runner(tmp_path)
    assert (await safe.identity(repo))["GIT_AUTHOR_NAME"] == "dispatch-mcp"
    assert (await safe.identity(repo))["GIT_COMMITTER_EMAIL"] == "dispatch-mcp@localhost"
    assert await safe.identity(other) == {
        "GIT_AUTHOR_NAME": "Ada Lovelace",
        "GIT_COMMITTER_NAME": "Ada Lovelace",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
    }


async def test_a_repository_is_found_from_any_folder_in_it(tmp_path: Path, repo: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    top = await git_process.find(runner(tmp_path), str(repo))
    assert (top.top, top.common, top.below, top.head, top.bare) == (repo, repo / ".git", "", head, False)
    inner = await git_process.find(runner(tmp_path), str(repo / "src"))
    assert (inner.top, inner.below) == (repo, "src")


async def test_a_worktree_and_a_bare_repository_are_told_apart(tmp_path: Path, repo: Path) -> None:
    git(repo, "worktree", "add", "-q", "--detach", str(tmp_path / "copy"))
    copy = await git_process.find(runner(tmp_path), str(tmp_path / "copy"))
    assert (copy.top, copy.common) == (tmp_path / "copy", repo / ".git")
    git(tmp_path, "clone", "-q", "--bare", str(repo), "bare.git")
    bare = await git_process.find(runner(tmp_path), str(tmp_path / "bare.git"))
    assert (bare.bare, bare.top, bare.below) == (True, tmp_path / "bare.git", "")


async def test_why_there_is_no_repository_is_told(tmp_path: Path, repo: Path) -> None:
    plain, empty = tmp_path / "plain", tmp_path / "empty"
    plain.mkdir()
    empty.mkdir()
    git(empty, "init", "-q")
    whys = {
        "": "is not there",
        str(tmp_path / "nowhere"): "is not there",
        str(plain): "is not in a git repository",
        str(empty): "has no commit yet",
    }
    for workspace, why in whys.items():
        with pytest.raises(git_process.Unusable, match=why):
            await git_process.find(runner(tmp_path), workspace)
    with pytest.raises(git_process.Unusable, match="state folder lies inside"):
        await git_process.find(runner(tmp_path), str(repo), away_from=repo / "state")


async def test_no_repository_above_the_state_directory_is_used(tmp_path: Path, repo: Path) -> None:
    inside = repo / "state" / "runs"
    inside.mkdir(parents=True)
    policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    with pytest.raises(git_process.Unusable, match="not in a git repository"):
        await git_process.find(git_process.Git(repo / "state", policy), str(inside))


async def test_an_old_git_is_refused_once_it_is_asked_for_worktrees(tmp_path: Path, repo: Path) -> None:
    old = program(tmp_path, "echo git version 2.37.9")
    with pytest.raises(errors.WorkerError, match=r"git 2\.37 is too old"):
        await old.version()
    with pytest.raises(git_process.Unusable, match=r"git 2\.37 is too old") as caught:
        await git_process.find(old, str(repo))
    assert caught.value.hint == "Install git 2.38 or newer."


async def test_the_version_is_asked_for_once(tmp_path: Path, repo: Path) -> None:
    script = f"""case "$*" in *version) echo x >> {tmp_path}/versions;; esac
PATH={shlex.quote(os.environ["PATH"])} exec git "$@\""""
    counting = program(tmp_path, script)
    for _ in range(3):
        await git_process.find(counting, str(repo))
    assert (tmp_path / "versions").read_text() == "x\n"


async def test_many_at_once_do_not_mix_their_answers(tmp_path: Path, repo: Path) -> None:
    safe, answers = runner(tmp_path), dict[int, str]()
    heads = [commit(repo, f"number {number}") for number in range(8)]

    async def ask(number: int) -> None:
        answers[number] = (await safe.run(repo, "log", "-1", "--format=%s", heads[number])).out.strip()

    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(ask, number)
    assert answers == {number: f"number {number}" for number in range(8)}
