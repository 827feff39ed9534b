"""Codex and opencode as they come from npm, each on the fake provider and with our server, with no setting beyond."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import fake_provider

CODEX = os.environ.get("DISPATCH_MCP_CODEX", "")
OPENCODE = os.environ.get("DISPATCH_MCP_OPENCODE", "")
SERVER = "dispatch"


@dataclass(frozen=True)
class Run:
    """How a client ended, and every line that it printed as JSON."""

    exit_code: int
    rows: list[dict[str, Any]]
    stderr: str

    @property
    def text(self) -> str:
        return json.dumps(self.rows)


async def codex(fake: fake_provider.Provider, place: Path, command: list[str], env: dict[str, str], prompt: str) -> Run:
    """Runs `codex exec` in a workspace, in its read-only sandbox, with our server and nothing else."""
    home = place / "codex"
    home.mkdir()
    provider = {"name": "fake", "base_url": f"{fake.url}/v1", "wire_api": "responses", "env_key": "FAKE_KEY"}
    lines = ['model = "gpt-5.5-codex"', 'model_provider = "fake"', "check_for_update_on_startup = false"]
    lines += ["[analytics]", "enabled = false", "[model_providers.fake]", "supports_websockets = false"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in provider.items()]
    lines += [f"[mcp_servers.{SERVER}]", f"command = {json.dumps(command[0])}", f"args = {json.dumps(command[1:])}"]
    lines += ["startup_timeout_sec = 120", f"[mcp_servers.{SERVER}.env]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in env.items()]
    (home / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = {**_names(place), "CODEX_HOME": str(home), "FAKE_KEY": fake_provider.KEY}
    return await _run([CODEX, "exec", "--json", "--skip-git-repo-check", prompt], names, place / "workspace")


async def opencode(
    fake: fake_provider.Provider, place: Path, command: list[str], env: dict[str, str], prompt: str
) -> Run:
    """Runs `opencode run` in a workspace, with our server and nothing else."""
    models = {name: {"name": name, "tool_call": True} for name in ("claude-sonnet-5-5", "claude-haiku-5-5")}
    options = {"baseURL": f"{fake.url}/v1", "apiKey": fake_provider.KEY}
    config = {
        "autoupdate": False,
        "share": "disabled",
        "model": "fake/claude-sonnet-5-5",
        "small_model": "fake/claude-haiku-5-5",
        "provider": {"fake": {"npm": "@ai-sdk/anthropic", "name": "Fake", "options": options, "models": models}},
        "mcp": {SERVER: {"type": "local", "command": command, "environment": env, "enabled": True}},
    }
    file = place / "opencode.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    quiet = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
    names = {**_names(place), **{f"OPENCODE_DISABLE_{name}": "1" for name in quiet}, "OPENCODE_CONFIG": str(file)}
    return await _run([OPENCODE, "run", "--format", "json", prompt], names, place / "workspace")


def _names(place: Path) -> dict[str, str]:
    home = place / "home"
    home.mkdir(exist_ok=True)
    return {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "dumb"}


async def _run(argv: list[str], env: dict[str, str], cwd: Path) -> Run:
    done = await anyio.run_process(argv, env=env, cwd=cwd, check=False, stderr=subprocess.PIPE, input=b"")
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    return Run(done.returncode, rows, done.stderr.decode(errors="replace"))
