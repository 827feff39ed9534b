"""What the doctor finds, and what to do about it; it changes nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import command_runs
import listing_setups
import pytest

from dispatch_mcp.hooks import hand_ins


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


def facts(shell: command_runs.Shell, *words: str) -> dict[str, dict[str, str]]:
    return {fact["what"]: fact for fact in shell("doctor", "--json", *words).json}


def test_a_home_that_is_not_there_yet_is_no_fault_and_no_store_is_made(
    shell: command_runs.Shell, own_home: Path
) -> None:
    assert "will be made on first use" in facts(shell)["state folder"]["detail"]
    assert not (own_home / "state" / "state.db").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_a_home_that_others_can_read_is_to_be_made_private(shell: command_runs.Shell, own_home: Path) -> None:
    (own_home / "state").mkdir(mode=0o755)
    (own_home / "state").chmod(0o755)
    fact = facts(shell)["state folder"]
    assert (fact["mark"], fact["fix"]) == ("!", f"Make it private: chmod 700 {own_home / 'state'}.")


@pytest.mark.parametrize("place", ["file", "file/below", "file/far/below"])
@pytest.mark.parametrize("command", ["doctor", "run", "plan", "worker", "context", "token"])
def test_a_home_that_cannot_be_is_named_by_whatever_would_write_there(
    command: str, place: str, shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    document = command_runs.written(tmp_path, [{"id": "a", "do": "Look", "command": ["git", "status"]}])
    words = {"run": [document], "plan": [document], "context": ["Mend total()"], "token": ["add", "me"]}
    monkeypatch.setenv("DISPATCH_MCP_HOME", str(tmp_path / place))
    answer = shell(command, *words.get(command, []), "--workspace", str(tmp_path))
    text = answer.out + answer.err
    assert answer.code in (1, 2)
    assert str(tmp_path / "file") in text
    assert "no folder" in text or "Not a directory" in text
    assert (tmp_path / "file").read_text() == "no folder"


def test_a_home_that_is_no_folder_is_broken_and_the_way_out_is_another_one(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH_MCP_HOME", "/dev/null")
    answer = shell("doctor", "--json", "--workspace", str(tmp_path))
    [fact] = [fact for fact in answer.json if fact["mark"] == "✗"]
    assert answer.code == 1
    assert fact["detail"] == "/dev/null cannot be made: '/dev/null' is no folder"
    assert fact["fix"] == "Set DISPATCH_MCP_HOME to a folder that can be written, or make this one writable."


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_may_only_be_read_is_broken(shell: command_runs.Shell, own_home: Path) -> None:
    (own_home / "state").mkdir(mode=0o500)
    fact = facts(shell)["state folder"]
    assert (fact["mark"], "is not writable" in fact["detail"]) == ("✗", True)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may look into every folder")
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
@pytest.mark.parametrize("command", ["doctor", "run", "plan", "review", "route", "agents", "install"])
def test_a_workspace_that_may_not_be_looked_into_ends_no_command_with_an_error_of_the_system(
    command: str, mode: int, shell: command_runs.Shell, tmp_path: Path
) -> None:
    document = command_runs.written(tmp_path, [{"id": "a", "do": "Look", "command": ["git", "status"]}])
    words = {"run": [document, "--quiet"], "plan": [document], "route": ["Mend total()"]}
    closed = tmp_path / "closed"
    closed.mkdir(mode=mode)
    answer = shell(command, *words.get(command, []), "--workspace", str(closed))
    assert "itself failed" not in answer.out
    assert "Check the path, its rights" not in answer.err
    if command == "review":
        assert "is no workspace: it is a folder that cannot be read" in answer.err
    if command == "run":
        assert f"The workspace '{closed}' cannot be read." in answer.out


def test_a_client_that_starts_the_server_twice_is_named_with_the_ways_out(
    shell: command_runs.Shell, own_home: Path
) -> None:
    assert facts(shell)["clients"]["detail"] == "registered in none; `dispatch-mcp install` lists them"
    listing_setups.registered(own_home)
    assert facts(shell)["clients"]["detail"] == "Claude Code"
    listing_setups.plugin(own_home)
    fact = facts(shell)["Claude Code"]
    assert fact["mark"] == "!"
    assert "`dispatch-mcp uninstall claude-code --scope user`" in fact["fix"]
    assert "`claude plugin uninstall dispatch@dispatch-mcp`" in fact["fix"]


def test_a_store_that_is_none_is_a_fault_with_a_way_out(shell: command_runs.Shell, own_home: Path) -> None:
    (own_home / "state").mkdir(mode=0o700)
    (own_home / "state" / "state.db").write_bytes(b"this is no database at all" * 100)
    answer = shell("doctor", "--json")
    assert answer.code == 1
    [fact] = [fact for fact in answer.json if fact["mark"] == "✗"]
    assert "set DISPATCH_MCP_HOME to another folder to go on" in fact["fix"]
    assert shell("doctor").code == 1


@pytest.mark.parametrize(("git", "detail"), [(True, "(git)"), (False, "(no git repository)")])
def test_a_workspace_may_be_a_repository_or_not(
    shell: command_runs.Shell, tmp_path: Path, git: object, detail: str
) -> None:
    if git:
        (tmp_path / ".git").mkdir()
    assert facts(shell, "--workspace", str(tmp_path))["workspace"]["detail"] == f"{tmp_path} {detail}"


def test_the_root_of_the_disk_is_no_workspace_and_the_way_to_name_one_is_said(shell: command_runs.Shell) -> None:
    fact = facts(shell, "--workspace", "/")["workspace"]
    assert (fact["mark"], fact["detail"]) == ("!", "/ is no workspace: it is the root of the disk")
    assert fact["fix"] == "Go to the folder of your project, or name it with `--workspace DIR`."


def test_who_works_is_said_for_a_chat_and_for_a_shell(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = facts(shell)
    assert before["worker api"]["detail"].startswith("no ANTHROPIC_API_KEY")
    assert before["worker auto, chat"]["detail"].startswith("host: ")
    if "not found" in before["worker claude"]["detail"]:
        assert before["worker auto, shell"]["detail"].startswith("nobody: ")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key for a test")
    found = facts(shell)
    assert found["worker api"]["detail"] == "there is a key"
    assert found["worker auto, shell"]["detail"].startswith("api: ")
    assert "a key for a test" not in str(found)


def test_without_git_receipts_and_worktrees_are_missing(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fact = facts(shell)["git"]
    assert (fact["mark"], fact["fix"]) == ("!", "Install git for receipts and worktrees.")


def test_a_template_of_the_users_that_is_broken_is_named(shell: command_runs.Shell, own_home: Path) -> None:
    folder = own_home / "state" / "prompts"
    folder.mkdir(parents=True)
    (own_home / "state").chmod(0o700)
    (folder / "handoff.md.j2").write_text("no front matter {{", encoding="utf-8")
    fact = facts(shell)["templates"]
    assert fact["mark"] == "!"
    assert "handoff" in fact["detail"]


def test_an_endpoint_for_opentelemetry_without_its_extra_is_said_here_and_nowhere_else(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "telemetry" not in facts(shell)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.delitem(sys.modules, "dispatch_mcp.telemetry.span_export", raising=False)
    fact = facts(shell)["telemetry"]
    assert fact["mark"] == "!"
    assert "there is no module 'opentelemetry" in fact["detail"]
    assert fact["fix"].startswith("Install `dispatch-mcp[otel]`")
    assert "otel" not in shell("status").err.lower()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert "telemetry" not in facts(shell)


def test_a_variable_that_nobody_knows_is_a_warning(shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCH_MCP_MAX_PARALEL", "3")
    fact = facts(shell)["setting"]
    assert (fact["mark"], fact["fix"]) == ("!", "Correct or remove it.")
    assert "DISPATCH_MCP_MAX_PARALEL" in fact["detail"]


@pytest.mark.parametrize("typed", [["doctor"], ["config"], ["config", "check"]])
def test_who_looks_at_an_installation_loads_neither_the_engine_nor_the_workers(typed: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['dispatch-mcp', *{typed!r}]\n"
        "from dispatch_mcp import __main__\n"
        "__main__.main()\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(done.stderr.split())
    assert "dispatch_mcp.configuration" in loaded
    heavy = {"composition", "worker_setup", "service.dispatcher", "engine.executor", "engine.briefing"}
    heavy |= {"workers.anthropic.api_worker", "workers.claude.claude_worker", "context.pack_gatherer"}
    assert not {f"dispatch_mcp.{name}" for name in heavy} & loaded


def test_events_of_hooks_that_nobody_has_taken_are_named(shell: command_runs.Shell, own_home: Path) -> None:
    assert "hook events" not in facts(shell)
    kept = hand_ins.HandIns(str(own_home / "state"), "/shop")
    kept.keep("a", {"name": "SubagentStop", "event": {"session_id": "s1"}})
    assert "hook events" not in facts(shell), "it may be at work"
    (file,) = kept.waiting()
    os.utime(file, (1_000, 1_000))
    fact = facts(shell)["hook events"]
    assert fact["mark"] == "!"
    assert f"1 event of hooks nobody has taken: SubagentStop of session 's1' in {file}" in fact["detail"]
    assert "hooks.log says why" in fact["fix"]


def test_agents_are_counted_and_those_with_a_fault_in_their_file_are_named(
    shell: command_runs.Shell, tmp_path: Path
) -> None:
    assert re.fullmatch(r"\d+ known", facts(shell, "--workspace", str(tmp_path))["agents"]["detail"])
    folder = tmp_path / ".claude" / "agents"
    folder.mkdir(parents=True)
    (folder / "potter.md").write_text("---\nname: potter\ndescription: Use: for pots: and kilns\n---\nBe brief.\n")
    lines = facts(shell, "--workspace", str(tmp_path))
    assert lines["agents"]["detail"].endswith(" known, 1 of them with a fault in the file")
    assert "potter.md" in lines["agent"]["detail"]
