"""What all interfaces share of the words for next steps: numbers, times and sentences."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import next_steps
from dispatch_mcp.next_steps import NextStep, StepKind


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (0.2, "1 s"),
        (40, "40 s"),
        (119, "119 s"),
        (120, "2 min"),
        (121, "3 min"),
        (3_599, "1 h"),
        (3_600, "1 h"),
        (7_500, "2 h 5 min"),
        (90_000, "25 h"),
    ],
)
def test_a_time_is_said_as_a_person_would_say_it_and_never_too_short(seconds: float, text: str) -> None:
    assert next_steps.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_599, "59 min"),
        (7_500, "2 h"),
        (172_799, "47 h"),
        (200_000, "2 days"),
    ],
)
def test_an_age_is_said_in_its_largest_unit(seconds: float, text: str) -> None:
    assert next_steps.age(seconds) == text


@given(st.floats(0, 1e7))
def test_no_time_is_said_shorter_than_it_is(seconds: float) -> None:
    units = {"h": 3_600, "min": 60, "s": 1}
    parts = re.findall(r"(\d+) (h|min|s)", next_steps.duration(seconds))
    spoken = sum(int(number) * units[unit] for number, unit in parts)
    assert seconds <= spoken < seconds + 61


def test_a_number_of_things_is_in_the_plural_unless_it_is_one() -> None:
    assert [next_steps.counted(n, "task") for n in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]


def test_assignments_that_are_out_say_for_how_long() -> None:
    step = NextStep(StepKind.KEEP_ASSIGNMENTS, repeats=2, out_s=200)
    assert next_steps.have_been_out(step, 1) == "has already been out for 4 min"
    assert next_steps.have_been_out(step, 2) == "have already been out, the first for 4 min"


def test_a_pause_names_the_task_that_goes_on_first_and_when() -> None:
    assert next_steps.tried_again(NextStep(StepKind.WATCH)) == ""
    one = NextStep(StepKind.WATCH, retries=("api",), retry_s=12.3)
    assert next_steps.tried_again(one) == "'api' is tried again in 13 s."
    several = NextStep(StepKind.WATCH, retries=("api", "web", "docs"), retry_s=60)
    assert next_steps.tried_again(several) == "'api' is tried again in 60 s (and 2 more later)."


@pytest.mark.parametrize(
    ("needs", "where"),
    [
        ((), ""),
        (("api",), " where ANTHROPIC_API_KEY is set"),
        (("api", "claude"), " where ANTHROPIC_API_KEY is set and Claude Code is installed"),
    ],
)
def test_what_nobody_carries_on_says_which_command_does_and_where(needs: tuple[str, ...], where: str) -> None:
    step = NextStep(StepKind.CARRY_ON, ownerless=("a",), needs=needs)
    text = f"NOBODY CARRIES ON 'a': no process that lives has this run. `do it` goes on with it{where}."
    assert next_steps.carried_on(step, "`do it`") == text


def test_words_that_are_the_same_for_every_step_say_nothing_about_it() -> None:
    words = next_steps.constant_words("Look again.")
    assert words(NextStep(StepKind.WATCH, "r")) == words(NextStep(StepKind.RESUME)) == "Look again."


def test_sentences_without_words_leave_no_gap() -> None:
    assert next_steps.sentences("Done.", "", "Read it.") == "Done. Read it."


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ((), ""),
        (("a",), "'a'"),
        (("a", "b"), "'a' and 'b'"),
        (("a", "b", "c"), "'a', 'b' and 'c'"),
        (tuple("abcdefg"), "'a', 'b', 'c', 'd', 'e' and 2 more"),
    ],
)
def test_a_few_ids_are_named_and_the_others_counted(ids: tuple[str, ...], text: str) -> None:
    assert next_steps.names(ids) == text


def test_what_ended_unread_names_its_tasks() -> None:
    step = NextStep(StepKind.WATCH, unread=("api", "web"))
    assert next_steps.ended_unread(step, "a note") == "'api' and 'web' ended without having read a note"


@pytest.mark.parametrize(
    ("state", "work", "lines"),
    [
        ("running", {}, ()),
        ("paused", {}, ("a person: it is paused",)),
        ("waiting_input", {("human", "running"): 1}, ("a person: 1 decision",)),
        ("running", {("host", "running"): 2}, ("the assistant: 2 assignments out",)),
        ("running", {("host", "ready"): 1}, ("the assistant: 1 task to fetch",)),
        ("running", {("api", "ready"): 1, ("command", "running"): 2}, ("the server: 3 tasks",)),
        (
            "running",
            {("scripted", "running"): 1, ("host", "ready"): 2, ("human", "ready"): 2, ("host", "running"): 1},
            (
                "a person: 2 decisions",
                "the assistant: 1 assignment out",
                "the assistant: 2 tasks to fetch",
                "the server: 1 task",
            ),
        ),
    ],
)
def test_a_run_waits_for_people_before_it_waits_for_programs(
    state: str, work: dict[tuple[str, str], int], lines: tuple[str, ...]
) -> None:
    assert next_steps.who_is_waited_for(state, work.items()) == lines


@pytest.mark.parametrize(
    ("unproven", "simulations", "sentence"),
    [
        (0, 0, ""),
        (2, 0, "1 of 6 proven, 2 UNVERIFIED (claimed, not proven)."),
        (0, 3, "1 of 6 proven, 3 SIMULATED (nothing was done)."),
        (2, 3, "1 of 6 proven, 2 UNVERIFIED (claimed, not proven), 3 SIMULATED (nothing was done)."),
    ],
)
def test_what_was_only_claimed_or_simulated_is_said_before_everything_else(
    unproven: int, simulations: int, sentence: str
) -> None:
    step = NextStep(StepKind.READ_RESULTS, "run", proven=1, unproven=unproven, simulations=simulations, total=6)
    assert next_steps.proof_sentence(step) == sentence
    assert next_steps.in_words(step, "Read it.", "", "") == next_steps.sentences(sentence, "Read it.")
