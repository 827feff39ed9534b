"""Files as people have them: with comments, other servers, an order of their own, and settings of every kind."""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dispatch_mcp.registration import clients, registrations
from dispatch_mcp.text import commented_json

LAUNCH = clients.Launch("/opt/it/bin/dispatch-mcp", ("serve",), {"DISPATCH_MCP_WORKSPACE": "/users/ann/shop"})

VSCODE = """{
\t// what the team uses
\t"inputs": [
\t\t{ "type": "promptString", "id": "key", "password": true, },
\t],
\t"servers": {
\t\t"playwright": { "command": "npx", "args": ["-y", "@playwright/mcp@latest"] },
\t\t"github": {
\t\t\t"type": "http",
\t\t\t"url": "https://example.invalid/mcp/", // the remote one
\t\t},
\t},
}
"""
GEMINI = """{
    "theme": "GitHub",
    "mcpServers": {
        "zeta": {"command": "z", "timeout": 5000, "trust": false},
        "alpha": {"httpUrl": "http://127.0.0.1:9/mcp"}
    },
    "selectedAuthType": "oauth-personal"
}"""
OPENCODE = """{
  "$schema": "https://example.invalid/config.json",
  /* models
     of mine */
  "model": "anthropic/claude-sonnet",
  "agent": { "build": { "temperature": 0.1 } }
}
"""
DESKTOP = '{"globalShortcut": "", "mcpServers": {"files": {"command": "npx", "args": ["-y", "fs", "/users/ann"]}}}'
CODEX = """model = "gpt-5"            # the fast one
approval_policy = "on-request"

[mcp_servers.docs]
command = "npx"
args = [
  "-y",        # no questions
  "docs-mcp",
]
[mcp_servers.docs.env]
TOKEN = "t"

[[profiles]]
name = '''a ' b'''

# the end
"""
CLAUDE = json.dumps(
    {"numStartups": 3, "projects": {"/users/ann/shop": {"allowedTools": [], "mcpServers": {}}}, "ümlaut": "ß"}
)
FILES = [
    ("vscode", "project", VSCODE),
    ("gemini", "user", GEMINI),
    ("opencode", "user", OPENCODE),
    ("claude-desktop", "user", DESKTOP),
    ("codex", "user", CODEX),
    ("claude-code", "user", CLAUDE),
    ("claude-code", "local", CLAUDE),
]


def file_of(name: str, scope: clients.Scope, text: str, folder: Path) -> tuple[clients.Client, clients.EntryPlace]:
    """Returns a client and the place of its entry in a file that holds the text."""
    client = clients.CLIENTS[name]
    place = client.place(scope, clients.Machine(folder, {}, "linux", Path("/users/ann/shop")))
    place = clients.EntryPlace(folder / place.file.name, place.keys, place.style)
    place.file.write_bytes(text.encode())
    return client, place


def value_of(place: clients.EntryPlace, text: str) -> Any:
    return tomllib.loads(text) if place.style == "toml" else commented_json.parse(text)


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize(("name", "scope", "text"), FILES, ids=[f"{name}-{scope}" for name, scope, _ in FILES])
def test_only_lines_of_the_entry_are_added_and_all_of_them_go_again(
    name: str, scope: clients.Scope, text: str, ending: str, tmp_path: Path
) -> None:
    text = text.replace("\n", ending)
    client, place = file_of(name, scope, text, tmp_path)
    registrations.carry_out(registrations.addition(place, client.entry(LAUNCH)), tmp_path / "state/backups")
    after = place.file.read_bytes().decode()
    entry = registrations.present(place)
    assert entry is not None
    assert clients.launch_of(entry) == LAUNCH
    lost = [row for row in difflib.ndiff(text.splitlines(), after.splitlines()) if row[:1] == "-"]
    assert name.startswith("claude") or all(row[2:].rstrip("}") in after for row in lost)
    registrations.carry_out(registrations.removal(place), tmp_path / "state/backups")
    back = place.file.read_bytes().decode()
    assert registrations.present(place) is None
    assert back == text or (name, scope) == ("claude-code", "local")


@pytest.mark.parametrize(("name", "scope", "text"), FILES, ids=[f"{name}-{scope}" for name, scope, _ in FILES])
def test_every_other_setting_keeps_its_value_and_its_place(
    name: str, scope: clients.Scope, text: str, tmp_path: Path
) -> None:
    client, place = file_of(name, scope, text, tmp_path)
    before = value_of(place, text)
    change = registrations.addition(place, client.entry(LAUNCH))
    after = value_of(place, change.after)
    assert list(after)[: len(before)] == list(before)
    for key in before.keys() - {"mcpServers", "servers", "mcp", "mcp_servers", "projects"}:
        assert after[key] == before[key]
    for key in before.keys() & {"mcpServers", "servers", "mcp_servers"}:
        assert {name: entry for name, entry in after[key].items() if name != "dispatch"} == before[key]


def test_a_second_installation_replaces_the_command_and_nothing_else(tmp_path: Path) -> None:
    client, place = file_of("vscode", "project", VSCODE, tmp_path)
    backups = tmp_path / "state/backups"
    registrations.carry_out(registrations.addition(place, client.entry(LAUNCH)), backups)
    moved = clients.Launch("/usr/bin/elsewhere", ("serve",))
    change = registrations.addition(place, client.entry(moved))
    assert [line for line in change.lines() if line[:1] in "+-"][2:] == [
        '-\t\t\t"command": "/opt/it/bin/dispatch-mcp",',
        '+\t\t\t"command": "/usr/bin/elsewhere",',
    ]
