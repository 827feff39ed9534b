"""What a person at a shell reads as the next step."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
import step_examples
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import next_steps
from dispatch_mcp.cli import arguments, shell_wording
from dispatch_mcp.next_steps import NextStep, StepKind

COMMAND = re.compile(r"`dispatch-mcp ([^`]+)`")
STANDS_FOR = {"…": "dollars=8", "FILE": "plan.json"}
"""What a person types instead of a part of an advice that stands for something."""

NAME_CHANGE = (
    "Nothing was reviewed. Name a change: a git range, --diff FILE or --run RUN; without any, what changed since the "
    "last commit."
)


@pytest.mark.parametrize("step", [*step_examples.EXAMPLES, *step_examples.BARE], ids=lambda step: step.kind.value)
def test_every_step_has_words_and_what_is_proven_and_its_advice_come_first(step: NextStep) -> None:
    text = shell_wording.words(step)
    assert text.startswith(next_steps.sentences(next_steps.proof_sentence(step), step.advice))
    assert len(text) > len(step.advice)
    assert "  " not in text


@pytest.mark.parametrize("step", step_examples.EXAMPLES, ids=lambda step: step.kind.value)
def test_no_step_speaks_of_tools_or_of_their_arguments(step: NextStep) -> None:
    text = shell_wording.words(step)
    assert not [word for word in (*step_examples.TOOLS, "run_id", "task_id", "wait_s", "action=") if word in text]


@pytest.mark.parametrize("step", [*step_examples.EXAMPLES, *step_examples.BARE], ids=lambda step: step.kind.value)
def test_every_command_in_the_words_can_be_typed(step: NextStep) -> None:
    for command in COMMAND.findall(shell_wording.words(step)):
        typed = [STANDS_FOR.get(word, word) for word in shlex.split(command)]
        with contextlib.redirect_stderr(io.StringIO()) as complaint:
            options = arguments.parser().parse_args(typed)
        assert options.command == typed[0], complaint.getvalue()


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (NextStep(StepKind.WATCH, "r"), "Working. Look again in a while."),
        (NextStep(StepKind.RESUME, "r"), "Paused. Resume it with `dispatch-mcp steer resume r`."),
        (
            NextStep(StepKind.REOPEN, "r", advice="Ended as cancelled."),
            "Ended as cancelled. `dispatch-mcp steer retry r TASK` reopens a task.",
        ),
        (
            NextStep(StepKind.RAISE_LIMIT, "r"),
            (
                "A ceiling of the run is reached and nothing more begins; `dispatch-mcp status r` says which. "
                "Raise it with `dispatch-mcp limit r …`. If only a forecast does not fit, `dispatch-mcp limit r "
                "--begin-anyway` lets work begin with what is left, and stop there."
            ),
        ),
        (
            NextStep(StepKind.SETTLE_FAILURES, "r", ("a",), advice="Failed: a."),
            (
                "Failed: a. Read `dispatch-mcp trace r --view results`, then `dispatch-mcp steer retry r a` or "
                "`dispatch-mcp steer skip r a`, task by task."
            ),
        ),
        (
            NextStep(StepKind.SETTLE_FAILURES, "r", ("ask",), no_skips=("ask",)),
            "Read `dispatch-mcp trace r --view results`, then `dispatch-mcp steer retry r ask`, task by task.",
        ),
        (
            NextStep(StepKind.DECIDE, "r", ("gate",)),
            "A person has to decide: gate. Say so with `dispatch-mcp approve r` (or --reject).",
        ),
        (NextStep(StepKind.LIST_TASKS), "`dispatch-mcp status RUN` lists its tasks."),
        (NextStep(StepKind.READ_RUN), "Read one with `dispatch-mcp status RUN`."),
        (
            NextStep(StepKind.MEND, "r", plan="p"),
            (
                "`dispatch-mcp run p` has the owners mend the findings, then review the change again with --after 'r'; "
                "only a person can waive one: `dispatch-mcp waive r FINDING --reason WHY`."
            ),
        ),
        (
            NextStep(StepKind.NAME_CHANGE, advice="Nothing was reviewed."),
            NAME_CHANGE,
        ),
    ],
    ids=lambda value: value.kind.value if isinstance(value, NextStep) else "",
)
def test_a_step_reads_as_a_sentence_with_the_command_to_type(step: NextStep, text: str) -> None:
    assert shell_wording.words(step) == text


def test_several_failures_are_settled_task_by_task() -> None:
    text = shell_wording.words(NextStep(StepKind.SETTLE_FAILURES, "r", ("a", "b")))
    assert "steer retry r TASK" in text


def test_changes_that_wait_come_with_the_command_that_takes_them_over() -> None:
    text = shell_wording.words(NextStep(StepKind.READ_RESULTS, "r7", has_changes=True))
    assert text.endswith("comes into the checkout with `dispatch-mcp apply r7`, unless it is there by now.")


@given(st.sampled_from(StepKind), st.text(max_size=30), st.lists(st.text(max_size=8), max_size=9), st.integers(0, 500))
def test_no_value_of_a_step_is_without_words(kind: StepKind, run: str, tasks: list[str], count: int) -> None:
    assert shell_wording.words(NextStep(kind, run, tuple(tasks), count)).strip()


TO_ASSISTANTS = re.compile(r"\b(?:tell|ask|remind|show|say so to|say it to) (?:the|your) users?\b", re.IGNORECASE)


def test_only_the_rooms_that_speak_to_assistants_tell_anybody_to_talk_to_the_user() -> None:
    package = Path(next_steps.__file__).parent
    texts: list[tuple[Path, str]] = []
    for path in package.rglob("*.py"):
        if path.relative_to(package).parts[0] not in ("mcp_server", "hooks"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            comments = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            constants = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in comments]
            texts += [(path.relative_to(package), str(node.value)) for node in constants]
    assert len(texts) > 1_000
    assert [(path, text) for path, text in texts if TO_ASSISTANTS.search(text)] == []
