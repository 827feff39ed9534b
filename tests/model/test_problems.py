"""Which name somebody meant, how values stand in messages, and which problems follow from others."""

from __future__ import annotations

import functools
import string
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import problems
from dispatch_mcp.text import json_types

_WORDS = st.text("abc", max_size=6)
_NAMES = st.lists(st.text(string.ascii_lowercase + "-_", min_size=1, max_size=12), min_size=1, max_size=8, unique=True)


def problem(where: str, code: str = "unreadable") -> problems.Problem:
    return problems.Problem(code=code, message=f"{code} at {where}", where=where)


@functools.cache
def fewest_edits(first: str, second: str) -> int:
    """Says the same as `distance` by its definition: the best of all ways to treat the last characters."""
    if not first or not second:
        return len(first) + len(second)
    ways = [
        fewest_edits(first[:-1], second) + 1,
        fewest_edits(first, second[:-1]) + 1,
        fewest_edits(first[:-1], second[:-1]) + (first[-1] != second[-1]),
    ]
    if len(first) > 1 and len(second) > 1 and first[-2:] == second[-1] + second[-2]:
        ways.append(fewest_edits(first[:-2], second[:-2]) + 1)
    return min(ways)


@given(_WORDS, _WORDS)
def test_the_distance_of_two_words_is_the_fewest_edits_between_them(first: str, second: str) -> None:
    assert problems.distance(first, second) == fewest_edits(first, second) == problems.distance(second, first)


@pytest.mark.parametrize(
    ("first", "second", "edits"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("deploy", "deploy", 0),
        ("deploy", "delpoy", 1),
        ("deploy", "deplyo", 1),
        ("deploy", "deploys", 1),
        ("deploy", "eploy", 1),
        ("deploy", "displays", 4),
        ("ab", "ba", 1),
        ("ca", "abc", 3),  # the swapped neighbours are not edited again
    ],
)
def test_insertions_deletions_changes_and_swaps_cost_one_each(first: str, second: str, edits: int) -> None:
    assert problems.distance(first, second) == edits


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("build-api", "build-api"),
        ("Build API", "build-api"),
        ("build_api", "build-api"),
        ("  build.api  ", "build-api"),
        ("build--api", "build-api"),
        ("biuld-api", "build-api"),
        ("build-ap", "build-api"),
        ("buildapi", "build-api"),
        ("WRITE-TESTS", "write_tests"),
        ("write-test", "write_tests"),
        ("docs", "docs"),
        ("dosc", "docs"),
        ("dxyz", ""),
        ("deploy", ""),
        ("api", ""),
        ("b", ""),
        ("", ""),
        ("x" * 81, ""),
    ],
)
def test_a_name_is_recognised_in_other_spellings_and_with_small_errors(name: str, meant: str) -> None:
    assert problems.nearest(name, ["build-api", "write_tests", "docs"]) == meant


@pytest.mark.parametrize(
    ("typed", "names", "meant"),
    [
        ("dxxs", ["docs"], "docs"),  # two edits in at least four characters
        ("dxxx", ["docs"], ""),
        ("ab", ["abcd"], "abcd"),
        ("ab", ["abcde"], ""),
        ("a", ["b"], ""),
        ("bxxld-axi", ["build-api"], "build-api"),  # from three edits on, a third of the characters
        ("bxxld-xxi", ["build-api"], ""),
        ("abcdefghi", ["abcdef"], "abcdef"),
        ("abcdefgh", ["abcde"], ""),
        ("deplyo", ["deploys", "deploy"], "deploy"),
        ("deplyo", ["deploy", "deploys"], "deploy"),
        ("deploys", ["deploy", "deploys"], "deploys"),
    ],
)
def test_more_edits_are_forgiven_in_longer_names_and_the_nearest_wins(typed: str, names: list[str], meant: str) -> None:
    assert problems.nearest(typed, names) == meant


@given(_NAMES)
def test_every_name_means_itself_and_the_first_of_those_that_are_spelled_alike(names: list[str]) -> None:
    known = problems.Names(names)
    for name in names:
        assert known.nearest(name) in names
        assert known.nearest(name).replace("_", "-").split("-") == known.nearest(name.upper()).replace("_", "-").split(
            "-"
        )
    assert problems.nearest(names[0], names) == names[0]


@settings(max_examples=60)
@given(_NAMES, st.text(max_size=100))
def test_what_is_meant_is_always_a_known_name_or_nothing(names: list[str], typed: str) -> None:
    assert problems.nearest(typed, names) in {*names, ""}


