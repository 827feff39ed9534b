"""What hosts say of subagents that they do not have, in their own forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.model import agent_refusals

CALLED = ("db-expert", "general-purpose")
MISSING = "Agent type 'x' not found."
FORMS = (
    "Agent type 'db-expert' not found. Available agents: general-purpose, Explore",
    "Error: Agent type 'db-expert' not found.",
    "Agent type 'db-expert' has been denied by permission rule 'Agent(db-expert)' from userSettings.",
    "<tool_use_error>Agent type 'db-expert' not found. Available agents: Explore</tool_use_error>",
    "Unknown agent type: db-expert is not a valid agent type",
    "Task Error: Unknown agent type: db-expert is not a valid agent type",
    "unknown agent_type 'db-expert'",
    "agent type 'db-expert' is currently not available",
    "Invalid subagent_type: `db-expert`. Must be one of: generalPurpose, explore",
    "Invalid enum value. Expected 'generalPurpose' | 'explore', received 'db-expert'",
    'Agent "db-expert" is a primary agent and cannot be invoked as a subagent.',
    "Subagent db-expert does not exist",
    "Subagent 'db-expert' could not be found.",
    "No agent named db-expert is registered",
    "No such agent: db-expert",
    "There is no subagent type 'db-expert' here",
    "'db-expert' is not a valid subagent_type",
    "The Task tool refused the call: Agent type “db-expert” not found",
    "I could not start anybody. The host says that agent type db-expert is unavailable.",
)


@pytest.mark.parametrize("text", FORMS)
def test_a_host_that_has_no_such_subagent_is_understood(text: str) -> None:
    refusal = agent_refusals.read(text, CALLED)
    assert refusal is not None
    assert refusal.name == "db-expert"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (FORMS[0], ("general-purpose", "Explore")),
        (f"{MISSING} Available agents: claude, plan (Tools: *, x), a:b", ("claude", "plan", "a:b")),
        ("Invalid subagent_type: x. Must be one of: generalPurpose, explore", ("generalPurpose", "explore")),
        ("subagent_type: Invalid enum value. Expected 'plan' | 'shell', received 'x'", ("plan", "shell")),
        ("Unknown agent type: x is not a valid agent type", ()),
        ("Agent 'x' not found. Available agents: ['a', 'b']", ("a", "b")),
    ],
)
def test_the_subagents_that_a_host_lists_are_read(text: str, names: tuple[str, ...]) -> None:
    refusal = agent_refusals.read(text, CALLED)
    assert refusal is not None
    assert refusal.available == names


def test_a_list_of_what_is_allowed_counts_without_the_name_that_was_refused() -> None:
    text = (
        "I tried subagent_type: db-expert. The tool rejected it: Invalid enum value. Allowed values are: shell, explore"
    )
    assert agent_refusals.read(text, CALLED) == agent_refusals.AgentRefusal("", ("shell", "explore"))
    assert agent_refusals.read(text, ("other",)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3 tests failed",
        "The login test fails: user agent 'Mozilla' not found in the table",
        "AssertionError: unknown agent type: robot",
        "No agent can do this",
        "Invalid agent output",
        "no agent was needed",
        "Agent failed: no connection",
        "Invalid enum value. Expected 'red' | 'green', received 'blue'",
        "I fixed the message. It said that agent type robot was not found.",
        "The agent is not available in the office",
    ],
)
def test_work_that_speaks_of_agents_of_its_own_is_no_refusal(text: str) -> None:
    assert agent_refusals.read(text, CALLED) is None


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("Explore", "explore", True),
        ("plugin:coder", "coder", True),
        ("coder", "team:coder", True),
        ("coder", "decoder", False),
        ("", "coder", False),
    ],
)
def test_names_are_the_same_whatever_their_case_and_prefix(name: str, other: str, same: bool) -> None:  # noqa: FBT001
    assert agent_refusals.is_same(name, other) is same


@given(st.text(max_size=400), st.sampled_from(FORMS))
def test_any_text_can_be_read_and_what_stands_behind_a_refusal_changes_nothing_of_its_name(
    noise: str, form: str
) -> None:
    agent_refusals.read(noise, CALLED)
    refusal = agent_refusals.read(f"{form}\n\n{noise}", CALLED)
    assert refusal is not None
    assert refusal.name == "db-expert"


@pytest.mark.parametrize(
    "prefix", ["", "Error: ", "  ✗ ", "Task failed: ", "**Error**: ", "The Agent tool refused it: "]
)
@pytest.mark.parametrize("form", FORMS[:6])
def test_what_a_host_puts_before_the_sentence_does_not_hide_it(prefix: str, form: str) -> None:
    refusal = agent_refusals.read(prefix + form)
    assert refusal is not None
    assert refusal.name == "db-expert"


@pytest.mark.parametrize("form", FORMS)
def test_a_refusal_is_read_whatever_its_case(form: str) -> None:
    refusal = agent_refusals.read(form.upper(), CALLED)
    assert refusal is not None
    assert refusal.name.casefold() == "db-expert"


def test_a_refusal_further_in_counts_only_for_a_name_that_was_called() -> None:
    text = "I tried to start somebody for this. Agent type 'db-expert' not found."
    assert agent_refusals.read(text) is None
    assert agent_refusals.read(text, ("other",)) is None
    assert agent_refusals.read(text, ("my:db-expert",)) == agent_refusals.AgentRefusal("db-expert")


def test_a_long_list_of_subagents_is_read_up_to_a_bound() -> None:
    names = [f"agent-{number}" for number in range(agent_refusals.MOST_NAMES + 50)]
    refusal = agent_refusals.read(f"{MISSING} Available agents: {', '.join(names)}")
    assert refusal is not None
    assert refusal.available == tuple(names[: agent_refusals.MOST_NAMES])


def test_the_name_that_is_refused_is_never_among_those_that_are_there() -> None:
    refusal = agent_refusals.read(f"{MISSING} Available agents: x, y")
    assert refusal == agent_refusals.AgentRefusal("x", ("y",))


@pytest.mark.parametrize(
    ("name", "own"),
    [("Debugger", "debugger"), ("mine:debugger", "debugger"), ("writer", ""), ("", "")],
)
def test_a_subagent_is_called_by_the_name_that_its_host_has_for_it(name: str, own: str) -> None:
    refusal = agent_refusals.AgentRefusal("writer", ("general", "debugger"))
    assert refusal.own_name(name) == own
