"""Completion scripts, in the shells that are here."""

from __future__ import annotations

import shutil
import subprocess
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


def test_json_says_where_the_script_goes(shell: command_runs.Shell) -> None:
    answer = shell("completion", "fish", "--json").json
    assert answer["place"].endswith("dispatch-mcp.fish")
    assert answer["script"]
