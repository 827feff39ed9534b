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
        (("python", "-m"), ""),
        (("python", "-m", "http.server"), ""),
        (("python", "run.py", "pytest"), ""),
        (("make", "test"), ""),
        ((), ""),
    ],
)
def test_a_runner_is_known_by_its_name_or_as_a_module(argv: tuple[str, ...], runner: str) -> None:
    assert runner_endings.runner(argv) == runner


SHOWN = [
    (PYTEST, ".      [100%]\n1 passed in 0.48s"),
    (PYTEST, "=================== 3 passed, 1 skipped, 2 warnings in 0.59s ===================="),
    (PYTEST, "\x1b[32m\x1b[1m12 passed\x1b[0m\x1b[32m in 0.09s\x1b[0m"),
    (PYTEST, "..s..x                                            [100%]"),
    (PYTEST, "the worker saw 2 failed logins\n1 passed in 0.1s"),
    (PYTEST, "Results (0.05s):\n       4 passed\n"),
    (UNITTEST, "..\n------\nRan 2 tests in 0.000s\n\nOK (skipped=1)"),
    (("make", "test"), ""),
]
HIDDEN = [
    (PYTEST, ""),
    (PYTEST, "collecting ..."),
    (PYTEST, "5 skipped in 0.02s"),
    (PYTEST, "1 xfailed in 0.02s"),
    (PYTEST, "no tests ran in 0.00s"),
    (PYTEST, "2 tests collected in 0.01s"),
    (PYTEST, "1 failed, 1 passed in 0.2s"),
    (PYTEST, "1 passed, 2 errors in 0.2s"),
    (PYTEST, "0 passed in 0.2s"),
    (PYTEST, ".F                                              [100%]"),
    (PYTEST, "ss                                              [100%]"),
    (PYTEST, "..                                              [ 50%]"),
    (UNITTEST, "Ran 0 tests in 0.000s\n\nOK"),
    (UNITTEST, ""),
    (UNITTEST, "Ran 2 tests in 0.000s"),
]


@pytest.mark.parametrize(("argv", "printed"), SHOWN)
def test_tests_that_passed_are_seen_in_the_output(argv: tuple[str, ...], printed: str) -> None:
    assert runner_endings.doubt(argv, printed) == ""


@pytest.mark.parametrize(("argv", "printed"), HIDDEN)
def test_an_output_without_tests_that_passed_is_doubted(argv: tuple[str, ...], printed: str) -> None:
    assert "does not end with tests that passed" in runner_endings.doubt(argv, printed)


@given(st.text(max_size=400).filter(lambda text: "passed" not in text and "%" not in text))
def test_no_other_text_is_taken_for_an_end(text: str) -> None:
    assert runner_endings.doubt(PYTEST, text)
