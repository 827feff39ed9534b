from __future__ import annotations

import logging

import pytest

from dispatch_mcp.cli import logs
from dispatch_mcp.text import redaction

SECRET = "correct horse battery staple 42"


@pytest.mark.promise("S10")
def test_no_log_line_or_traceback_holds_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("tests.apart")
    log.propagate = False
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(logs.FORMAT))
    handler.addFilter(logs.LogFilter(redaction.Redactor([SECRET])))
    log.addHandler(handler)
    try:
        int(SECRET)
    except ValueError:
        log.exception("the key is %s", SECRET, stack_info=True)
    log.removeHandler(handler)
    told = capsys.readouterr().err
    assert SECRET not in told
    assert "the key is [redacted:secret]" in told
    assert "ValueError: " in told
