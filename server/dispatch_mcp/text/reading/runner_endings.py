"""How runners of tests end when they have run tests: exit code 0 alone says nothing of that.

A file that ends the process, or one that nobody meant to be collected, makes such a program end well with no test run.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

from dispatch_mcp.text.reading import command_words, excerpts

Runner = Literal["pytest", "unittest", "node", "go", "cargo", ""]

_MODULE_OPTION: Final = re.compile(rf"-{command_words.PYTHON_FLAGS}m(.*)", re.DOTALL)
_VALUE_OPTION: Final = re.compile(rf"-{command_words.PYTHON_FLAGS}[WX]")
_TEXT_OPTION: Final = re.compile(rf"-{command_words.PYTHON_FLAGS}c")
_NAMES: Final[dict[str, Runner]] = {"pytest": "pytest", "py.test": "pytest", "unittest": "unittest"}
_VERBS: Final[Mapping[Sequence[str], Runner]] = {
    ("go", "test"): "go",
    **dict.fromkeys([("cargo", "t"), ("cargo", "test"), ("cargo", "nextest")], "cargo"),
}
_OF_NODE: Final = frozenset({"--import", "--require", "-r", "--loader", "--env-file", "--conditions", "-C"})
_OF_COVERAGE: Final = frozenset(
    {"--source", "--rcfile", "--include", "--omit", "--context", "--data-file", "--concurrency"}
)
"""Options whose value is the next word."""
_OTHER_FORMS: Final = ("--test-reporter", "-json", "--format", "--message-format")
"""Options by which other runners print something that is not read here."""

LAST_LINES: Final = 12
"""Lines at the end of what pytest prints among which the one that sums up stands; plugins may add some after it."""

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_PASS_COUNT: Final = re.compile(r"(?:^|[\s=,])[1-9]\d{0,8} passed\b")
_FAILURE_COUNT: Final = re.compile(r"(?:^|[\s=,])[1-9]\d{0,8} (?:failed|errors?)\b")
_DOTS: Final = re.compile(r"^[sxXR]{0,400}\.[.sxXR]{0,400} {1,80}\[100%\]$")
"""The last line of progress, all that a runner prints which was told twice to be quiet."""

_RAN: Final = re.compile(r"^Ran (\d{1,9}) tests? in .{1,40}$", re.MULTILINE)
_OK: Final = re.compile(r"^OK(?: \((.{0,200})\))?$", re.MULTILINE)
_NOT_RUN: Final = re.compile(r"\b(?:skipped|expected failures)=(\d{1,9})")
_NODE_COUNT: Final = re.compile(r"^[#\u2139] (pass|fail|cancelled) (\d{1,9})$", re.MULTILINE)
_GO_PACKAGE: Final = re.compile(r"^ok[ \t]{1,9}\S{1,400}[ \t](?!.{0,80}\[no tests to run\])", re.MULTILINE)
_GO_FAILURE: Final = re.compile(r"^(?:FAIL(?:\t|$)| {0,40}--- FAIL: )", re.MULTILINE)
_GO_TEST: Final = re.compile(r"^ {0,40}--- (PASS|SKIP): ", re.MULTILINE)
_CARGO_RESULT: Final = re.compile(r"^test result: (\w{2,8})\. (\d{1,9}) passed; (\d{1,9}) failed;", re.MULTILINE)
_NEXTEST_RESULT: Final = re.compile(r"\b[1-9]\d{0,8} tests? run: [1-9]\d{0,8} passed\b(?!.{0,80} failed)")


def runner(argv: Sequence[str]) -> Runner:
    """Returns which runner of tests a command starts itself; an empty string for another program."""
    first, *words = (posixpath.basename(word) if at == 0 else word for at, word in enumerate(_program(argv)))
    if first in _NAMES:
        return _NAMES[first]
    if any(word.startswith(_OTHER_FORMS) for word in words):
        return ""
    if first == "node":
        return "node" if "--test" in _options(words, _OF_NODE) else ""
    verb = words[len(_options(words, ("-C",))) :][:1]
    return _VERBS.get((first, *verb), "")


def _options(words: Sequence[str], with_value: Collection[str]) -> Sequence[str]:
    """Returns what stands before the first word that is no option, toolchain or value of an option."""
    at = 0
    while at < len(words) and words[at].startswith(("-", "+")):
        at += 2 if words[at] in with_value else 1
    return words[:at]


def _program(argv: Sequence[str]) -> Sequence[str]:
    """Returns the program and its words; a module that Python or coverage runs counts as a program."""
    words = command_words.started(argv) or ("",)
    name = posixpath.basename(words[0])
    if name.startswith(("python", "pypy")) or name == "py":
        module = _module(words[1:]) or ("",)
        return _program(module) if module[0] == "coverage" else module
    if name.startswith("coverage"):
        return (_module(words[2:], _OF_COVERAGE) or ("",)) if words[1:2] == ["run"] else ("",)
    return ("",) if name == "unittest" else words


def _module(words: Sequence[str], with_value: Collection[str] = ()) -> Sequence[str]:
    """Returns the module that Python is to run, `-m NAME` or `-mNAME`, and its words; nothing for a file or a text."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        if option := _MODULE_OPTION.fullmatch(words[at]):
            return [*filter(None, [option[1]]), *words[at + 1 :]]
        if _TEXT_OPTION.match(words[at]):
            break
        at += 2 if words[at] in with_value or _VALUE_OPTION.fullmatch(words[at]) else 1
    return ()


