from __future__ import annotations

import json
from pathlib import Path

import pytest

from dispatch_mcp import errors
from dispatch_mcp.cli import arguments
from dispatch_mcp.registration import clients, launches

HOME, PROJECT = Path("/users/ann"), Path("/users/ann/shop")


def around(platform: str = "linux", **env: str) -> clients.Machine:
    return clients.Machine(HOME, env, platform, PROJECT)


def test_the_command_line_offers_every_client_and_scope() -> None:
    assert tuple(clients.CLIENTS) == arguments.CLIENTS
    assert set(arguments.SCOPES) == {scope for client in clients.CLIENTS.values() for scope in client.places}


@pytest.mark.parametrize(
    ("name", "scope", "surroundings", "file"),
    [
        ("claude-code", "user", around(), HOME / ".claude.json"),
        ("claude-code", "user", around(CLAUDE_CONFIG_DIR="/cfg"), Path("/cfg/.claude.json")),
        ("claude-code", "project", around(), PROJECT / ".mcp.json"),
        ("claude-code", "local", around(), HOME / ".claude.json"),
        ("claude-desktop", "user", around(), HOME / ".config/Claude/claude_desktop_config.json"),
        (
            "claude-desktop",
            "user",
            around("darwin"),
            HOME / "Library/Application Support/Claude/claude_desktop_config.json",
        ),
        ("claude-desktop", "user", around("win32", APPDATA="/r"), Path("/r/Claude/claude_desktop_config.json")),
        ("vscode", "user", around("darwin"), HOME / "Library/Application Support/Code/User/mcp.json"),
        ("vscode", "project", around(), PROJECT / ".vscode/mcp.json"),
        ("codex", "user", around(CODEX_HOME="/codex"), Path("/codex/config.toml")),
        ("opencode", "user", around(XDG_CONFIG_HOME="/xdg"), Path("/xdg/opencode/opencode.json")),
        ("gemini", "project", around(), PROJECT / ".gemini/settings.json"),
    ],
)
def test_an_entry_goes_where_the_client_looks(
    name: str, scope: clients.Scope, surroundings: clients.Machine, file: Path
) -> None:
    assert clients.CLIENTS[name].place(scope, surroundings).file == file


def test_opencode_is_registered_in_the_file_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "opencode.jsonc").write_text("{}")
    place = clients.CLIENTS["opencode"].place("project", clients.Machine(HOME, {}, "linux", tmp_path))
    assert place.file == tmp_path / "opencode.jsonc"


def test_a_scope_that_a_client_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(errors.InputError, match=r"no scope 'project'.* It has: user"):
        clients.CLIENTS["claude-desktop"].place("project", around())


@pytest.mark.parametrize(
    ("name", "workspace", "variables"),
    [
        ("claude-code", None, {}),
        ("claude-desktop", PROJECT, {"DISPATCH_MCP_WORKSPACE": str(PROJECT)}),
        ("cursor", None, {"DISPATCH_MCP_WORKSPACE": "${workspaceFolder}"}),
        ("vscode", None, {"DISPATCH_MCP_WORKSPACE": "${workspaceFolder}"}),
        ("vscode", PROJECT, {"DISPATCH_MCP_WORKSPACE": str(PROJECT)}),
    ],
)
def test_an_entry_carries_the_workspace_that_is_named_or_open(
    name: str, workspace: Path | None, variables: dict[str, str]
) -> None:
    launch = clients.launch_for(clients.CLIENTS[name], clients.Launch("/it", ()), workspace=workspace, home=None)
    assert launch.variables == variables


def test_an_entry_carries_the_state_folder_only_if_it_is_named() -> None:
    launch = clients.launch_for(clients.CLIENTS["codex"], clients.Launch("/it", ()), workspace=None, home=HOME)
    assert launch.variables == {"DISPATCH_MCP_HOME": str(HOME)}


def test_an_installation_is_started_by_its_own_command(tmp_path: Path) -> None:
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    assert launches.launch(python, "dispatch-mcp==1", {}, lambda _: None) == clients.Launch(
        str(python), ("-m", "dispatch_mcp", "serve")
    )
    (tmp_path / "bin/dispatch-mcp").touch()
    assert launches.launch(python, "dispatch-mcp==1", {"UV": "/x/uv"}, lambda _: "/x/uvx") == clients.Launch(
        str(tmp_path / "bin/dispatch-mcp"), ("serve",)
    )


def test_a_copy_in_the_cache_of_uv_is_started_by_uvx_which_can_make_it_again(tmp_path: Path) -> None:
    python = Path("/users/ann/.cache/uv/archive-v0/abc/bin/python")
    arguments_of_it = ("--from", "dispatch-mcp==1", "dispatch-mcp", "serve")
    assert launches.launch(python, "dispatch-mcp==1", {}, lambda _: "/bin/uvx").arguments == arguments_of_it
    (tmp_path / "uvx").touch()
    launch = launches.launch(python, "dispatch-mcp==1", {"UV": str(tmp_path / "uv")}, lambda _: None)
    assert launch == clients.Launch(str(tmp_path / "uvx"), arguments_of_it)
    with pytest.raises(errors.ConfigError, match="uv's cache"):
        launches.launch(python, "dispatch-mcp==1", {}, lambda _: None)


def test_what_is_fetched_again_is_this_version_or_its_address() -> None:
    package = launches.package_here("1.2.3")
    assert package == "dispatch-mcp==1.2.3" or package.startswith(("file://", "git+"))


@pytest.mark.parametrize("client", clients.CLIENTS.values(), ids=lambda client: client.name)
def test_an_entry_says_how_it_is_started_in_every_form(client: clients.Client) -> None:
    launch = clients.Launch("/it", ("serve", "--home", "/x y"), {"A": "b"})
    assert clients.launch_of(json.loads(json.dumps(client.entry(launch)))) == launch
