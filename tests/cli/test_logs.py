from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

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


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("tests", logging.WARNING, __file__, 1, text, (), None)


def test_a_log_that_nobody_reads_keeps_nobody_waiting_and_says_later_what_was_left_out() -> None:
    reading, writing = os.pipe()
    handler = logs.BackgroundHandler(writing)
    for number in range(3 * logs.MAX_WAITING):
        handler.emit(record(f"{number} {'x' * 200}"))
    text = ""
    while "left out" not in text:
        text += os.read(reading, 2**20).decode()
        handler.emit(record("and on"))
    handler.flush()
    assert text.startswith("0 xxx")
    assert re.search(r"\n\d+ lines of the log were left out: nobody read them\.\n", text)
    os.close(reading)


def test_the_last_lines_are_written_before_the_process_ends() -> None:
    reading, writing = os.pipe()
    handler = logs.BackgroundHandler(writing)
    handler.emit(record("the last"))
    handler.flush()
    os.set_blocking(reading, False)
    assert os.read(reading, 100) == b"the last\n"
    os.close(reading)


@pytest.mark.parametrize("end", ["closed", "gone"])
def test_a_log_whose_reader_is_gone_harms_nobody(end: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    if end == "closed":
        os.close(writing)
    handler = logs.BackgroundHandler(writing)
    for number in range(10):
        handler.emit(record(f"line {number}"))
    handler.flush()
    handler.emit(record("and on"))
    handler.flush()
    handler.close()


def test_lines_of_the_log_come_in_order_and_whole() -> None:
    reading, writing = os.pipe()
    handler = logs.BackgroundHandler(writing)
    for number in range(100):
        handler.emit(record(f"é\ud83d {number}"))
    handler.flush()
    text = os.read(reading, 2**16).decode()
    assert text == "".join(f"é? {number}\n" for number in range(100))
    os.close(reading)
    os.close(writing)


def test_stderr_keeps_its_level_when_a_logger_is_asked_for_more(tmp_path: Path) -> None:
    script = (
        "import logging\nfrom dispatch_mcp import configuration\nfrom dispatch_mcp.cli import logs\n"
        "from pathlib import Path\nhere = Path.cwd()\n"
        "logs.to_stderr(configuration.load({}, flags={'home': here / 'home'}, cwd=here))\n"
        "log = logging.getLogger('dispatch_mcp')\nlog.setLevel('DEBUG')\nlog.info('small')\nlog.warning('large')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "large" in ended.stderr
    assert "small" not in ended.stderr
