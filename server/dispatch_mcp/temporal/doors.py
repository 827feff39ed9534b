"""What the rest of the product may ask of this room, in words that need no library of Temporal."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple

import anyio
from temporalio import service

from dispatch_mcp import configuration
from dispatch_mcp.engine import attempt_services, order_builder
from dispatch_mcp.engine.driving import run_engine
from dispatch_mcp.git import git_process
from dispatch_mcp.model import WorkerKind, ports
from dispatch_mcp.store import sqlite_store
from dispatch_mcp.temporal import agent_host, connection, host_line, object_blobs, places, temporal_engine


def plan(settings: configuration.Settings, git: git_process.Git) -> temporal_engine.TemporalPlan:
    """Returns how a process goes through Temporal, and what it does itself, as the settings say.

    Raises:
        ConfigError: the address cannot be used.
    """
    address = settings.temporal_blobs
    sharing = places.sharing(object_blobs.ObjectBlobs(address), git, settings.home) if address else None
    return temporal_engine.TemporalPlan(
        settings.temporal_queue,
        settings.temporal_slots,
        settings.temporal_per_second,
        sharing=sharing,
        read_only=settings.temporal_read_only,
    )


def open_engine(
    env: Mapping[str, str],
    store: sqlite_store.Store,
    workers: ports.Workers,
    *,
    plan: temporal_engine.TemporalPlan,
    make_order: order_builder.MakeOrder,
    pace: run_engine.Pace,
    services: attempt_services.AttemptServices,
    drives: bool,
) -> AbstractAsyncContextManager[run_engine.RunEngine]:
    """Returns the engine over the server that `env` names."""
    return temporal_engine.open_engine(
        store,
        workers,
        functools.partial(connection.connected, env),
        plan=plan,
        make_order=make_order,
        pace=pace,
        services=services,
        drives=drives,
    )


@asynccontextmanager
async def serve_host(
    env: Mapping[str, str], workers: ports.Workers, blobs: ports.Blobs, plan: temporal_engine.TemporalPlan
) -> AsyncGenerator[Sequence[str]]:
    """Takes work from queues until the block ends; yields their names.

    Raises:
        ConfigError: Temporal's settings cannot be used.
        StoreUnavailable: no Temporal server answers.
    """
    connect = functools.partial(connection.connected, env)
    server, host = await connect(), plan.host(workers, blobs)
    async with anyio.create_task_group() as group:
        group.start_soon(agent_host.serve, server, connect, host, plan.host_plan)
        yield plan.host_plan.queues(workers)
        group.cancel_scope.cancel()


class ServerLook(NamedTuple):
    """What a look at the server has shown: where it is, how protected, and how many processes wait at each queue."""

    address: str
    protection: str
    namespace: str
    hosts: Mapping[WorkerKind, int]


async def look(env: Mapping[str, str], queue: str) -> ServerLook:
    """Returns what there is at the server.

    Raises:
        ConfigError: Temporal's settings cannot be used.
        StoreUnavailable: no Temporal server answers.
    """
    client = await connection.connected(env)
    address = client.service_client.config.target_host
    try:
        kinds = host_line.DISTANT
        hosts = {kind: await connection.pollers(client, host_line.agent_queue(queue, kind)) for kind in kinds}
    except service.RPCError as trouble:
        raise connection.refusal(address, trouble) from trouble
    return ServerLook(address, connection.protection(client), client.namespace, hosts)
