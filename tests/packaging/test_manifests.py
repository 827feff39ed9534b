from __future__ import annotations

import json
import re
import struct
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from dispatch_mcp import __version__, configuration
from dispatch_mcp.hooks import hook_events

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


@pytest.mark.parametrize("name", ["claude_config_example.json", ".claude-plugin/plugin.json"])
def test_a_client_configuration_holds_stdio_servers_only(name: str) -> None:
    for key, server in read(name)["mcpServers"].items():
        assert re.fullmatch(r"[A-Za-z0-9_-]+", key)
        assert set(server) <= {"type", "command", "args", "env"}
        assert server.get("type", "stdio") == "stdio"
        assert server["command"]
        assert all(isinstance(argument, str) for argument in server["args"])


def test_the_example_is_one_server_without_a_path_of_anybodys_machine() -> None:
    ((name, server),) = read("claude_config_example.json")["mcpServers"].items()
    assert name == "dispatch"
    assert server["command"] == "sh"
    assert "path/to" not in json.dumps(server)


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
    names = [variable["name"] for variable in package["environmentVariables"]]
    settings = {f"DISPATCH_MCP_{key.upper()}" for key in configuration.Settings.model_fields}
    assert {"DISPATCH_MCP_WORKSPACE", "DISPATCH_MCP_HOME"} <= set(names) <= settings | {"ANTHROPIC_API_KEY"}
    assert [variable["name"] for variable in package["environmentVariables"] if variable["isSecret"]] == names[-1:]


def test_the_plugin_brings_its_server() -> None:
    plugin = read(".claude-plugin/plugin.json")
    assert {"name", "version", "description", "author", "license"} <= set(plugin)
    server = plugin["mcpServers"]["dispatch"]
    assert (server["command"], server["args"]) == ("sh", ["${CLAUDE_PLUGIN_ROOT}/plugin/start.sh"])
    assert not (REPOSITORY / ".mcp.json").exists(), "a plugin would read it as well"


def test_the_plugin_lists_no_agents_and_only_folders_that_exist() -> None:
    plugin = read(".claude-plugin/plugin.json")
    assert plugin["agents"] == []
    assert all((REPOSITORY / folder).is_dir() for folder in (*plugin["commands"], *plugin["skills"]))
    assert not any((REPOSITORY / folder).exists() for folder in ("commands", "skills")), "these would be read as well"


def test_the_commands_of_the_plugin_cost_a_conversation_nothing() -> None:
    commands = sorted((REPOSITORY / "plugin/commands").glob("*.md"))
    headers = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8").split("---")[1]) for file in commands}
    assert {"orchestrate", "resume", "review"} <= set(headers)
    assert [name for name, header in headers.items() if header.get("disable-model-invocation") is not True] == []


def test_the_marketplace_offers_the_plugin_of_this_folder() -> None:
    plugin, market = read(".claude-plugin/plugin.json"), read(".claude-plugin/marketplace.json")
    (entry,) = market["plugins"]
    assert entry["source"] == "./"
    assert {key: entry[key] for key in ("name", "version", "description")} == {
        key: plugin[key] for key in ("name", "version", "description")
    }


def test_the_icon_is_a_square_png_of_the_size_that_directories_take() -> None:
    data = (REPOSITORY / read(".claude-plugin/plugin.json")["icon"]).read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data.startswith(b"\x89PNG")
    assert width == height
    assert 512 <= width <= 2048
    assert len(data) < 2 << 20


def test_the_bundle_names_what_it_starts_every_tool_and_the_workspace() -> None:
    bundle = read("mcpb/manifest.json")
    assert (bundle["manifest_version"], bundle["server"]["type"]) == ("0.4", "uv")
    assert (REPOSITORY / bundle["server"]["entry_point"]).is_file()
    assert tuple(tool["name"] for tool in bundle["tools"]) == TOOLS
    start = bundle["server"]["mcp_config"]
    assert "--directory" not in start["args"], "the bundle's folder would become the workspace"
    assert start["env"] == {"DISPATCH_MCP_WORKSPACE": "${user_config.workspace}"}
    assert bundle["user_config"]["workspace"]["type"] == "directory"
    assert not bundle["user_config"]["workspace"]["required"]


