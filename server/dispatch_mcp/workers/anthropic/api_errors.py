"""Every way in which a request to the Anthropic API fails, as a kind of trouble (docs/rules.md#anthropic-failures)."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from typing import Final

from dispatch_mcp.text import redaction
from dispatch_mcp.workers import provider_errors

SPEND_LIMITS: Final = frozenset({"enforced_spend_limit_reached", "contract_spend_limit_reached"})
"""Codes of a 429 that waiting does not cure."""

_SILENT: Final = provider_errors.Trouble("timeout", "The provider said nothing for too long.")
CUT: Final = provider_errors.Trouble("cut_off", "The connection broke in the middle of an answer.")


def trouble_of(error: Exception, attempt: int) -> provider_errors.Trouble | None:
    """Returns the trouble of an exception of the SDK or its HTTP library; None for any other."""
    import anthropic  # noqa: PLC0415  # a second of start-up, and only this worker needs it
    import httpx2  # noqa: PLC0415  # likewise

    if isinstance(error, anthropic.APIStatusError):
        return _trouble_of_status(
            error.status_code, str(error.type or ""), str(getattr(error, "error_code", "")), attempt
        )
    kinds: tuple[tuple[tuple[type[Exception], ...], provider_errors.Trouble], ...] = (
        ((anthropic.APITimeoutError, httpx2.TimeoutException), _SILENT),
        ((anthropic.APIConnectionError,), provider_errors.trouble(None)),
        ((httpx2.HTTPError,), CUT),
        ((anthropic.AnthropicError,), provider_errors.trouble(400)),
    )
    return next((trouble for classes, trouble in kinds if isinstance(error, classes)), None)


def _trouble_of_status(status: int, kind: str, code: str, attempt: int) -> provider_errors.Trouble:
    if code in SPEND_LIMITS or "spend_limit" in kind:
        return provider_errors.trouble(402)
    return provider_errors.trouble(status, kind, attempt=attempt)


def retry_after_s(error: Exception, now: float) -> float | None:
    """Returns how long the provider asks to wait: seconds, milliseconds or a date; None when it does not say."""
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", None) or {}
    wait = headers.get("retry-after", "")
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        return max(0.0, float(wait)) if wait else None
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(wait).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def describe(error: Exception) -> str:
    """Returns what went wrong in a sentence, without the request's content."""
    message = (
        getattr(error, "api_message", None) or getattr(error, "message", None) or str(error) or type(error).__name__
    )
    status = getattr(error, "status_code", None)
    return f"The provider{f' ({status})' if status else ''}: {redaction.beginning(str(message), 600)}"
