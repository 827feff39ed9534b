"""The connection to a Temporal server, as Temporal's own environment variables and profiles describe it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from temporalio import client, converter, envconfig, exceptions, service
from temporalio.api.enums import v1 as enums
from temporalio.api.failure import v1 as failures
from temporalio.api.taskqueue import v1 as taskqueue
from temporalio.api.workflowservice import v1 as workflowservice

from dispatch_mcp import errors

CALL_S: Final = 10.0


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
        StoreUnavailable: nobody answers there, or not us.
    """
    config = options(env)
    address = config["target_host"] = config.get("target_host") or "localhost:7233"
    try:
        connection = await client.Client.connect(**config, data_converter=DATA_CONVERTER)
        await connection.service_client.check_health(timeout=timedelta(seconds=CALL_S))
    except (OSError, RuntimeError, service.RPCError) as fault:
        raise errors.StoreUnavailable(
            f"No Temporal server answers at {address!r}: {fault}.",
            hint="Start it, or set TEMPORAL_ADDRESS; `DISPATCH_MCP_ENGINE=embedded` needs none.",
        ) from fault
    return connection


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
