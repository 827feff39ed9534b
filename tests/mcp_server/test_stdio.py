"""The server as a host starts it: a process, its pipes, its signals and its end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import memory_client
import pytest
import raw_server
from mcp import Client, StdioServerParameters
from mcp.types import ElicitResult

from dispatch_mcp.model import short_ids

FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"
NOISE = "import os,sys; print('noise ' * 2000); sys.stdout.flush(); os.write(1, b'more noise' * 500); os.write(2, b'!')"
LONG = "import time; time.sleep(900)"
PYTHON = ("python", "-c", "*")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return memory_client.repository(tmp_path / "shop")


@pytest.fixture
def env(tmp_path: Path, shop: Path) -> dict[str, str]:
    return raw_server.environment(tmp_path / "state", shop, [PYTHON])


def scripted(count: int, sleep_s: float = 0.02) -> list[dict[str, object]]:
    tasks: list[dict[str, object]] = []
    for number in range(count):
        deps = [f"t{number - 3}"] if number >= 3 else []
        tasks.append({"id": f"t{number}", "do": "Wait", "deps": deps, "inputs": {"script": {"sleep_s": sleep_s}}})
    return tasks


def run_ids(env: dict[str, str]) -> list[str]:
    """Returns the ids of all runs in the store, as they are shown."""
    with closing(sqlite3.connect(Path(env["DISPATCH_MCP_HOME"]) / "state.db")) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [short_ids.short(row[0]) for row in conn.execute("SELECT id FROM run")]


@pytest.mark.anyio
@pytest.mark.parametrize("era", memory_client.ERAS)
async def test_a_real_client_reaches_the_server_in_both_eras(env: dict[str, str], shop: Path, era: str) -> None:
    parameters = StdioServerParameters(command=sys.executable, args=["-m", "dispatch_mcp"], env=env, cwd=str(shop))
    with anyio.fail_after(120):
        async with Client(parameters, mode=era) as client:
            names = {tool.name for tool in (await client.list_tools()).tools}
            desk = memory_client.Desk(client)
            run = await desk.call(
                "dispatch", plan_id=await desk.planned({"id": "a", "do": "Write it", "agent": "general-purpose"})
            )
    assert {"route_task", "plan_dag", "dispatch", "review_council", "get_trace"} <= names
    assert [one["task_id"] for one in run["assignments"]] == ["a"]


@pytest.mark.anyio
@pytest.mark.parametrize("era", memory_client.ERAS)
@pytest.mark.parametrize(("depth", "end"), [("0", ("running", 1)), ("1", ("waiting_input", 0))])
@pytest.mark.slice(2)
async def test_the_server_of_a_program_of_a_run_takes_no_word_of_its_client_for_a_persons(
    env: dict[str, str], shop: Path, era: str, depth: str, end: tuple[str, int]
) -> None:
    asked: list[str] = []

    async def approve(context: object, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"decision": "approve"})

    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "dispatch_mcp"], env={**env, "DISPATCH_MCP_DEPTH": depth}, cwd=str(shop)
    )
    tasks = ({"id": "gate", "do": "Go on?", "worker": "human"}, {"id": "work", "do": "Write it", "deps": ["gate"]})
    with anyio.fail_after(120):
        async with Client(parameters, mode=era, elicitation_callback=approve) as client:
            desk = memory_client.Desk(client)
            run_id = (await desk.call("dispatch", plan_id=await desk.planned(*tasks)))["run_id"]
            state = (await desk.call("dispatch", run_id=run_id))["state"]
    assert (state, len(asked)) == end


@pytest.mark.promise("R13")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.slice(2)
def test_only_json_rpc_is_on_stdout(env: dict[str, str], shop: Path, unbuffered: str) -> None:
    with raw_server.Wire({**env, "PYTHONUNBUFFERED": unbuffered, "DISPATCH_MCP_LOG_LEVEL": "debug"}, shop) as server:
        server.request("tools/list")
        tasks = [{"id": f"t{n}", "do": "Make noise", "command": ["python", "-c", NOISE]} for n in range(3)]
        plan_id = server.call("plan_dag", tasks=tasks)["plan_id"]
        run_id = server.call("dispatch", plan_id=plan_id)["run_id"]
        assert raw_server.finish(server, [run_id]) == {run_id: "succeeded"}
        for garbage in (b"not json\n", b"\xff\xfe\n", b"[" * 5_000 + b"\n", b"{}\n", b"[]\n", b"1e999\n", b"\n"):
            server.write(garbage)
        deep = b"[" * 5_000 + b"]" * 5_000
        server.write(
            b'{"jsonrpc":"2.0","id":99,"method":"tools/call","params":{"name":"get_trace","arguments":' + deep + b"}}\n"
        )
        assert server.request("tools/list")["tools"], "and it still answers"
        assert server.close() == 0
    assert server.lines
    for line in server.lines:
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0", line
        assert message.get("error", {}).get("code") != -32603, line


@pytest.mark.promise("R13")
def test_ten_megabytes_on_one_line_are_answered(env: dict[str, str], shop: Path) -> None:
    with raw_server.Wire(env, shop) as server:
        with pytest.raises(raw_server.Refused, match="at most"):
            server.call("route_task", task="x" * 10_000_000)
        assert server.call("route_task", task="fix the login page")
        assert server.close() == 0


@pytest.mark.promise("R6")
@pytest.mark.parametrize("busy", ["idle", "waiting", "working"])
def test_the_end_of_stdin_ends_the_server(env: dict[str, str], shop: Path, busy: str) -> None:
    with raw_server.Wire(env, shop, fresh=busy == "idle") as server:
        server.request("tools/list")
        task = {"id": "a", "do": "Take long", "command": ["python", "-c", LONG]}
        if busy == "working":
            run_id = server.call("dispatch", plan_id=server.call("plan_dag", tasks=[task])["plan_id"])["run_id"]
            while server.call("get_trace", run_id=run_id)["counts"].get("running") != 1:
                pass
        if busy == "waiting":
            tasks = scripted(1, 900.0)
            plan_id = server.call("plan_dag", tasks=tasks)["plan_id"]
            run_id = server.call("dispatch", plan_id=plan_id, worker="scripted")["run_id"]
            server.send("tools/call", {"name": "get_trace", "arguments": {"run_id": run_id, "wait_s": 45}})
        assert server.close(40) == 0, "without waiting until the 45 seconds of whoever waits for news are over"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly(env: dict[str, str], shop: Path, number: signal.Signals) -> None:
    with raw_server.Wire(env, shop, fresh=number is signal.SIGTERM) as server:
        plan_id = server.call("plan_dag", tasks=scripted(3, 900.0))["plan_id"]
        server.call("dispatch", plan_id=plan_id, worker="scripted")
        server.process.send_signal(number)
        assert server.process.wait(120) == 0
    with closing(sqlite3.connect(Path(env["DISPATCH_MCP_HOME"]) / "state.db")) as conn:
        [(owner,)] = conn.execute("SELECT owner FROM run")
    assert owner is None, "the run is free for the next server"


def loaded_by(env: dict[str, str], shop: Path, log: Path) -> set[str]:
    """Returns the modules that a server loads from its start to a planned, dispatched and traced run."""
    with raw_server.Wire(env, shop, python=["-X", "importtime"], log=log) as server:
        server.request("tools/list")
        server.call("route_task", task="Add an index to the orders table")
        run_id = server.call("dispatch", plan_id=server.call("plan_dag", tasks=scripted(2))["plan_id"], dry_run=True)
        server.call("get_trace", run_id=run_id["run_id"], wait_s=5)
        assert server.close() == 0
    return imported(log.read_text(encoding="utf-8"))


def imported(text: str) -> set[str]:
    """Returns the names in a report of `-X importtime`; of a package that was only looked for, only parts are there."""
    return {line.rsplit("|", 1)[-1].strip() for line in text.splitlines() if line.startswith("import time:")}


@pytest.mark.promise("S1")
@pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="there is no /proc here to ask")
def test_a_server_that_nobody_asked_for_http_listens_at_no_address(env: dict[str, str], shop: Path) -> None:
    with raw_server.Wire(env, shop) as server:
        plan_id = server.call("plan_dag", tasks=scripted(3))["plan_id"]
        run_id = server.call("dispatch", plan_id=plan_id, worker="scripted")["run_id"]
        assert raw_server.finish(server, [run_id]) == {run_id: "succeeded"}
        assert listening(server.process.pid) == []
        assert server.close() == 0
    with socket.create_server(("127.0.0.1", 0)):
        assert listening(os.getpid()) != [], "one that listens is seen"


def listening(pid: int) -> list[str]:
    """Returns the addresses at which a process listens, as the kernel writes them."""
    sockets: set[str] = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it has closed this one meanwhile
            sockets.add(str(entry.readlink()))
    addresses: list[str] = []
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/{pid}/net/{table}")
        rows = path.read_text().splitlines()[1:] if path.exists() else []
        table_rows = [row.split() for row in rows]
        addresses += [row[1] for row in table_rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]  # LISTEN
    return addresses


@pytest.mark.promise("R18")
def test_serving_loads_no_provider_library_no_terminal_library_and_no_oracle(
    env: dict[str, str], shop: Path, tmp_path: Path
) -> None:
    found = loaded_by(env, shop, tmp_path / "stderr")
    assert "mcp" in found
    assert found.isdisjoint({"anthropic", "rich", "networkx", "numpy", "temporalio", "pytest"})


@pytest.mark.promise("R18")
def test_the_version_is_told_without_loading_anything(env: dict[str, str], shop: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "dispatch_mcp", "--version"]
    done = subprocess.run(command, env=env, cwd=shop, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("dispatch-mcp ")
    assert imported(done.stderr).isdisjoint({"mcp", "mcp_types", "pydantic", "anyio", "sqlite3", "rich", "argparse"})


def picture(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Returns mode, time of change and bytes of everything below a folder."""
    found: dict[str, tuple[int, int, bytes]] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, data)
    return found


