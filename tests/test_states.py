"""docs/reference/states.md, row by row: what the server saw, what became of the task and the run, and the exit code.

Every row is carried out from outside, in a folder with git and in one without: by an assistant over MCP, and by the
server's own workers under `dispatch-mcp run`.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
import command_runs
import fake_provider
import memory_client
import pytest
import thoroughness

from dispatch_mcp import model
from dispatch_mcp.cli import console
from dispatch_mcp.cli.commands import run as run_command
from dispatch_mcp.engine import run_view
from dispatch_mcp.model import RunState, TaskState, WorkerKind, records, transitions
from dispatch_mcp.runs import state_machine
from dispatch_mcp.store import sqlite_store

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "states.md"
FILES = {
    "a.py": "one\n", "b.py": "one\n", "theirs.py": "one\n", "tests/test_a.py": "def test_a():\n    assert a\n",
}  # fmt: skip
OTHER: Final = {"id": "other", "do": "Change theirs.py", "files": ["theirs.py"], "deps": ["t"], "worker": "host"}
THEIRS: Final = ["python", "-S", "-c", "open('theirs.py', 'w').write('two\\n')"]
EVERYBODY, AGENTS, HOST, SERVER = ("host", "api", "command"), ("host", "api"), ("host",), ("api", "command")


@dataclass(frozen=True)
class Row:
    """A row of the page, and what makes it happen.

    The worker in `by` writes `text` into the files in `writes` and says it changed those in `claims`. `ends` are the
    states of the attempt and the task, the kind of error, and the exit codes without and with `--strict`.
    """

    saw: str
    ends: tuple[str, str, str, int, int]
    by: tuple[str, ...] = EVERYBODY
    task: dict[str, Any] = field(default_factory=dict[str, Any])
    writes: tuple[str, ...] = ("a.py",)
    claims: tuple[str, ...] = ()
    fails: bool = False
    git_only: bool = False
    handoff: dict[str, Any] = field(default_factory=dict[str, Any])
    text: str = "two\n"


def failed(kind: str) -> tuple[str, str, str, int, int]:
    return ("failed", "failed", kind, 1, 1)


PROVEN = ("succeeded", "succeeded", "", 0, 0)
CLAIMED = ("succeeded", "unverified", "", 0, 1)
CHANGE_A = {"files": ["a.py"]}
ROWS = (
    Row(
        "every criterion that it can check holds",
        PROVEN, task={**CHANGE_A, "acceptance": ["file:a.py", "diff", "is quick"]},
    ),
    *(
        Row(
            "the same, but each held before the first attempt already, and no declared file was changed",
            CLAIMED, AGENTS, {"acceptance": [form, "is quick"]}, writes,
        )
        for form, writes in (("file:a.py", ()), ("absent:c.py", ("b.py",)), ("glob:*.py", ()))
    ),
    Row(
        "every criterion that it can check holds",
        PROVEN, HOST, {"acceptance": ["file:a.py"]},
    ),
    Row(
        "every criterion that it can check holds",
        PROVEN, HOST, {"acceptance": ["file:a.py", "file:c.py"]}, ("c.py",),
    ),
    Row("every criterion that it can check holds", PROVEN, task={**CHANGE_A, "acceptance": ["file:b.py"]}),
    *(
        Row(
            "the same, but all of them are commands that nobody saw fail before, and no declared file was changed",
            CLAIMED, AGENTS, {"acceptance": criteria}, ("b.py",), git_only=True,
        )
        for criteria in (["command: git status --short"], ["command: git rev-parse --git-dir", "file:a.py"])
    ),
    Row("every criterion that it can check holds", PROVEN, AGENTS,
        {**CHANGE_A, "acceptance": ["command: git status --short"]}, git_only=True),
    *(
        Row(
            "a command ends well, but tests lost checks, or what can decide it was changed undeclared",
            CLAIMED, HOST, {**CHANGE_A, "acceptance": ["command: git status --short"]}, ("a.py", other), git_only=True,
        )
        for other in ("tests/test_a.py", "conftest.py", "Makefile")
    ),
    Row("a command ended with exit code 0, and no criterion was given", PROVEN, ("command",), CHANGE_A),
    Row(
        "a command that runs tests ended with exit code 0, and its output shows none that passed",
        CLAIMED, ("command",), {"command": ["python", "-m", "unittest", "--help"]}, (),
    ),
    Row("an agent says it is done, and no criterion was given", CLAIMED, AGENTS, CHANGE_A, claims=("a.py",)),
    Row("an agent says it is done, and no criterion was given", CLAIMED, AGENTS, {}, writes=()),
    Row(
        "a criterion could not be checked",
        CLAIMED, task={**CHANGE_A, "acceptance": ["file:a.py", "command: make test"]},
    ),
    Row("a declared file was changed in a way that shows no work", CLAIMED, task={**CHANGE_A, "acceptance": ["diff"]},
        text="one\n\n"),
    Row("a declared file was changed in a way that shows no work", CLAIMED, AGENTS,
        {**CHANGE_A, "acceptance": ["file:a.py"]}, text=""),
    Row(
        "the work is where it does not look: in a worktree that the assistant made itself",
        CLAIMED, HOST, {**CHANGE_A, "isolation": "worktree"}, writes=(),
    ),
    Row(
        "other files were changed meanwhile, by whoever works there",
        PROVEN, HOST, {**CHANGE_A, "acceptance": ["diff"]}, writes=("a.py", "mine.txt"),
    ),
    Row("a criterion does not hold", failed("not_accepted"), task={**CHANGE_A, "acceptance": ["file:c.py"]}),
    Row("none of the declared files was changed", failed("nothing_changed"), task=CHANGE_A, writes=()),
    Row("none of the declared files was changed", failed("nothing_changed"), task=CHANGE_A, writes=("b.py",)),
    Row("none of the declared files was changed", failed("nothing_changed"), AGENTS, CHANGE_A, (), ("a.py",)),
    Row(
        "none of the declared files was changed",
        failed("nothing_changed"), task={"files": ["a.py"], "acceptance": ["file:a.py"]}, writes=(),
    ),
    Row(
        "an agent of the server was to change files in a worktree and left it as it was",
        failed("nothing_changed"), ("api",), {"isolation": "worktree"}, writes=(), git_only=True,
    ),
    Row(
        "the handoff names only files that are untouched, or only another task's",
        failed("wrong_claim"), AGENTS, {"files": ["a.py", "b.py"]}, claims=("b.py",),
    ),
    Row(
        "the handoff names only files that are untouched, or only another task's",
        failed("wrong_claim"), AGENTS, CHANGE_A, claims=("theirs.py",),
    ),
    Row(
        "the assistant calls it done, and the answer reports a failure itself",
        failed("host"), HOST, {**CHANGE_A, "acceptance": ["diff"]}, handoff={"status": "failed"},
    ),
    Row(
        "the worker says that it failed, or a command ended with another exit code",
        failed(""), task=CHANGE_A, fails=True,
    ),
)  # fmt: skip
"""What a worker brings about."""

BY_OTHERS = (
    ("nothing, as the task was given to the worker scripted, which only simulates", (*PROVEN[:4], 1)),
    ("nothing, as the run is a simulation", PROVEN),
    ("a person approved", PROVEN),
    ("a person rejected", failed("rejected")),
    ("a person, or the assistant, does without the task", ("", "skipped", "", 0, 0)),
)
"""What somebody else brings about."""

BY_SERVER = (
    (
        "what you had not committed is gone from the checkout, through a command of the task or of its proof",
        failed("lost_edits"),
    ),
    ("it moved a branch of yours or what is checked out, or took another ref or a stash entry", failed("moved_branch")),
    ("the server itself failed around the work, three times", failed("internal_error")),
    (
        "nobody could be started for it: its agent, the runner-up and the general agent were refused",
        failed("no_agent"),
    ),
    (
        "the assistant calls it done without a word, and nothing shows that anything was done",
        failed("unusable_answer"),
    ),
)
"""What the server brings about; its causes are carried out in tests/engine, tests/service and tests/cli."""


def tables() -> list[list[list[str]]]:
    """Returns the cells of the page's tables, without their headings and without backticks."""
    parts = PAGE.read_text("utf-8").split("\n\n")
    rows = [[line.strip("|").split("|") for line in part.splitlines()[2:]] for part in parts if part.startswith("|")]
    return [[[cell.strip().replace("`", "") for cell in row] for row in table] for table in rows]


