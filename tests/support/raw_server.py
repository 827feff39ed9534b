"""A real server process and the bare lines between us; it can be closed, signalled and killed at any instant."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nursery

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "wire", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "wire", "version": "1"}}
PATIENCE_S = 120.0
"""A machine under load may take this long."""


OURS = (
    (),
    (sys.executable, "-m", "dispatch_mcp", "serve"),
    (str(Path(sys.executable).with_name("dispatch-mcp")), "serve"),
)
"""The commands that start the product of this interpreter."""


class Gone(Exception):
    """The server has closed its end."""


class Refused(Exception):
    """A tool refused the call."""


def environment(home: Path, workspace: Path, allow: Sequence[Sequence[str]] = (), **more: str) -> dict[str, str]:
    """Returns the environment of a server of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DISPATCH_MCP_")}
    own = {
        "DISPATCH_MCP_HOME": str(home),
        "DISPATCH_MCP_WORKSPACE": str(workspace),
        "DISPATCH_MCP_ALLOW_COMMANDS": json.dumps(allow),
        "DISPATCH_MCP_REVIEWS": "none",
        "DISPATCH_MCP_HANDLE_WAIT_S": "20",  # how fast this machine is makes no difference to what is answered
    }
    return kept | own | more


class Wire:
    """One server process; everything it writes to stdout is kept in `lines`."""

    def __init__(
        self,
        env: Mapping[str, str],
        cwd: Path,
        *,
        python: Sequence[str] = (),
        command: Sequence[str] = (),
        log: Path | int | None = None,
        era: str = "auto",
        hello: Mapping[str, Any] | None = None,
        fresh: bool = False,
    ) -> None:
        """Starts the server; `log` is the file or pipe that its stderr is, `era` that of the protocol we speak.

        `hello` replaces what we say of ourselves: the parameters of the handshake, or of the envelope in the newer era.

        `command` is what starts it, if not this interpreter with the options `python`. Where that is the product of our
        interpreter, it is forked from one that has loaded it; a `fresh` one is for who asks what a start is like.
        """
        self.lines: list[bytes] = []
        self.roots: Sequence[str] = ()
        self._rest = b""
        self._number = 0
        self._hello = hello or HELLO
        self._meta: Mapping[str, Any] = {"_meta": hello or ENVELOPE} if era == "auto" else {}
        with open(os.devnull if log is None else log, "ab") as stderr:  # noqa: PTH123  # a pipe, too
            self.process = (
                nursery.fork(["serve"], env, cwd, stderr.fileno())
                if not (python or fresh) and tuple(command) in OURS and nursery.can_fork(env)
                else subprocess.Popen(
                    list(command) or [sys.executable, *python, "-m", "dispatch_mcp", "serve"],
                    env=dict(env),
                    cwd=cwd,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    bufsize=0,
                )
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _what: BaseException | None, _at: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()

    def send(self, method: str, params: Mapping[str, Any]) -> int:
        """Writes a request and returns its number. Raises Gone."""
        self._number += 1
        body = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": {**params, **self._meta}}
        self.write(json.dumps(body).encode() + b"\n")
        return self._number

    def greet(self) -> None:
        """Does the handshake of the older protocol, in which a connection begins with one."""
        if not self._meta:
            self.request("initialize", **self._hello)
            self.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')

    def write(self, data: bytes) -> None:
        assert self.process.stdin
        try:
            while data:
                data = data[self.process.stdin.write(data) or 0 :]
        except (BrokenPipeError, ValueError) as broken:
            raise Gone from broken

    def line(self, within_s: float = PATIENCE_S) -> bytes:
        """Returns the next line. Raises Gone at the end, TimeoutError when none comes."""
        assert self.process.stdout
        until = time.monotonic() + within_s
        while b"\n" not in self._rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError(f"no answer within {within_s} s")
            part = os.read(self.process.stdout.fileno(), 65536)
            if not part:
                raise Gone
            self._rest += part
        found, _, self._rest = self._rest.partition(b"\n")
        self.lines.append(found)
        return found

    def answer(self, number: int) -> dict[str, Any]:
        """Returns the answer to a request; others that come before it are only kept, and our roots are named."""
        while True:
            message = json.loads(self.line())
            if message.get("method") == "roots/list":
                body = {"jsonrpc": "2.0", "id": message["id"], "result": self._named_roots()}
                self.write(json.dumps(body).encode() + b"\n")
            elif message.get("id") == number:
                return message

    def request(self, method: str, **params: Any) -> dict[str, Any]:
        """Returns the result. Raises Refused for a JSON-RPC error."""
        message = self.answer(self.send(method, params))
        if "error" in message:
            raise Refused(json.dumps(message["error"]))
        return message["result"]

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Returns the tool's structured answer. Raises Refused or Gone."""
        result = self.request("tools/call", name=tool, arguments=arguments)
        if result.get("resultType") == "input_required":
            answers = dict.fromkeys(result["inputRequests"], self._named_roots())
            again = {"inputResponses": answers, "requestState": result["requestState"]}
            result = self.request("tools/call", name=tool, arguments=arguments, **again)
        if result.get("isError"):
            raise Refused(result["content"][0]["text"])
        return result["structuredContent"]

    def _named_roots(self) -> dict[str, Any]:
        """Returns the answer of a client that is asked for the folders that are open in it: `roots`."""
        return {"roots": [{"uri": root} for root in self.roots]}

    def close(self, within_s: float = PATIENCE_S) -> int:
        """Ends stdin and returns the exit code."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(within_s)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def finish(wire: Wire, run_ids: Sequence[str], within_s: float = PATIENCE_S) -> dict[str, str]:
    """Does the host's part of the runs until they are over; returns the state of each."""
    until = time.monotonic() + within_s
    states: dict[str, str] = {}
    for run_id in run_ids:
        while True:
            answer = wire.call("dispatch", run_id=run_id)
            if answer["state"] not in ("running", "waiting_input"):
                break
            if answer.get("assignments"):
                wire.call("report", run_id=run_id, results=[done(one) for one in answer["assignments"]])
            else:
                wire.call("get_trace", run_id=run_id, wait_s=2)
            if time.monotonic() > until:
                raise TimeoutError(f"run {run_id} is still {answer['state']}: {answer['counts']}")
        states[run_id] = answer["state"]
    return states


def done(assignment: Mapping[str, Any]) -> dict[str, Any]:
    return {"task_id": assignment["task_id"], "attempt": assignment["attempt"], "text": "Done."}
