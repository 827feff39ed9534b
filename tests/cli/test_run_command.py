from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import command_runs
import pytest

ALLOW = json.dumps([["python", "-c", "*"]])
SIMULATED = {"correlation_id", "simulated"}
FLOWS = {
    "three-generators": {"gen-user-writer": (), "gen-product-reader": (), "gen-order-updater": ()},
    "debug-then-fix": {"debug-auth-failure": (), "gen-fixed-auth": ("debug-auth-failure",)},
    "debug-beside-generate": {"debug-api-performance": (), "gen-cache-layer": ()},
    "two-nodes-two-checks": {
        "gen-writer": (),
        "gen-transformer": (),
        "check-writer": ("gen-writer",),
        "check-transformer": ("gen-transformer",),
    },
}
"""The worked flows of docs/rules.md#task-document-format, and which task waits for which there."""


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a repository without commits that is the workspace."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setenv("DISPATCH_MCP_WORKSPACE", str(tmp_path))
    return tmp_path


def history(shell: command_runs.Shell, run_id: str) -> list[tuple[str, str]]:
    """Returns kind and task of every event of a run."""
    return [(event["kind"], event.get("task", "")) for event in shell("trace", run_id, "--json").json["timeline"]]


@pytest.mark.parametrize("how", [("--dry-run",), ("--worker", "scripted")], ids=["dry run", "scripted"])
@pytest.mark.parametrize("name", FLOWS)
def test_the_worked_documents_run_to_the_described_flow(
    shell: command_runs.Shell, name: str, how: tuple[str, ...]
) -> None:
    said = shell("run", str(command_runs.DOCUMENTS / f"{name}.json"), *how)
    assert said.code == 0, said.err
    events = history(shell, said.json["correlation_id"])
    begun = [events.index(("attempt_started", task)) for task, deps in FLOWS[name].items() if not deps]
    ended = [events.index(("attempt_finished", task)) for task in FLOWS[name]]
    assert max(begun) < min(ended), "what waits for nothing begins before anything ends"
    for task, deps in FLOWS[name].items():
        for dep in deps:
            assert events.index(("attempt_finished", dep)) < events.index(("attempt_started", task))


@pytest.mark.parametrize("name", FLOWS)
def test_the_result_document_has_its_format(shell: command_runs.Shell, name: str) -> None:
    result = shell("run", str(command_runs.DOCUMENTS / f"{name}.json"), "--dry-run").json
    assert set(result) == {"status", "results", "summary"} | SIMULATED
    assert result["status"] == "success"
    count = len(FLOWS[name])
    assert {key: result["summary"][key] for key in ("total_tasks", "successful", "failed")} == {
        "total_tasks": count,
        "successful": count,
        "failed": 0,
    }
    assert isinstance(result["summary"]["total_time_ms"], int)
    assert [line["task_id"] for line in result["results"]] == list(FLOWS[name])
    for line in result["results"]:
        assert set(line) == {"task_id", "status", "output", "error", "execution_time_ms", "trace_file"}
        assert (line["status"], line["error"]) == ("success", None)
        assert line["output"].startswith("simulated: ")
        assert isinstance(line["execution_time_ms"], int)


def test_the_documents_max_workers_is_kept(shell: command_runs.Shell, tmp_path: Path) -> None:
    tasks = [{"task_id": name, "agent": "coder", "description": "work"} for name in "abc"]
    said = shell("run", command_runs.written(tmp_path, tasks, max_workers=1), "--dry-run")
    kinds = [kind for kind, task in history(shell, said.json["correlation_id"]) if task]
    assert kinds == ["attempt_started", "attempt_finished"] * 3


