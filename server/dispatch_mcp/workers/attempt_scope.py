"""What every attempt has while it is under way: a folder below the state directory, and a heartbeat."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio

from dispatch_mcp.git import command_log
from dispatch_mcp.model import ports, work_order

BEAT_EVERY_S = 10.0
"""Seconds between heartbeats, a small part of the time after which an attempt counts as lost."""

_SAFE_PART = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


def folder_of(home: Path, work: work_order.WorkOrder, attempt: int | None = None) -> Path:
    """Returns where the child of an order's attempt, or of another attempt of the same task, puts its output."""
    number = work.attempt if attempt is None else attempt
    return home / "runs" / _part(work.run_id) / _part(work.task.id) / str(number)


def remove(folder: Path) -> None:
    """Removes an attempt's files, and the folders above that it leaves empty."""
    shutil.rmtree(folder, ignore_errors=True)
    for parent in (folder.parent, folder.parent.parent):
        with contextlib.suppress(OSError):
            parent.rmdir()


def git_log(work: work_order.WorkOrder) -> dict[str, str]:
    """Returns the variable by which git logs the commands of an attempt."""
    return {command_log.VARIABLE: work.git_log} if work.git_log else {}


def _part(name: str) -> str:
    """Returns `name` if it can be a folder's name everywhere, else its digest."""
    if _SAFE_PART.fullmatch(name) and not name.endswith("."):
        return name
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@contextlib.asynccontextmanager
async def heartbeat(ctx: ports.TaskContext, every_s: float = BEAT_EVERY_S) -> AsyncGenerator[None]:
    """Beats at once and every `every_s` seconds while the block runs, so that everybody sees that the attempt lives."""
    ctx.beat()
    async with anyio.create_task_group() as group:
        group.start_soon(_go_on, ctx, every_s)
        yield
        group.cancel_scope.cancel()


async def _go_on(ctx: ports.TaskContext, every_s: float) -> None:
    while True:
        await anyio.sleep(every_s)
        ctx.beat()
