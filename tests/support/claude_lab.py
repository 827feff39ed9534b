"""Claude Code as it is, on the fake provider: its environment, and its worker."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import fake_provider
from anyio.streams import buffered

from dispatch_mcp import model, prices
from dispatch_mcp.engine import task_kinds
from dispatch_mcp.model import WorkerKind, work_order
from dispatch_mcp.process import child_environment
from dispatch_mcp.workers.claude import claude_worker

PROGRAM = os.environ.get("DISPATCH_MCP_CLIENTS", "")
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
}
"""Nothing but the fake provider can be reached."""
PATIENT = {"MCP_CONNECTION_NONBLOCKING": "0", "MCP_TIMEOUT": "300000"}
"""Has Claude Code wait for its servers: on a busy machine it would go on without them."""


def variables(fake: fake_provider.Provider, home: Path) -> dict[str, str]:
    """Returns the environment of a server whose Claude Code is a stranger on this machine."""
    home.mkdir(exist_ok=True)
    return fake.env(
        HOME=str(home), CLAUDE_CONFIG_DIR=str(home / ".claude"), LANG="C.UTF-8", TERM="dumb", **QUIET, **PATIENT
    )


def worker(fake: fake_provider.Provider, home: Path, **settings: Any) -> claude_worker.ClaudeWorker:
    """Returns the worker with the real program."""
    chosen = claude_worker.ClaudeSettings(program=PROGRAM, **settings)
    policy = child_environment.ChildPolicy(variables(fake, home), frozenset(QUIET))
    return claude_worker.ClaudeWorker(home / "state", policy, task_kinds.brief, prices.dollars, settings=chosen)


def work(workspace: Path, *steps: dict[str, Any], **more: Any) -> work_order.WorkOrder:
    """Returns an order whose model says `steps`."""
    task = model.Task(id="t1", do=f"Work. {fake_provider.script(*steps)}")
    return work_order.WorkOrder(
        more.pop("run_id", "run-1"), task, more.pop("attempt", 1), WorkerKind.CLAUDE, workspace=str(workspace), **more
    )


@dataclass
class Host:
    """What a session of Claude Code with our server came to."""

    exit_code: int
    rows: list[dict[str, Any]]
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        return next(row for row in reversed(self.rows) if row.get("type") == "result")

    @property
    def servers(self) -> list[dict[str, Any]]:
        return next(row for row in self.rows if row.get("subtype") == "init")["mcp_servers"]


async def session(env: dict[str, str], cwd: Path, server: dict[str, Any], prompt: str) -> Host:
    """Runs Claude Code as the host of one MCP server until it has answered."""
    config = json.dumps({"mcpServers": {"dispatch": server}})
    return await run(env, cwd, prompt, "--strict-mcp-config", f"--mcp-config={config}", "--allowedTools=mcp__dispatch")


async def run(env: dict[str, str], cwd: Path, prompt: str, *options: str) -> Host:
    """Runs Claude Code with what it finds there and `options` until it has answered."""
    argv = [PROGRAM, "-p", "--output-format=stream-json", "--verbose", "--model=sonnet", *options]
    done = await anyio.run_process(argv, input=prompt.encode(), env=env, cwd=cwd, check=False, stderr=subprocess.PIPE)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    return Host(done.returncode, rows, done.stderr.decode(errors="replace"))


class Conversation:
    """A session of Claude Code that goes on from turn to turn."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdin
        assert process.stdout
        self._process, self._stdin = process, process.stdin
        self._lines = buffered.BufferedByteReceiveStream(process.stdout)

    async def says(self, text: str) -> dict[str, Any]:
        """Returns the result of the turn that a text of the user's begins."""
        row = {"type": "user", "message": {"role": "user", "content": text}}
        await self._stdin.send(json.dumps(row).encode() + b"\n")
        return await self._turn()

    async def _turn(self) -> dict[str, Any]:
        while True:
            row = json.loads(await self._lines.receive_until(b"\n", 1 << 24))
            if row.get("type") == "result":
                return row

    async def ends(self) -> int:
        """Ends the session as somebody who closes it, and returns its exit code."""
        await self._stdin.aclose()
        with contextlib.suppress(anyio.IncompleteRead):
            while True:
                await self._turn()
        return await self._process.wait()


@contextlib.asynccontextmanager
async def conversation(env: dict[str, str], cwd: Path, *options: str) -> AsyncGenerator[Conversation]:
    """Starts Claude Code for several turns and yields it."""
    formats = ("--input-format=stream-json", "--output-format=stream-json")
    argv = [PROGRAM, "-p", *formats, "--verbose", "--model=sonnet", *options]
    async with await anyio.open_process(argv, env=env, cwd=cwd, stderr=subprocess.DEVNULL) as process:
        try:
            yield Conversation(process)
        finally:
            if process.returncode is None:
                process.kill()


async def until(holds: Callable[[], bool]) -> None:
    """Returns as soon as something holds that no event tells of."""
    with anyio.fail_after(120):
        while not holds():  # noqa: ASYNC110  # what other processes do sets no event
            await anyio.sleep(0.05)
