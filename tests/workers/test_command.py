from __future__ import annotations

import json
import os
import random
import string
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
import rogue_processes
from worker_conformance import FakeContext, WorkerConformance

from dispatch_mcp import configuration, model
from dispatch_mcp.model import AttemptState, WorkerKind, work_order
from dispatch_mcp.process import allowlist, child_environment
from dispatch_mcp.runs import receipts
from dispatch_mcp.workers import attempt_scope, command

pytestmark = pytest.mark.anyio

ECHO = f"""#!{os.path.realpath(sys.executable)} -IS
import json, os, sys
print(json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}}))
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Returns a folder with the program `echo-argv`, which prints its arguments, environment and directory."""
    folder = tmp_path / "tools"
    folder.mkdir()
    program = folder / "echo-argv"
    program.write_text(ECHO)
    program.chmod(0o755)
    return folder


def work(workspace: Path | str, *argv: str, timeout_s: float | None = None) -> work_order.WorkOrder:
    task = model.Task(id="t1", do="run it", command=argv)
    return work_order.WorkOrder("run-1", task, 1, WorkerKind.COMMAND, workspace=str(workspace), timeout_s=timeout_s)


def make(
    home: Path,
    *entries: list[str],
    env: dict[str, str] | None = None,
    depth: int = 0,
    how_to_allow: Callable[[Sequence[str]], str] = lambda _argv: "",
    **policy: Any,
) -> command.CommandWorker:
    variables = {"PATH": os.environ["PATH"], **(env or {})}
    children = child_environment.ChildPolicy(variables, depth=depth, **policy)
    rules = allowlist.parse(entries)
    return command.CommandWorker(rules, home / "state", children, grace_s=0.2, how_to_allow=how_to_allow)


async def carried_out(worker: command.CommandWorker, work_order: work_order.WorkOrder) -> model.Outcome:
    with anyio.fail_after(120):
        return await worker.carry_out(FakeContext(), work_order)


class TestCommandWorkerConforms(WorkerConformance):
    @pytest.fixture
    def worker(self, tmp_path: Path) -> command.CommandWorker:
        self.home = tmp_path
        return make(tmp_path, ["sleep", "*"], ["true"], ["false"], ["echo", "**"])

    @pytest.fixture
    def succeeding(self, workspace: Path) -> work_order.WorkOrder:
        return work(workspace, "echo", "hello")

    @pytest.fixture
    def failing(self, workspace: Path) -> work_order.WorkOrder:
        return work(workspace, "false")

    @pytest.fixture
    def hanging(self, workspace: Path) -> work_order.WorkOrder:
        return work(workspace, "sleep", "900")

    async def at_work(self, ctx: FakeContext) -> None:
        await super().at_work(ctx)
        self.pid = await rogue_processes.noted_pid(self.home / "state" / "runs" / "run-1" / "t1" / "1")

    async def assert_nothing_left(self) -> None:
        assert rogue_processes.survivors([self.pid] if hasattr(self, "pid") else []) == []
        assert not (self.home / "state" / "runs").exists() or not list((self.home / "state" / "runs").iterdir())


async def test_exit_code_output_and_receipt_are_reported(tmp_path: Path, workspace: Path) -> None:
    outcome = await carried_out(
        make(tmp_path, ["sh", "-c", "*"]), work(workspace, "sh", "-c", "echo hi; echo no >&2; exit 3")
    )
    assert outcome.state is AttemptState.FAILED
    assert (outcome.error_kind, outcome.retryable) == ("exit_code", False)
    assert outcome.output == {"exit_code": 3, "stdout": "hi\n", "stderr": "no\n", "truncated": False}
    assert outcome.receipts == (model.Receipt(kind="exit_code", ok=False, detail="ended with exit code 3"),)
    assert outcome.summary == "`sh -c echo hi; echo no >&2; exit 3` ended with exit code 3. 1 line on stderr; last: no"


