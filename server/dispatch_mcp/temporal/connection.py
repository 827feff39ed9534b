"""The connection to a Temporal server, as Temporal's own environment variables and profiles describe it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final

import anyio
from temporalio import client, converter, envconfig, exceptions, service, worker
from temporalio.api.enums import v1 as enums
from temporalio.api.failure import v1 as failures
from temporalio.api.taskqueue import v1 as taskqueue
from temporalio.api.workflowservice import v1 as workflowservice

from dispatch_mcp import errors

log = logging.getLogger(__name__)

CALL_S: Final = 10.0
AGAIN_S: Final = 5.0
"""How long is waited until a server that nobody could reach, or that let nobody in, is tried again."""

FAREWELL_S: Final = 10.0
"""What stopping may take: telling the server what is given back, and ending programs."""

Connect = Callable[[], Awaitable[client.Client]]
Ending = asyncio.Future[BaseException | None]


_KEYS: Final = "Look at TEMPORAL_API_KEY, TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_NAMESPACE."
_REFUSALS: Final[Mapping[service.RPCStatusCode, str]] = {
    service.RPCStatusCode.NOT_FOUND: "Set TEMPORAL_NAMESPACE to one that is there, or have it made.",
    service.RPCStatusCode.PERMISSION_DENIED: _KEYS,
    service.RPCStatusCode.UNAUTHENTICATED: _KEYS,
}


class KindsOfFailures(converter.DefaultFailureConverter):
    """Leaves of an exception only its kind: its words and its traceback may quote a prompt, a result or a secret."""

    def to_failure(
        self, exception: BaseException, payload_converter: converter.PayloadConverter, failure: failures.Failure
    ) -> None:
        """Fills a failure for the history; what is meant for it, Temporal's own exceptions, keeps its words."""
        if not isinstance(exception, exceptions.FailureError):
            kind, cause = type(exception).__name__, exception.__cause__
            exception = exceptions.ApplicationError(f"{kind}: the log of its process says more", type=kind)
            exception.__cause__ = cause
        super().to_failure(exception, payload_converter, failure)
        failure.stack_trace = ""


DATA_CONVERTER: Final = replace(converter.DataConverter.default, failure_converter_class=KindsOfFailures)


def options(env: Mapping[str, str]) -> envconfig.ClientConnectConfig:
    """Returns how to connect: `TEMPORAL_ADDRESS`, `_NAMESPACE`, `_API_KEY`, `_TLS…`, or a profile of Temporal's file.

    Raises:
        ConfigError: they contradict each other or name a file that is not there.
    """
    try:
        return envconfig.ClientConfig.load_client_connect_config(override_env_vars=dict(env))
    except (OSError, RuntimeError, ValueError) as fault:
        raise errors.ConfigError(
            f"Temporal's own settings cannot be used: {fault}.",
            hint="See TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY and TEMPORAL_PROFILE.",
        ) from fault


async def connected(env: Mapping[str, str]) -> client.Client:
    """Returns a connection.

    Raises:
        ConfigError: the settings cannot be used, or the server lets nobody in by them.
        StoreUnavailable: nobody answers there.
    """
    config = options(env)
    address = config["target_host"] = config.get("target_host") or "localhost:7233"
    try:
        connection = await client.Client.connect(**config, data_converter=DATA_CONVERTER)
        await connection.service_client.check_health(timeout=timedelta(seconds=CALL_S))
        await _check_namespace(connection)
    except service.RPCError as trouble:
        raise refusal(address, trouble) from trouble
    except (OSError, RuntimeError) as fault:
        raise errors.StoreUnavailable(
            f"No Temporal server answers at {address!r}: {fault}.",
            hint="Start it, or set TEMPORAL_ADDRESS and, for a server with TLS, TEMPORAL_TLS… or TEMPORAL_API_KEY; "
            "`DISPATCH_MCP_ENGINE=embedded` needs none.",
        ) from fault
    return connection


async def _check_namespace(connection: client.Client) -> None:
    """Raises RPCError where the server has no such namespace, or does not let us into it."""
    request = workflowservice.DescribeNamespaceRequest(namespace=connection.namespace)
    try:
        await connection.workflow_service.describe_namespace(request, timeout=timedelta(seconds=CALL_S))
    except service.RPCError as trouble:
        if trouble.status is not service.RPCStatusCode.UNIMPLEMENTED:  # a small server for tests may not know it
            raise


def refusal(address: str, trouble: service.RPCError) -> errors.DispatchError:
    """Returns what a server at an address has answered, in words that say what to do."""
    hint = _REFUSALS.get(trouble.status)
    if hint is not None:
        return errors.ConfigError(f"The Temporal server at {address!r} lets nobody in like this: {trouble}.", hint=hint)
    return errors.StoreUnavailable(
        f"The Temporal server at {address!r} does not answer as it should: {trouble}.", hint="Look at its log."
    )


def protection(connection: client.Client) -> str:
    """Returns how a connection is protected, without what protects it."""
    config = connection.service_client.config
    tls = "no TLS"
    if config.tls or (config.tls is None and config.api_key):
        is_mutual = isinstance(config.tls, service.TLSConfig) and config.tls.client_cert
        tls = "TLS with a client certificate" if is_mutual else "TLS"
    return f"{tls}, an API key" if config.api_key else tls


async def connected_at_last(connect: Connect) -> client.Client:
    """Returns a connection, however long that takes; what hinders it is logged once."""
    last = ""
    while True:
        try:
            return await connect()
        except errors.DispatchError as trouble:
            if str(trouble) != last:
                last = str(trouble)
                log.warning("runs wait: %s", trouble)
        await anyio.sleep(AGAIN_S)


@asynccontextmanager
async def offering(make: Callable[..., worker.Worker]) -> AsyncGenerator[Ending]:
    """Takes work from a queue as long as a block runs; yields what is done early, with a fault that ends it.

    Such a fault is that the server has let nobody in for a minute: a key has run out, a namespace is gone. Temporal's
    library may then never come to the end of its own tidying, so that nobody waits long for that.
    """
    ending: Ending = asyncio.get_running_loop().create_future()

    async def tell(fault: BaseException) -> None:
        if not ending.done():
            ending.set_result(fault)

    offer = make(on_fatal_error=tell)
    life = asyncio.create_task(offer.run())
    life.add_done_callback(lambda task: ending.done() or ending.set_result(_fault_of(task)))
    try:
        yield ending
    finally:
        with anyio.move_on_after(FAREWELL_S, shield=True):
            await offer.shutdown()
        life.cancel()


def _fault_of(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def first_fault(endings: Collection[Ending]) -> BaseException | None:
    """Returns what ended the first of several that take work."""
    await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
    return next(ending.result() for ending in endings if ending.done())


async def pollers(connection: client.Client, queue: str) -> int:
    """Returns how many processes have asked a queue for work lately."""
    answer = await connection.workflow_service.describe_task_queue(
        workflowservice.DescribeTaskQueueRequest(
            namespace=connection.namespace,
            task_queue=taskqueue.TaskQueue(name=queue),
            task_queue_type=enums.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
    )
    return len({poller.identity for poller in answer.pollers})
