from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PROMISES = tomllib.loads((TESTS / "promises.toml").read_text(encoding="utf-8"))


def named_in(text: str) -> set[str]:
    """Returns the promise ids that the markers of a test file name.

    The source is read rather than the collection, so that a run of one file sees all of them.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.promise":
            assert all(isinstance(argument, ast.Constant) for argument in node.args), "promise ids are literals"
            found |= {ast.literal_eval(argument) for argument in node.args}
    return found


def named_in_all() -> set[str]:
    texts = (path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    return set[str]().union(*map(named_in, texts))


def disagreements(promises: dict[str, dict[str, str]], named: Iterable[str]) -> list[str]:
    named = set(named)
    tested = {key for key, promise in promises.items() if promise["status"] in {"shown", "begun"}}
    found = [f"{key} is listed as {promises[key]['status']} and no test names it" for key in sorted(tested - named)]
    found += [f"a test names {key}, which is not listed" for key in sorted(named - promises.keys())]
    found += [f"a test names {key}, which is listed as deferred" for key in sorted(named & (promises.keys() - tested))]
    return found


def test_every_shown_promise_has_a_test_and_every_marker_a_promise() -> None:
    assert disagreements(PROMISES, named_in_all()) == []


def test_a_promise_is_shown_or_says_what_it_lacks() -> None:
    for key, promise in PROMISES.items():
        assert promise["says"].endswith("."), key
        assert promise["status"] in {"shown", "begun", "deferred"}, key
        assert (promise["status"] == "shown") == ("step" not in promise), key


@pytest.mark.parametrize(
    ("promises", "named"),
    [
        ({"R1": {"status": "shown"}}, []),
        ({"R1": {"status": "begun"}}, []),
        ({}, ["R1"]),
        ({"R1": {"status": "deferred"}}, ["R1"]),
    ],
    ids=["shown without a test", "begun without a test", "a test without a promise", "deferred with a test"],
)
def test_the_check_finds_a_disagreement(promises: dict[str, dict[str, str]], named: list[str]) -> None:
    assert disagreements(promises, named)


def test_markers_are_found_wherever_they_stand() -> None:
    text = (
        "import pytest\npytestmark = [pytest.mark.promise('R1')]\n@pytest.mark.promise('S5', 'R2')\ndef test_x(): ..."
    )
    assert named_in(text) == {"R1", "R2", "S5"}


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/keep-within-a-budget.md"])
def test_what_ceilings_promise_is_said_in_the_same_words_everywhere(page: str) -> None:
    assert PROMISES["S9"]["says"] in (TESTS.parent / page).read_text(encoding="utf-8")


def test_the_page_on_reliability_lists_what_is_shown_in_the_words_of_the_list() -> None:
    page = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| R\d+ \|", line)]
    shown = {key: promise for key, promise in PROMISES.items() if key[0] == "R" and promise["status"] == "shown"}
    assert rows == [f"| {key} | {promise['says']} |" for key, promise in shown.items()]
