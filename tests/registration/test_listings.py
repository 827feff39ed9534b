"""Clients that start this server more than once are found, however it came there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import command_runs
import listing_setups
import pytest

from dispatch_mcp.registration import clients, listings

PLUGIN = listing_setups.PLUGIN


def around(home: Path, platform: str = "linux") -> clients.Machine:
    return clients.Machine(home, {}, platform, home / "project")


def rows(name: str, home: Path, platform: str = "linux") -> list[str]:
    return [row.source for row in listings.listings(clients.CLIENTS[name], around(home, platform))]


def bundle(home: Path) -> None:
    folder = home / "Library/Application Support/Claude/Claude Extensions/local.mcpb.dispatch-mcp"
    listing_setups.put(folder / "manifest.json", {"name": "dispatch-mcp"})
    listing_setups.put(folder.parent / "other/manifest.json", {"name": "other"})


def unreadable(home: Path) -> None:
    (home / ".claude.json").write_text("{ broken")


@pytest.mark.parametrize("client", sorted(clients.CLIENTS))
def test_no_client_starts_it_on_a_machine_where_it_never_was(client: str, tmp_path: Path) -> None:
    assert rows(client, tmp_path) == []


WAYS: dict[str, tuple[Callable[[Path], None], bool]] = {
    "registered": (listing_setups.registered, True),
    "another name": (lambda home: listing_setups.registered(home, "mine"), True),
    "another program": (lambda home: listing_setups.registered(home, "mine", "/opt/other"), False),
    "plugin": (listing_setups.plugin, True),
    "plugin that is off": (lambda home: listing_setups.plugin(home, is_on=False), False),
    "unreadable": (unreadable, False),
}


@pytest.mark.parametrize("way", WAYS)
def test_claude_code_starts_it_from_a_registration_and_from_the_plugin(way: str, tmp_path: Path) -> None:
    make, starts = WAYS[way]
    make(tmp_path)
    assert bool(rows("claude-code", tmp_path)) == starts


def test_scopes_of_one_name_are_one_server_and_the_nearest_is_named(tmp_path: Path) -> None:
    listing_setups.registered(tmp_path)
    listing_setups.put(tmp_path / "project/.mcp.json", {"mcpServers": {"dispatch": {"command": "x"}}})
    assert rows("claude-code", tmp_path) == [f"the registration in {tmp_path / 'project/.mcp.json'}"]


def test_a_project_may_switch_the_plugin_off(tmp_path: Path) -> None:
    listing_setups.plugin(tmp_path)
    listing_setups.put(tmp_path / "project/.claude/settings.json", {"enabledPlugins": {PLUGIN: False}})
    assert rows("claude-code", tmp_path) == []
    listing_setups.put(tmp_path / "project/.claude/settings.local.json", {"enabledPlugins": {PLUGIN: True}})
    assert rows("claude-code", tmp_path) == [f"the plugin {PLUGIN}"]


def test_the_bundle_of_claude_desktop_counts_beside_its_registration(tmp_path: Path) -> None:
    bundle(tmp_path)
    listing_setups.put(
        tmp_path / "Library/Application Support/Claude/claude_desktop_config.json",
        {"mcpServers": {"dispatch": {"command": "x"}}},
    )
    assert len(rows("claude-desktop", tmp_path, "darwin")) == 2


def test_what_is_said_names_every_way_out(tmp_path: Path) -> None:
    listing_setups.registered(tmp_path)
    client = clients.CLIENTS["claude-code"]
    assert listings.double(client, listings.listings(client, around(tmp_path))) == ""
    listing_setups.plugin(tmp_path)
    assert listings.double(client, listings.listings(client, around(tmp_path))) == (
        f"Claude Code starts this server twice and lists its tools twice: from the registration in "
        f"{tmp_path / '.claude.json'}, which `dispatch-mcp uninstall claude-code --scope user` takes out, and from the "
        "plugin dispatch@dispatch-mcp, which `claude plugin uninstall dispatch@dispatch-mcp` takes out. Keep one; the "
        "plugin brings hooks and commands as well."
    )


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> command_runs.Shell:
    monkeypatch.chdir(tmp_path)
    return command_runs.shell(monkeypatch, capsys)


def test_install_says_that_the_plugin_is_there_already(shell: command_runs.Shell, own_home: Path) -> None:
    listing_setups.plugin(own_home)
    assert "starts this server twice" in shell("install", "claude-code").out
    assert "starts this server" not in shell("install", "gemini").out


def test_uninstall_names_the_plugin_that_it_cannot_take_out(shell: command_runs.Shell, own_home: Path) -> None:
    listing_setups.plugin(own_home)
    first, second, *_ = shell("uninstall").out.splitlines()
    assert first == "This server is registered in no client."
    assert (
        second
        == f"Claude Code starts it from the plugin {PLUGIN} too: `claude plugin uninstall {PLUGIN}` takes that out."
    )


def test_uninstall_shows_every_file_that_it_changes(shell: command_runs.Shell, own_home: Path) -> None:
    shell("install", "claude-code", "--status-line")
    would = shell("uninstall", "--dry-run").out
    answer = shell("uninstall").out
    for file in (own_home / ".claude.json", own_home / ".claude/settings.json"):
        assert f"a change of {file}" in would
        assert f"a change of {file}" in answer
    assert answer.count("✓ Written") == 2
    assert json.loads((own_home / ".claude/settings.json").read_text()) == {}


@pytest.mark.parametrize("words", [["uninstall"], ["install", "--remove"]])
def test_taking_out_what_is_not_there_says_so_and_shows_no_table(
    words: list[str], shell: command_runs.Shell, own_home: Path
) -> None:
    answer = shell(*words)
    assert answer.code == 0
    assert answer.out.splitlines()[0] == "This server is registered in no client."
    assert "dispatch-mcp install CLIENT" not in answer.out
    assert shell(*words, "--json").json == []
    assert list(own_home.iterdir()) == []


def test_a_registration_that_cannot_be_written_says_what_is_in_the_way(
    shell: command_runs.Shell, own_home: Path
) -> None:
    (own_home / ".cursor").write_text("no folder")
    answer = shell("install", "cursor")
    assert answer.code == 2
    assert f"cannot be written: {str(own_home / '.cursor')!r} is no folder." in answer.err
    assert (own_home / ".cursor").read_text() == "no folder"