@pytest.mark.parametrize(
    ("own", "documents", "said_s"), [({}, 0.05, "0.05"), ({"timeout_s": 0.02}, 60, "0.02")], ids=["document", "task"]
)
def test_a_tasks_own_deadline_comes_before_the_documents(
    shell: command_runs.Shell, tmp_path: Path, own: dict[str, float], documents: float, said_s: str
) -> None:
    task: dict[str, Any] = {"id": "a", "do": "work", "inputs": {"script": {"hang": True}}, "max_attempts": 1, **own}
    said = shell("run", command_runs.written(tmp_path, [task], timeout_seconds=documents), "--worker", "scripted")
    assert said.code == 1
    assert said.json["results"][0]["error"] == f"No result after {said_s} s."


def test_a_failure_is_partial_and_says_what_was_skipped(shell: command_runs.Shell, tmp_path: Path) -> None:
    tasks = [
        {"id": "a", "do": "work", "inputs": {"script": {"fail": "permanent", "error": "no luck"}}},
        {"id": "b", "do": "work", "deps": ["a"]},
        {"id": "c", "do": "work"},
    ]
    said = shell("run", command_runs.written(tmp_path, tasks), "--worker", "scripted")
    assert said.code == 1
    assert said.json["status"] == "partial"
    assert {line["task_id"]: line["error"] for line in said.json["results"]} == {
        "a": "no luck",
        "b": "skipped, as 'a' was not done",
        "c": None,
    }
    assert "Failed: a." in said.err
    assert "get_trace" not in said.err


CLAIMED = {"id": "a", "do": "List the files", "command": ["git", "ls-files"], "acceptance": ["command: make test"]}
PROVEN = {"id": "b", "do": "List the files", "command": ["git", "ls-files"]}


@pytest.mark.parametrize(
    "case",
    [
        ("succeeded", (), ("success", 0)),
        ("succeeded", ("--strict",), ("success", 1)),
        ("partial", (), ("partial", 1)),
        ("partial", ("--strict",), ("partial", 1)),
    ],
)
def test_a_run_with_unproven_work_says_so_first_and_ends_as_the_user_wants(
    shell: command_runs.Shell,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, tuple[str, ...], tuple[str, int]],
) -> None:
    setting, arguments, ends = case
    monkeypatch.setenv("DISPATCH_MCP_UNPROVEN_RUNS", setting)
    said = shell("run", command_runs.written(repository, [CLAIMED, PROVEN]), *arguments)
    assert (said.json["status"], said.code) == ends
    assert next(iter(said.json.items())) == ("proof", "1 of 2 proven")
    assert "\n1 of 2 proven, 1 UNVERIFIED (claimed, not proven). " in said.err
    assert [line.get("unverified", False) for line in said.json["results"]] == [True, False]
    shown = shell("status", said.json["correlation_id"]).out.splitlines()
    assert shown[:2] == [
        "1 of 2 proven",
        f"run {said.json['correlation_id']}: {ends[0].replace('success', 'succeeded')}",
    ]


def test_a_run_whose_work_is_all_proven_says_nothing_of_proof(shell: command_runs.Shell, repository: Path) -> None:
    said = shell("run", command_runs.written(repository, [PROVEN]), "--strict")
    assert (said.code, "proof" in said.json, "proven" in said.err) == (0, False, False)


def test_a_task_for_the_assistant_waits_for_it_and_the_command_ends(shell: command_runs.Shell, tmp_path: Path) -> None:
    said = shell("run", command_runs.written(tmp_path, [{"id": "a", "do": "judge", "worker": "host"}]))
    assert said.code == 1
    assert said.json["summary"]["successful"] == 0
    assert f"ask your assistant to dispatch run {said.json['correlation_id']}" in said.err


def test_what_a_run_leaves_open_says_for_whom_it_waits_and_how_one_answers(
    shell: command_runs.Shell, tmp_path: Path
) -> None:
    tasks = [
        {"id": "ask", "do": "May we?", "worker": "human"},
        {"id": "look", "do": "Look", "command": ["git", "--version"], "deps": ["ask"]},
    ]
    said = shell("run", command_runs.written(tmp_path, tasks))
    assert (said.code, said.json["state"]) == (1, "waiting_input")
    assert {result["task_id"]: result["error"] for result in said.json["results"]} == {
        "ask": "not done yet: waits for a person to decide",
        "look": "not begun yet: waits for other tasks",
    }
    assert f"`dispatch-mcp approve {said.json['correlation_id']}`" in said.err


