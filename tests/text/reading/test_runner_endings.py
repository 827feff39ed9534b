"""A runner of tests has shown something when its output ends with tests that passed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text.reading import runner_endings

PYTEST = ("pytest", "-q")
UNITTEST = ("python3", "-m", "unittest")


@pytest.mark.parametrize(
    ("argv", "runner"),
    [
        (("pytest",), "pytest"),
        (("/opt/venv/bin/pytest", "-x"), "pytest"),
        (("py.test",), "pytest"),
        (("python", "-m", "pytest", "-q"), "pytest"),
        (("/usr/bin/python3.12", "-W", "error", "-m", "pytest"), "pytest"),
        (("python3", "-m", "unittest", "discover"), "unittest"),
        (("python3", "-mpytest", "--co"), "pytest"),
        (("python3", "-Bmunittest"), "unittest"),
        (("python3", "-Im", "pytest"), "pytest"),
        (("python3", "-BW", "error", "-mpytest"), "pytest"),
        (("python3", "-m", "coverage", "run", "-m", "pytest"), "pytest"),
        (("coverage", "run", "--branch", "-m", "unittest"), "unittest"),
        (("coverage", "run", "app.py", "-m", "pytest"), ""),
        (("coverage", "report"), ""),
        (("coverage",), ""),
        (("python3", "-m", "coverage", "report"), ""),
        (("python3", "-c", "pass", "-m", "pytest"), ""),
        (("python3", "-Bc", "pass", "-mpytest"), ""),
        (("env", "-C", "tests", "pytest"), "pytest"),
        (("npx", "node", "--test"), "node"),
        (("uv", "run", "pytest"), "pytest"),
        (("cargo", "t"), "cargo"),
        (("cargo", "run", "--", "test"), ""),
        (("cargo", "run", "--bin", "test"), ""),
        (("cargo", "add", "t"), ""),
        (("cargo",), ""),
        (("go", "-C", "app", "test", "./..."), "go"),
        (("go", "run", "./cmd", "test"), ""),
        (("go", "doc", "testing", "test"), ""),
        (("node", "build.js", "--test"), ""),
        (("node", "--import", "tsx", "--test", "a.ts"), "node"),
        (("coverage", "run", "--source", "src", "-m", "pytest"), "pytest"),
        (("uv", "run", "--with", "pytest-xdist", "pytest"), "pytest"),
        (("uv", "--project", "app", "run", "pytest"), "pytest"),
        (("poetry", "-C", "app", "run", "pytest"), "pytest"),
        (("uvx", "pytest"), "pytest"),
        (("conda", "run", "-n", "x", "pytest"), "pytest"),
        (("xvfb-run", "-a", "pytest"), "pytest"),
        (("npx", "-p", "x", "node", "--test"), "node"),
        (("pypy3", "-m", "pytest"), "pytest"),
        (("py", "-3", "-m", "pytest"), "pytest"),
        (("env", "-Spytest -q"), "pytest"),
        (("python", "-m"), ""),
        (("python", "-m", "http.server"), ""),
        (("python", "run.py", "pytest"), ""),
        (("make", "test"), ""),
        (("unittest",), ""),
        (("node", "--test", "--", "x"), "node"),
        (("node", "--test", "--test-reporter=dot"), ""),
        (("node", "app.js"), ""),
        (("go", "test", "./..."), "go"),
        (("go", "test", "-json", "./..."), ""),
        (("go", "vet"), ""),
        (("cargo", "+stable", "test", "-q"), "cargo"),
        (("cargo", "nextest", "run"), "cargo"),
        (("cargo", "build"), ""),
        ((), ""),
    ],
)
def test_a_runner_is_known_by_its_name_or_as_a_module(argv: tuple[str, ...], runner: str) -> None:
    assert runner_endings.runner(argv) == runner


NODE, GO, CARGO = ("node", "--test"), ("go", "test", "./..."), ("cargo", "test", "-q")
TAP = "1..2\n# tests 2\n# suites 0\n# pass {}\n# fail {}\n# cancelled 0\n# skipped 1\n# todo 0\n# duration_ms 80.1"
CRATE = (
    "running 1 test\ntest result: {}. {} passed; {} failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.0s\n"
)
SHOWN = [
    (PYTEST, ".      [100%]\n1 passed in 0.48s"),
    (PYTEST, "=================== 3 passed, 1 skipped, 2 warnings in 0.59s ===================="),
    (PYTEST, "1 passed, 1 xfailed in 0.1s"),
    (PYTEST, "\x1b[32m\x1b[1m12 passed\x1b[0m\x1b[32m in 0.09s\x1b[0m"),
    (PYTEST, "..s..x                                            [100%]"),
    (PYTEST, "the worker saw 2 failed logins\n1 passed in 0.1s"),
    (PYTEST, "Results (0.05s):\n       4 passed\n"),
    (PYTEST, "1 passed in 0.1s\n" + "a word of a plugin\n" * 5),
    (UNITTEST, "..\n------\nRan 2 tests in 0.000s\n\nOK (skipped=1)"),
    (UNITTEST, "Ran 3 tests in 0.000s\n\nOK (skipped=1, expected failures=1)"),
    (UNITTEST, "Ran 1 test in 0.000s\n\nOK\n"),
    (NODE, TAP.format(1, 0)),
    (NODE, TAP.format(1, 0).replace("#", "\u2139")),
    (GO, "?   \tz/cmd\t[no test files]\nok  \tz/app\t0.003s\n"),
    (GO, "ok  \tz/app\t(cached)\n"),
    (GO, "FAILover is tested\nFAIL: expected, says a log\n--- PASS: TestA (0.00s)\nPASS\nok  \tz/app\t0.003s\n"),
    (GO, "=== RUN T\n--- SKIP: TestA (0.00s)\n--- PASS: TestB (0.00s)\nPASS\nok  \tz/app\t0.003s\n"),
    (CARGO, CRATE.format("ok", 2, 0) + CRATE.format("ok", 0, 0)),
    (("make", "test"), ""),
]
HIDDEN = [
    (PYTEST, ""),
    (PYTEST, "collecting ..."),
    (PYTEST, "1 skipped in 0.02s"),
    (PYTEST, "1 xfailed in 0.02s"),
    (PYTEST, "1 skipped, 1 xfailed, 1 xpassed in 0.02s"),
    (PYTEST, "no tests ran in 0.00s"),
    (PYTEST, "2 tests collected in 0.01s"),
    (PYTEST, "1 failed, 1 passed in 0.2s"),
    (PYTEST, "1 passed, 2 errors in 0.2s"),
    (PYTEST, "0 passed in 0.2s"),
    (PYTEST, ".F                                              [100%]"),
    (PYTEST, "ss                                              [100%]"),
    (PYTEST, "..                                              [ 50%]"),
    (PYTEST, "1 passed in 0.1s\n" + "and so it goes on\n" * 20),
    (UNITTEST, "Ran 0 tests in 0.000s\n\nOK"),
    (UNITTEST, "Ran 1 test in 0.000s\n\nOK (skipped=1)"),
    (UNITTEST, "Ran 2 tests in 0.000s\n\nOK (expected failures=2)"),
    (UNITTEST, "Ran 3 tests in 0.000s\n\nOK (skipped=2, expected failures=1)"),
    (UNITTEST, "OK\nRan 2 tests in 0.000s\n\nFAILED (failures=1)"),
    (UNITTEST, "Ran 2 tests in 0.000s\n\nOK\nRan 0 tests in 0.000s\n\nNO TESTS RAN"),
    (UNITTEST, ""),
    (UNITTEST, "Ran 2 tests in 0.000s"),
    (NODE, TAP.format(0, 0)),
    (NODE, TAP.format(1, 1)),
    (NODE, ""),
    (GO, "?   \tz/app\t[no test files]\n"),
    (GO, "ok  \tz/app\t0.003s [no tests to run]\n"),
    (GO, "--- SKIP: TestA (0.00s)\nPASS\nok  \tz/app\t0.003s\n"),
    (GO, "ok  \tz/app\t0.003s\nFAIL\tz/cmd\t0.1s\nFAIL\n"),
    (CARGO, CRATE.format("ok", 0, 0)),
    (CARGO, CRATE.format("ok", 1, 0) + CRATE.format("FAILED", 1, 1)),
    (CARGO, ""),
]


def doubt(argv: tuple[str, ...], printed: str) -> str:
    """What is doubted of a text on the stream on which the runner sums up."""
    streams = ("", printed) if runner_endings.runner(argv) == "unittest" else (printed, "")
    return runner_endings.doubt(argv, *streams)


@pytest.mark.parametrize(("argv", "printed"), SHOWN)
def test_tests_that_passed_are_seen_in_the_output(argv: tuple[str, ...], printed: str) -> None:
    assert doubt(argv, printed) == ""


@pytest.mark.parametrize(("argv", "printed"), HIDDEN)
def test_an_output_without_tests_that_passed_is_doubted(argv: tuple[str, ...], printed: str) -> None:
    assert "does not end with tests that passed" in doubt(argv, printed)


def test_an_end_on_the_other_stream_is_not_the_runners() -> None:
    assert runner_endings.doubt(PYTEST, "", "1 passed in 0.1s")
    assert runner_endings.doubt(UNITTEST, "Ran 1 test in 0.000s\n\nOK\n")
    assert not runner_endings.doubt(
        ("cargo", "nextest", "run"), "", "Summary [0.1s] 2 tests run: 2 passed, 0 skipped\n"
    )
    assert runner_endings.doubt(("cargo", "nextest", "run"), "", "Summary [0.1s] 0 tests run: 0 passed, 1 skipped\n")


@given(st.text(max_size=400).filter(lambda text: "passed" not in text and "%" not in text))
def test_no_other_text_is_taken_for_an_end(text: str) -> None:
    assert runner_endings.doubt(PYTEST, text)


@pytest.mark.parametrize(
    "argv",
    [
        ("python3", "-mpytest", "--co", "tests"),
        ("python3", "-m", "coverage", "run", "-m", "pytest", "--co", "tests"),
        ("env", "-u", "HOME", "pytest", "--co", "tests"),
        ("uv", "run", "pytest", "--co", "tests"),
    ],
)
def test_a_runner_that_only_collects_shows_nothing_whatever_starts_it(argv: tuple[str, ...]) -> None:
    assert runner_endings.doubt(argv, "tests/test_p.py::test_a\n\n1 test collected in 0.01s\n")
    assert not runner_endings.doubt(argv, "tests/test_p.py .  [100%]\n\n1 passed in 0.01s\n")