@pytest.mark.parametrize("home", ["state", "default"])
@pytest.mark.slice(2)
def test_nothing_is_created_or_changed_in_the_workspace(
    env: dict[str, str], shop: Path, own_home: Path, home: str
) -> None:
    if home == "default":
        env = {name: value for name, value in env.items() if name != "DISPATCH_MCP_HOME"}
    for path in [*shop.rglob("*"), shop]:
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    before = picture(shop)
    with raw_server.Wire(env, shop, fresh=True) as server:
        server.request("tools/list")
        server.call("route_task", task="Explain app.py", files=["app.py"])
        tasks = [
            {"id": "log", "do": "Read the history", "command": ["git", "log", "--oneline"]},
            {"id": "write", "do": "Write the basket", "files": ["basket.py"], "context": ["file:app.py"]},
            {"id": "state", "do": "Read the state", "command": ["git", "status", "--short"]},
        ]
        run_id = server.call("dispatch", plan_id=server.call("plan_dag", tasks=tasks)["plan_id"])["run_id"]
        assert raw_server.finish(server, [run_id]) == {run_id: "partial"}, "nobody wrote the basket"
        for view in ("summary", "timeline", "results", "todo", "mermaid"):
            server.call("get_trace", run_id=run_id, view=view)
        assert server.close() == 0
    after = picture(shop)
    for path in [shop, *shop.rglob("*")]:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
    assert after == before


