from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dispatch_mcp import __version__

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = (
    "route_task",
    "plan_dag",
    "dispatch",
    "report",
    "review_council",
    "get_trace",
    "steer_run",
    "message_agents",
)


def read(name: str) -> Any:
    return json.loads((REPOSITORY / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def project() -> Any:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_manifest_has_the_version_of_the_package(project: Any) -> None:
    server, plugin, bundle = read("server.json"), read(".claude-plugin/plugin.json"), read("mcpb/manifest.json")
    versions = {server["version"], server["packages"][0]["version"], plugin["version"], bundle["version"]}
    assert versions | {project["version"]} == {__version__}


@pytest.mark.parametrize("name", ["claude_config_example.json", ".mcp.json"])
def test_a_client_configuration_holds_stdio_servers_only(name: str) -> None:
    configuration = read(name)
    assert list(configuration) == ["mcpServers"]
    for key, server in configuration["mcpServers"].items():
        assert re.fullmatch(r"[A-Za-z0-9_-]+", key)
        assert set(server) <= {"type", "command", "args", "env"}
        assert server.get("type", "stdio") == "stdio"
        assert server["command"]
        assert all(isinstance(argument, str) for argument in server["args"])


def test_the_example_runs_the_published_package_or_a_checkout(project: Any) -> None:
    servers = read("claude_config_example.json")["mcpServers"]
    assert set(servers) == {"dispatch", "dispatch-from-checkout"}
    assert servers["dispatch"]["args"] == [project["name"]]
    assert servers["dispatch-from-checkout"]["command"].endswith("/.venv/bin/dispatch-mcp")
    assert "dispatch-mcp" in project["scripts"]


def test_the_example_uses_only_what_claude_desktop_knows() -> None:
    for server in read("claude_config_example.json")["mcpServers"].values():
        assert set(server) <= {"command", "args", "env"}


def test_the_registry_entry_is_the_one_that_the_readme_names(project: Any) -> None:
    entry = read("server.json")
    assert entry["$schema"].endswith("/2025-12-11/server.schema.json")
    assert entry["name"].count("/") == 1
    assert len(entry["description"]) <= 100
    assert f"<!-- mcp-name: {entry['name']} -->" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (package,) = entry["packages"]
    assert (package["registryType"], package["identifier"]) == ("pypi", project["name"])
    assert (package["runtimeHint"], package["transport"]) == ("uvx", {"type": "stdio"})


def test_the_plugin_brings_its_server() -> None:
    plugin = read(".claude-plugin/plugin.json")
    assert {"name", "version", "description", "author", "license"} <= set(plugin)
    assert "${CLAUDE_PLUGIN_ROOT:-.}" in read(".mcp.json")["mcpServers"]["dispatch"]["args"]


def test_the_bundle_starts_the_entry_point_that_exists_and_names_every_tool() -> None:
    bundle = read("mcpb/manifest.json")
    assert (bundle["manifest_version"], bundle["server"]["type"]) == ("0.4", "uv")
    assert (REPOSITORY / bundle["server"]["entry_point"]).is_file()
    assert tuple(tool["name"] for tool in bundle["tools"]) == TOOLS
