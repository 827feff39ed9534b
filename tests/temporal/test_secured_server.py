"""Control plane and hosts of a server that asks for certificates and keys, as Temporal Cloud does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import engine_labs
import host_labs
import pytest

pytest.importorskip("temporalio", reason="the extra `temporal` is not installed")
pytest.importorskip("hpack", reason="`make test-scale` installs it")

import secured_gates

from dispatch_mcp import configuration
from dispatch_mcp.cli.commands import doctor
from dispatch_mcp.model import RunState

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

NAMESPACE = "agents.a1b2c"
KEY = "not-a-real-key-of-anybody"
WORKER = ("worker", "--engine", "temporal", "--queue", "agents", "--slots", "2")


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Generator[secured_gates.Gate]:
    folder = tmp_path_factory.mktemp("secured")
    server = engine_labs.Server(engine_labs.DEV, folder, namespace=NAMESPACE)
    server.start()
    try:
        with secured_gates.guarding(server, folder / "certificates") as opened:
            yield opened
    finally:
        server.kill()


@pytest.fixture
def env(gate: secured_gates.Gate, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of who may come in, set in this process too."""
    env = {**gate.env, "TEMPORAL_NAMESPACE": NAMESPACE, "TEMPORAL_API_KEY": KEY}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    gate.calls.clear()
    return env


def diagnosis(folder: Path) -> doctor.Diagnosis:
    setup = configuration.load({}, flags={"home": folder, "workspace": folder, "engine": "temporal"}, cwd=folder)
    [fact] = [fact for fact in doctor.examine(setup) if fact.what == "temporal"]
    return fact


async def test_a_run_goes_through_tls_with_a_client_certificate_a_key_and_a_namespace(
    gate: secured_gates.Gate, env: dict[str, str], tmp_path: Path
) -> None:
    host = host_labs.environment(gate.server, tmp_path / "home", **env)
    async with host_labs.control(tmp_path / "home", tmp_path) as app:
        with host_labs.process(host, *WORKER, cwd=tmp_path):
            run_id = await host_labs.new_commands(app.store, tmp_path, host_labs.command("a", "print('done')"))
            await app.engine.start(run_id)
            assert await host_labs.over(app.engine, run_id) is RunState.SUCCEEDED
    calls = {call[":path"].rpartition("/")[2]: call for call in gate.calls}
    assert {"StartWorkflowExecution", "PollWorkflowTaskQueue", "RespondActivityTaskCompleted"} <= calls.keys()
    assert {call.get("authorization") for call in gate.calls} == {f"Bearer {KEY}"}
    assert calls["PollActivityTaskQueue"]["temporal-namespace"] == NAMESPACE
    assert calls["StartWorkflowExecution"][":authority"].partition(":")[0] == secured_gates.SERVER_NAME


def test_a_profile_of_temporals_own_file_does_as_well(
    gate: secured_gates.Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = gate.env
    file = tmp_path / "temporal.toml"
    file.write_text(
        f"""
[profile.cloud]
address = "{gate.address}"
namespace = "{NAMESPACE}"
api_key = "{KEY}"
[profile.cloud.tls]
server_name = "{secured_gates.SERVER_NAME}"
server_ca_cert_path = "{tls["TEMPORAL_TLS_SERVER_CA_CERT_PATH"]}"
client_cert_path = "{tls["TEMPORAL_TLS_CLIENT_CERT_PATH"]}"
client_key_path = "{tls["TEMPORAL_TLS_CLIENT_KEY_PATH"]}"
"""
    )
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(file))
    monkeypatch.setenv("TEMPORAL_PROFILE", "cloud")
    fact = diagnosis(tmp_path)
    assert (fact.mark, NAMESPACE in fact.detail) == ("✓", True)


@pytest.mark.usefixtures("env")
def test_doctor_says_how_the_connection_is_protected_and_shows_no_key(gate: secured_gates.Gate, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dispatch_mcp", "doctor", "--json"]
    flags = {"DISPATCH_MCP_HOME": str(tmp_path), "DISPATCH_MCP_ENGINE": "temporal"}
    env = host_labs.environment(gate.server, tmp_path, **{**gate.env, **flags}, TEMPORAL_NAMESPACE=NAMESPACE)
    env["TEMPORAL_API_KEY"] = KEY
    shown = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"{gate.address}, TLS with a client certificate, an API key, namespace {NAMESPACE}" in shown.stdout
    assert KEY not in shown.stdout + shown.stderr
    assert gate.client.key.read_text().splitlines()[1] not in shown.stdout + shown.stderr


@pytest.mark.usefixtures("env")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"TEMPORAL_TLS_CLIENT_CERT_PATH": "", "TEMPORAL_TLS_CLIENT_KEY_PATH": ""}, "TEMPORAL_TLS"),
        ({"TEMPORAL_TLS_SERVER_NAME": "another.test"}, "TEMPORAL_TLS"),
        ({"TEMPORAL_TLS_SERVER_CA_CERT_PATH": ""}, "TEMPORAL_TLS"),
        ({"TEMPORAL_TLS_CLIENT_CERT_PATH": "/nowhere.pem"}, "TEMPORAL_API_KEY"),
        ({"TEMPORAL_NAMESPACE": "another.a1b2c"}, "TEMPORAL_NAMESPACE"),
    ],
)
def test_who_is_not_let_in_is_told_what_to_look_at(
    gate: secured_gates.Gate, changes: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    fact = diagnosis(tmp_path)
    assert (fact.mark, words in fact.fix) == ("✗", True)
    assert KEY not in fact.detail


@pytest.mark.usefixtures("env")
def test_a_host_that_is_not_let_in_says_so_in_a_sentence(gate: secured_gates.Gate, tmp_path: Path) -> None:
    env = host_labs.environment(gate.server, tmp_path, **gate.env, TEMPORAL_NAMESPACE="another.a1b2c")
    command = [sys.executable, "-m", "dispatch_mcp", *WORKER]
    end = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert end.returncode
    assert "TEMPORAL_NAMESPACE" in end.stderr
    assert "Traceback" not in end.stderr
