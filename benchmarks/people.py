"""Many clients of one server over HTTP: how soon `get_trace` answers them, and whether an answer is lost.

python benchmarks/people.py [--clients 200] [--seconds 60] [--pause 2.0]; exit code 1 when a bound is missed. Each
client begins a run of its own; when all have, each asks for it, waits and asks again, and one in ten also steers. Ten
share a token, because the calls of one are limited. The pause is the rate: an assistant that waits for news asks every
20 to 45 seconds, the dashboard waits at the server, and whoever asks every other second is ten times as eager.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2

P95_S = 0.05
PER_TOKEN = 10
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Person:
    """One client with a token; `times` are the seconds of each `get_trace`."""

    def __init__(self, url: str, token: str) -> None:
        self.http = httpx2.AsyncClient(timeout=30, headers={"Authorization": f"Bearer {token}"})
        self.url = url
        self.number = 0
        self.run = ""
        self.times: list[float] = []
        self.lost: list[str] = []

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        self.number += 1
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": name,
        }
        params = {"name": name, "arguments": arguments, "_meta": META}
        body = {"jsonrpc": "2.0", "id": self.number, "method": "tools/call", "params": params}
        answer = await self.http.post(self.url, headers=headers, json=body)
        if answer.status_code != 200:
            raise RuntimeError(f"{answer.status_code} {answer.text[:200]}")
        lines = [line[5:] for line in answer.text.splitlines() if line.startswith("data:")] or [answer.text]
        return json.loads(lines[-1])["result"]["structuredContent"]

    async def begin(self, at: int) -> None:
        plan = await self.call("plan_dag", tasks=[{"id": "write", "do": f"Write form {at}"}])
        self.run = (await self.call("dispatch", plan_id=plan["plan_id"], worker="host"))["run_id"]

    async def work(self, at: int, seconds: float, pause: float) -> None:
        await asyncio.sleep(pause * (at % 100) / 100)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.perf_counter()
            try:
                trace = await self.call("get_trace", run_id=self.run)
                self.times.append(time.perf_counter() - began)
                if trace["run_id"] != self.run:
                    self.lost.append("another run")
                if at % 10 == 0:
                    action = "resume" if trace["state"] == "paused" else "pause"
                    await self.call("steer_run", run_id=self.run, action=action)
            except Exception as trouble:
                self.lost.append(repr(trouble))
            await asyncio.sleep(pause)
        await self.http.aclose()


def token(home: Path, name: str) -> str:
    """Returns a new token for a name."""
    command = [sys.executable, "-m", "dispatch_mcp", "token", "add", name]
    environment = {**os.environ, "DISPATCH_MCP_HOME": str(home)}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return next(word for word in f"{made.stdout} {made.stderr}".split() if word.startswith("dmcp_"))


@contextmanager
def served(home: Path, shop: Path) -> Generator[str]:
    """Yields the address of a server over HTTP in a process of its own."""
    environment = {**os.environ, "DISPATCH_MCP_HOME": str(home)}
    command = [sys.executable, "-m", "dispatch_mcp", "serve", "--http", "0"]
    server = subprocess.Popen(command, cwd=shop, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr
        url = ""
        while not url:
            match = re.search(r"http://[\d.:]+/mcp", server.stderr.readline())
            url = match[0] if match else ""
        yield url
    finally:
        server.terminate()
        server.wait(30)


async def measure(url: str, tokens: list[str], clients: int, seconds: float, pause: float) -> list[Person]:
    people = [Person(url, tokens[at // PER_TOKEN]) for at in range(clients)]
    for at, person in enumerate(people):
        await person.begin(at)
    await asyncio.gather(*(person.work(at, seconds, pause) for at, person in enumerate(people)))
    return people


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pause", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, shop = Path(folder, "state"), Path(folder, "shop")
        shop.mkdir()
        tokens = [token(home, f"person-{at}") for at in range(-(-options.clients // PER_TOKEN))]
        with served(home, shop) as url:
            people = anyio.run(measure, url, tokens, options.clients, options.seconds, options.pause)
    times = sorted(took for person in people for took in person.times)
    lost = [why for person in people for why in person.lost]
    p95 = times[int(len(times) * 0.95)]
    print(f"{options.clients} clients, {len(times)} calls of get_trace, {len(lost)} lost {lost[:3]}")
    middle = statistics.median(times) * 1000
    print(f"get_trace: median {middle:.1f} ms, p95 {p95 * 1000:.1f} ms (at most {P95_S * 1000:.0f})")
    return int(bool(lost) or p95 > P95_S)


if __name__ == "__main__":
    sys.exit(main())