@pytest.mark.parametrize(
    ("ending", "doubts"),
    [
        ("Ran 2 tests in 0.1s\n\nOK", 0),
        ("Ran 2 tests in 0.1s\n\nOK (skipped=2)", 1),
        ("", 1),
    ],
)
async def test_a_command_that_runs_tests_and_shows_none_that_passed_is_open(
    tmp_path: Path, workspace: Path, ending: str, doubts: int
) -> None:
    (workspace / "unittest.py").write_text(f"import sys\nsys.stderr.write({ending!r})")
    outcome = await carried_out(
        make(tmp_path, ["python", "-m", "unittest"]), work(workspace, "python", "-m", "unittest")
    )
    assert (outcome.state, outcome.unverified) == (AttemptState.SUCCEEDED, bool(doubts))
    reason = "ended with exit code 0, which proves nothing: its output does not end with tests that passed"
    assert receipts.doubts(outcome) == (reason,) * doubts


async def test_a_signal_is_a_failure_of_its_own_kind(tmp_path: Path, workspace: Path) -> None:
    outcome = await carried_out(make(tmp_path, ["sh", "-c", "*"]), work(workspace, "sh", "-c", "kill -9 $$"))
    assert (outcome.state, outcome.error_kind) == (AttemptState.FAILED, "signal")


@pytest.mark.promise("R10")
async def test_a_deadline_kills_the_whole_family(tmp_path: Path, workspace: Path) -> None:
    worker = make(tmp_path, [sys.executable, "**"])
    argv = rogue_processes.python(rogue_processes.FORKING, tmp_path / "pids")
    pids: list[int] = []
    for timeout_s in rogue_processes.DEADLINES_S:
        outcome = await carried_out(worker, work(workspace, *argv, timeout_s=timeout_s))
        assert (outcome.state, outcome.retryable) == (AttemptState.TIMED_OUT, True)
        assert outcome.receipts[0].detail == f"was killed after {timeout_s:g} s"
        if pids := rogue_processes.read_pids(tmp_path / "pids"):
            break
    assert pids
    assert rogue_processes.survivors(pids) == []


async def test_long_output_is_cut_inline_and_whole_by_reference(tmp_path: Path, workspace: Path) -> None:
    ctx = FakeContext()
    with anyio.fail_after(120):
        outcome = await make(tmp_path, ["seq", "*"]).carry_out(ctx, work(workspace, "seq", "9999"))
    shown = outcome.output["stdout"]
    assert len(shown) < command.INLINE_CHARS + 100
    assert shown.startswith("1\n2\n")
    assert shown.endswith("9998\n9999\n")
    assert outcome.output["truncated"]
    (artifact,) = outcome.handoff.artifacts
    assert ctx.blobs.get(artifact.digest).decode() == "".join(f"{n}\n" for n in range(1, 10_000))
    assert outcome.summary.endswith("9999 lines of output; last: 9999")


async def test_nul_and_broken_utf8_survive(tmp_path: Path, workspace: Path) -> None:
    worker = make(tmp_path, [sys.executable, "**"])
    argv = rogue_processes.python("import sys; sys.stdout.buffer.write(b'a\\0b\\xff\\xfe\\x1b[31m\\xe2\\x82')")
    outcome = await carried_out(worker, work(workspace, *argv))
    assert outcome.output["stdout"] == "a\0b\ufffd\ufffd\x1b[31m\ufffd"
    assert "\x1b" not in outcome.summary
    assert "\0" not in outcome.summary
    assert model.Outcome.model_validate_json(outcome.model_dump_json()) == outcome


async def test_it_runs_in_the_workspace_and_writes_nothing_there(tmp_path: Path, workspace: Path, tools: Path) -> None:
    worker = make(tmp_path, [str(tools / "echo-argv")])
    outcome = await carried_out(worker, work(workspace, str(tools / "echo-argv")))
    assert json.loads(outcome.output["stdout"])["cwd"] == str(workspace)
    assert contents(workspace) == {}


@pytest.mark.parametrize("place", ["", "relative", "/no/such/place"])
async def test_a_missing_workspace_is_refused(tmp_path: Path, place: str) -> None:
    outcome = await carried_out(make(tmp_path, ["true"]), work(place, "true"))
    assert (outcome.error_kind, outcome.retryable) == ("no_workspace", False)


async def test_an_unknown_program_is_refused(tmp_path: Path, workspace: Path) -> None:
    outcome = await carried_out(make(tmp_path, ["no-such-program"]), work(workspace, "no-such-program"))
    assert outcome.error_kind == "no_program"


