"""What people paste or install is started, from a folder that is nobody's project."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import raw_server

REPOSITORY = Path(__file__).resolve().parents[2]


def named_tools(command: list[str], env: dict[str, str]) -> list[str]:
    """Returns the tools of a server that a desktop program starts, which is in `/`."""
    with raw_server.Wire(env, Path("/"), command=command, era="legacy") as wire:
        wire.greet()
        return [tool["name"] for tool in wire.request("tools/list")["tools"]]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder into which a client has unpacked the bundle."""
    folder = tmp_path_factory.mktemp("bundle")
    spec = importlib.util.spec_from_file_location("make_bundle", REPOSITORY / "scripts/make_bundle.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with zipfile.ZipFile(module.pack(folder / "it.mcpb")) as bundle:
        bundle.extractall(folder / "it")
    return folder / "it"


def test_the_bundle_holds_the_program_and_nothing_of_its_workshop(unpacked: Path) -> None:
    top = {path.name for path in unpacked.iterdir()}
    assert {"manifest.json", "icon.png", "pyproject.toml", "server", "agents"} <= top
    assert not top & {"tests", "benchmarks", "scripts", "docs", ".git", ".venv"}
    assert not list(unpacked.rglob("*.pyc"))


def test_the_bundle_starts_from_its_own_files(unpacked: Path, own_home: Path) -> None:
    manifest: dict[str, Any] = json.loads((unpacked / "manifest.json").read_text(encoding="utf-8"))
    run, _, folder, *words = manifest["server"]["mcp_config"]["args"]
    assert (run, folder) == ("run", "${__dirname}")
    assert words == ["dispatch-mcp", "serve"]
    variables = manifest["server"]["mcp_config"]["env"]  # as a client leaves them that was told no folder
    env = {"HOME": str(own_home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(unpacked / "server"), **variables}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    tools = named_tools([sys.executable, "-m", "dispatch_mcp", "serve"], env)
    assert tools == [tool["name"] for tool in manifest["tools"]]


def test_the_example_starts_as_it_is(own_home: Path) -> None:
    server = json.loads((REPOSITORY / "claude_config_example.json").read_text(encoding="utf-8"))["mcpServers"][
        "dispatch"
    ]
    nowhere = {"HOME": str(own_home), "PATH": str(own_home), **server["env"]}
    done = subprocess.run(
        [shutil.which("sh") or "sh", *server["args"]],
        env=nowhere,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 127
    assert "run make install ARGS=claude-desktop in the checkout" in done.stderr
    program = own_home / ".local/bin/dispatch-mcp"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dispatch_mcp "$@"\n')
    program.chmod(0o755)
    env = {"HOME": str(own_home), "PATH": "/usr/bin:/bin", **server["env"]}
    assert "plan_dag" in named_tools([server["command"], *server["args"]], env)
