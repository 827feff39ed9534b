"""Completion scripts, in the shells that are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import command_runs
import pytest

from dispatch_mcp.cli import arguments

CHECKS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.mark.parametrize("name", arguments.SHELLS)
def test_a_script_names_every_command_and_can_be_read_by_its_shell(
    name: str, shell: command_runs.Shell, tmp_path: Path
) -> None:
    answer = shell("completion", name)
    assert answer.code == 0
    assert [command for command in arguments.COMMANDS if command not in answer.out] == []
    check = CHECKS.get(name, [""])
    if shutil.which(check[0]):
        script = tmp_path / "script"
        script.write_text(answer.out)
        subprocess.run([*check, str(script)], check=True, timeout=120)


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["re"], {"review"}),
        (["install", "cl"], {"claude-code", "claude-desktop"}),
        (["trace", "--vi"], {"--view"}),
    ],
)
def test_bash_completes_commands_values_and_options(
    typed: list[str], expected: set[str], shell: command_runs.Shell, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(shell("completion", "bash").out)
    words = " ".join(["dispatch-mcp", *typed])
    ask = (
        f'source "{script}"; COMP_WORDS=({words}); COMP_CWORD={len(typed)}\n'
        "complete -p dispatch-mcp | sed 's/.*-F \\([^ ]*\\).*/\\1/' > name\n"
        f'"$(cat name)" dispatch-mcp "{typed[-1]}" x; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert {word.strip() for word in done.stdout.splitlines()} == expected


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts this program on the PATH, under the name by which the scripts ask it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    started = f'#!/bin/sh\nexec "{sys.executable}" -m dispatch_mcp "$@"\n'
    (folder / "dispatch-mcp").write_text(started)
    (folder / "dispatch-mcp").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


@pytest.fixture
def run_id(shell: command_runs.Shell, tmp_path: Path) -> str:
    """A run of two tasks, and a newer one of another."""
    first = [{"id": name, "do": "Look", "command": ["git", "--version"]} for name in ("left", "right")]
    for tasks in (first, [{"id": "other", "do": "Turn", "command": ["git", "--version"]}]):
        shell("run", command_runs.written(tmp_path, tasks), "--quiet")
    newest, oldest = shell("completion", "bash", "--values", "runs").out.split()[1:]
    assert (newest[:5], oldest[:5]) == ("turn-", "look-")
    return oldest


def oldest_plan(shell: command_runs.Shell) -> str:
    newest, oldest = shell("completion", "bash", "--values", "plans").out.split()
    assert (newest[:5], oldest[:5]) == ("turn-", "look-")
    return oldest


def in_bash(words: list[str], script: Path) -> set[str]:
    line = " ".join(["dispatch-mcp", *words])
    ask = (
        f'source "{script}"; COMP_LINE="{line}"; COMP_WORDS=({line}); COMP_CWORD={len(words)}\n'
        '_shtab_dispatch_mcp dispatch-mcp "${COMP_WORDS[COMP_CWORD]}"; printf "%s\n" "${COMPREPLY[@]}"'
    )
    return set(
        subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=120, check=True).stdout.split()
    )


def in_fish(words: list[str], script: Path) -> set[str]:
    line = " ".join(["dispatch-mcp", *words])
    done = subprocess.run(
        ["fish", "-c", f"source {script}; complete -C '{line}'"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return {row.partition("\t")[0] for row in done.stdout.splitlines()}


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("name", ["bash", "fish"])
@pytest.mark.slice(2)
def test_a_shell_completes_runs_plans_and_the_tasks_of_the_run_that_is_typed(
    name: str, run_id: str, shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which(name):
        pytest.skip(f"needs {name}")
    script = tmp_path / "script"
    script.write_text(shell("completion", name).out)
    asked = in_bash if name == "bash" else in_fish
    assert asked(["trace", "loo"], script) == {run_id}
    assert asked(["steer", "retry", "latest", "o"], script) == {"other"}
    assert asked(["steer", "retry", run_id, "l"], script) == {"left"}
    assert asked(["agents", "show", "eng-d"], script) == {"eng-database"}
    assert asked(["run", "x.json", "--worker", "sc"], script) == {"scripted"}
    plan_id = oldest_plan(shell)
    (tmp_path / "lookups.json").touch()
    monkeypatch.chdir(tmp_path)
    assert asked(["run", "look"], script) == {plan_id, "lookups.json"}


@pytest.mark.parametrize("kind", ["runs", "tasks", "plans"])
def test_where_nothing_is_kept_nothing_is_offered_and_nothing_made(
    kind: str, shell: command_runs.Shell, own_home: Path
) -> None:
    answer = shell("completion", "zsh", "--values", kind)
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert not (own_home / "state").exists()


@pytest.mark.parametrize("name", arguments.SHELLS)
def test_a_script_begins_with_the_one_place_where_it_goes(name: str, shell: command_runs.Shell) -> None:
    head = shell("completion", name).out[:300]
    assert f"# It belongs in {shell('completion', name, '--json').json['place']}\n" in head
    assert "Copy this" not in head


@pytest.mark.parametrize("name", arguments.SHELLS)
def test_a_script_holds_no_character_that_a_code_page_could_spoil(name: str, shell: command_runs.Shell) -> None:
    assert shell("completion", name).out.isascii()


@pytest.mark.parametrize("name", arguments.SHELLS)
def test_a_script_asks_for_tasks_with_the_line_that_is_typed(name: str, shell: command_runs.Shell) -> None:
    asked = [line for line in shell("completion", name).out.splitlines() if "--values tasks" in line]
    assert asked
    assert all("--line " in line for line in asked)


def test_json_says_where_the_script_goes(shell: command_runs.Shell) -> None:
    answer = shell("completion", "fish", "--json").json
    assert answer["place"].endswith("dispatch-mcp.fish")
    assert answer["script"]