async def test_a_program_in_the_workspace_is_not_found_through_a_relative_path_entry(
    tmp_path: Path, workspace: Path
) -> None:
    (workspace / "evil").write_text("#!/bin/sh\necho owned\n")
    (workspace / "evil").chmod(0o755)
    worker = make(tmp_path, ["evil"], env={"PATH": f":.:bin:{os.environ['PATH']}"})
    assert (await carried_out(worker, work(workspace, "evil"))).error_kind == "no_program"


@pytest.mark.parametrize("argv", [(), ("true", "a\0b")], ids=["empty", "nul"])
async def test_a_malformed_command_is_refused(tmp_path: Path, workspace: Path, argv: tuple[str, ...]) -> None:
    outcome = await carried_out(make(tmp_path, ["true", "**"]), work(workspace, *argv))
    assert (outcome.error_kind, outcome.retryable) == ("bad_command", False)


async def test_arguments_that_are_too_long_are_a_failure(tmp_path: Path, workspace: Path) -> None:
    outcome = await carried_out(make(tmp_path, ["true", "**"]), work(workspace, "true", *["x" * 100_000] * 40))
    assert (outcome.error_kind, outcome.retryable) == ("unstartable", False)


@pytest.mark.promise("S5")
async def test_what_the_user_did_not_allow_is_refused_with_what_the_user_would_write(
    tmp_path: Path, workspace: Path
) -> None:
    chosen = configuration.load({}, flags={"home": tmp_path / "home", "workspace": workspace}, cwd=workspace).settings
    refusing = make(tmp_path, how_to_allow=chosen.how_to_allow)
    outcome = await carried_out(refusing, work(workspace, "npm", "test"))
    assert (outcome.state, outcome.error_kind, outcome.retryable) == (AttemptState.FAILED, "not_allowed", False)
    assert outcome.error.startswith(
        "The command `npm test` is not on the user's allow-list. Only the user can allow it"
    )
    assert f'`allow_commands = [["npm", "test"]]` in {tmp_path}/home/config.toml' in outcome.error


@pytest.mark.promise("S5")
async def test_no_line_is_offered_for_what_a_person_could_not_read(tmp_path: Path, workspace: Path) -> None:
    chosen = configuration.load({}, flags={"home": tmp_path / "home", "workspace": workspace}, cwd=workspace).settings
    refusing = make(tmp_path, how_to_allow=chosen.how_to_allow)
    outcome = await carried_out(refusing, work(workspace, "rm", "-rf", "precious; \x1b[2J`curl evil`"))
    hint = outcome.error.partition("allow-list.")[2]
    assert "No entry of `allow_commands` can allow it" in hint
    assert not any(word in hint for word in ("rm", "-rf", "precious", "curl", "["))
    assert "\x1b" not in outcome.error


INJECTIONS = [
    *("; id", "&& id", "| id", "`id`", "$(id)", "$HOME", "${PATH}", "> /tmp/x", "< /etc/passwd", "*", "?", "~", "#"),
    *("'", '"', "\\", "''", '""', "'; id; '", '"; id; "', "\n", "\r\n", "\t", " ", "a b", " a ", "!!", "%PATH%"),
    *("--", "-", "--help", "--version", "-c", "--exec=id", "-oProxyCommand=id", "--upload-pack=id", "-rf", "/", ".."),
    *("../../etc/passwd", "@file", "file:///etc/passwd", "\u202eevil", "\u200b", "é", "日本", "🙂", "\x1b[31m", "\x7f"),
]


@pytest.mark.promise("S5")
async def test_200_injection_strings_reach_the_program_unchanged(tmp_path: Path, workspace: Path, tools: Path) -> None:
    rng = random.Random(5)
    letters = string.printable + "\x01\x1f\u202e\ufeff"
    words = INJECTIONS + ["".join(rng.choices(letters, k=rng.randint(1, 30))) for _ in range(200 - len(INJECTIONS))]
    assert len(words) == 200
    program = str(tools / "echo-argv")
    outcome = await carried_out(make(tmp_path, [program, "**"]), work(workspace, program, *words))
    assert json.loads(outcome.output["stdout"])["argv"] == words


