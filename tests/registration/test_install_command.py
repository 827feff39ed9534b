"""Registering in clients, as a person at a shell does it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import command_runs
import pytest

from dispatch_mcp.registration import clients


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> command_runs.Shell:
    monkeypatch.chdir(tmp_path)
    return command_runs.shell(monkeypatch, capsys)


@pytest.mark.parametrize("client", sorted(clients.CLIENTS))
@pytest.mark.slice(2)
def test_a_client_is_registered_tried_and_taken_out_again(
    client: str, shell: command_runs.Shell, own_home: Path
) -> None:
    answer = shell("install", client)
    assert answer.code == 0, answer.err
    assert "8 tools after" in answer.out
    (entry,) = shell("install", client, "--json", "--dry-run").json
    assert not entry["changed"]
    assert Path(clients.launch_of(entry["entry"]).command).is_absolute()
    assert shell("uninstall", client).code == 0
    (entry,) = shell("uninstall", client, "--json").json
    assert entry["entry"] is None
    assert Path(entry["file"]).is_relative_to(own_home)


def test_a_dry_run_shows_the_change_and_writes_nothing(shell: command_runs.Shell, own_home: Path) -> None:
    answer = shell("install", "cursor", "--dry-run")
    assert '+    "dispatch": {' in answer.out
    assert "Nothing was written" in answer.out
    assert list(own_home.iterdir()) == []


def test_a_server_that_does_not_start_is_not_registered(
    shell: command_runs.Shell, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(own_home / "no-python"))
    answer = shell("install", "claude-code")
    assert answer.code == 2
    assert "no-python' cannot be started" in answer.err
    assert "Nothing was written" in answer.err
    assert not (own_home / ".claude.json").exists()


def test_the_workspace_that_is_named_stands_in_the_entry(shell: command_runs.Shell, tmp_path: Path) -> None:
    (entry,) = shell("install", "claude-desktop", "--workspace", str(tmp_path), "--dry-run", "--json").json
    assert entry["entry"]["env"] == {"DISPATCH_MCP_WORKSPACE": str(tmp_path)}
    assert "has no project" in shell("install", "claude-desktop", "--dry-run").out


def test_a_project_gets_a_file_of_its_own_that_others_may_read(shell: command_runs.Shell, tmp_path: Path) -> None:
    assert shell("install", "claude-code", "--scope", "project").code == 0
    file = tmp_path / ".mcp.json"
    assert "dispatch" in json.loads(file.read_text(encoding="utf-8"))["mcpServers"]
    assert file.stat().st_mode & 0o777 == 0o644
    shell("install", "claude-code", "--scope", "project", "--remove")
    assert json.loads(file.read_text(encoding="utf-8")) == {"mcpServers": {}}


def test_without_a_client_it_says_which_are_here_and_registered(shell: command_runs.Shell, own_home: Path) -> None:
    (own_home / ".gemini").mkdir()
    (own_home / ".claude.json").write_text('{"mcpServers": {"dispatch": {"command": "x"}}}')
    rows = {row["client"]: row for row in shell("install", "--json").json}
    assert list(rows) == list(clients.CLIENTS)
    assert rows["gemini"]["here"]
    assert rows["gemini"]["registered"] == []
    assert rows["claude-code"]["registered"] == ["user"]
    assert "dispatch-mcp install CLIENT" in shell("install").out


def test_uninstall_takes_it_out_everywhere_and_says_what_stays(
    shell: command_runs.Shell, own_home: Path, tmp_path: Path
) -> None:
    for file in (own_home / ".claude.json", tmp_path / ".mcp.json"):
        file.write_text('{"mcpServers": {"dispatch": {"command": "x"}, "other": {}}}')
    (own_home / ".cursor").mkdir()
    (own_home / ".cursor/mcp.json").write_text("{ broken")
    answer = shell("uninstall")
    assert answer.code == 0
    assert "cannot be changed: line 1" in answer.err
    assert f"stay in {own_home / 'state'}" in answer.out
    for file in (own_home / ".claude.json", tmp_path / ".mcp.json"):
        assert json.loads(file.read_text()) == {"mcpServers": {"other": {}}}
    assert "registered in no client" in shell("uninstall").out


def test_a_file_that_cannot_be_changed_keeps_uninstall_from_no_other(shell: command_runs.Shell, own_home: Path) -> None:
    twice = '{"mcpServers": {"dispatch": {"command": "x"}}, "mcpServers": {"dispatch": {"command": "y"}}}'
    for name in (".claude.json", ".cursor/mcp.json", ".gemini/settings.json"):
        (own_home / name).parent.mkdir(exist_ok=True)
        (own_home / name).write_text('{"mcpServers": {"dispatch": {"command": "x"}}}')
    (own_home / ".cursor/mcp.json").write_text(twice)
    answer = shell("uninstall", "--json")
    assert answer.code == 1
    assert "Cursor (user): " in answer.err
    assert "cannot be changed" in answer.err
    assert [(row["client"], row["written"], "error" in row) for row in answer.json] == [
        ("claude-code", True, False),
        ("cursor", False, True),
        ("gemini", True, False),
    ]
    assert (own_home / ".cursor/mcp.json").read_text() == twice
    assert shell("uninstall", "cursor").code == 2


def test_a_client_or_scope_that_is_none_is_wrong_usage(shell: command_runs.Shell) -> None:
    assert shell("install", "emacs").code == 2
    answer = shell("install", "gemini", "--scope", "local")
    assert answer.code == 2
    assert "no scope 'local'" in answer.err


def test_a_status_line_is_offered_added_when_it_is_asked_for_and_taken_out_again(
    shell: command_runs.Shell, own_home: Path
) -> None:
    settings = own_home / ".claude/settings.json"
    assert "`dispatch-mcp install claude-code --status-line` shows the open run" in shell("install", "claude-code").out
    assert not settings.exists()
    assert shell("install", "claude-code", "--status-line").code == 0
    line = json.loads(settings.read_text(encoding="utf-8"))["statusLine"]
    assert line["type"] == "command"
    assert line["command"].endswith(" statusline")
    assert Path(shlex.split(line["command"])[0]).is_absolute()
    assert shell("uninstall", "claude-code").code == 0
    assert json.loads(settings.read_text(encoding="utf-8")) == {}


def test_a_status_line_of_the_users_own_is_never_taken_away(shell: command_runs.Shell, own_home: Path) -> None:
    settings = own_home / ".claude/settings.json"
    settings.parent.mkdir()
    mine = '{"statusLine": {"type": "command", "command": "my-line"}}'
    settings.write_text(mine)
    assert "stays as it is" in shell("install", "claude-code", "--status-line").out
    shell("uninstall", "claude-code")
    assert settings.read_text() == mine
