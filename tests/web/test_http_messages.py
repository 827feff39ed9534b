"""What comes in bodies over HTTP: read as on stdin, and answered whatever happens behind."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import memory_client
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dispatch_mcp import errors
from dispatch_mcp.mcp_server import stdio_messages
from dispatch_mcp.web import http_guard, http_messages, http_server

pytestmark = pytest.mark.anyio

HERE = "http://127.0.0.1:8765/mcp"
ACCEPT = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
MOST = 4_000
PING = b'{"jsonrpc": "2.0", "id": 7, "method": "ping"}'
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body that it reads, whole."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def failure(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Fails as code does that has a fault."""
    raise ZeroDivisionError("a fault of ours")


async def silence(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Returns without an answer, as work does whose future somebody else has cancelled."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await anyio.sleep_forever()


async def half(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Fails in the middle of its answer."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError("in the middle")


def client(app: ASGIApp, most: int = MOST) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=http_messages.Messages(app, most)), headers=ACCEPT)


async def posted(app: ASGIApp, body: bytes) -> httpx2.Response:
    async with client(app) as http:
        return await http.post(HERE, content=body)


@pytest.mark.parametrize(
    ("body", "code", "request_id"),
    [
        (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", ', PARSE_ERROR, 7),
        (b'{"jsonrpc": "2.0", "id": "a", "method": ping}', PARSE_ERROR, "a"),
        (b"no JSON at all", PARSE_ERROR, None),
        (b"", PARSE_ERROR, None),
        (b" \n", PARSE_ERROR, None),
        (b"[" + PING + b"]", INVALID_REQUEST, 7),
        (b"[" + PING + b"," + PING + b"]", INVALID_REQUEST, None),
        (b"3", INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": 7, "method": 4}', INVALID_REQUEST, 7),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": 4}', INVALID_PARAMS, 7),
        (
            b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}",
            INVALID_PARAMS,
            7,
        ),
    ],
)
async def test_what_is_no_message_is_answered_with_the_id_that_stands_in_it(
    body: bytes, code: int, request_id: Any
) -> None:
    answer = await posted(failure, body)
    assert answer.status_code == 400
    assert (answer.json()["id"], answer.json()["error"]["code"]) == (request_id, code)
    assert answer.json()["error"]["message"].endswith(".")


async def test_what_is_said_of_a_body_that_is_no_message_holds_no_secret() -> None:
    token = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"
    answer = await posted(failure, json.dumps({"jsonrpc": token, "id": 7, "method": "ping"}).encode())
    assert answer.status_code == 400
    assert token not in answer.text
    assert "[redacted:" in answer.text


TOKEN = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"


@pytest.mark.promise("S10")
@pytest.mark.parametrize("is_stream", [False, True])
async def test_what_is_answered_before_any_middleware_holds_no_secret(*, is_stream: bool) -> None:
    error = {"jsonrpc": "2.0", "id": 7, "error": {"code": -32022, "message": f"no {TOKEN}", "data": {"was": TOKEN}}}
    news = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"error": 1, "data": "\u00e9"}}
    body = json.dumps(error).encode()
    if is_stream:
        body = b"".join(b"event: message\r\ndata: %s\r\n\r\n" % json.dumps(row).encode() for row in (news, error))

    async def refuse(_scope: Scope, _receive: Receive, send: Send) -> None:
        kind = b"text/event-stream" if is_stream else b"application/json"
        length = [] if is_stream else [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", kind), *length]})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    answer = await posted(refuse, PING)
    *events, last = answer.text.split("data: ")
    assert (json.loads(last)["id"], json.loads(last)["error"]["code"]) == (7, -32022)
    assert (TOKEN in answer.text, answer.text.count("[redacted:")) == (False, 2)
    assert answer.headers.get("content-length", str(len(answer.content))) == str(len(answer.content))
    assert [json.loads(event.partition("\r")[0]) for event in events[1:]] == ([news] if is_stream else [])


BODIES = st.binary(max_size=200) | st.text(max_size=50).map(lambda text: json.dumps(text).encode())


@settings(max_examples=5, deadline=None)  # each starts a loop of its own
@given(bodies=st.lists(BODIES, min_size=10, max_size=30))
async def test_bodies_are_read_as_lines_of_stdin_are(bodies: list[bytes]) -> None:
    for body in bodies:
        outcome = stdio_messages.read(body)
        answer = await posted(echo, body)
        assert answer.status_code == 400
        if isinstance(outcome, stdio_messages.Refusal):
            assert answer.json()["error"] == {"code": outcome.code, "message": outcome.reason}
        else:
            assert outcome is None
            assert answer.json()["error"]["code"] == PARSE_ERROR


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (rb"half \ud83d of one", "half \ufffd of one"),
        (rb"whole \ud83d\ude00 one", "whole \U0001f600 one"),
        (b"no \xff UTF-8", "no \ufffd UTF-8"),
        ("as it is é".encode(), "as it is é"),
    ],
)
async def test_broken_characters_are_replaced_and_the_rest_is_kept(written: bytes, text: str) -> None:
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "' + written + b'"}}'
    assert (await posted(echo, body)).json()["params"]["x"] == text


