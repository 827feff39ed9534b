"""Tasks in the answer of a lead, however a model wraps them, and nothing where an answer holds none."""

from __future__ import annotations

import json
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.cli import plan_writer

LOGIN: dict[str, Any] = {"id": "login", "do": "Mend the login"}
TESTS: dict[str, Any] = {"id": "tests", "do": "Test the login", "deps": ["login"]}
PLAN = json.dumps({"tasks": [LOGIN, TESTS]})


@pytest.mark.parametrize(
    "answer",
    [
        PLAN,
        f"Here is the plan.\n\n```json\n{PLAN}\n```\n\nTell me if it should be smaller.",
        f"<answer>{PLAN}</answer>",
        json.dumps({"tasks": [LOGIN, TESTS], "max_parallel": 2, "why": "few dependencies"}, indent=2),
        f"{json.dumps(LOGIN)}\n{json.dumps(TESTS)}",
        f"1. {json.dumps(LOGIN)}\n2. {json.dumps(TESTS)}",
    ],
    ids=["bare", "fence", "tag", "more keys", "one a line", "a list"],
)
def test_tasks_are_read_out_of_whatever_surrounds_them(answer: str) -> None:
    assert plan_writer.tasks_in(answer) == [LOGIN, TESTS]


def test_of_several_plans_the_last_one_counts() -> None:
    first = json.dumps({"tasks": [TESTS]})
    assert plan_writer.tasks_in(f"A first try: {first}\nBetter: {PLAN}") == [LOGIN, TESTS]
    assert plan_writer.tasks_in(f"{PLAN}\nNo, nothing has to be done: " + json.dumps({"tasks": []})) == []


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I cannot plan this.",
        "[]",
        '{"tasks": "later"}',
        '{"tasks": null}',
        '{"id": "login"}',
        '{"do": "Mend the login"}',
        '{"status": "completed", "completed_work": "the plan"}',
    ],
)
def test_an_answer_without_tasks_holds_none(answer: str) -> None:
    assert plan_writer.tasks_in(answer) == []


def test_a_task_that_is_no_object_is_handed_on_so_that_checking_names_it() -> None:
    assert plan_writer.tasks_in(json.dumps({"tasks": [LOGIN, "and test it", 3]})) == [LOGIN, "and test it", 3]


@hypothesis.given(st.text(max_size=80), st.text(max_size=80))
def test_words_around_a_plan_take_nothing_from_it(before: str, after: str) -> None:
    hypothesis.assume(not set('{}[]"`') & set(before + after))
    assert plan_writer.tasks_in(f"{before}\n{PLAN}\n{after}") == [LOGIN, TESTS]