def test_trace_files_are_private_and_in_the_state_directory(
    shell: command_runs.Shell, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = tmp_path / "work"
    workspace.mkdir()
    monkeypatch.chdir(workspace)
    said = shell("run", str(command_runs.DOCUMENTS / "three-generators.json"), "--dry-run")
    files = [Path(line["trace_file"]) for line in said.json["results"]]
    assert all(path.is_relative_to(own_home / "state") for path in files)
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600] * 3
    assert json.loads(files[0].read_text("utf-8"))["correlation_id"] == said.json["correlation_id"]
    index = json.loads((files[0].parent / "_index.json").read_text("utf-8"))
    assert index == {path.stem: path.name for path in files}
    assert list(workspace.iterdir()) == []


def test_trace_files_go_where_the_user_says_and_not_where_the_document_says(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    document = str(command_runs.DOCUMENTS / "three-generators.json")
    said = shell("run", document, "--dry-run", "--trace-dir", "mine")
    assert {Path(line["trace_file"]).parent for line in said.json["results"]} == {tmp_path / "mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_plan_id_runs_the_stored_plan(shell: command_runs.Shell) -> None:
    document = str(command_runs.DOCUMENTS / "debug-then-fix.json")
    plan_id = shell("plan", document, "--json").json["plan_id"]
    said = shell("run", plan_id, "--dry-run")
    assert (said.code, said.json["summary"]["total_tasks"]) == (0, 2)


def test_a_title_names_plan_and_run_also_where_the_document_was_planned_under_another(
    shell: command_runs.Shell, tmp_path: Path
) -> None:
    document = command_runs.written(tmp_path, [{"id": "a", "do": "Look around", "command": ["git", "--version"]}])
    titles: list[str] = []
    for title in ("", "Second thing", "Second thing", ""):
        more = ["--title", title] if title else []
        run_id = shell("run", document, "--quiet", *more).json["correlation_id"]
        titles.append(shell("status", run_id, "--json").json["title"])
        assert run_id.startswith("second-thing-" if title else "look-around-")
    assert titles == ["Look around", "Second thing", "Second thing", "Look around"]
    assert shell("completion", "bash", "--values", "plans").out.count("\n") == 2
    assert shell("status", "second-thing", "--json").code == 2, "two runs begin like this"


def test_a_finished_document_runs_anew_and_reuse_takes_its_results_over(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH_MCP_REVIEWS", "none")
    document = str(command_runs.DOCUMENTS / "debug-then-fix.json")
    runs = [shell("run", document, "--dry-run", *more).json["correlation_id"] for more in ((), (), ("--reuse",))]
    assert len(set(runs)) == 3
    replayed = [sum(kind == "task_replayed" for kind, _ in history(shell, run_id)) for run_id in runs]
    assert replayed == [0, 0, 2]


def test_a_file_is_the_same_plan_whether_it_is_planned_or_run_and_what_was_added_is_said_first(
    shell: command_runs.Shell,
) -> None:
    document = str(command_runs.DOCUMENTS / "three-generators.json")
    planned = shell("plan", document, "--json").json
    assert list(planned)[:2] == ["added", "refuse"]
    assert set(planned["added"]) == {"council"}
    again = shell("plan", document)
    assert again.out.startswith("added: council (reviews = end, 3 seats)\n")
    assert f"plan {planned['plan_id']}, version 1" in again.out
    ran = shell("run", document, "--dry-run")
    assert ran.err.startswith("added: council (reviews = end, 3 seats). ")
    assert ran.json["summary"]["total_tasks"] == 3
    run_id = ran.json["correlation_id"]
    assert planned["plan_id"] in shell("status", run_id, "--json").out
    assert {task for kind, task in history(shell, run_id) if kind == "attempt_finished"} > set(planned["added"])


def test_another_setting_for_reviews_makes_another_plan_of_a_file(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = str(command_runs.DOCUMENTS / "three-generators.json")
    with_council = shell("plan", document, "--json").json
    monkeypatch.setenv("DISPATCH_MCP_REVIEWS", "none")
    without = shell("plan", document, "--json").json
    assert "added" not in without
    assert without["plan_id"] != with_council["plan_id"]


class Gate:
    """A command that says when it has begun and then waits to be let through; and one that counts its runs."""

    def __init__(self, folder: Path) -> None:
        self.counted, self.begun, self.open = folder / "counted", folder / "begun", folder / "open"
        for pipe in (self.begun, self.open):
            os.mkfifo(pipe)

    def tasks(self) -> list[dict[str, Any]]:
        count = f"open({str(self.counted)!r},'a').write('x')"
        wait = f"open({str(self.begun)!r},'w').write('begun'); open({str(self.open)!r}).read()"
        return [
            {"id": "count", "do": "count this run", "command": ["python", "-c", count]},
            {"id": "wait", "do": "wait at the gate", "command": ["python", "-c", wait], "deps": ["count"]},
        ]

    def reached(self) -> str:
        """Returns once the command waits at the gate."""
        return self.begun.read_text("utf-8")

    def let_through(self) -> None:
        self.open.write_text("go", "utf-8")


@pytest.mark.promise("R1")
@pytest.mark.skipif(os.name != "posix", reason="named pipes and SIGKILL")
@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)], ids=["kill -9", "ctrl-c"])
def test_an_interrupted_document_goes_on_where_it_was_and_repeats_nothing_finished(
    tmp_path: Path, how: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", ALLOW)
    gate = Gate(tmp_path)
    document = command_runs.written(tmp_path, gate.tasks())
    with command_runs.OwnProcess("run", document) as first:
        assert gate.reached() == "begun"
        first.send_signal(how)
        out, err = first.communicate(timeout=120)
    assert (first.returncode, out) == (code, "")
    assert "Traceback" not in err
    with command_runs.OwnProcess("run", document) as second:
        assert gate.reached() == "begun"
        gate.let_through()
        out, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert "resuming run" in err
    assert json.loads(out)["status"] == "success"
    assert gate.counted.read_text("utf-8") == "x"


def test_a_plan_that_nobody_here_can_do_is_refused_before_anything_begins(
    shell: command_runs.Shell, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    tasks = [{"id": "poem", "do": "Write a poem"}, {"id": "look", "do": "Look", "command": ["git", "status"]}]
    answer = shell("run", command_runs.written(repository, tasks))
    assert answer.code == 1
    assert "Nobody here can do 'poem': no ANTHROPIC_API_KEY" in answer.err
    assert "--dry-run" in answer.err
    assert answer.out == ""
    assert "runs" not in shell("status", "--all", "--json").json
    assert shell("run", command_runs.written(repository, tasks), "--dry-run").code == 0


def test_a_plan_of_commands_needs_nobody_else(
    shell: command_runs.Shell, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("DISPATCH_MCP_REVIEWS", "none")
    tasks = [{"id": "look", "do": "Look", "command": ["git", "status"]}]
    assert shell("run", command_runs.written(repository, tasks), "--quiet").code == 0


def test_commands_that_are_not_allowed_are_told_before_the_run_in_one_line_to_allow_them(
    shell: command_runs.Shell, repository: Path
) -> None:
    tasks = [{"id": name, "do": f"Make {name}", "command": ["make", name]} for name in ("one", "two")]
    document = command_runs.written(repository, tasks)
    answer = shell("run", document)
    assert answer.code == 1
    told = answer.err.partition("started run")[0]
    assert told.count("is not on the user's allow-list") == 2
    assert told.count("allow_commands = ") == 1
    assert '["make", "one"], ["make", "two"]' in told
    assert "allow-list" not in shell("run", document, "--dry-run").err
