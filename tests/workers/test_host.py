from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import assignments, work_order
from dispatch_mcp.runs import prompt_builder
from dispatch_mcp.workers import host

NONCE = "k7f3q9x2m4"
REF = "dispatch://runs/r1/tasks/api/prompt"


def work(**changes: object) -> work_order.WorkOrder:
    task = {"id": "api", "do": "Create the user registration endpoint with tests", "agent": "eng-backend"} | changes
    return work_order.WorkOrder(
        run_id="r1",
        task=model.Task.model_validate(task),
        attempt=2,
        worker=model.WorkerKind.HOST,
        agent_prompt="You are a backend engineer.",
        model="claude-opus-5-5",
    )


def prompt(of: work_order.WorkOrder) -> prompt_builder.Prompt:
    return prompt_builder.build(of, nonce=NONCE)


def test_an_installed_subagent_is_called_by_its_name_and_not_told_who_it_is() -> None:
    made = host.assignment(
        work(), prompt(work()), known_subagents={"eng-backend"}, lease_until=1_800.0, background=True
    )
    assert made.call.model_dump() == {
        "subagent_type": "eng-backend",
        "model": "opus",
        "description": "Create the user registration endpoint with",
        "prompt": prompt(work()).text,
        "run_in_background": True,
    }
    assert (made.run_id, made.task_id, made.attempt, made.lease_until) == ("r1", "api", 2, 1_800.0)


def test_without_the_subagent_a_general_one_plays_the_role() -> None:
    made = host.assignment(work(), prompt(work()), known_subagents=())
    assert made.call.subagent_type == "general-purpose"
    assert made.call.prompt.startswith("## ROLE\nYou are a backend engineer.\n\n## GOAL\n")
    assert made.agent == "eng-backend"
    assert prompt_builder.parse(made.call.prompt) == prompt(work()).with_role("You are a backend engineer.")


def test_a_subagent_of_a_plugin_is_found_under_its_prefix_when_only_one_plugin_has_it() -> None:
    assert host.installed_name("eng-backend", {"dispatch:eng-backend"}) == "dispatch:eng-backend"
    assert host.installed_name("eng-backend", {"a:eng-backend", "b:eng-backend"}) == ""
    assert host.installed_name("eng-backend", {"a:eng-backend", "eng-backend"}) == "eng-backend"
    assert host.installed_name("b/eng-backend", {"a:eng-backend", "b:eng-backend"}) == "b:eng-backend"
    assert host.installed_name(None, {"eng-backend"}) == ""


def test_a_long_prompt_goes_by_reference_and_its_pointer_says_how_to_get_it() -> None:
    long = work(constraints=["x" * assignments.INLINE_LIMIT])
    made = host.assignment(long, prompt(long), known_subagents=(), prompt_ref=REF)
    assert made.prompt_ref == REF
    assert REF in made.call.prompt
    assert "Create the user registration endpoint" in made.call.prompt
    assert len(made.call.prompt) < 1_000


def test_a_long_prompt_stays_inline_when_asked_or_when_there_is_no_reference() -> None:
    long = work(constraints=["x" * assignments.INLINE_LIMIT])
    whole = prompt(long).with_role("You are a backend engineer.").text
    asked = host.assignment(long, prompt(long), known_subagents=(), prompt_ref=REF, inline=True)
    nowhere = host.assignment(long, prompt(long), known_subagents=())
    assert (asked.call.prompt, asked.prompt_ref) == (whole, "")
    assert (nowhere.call.prompt, nowhere.prompt_ref) == (whole, "")


def test_a_short_prompt_needs_no_reference() -> None:
    assert host.assignment(work(), prompt(work()), known_subagents=(), prompt_ref=REF).prompt_ref == ""


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("opus", "opus"),
        ("claude-sonnet-5-5", "sonnet"),
        ("Haiku", "haiku"),
        ("claude-fable-5-2", "fable"),
        ("gpt-5", None),
        ("magnum-opusculum", None),
        ("", None),
        (None, None),
    ],
)
def test_the_call_names_models_as_the_host_does(name: str | None, alias: str | None) -> None:
    assert host.alias(name) == alias


@pytest.mark.parametrize(
    ("goal", "description"),
    [
        ("Fix the bug in budget tracking, then test it", "Fix the bug in budget tracking"),
        ("Fix", "Task api: Fix"),
        ("!!!", "Task api: as planned"),
        ("Check src/auth/login.ts and report.", "Check src/auth/login.ts and report"),
    ],
)
def test_a_description_is_a_few_words_of_the_goal(goal: str, description: str) -> None:
    assert host.description(work(do=goal)) == description


@given(st.text())
def test_a_description_has_three_to_six_visible_words_for_any_goal(goal: str) -> None:
    description = host.description(work(do=goal))
    assert 3 <= len(description.split(" ")) <= 6
    assert description.isprintable()


def test_a_host_without_subagents_is_told_what_to_do_and_how_to_report() -> None:
    instructions = host.assignment(work(), prompt(work()), known_subagents=()).instructions
    assert "Do it yourself" in instructions
    assert "call report with task_id" in instructions
    assert "task_id 'api', attempt 2" in instructions
    assert len(instructions) < 250


def test_a_host_that_may_lack_the_subagent_is_told_to_say_so() -> None:
    one = host.assignment(work(), prompt(work()), known_subagents={work().task.agent or ""})
    assert f"No {one.call.subagent_type!r} here? Report that refusal as failed" in one.instructions
    assert len(one.instructions) < 330


def test_an_assignment_survives_the_wire() -> None:
    made = host.assignment(work(), prompt(work()), known_subagents=())
    assert type(made).model_validate_json(made.model_dump_json()) == made
