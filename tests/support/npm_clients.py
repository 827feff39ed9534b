"""Codex, opencode and the Gemini CLI as they come from npm, on the fake provider."""

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
GEMINI = os.environ.get("DISPATCH_MCP_GEMINI", "")
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
    lines = [f"[mcp_servers.{SERVER}]", f"command = {json.dumps(command[0])}", f"args = {json.dumps(command[1:])}"]
    lines += ["startup_timeout_sec = 120", f"[mcp_servers.{SERVER}.env]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in env.items()]
    file = codex_settings(fake, place / "home")
    file.write_text(file.read_text("utf-8") + "\n".join(lines) + "\n", encoding="utf-8")
    return await run("codex", place / "home", place / "workspace", prompt)


async def opencode(
    fake: fake_provider.Provider, place: Path, command: list[str], env: dict[str, str], prompt: str
) -> Run:
    """Runs `opencode run` in a workspace, with our server and nothing else."""
    server = {SERVER: {"type": "local", "command": command, "environment": env, "enabled": True}}
    _extend(opencode_settings(fake, place / "home"), mcp=server)
    return await run("opencode", place / "home", place / "workspace", prompt)


async def gemini(
    fake: fake_provider.Provider, place: Path, command: list[str], env: dict[str, str], prompt: str
) -> Run:
    """Runs the Gemini CLI in a workspace, with our server and nothing else."""
    server = {SERVER: {"command": command[0], "args": command[1:], "env": env, "trust": True}}
    _extend(gemini_settings(fake, place / "home"), mcpServers=server)
    return await run("gemini", place / "home", place / "workspace", prompt)


def codex_settings(fake: fake_provider.Provider, home: Path) -> Path:
    """Writes the settings of somebody whose Codex asks the fake provider, without any server; returns their file."""
    provider = {"name": "fake", "base_url": f"{fake.url}/v1", "wire_api": "responses", "env_key": "FAKE_KEY"}
    lines = ['model = "gpt-5.5-codex"', 'model_provider = "fake"', "check_for_update_on_startup = false"]
    lines += ["[analytics]", "enabled = false", "[model_providers.fake]", "supports_websockets = false"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in provider.items()]
    return _written(home / ".codex/config.toml", "\n".join(lines) + "\n")


def opencode_settings(fake: fake_provider.Provider, home: Path) -> Path:
    """Writes the settings of somebody whose opencode asks the fake provider, without any server; returns their file."""
    models = {name: {"name": name, "tool_call": True} for name in ("claude-sonnet-5-5", "claude-haiku-5-5")}
    options = {"baseURL": f"{fake.url}/v1", "apiKey": fake_provider.KEY}
    config = {
        "autoupdate": False,
        "share": "disabled",
        "model": "fake/claude-sonnet-5-5",
        "small_model": "fake/claude-haiku-5-5",
        "provider": {"fake": {"npm": "@ai-sdk/anthropic", "name": "Fake", "options": options, "models": models}},
    }
    return _written(home / ".config/opencode/opencode.json", json.dumps(config, indent=2))


def gemini_settings(fake: fake_provider.Provider, home: Path) -> Path:
    """Writes the settings of somebody whose Gemini CLI asks the fake provider; returns their file."""
    lines = (f"GEMINI_API_KEY={fake_provider.KEY}", f"GOOGLE_GEMINI_BASE_URL={fake.url}")
    settings = {
        "general": {"enableAutoUpdate": False},
        "privacy": {"usageStatisticsEnabled": False},
        "security": {"auth": {"selectedType": "gemini-api-key"}},
    }
    file = _written(home / ".gemini/settings.json", json.dumps(settings, indent=2))
    file.with_name(".env").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _extend(file: Path, **fields: object) -> None:
    """Adds fields to settings in JSON."""
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **fields}), encoding="utf-8")


def _written(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    return file


COMMANDS = {
    "codex": [CODEX, "exec", "--json", "--skip-git-repo-check"],
    "opencode": [OPENCODE, "run", "--format", "json"],
    # A model that is named, as another one would be asked which to take; and nobody is asked to trust the folder.
    "gemini": [GEMINI, "--model=gemini-2.5-pro", "--skip-trust", "--output-format=stream-json", "-p"],
}
"""How each begins to carry out the prompt that comes last."""


async def run(client: str, home: Path, folder: Path, prompt: str) -> Run:
    """Runs a client that its home has the settings of until it has answered, with nobody there to be asked."""
    done = await anyio.run_process(
        [*COMMANDS[client], prompt], env=variables(home), cwd=folder, check=False, stderr=subprocess.PIPE, input=b""
    )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    return Run(done.returncode, rows, done.stderr.decode(errors="replace"))


def variables(home: Path) -> dict[str, str]:
    """Returns the environment of somebody who has this home and the key of the fake provider."""
    quiet = ("AUTOUPDATE", "MODELS_FETCH", "LSP_DOWNLOAD", "DEFAULT_PLUGINS")
    names = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "dumb"}
    return {**names, **{f"OPENCODE_DISABLE_{name}": "1" for name in quiet}, "FAKE_KEY": fake_provider.KEY}
