"""What a person at a shell sees, without secrets (S10): known values and everything that looks like one."""

from __future__ import annotations

import io
import os

from dispatch_mcp.text import redaction
from dispatch_mcp.text.json_types import Json

_redactors = [redaction.Redactor()]
"""The redactor of this process, alone; patterns until the settings are read, then their values too."""


def use(redactor: redaction.Redactor) -> None:
    """Lets all further output go through `redactor`."""
    _redactors[:] = [redactor]


def text(value: str) -> str:
    """Returns a text for people without secrets."""
    return _redactors[0].redact(value)


def document(value: Json) -> Json:
    """Returns a JSON document without secrets."""
    return _redactors[0].redact_json(value)


def silence(stream: object) -> None:
    """Lets what is left in a stream's buffer go nowhere, because nobody reads it any more."""
    if isinstance(stream, io.TextIOWrapper):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
