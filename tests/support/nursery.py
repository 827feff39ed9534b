"""Servers that are forked from an interpreter which has loaded the product: a start costs a tenth of a fresh one.

What a test sees is a process of its own, with its pipes, environment, folder and exit code, that goes through the
product's `__main__` as any other. Whoever asks what a start loads or costs starts a fresh interpreter instead.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, NoReturn, Self

from dispatch_mcp.agents import bundled_files, loader

LOADED = (
    "dispatch_mcp.cli.program",
    "dispatch_mcp.cli.commands.serve",
    "dispatch_mcp.composition",
    "dispatch_mcp.mcp_server.prompts",
    "dispatch_mcp.mcp_server.resources",
    "dispatch_mcp.mcp_server.tools",
    "genai_prices",
)
"""What a server loads on its way from its start to the report of a result."""

DECIDED_AT_THE_START = ("LANG", "LC_", "PYTHON", "TZ")
"""How the names of variables begin that an interpreter reads before it can be forked: each has one of its own."""

OF_ONE_START = ("PYTHON", "DISPATCH_MCP_FAILPOINT")
"""How those begin that differ from start to start, so that each is a fresh one."""

MOST = 1 << 17
"""Bytes of a request for a server."""


class Child:
    """A process that was forked for us; it has what our tests need of `subprocess.Popen`."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes], status: int) -> None:
        """Takes our ends of its pipes, and the one that tells its pid and, at its end, its exit code."""
        self.stdin, self.stdout, self._status = stdin, stdout, os.fdopen(status, "rb", buffering=0)
        self.pid = int(self._line())
        self.returncode: int | None = None

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            byte = self._status.read(1)
            if not byte:
                raise ChildProcessError("the interpreter that servers are forked from has ended")
            line += byte
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _what: BaseException | None, _at: TracebackType | None
    ) -> None:
        self.wait()
        self.stdin.close()
        self.stdout.close()

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Returns the exit code, that of a signal below zero. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("dispatch-mcp", timeout or 0.0)
            self.returncode = os.waitstatus_to_exitcode(int(self._line()))
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _decided(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(DECIDED_AT_THE_START)}


class Nursery:
    """The interpreter that servers are forked from; it ends with us."""

    def __init__(self, env: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=env,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,  # as those of servers are: Python asks once whether a file can be wound back
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        self._control = ours
        atexit.register(self._end)

    def _end(self) -> None:
        self._control.close()
        self._process.communicate()  # it ends by that

    def fork(
        self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, stderr: int, closed: Sequence[str] = ()
    ) -> Child:
        (their_in, our_in), (our_out, their_out), (status, their_status) = os.pipe(), os.pipe(), os.pipe()
        request = json.dumps({"arguments": list(arguments), "env": dict(env), "cwd": str(cwd), "closed": closed})
        theirs = [their_in, their_out, stderr, their_status]
        socket.send_fds(self._control, [request.encode("utf-8", "surrogateescape")], theirs)
        for number in (their_in, their_out, their_status):
            os.close(number)
        return Child(os.fdopen(our_in, "wb", buffering=0), os.fdopen(our_out, "rb", buffering=0), status)


@functools.cache
def _nursery(decided: frozenset[tuple[str, str]]) -> Nursery:
    return Nursery({"PATH": os.environ.get("PATH", os.defpath), **dict(decided)})


def can_fork(env: Mapping[str, str]) -> bool:
    """Returns whether a forked server is the same as a fresh one in this environment."""
    odd = {name for name in env if name.startswith(OF_ONE_START) and env[name] != os.environ.get(name)}
    return sys.platform == "linux" and odd <= {"PYTHONPATH"}


def fork(arguments: Sequence[str], env: Mapping[str, str], cwd: Path, stderr: int, closed: Sequence[str] = ()) -> Child:
    """Starts `dispatch-mcp` with these arguments in a process of its own. `stderr` is a file descriptor.

    The streams in `closed` are closed there, as Python finds them when a shell has closed them.
    """
    return _nursery(frozenset(_decided(env).items())).fork(arguments, env, cwd, stderr, closed)


# The other side: what runs in the interpreter that is forked.


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in LOADED:
        importlib.import_module(name)
    agents = loader.Folder(bundled_files.shipped_folder("agents"), "bundled", nested=True)
    loader.Source((agents,)).catalog()
    bundled_files.all_templates()
    gc.collect()
    gc.freeze()
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _wake)
    statuses: dict[int, int] = {}
    while True:
        ready = select.select([control, told], [], [])[0]
        if told in ready:
            os.read(told, 4096)
            _tell_ends(statuses)
        if control in ready:
            data, descriptors, _, _ = socket.recv_fds(control, MOST, 4)
            if not data:
                return
            pid = os.fork()
            if not pid:
                _become(json.loads(data), descriptors, [control.detach(), told, tell, *statuses.values()])
            statuses[pid] = descriptors.pop()
            os.write(statuses[pid], b"%d\n" % pid)
            for number in descriptors:
                os.close(number)


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Does nothing: that there was a signal is written into the pipe."""


def _tell_ends(statuses: dict[int, int]) -> None:
    """Tells the exit status of every server that has ended."""
    for pid in list(statuses):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with contextlib.suppress(BrokenPipeError):  # nobody wants to know any more
                os.write(statuses[pid], b"%d\n" % status)
            os.close(statuses.pop(pid))


def _become(request: Mapping[str, Any], descriptors: Sequence[int], others: Sequence[int]) -> NoReturn:
    """Goes on as the server that was asked for."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for place, number in enumerate(descriptors[:3]):
        os.dup2(number, place)
    for number in (*descriptors, *others):
        os.close(number)
    for name in request["closed"]:
        os.close(("stdin", "stdout", "stderr").index(name))
        setattr(sys, name, None)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    sys.argv = ["dispatch-mcp", *request["arguments"]]
    runpy.run_module("dispatch_mcp", run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
