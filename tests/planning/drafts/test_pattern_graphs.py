"""Graphs of patterns around the caller's own words: nothing dropped, nothing rewritten, nothing made up in silence."""

from __future__ import annotations

import re
from typing import Any, Final

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.planning import plan_checks, plan_documents
from dispatch_mcp.planning.drafts import pattern_graphs, patterns

NAMES: Final = [shape.name for shape in patterns.SHAPES]
PARTS: Final = ("Design the API", "Build the server", "Build the client")
LETTERS: Final = st.characters(codec="utf-8", exclude_characters="\x00")
WORDS: Final = st.text(LETTERS, min_size=1, max_size=60).filter(str.strip)
ODD: Final = st.sampled_from(
    [
        'Fix "quotes" and {braces}',
        "Sửa lỗi đăng nhập",
        "修复登录",
        "🛒 cart\nwith a second line",
        "\u202eright to left",
        "…",
        "conclude",
        "contract-2",
        "Ünïcode ☂ `code`",
        "x" * 400,
    ]
)


def tasks(pattern: str, parts: tuple[str, ...] = PARTS) -> list[model.Task]:
    reading = plan_documents.read_tasks(list(pattern_graphs.build(pattern, parts).tasks))
    assert not reading.problems
    return list(reading.tasks)


def waves(pattern: str, parts: tuple[str, ...] = PARTS) -> list[list[str]]:
    """Returns the goals of each wave; of the pattern's own tasks their ids."""
    own = pattern_graphs.build(pattern, parts).additions
    goals = {task.id: task.id if task.id in own else task.goal for task in tasks(pattern, parts)}
    prepared = plan_checks.prepare(tasks(pattern, parts), max_parallel=5)
    return [sorted(goals[name] for name in wave) for wave in prepared.waves]


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        ("parallel-investigation", [["Build the client", "Build the server", "Design the API"], ["conclude"]]),
        ("sequential-handoff", [["Design the API"], ["Build the server"], ["Build the client"]]),
        ("consultation", [["Build the server", "Design the API"], ["Build the client"]]),
        (
            "parallel-implementation",
            [["contract"], ["Build the client", "Build the server", "Design the API"], ["compare"]],
        ),
        ("phased-rollout", [["Design the API"], ["Build the client", "Build the server"], ["verify"]]),
        ("api-first", [["Design the API"], ["Build the client", "Build the server"], ["compare"]]),
        ("three-phases", [["Build the server", "Design the API"], ["plan"], ["Build the client"]]),
        (
            "feedback-loop",
            [["Build the client", "Build the server", "Design the API"], ["review"], ["approve"]],
        ),
    ],
)
def test_each_pattern_has_its_own_order(pattern: str, groups: list[list[str]]) -> None:
    assert waves(pattern) == groups


def test_one_specialist_gets_all_parts_in_one_task() -> None:
    [work] = tasks("single")
    assert work.goal.splitlines() == list(PARTS)


def test_questions_go_to_the_small_model_and_looks_to_the_thorough_one() -> None:
    assert [task.model for task in tasks("consultation")] == ["haiku", "haiku", None]
    assert {task.model for task in tasks("parallel-investigation")} == {"sonnet"}


def test_a_feedback_loop_is_bounded_and_ends_with_a_person() -> None:
    *work, review, gate = tasks("feedback-loop")
    assert review.reviews == tuple(task.id for task in work)
    assert 1 <= review.rounds <= 3
    assert gate.worker is model.WorkerKind.HUMAN


def test_whoever_lays_the_base_verifies_the_whole() -> None:
    graph = pattern_graphs.build("phased-rollout", PARTS)
    assert graph.follows == {"verify": graph.tasks[0]["id"]}


@hypothesis.given(st.sampled_from(NAMES), st.lists(WORDS | ODD, min_size=2, max_size=8, unique=True))
def test_every_part_is_the_whole_goal_of_one_task_and_all_else_is_named_as_added(name: str, parts: list[str]) -> None:
    graph = pattern_graphs.build(name, parts)
    goals = [task["do"] for task in graph.tasks if task["id"] not in graph.additions]
    assert goals == (["\n".join(parts)] if name == "single" else parts)
    assert [task["id"] for task in graph.tasks[len(goals) :]] == list(graph.additions)
    assert set(graph.additions.values()) <= {name}
    read = plan_documents.read_tasks(list(graph.tasks))
    assert not read.problems
    assert not plan_checks.check(read.tasks, agents=None, models=("opus", "sonnet", "haiku"))


@hypothesis.given(st.sampled_from(NAMES), st.lists(WORDS, min_size=2, max_size=4, unique=True))
def test_what_a_pattern_adds_does_not_depend_on_the_words(name: str, parts: list[str]) -> None:
    own = [task["do"] for task in pattern_graphs.build(name, parts).tasks[len(parts) :]]
    like = [task["do"] for task in pattern_graphs.build(name, ["a b"] * len(parts)).tasks[len(parts) :]]
    assert own == like


@hypothesis.given(st.lists(WORDS | ODD, min_size=1, max_size=12))
def test_ids_are_distinct_and_can_be_ids_whatever_the_words_are(parts: list[str]) -> None:
    ids = [task["id"] for task in pattern_graphs.build("parallel-investigation", parts).tasks]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(model.TASK_ID, name) for name in ids)


@pytest.mark.parametrize(
    ("pattern", "parts", "code", "says"),
    [
        ("waterfall", ["a"], "unknown_pattern", "`sequential-handoff`"),
        ("consulation", ["a", "b"], "unknown_pattern", "Use `consultation`."),
        ("consultation", ["a"], "too_few_parts", "the questions first, the work last"),
        ("api-first", [], "too_few_parts", "the interface first"),
        ("single", [" \n"], "empty_part", "parts[0]"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_would_be_right(
    pattern: str, parts: list[str], code: str, says: str
) -> None:
    [problem] = pattern_graphs.problems_of(pattern, parts)
    assert problem.code == code
    assert says in f"{problem.message} {problem.fix}"
    with pytest.raises(ValueError, match="cannot be built"):
        pattern_graphs.build(pattern, parts)


def test_every_wrong_part_is_named_at_once() -> None:
    places = [problem.where for problem in pattern_graphs.problems_of("consultation", ["", "Build it", "\t"])]
    assert places == ["parts[0]", "parts[2]"]


def test_a_place_among_the_tasks_is_told_as_the_part_that_stands_there() -> None:
    graph: Any = pattern_graphs.build("api-first", PARTS)
    assert graph.place("tasks[2].do") == "parts[2]"
    assert graph.place("tasks[3].do") == "tasks[3].do"
    assert graph.place("tasks[0].deps") == "tasks[0].deps"
    assert pattern_graphs.build("single", PARTS).place("tasks[0].do") == "parts"
