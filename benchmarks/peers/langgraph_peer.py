"""LangGraph with its SQLite checkpointer, each step checkpointed before the next: prints what a graph took as JSON."""

# pyright: basic, reportMissingImports=false
# It runs in an environment of its own, where the peer is and dispatch-mcp is not.
from __future__ import annotations

import asyncio
import gc
import json
import operator
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

import graphs


class State(TypedDict):
    done: Annotated[list[str], operator.add]


async def measured(name: str) -> dict[str, object]:
    layers, task_s = graphs.shape(name)
    edges = [edge for layer in layers for edge in layer]

    def node(task: str) -> Callable[[State], Awaitable[State]]:
        async def run(_state: State) -> State:
            await asyncio.sleep(task_s)
            return {"done": [task]}

        return run

    graph = StateGraph(State)
    followed = {dep for _, deps in edges for dep in deps}
    for task, deps in edges:
        graph.add_node(task, node(task))
        graph.add_edge(deps or START, task)
        if task not in followed:
            graph.add_edge(task, END)
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncSqliteSaver.from_conn_string(str(Path(folder) / "peer.db")) as saver:
            compiled = graph.compile(checkpointer=saver)
            config = {
                "configurable": {"thread_id": "1"},
                "max_concurrency": graphs.AT_ONCE,
                "recursion_limit": 10_000,
            }
            await saver.setup()
            began, cpu = time.perf_counter(), time.process_time()
            result = await compiled.ainvoke({"done": []}, config, durability="sync")
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            assert len(result["done"]) == len(edges)
            synchronous, journal = [
                (await (await saver.conn.execute(f"PRAGMA {name}")).fetchone())[0]
                for name in ("synchronous", "journal_mode")
            ]
    return {"seconds": seconds, "cpu": cpu, "durability": f"SQLite, {journal}, synchronous={synchronous}"}


gc.freeze()
print(json.dumps(asyncio.run(measured(sys.argv[1]))))