@pytest.mark.promise("R6")
@pytest.mark.chaos
def test_a_client_that_goes_away_in_the_middle_of_a_dispatch_loses_nothing(env: dict[str, str], shop: Path) -> None:
    rng = random.Random()
    acknowledged: set[str] = set()
    for _ in range(50 if FULL else 10):
        with raw_server.Wire(env, shop) as server:
            plan_id = server.call("plan_dag", tasks=scripted(12))["plan_id"]
            number = server.send(
                "tools/call", {"name": "dispatch", "arguments": {"plan_id": plan_id, "worker": "scripted"}}
            )
            instant = rng.random() * 0.25
            began = time.monotonic()
            if rng.random() < 0.7:
                acknowledged.add(server.answer(number)["result"]["structuredContent"]["run_id"])
            time.sleep(max(0.0, instant - (time.monotonic() - began)))
            assert server.close() == 0
    assert acknowledged <= set(run_ids(env))
    with raw_server.Wire(env, shop) as server:
        states = raw_server.finish(server, run_ids(env))
        assert server.close() == 0
    assert set(states.values()) == {"succeeded"}


@pytest.mark.promise("S10")
@pytest.mark.parametrize("is_begun", [False, True])
def test_what_is_said_of_a_line_that_is_no_message_holds_no_secret(
    env: dict[str, str], shop: Path, *, is_begun: bool
) -> None:
    token, password = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8", "hunter2-zebra-quokka-77"
    with raw_server.Wire({**env, "MY_SERVICE_PASSWORD": password}, shop) as server:
        if is_begun:
            server.greet()
        for secret in (token, password):
            for field in ("jsonrpc", "method", "params"):
                message = {"jsonrpc": "2.0", "id": 777, "method": "ping", field: [secret]}
                server.write(json.dumps(message).encode() + b"\n")
                text = json.dumps(server.answer(777)["error"])
                assert secret not in text
                assert "[redacted:" in text


@pytest.mark.promise("S10")
def test_a_request_that_the_sdk_itself_refuses_is_not_repeated_with_its_secret(env: dict[str, str], shop: Path) -> None:
    token = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"
    prefix = "io.modelcontextprotocol"
    meta: dict[str, Any] = {f"{prefix}/protocolVersion": token, f"{prefix}/clientCapabilities": {}}
    with raw_server.Wire(env, shop) as server:
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": 777, "method": "ping", "params": {"_meta": meta}}
        server.write(json.dumps(message).encode() + b"\n")
        refusal = server.answer(777)["error"]
        assert refusal["data"]["requested"] == "[redacted:github-token]"
