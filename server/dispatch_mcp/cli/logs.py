"""The log on stderr, without secrets (S10)."""

from __future__ import annotations

import logging
import sys

from dispatch_mcp import configuration
from dispatch_mcp.text import redaction

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogFilter(logging.Filter):
    """Takes secrets out of a record's message and traceback."""

    def __init__(self, redactor: redaction.Redactor) -> None:
        super().__init__()
        self._redactor = redactor
        self._formatter = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Changes the record and lets it through."""
        record.msg, record.args = self._redactor.redact(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._redactor.redact(record.exc_text)
        if record.stack_info:
            record.stack_info = self._redactor.redact(record.stack_info)
        return True


def to_stderr(setup: configuration.LoadedSettings) -> redaction.Redactor:
    """Sends the log to stderr without secrets; returns the redactor of this configuration."""
    redactor = redaction.Redactor(setup.secrets)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(LogFilter(redactor))
    logging.basicConfig(level=setup.settings.log_level.upper(), handlers=[handler])
    return redactor