async def test_the_child_gets_only_the_allowed_environment(tmp_path: Path, workspace: Path, tools: Path) -> None:
    program = str(tools / "echo-argv")
    secrets = {
        "ANTHROPIC_API_KEY": "-".join(("sk", "ant", "0123456789abcdef0123")),
        "AWS_SECRET_ACCESS_KEY": "abcdefgh12345678",
        "LC_TOKEN": "not-a-locale",
        "GITHUB_TOKEN": "ghp_0123456789abcdefghij0123456789",
        "LD_PRELOAD": "/evil.so",
        "PYTHONPATH": "/evil",
        "GIT_SSH_COMMAND": "evil",
        "BASH_ENV": "/evil",
        "NAMED": "yes",
        "NAMED_TOKEN": "the user wants this one",
        "LANG": "C.UTF-8",
        "LC_ALL": "C",
    }
    worker = make(tmp_path, [program], env=secrets, pass_names=frozenset({"NAMED", "NAMED_TOKEN"}))
    outcome = await carried_out(worker, work(workspace, program))
    env = json.loads(outcome.output["stdout"])["env"]
    assert env == {
        **child_environment.FIXED,
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "LC_ALL": "C",
        "NAMED": "yes",
        "NAMED_TOKEN": "the user wants this one",
        "DISPATCH_MCP_DEPTH": "1",
    }


@pytest.mark.parametrize(("depth", "kind"), [(0, ""), (1, ""), (2, "depth_limit"), (7, "depth_limit")])
async def test_nothing_starts_below_the_depth_limit(tmp_path: Path, workspace: Path, depth: int, kind: str) -> None:
    worker = make(tmp_path, ["sh", "-c", "*"], depth=depth, depth_limit=2)
    outcome = await carried_out(worker, work(workspace, "sh", "-c", "echo $DISPATCH_MCP_DEPTH"))
    assert outcome.error_kind == kind
    if not kind:
        assert outcome.output["stdout"] == f"{depth + 1}\n"


def test_a_strange_run_id_cannot_leave_the_state_directory() -> None:
    order = work("/workspace", "true")
    for name in ("..", ".", "", "a/b", "/etc", "a\0b", "x" * 300, "é", "\ud800", "a."):
        folder = attempt_scope.folder_of(Path("/state"), replace(order, run_id=name))
        assert folder.parent.parent.name.isalnum()
        assert folder.parents[3] == Path("/state")
    assert attempt_scope.folder_of(Path("/state"), replace(order, run_id="a_b.c")) == Path("/state/runs/a_b.c/t1/1")


@pytest.fixture
def repository(workspace: Path) -> Path:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=workspace, check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    (workspace / "a.txt").write_text("one\nTODO two\n")
    git("add", ".")
    git("commit", "-q", "-m", "First")
    (workspace / "a.txt").write_text("one\nTODO two\nthree\n")
    return workspace


READS = [
    ("git log --oneline -n 5", "First"),
    ("git log -3 --format=%s --stat", "a.txt"),
    ("git status --porcelain", " M a.txt"),
    ("git diff --stat", "1 insertion"),
    ("git ls-files -s", "a.txt"),
    ("git rev-parse --short HEAD", ""),
    ("git rev-list --count HEAD", "1"),
    ("git shortlog -sn HEAD", "A Tester"),
    ("git grep -n TODO -- .", "a.txt:2:TODO two"),
    ("git count-objects -v", "size"),
]


@pytest.mark.parametrize(("line", "expected"), READS)
async def test_reading_git_is_allowed_from_the_start(
    tmp_path: Path, repository: Path, line: str, expected: str
) -> None:
    env = {"HOME": os.environ["HOME"]}
    outcome = await carried_out(make(tmp_path, env=env), work(repository, *line.split()))
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error
    assert expected in outcome.output["stdout"]


def set_traps(repository: Path, trap: Path, sprung: Path) -> None:
    """Makes a repository's own configuration name a program wherever git would run one."""
    trap.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    trap.chmod(0o755)
    settings = {key: str(trap) for key in ("core.fsmonitor", "core.pager", "diff.external", "gpg.program", "pager.log")}
    for key, value in (settings | {"log.showSignature": "true"}).items():
        subprocess.run(["git", "config", key, value], cwd=repository, check=True)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_reading_git_changes_no_byte_and_runs_no_configured_program(tmp_path: Path, repository: Path) -> None:
    sprung = tmp_path / "sprung"
    set_traps(repository, tmp_path / "trap", sprung)
    before = contents(repository)
    worker = make(tmp_path, env={"HOME": os.environ["HOME"]})
    for line, _ in READS:
        await carried_out(worker, work(repository, *line.split()))
    assert contents(repository) == before
    assert sprung not in contents(tmp_path)


