"""Errors as every interface reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.cli import shell_wording
from dispatch_mcp.mcp_server import tool_wording
from dispatch_mcp.next_steps import NextStep, StepKind, counted, sentences


def test_an_error_without_words_says_what_its_kind_means() -> None:
    assert str(errors.StoreBusy()) == "Another process holds the store's write lock."


def test_plain_advice_reads_the_same_everywhere() -> None:
    error = errors.InputError("No.", hint="Do it so.")
    assert str(error) == "No. Do it so."
    assert error.full_text(tool_wording.words) == error.full_text(shell_wording.words) == "No. Do it so."


def test_words_of_another_program_end_before_the_advice_begins() -> None:
    error = errors.InputError("git cannot say it: fatal: not a git repository: .git", hint="Name a range.")
    assert str(error) == "git cannot say it: fatal: not a git repository: .git. Name a range."
    assert str(errors.InputError("Cannot read 'x': No such file")) == "Cannot read 'x': No such file"


def test_a_step_as_a_hint_is_put_into_words_by_the_interface() -> None:
    error = errors.UnknownHandle("There is no run 'x'.", hint=NextStep(StepKind.LIST_RUNS))
    assert error.full_text(tool_wording.words) == "There is no run 'x'. `get_trace` without arguments lists your runs."
    assert error.full_text(shell_wording.words) == "There is no run 'x'. `dispatch-mcp status --all` lists your runs."


def test_where_no_interface_speaks_only_the_advice_of_a_step_is_said() -> None:
    step = NextStep(StepKind.CHECK_INSTALLATION, advice="Keep the file.")
    assert str(errors.StoreDamaged("It is broken.", hint=step)) == "It is broken. Keep the file."
    assert str(errors.StoreError("It is broken.", hint=NextStep(StepKind.CHECK_INSTALLATION))) == "It is broken."


@pytest.mark.parametrize("kind", [errors.PlanRejected, errors.StaleVersion])
def test_errors_with_more_to_say_take_a_step_too(kind: type[errors.DispatchError]) -> None:
    error = kind("No.", hint=NextStep(StepKind.CORRECT_PLAN))
    assert error.full_text(tool_wording.words) == "No. Fix all of them and call plan_dag again."
    assert (error.message, str(error)) == ("No.", "No.")


@given(st.lists(st.text(max_size=5), max_size=5))
def test_sentences_are_parted_by_one_space_and_empty_ones_leave_no_trace(parts: list[str]) -> None:
    assert sentences(*parts) == " ".join(part for part in parts if part)


@given(st.integers(0, 10_000))
def test_a_noun_is_in_the_singular_for_one_alone(number: int) -> None:
    assert counted(number, "task") == (f"{number} task" if number == 1 else f"{number} tasks")
