"""A small model chooses among the agents that are offered where no assistant does; else the words of a task decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import command_runs
import fake_provider
import pytest

from dispatch_mcp.planning import agent_choice
from dispatch_mcp.routing import offers
from dispatch_mcp.workers.anthropic import agent_chooser

LEFTOVERS: Final = {"id": "left", "do": "Sort out the leftovers"}
RECIPE: Final = {"id": "cook", "do": "Write the recipe for tomorrow's soup"}
QUESTIONS: Final = (
    agent_choice.Question("left", LEFTOVERS["do"], (offers.OfferedAgent(agent="a b"), offers.OfferedAgent(agent="c"))),
    agent_choice.Question("cook", RECIPE["do"], (offers.OfferedAgent(agent="c"),)),
)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


@pytest.fixture
def document(tmp_path: Path) -> str:
    return command_runs.written(tmp_path, [LEFTOVERS, RECIPE])


@pytest.fixture
def asking(provider: fake_provider.Provider, monkeypatch: pytest.MonkeyPatch) -> fake_provider.Provider:
    monkeypatch.setenv("ANTHROPIC_API_KEY", fake_provider.KEY)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.url)
    monkeypatch.setenv("DISPATCH_MCP_ROUTE_WITH", "model")
    return provider


def answers(provider: fake_provider.Provider, step: dict[str, Any]) -> None:
    provider.rules({"match": {"user": "You give tasks to agents"}, "steps": [step]})


def agents(answer: command_runs.Said) -> dict[str, str]:
    assert answer.code == 0, answer.err
    return {name: task["agent"] for name, task in answer.json["tasks"].items() if name != "*"}


def test_the_form_allows_only_the_names_that_are_offered() -> None:
    form = agent_chooser.schema(QUESTIONS)
    assert form["properties"] == {
        "left": {"type": "string", "enum": ["a b", "c"]},
        "cook": {"type": "string", "enum": ["c"]},
    }
    assert form["required"] == ["left", "cook"]
    assert form["additionalProperties"] is False


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ('{"left": "c", "cook": "c"}', {"left": "c", "cook": "c"}),
        ('{"left": "a b", "cook": "root"}', {"left": "a b"}),
        ('{"left": 3, "other": "c"}', {}),
        ('["c"]', {}),
        ("c", {}),
        ("", {}),
        ("[" * 9_000, {}),
    ],
)
def test_only_names_that_were_offered_are_choices(text: str, choices: dict[str, str]) -> None:
    assert agent_chooser.read(text, QUESTIONS) == choices


def test_a_model_chooses_for_all_unsure_tasks_in_one_request_with_the_offered_names(
    shell: command_runs.Shell, asking: fake_provider.Provider, document: str
) -> None:
    answers(asking, {"json": {"left": "general-purpose", "cook": "Plan"}})
    first = shell("plan", document, "--json")
    (request,) = asking.requests()
    body = request["body"]
    assert "haiku" in body["model"]
    names = body["output_config"]["format"]["schema"]["properties"]["cook"]["enum"]
    assert len(names) <= 5
    chosen = names[1]
    assert agents(first)["left"] == "general-purpose"
    answers(asking, {"json": {"left": "general-purpose", "cook": chosen}})
    again = command_runs.written(Path(document).parent, [LEFTOVERS, RECIPE], max_workers=2)
    answer = shell("plan", again, "--json")
    assert agents(answer)["cook"] == chosen
    assert answer.json["tasks"]["cook"]["by"] == "model"


@pytest.mark.parametrize(
    "step",
    [
        {"error": 500},
        {"error": 401},
        {"text": "I would rather not."},
        {"json": {"left": "nobody-here", "cook": 7}},
        {"text": "x", "stop_reason": "refusal"},
        {"text": "x", "ends_at": "message_start"},
        {"text": "x", "ends_at": "message_delta"},
    ],
    ids=["fault", "no key", "words", "other names", "refusal", "nothing", "no end"],
)
def test_whatever_fails_leaves_the_choice_to_the_words(
    shell: command_runs.Shell,
    asking: fake_provider.Provider,
    document: str,
    monkeypatch: pytest.MonkeyPatch,
    step: dict[str, Any],
) -> None:
    answers(asking, step)
    answer = shell("plan", document, "--json")
    assert asking.requests()
    monkeypatch.setenv("DISPATCH_MCP_ROUTE_WITH", "words")
    plain = shell("plan", document, "--json")
    assert agents(answer) == agents(plain)
    assert all(agents(answer).values())


def test_the_words_alone_choose_unless_the_setting_says_so_and_there_is_a_key(
    shell: command_runs.Shell, asking: fake_provider.Provider, document: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert all(agents(shell("plan", document, "--json")).values())
    monkeypatch.setenv("ANTHROPIC_API_KEY", fake_provider.KEY)
    monkeypatch.delenv("DISPATCH_MCP_ROUTE_WITH")
    assert all(agents(shell("plan", document, "--json")).values())
    assert asking.requests() == []


@pytest.mark.parametrize(("tokens", "begins"), [(10, True), (999_000, False)])
def test_what_choosing_cost_counts_in_the_ceiling_of_the_run(
    shell: command_runs.Shell,
    asking: fake_provider.Provider,
    document: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    tokens: int,
    begins: bool,
) -> None:
    choices = {"left": "general-purpose", "cook": "general-purpose"}
    answers(asking, {"json": choices, "usage": {"input_tokens": tokens}})
    assert shell("plan", document, "--json").code == 0
    assert len(asking.requests()) == 1
    monkeypatch.setenv("DISPATCH_MCP_MAX_TOKENS", "1000000")
    shell("run", document, "--worker", "api", "--quiet")
    assert (len(asking.requests()) > 1) == begins
