from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import command_runs
import pytest

from dispatch_mcp import errors
from dispatch_mcp.cli import arguments, shell_wording
from dispatch_mcp.cli import program as cli_program
from dispatch_mcp.model import RunState, TaskState, WorkerKind, records
from dispatch_mcp.runs import step_choice

TOOL_WORDS = ("get_trace", "steer_run", "plan_dag", "wait_s", "run_id", "route_task", "`report`")
AGENT = """---
name: {name}
description: {about}
keywords: [kiln, glaze]
tools: Bash
---
You look after the kiln.
"""


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """Returns what the next command finds on its standard input."""
    data = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data, encoding="utf-8"))
    return data


def agent(folder: Path, name: str, about: str = "Use for pottery: kilns, glazes and firing.") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text(AGENT.format(name=name, about=about), encoding="utf-8")
    return path


@pytest.mark.parametrize("command", ["", *sorted(arguments.COMMANDS)])
def test_every_command_explains_itself_and_the_exit_codes(shell: command_runs.Shell, command: str) -> None:
    said = shell(*filter(None, [command, "--help"]))
    assert said.code == 0
    assert "130" in said.out


@pytest.mark.parametrize(
    "typed",
    [
        ("bogus",),
        ("run",),
        ("waive", "latest"),
        ("steer", "explode", "x"),
        ("status", "--colour"),
        ("trace", "x", "--view", "y"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_the_usage(shell: command_runs.Shell, typed: tuple[str, ...]) -> None:
    said = shell(*typed)
    assert (said.code, said.out) == (2, "")
    assert "usage: dispatch-mcp" in said.err


@pytest.mark.parametrize(
    "typed",
    [
        ("status", "nothing"),
        ("trace", "nothing"),
        ("steer", "cancel", "nothing"),
        ("limit", "nothing", "dollars=1"),
        ("limit", "x", "dollars"),
        ("limit", "x", "euros=5"),
        ("run", "not-there.json"),
        ("run", "0" * 32),
        ("run", str(command_runs.DOCUMENTS)),
        ("run", str(command_runs.DOCUMENTS / "debug-then-fix.json"), "--worker", "magic"),
        ("plan", "bad\x1b[31m\0name"),
        ("route", "x", "--roster", "no-such-roster"),
        ("route", "x", "--roster", "/no/such/folder"),
        ("route", "x", "--batch", "y"),
        ("route", " "),
        ("agents", "show", "codr"),
        ("agents", "show"),
        ("agents", "trust", "coder"),
        ("demo", "--repo", "/"),
        ("status", "--workspace", "/no/such/folder"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_said_in_two_lines_and_as_json(
    shell: command_runs.Shell, typed: tuple[str, ...]
) -> None:
    said = shell(*typed)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("dispatch-mcp: ")
    assert "\x1b" not in said.err
    assert not any(word in said.err for word in TOOL_WORDS)
    as_json = shell(*typed, "--json")
    assert as_json.code == 2
    assert as_json.json["ok"] is False
    assert as_json.json["error"]
    assert as_json.json["hint"]


@pytest.mark.parametrize(
    ("content", "said_in"),
    [
        (b"", "it is empty"),
        (b"\xff{}", "not UTF-8: byte 0 is 0xff"),
        (b'{"tasks": [', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"7", "wrong_type"),
        (b'{"tasks": [{"id": "a", "do": "x", "timeout_s": NaN}]}', "bad_value"),
        (b"\xef\xbb\xbf[]", "empty_plan"),
    ],
    ids=["empty", "not UTF-8", "cut off", "deep", "a number", "NaN", "no tasks, with a mark"],
)
def test_a_document_that_is_none_is_refused_with_a_place(
    shell: command_runs.Shell, tmp_path: Path, content: bytes, said_in: str
) -> None:
    path = tmp_path / "tasks.json"
    path.write_bytes(content)
    for command in ("run", "plan"):
        said = shell(command, str(path))
        assert (said.code, said.out) == (2, "")
        assert said_in in said.err


def test_every_problem_of_a_plan_is_listed_at_once(shell: command_runs.Shell, tmp_path: Path) -> None:
    tasks = [{"id": "a", "do": "", "deps": ["b"]}, {"id": "c", "do": "x", "colour": "red"}]
    said = shell("plan", command_runs.written(tmp_path, tasks), "--json")
    assert said.code == 2
    codes = [problem["code"] for problem in said.json["errors"]]
    assert {"empty_goal", "unknown_dependency", "unknown_field"} <= set(codes)
    assert all(f"{code}:" in said.err for code in codes)


def test_a_plan_shows_waves_and_how_to_run_it(shell: command_runs.Shell) -> None:
    said = shell("plan", str(command_runs.DOCUMENTS / "two-nodes-two-checks.json"), "--diagram")
    assert said.code == 0
    assert "wave 1: gen-writer, gen-transformer\nwave 2: check-writer, check-transformer, council." in said.out
    assert "dispatch-mcp run " in said.out
    assert "flowchart" in said.out


def test_a_document_comes_from_stdin_too(shell: command_runs.Shell, stdin: io.BytesIO) -> None:
    stdin.write(b'[{"id": "a", "do": "work"}]')
    stdin.seek(0)
    assert shell("run", "-", "--dry-run", "--quiet").json["status"] == "success"


def test_a_run_can_be_listed_read_and_steered(shell: command_runs.Shell, tmp_path: Path) -> None:
    assert "There are no runs yet" in shell("status").out
    said = shell("run", command_runs.written(tmp_path, [{"id": "a", "do": "judge", "worker": "host"}]))
    run_id = said.json["correlation_id"]
    assert run_id in shell("status").out
    assert [line["run_id"] for line in shell("status", "--json").json["runs"]] == [run_id]
    assert "ready" in shell("status", run_id).out
    assert "run_created" in shell("trace", run_id).out
    assert shell("trace").out == shell("trace", run_id).out, "without a run it is the latest"
    for view in arguments.VIEWS:
        seen = shell("trace", run_id, "--view", view)
        assert (seen.code, seen.err) == (0, "")
        assert not any(word in seen.out for word in TOOL_WORDS)
        assert shell("trace", run_id, "--view", view, "--json").json["run_id"] == run_id
    paused = shell("steer", "pause", run_id, "--json").json
    assert paused["state"] == "paused"
    assert f"dispatch-mcp steer resume {run_id}" in paused["next"]
    assert shell("run", str(tmp_path / "tasks.json")).code == 1
    assert "cancelled" in shell("steer", "cancel", run_id, "--reason", "enough").out
    assert "No open runs" in shell("status").out
    assert run_id in shell("status", "--all").out


def test_an_advice_never_names_a_tool(shell: command_runs.Shell) -> None:
    for run_state in RunState:
        for task_state in TaskState:
            for worker in (WorkerKind.HOST, WorkerKind.COMMAND, WorkerKind.HUMAN):
                task = records.TaskRecord(id="a", position=0, worker=worker, state=task_state, attempt=1)
                run = records.RunRecord(id="r", plan_id="p", plan_version=1, state=run_state, worker=worker)
                said = shell_wording.words(step_choice.next_step(run, [task]))
                reason = step_choice.why_waiting("r", task, {"a": task_state}, [])
                said += reason if isinstance(reason, str) else shell_wording.words(reason)
                assert not any(word in said for word in TOOL_WORDS), said


def test_a_route_shows_its_reasons(shell: command_runs.Shell) -> None:
    said = shell("route", "Fix", "the", "JWT", "login", "--roster", "backend")
    assert said.code == 0
    labels = [line.split(":")[0] for line in said.out.splitlines()]
    assert labels[:5] == ["Keywords detected", "Routing to", "Knowledge document", "Model", "Why"]
    assert "auth-system-architect" in said.out
    assert (
        shell("route", "Fix the JWT login", "--json", "--roster", "backend").json["specialist"]
        == "auth-system-architect"
    )


def test_a_request_that_fits_nobody_is_inconclusive_and_asks(shell: command_runs.Shell) -> None:
    said = shell("route", "What should we cook tonight?")
    assert said.code == 3
    assert "Routing to: nobody" in said.out
    assert "Ask first: " in said.out


def test_a_batch_answers_one_line_each_in_order(shell: command_runs.Shell, tmp_path: Path) -> None:
    cases = [{"id": 7, "text": "Fix the JWT login"}, {"id": "b", "text": "What should we cook tonight?"}, {"text": ""}]
    path = tmp_path / "cases.jsonl"
    path.write_text("\n\n".join(map(json.dumps, cases)) + "\n", encoding="utf-8")
    said = shell("route", "--batch", str(path), "--roster", "backend")
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["id"] for line in lines] == [7, "b", 5]
    assert [line["label"] for line in lines] == ["auth-system-architect", None, None]
    assert all(set(line) == {"id", "label", "confidence", "ranked", "offered"} for line in lines)
    assert all(0 <= line["confidence"] <= 1 for line in lines)


def test_a_bad_line_of_a_batch_is_named_before_anything_is_answered(
    shell: command_runs.Shell, stdin: io.BytesIO
) -> None:
    stdin.write(b'{"id": 1, "text": "x"}\n{"id": 2}\n')
    stdin.seek(0)
    said = shell("route", "--batch", "-")
    assert (said.code, said.out) == (2, "")
    assert "Line 2 " in said.err


def test_a_folder_of_agents_is_used_alone(shell: command_runs.Shell, tmp_path: Path) -> None:
    agent(tmp_path / "team", "potter")
    agent(tmp_path / "team", "weaver", "Use for weaving: looms, yarn and cloth.")
    route = shell("route", "The glaze cracks in the kiln", "--roster", str(tmp_path / "team"), "--json").json
    assert {candidate["name"] for candidate in route["ranked"]} == {"potter", "weaver"}
    assert route["ranked"][0]["name"] == "potter"
    listed = shell("agents", "list", "--roster", str(tmp_path / "team"), "--json").json
    assert [one["name"] for one in listed] == ["potter", "weaver"]


def test_the_bundled_agents_are_listed_shown_and_clean(shell: command_runs.Shell) -> None:
    assert "auth-system-architect" in shell("agents").out
    assert "You are" in shell("agents", "show", "coder").out
    assert shell("agents", "show", "coder", "--json").json["roster"] == "dispatch"
    said = shell("agents", "lint", "--json")
    assert (said.code, said.json) == (0, [])


def test_the_lint_names_what_is_odd_about_a_folder(shell: command_runs.Shell, tmp_path: Path) -> None:
    team = tmp_path / "team"
    agent(team, "potter", "Use for this: kilns: and that: glazes")
    agent(team / "copy", "potter")
    (team / "bare.md").write_text("---\nname: bare\nknowledge: notes/none.md\n---\nI fire things.\n", encoding="utf-8")
    said = shell("agents", "lint", "--roster", str(team), "--json")
    assert said.code == 1
    found = {(finding["code"], Path(finding["path"]).name) for finding in said.json}
    assert {("read_leniently", "potter.md"), ("no_description", "bare.md"), ("no_knowledge", "bare.md")} <= found
    assert "duplicate" in {code for code, _ in found}
    assert "no_knowledge: " in shell("agents", "lint", "--roster", str(team)).out


def test_trust_is_given_to_one_content_by_its_digest(
    shell: command_runs.Shell, tmp_path: Path, own_home: Path, stdin: io.BytesIO
) -> None:
    path = agent(tmp_path / ".claude" / "agents", "potter")
    where = ("--workspace", str(tmp_path))
    asked = shell("agents", "trust", "potter", *where)
    assert asked.code == 1
    assert "person's decision" in asked.err
    digest = shell("agents", "show", "potter", "--json", *where).json["sha256"]
    assert digest in asked.err
    assert shell("agents", "trust", "potter", "--sha256", "0" * 64, *where).code == 2
    assert not shell("agents", "show", "potter", "--json", *where).json["trusted"]
    assert shell("agents", "trust", "potter", "--sha256", digest, *where).code == 0
    shown = shell("agents", "show", "potter", "--json", *where).json
    assert (shown["trusted"], shown["tools"]) == (True, ["Bash"])
    assert (own_home / "state" / "trusted-agents.json").stat().st_mode & 0o777 == 0o600
    path.write_text(path.read_text("utf-8") + "Delete everything.\n", encoding="utf-8")
    assert not shell("agents", "show", "potter", "--json", *where).json["trusted"]


def test_settings_and_health_are_shown_as_tables_and_as_json(shell: command_runs.Shell) -> None:
    assert "max_parallel" in shell("config", "--origin").out
    assert shell("config", "--json").json["max_parallel"] == {"value": 5, "from": "default"}
    assert "python" in shell("doctor").out
    assert all(fact["mark"] != "✗" for fact in shell("doctor", "--json").json)


def test_a_setting_that_does_not_fit_is_exit_code_2(shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCH_MCP_MAX_PARALLEL", "many")
    said = shell("status")
    assert said.code == 2
    assert "DISPATCH_MCP_MAX_PARALLEL" in said.err


@pytest.mark.promise("R8")
@pytest.mark.parametrize("typed", [("status",), ("plan", "-"), ("run", "-"), ("steer", "cancel", "x")], ids=" ".join)
def test_a_state_directory_that_cannot_be_is_one_sentence(
    shell: command_runs.Shell, tmp_path: Path, stdin: io.BytesIO, typed: tuple[str, ...]
) -> None:
    stdin.write(b'[{"id": "a", "do": "work"}]')
    stdin.seek(0)
    (tmp_path / "file").write_text("", encoding="utf-8")
    said = shell(*typed, "--home", str(tmp_path / "file" / "state"))
    assert said.code in (1, 2)
    assert said.out == ""
    assert said.err.count("\n") == 2


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (errors.StoreBusy("The store is busy.", hint="Wait."), 1, "dispatch-mcp: The store is busy.\n  Wait.\n"),
        (errors.InputError("No.", hint="Yes."), 2, "dispatch-mcp: No.\n  Yes.\n"),
        (PermissionError(13, "Permission denied", "a.txt"), 1, "dispatch-mcp: 'a.txt': Permission denied.\n"),
        (KeyboardInterrupt(), 130, "dispatch-mcp: interrupted\n"),
    ],
    ids=["error", "input", "file", "interrupt"],
)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_expected_failures_end_as_sentences_however_deep(
    capsys: pytest.CaptureFixture[str], raised: BaseException, code: int, said: str, depth: int
) -> None:
    for _ in range(depth):
        raised = BaseExceptionGroup("tasks", [ValueError("beside it"), raised])
    assert cli_program.excuse(raised) == code
    assert capsys.readouterr().err.startswith(said)


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        cli_program.excuse(ZeroDivisionError())


def test_a_reader_that_leaves_early_is_no_failure() -> None:
    command = f"'{sys.executable}' -m dispatch_mcp config | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    closed = f"'{sys.executable}' -m dispatch_mcp agents --json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", closed], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.slice(3)
def test_any_encoding_of_stdout_gets_all_of_the_json(encoding: str) -> None:
    env = {**os.environ, "PYTHONIOENCODING": encoding, "NO_COLOR": "1", "COLUMNS": "20"}
    for more in ([], ["--json"]):
        command = [sys.executable, "-m", "dispatch_mcp", "route", "Añade un índice a la tabla 表", *more]
        done = subprocess.run(command, capture_output=True, env=env, timeout=120, check=False)
        assert (done.returncode in (0, 3), done.stderr) == (True, b"")
    assert json.loads(done.stdout.decode(encoding))["why"]


def test_version_needs_no_settings() -> None:
    env = {**os.environ, "DISPATCH_MCP_MAX_PARALLEL": "nonsense"}
    done = subprocess.run(
        [sys.executable, "-m", "dispatch_mcp", "--version"],
        capture_output=True,
        text=True,
        env=env,
        timeout=120,
        check=True,
    )
    assert done.stdout.startswith("dispatch-mcp ")
