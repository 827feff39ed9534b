"""What the demo plays: a plan that holds, and answers made from what was found."""

from __future__ import annotations

import fnmatch

import pytest

from dispatch_mcp.cli.demo import demo_server, story
from dispatch_mcp.planning import plan_checks, plan_documents

OUTPUTS = {
    "history": "abc one\ndef two\n",
    "authors": "  9 Ann Lee\n  2 Bob\n",
    "size": "10 lines .py\n5 KiB in 2 files, seal 0123\n",
    "tests": "a.py:3\nb.py:1\n",
    "todos": "",
}


def test_the_demos_plan_has_no_problems_and_commands_come_before_judgements() -> None:
    reading = plan_documents.read_tasks(story.tasks())
    assert not reading.problems
    assert not plan_checks.check(reading.tasks, agents=None, models=())
    prepared = plan_checks.prepare(reading.tasks, max_parallel=4)
    assert set(prepared.waves[0]) == set(story.COMMANDS)
    assert prepared.waves[-1] == ("summary",)


def test_every_command_that_is_not_gits_is_on_the_demos_own_allow_list() -> None:
    allowed = story.allowed()
    programs = [list(argv) for _, argv in story.COMMANDS.values() if argv[0] != "git"]
    assert len(allowed) == len(programs)
    for argv in programs:
        assert any(all(map(fnmatch.fnmatchcase, argv, entry)) for entry in allowed)


def test_every_judgement_has_an_agent_of_its_own() -> None:
    assert story.AGENTS.keys() == story.HOST_TASKS.keys()


@pytest.mark.parametrize(
    ("task_id", "work"),
    [
        ("assess", "5 KiB in 2 files, seal 0123; 2 recent commits read; most commits by Ann Lee."),
        ("quality", "2 files define tests, 0 hold a TODO or FIXME."),
    ],
)
def test_a_judgement_says_what_the_commands_really_found(task_id: str, work: str) -> None:
    answer = story.answer(task_id, OUTPUTS)
    assert answer["completed_work"] == work
    assert answer["decisions_made"] == ["Judged from 5 results, nothing else read"]


def test_the_summary_joins_both_judgements() -> None:
    assert story.answer("summary", {"assess": "Fine.", "quality": "Good."})["completed_work"] == "Fine. Good."


def test_results_that_are_missing_count_as_nothing() -> None:
    assert story.answer("assess", {})["completed_work"] == "; 0 recent commits read; most commits by nobody."
    assert (story.first({}, "x"), story.count({}, "x")) == ("", 0)


@pytest.mark.parametrize(
    ("trace", "text"),
    [
        ({"results": [{"output": {"stdout": "hello"}, "capsule": "short"}]}, "hello"),
        ({"results": [{"output": "not an object", "capsule": "short"}]}, "short"),
        ({"results": [{"capsule": "short"}]}, "short"),
        ({"results": []}, ""),
        ({}, ""),
    ],
)
def test_the_text_of_a_result_is_what_the_command_printed(trace: dict[str, object], text: str) -> None:
    assert demo_server.outputs_of(trace) == text
