"""What an assistant reads as the next step."""

from __future__ import annotations

import re

import pytest
import step_examples
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import next_steps
from dispatch_mcp.cli import arguments
from dispatch_mcp.mcp_server import tool_arguments, tool_wording
from dispatch_mcp.next_steps import NextStep, StepKind

CALL = re.compile(r"\b([a-z_]+)\(([^()]*)\)")
COMMAND = re.compile(r"dispatch-mcp ([a-z]+)")


@pytest.mark.parametrize("step", [*step_examples.EXAMPLES, *step_examples.BARE], ids=lambda step: step.kind.value)
def test_every_step_has_words_and_what_is_proven_and_its_advice_come_first(step: NextStep) -> None:
    text = tool_wording.words(step)
    assert text.startswith(next_steps.sentences(next_steps.proof_sentence(step), step.advice))
    assert len(text) > len(step.advice)
    assert "  " not in text


@pytest.mark.parametrize("step", step_examples.EXAMPLES, ids=lambda step: step.kind.value)
def test_every_tool_call_in_the_words_is_one_that_the_tool_takes(step: NextStep) -> None:
    for tool, inside in CALL.findall(tool_wording.words(step)):
        names = [part.partition("=")[0].strip() for part in inside.split(",")]
        assert set(names) <= tool_arguments.TOOLS[tool].model_fields.keys(), (tool, inside)


@pytest.mark.parametrize("step", step_examples.EXAMPLES, ids=lambda step: step.kind.value)
def test_every_command_that_the_user_is_sent_to_is_there(step: NextStep) -> None:
    assert set(COMMAND.findall(tool_wording.words(step))) <= arguments.COMMANDS.keys()


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (
            NextStep(StepKind.DO_ASSIGNMENTS, "r", count=1),
            "Do 1 assignment now, in parallel if you can; send all results in one `report`.",
        ),
        (
            NextStep(StepKind.FETCH_ASSIGNMENTS, "r", count=3),
            "3 tasks ready for you: call `dispatch` with this run_id to receive them.",
        ),
        (
            NextStep(StepKind.READ_RESULTS, "r", proven=2, unproven=1, total=3),
            "2 of 3 proven, 1 UNVERIFIED (claimed, not proven). Read get_trace(view='results').",
        ),
        (
            NextStep(StepKind.SETTLE_FAILURES, "r", ("a",), advice="Failed: a."),
            "Failed: a. Read get_trace(view='results'); then steer_run(action='retry') or action='skip', task by task.",
        ),
        (
            NextStep(StepKind.SETTLE_FAILURES, "r", ("a", "b", "ask"), person_skips=("b",), no_skips=("ask",)),
            (
                "Read get_trace(view='results'); then steer_run(action='retry') or action='skip', task by task. "
                "Only the user can let 'b' go: `dispatch-mcp steer skip r b`."
            ),
        ),
        (
            NextStep(StepKind.SETTLE_FAILURES, "r", ("ask",), no_skips=("ask",)),
            "Read get_trace(view='results'); then steer_run(action='retry'), task by task.",
        ),
        (NextStep(StepKind.LIST_TASKS, "r"), "get_trace(run_id='r') lists its tasks."),
        (NextStep(StepKind.READ_RUN), "Read one with get_trace(run_id=…)."),
        (
            NextStep(StepKind.MEND, "r", plan="p"),
            (
                "Dispatch plan p: the owners mend the findings, then review the change again with after='r'; "
                "only a person can waive one: `dispatch-mcp waive r FINDING --reason WHY`."
            ),
        ),
        (
            NextStep(StepKind.NAME_REVISION, "r", revision="0123456789abcdef"),
            "Call again with task_id='0123456789ab'; the user is asked then.",
        ),
    ],
    ids=lambda value: value.kind.value if isinstance(value, NextStep) else "",
)
def test_a_step_reads_as_a_sentence_with_the_call_to_make(step: NextStep, text: str) -> None:
    assert tool_wording.words(step) == text


def test_a_decision_names_a_few_tasks_and_says_that_nobody_else_can_approve() -> None:
    step = NextStep(StepKind.DECIDE, "r", tuple(f"gate{number}" for number in range(9)))
    text = tool_wording.words(step)
    assert "gate4" in text
    assert "gate5" not in text
    assert text.endswith("Nobody else can approve.")


def test_changes_that_wait_are_offered_to_the_user_and_not_to_the_assistant() -> None:
    text = tool_wording.words(NextStep(StepKind.READ_RESULTS, "r7", has_changes=True))
    assert "steer_run(action='apply') asks the user" in text
    assert "`dispatch-mcp apply r7`" in text
    assert "apply" not in tool_wording.words(NextStep(StepKind.READ_RESULTS, "r7"))


def test_only_a_review_with_findings_speaks_of_waiving() -> None:
    with_findings = NextStep(StepKind.REPEAT_REVIEW, "r", has_findings=True)
    assert "waive" in tool_wording.words(with_findings)
    assert "waive" not in tool_wording.words(NextStep(StepKind.REPEAT_REVIEW, "r"))


@given(st.sampled_from(StepKind), st.text(max_size=30), st.lists(st.text(max_size=8), max_size=9), st.integers(0, 500))
def test_no_value_of_a_step_is_without_words(kind: StepKind, run: str, tasks: list[str], count: int) -> None:
    assert tool_wording.words(NextStep(kind, run, tuple(tasks), count)).strip()
