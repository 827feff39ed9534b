"""Every client from every folder: what `install` wrote starts a server that hands out a first assignment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import command_runs
import pytest
import raw_server

from dispatch_mcp.registration import clients, registrations, trial

FOLDERS = ("an empty folder", "the home folder", "the root", "a large repository")
TASK = {"id": "a", "do": "Add a function that sums the prices of a cart"}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a repository of some thousand files."""
    root = tmp_path_factory.mktemp("large")
    for number in range(4_000):
        module = root / f"package{number // 200}" / f"module{number}.py"
        module.parent.mkdir(exist_ok=True)
        module.write_text(f"def f{number}(x):\n    return x + {number}\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
        subprocess.run(["git", *identity, *command], cwd=root, check=True, timeout=120)
    return root


@pytest.fixture
def folder(request: pytest.FixtureRequest, large: Path, own_home: Path, tmp_path: Path) -> Path:
    return {
        "an empty folder": tmp_path,
        "the home folder": own_home,
        "the root": Path("/"),
        "a large repository": large,
    }[request.param]


def written(client: clients.Client, shell: command_runs.Shell, around: clients.Machine) -> clients.Launch:
    """Returns what a client reads after `install` has registered the server for everybody's projects."""
    place = client.place("user", around)
    (answer,) = shell("install", client.name, "--json", "--dry-run").json
    registrations.carry_out(registrations.addition(place, answer["entry"]), around.home / "state/backups")
    entry = registrations.present(place)
    assert entry is not None
    return clients.launch_of(entry)


def expanded(client: clients.Client, launch: clients.Launch, folder: Path) -> Mapping[str, str]:
    """Returns the variables as the client hands them on, with the folder that is open."""
    if not client.expands:
        return launch.variables
    return {name: value.replace(clients.OPEN_FOLDER, str(folder)) for name, value in launch.variables.items()}


def legacy(name: str, version: str, **capabilities: Any) -> dict[str, Any]:
    """Returns how a client introduces itself in the handshake of the older protocols."""
    return {
        "protocolVersion": version,
        "capabilities": capabilities,
        "clientInfo": {"name": name, "version": "1.0"},
    }


HELLOS: Mapping[str, Mapping[str, Any]] = {
    "claude-code": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "claude-code", "version": "2.1.332"},
        "io.modelcontextprotocol/clientCapabilities": {
            "roots": {"listChanged": True},
            "elicitation": {"form": {}, "url": {}},
        },
    },
    "claude-desktop": legacy("claude-ai", "2025-06-18"),
    "cursor": legacy("cursor-vscode", "2025-06-18", elicitation={}, roots={"listChanged": False}),
    "vscode": legacy("Visual Studio Code", "2025-11-25", sampling={}, elicitation={"form": {}}, roots={}),
    "codex": legacy("codex-mcp-client", "2025-06-18", elicitation={}),
    "opencode": legacy("opencode", "2025-11-25"),
    "gemini": legacy("gemini-cli-mcp-client", "2025-06-18", roots={"listChanged": True}),
}
"""What each client says of itself; Claude Code alone speaks the protocol of 2026."""
FIRST: Mapping[str, Sequence[str]] = {
    "claude-code": ("server/discover", "prompts/list", "resources/list", "tools/list"),
    "gemini": ("tools/list", "prompts/list", "resources/list"),
    "vscode": ("tools/list", "prompts/list"),
}
"""What clients ask for before their model calls anything; the others only list the tools."""

ROOTED = frozenset({"claude-code", "cursor", "vscode", "gemini"})
"""Clients that say when they are asked which folder is open in them."""


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.fixture
def wire(
    client: clients.Client, folder: Path, own_home: Path, tmp_path: Path, shell: command_runs.Shell
) -> Iterator[raw_server.Wire]:
    """Yields the server as the client has it that was started in the folder: each client's command once for real.

    In the other folders the same command is a process that was forked from one that has loaded the product.
    """
    around = clients.Machine(own_home, {}, "linux", folder)
    launch = written(client, shell, around)
    env = {"HOME": str(own_home), "PATH": "/usr/bin:/bin", **expanded(client, launch, folder)}
    cwd = folder if client.starts_in_project else trial.setting_of(client, around).folder
    command = [launch.command, *launch.arguments]
    era = "auto" if client.name == "claude-code" else "legacy"
    hello, is_fresh = HELLOS[client.name], folder == tmp_path
    with raw_server.Wire(env, cwd, command=command, era=era, hello=hello, fresh=is_fresh) as server:
        server.roots = [folder.as_uri()] if client.name in ROOTED else []
        yield server


@pytest.mark.parametrize("folder", FOLDERS, indirect=True)
@pytest.mark.parametrize("client", clients.CLIENTS.values(), ids=lambda client: client.name)
def test_a_first_assignment_comes_whatever_the_client_and_the_folder(
    client: clients.Client, folder: Path, own_home: Path, wire: raw_server.Wire
) -> None:
    wire.greet()
    for method in FIRST.get(client.name, ("tools/list",)):
        wire.request(method)
    plan = wire.call("plan_dag", tasks=[TASK])
    run = wire.call("dispatch", plan_id=plan["plan_id"], worker="host")
    (assignment,) = run["assignments"]
    assert assignment["task_id"] == "a"
    assert TASK["do"] in json.dumps(assignment)
    assert all(is_message(line) for line in wire.lines)
    is_named = client.expands or client.name in ROOTED
    place = folder if client.starts_in_project or is_named else Path("/")
    is_workspace = place not in (Path("/"), own_home) and (is_named or (place / ".git").exists())
    gap = assignment.get("gap", "")
    assert ("DISPATCH_MCP_WORKSPACE" in gap) is not is_workspace, gap
    assert not list((own_home / ".local/share/dispatch-mcp/context").glob("*.db")) or is_workspace
    assert wire.close() == 0


def is_message(line: bytes) -> bool:
    message: Any = json.loads(line)
    return message["jsonrpc"] == "2.0"
