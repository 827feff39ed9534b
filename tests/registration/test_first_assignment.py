"""Every client from every folder: what `install` wrote starts a server that hands out a first assignment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
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
        subprocess.run(["git", *identity, *command], cwd=root, check=True, timeout=60)
    return root


@pytest.fixture
def folder(request: pytest.FixtureRequest, large: Path, own_home: Path, tmp_path: Path) -> Path:
    return {
        "an empty folder": tmp_path,
        "the home folder": own_home,
        "the root": Path("/"),
        "a large repository": large,
    }[request.param]


def written(client: clients.Client, shell: command_runs.Shell, around: clients.Surroundings) -> clients.Launch:
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


@pytest.fixture
def wire(
    client: clients.Client,
    folder: Path,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[raw_server.Wire]:
    """Yields the server as the client has it that was started in the folder."""
    around = clients.Surroundings(own_home, {}, "linux", folder)
    launch = written(client, command_runs.shell(monkeypatch, capsys), around)
    env = {"HOME": str(own_home), "PATH": "/usr/bin:/bin", **expanded(client, launch, folder)}
    cwd = folder if client.starts_in_project else trial.setting_of(client, around).folder
    command = [launch.command, *launch.arguments]
    with raw_server.Wire(env, cwd, command=command, era="legacy") as server:
        yield server


IN_PROJECT = [client for client in clients.CLIENTS.values() if client.starts_in_project]


@pytest.mark.parametrize("folder", ["an empty folder", "a large repository"], indirect=True)
@pytest.mark.parametrize("client", IN_PROJECT, ids=lambda client: client.name)
def test_a_first_assignment_comes_whatever_the_client_and_the_folder(
    client: clients.Client, folder: Path, wire: raw_server.Wire
) -> None:
    wire.greet()
    plan = wire.call("plan_dag", tasks=[TASK])
    run = wire.call("dispatch", plan_id=plan["plan_id"], worker="host")
    (assignment,) = run["assignments"]
    assert assignment["task_id"] == "a"
    assert TASK["do"] in json.dumps(assignment)
    assert all(is_message(line) for line in wire.lines)


def is_message(line: bytes) -> bool:
    message: Any = json.loads(line)
    return message["jsonrpc"] == "2.0"
