"""What a person at a shell sees, without secrets (S10): known values and everything that looks like one."""

from __future__ import annotations

from dispatch_mcp import model
from dispatch_mcp.text import redaction

_redactors = [redaction.Redactor()]
"""The redactor of this process, alone; patterns until the settings are read, then their values too."""


def use(redactor: redaction.Redactor) -> None:
    """Lets all further output go through `redactor`."""
    _redactors[:] = [redactor]


def text(value: str) -> str:
    """Returns a text for people without secrets."""
    return _redactors[0].redact(value)


def document(value: model.Json) -> model.Json:
    """Returns a JSON document without secrets."""
    return _redactors[0].redact_json(value)