def test_the_plugin_has_a_hook_for_every_event_that_the_program_knows() -> None:
    plugin = read(".claude-plugin/plugin.json")
    hooks = read(plugin["hooks"])["hooks"]
    assert set(hooks) == set(hook_events.EVENTS)
    for name, entries in hooks.items():
        ((hook,),) = [entry["hooks"] for entry in entries]
        assert (hook["command"], hook["args"][1:]) == ("sh", [name])
        assert hook["args"][0].startswith("${CLAUDE_PLUGIN_ROOT}/plugin/")
        assert (REPOSITORY / "plugin/hook.sh").is_file()


def test_hooks_of_tools_are_started_for_subagents_and_our_own_calls_alone() -> None:
    hooks = read("plugin/hooks.json")["hooks"]
    before = re.compile(hooks["PreToolUse"][0]["matcher"])
    for name in ("Agent", "Task", "mcp__plugin_dispatch_dispatch__dispatch", "mcp__dispatch__report"):
        assert before.fullmatch(name), name
    for name in ("Bash", "Read", "TaskStop", "AgentX", "mcp__github__report"):
        assert not before.fullmatch(name), name


@pytest.mark.parametrize("first_line", ["#!/gone/bin/python", "#!/gone/bin/env python3", "#!", ""])
@pytest.mark.slice(2)
def test_a_hook_passes_by_an_environment_that_was_moved(first_line: str, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    (plugin / "hook.sh").write_text((REPOSITORY / "plugin/hook.sh").read_text(encoding="utf-8"), encoding="utf-8")
    moved, usable = tmp_path / ".venv/bin/dispatch-mcp", tmp_path / "data/venv/bin/dispatch-mcp"
    for program, text in ((moved, f"{first_line}\n"), (usable, "#!/usr/bin/env sh\necho $1 $2; cat\n")):
        program.parent.mkdir(parents=True)
        program.write_text(text if first_line or program == usable else "", encoding="utf-8")
        program.chmod(0o755)
    argv = ["sh", str(plugin / "hook.sh"), "Stop"]
    env = {"PATH": "/usr/bin:/bin", "CLAUDE_PLUGIN_DATA": str(tmp_path / "data")}
    done = subprocess.run(argv, input=b"{}", env=env, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hook Stop\n{}", b"")


def test_a_hook_needs_no_path_and_what_is_set_for_another_python_does_not_reach_it(tmp_path: Path) -> None:
    hook, program = tmp_path / "plugin/hook.sh", tmp_path / ".venv/bin/dispatch-mcp"
    for file, text in (
        (hook, (REPOSITORY / "plugin/hook.sh").read_text(encoding="utf-8")),
        (program, '#!/bin/sh\necho "$PYTHONHOME,$PYTHONINSPECT,$PYTHONWARNINGS,$PYTHONPATH"\n'),
    ):
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755)
    env = {"PATH": "", "PYTHONHOME": "/x", "PYTHONINSPECT": "1", "PYTHONWARNINGS": "error", "PYTHONPATH": "/mine"}
    done = subprocess.run(["/bin/sh", str(hook), "Stop"], input=b"{}", env=env, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b",,,/mine\n", b"")


@pytest.mark.parametrize("program", ["#!/bin/sh\nexit 2\n", "#!/bin/sh\necho usage >&2; exit 2\n", None])
def test_a_hook_whose_program_is_too_old_or_missing_says_nothing_and_ends_in_order(
    program: str | None, tmp_path: Path
) -> None:
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    (plugin / "hook.sh").write_text((REPOSITORY / "plugin/hook.sh").read_text(encoding="utf-8"), encoding="utf-8")
    if program:
        old = tmp_path / ".venv/bin/dispatch-mcp"
        old.parent.mkdir(parents=True)
        old.write_text(program, encoding="utf-8")
        old.chmod(0o755)
    argv = ["sh", str(plugin / "hook.sh"), "Stop"]
    done = subprocess.run(argv, input=b"{}", env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("place", ["prompts/review.md.j2", "plugin/commands/review.md"])
def test_a_review_hands_its_findings_to_the_list_of_a_host_that_has_one(place: str) -> None:
    text = (REPOSITORY / place).read_text("utf-8")
    _, _, words = text.partition("`ReportFindings`")
    needed = {"file", "line", "summary", "failure_scenario", "severity", "important", "nit"}
    assert needed <= set(re.findall(r"`(\w+)`", words))
