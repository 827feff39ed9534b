"""The clients that this server registers in: where each keeps its servers and what an entry looks like there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dispatch_mcp import errors, model
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import json_types

Scope = Literal["user", "project", "local"]
Style = Literal["json", "toml"]

SERVER = "dispatch"
"""The name under which clients know this server."""
OPEN_FOLDER = "${workspaceFolder}"
"""What Cursor and VS Code replace by the folder that is open; unexpanded, the server takes it for nothing."""
WORKSPACE_VARIABLE = "DISPATCH_MCP_WORKSPACE"


@dataclass(frozen=True, slots=True)
class Machine:
    """What of a machine decides where files are: the user's home, the environment, `sys.platform`, the project."""

    home: Path
    env: Mapping[str, str]
    platform: str
    project: Path

    def folder(self, variable: str, otherwise: Path) -> Path:
        """Returns the folder that a variable names, or the usual one."""
        value = self.env.get(variable, "")
        return Path(value) if value else otherwise

    def applications(self) -> Path:
        """Returns the folder in which desktop programs keep their settings."""
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        if self.platform == "win32":
            return self.folder("APPDATA", self.home / "AppData" / "Roaming")
        return self.folder("XDG_CONFIG_HOME", self.home / ".config")


@dataclass(frozen=True, slots=True)
class Launch:
    """How the server is started: an absolute command, its arguments, and variables beside those of the client."""

    command: str
    arguments: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class EntryPlace:
    """Where an entry stands: a file, and the keys that lead to it."""

    file: Path
    keys: tuple[str, ...]
    style: Style = "json"


@dataclass(frozen=True, slots=True)
class Client:
    """One client: where it keeps servers in each scope, how it writes one, and how it starts it.

    `signs` are what shows that it is there: programs on the path, or folders. `clean` says that it hands servers
    only the plainest variables; `starts_in_project`, that it starts them in the project.
    """

    name: str
    title: str
    places: Mapping[Scope, Callable[[Machine], EntryPlace]]
    program: str
    entry: Callable[[Launch], dict[str, model.Json]]
    starts_in_project: bool = True
    clean: bool = False
    expands: bool = False
    restart: str = ""

    def place(self, scope: Scope, surroundings: Machine) -> EntryPlace:
        """Returns where the entry stands. Raises InputError for a scope that the client does not have."""
        if scope not in self.places:
            raise errors.InputError(f"{self.title} has no scope {scope!r}.", hint=f"It has: {', '.join(self.places)}.")
        return self.places[scope](surroundings)


def _plain(launch: Launch) -> dict[str, model.Json]:
    entry: dict[str, model.Json] = {"command": launch.command, "args": list(launch.arguments)}
    return entry | ({"env": dict(launch.variables)} if launch.variables else {})


def _typed(launch: Launch) -> dict[str, model.Json]:
    return {"type": "stdio", **_plain(launch)}


def _one_list(launch: Launch) -> dict[str, model.Json]:
    entry: dict[str, model.Json] = {"type": "local", "command": [launch.command, *launch.arguments], "enabled": True}
    return entry | ({"environment": dict(launch.variables)} if launch.variables else {})


def launch_of(entry: Mapping[str, model.Json]) -> Launch:
    """Returns how a client starts what an entry says, whichever form it has."""
    command: model.Json = entry.get("command", "")
    parts: model.Json = [*(command if json_types.is_list(command) else [command]), *entry.get("args", ())]
    words = [str(word) for word in parts]
    variables: model.Json = entry.get("env") or entry.get("environment") or {}
    return Launch(words[0], tuple(words[1:]), {str(name): str(value) for name, value in variables.items()})


def _claude_code_user(around: Machine) -> EntryPlace:
    folder = around.folder("CLAUDE_CONFIG_DIR", around.home)
    return EntryPlace(folder / ".claude.json", ("mcpServers", SERVER))


def status_line(around: Machine) -> EntryPlace:
    """Returns where Claude Code keeps what it shows below its prompt."""
    return EntryPlace(around.folder("CLAUDE_CONFIG_DIR", around.home / ".claude") / "settings.json", ("statusLine",))


