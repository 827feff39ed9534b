"""A trial: the server is started from an entry as its client will start it, and asked for its tools."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from dispatch_mcp import errors, model
from dispatch_mcp.registration import clients
from dispatch_mcp.text import json_types

WITHIN_S = 30.0
"""Seconds for a start: the least that a client waits."""
MAX_LINE = 1 << 20
MAX_LOG = 64_000
_END_S: Final = 5.0
"""Seconds that a server has to end once its client has left."""
_PLAIN_VARIABLES = (
    "HOME",
    "LANG",
    "LOGNAME",
    "SHELL",
    "TERM",
    "TMPDIR",
    "USER",
    "SYSTEMROOT",
    "APPDATA",
    "LOCALAPPDATA",
)
_PLAIN_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_HELLO: Mapping[str, model.Json] = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "dispatch-mcp install", "version": "1"},
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A start that went well: the server's version, its tools, and the seconds until it had named them."""

    version: str
    tools: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a client starts a server: the folder, and the variables beside those of the entry."""

    folder: Path
    env: Mapping[str, str]


def setting_of(client: clients.Client, around: clients.Machine) -> Setting:
    """Returns where a client starts a server: desktop programs in `/` and with the plainest variables."""
    folder = around.project if client.starts_in_project else Path(around.home.anchor)
    if not client.clean:
        return Setting(folder, around.env)
    plain = {name: around.env[name] for name in _PLAIN_VARIABLES if name in around.env}
    path = around.env.get("PATH", "") if around.platform == "win32" else _PLAIN_PATH
    return Setting(folder, {**plain, "PATH": path})


async def start(launch: clients.Launch, setting: Setting, *, within_s: float = WITHIN_S) -> Trial:
    """Starts the server, asks it who it is and for its tools, and lets it end.

    Raises:
        ConfigError: it does not start, says something else, or takes longer than `within_s` seconds.
    """
    began = time.monotonic()
    command, env = [launch.command, *launch.arguments], {**setting.env, **launch.variables}
    with tempfile.TemporaryFile() as log:
        try:
            process = await anyio.open_process(command, cwd=setting.folder, env=env, stderr=log)
        except OSError as trouble:
            raise errors.ConfigError(f"{launch.command!r} cannot be started: {trouble.strerror}.") from None
        async with process:
            try:
                with anyio.fail_after(within_s):
                    version, tools = await _conversation(process)
            except (TimeoutError, anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError) as trouble:
                is_late = isinstance(trouble, TimeoutError)
                with anyio.move_on_after(0 if is_late else _END_S, shield=True):
                    await process.wait()
                raise _failure(process.returncode, log, within_s if is_late else None) from None
            finally:
                seconds = time.monotonic() - began
                await _end(process)
    return Trial(version, tools, seconds)


async def _end(process: anyio.abc.Process) -> None:
    """Lets the server end as clients do, by closing its stdin, and sees to it that it does."""
    with anyio.move_on_after(_END_S, shield=True):
        await _stdin(process).aclose()
        await process.wait()
    if process.returncode is None:
        process.kill()


async def _conversation(process: anyio.abc.Process) -> tuple[str, int]:
    """Returns the server's version and how many tools it has."""
    assert process.stdout is not None
    lines = BufferedByteReceiveStream(process.stdout)
    hello = await _ask(process, lines, 1, "initialize", _HELLO)
    await _stdin(process).send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
    answer = await _ask(process, lines, 2, "tools/list", {})
    return str(hello["serverInfo"]["version"]), len(answer["tools"])


async def _ask(
    process: anyio.abc.Process,
    lines: BufferedByteReceiveStream,
    number: int,
    method: str,
    params: Mapping[str, model.Json],
) -> model.Json:
    request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    await _stdin(process).send(json.dumps(request).encode() + b"\n")
    while True:
        line = await lines.receive_until(b"\n", MAX_LINE)
        message = _object(line)
        if message.get("id") == number:
            return message["result"]


def _object(line: bytes) -> Mapping[str, model.Json]:
    try:
        message: model.Json = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not json_types.is_object(message):
        raise errors.ConfigError(f"The server wrote {line[:80]!r} where only messages may stand.")
    return message


def _stdin(process: anyio.abc.Process) -> anyio.abc.ByteSendStream:
    assert process.stdin is not None
    return process.stdin


def _failure(code: int | None, log: IO[bytes], within_s: float | None) -> errors.ConfigError:
    """Returns what went wrong, with the last line that the server has said; `within_s` if it was too slow."""
    log.seek(0)
    rows = log.read(MAX_LOG).decode("utf-8", "replace").strip().splitlines()
    outcome = "ended before it answered" if within_s is None else f"did not answer within {within_s:g} s"
    end = f" (exit code {code})" if code and within_s is None else ""
    # A hint of ours is indented below what was wrong.
    rows = [row for row in rows if not row.startswith("  ")] or rows
    last = f" Its last line was {rows[-1][:300]!r}." if rows else ""
    return errors.ConfigError(f"The server {outcome}{end}.{last}")