def test_only_so_many_wrong_names_are_looked_for_but_other_spellings_always_are() -> None:
    known = problems.Names(["deploy", "build"])
    guesses = [known.nearest("delpoy") for _ in range(problems.FUZZY_LIMIT + 3)]
    assert guesses == ["deploy"] * problems.FUZZY_LIMIT + [""] * 3
    assert known.nearest("DEPLOY") == "deploy"


@pytest.mark.parametrize(("count", "looked_for"), [(2_000, 10), (4_000, 5), (20_000, 1), (50_000, 1)])
def test_among_thousands_of_names_fewer_wrong_ones_are_looked_for(count: int, looked_for: int) -> None:
    known = problems.Names([f"task-{number:05}" for number in range(count - 1)] + ["deploy"])
    guesses = [known.nearest("delpoy") for _ in range(looked_for + 1)]
    assert guesses == ["deploy"] * looked_for + [""]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "'plain'"),
        ("it's", '"it\'s"'),
        ("a\nb", "'a\\nb'"),
        (None, "None"),
        ([1, "b"], "[1, 'b']"),
        ({"k": True}, "{'k': True}"),
        ("x" * 78, f"'{'x' * 78}'"),
        ("x" * 79, f"'{'x' * 79}…"),
        ("\x00" * 100, repr("\x00" * 100)[:80] + "…"),
        (list(range(1_000)), repr(list(range(1_000)))[:80] + "…"),
    ],
)
def test_a_value_is_quoted_so_that_it_fits_in_a_message(value: model.Json, shown: str) -> None:
    assert json_types.quoted(value) == shown


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner, max_size=4), max_leaves=30))
def test_a_quoted_value_never_takes_more_than_one_short_line(value: model.Json) -> None:
    assert len(json_types.quoted(value)) <= 81
    assert "\n" not in json_types.quoted(value)


@pytest.mark.parametrize(
    ("names", "limit", "shown"),
    [
        ([], 8, ""),
        (["a"], 8, "`a`"),
        (["a", "b"], 2, "`a`, `b`"),
        (["a", "b", "c"], 2, "`a`, `b` and 1 more"),
        ([str(number) for number in range(10)], 8, "`0`, `1`, `2`, `3`, `4`, `5`, `6`, `7` and 2 more"),
    ],
)
def test_names_are_listed_up_to_a_limit_and_the_rest_is_counted(names: list[str], limit: int, shown: str) -> None:
    assert problems.in_backticks(names, limit) == shown


def test_known_names_are_listed_once_each_in_their_order() -> None:
    assert problems.Names(["b", "a", "b"]).listed == "`b`, `a`"
    assert problems.Names(map(str, range(100))).listed.endswith("`7` and 92 more")


def test_what_could_not_be_read_is_not_missing_as_well() -> None:
    reading = [problem("tasks[0].do")]
    checks = [problem("tasks[0].do", "missing_goal"), problem("tasks[1].do", "missing_goal")]
    assert problems.without_consequences(reading, checks) == [reading[0], checks[1]]


@pytest.mark.parametrize(
    ("where", "hides"),
    [
        ("tasks", True),
        ("tasks[3]", True),
        ("tasks[12].id", True),
        ("tasks[3].do", False),
        ("tasks[3].deps[0]", False),
        ("tasks[x]", False),
        ("my_tasks", False),
        ("config.tasks", False),
    ],
)
def test_whoever_waits_for_a_task_without_a_readable_id_may_mean_that_one(where: str, *, hides: bool) -> None:
    reading = [problem(where)]
    checks = [
        problem("tasks[5].deps", "unknown_dependency"),
        problem("tasks_", "empty_plan"),
        problem("tasks[6].deps", "cycle"),
    ]
    assert problems.without_consequences(reading, checks) == [*reading, *(checks[2:] if hides else checks)]


def test_without_problems_in_reading_every_check_counts() -> None:
    checks = [problem("tasks[5].deps", "unknown_dependency"), problem("tasks", "empty_plan")]
    assert problems.without_consequences([], checks) == checks
    assert problems.without_consequences(iter(checks[:1]), iter(())) == checks[:1]


class Counted(list[int]):
    """A list that counts how many of its items are read."""

    reads = 0

    def __iter__(self) -> Iterator[int]:
        for item in super().__iter__():
            self.reads += 1
            yield item


def test_of_a_great_value_only_the_beginning_is_read() -> None:
    great = Counted(range(1_000_000))
    assert json_types.quoted({"a": great}).startswith("{'a': [0, 1, 2, 3")
    assert great.reads <= 100
    assert json_types.quoted([10**5_000]) == "['a number of thousands of digits']"