@pytest.mark.parametrize("is_declared", [True, False])
async def test_a_body_that_is_too_long_is_refused_before_it_is_read_whole(*, is_declared: bool) -> None:
    async def parts() -> AsyncGenerator[bytes]:
        for _ in range(3):
            yield b" " * MOST

    async with client(failure) as http:
        answer = await http.post(HERE, content=b" " * (MOST + 1) if is_declared else parts())
    assert answer.status_code == 413
    assert answer.json()["error"] == {
        "code": INVALID_REQUEST,
        "message": "The message is longer than 4,000 bytes. Send less at a time.",
    }


@pytest.mark.parametrize("app", [failure, silence])
async def test_a_fault_is_answered_in_the_protocol_and_logged(app: ASGIApp, caplog: pytest.LogCaptureFixture) -> None:
    answer = await posted(app, PING)
    assert answer.json() == {
        "jsonrpc": "2.0",
        "id": 7,
        "error": {"code": INTERNAL_ERROR, "message": http_messages.FAULT},
    }
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "got no answer" in record.message or (record.exc_info and record.exc_info[0] is ZeroDivisionError)


async def test_a_fault_at_a_request_without_a_body_is_answered_too() -> None:
    async with client(failure) as http:
        answer = await http.delete(HERE)
    assert (answer.json()["id"], answer.json()["error"]["code"]) == (None, INTERNAL_ERROR)


async def test_a_fault_in_the_middle_of_an_answer_ends_the_connection() -> None:
    with pytest.raises(ZeroDivisionError):
        await posted(half, PING)


async def test_a_fault_after_the_answer_is_logged_and_leaves_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def too_late(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        raise ZeroDivisionError("when all was said")

    answer = await posted(too_late, PING)
    assert answer.content == PING
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


async def test_a_stream_that_is_left_open_ends_with_an_error_of_the_protocol() -> None:
    async def left_open(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b": ping\r\n\r\n", "more_body": True})

    *_, event = (await posted(left_open, PING)).text.split("data: ")
    assert (json.loads(event)["id"], json.loads(event)["error"]["message"]) == (7, http_messages.CUT_OFF)


