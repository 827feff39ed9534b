"""What a program of a run tries in a person's place: nothing of it counts, whatever environment it makes itself."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import command_runs
import pytest

from dispatch_mcp.cli import person_acts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs are supervised on POSIX only")

GATE = {"id": "gate", "do": "May we go on?", "worker": "human"}
WORK = {"id": "work", "do": "Write it", "agent": "general-purpose", "worker": "host"}
LOOK = {"id": "look", "do": "Judge it", "reviews": ["work"], "worker": "host"}

IN_A_TERMINAL = f"{shlex.quote(sys.executable)} -c 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))'"
DISGUISES = {
    "as it is": "",
    "without our variables": "env -u DISPATCH_MCP_DEPTH",
    "without any variable": "env -i",
    "in a terminal of its own": IN_A_TERMINAL,
    "in a terminal without our variables": f"env -u DISPATCH_MCP_DEPTH {IN_A_TERMINAL}",
}
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux says which files are open")

Program = Callable[..., str]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    monkeypatch.setenv("DISPATCH_MCP_REVIEWS", "none")
    monkeypatch.setenv("DISPATCH_MCP_ALLOW_COMMANDS", json.dumps([["sh", "-c", "*"]]))
    return command_runs.shell(monkeypatch, capsys)


@pytest.fixture
def run_id(shell: command_runs.Shell, tmp_path: Path) -> str:
    return str(shell("run", command_runs.written(tmp_path, [GATE, WORK, LOOK]), "--quiet").json["correlation_id"])


@pytest.fixture
def program(shell: command_runs.Shell, tmp_path: Path) -> Program:
    """Returns what has a command of another run type something at our command line, and returns what it was told."""

    def types(*words: str, disguise: str = "") -> str:
        source = Path(person_acts.__file__).parents[2]
        ours = [sys.executable, "-m", "dispatch_mcp", *words, "--home", os.environ["DISPATCH_MCP_HOME"]]
        command = f"{disguise} env PYTHONPATH={shlex.quote(str(source))} {shlex.join(ours)} 2>&1; true"
        task = {"id": "try", "do": "Try it", "command": ["sh", "-c", command]}
        answer = shell("run", command_runs.written(tmp_path, [task]), "--quiet")
        assert answer.code == 0, answer
        [result] = answer.json["results"]
        return " ".join(str(result["output"]["stdout"]).split())

    return types


def state(shell: command_runs.Shell, run_id: str, task: str) -> str:
    tasks = shell("status", run_id, "--json").json["tasks"]
    return next(row["state"] for row in tasks if row["id"] == task)


@needs_proc
@pytest.mark.parametrize("disguise", DISGUISES.values(), ids=DISGUISES.keys())
@pytest.mark.slice(2)
def test_a_program_of_a_run_opens_no_gate_and_a_person_does(
    shell: command_runs.Shell, run_id: str, program: Program, disguise: str
) -> None:
    answer = program("approve", run_id, "gate", disguise=disguise)
    assert "A program of a run may not answer a decision" in answer
    assert "Approve in your own terminal" in answer
    assert state(shell, run_id, "gate") == "running"
    assert shell("approve", run_id).code == 0
    assert state(shell, run_id, "gate") == "succeeded"


@pytest.mark.parametrize("words", [["approve", "RUN", "--reject"], ["waive", "RUN", "f1", "--reason", "ok"]])
def test_a_program_of_a_run_neither_rejects_nor_waives(
    shell: command_runs.Shell, run_id: str, program: Program, words: list[str]
) -> None:
    assert "A program of a run may not" in program(*(run_id if word == "RUN" else word for word in words))
    assert state(shell, run_id, "gate") == "running"


def test_a_program_of_a_run_lets_no_review_go(shell: command_runs.Shell, run_id: str, program: Program) -> None:
    assert "only a person can let it go" in program("steer", "skip", run_id, "look")
    assert state(shell, run_id, "look") != "skipped"
    assert shell("steer", "skip", run_id, "look").code == 0
    assert state(shell, run_id, "look") == "skipped"


def test_a_program_of_a_run_raises_no_ceiling_and_may_lower_one(
    shell: command_runs.Shell, run_id: str, program: Program
) -> None:
    assert shell("limit", run_id, "dollars=8").code == 0
    digest = shell("limit", run_id, "dollars=9").err.partition("digest ")[2][:12]
    assert "may not raise what a run may use" in program("limit", run_id, "dollars=9", "--expect", digest)
    assert shell("status", run_id, "--json").json["limits"]["dollars"] == 8
    program("limit", run_id, "dollars=7")
    assert shell("status", run_id, "--json").json["limits"]["dollars"] == 7


def test_a_program_of_a_run_makes_no_token_and_applies_nothing(run_id: str, program: Program) -> None:
    assert "may not make a token" in program("token", "add", "me")
    assert "may not apply what a run has changed" in program("apply", run_id, "--expect", "0123456789ab")
    assert "may not trust an agent" in program("agents", "trust", "anybody")
    assert "may not edit the settings" in program("config", "edit")


@pytest.mark.parametrize("act", person_acts.PersonAct)
def test_no_act_of_a_person_is_a_programs(
    act: person_acts.PersonAct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person_acts.refuse(act, tmp_path)
    monkeypatch.setenv("DISPATCH_MCP_DEPTH", "1")
    with pytest.raises(person_acts.errors.NotAllowed, match=f"may not {act}"):
        person_acts.refuse(act, tmp_path)
