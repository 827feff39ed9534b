"""How runners of tests end when they have run tests: exit code 0 alone says nothing of that.

A file that ends the process, or one that nobody meant to be collected, makes such a program end well with no test run.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Final, Literal

from dispatch_mcp.text.reading import excerpts

Runner = Literal["pytest", "unittest", ""]

_NAMES: Final[dict[str, Runner]] = {"pytest": "pytest", "py.test": "pytest", "unittest": "unittest"}
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_PASS_COUNT: Final = re.compile(r"(?:^|[\s=,])[1-9]\d{0,8} passed\b")
_FAILURE_COUNT: Final = re.compile(r"(?:^|[\s=,])[1-9]\d{0,8} (?:failed|errors?)\b")
_DOTS: Final = re.compile(r"^[sxXR]{0,400}\.[.sxXR]{0,400} {1,80}\[100%\]$")
"""The last line of progress, all that a runner prints which was told twice to be quiet."""

_RAN: Final = re.compile(r"^Ran [1-9]\d{0,8} tests? in .{1,40}$", re.MULTILINE)


def runner(argv: Sequence[str]) -> Runner:
    """Returns which runner of tests a command starts itself; an empty string for another program."""
    first = posixpath.basename(argv[0]) if argv else ""
    if first in ("pytest", "py.test"):
        return "pytest"
    is_module = first.startswith("python") and "-m" in argv[:-1]
    return _NAMES.get(argv[argv.index("-m") + 1], "") if is_module else ""


def doubt(argv: Sequence[str], output: str) -> str:
    """Returns why a command that ended well has shown no test that passed; an empty string where it has.

    Of programs that are no runners known here nothing is asked.
    """
    text = _COLOUR.sub("", excerpts.RUNNER.of(output))
    match runner(argv):
        case "pytest":
            is_shown = _ends_passed(text.splitlines())
        case "unittest":
            is_shown = bool(_RAN.search(text)) and bool(re.search(r"^OK\b", text, re.MULTILINE))
        case "":
            is_shown = True
    return "" if is_shown else "its output does not end with tests that passed"


def _ends_passed(lines: Sequence[str]) -> bool:
    """Returns whether the last line that sums up tells of tests that passed, and of none that did not."""
    last = next((line for line in reversed(lines) if _PASS_COUNT.search(line) or _FAILURE_COUNT.search(line)), "")
    if last:
        return not _FAILURE_COUNT.search(last)
    return any(_DOTS.match(line.rstrip()) for line in lines)