def test_the_page_lists_exactly_what_is_carried_out_here() -> None:
    shown = {row[0]: tuple(row[1:]) for row in tables()[0]}
    happens = {row.saw: row.ends for row in ROWS} | dict(BY_OTHERS) | dict(BY_SERVER)
    assert shown.keys() == happens.keys()
    for saw, (attempt, task, kind, code, strict) in happens.items():
        if saw.startswith("other files"):
            continue
        cells = shown[saw]
        assert cells[0].split(", ") == ([attempt, kind] if kind else [attempt]), saw
        assert cells[1].split(",")[0] == task, saw
        assert cells[2:] == (str(code), str(strict)), saw


def test_every_way_to_refute_a_claim_is_on_the_page() -> None:
    assert set(transitions.REFUTATIONS) <= {row.ends[2] for row in ROWS}


@pytest.fixture(params=["git", "plain"])
def workspace(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / request.param
    folder.mkdir()
    laid_out(folder)
    if request.param == "git":
        for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Begin"]):
            subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


def case(row: Row, worker: str) -> Any:
    criteria = row.task.get("acceptance", [])
    name = "-".join([worker, *row.saw.split()[:5], *criteria, *row.writes, *row.claims, str(len(row.text))])
    return pytest.param(row, worker, id=name)


def spec(row: Row, worker: str) -> dict[str, Any]:
    """Returns the task of a row as that worker gets it."""
    task = {"id": "t", "do": "Do it", "worker": worker, "max_attempts": 1, **row.task}
    if worker == "api":
        steps = [{"tool": "write_file", "input": {"path": name, "text": row.text}} for name in row.writes]
        end = {"error": 400} if row.fails else fake_provider.done(files_modified=list(row.claims))
        return {**task, "do": f"Do it. {fake_provider.script(*steps, end)}", "model": "haiku"}
    if worker == "command":
        writes = "; ".join(f"open({name!r}, 'w').write({row.text!r})" for name in row.writes)
        return {"command": ["python", "-S", "-c", f"{writes or 'pass'}; raise SystemExit({3 * row.fails})"], **task}
    return task


def laid_out(workspace: Path) -> Path:
    """Returns the folder with its files as they were at first."""
    for name, text in FILES.items():
        (workspace / name).parent.mkdir(exist_ok=True)
        (workspace / name).write_text(text)
    return workspace


Ends = tuple[str, str, str, int, int]


async def look(home: Path, run_id: str) -> tuple[Ends, RunState]:
    """Returns what became of the task `t` and of its run."""
    async with sqlite_store.open_store(home) as store:
        (run_id,) = await store.ids("run", run_id, records.LOCAL)
        view = await run_view.load(store, run_id, records.ANYBODY)
        attempts = await store.attempts(run_id, "t")
    last = attempts[-1] if attempts else None
    state, kind = (last.state.value, last.error_kind) if last else ("", "")
    codes = (run_command.exit_code(view, strict=False), run_command.exit_code(view, strict=True))
    return (state, view.task("t").state.value, kind, *codes), view.run.state


def expectation(row: Row) -> tuple[Ends, RunState]:
    return row.ends, RunState.FAILED if row.ends[1] == "failed" else RunState.SUCCEEDED


def without_reason(row: Row, ends: Ends) -> Ends:
    """Returns the ends without the kind of error, where a worker says itself that it failed."""
    return (*ends[:2], "", *ends[3:]) if row.fails else ends


@pytest.mark.slice(3)
@pytest.mark.anyio
@pytest.mark.parametrize(("row", "worker"), [case(row, "host") for row in ROWS if "host" in row.by])
async def test_a_row_holds_for_what_an_assistant_reports(
    row: Row, worker: str, workspace: Path, tmp_path: Path
) -> None:
    if row.git_only and workspace.name != "git":
        pytest.skip("the row is about git")
    home = tmp_path / "home"
    settings = memory_client.settings(home, workspace)
    with anyio.fail_after(120):
        async with memory_client.desk(memory_client.make_server(settings)) as desk:
            plan_id = await desk.planned(spec(row, worker), OTHER)
            run = await desk.call("dispatch", plan_id=plan_id, worker="host")
            for name in row.writes:
                (workspace / name).write_text(row.text)
            handoff = {"completed_work": "Done.", "files_modified": list(row.claims), **row.handoff}
            status = {"status": "failed", "error": "No."} if row.fails else {"handoff": handoff}
            answer = await desk.call("report", run_id=run["run_id"], results=[{"task_id": "t", "attempt": 1, **status}])
            if answer.get("assignments"):
                await desk.call("steer_run", run_id=run["run_id"], action="skip", task_id="other")
            trace = await desk.call("get_trace", run_id=run["run_id"])
    ends, state = await look(home, run["run_id"])
    assert (without_reason(row, ends), state) == expectation(row)
    assert answer["results"][0]["accepted"]
    assert ("why" in answer["results"][0]) == (row.ends[2] != "")
    assert trace["next"].startswith(
        "0 of 1 proven, 1 UNVERIFIED" if row.ends[1] == "unverified" else ("1 of 2 done; skipped by the", "Failed")
    )


@pytest.fixture
def server_shell(
    workspace: Path,
    provider: fake_provider.Provider,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> command_runs.Shell:
    """Returns a shell in the workspace, with a key for the fake provider and an allowed command."""
    for name, value in provider.env(DISPATCH_MCP_WORKSPACE=str(workspace)).items():
        monkeypatch.setenv(name, value)
    allowed = [["python", "-S", "-c", "*"], ["python", "-m", "unittest", "--help"]]
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps(allowed))
    monkeypatch.setenv("DISPATCH_MCP_REVIEWS", "none")
    return command_runs.shell(monkeypatch, capsys)


def manners(row: Row, workspace: Path) -> list[list[str]]:
    """Returns with which options the run of a row is carried out: all in full, else each in one of the two folders."""
    if thoroughness.FULL or row.git_only:
        return [[], ["--strict"]]
    return [[]] if workspace.name == "git" else [["--strict"]]


@pytest.mark.slice(3)
@pytest.mark.parametrize(
    ("row", "worker"), [case(row, worker) for row in ROWS for worker in SERVER if worker in row.by]
)
def test_a_row_holds_for_the_servers_own_workers(
    row: Row, worker: str, workspace: Path, tmp_path: Path, server_shell: command_runs.Shell
) -> None:
    if row.git_only and workspace.name != "git":
        pytest.skip("the row is about git")
    document = command_runs.written(
        tmp_path, [spec(row, worker), {**OTHER, "id": "u", "deps": [], "worker": "command", "command": THEIRS}]
    )
    for options in manners(row, workspace):
        run = server_shell("run", str(laid_out(workspace) and document), "--quiet", *options)
        ends, _ = anyio.run(look, Path(os.environ["DISPATCH_MCP_HOME"]), run.json["correlation_id"])
        assert without_reason(row, ends) == row.ends, run.out
        assert run.code == (row.ends[4] if options else row.ends[3])
        assert run.json.get("proof") == ("1 of 2 proven" if row.ends[1] == "unverified" else None)


@pytest.mark.parametrize("saw", [saw for saw, _ in BY_OTHERS])
def test_a_row_holds_for_what_people_decide_and_for_simulations(
    saw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = command_runs.shell(monkeypatch, capsys)
    simulated, scripted = saw.startswith("nothing, as the run"), saw.startswith("nothing, as the task")
    worker = "human" if "person approved" in saw or "person rejected" in saw else "scripted" if scripted else "host"
    task = {"id": "t", "do": "May we?", "worker": worker}
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([["python", "-S", "-c", "*"]]))
    other = [{"id": "u", "do": "Do the rest", "command": ["python", "-S", "-c", "pass"]}] if "without" in saw else []
    document = command_runs.written(tmp_path, [{**task, "files": ["a.py"]} if simulated else task, *other])
    run = shell("run", document, "--quiet", *(["--dry-run"] if simulated else []))
    run_id = run.json["correlation_id"]
    if "approved" in saw or "rejected" in saw:
        assert shell("approve", run_id, *(["--reject"] if "rejected" in saw else [])).code == console.OK
    if "without" in saw:
        assert shell("steer", "skip", run_id, "t").code == console.OK
    ends, _ = anyio.run(look, Path(os.environ["DISPATCH_MCP_HOME"]), run_id)
    assert ends == dict(BY_OTHERS)[saw]
    assert run.json.get("simulated", False) == (simulated or scripted)
    assert run.code == (0 if simulated or scripted else 1), "it waited for somebody"


RUNS: dict[str, tuple[list[str], dict[str, Any], str, int]] = {
    "all are succeeded, or skipped by a person or the assistant": (
        ["succeeded", "skipped:user", "skipped:assistant"], {}, "succeeded", 0,
    ),
    "all that was to change something was skipped, by whomever": (
        ["skipped:assistant", "review:skipped:nothing_to_review"], {}, "partial", 1,
    ),
    "the same, but some are unverified": (["succeeded", "unverified"], {}, "succeeded", 0),
    'the same, and unproven_runs = "partial" is set': (["unverified"], {"unproven_end": "partial"}, "partial", 1),
    "some failed or were skipped because of that, others not": (["failed", "succeeded"], {}, "partial", 1),
    "all failed or were skipped because of that": (["failed", "skipped:upstream:t0"], {}, "failed", 1),
    "a review blocks what was done, whatever else failed": (
        ["unverified", "review:failed:needs_changes", "failed"], {}, "needs_changes", 1,
    ),
    "a review came to no verdict, and nothing else failed": (
        ["unverified", "review:failed:inconclusive"], {}, "inconclusive", 3,
    ),
    "somebody cancelled it": (["cancelled", "succeeded"], {"cancelled": True}, "cancelled", 1),
    "it waits for the assistant or for a person": (["running", "unverified"], {}, "running", 1),
}  # fmt: skip
"""The states and causes of the tasks of a run, `review:` before those of a review of the first one."""


@pytest.mark.parametrize("what", RUNS)
def test_a_run_ends_as_the_page_says(what: str) -> None:
    states, how, state, code = RUNS[what]
    rows: list[transitions.TaskRow] = []
    tasks: list[model.Task] = []
    for number, text in enumerate(states):
        name, _, cause = text.removeprefix("review:").partition(":")
        rows.append(transitions.TaskRow(f"t{number}", WorkerKind.HOST, TaskState(name), cause=cause))
        reviews = ("t0",) if text.startswith("review:") else ()
        tasks.append(model.Task(id=f"t{number}", do="x", reviews=reviews))
    plan = model.Plan(id="p", tasks=tuple(tasks))
    core = state_machine.RunCore.restore("r", plan, rows, **how)
    assert core.state.value == state
    assert run_command.ENDS.get(core.state, console.FAILED) == code
    [shown] = [row[1:] for row in tables()[1] if row[0] == what]
    assert shown == [shown[0], str(code)]
    assert shown[0].split(",")[0] == ("as it is" if state == "running" else state)


def test_the_page_has_a_row_for_every_state_in_which_a_run_ends() -> None:
    shown = {row[1].split(",")[0]: int(row[2]) for row in tables()[1]}
    assert {state.value for state in model.RUN_FINAL} == shown.keys() - {"as it is"}
    assert {state: run_command.ENDS.get(RunState(state), console.FAILED) for state in shown.keys() - {"as it is"}} == {
        state: code for state, code in shown.items() if state != "as it is"
    }
