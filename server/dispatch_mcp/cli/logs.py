"""The log on stderr, without secrets (S10)."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from contextlib import suppress

from dispatch_mcp import configuration
from dispatch_mcp.text import redaction

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

MAX_WAITING = 1_000
"""Lines that wait to be written."""

LAST_LINES_S = 0.3
"""Seconds that the last lines have at the end of the process."""


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


class BackgroundHandler(logging.Handler):
    """Writes the log from a thread of its own, so that nobody waits for a pipe that is not read.

    What comes while `MAX_WAITING` lines wait is left out; the next line that is written says how many were.
    """

    def __init__(self, file_number: int) -> None:
        super().__init__()
        self._file_number = file_number
        self._lines: queue.Queue[str] = queue.Queue(MAX_WAITING)
        self._left_out = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hands a line to the thread, or counts it."""
        line = self.format(record)
        if self._left_out:
            line = f"{self._left_out} lines of the log were left out: nobody read them.\n{line}"
        try:
            self._lines.put_nowait(line)
            self._left_out = 0
        except queue.Full:
            self._left_out += 1

    def flush(self) -> None:
        """Gives the thread a moment to write what waits."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, LAST_LINES_S)

    def _write(self) -> None:
        """Writes until the process ends; past the buffers of `sys.stderr`, whose lock would be held for ever."""
        while True:
            data = f"{self._lines.get()}\n".encode(errors="replace")
            with suppress(OSError):
                while data:
                    data = data[os.write(self._file_number, data) :]
            self._lines.task_done()


def to_stderr(setup: configuration.LoadedSettings, *, waits: bool = True) -> redaction.Redactor:
    """Sends the log to stderr without secrets; returns the redactor of this configuration.

    `waits` says whether whoever logs waits until the line is written: a server must not.
    """
    redactor = redaction.Redactor(setup.secrets)
    handler = logging.StreamHandler(sys.stderr) if waits else BackgroundHandler(sys.stderr.fileno())
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(LogFilter(redactor))
    # Of its own: a client that asks for more lowers the level of the loggers.
    handler.setLevel(setup.settings.log_level.upper())
    logging.basicConfig(level=setup.settings.log_level.upper(), handlers=[handler])
    return redactor
