from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dispatch_mcp import configuration
from dispatch_mcp.cli import arguments

DEPLOY = Path(__file__).parents[2] / "deploy"
FOREIGN = re.compile(r"^(TEMPORAL|AWS|ANTHROPIC|POSTGRES|SQL|DB|MINIO|BUCKET|BIND)_")


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text("utf-8")))


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields what runs the product, by the name of its file and its own."""
    for name, service in documents("compose.yaml")[0]["services"].items():
        if service["image"] == "dispatch-mcp-worker":
            yield f"compose.{name}", {"arguments": service["command"], "env": service["environment"]}
    settings, *workloads = documents("workers.yaml")
    for workload in workloads:
        [container] = workload["spec"]["template"]["spec"]["containers"]
        env = settings["data"] | {entry["name"]: entry["value"] for entry in container.get("env", [])}
        yield f"workers.{workload['metadata']['name']}", {"arguments": container["args"], "env": env}


CONTAINERS = dict(containers())


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_command_of_every_container_is_one_of_the_product(name: str) -> None:
    words = [str(word) for word in CONTAINERS[name]["arguments"]]
    assert arguments.parser().parse_args(words).command == words[0]


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_variable_of_every_container_is_a_setting_or_somebody_elses(name: str, tmp_path: Path) -> None:
    env = {key: str(value) for key, value in CONTAINERS[name]["env"].items()}
    own = {key: value for key, value in env.items() if not FOREIGN.match(key)}
    assert all(key.startswith(configuration.PREFIX) for key in own)
    own |= {"DISPATCH_MCP_WORKSPACE": str(tmp_path / "work"), "DISPATCH_MCP_HOME": str(tmp_path / "state")}
    (tmp_path / "work").mkdir()
    loaded = configuration.load(own, cwd=tmp_path)
    assert (loaded.warnings, loaded.fault) == ((), None)
    assert loaded.settings.temporal_blobs


@pytest.mark.parametrize("path", ["/ready", "/health"])
def test_the_health_checks_of_the_control_plane_are_served(path: str) -> None:
    served = (DEPLOY.parent / "server" / "dispatch_mcp" / "web" / "http_server.py").read_text("utf-8")
    [control] = [part for part in documents("workers.yaml") if part["kind"] == "StatefulSet"]
    [container] = control["spec"]["template"]["spec"]["containers"]
    probes = {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")}
    assert path in probes
    assert f'Route("{path}"' in served


def test_one_process_alone_has_the_store() -> None:
    [control] = [part for part in documents("workers.yaml") if part["kind"] == "StatefulSet"]
    assert control["spec"]["replicas"] == 1


@pytest.mark.parametrize("name", [path.name for path in DEPLOY.iterdir()])
def test_no_file_names_a_registry(name: str) -> None:
    text = (DEPLOY / name).read_text("utf-8")
    images = re.findall(r"^\s*(?:image:|FROM) +(\S+)$", text, re.MULTILINE)
    assert not [image for image in images if "." in image.split("/")[0] and "/" in image]


def test_every_password_comes_from_whoever_deploys() -> None:
    compose = (DEPLOY / "compose.yaml").read_text("utf-8")
    values = re.findall(r'(?:PASSWORD|PWD|KEY_ID|SECRET|_KEY): +"?([^\s",]+)', compose)
    assert len(values) >= 8
    assert all(value.startswith("${") for value in values)


def test_the_namespace_that_everybody_uses_is_made() -> None:
    [values] = documents("temporal-values.yaml")
    namespaces = values["server"]["config"]["namespaces"]
    used = documents("workers.yaml")[0]["data"].get("TEMPORAL_NAMESPACE", "default")
    assert (namespaces["create"], used in [made["name"] for made in namespaces["namespace"]]) == (True, True)
    assert f"--namespace {used} " in (DEPLOY / "compose.yaml").read_text("utf-8")


def test_the_image_installs_the_extra_that_hosts_need() -> None:
    assert '"/src[temporal,otel]"' in (DEPLOY / "worker.Dockerfile").read_text("utf-8")
