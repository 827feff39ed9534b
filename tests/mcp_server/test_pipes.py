"""Lines that are no messages, and clients that do not read: through real pipes, in both eras of the protocol."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import memory_client
import pytest
import raw_server

from dispatch_mcp.mcp_server.handshake import input_lines

pytestmark = [pytest.mark.promise("R13"), pytest.mark.promise("R20")]

PING = b'"method":"tools/call","params":{"name":"get_trace","arguments":%s}}\n'
CALL = b'{"jsonrpc":"2.0","id":%d,' + PING

REFUSED = {
    "broken": (CALL % (91, b"{"), -32700, 91),
    "cut": (b'{"jsonrpc":"2.0","id":92,"method":\n', -32700, 92),
    "deep": (CALL % (93, b'{"a":' * 250 + b"1" + b"}" * 250), -32602, 93),
    "without end": (CALL % (94, b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}"), -32602, 94),
    "digits": (CALL % (95, b'{"cursor":' + b"9" * 5_000 + b"}"), -32602, 95),
    "no jsonrpc": (b'{"id":96,"method":"tools/list"}\n', -32600, 96),
    "no id": (b'{"jsonrpc":"2.0","id":null,"method":"tools/list"}\n', -32600, None),
    "batch": (b'[{"jsonrpc":"2.0","id":97,"method":"tools/list"}]\n', -32600, 97),
    "params": (b'{"jsonrpc":"2.0","id":98,"method":"tools/list","params":[1]}\n', -32602, 98),
    "id last": (b'{"method":"tools/list","params":{"a":"%s"},"jsonrpc":"2.0","id":99}\n', -32600, 99),
    "no text": (b"\xff\xfe{\x00}\x00\n", -32700, None),
}
"""What is sent, and the code and the id of the answer; `%s` becomes more text than a message may have."""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return memory_client.repository(tmp_path / "shop")


@pytest.fixture
def env(tmp_path: Path, shop: Path) -> dict[str, str]:
    return raw_server.environment(tmp_path / "state", shop)


def answered(server: raw_server.Wire) -> dict[str, Any]:
    """Returns the next message that is an answer."""
    while True:
        message = json.loads(server.line())
        if "id" in message:
            return message


@pytest.mark.parametrize("era", memory_client.ERAS)
@pytest.mark.parametrize("moment", ["first", "later"])
def test_what_is_no_message_is_answered_at_once(env: dict[str, str], shop: Path, era: str, moment: str) -> None:
    with raw_server.Wire(env, shop, era=era) as server:
        if moment == "later":
            server.greet()
            server.request("tools/list")
        for data, code, number in REFUSED.values():
            server.write(data.replace(b"%s", b"x" * input_lines.MAX_LINE))
            answer = answered(server)
            assert (answer["error"]["code"], answer["id"]) == (code, number), answer
        if moment == "first":
            server.greet()
        assert server.request("tools/list")["tools"]
        assert server.close() == 0


@pytest.mark.parametrize("era", memory_client.ERAS)
def test_half_an_emoji_costs_a_character_and_not_the_result(env: dict[str, str], shop: Path, era: str) -> None:
    with raw_server.Wire(env, shop, era=era) as server:
        server.greet()
        plan_id = server.call("plan_dag", tasks=[{"id": "a", "do": "Write \ud83d it", "agent": "Plan"}])["plan_id"]
        run_id = server.call("dispatch", plan_id=plan_id, worker="host")["run_id"]
        results = [{"task_id": "a", "attempt": 1, "text": "Done \ud83d\ude00 and \ud83d"}]
        assert server.call("report", run_id=run_id, results=results)["state"] == "succeeded"
        task = server.call("get_trace", run_id=run_id, task_id="a")
        assert "Done \U0001f600 and \ufffd" in json.dumps(task, ensure_ascii=False)
        assert server.close() == 0


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["LF", "CRLF", "none"])
def test_marks_of_byte_order_and_ends_of_lines_do_not_matter(env: dict[str, str], shop: Path, end: bytes) -> None:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "wire", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    with raw_server.Wire(env, shop, era="legacy") as server:
        server.write(b"\xef\xbb\xbf" + json.dumps(body).encode() + (end or b"\n"))
        assert answered(server)["result"]["serverInfo"]["name"] == "dispatch"
        server.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}' + (end or b"\n"))
        server.write(b'{"jsonrpc":"2.0","id":2,"method":"ping"}' + end)
        if end:
            assert answered(server)["id"] == 2
        assert server.close() == 0


@pytest.mark.promise("R6")
@pytest.mark.parametrize("era", memory_client.ERAS)
def test_a_client_that_does_not_read_is_served_until_it_closes_stdin(env: dict[str, str], shop: Path, era: str) -> None:
    with raw_server.Wire(env, shop, era=era) as server:
        server.greet()
        for _ in range(40):
            server.send("tools/list", {})
        assert server.close() == 0, "though more is waiting than a pipe holds"


@pytest.mark.promise("R6")
def test_a_client_that_reads_late_gets_every_answer(env: dict[str, str], shop: Path) -> None:
    with raw_server.Wire(env, shop) as server:
        numbers = [server.send("tools/list", {}) for _ in range(40)]
        assert sorted(answered(server)["id"] for _ in numbers) == numbers
        assert server.close() == 0


@pytest.mark.promise("R6")
def test_a_client_that_closes_its_end_ends_the_server(env: dict[str, str], shop: Path) -> None:
    with raw_server.Wire(env, shop) as server:
        server.request("tools/list")
        assert server.process.stdout
        server.process.stdout.close()
        server.send("tools/list", {})
        assert server.process.wait(120) == 0


@pytest.mark.promise("R6")
@pytest.mark.skipif(sys.platform == "win32", reason="pipes are made otherwise there")
def test_a_stderr_that_nobody_reads_holds_nothing_up(env: dict[str, str], shop: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    written = 0
    while chunk := _filled(writing):
        written += chunk
    os.set_blocking(writing, True)
    with raw_server.Wire({**env, "DISPATCH_MCP_LOG_LEVEL": "debug"}, shop, log=writing) as server:
        for number in range(20):
            assert server.call("route_task", task=f"Fix the login page {number}")
        assert server.close() == 0
    os.set_blocking(reading, False)
    assert len(os.read(reading, 2 * written)) == written, "the pipe was full all the time"
    os.close(reading)


def without(stream: str, arguments: str, env: dict[str, str], shop: Path) -> subprocess.CompletedProcess[str]:
    """Runs the server with a stream closed by the shell, and the handshake as its stdin."""
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": raw_server.HELLO}
    command = ["sh", "-c", f'exec "$0" -m dispatch_mcp {arguments} {stream}', sys.executable]
    return subprocess.run(
        command,
        input=f"{json.dumps(hello)}\n",
        capture_output=True,
        text=True,
        env=env,
        cwd=shop,
        timeout=120,
        check=False,
    )


@pytest.mark.promise("R6")
@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes them")
@pytest.mark.parametrize("arguments", ["serve", "", "serve --home ."])
def test_a_server_whose_stderr_is_closed_serves_without_a_log(env: dict[str, str], shop: Path, arguments: str) -> None:
    done = without("2>&-", arguments, {**env, "DISPATCH_MCP_LOG_LEVEL": "debug"}, shop)
    assert done.returncode == 0
    assert json.loads(done.stdout)["result"]["serverInfo"]["name"] == "dispatch"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes them")
@pytest.mark.parametrize("arguments", ["serve", "", "serve --home ."])
@pytest.mark.parametrize("stream", ["<&-", ">&-"])
@pytest.mark.slice(2)
def test_a_server_without_stdin_or_stdout_says_so(env: dict[str, str], shop: Path, stream: str, arguments: str) -> None:
    done = without(stream, arguments, env, shop)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("dispatch-mcp: The server speaks on stdin and stdout, and one of them is closed.\n")
    assert "Traceback" not in done.stderr


def _filled(writing: int) -> int:
    """Returns how many bytes went into a pipe; 0 when it is full."""
    try:
        return os.write(writing, b"." * 4096)
    except BlockingIOError:
        return 0
