"""Temporal's development server with its SQLite file, an activity for each task: prints what a graph took as JSON.

The processor time of the server is included.
"""

# pyright: basic, reportMissingImports=false
# It runs in an environment of its own, where the peer is and dispatch-mcp is not.
from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import graphs


@activity.defn
async def task(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@workflow.defn
class Graph:
    @workflow.run
    async def run(self, shape: str) -> int:
        layers, task_s = graphs.shape(shape)
        ended: dict[str, asyncio.Event] = {name: asyncio.Event() for layer in layers for name, _ in layer}
        slots = asyncio.Semaphore(graphs.AT_ONCE)

        async def after(name: str, deps: list[str]) -> None:
            for dep in deps:
                await ended[dep].wait()
            async with slots:
                await workflow.execute_activity(task, task_s, start_to_close_timeout=timedelta(minutes=5))
            ended[name].set()

        await asyncio.gather(*(after(*edge) for layer in layers for edge in layer))
        return len(ended)


async def measured(shape: str, address: str, server: int) -> dict[str, object]:
    client = await connected(address)
    worker = Worker(
        client, task_queue="bench", workflows=[Graph], activities=[task], workflow_runner=UnsandboxedWorkflowRunner(),
        max_concurrent_activities=graphs.AT_ONCE,
    )  # fmt: skip
    async with worker:
        began, cpu = time.perf_counter(), processor_s(server) + time.process_time()
        count = await client.execute_workflow(Graph.run, shape, id="bench", task_queue="bench")
        seconds, cpu = time.perf_counter() - began, processor_s(server) + time.process_time() - cpu
    assert count == sum(map(len, graphs.shape(shape)[0]))
    return {"seconds": seconds, "cpu": cpu, "durability": "its development server's SQLite file"}


async def connected(address: str) -> Client:
    for _ in range(600):
        try:
            return await Client.connect(address)
        except RuntimeError:
            await asyncio.sleep(0.1)
    raise SystemExit("the development server does not answer")


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = next(Path(sys.executable).parent.glob("temporal"))
    with tempfile.TemporaryDirectory() as folder:
        command = ["server", "start-dev", "--headless", "--port", str(port), "--db-filename", f"{folder}/peer.db"]
        server = subprocess.Popen([program, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        gc.freeze()
        try:
            print(json.dumps(asyncio.run(measured(sys.argv[1], f"127.0.0.1:{port}", server.pid))))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
