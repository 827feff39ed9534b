"""Serving over HTTP: the address, both eras of the protocol, health, and a stop that lets answers end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import memory_client
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import MCPServer
from starlette.responses import Response
from uvicorn.protocols.http import h11_impl

from dispatch_mcp import errors
from dispatch_mcp.web import http_server

pytestmark = pytest.mark.anyio

TOKEN = "dmcp_known"
ANSWERED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:9000", "127.0.0.1", 9000),
        ("localhost:0", "localhost", 0),
        ("9000", "127.0.0.1", 9000),
        (":9000", "127.0.0.1", 9000),
        ("127.0.0.5", "127.0.0.5", 8765),
        ("localhost", "localhost", 8765),
        ("[::1]:9000", "::1", 9000),
        ("[::1]", "::1", 8765),
        ("::1", "::1", 8765),
        ("0:0:0:0:0:0:0:1", "0:0:0:0:0:0:0:1", 8765),
        ("65535", "127.0.0.1", 65_535),
    ],
)
def test_an_address_is_a_host_and_a_port_or_one_of_them(text: str, host: str, port: int) -> None:
    address = http_server.Address.parse(text)
    assert (address.host, address.port) == (host, port)


NO_ADDRESSES = ("[::1", "::1]:80", ":::", "1.2.3", "1.2.3.4.5:80", "a b", "http://localhost:80", "[]:80", "١٢٣")


@pytest.mark.parametrize(
    "text", ["127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:-1", "localhost:", "127.0.0.1:8 ", *NO_ADDRESSES]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(errors.InputError, match="is no address") as refusal:
        http_server.Address.parse(text, ["dispatch.example.com"])
    assert refusal.value.advice(str) == "Write HOST:PORT, such as 127.0.0.1:8765, or only one of them."


@pytest.mark.parametrize("text", ["65536", "localhost:99999", "[::1]:65536", "9" * 5_000])
def test_a_port_beyond_the_last_one_is_named(text: str) -> None:
    with pytest.raises(errors.InputError, match="is no address: ports end at 65535"):
        http_server.Address.parse(text)


@pytest.mark.promise("S1")
@pytest.mark.parametrize("text", ["0.0.0.0:8765", "192.168.1.4:80", "[::]:80", "example.com:80", "0.0.0.0", "foo"])
def test_other_machines_reach_it_only_under_a_name_that_was_given(text: str) -> None:
    with pytest.raises(errors.InputError, match="can be reached from other machines") as refusal:
        http_server.Address.parse(text)
    assert "--allow-host" in refusal.value.advice(str)
    address = http_server.Address.parse(text, ["Dispatch.example.com"])
    assert address.is_host("dispatch.example.com")
    assert address.is_host("dispatch.example.com:443")
    assert address.is_origin("https://dispatch.example.com")
    for host in ("localhost", "127.0.0.1:8765", "other.example.com"):
        assert not address.is_host(host)
        assert not address.is_origin(f"http://{host}")
    assert not address.is_origin("http://dispatch.example.com")


def test_idle_connections_are_kept_for_longer_than_clients_keep_theirs(tmp_path: Path) -> None:
    app = a_server(tmp_path).streamable_http_app()
    kept_by_a_client = httpx2.Limits().keepalive_expiry
    assert kept_by_a_client
    assert http_server.config(app).timeout_keep_alive > 2 * kept_by_a_client


async def test_headers_without_end_are_cut_off_whatever_parsers_are_installed(tmp_path: Path) -> None:
    config = http_server.config(a_server(tmp_path).streamable_http_app())
    config.load()
    assert issubclass(config.http_protocol_class, h11_impl.H11Protocol)


@pytest.mark.parametrize("part", [b"", b"POST /mcp HTTP/1.1\r\nHost: ", ANSWERED + b"GET /slow HT"])
async def test_who_begins_a_request_and_does_not_go_on_is_not_waited_for_and_holds_up_nobody(part: bytes) -> None:
    go_on = anyio.Event()

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/late":
            await go_on.wait()
        if scope["type"] == "http":
            await Response()(scope, _receive, send)

    config, listener = http_server.config(app), http_server.Address(port=0).listen()
    config.head_s, config.timeout_keep_alive, config.lifespan = 0.01, 3600, "off"
    server = uvicorn.Server(config)
    with anyio.fail_after(120):
        async with anyio.create_task_group() as group, await anyio.connect_tcp(*listener.getsockname()) as patient:
            await patient.send(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
            group.start_soon(server.serve, [listener])
            async with await anyio.connect_tcp(*listener.getsockname()) as slow:
                with suppress(anyio.BrokenResourceError):  # a part that comes too late is answered by a reset
                    await slow.send(part)
                    async for _answer in slow:
                        pass  # until it is closed
            go_on.set()
            assert (await patient.receive()).startswith(b"HTTP/1.1 200 OK")
            server.should_exit = True


async def test_the_parts_of_an_answer_are_sent_without_waiting_for_the_client_to_acknowledge_the_first() -> None:
    settings: list[int] = []

    async def look(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        settings.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = http_server.Address(port=0).listen()
    async with await asyncio.start_server(look, sock=listener):
        with anyio.fail_after(120):
            async with await anyio.connect_tcp(*listener.getsockname()) as stream:
                with pytest.raises(anyio.EndOfStream):
                    await stream.receive()
    assert settings == [1]


async def no_trouble() -> None:
    """The state is open."""


def a_server(folder: Path) -> MCPServer[Any]:
    return memory_client.make_server(memory_client.settings(folder / "home", memory_client.repository(folder / "shop")))


@pytest.fixture
async def http(tmp_path: Path) -> AsyncGenerator[httpx2.AsyncClient]:
    service = a_server(tmp_path)
    app = http_server.application(
        service,
        http_server.Address(),
        owner=lambda token: "laptop" if token == TOKEN else "",
        is_ready=no_trouble,
        card={"name": "dispatch-mcp"},
    )
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx2.ASGITransport(app=app)
    async with service.session_manager.run(), httpx2.AsyncClient(transport=transport, headers=headers) as client:
        yield client


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_of_either_era_uses_the_tools(http: httpx2.AsyncClient, mode: Any) -> None:
    transport = streamable_http_client("http://127.0.0.1:8765/mcp", http_client=http)
    async with Client(transport, mode=mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        route = await client.call_tool("route_task", {"task": "Fix the login form"})
        handle = (await client.call_tool("plan_dag", {"tasks": [{"id": "a", "do": "Look"}]})).structured_content
        assert handle is not None
        run = await client.call_tool("dispatch", {"plan_id": handle["plan_id"], "worker": "host"})
    assert {"route_task", "plan_dag", "dispatch", "report", "get_trace"} <= names
    assert not route.is_error
    assert run.structured_content is not None
    assert run.structured_content["assignments"]


async def test_a_body_that_is_too_large_is_refused(http: httpx2.AsyncClient) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "x": "' + b"a" * http_server.MAX_BODY + b'"}'
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    assert (await http.post("http://127.0.0.1:8765/mcp", content=body, headers=headers)).status_code == 413


async def test_who_we_are_and_that_we_are_well_can_be_read(http: httpx2.AsyncClient) -> None:
    answers = [await http.get(f"http://127.0.0.1{path}") for path in ("/health", "/ready")]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(200, "ok"), (200, "ready")]
    card = await http.get("http://127.0.0.1/.well-known/agent-card.json")
    assert card.json() == {"name": "dispatch-mcp"}


async def test_a_state_that_cannot_be_opened_is_not_ready(tmp_path: Path) -> None:
    async def trouble() -> None:
        raise errors.StoreError("The disk is full.")

    server = memory_client.make_server(
        memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    )
    app = http_server.application(server, http_server.Address(), owner=str, is_ready=trouble, card={})
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app)) as client:
        answer = await client.get("http://localhost/ready")
    assert (answer.status_code, answer.json()) == (503, {"status": "the state cannot be opened"})


def test_an_address_that_is_taken_is_named() -> None:
    with http_server.Address(port=0).listen() as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(errors.ConfigError, match=f"Nothing can listen on '127.0.0.1', port {port}"):
            http_server.Address(port=port).listen()


class Served:
    """A real server of its own process, with the address and the token that it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stderr is not None
        text = ""
        while not (token := re.search(r"^dmcp_\S+$", text, re.MULTILINE)):
            line = process.stderr.readline()
            assert line, text
            text += line
        self.token: str = token[0]
        [self.url] = re.findall(r"http://\S+/mcp", text)