@pytest.mark.promise("S9", "S18")
async def test_a_command_that_dispatches_in_its_turn_is_told_what_it_may_spend(
    tmp_path: Path, workspace: Path, tools: Path
) -> None:
    program = str(tools / "echo-argv")
    worker = make(tmp_path, [program], env={"DISPATCH_MCP_MAX_DOLLARS": "1000"})
    order = replace(work(workspace, program), ceiling=model.TaskLimits(dollars=0.5))
    outcome = await carried_out(worker, order)
    assert json.loads(outcome.output["stdout"])["env"]["DISPATCH_MCP_MAX_DOLLARS"] == "0.500000"
    assert (
        "DISPATCH_MCP_MAX_DOLLARS"
        not in json.loads((await carried_out(worker, work(workspace, program))).output["stdout"])["env"]
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Returns a repository with a file that is not committed."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for words in (
        ["init", "-q"],
        ["-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "x", "--allow-empty"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    (folder / "own.txt").write_text("mine")
    return folder


def copies(checkout: Path) -> str:
    ask = ["git", "for-each-ref", "--format=%(refname)", "refs/dispatch"]
    return subprocess.run(ask, cwd=checkout, check=True, capture_output=True, text=True).stdout.strip()


REMOVE = ("sh", "-c", "rm own.txt")


async def test_a_command_that_takes_a_file_from_the_checkout_fails_once_and_says_where_it_is_kept(
    tmp_path: Path, checkout: Path
) -> None:
    context = FakeContext()
    with anyio.fail_after(120):
        outcome = await make(tmp_path, ["sh", "-c", "*"]).carry_out(context, work(checkout, *REMOVE))
    assert (outcome.error_kind, outcome.retryable) == ("lost_edits", False)
    assert copies(checkout) in outcome.error
    assert copies(checkout)


@pytest.mark.parametrize("harm", ["git reset -q", "git add -A", "rm .git/index", "git rm -q --cached -f own.txt"])
async def test_a_command_that_takes_from_the_index_what_was_only_staged_fails_and_says_how_to_stage_it_again(
    tmp_path: Path, checkout: Path, harm: str
) -> None:
    await anyio.run_process(["git", "add", "own.txt"], cwd=checkout)
    (checkout / "own.txt").write_text("mine, and more")
    order = work(checkout, "sh", "-c", harm)
    outcome = await carried_out(make(tmp_path, ["sh", "-c", "*"]), order)
    assert (outcome.error_kind, outcome.retryable) == ("lost_edits", False)
    way_back = next(part for part in outcome.error.split("`") if part.startswith("git restore") and "--staged" in part)
    await anyio.run_process(["sh", "-c", way_back], cwd=checkout)
    assert (await anyio.run_process(["git", "show", ":own.txt"], cwd=checkout)).stdout == b"mine"


async def test_a_cancelled_command_leaves_word_of_what_it_has_taken_from_the_checkout(
    tmp_path: Path, checkout: Path
) -> None:
    context, worker = FakeContext(), make(tmp_path, ["sh", "-c", "*"])
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            order = work(checkout, "sh", "-c", "rm own.txt; sleep 300")
            group.start_soon(worker.carry_out, context, order)
            while (checkout / "own.txt").exists():
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert "kept as refs/dispatch/" in str(context.beats)
    assert copies(checkout)


async def test_a_command_in_a_worktree_is_looked_after_by_whoever_made_that(tmp_path: Path, checkout: Path) -> None:
    order = replace(work(checkout, *REMOVE), base="0" * 40)
    outcome = await carried_out(make(tmp_path, ["sh", "-c", "*"]), order)
    assert (outcome.state, copies(checkout)) == (AttemptState.SUCCEEDED, "")


async def test_files_that_tasks_of_the_run_declare_are_told_of_and_held_against_nobody(
    tmp_path: Path, checkout: Path
) -> None:
    order = replace(work(checkout, *REMOVE), declarations=("*.txt",))
    outcome = await carried_out(make(tmp_path, ["sh", "-c", "*"]), order)
    assert outcome.state is AttemptState.SUCCEEDED
    assert [receipt.kind for receipt in outcome.receipts][1:] == ["touched", "touched"]
    assert copies(checkout)
