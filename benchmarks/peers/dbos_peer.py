"""DBOS on SQLite, a durable step for each task of one workflow: prints what a graph took as JSON.

DBOS numbers steps in the order in which they begin and needs the same order again when it recovers, so that a layer
begins when the one before has ended.
"""

# pyright: basic, reportMissingImports=false
# It runs in an environment of its own, where the peer is and dispatch-mcp is not.
from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import tempfile
import time

import sqlalchemy
from dbos import DBOS, DBOSConfig, _dbos

import graphs

SHAPE = sys.argv[1]


@DBOS.step()
async def task(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@DBOS.workflow()
async def workflow(shape: str) -> int:
    layers, task_s = graphs.shape(shape)
    slots = asyncio.Semaphore(graphs.AT_ONCE)

    async def in_turn() -> str:
        async with slots:
            return await task(task_s)

    return sum([len(await asyncio.gather(*(in_turn() for _ in layer))) for layer in layers])


def durability() -> str:
    """Returns how its connections write: its engine sets neither, so that SQLite's own values hold."""
    peer = _dbos._get_dbos_instance()  # noqa: SLF001  # there is no public way to ask
    with peer._sys_db.engine.connect() as connection:  # noqa: SLF001
        journal, synchronous = (
            connection.execute(sqlalchemy.text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")
        )
    return f"SQLite, {journal}, synchronous={synchronous}"


async def measured() -> dict[str, object]:
    began, cpu = time.perf_counter(), time.process_time()
    handle = await DBOS.start_workflow_async(workflow, SHAPE)
    count = await handle.get_result(polling_interval_sec=0.001)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    assert count == sum(map(len, graphs.shape(SHAPE)[0]))
    return {"seconds": seconds, "cpu": cpu}


with tempfile.TemporaryDirectory() as folder:
    logging.disable(logging.WARNING)
    address = f"sqlite:///{folder}/peer.sqlite"
    config: DBOSConfig = {"name": "bench", "system_database_url": address, "log_level": "ERROR"}
    DBOS(config=config)
    DBOS.launch()
    gc.freeze()
    figures = asyncio.run(measured()) | {"durability": durability()}
    DBOS.destroy()
print(json.dumps(figures))