@contextmanager
def served(home: Path, workspace: Path) -> Generator[Served]:
    command = [sys.executable, "-m", "dispatch_mcp", "serve", "--http", "127.0.0.1:0"]
    env = {**os.environ, "DISPATCH_MCP_HOME": str(home)}
    process = subprocess.Popen(command, cwd=workspace, env=env, stderr=subprocess.PIPE, text=True)
    try:
        yield Served(process)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_of_its_own_process_is_used_and_stopped(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "shop").mkdir()

    async def use(process: Served) -> None:
        headers = {"Authorization": f"Bearer {process.token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=120) as http:
            async with Client(streamable_http_client(process.url, http_client=http)) as client:
                assert not (await client.call_tool("get_trace", {})).is_error
            card = (await http.get(process.url.replace("/mcp", "/.well-known/agent-card.json"))).json()
            assert card["supportedInterfaces"][0]["url"] == process.url

    with served(tmp_path / "home", tmp_path / "shop") as running:
        anyio.run(use, running)
        running.process.send_signal(number)
        _, rest = running.process.communicate(timeout=120)
        assert running.process.returncode == 0
        assert running.token not in rest
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "home").rglob("*")} == {0}


@pytest.mark.promise("S1")
@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
def test_a_token_stands_in_no_log_no_command_line_and_no_environment_however_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()

    async def use(process: Served) -> None:
        token = process.token
        bodies = [f'{{"jsonrpc": "2.0", "id": 1, "method": "{token}"}}', token, f'{{"a": "{token}']
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=120) as http:
            for body in bodies:
                headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
                assert token not in (await http.post(process.url, content=body, headers=headers)).text
            for path in (f"/{token}", f"/mcp?token={token}", f"/api/runs/{token}", f"/api/runs?cursor={token}", "/"):
                assert token not in (await http.get(process.url.replace("/mcp", path))).text
            assert (await http.get(process.url, headers={"Host": token})).status_code == 421

    with served(tmp_path / "home", tmp_path / "shop") as running:
        anyio.run(use, running)
        system = Path("/proc", str(running.process.pid))
        assert running.token not in (system / "cmdline").read_text("utf-8", "replace")
        assert running.token not in (system / "environ").read_text("utf-8", "replace")
        running.process.send_signal(signal.SIGTERM)
        _, log = running.process.communicate(timeout=120)
    assert running.token not in log
    kept = [path for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert [path for path in kept if running.token.encode() in path.read_bytes()] == []