def doubt(argv: Sequence[str], stdout: str, stderr: str = "") -> str:
    """Returns why a command that ended well has shown no test that passed; an empty string where it has.

    Of programs that are no runners known here nothing is asked. Only the stream counts on which the runner sums up.
    """
    name = runner(argv)
    if not name:
        return ""
    text = _COLOUR.sub("", excerpts.RUNNER.of((stderr if name == "unittest" else stdout).rstrip()))
    is_shown = _ENDS[name](text) or (
        name == "cargo" and bool(_NEXTEST_RESULT.search(_COLOUR.sub("", excerpts.RUNNER.of(stderr))))
    )
    return "" if is_shown else "its output does not end with tests that passed"


def _pytest_passed(text: str) -> bool:
    """Returns whether the last line that sums up tells of tests that passed, and of none that did not."""
    lines = [line for line in text.splitlines() if line.strip()][-LAST_LINES:]
    last = next((line for line in reversed(lines) if _PASS_COUNT.search(line) or _FAILURE_COUNT.search(line)), "")
    if last:
        return not _FAILURE_COUNT.search(last)
    return any(_DOTS.match(line.rstrip()) for line in lines)


def _unittest_passed(text: str) -> bool:
    """Returns whether more tests have run than were skipped or were to fail, and the end says OK."""
    runs = list(_RAN.finditer(text))
    end = _OK.search(text, runs[-1].end()) if runs else None
    if end is None:
        return False
    return int(runs[-1][1]) > sum(map(int, _NOT_RUN.findall(end[1] or "")))


def _node_passed(text: str) -> bool:
    counts = {name: int(count) for name, count in _NODE_COUNT.findall(text)}
    return counts.get("pass", 0) > 0 and not counts.get("fail", 0) and not counts.get("cancelled", 0)


def _go_passed(text: str) -> bool:
    """Returns whether a package with tests is ok and none is not; told of each test, one has to have passed."""
    tests = set(_GO_TEST.findall(text))
    return bool(_GO_PACKAGE.search(text)) and not _GO_FAILURE.search(text) and tests != {"SKIP"}


def _cargo_passed(text: str) -> bool:
    results = _CARGO_RESULT.findall(text)
    return any(int(passes) for _, passes, _ in results) and all(word == "ok" for word, _, _ in results)


_ENDS: Final = {
    "pytest": _pytest_passed,
    "unittest": _unittest_passed,
    "node": _node_passed,
    "go": _go_passed,
    "cargo": _cargo_passed,
}