def _claude_code_local(around: Machine) -> EntryPlace:
    user = _claude_code_user(around)
    return EntryPlace(user.file, ("projects", str(around.project), "mcpServers", SERVER))


def _opencode(folder: Path) -> EntryPlace:
    with_comments = folder / "opencode.jsonc"
    return EntryPlace(with_comments if safe_paths.is_file(with_comments) else folder / "opencode.json", ("mcp", SERVER))


def _in_project(*parts: str, keys: tuple[str, ...] = ("mcpServers", SERVER)) -> Callable[[Machine], EntryPlace]:
    return lambda around: EntryPlace(around.project.joinpath(*parts), keys)


def _in_home(*parts: str) -> Callable[[Machine], EntryPlace]:
    return lambda around: EntryPlace(around.home.joinpath(*parts), ("mcpServers", SERVER))


CLIENTS: Mapping[str, Client] = {
    client.name: client
    for client in (
        Client(
            "claude-code",
            "Claude Code",
            {
                "user": _claude_code_user,
                "project": _in_project(".mcp.json"),
                "local": _claude_code_local,
            },
            "claude",
            _typed,
            restart="Open sessions see it after /mcp or a restart.",
        ),
        Client(
            "claude-desktop",
            "Claude Desktop",
            {
                "user": lambda around: EntryPlace(
                    around.applications() / "Claude" / "claude_desktop_config.json", ("mcpServers", SERVER)
                )
            },
            "",
            _plain,
            starts_in_project=False,
            clean=True,
            restart="Quit and start Claude Desktop to see it.",
        ),
        Client(
            "cursor",
            "Cursor",
            {"user": _in_home(".cursor", "mcp.json"), "project": _in_project(".cursor", "mcp.json")},
            "cursor",
            _plain,
            starts_in_project=False,
            clean=True,
            expands=True,
            restart="Reload the window to see it.",
        ),
        Client(
            "vscode",
            "VS Code",
            {
                "user": lambda around: EntryPlace(
                    around.applications() / "Code" / "User" / "mcp.json", ("servers", SERVER)
                ),
                "project": _in_project(".vscode", "mcp.json", keys=("servers", SERVER)),
            },
            "code",
            _typed,
            starts_in_project=False,
            expands=True,
            restart="Start it with “MCP: List Servers”.",
        ),
        Client(
            "codex",
            "Codex",
            {
                "user": lambda around: EntryPlace(
                    around.folder("CODEX_HOME", around.home / ".codex") / "config.toml", ("mcp_servers", SERVER), "toml"
                ),
                "project": lambda around: EntryPlace(
                    around.project / ".codex" / "config.toml", ("mcp_servers", SERVER), "toml"
                ),
            },
            "codex",
            _plain,
            clean=True,
        ),
        Client(
            "opencode",
            "opencode",
            {
                "user": lambda around: _opencode(
                    around.folder("XDG_CONFIG_HOME", around.home / ".config") / "opencode"
                ),
                "project": lambda around: _opencode(around.project),
            },
            "opencode",
            _one_list,
        ),
        Client(
            "gemini",
            "Gemini CLI",
            {"user": _in_home(".gemini", "settings.json"), "project": _in_project(".gemini", "settings.json")},
            "gemini",
            _plain,
        ),
    )
}


def launch_for(client: Client, launch: Launch, *, workspace: Path | None, home: Path | None) -> Launch:
    """Returns the launch with the variables that a client's entry carries.

    `workspace` and `home` are what the user has named; a client that knows which folder is open hands that on.
    """
    variables = dict(launch.variables)
    if workspace is not None:
        variables[WORKSPACE_VARIABLE] = str(workspace)
    elif client.expands:
        variables[WORKSPACE_VARIABLE] = OPEN_FOLDER
    if home is not None:
        variables["DISPATCH_MCP_HOME"] = str(home)
    return Launch(launch.command, launch.arguments, variables)
