"""What goes into Temporal's histories of an exception says nothing of what a run is about."""

from __future__ import annotations

import pytest

pytest.importorskip("temporalio", reason="the extra `temporal` is not installed")

from temporalio import converter, exceptions
from temporalio.api.failure import v1 as failures

from dispatch_mcp.temporal import connection

SECRET = "sk-ant-the-prompt-of-the-user"


def failure_of(exception: BaseException) -> failures.Failure:
    failure = failures.Failure()
    made = connection.DATA_CONVERTER.failure_converter_class()
    made.to_failure(exception, converter.PayloadConverter.default, failure)
    return failure


def raised(exception: BaseException, cause: BaseException | None = None) -> BaseException:
    """Returns an exception with a traceback."""
    try:
        raise exception from cause
    except type(exception) as caught:
        return caught


def test_of_an_exception_of_ours_only_its_kind_is_in_the_history() -> None:
    failure = failure_of(raised(ValueError(SECRET), raised(KeyError(SECRET))))
    assert SECRET.encode() not in failure.SerializeToString()
    assert (failure.application_failure_info.type, failure.cause.application_failure_info.type) == (
        "ValueError",
        "KeyError",
    )
    assert failure.message == "ValueError: the log of its process says more"
    assert not failure.stack_trace


def test_what_is_meant_for_the_history_keeps_its_words_and_hides_its_cause() -> None:
    meant = exceptions.ApplicationError("drive failed", type="DriveFailed", non_retryable=True)
    failure = failure_of(raised(meant, raised(RuntimeError(SECRET))))
    assert (failure.message, failure.application_failure_info.type) == ("drive failed", "DriveFailed")
    assert failure.application_failure_info.non_retryable
    assert SECRET.encode() not in failure.SerializeToString()