async def test_a_client_that_leaves_gets_no_answer() -> None:
    sent: list[Message] = []

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def wait_for_the_end(_scope: Scope, receive: Receive, _send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    for method in ("POST", "GET"):
        scope: Scope = {"type": "http", "method": method, "headers": []}
        await http_messages.Messages(wait_for_the_end, MOST)(scope, gone, send)
    assert not sent


async def test_a_request_that_the_end_of_the_server_cuts_off_is_answered() -> None:
    begun = anyio.Event()

    async def work(_scope: Scope, _receive: Receive, _send: Send) -> None:
        begun.set()
        await anyio.sleep_forever()

    answers: list[httpx2.Response] = []

    async def ask(url: str) -> None:
        async with httpx2.AsyncClient(headers=ACCEPT, timeout=120) as http:
            answers.append(await http.post(url, content=PING))

    config = uvicorn.Config(
        http_messages.Messages(work, MOST), lifespan="off", log_config=None, timeout_graceful_shutdown=0
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener, anyio.fail_after(120):
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            group.start_soon(ask, f"http://127.0.0.1:{listener.getsockname()[1]}/mcp")
            await begun.wait()
            server.should_exit = True
    [answer] = answers
    assert answer.json()["error"] == {"code": INTERNAL_ERROR, "message": http_messages.STOPPED}
    assert answer.json()["id"] == 7


@pytest.fixture
async def http(tmp_path: Path) -> AsyncGenerator[httpx2.AsyncClient]:
    service = memory_client.make_server(
        memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    )

    async def no_trouble() -> None:
        """The state is open."""

    app = http_server.application(
        service, http_server.Address(), owner=lambda token: token, is_ready=no_trouble, card={}
    )
    headers = {**ACCEPT, "Authorization": "Bearer laptop"}
    transport = httpx2.ASGITransport(app=app)
    async with service.session_manager.run(), httpx2.AsyncClient(transport=transport, headers=headers) as client:
        yield client


async def test_half_an_emoji_in_a_text_is_taken_by_the_tools(http: httpx2.AsyncClient) -> None:
    params = {"name": "plan_dag", "arguments": {"tasks": [{"id": "a", "do": "Write HALF"}]}, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "plan_dag"}
    answer = (await http.post(HERE, content=body.replace("HALF", r"half \ud83d"), headers=headers)).json()
    assert not answer["result"].get("isError")
    assert answer["result"]["structuredContent"]["plan_id"]


def places_of_a_secret() -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Requests of both eras, each with a token where the SDK may quote it: header, version, method, name, value."""
    version, info = "io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientInfo"
    tools = {"method": "tools/call", "params": {"name": TOKEN, "arguments": {TOKEN: [TOKEN]}, "_meta": META}}
    for method in (TOKEN, "tools/call", "prompts/get", "resources/read", "logging/setLevel", "initialize"):
        for field in ("name", "uri", "level", "cursor", "protocolVersion", "arguments", "_meta"):
            for value in (TOKEN, [TOKEN], {TOKEN: TOKEN}):
                message = {"method": method, "params": {"_meta": META, field: value}}
                yield {}, message
                yield {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, "Mcp-Name": TOKEN}, message
    for headers in ({"MCP-Protocol-Version": TOKEN}, {"Mcp-Session-Id": TOKEN}, {"Mcp-Param-Request": TOKEN}):
        yield headers, {"method": "ping"}
        yield headers, tools
        yield {**headers, "Mcp-Method": "ping"}, {"method": "ping", "params": {"_meta": {**META, version: TOKEN}}}
        yield {**headers, "Mcp-Method": "ping"}, {"method": "ping", "params": {"_meta": {**META, info: [TOKEN]}}}


@pytest.mark.promise("S10")
async def test_no_refusal_of_a_request_repeats_a_secret_wherever_it_stood(http: httpx2.AsyncClient) -> None:
    requests = list(places_of_a_secret())
    assert len(requests) <= http_guard.CALLS.burst
    outcomes = set[int]()
    for headers, message in requests:
        answer = await http.post(HERE, json={"jsonrpc": "2.0", "id": 7, **message}, headers=headers)
        outcomes.add(answer.status_code)
        assert TOKEN not in answer.text, (headers, message)
        assert TOKEN not in str(answer.headers), (headers, message)
    note = await http.post(HERE, json={"jsonrpc": "2.0", "method": "x"}, headers={"MCP-Protocol-Version": TOKEN})
    assert (note.status_code, note.json()["error"]["message"]) == (400, "Unsupported protocol version")
    assert TOKEN not in note.text
    assert {400, 404} <= outcomes


async def test_a_fault_on_the_pages_says_so(tmp_path: Path) -> None:
    class Faulty:
        """Fails at whatever it is to show."""

        async def runs(self, digest: str = "", cursor: str = "") -> dict[str, Any]:
            raise ZeroDivisionError(f"{digest} {cursor}")

        async def run(self, handle: str, after: int = 0, revision: int = -1) -> dict[str, Any]:
            raise errors.StoreError(f"{handle} {after} {revision}")

        async def limits(self, handle: str) -> dict[str, Any]:
            raise errors.StoreError(handle)

        async def limit(self, handle: str, document: Any, by: str) -> dict[str, Any]:
            raise errors.StoreError(f"{handle} {document} {by}")

    service = memory_client.make_server(
        memory_client.settings(tmp_path / "home", memory_client.repository(tmp_path / "shop"))
    )

    async def no_trouble() -> None:
        """The state is open."""

    app = http_server.application(
        service,
        http_server.Address(),
        owner=lambda token: token,
        is_ready=no_trouble,
        card={},
        pictures=Faulty(),
    )
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, headers={"Authorization": "Bearer laptop"}) as client:
        answer = await client.get("http://127.0.0.1:8765/api/runs")
    assert (answer.status_code, answer.json()) == (500, {"error": http_messages.FAULT})
