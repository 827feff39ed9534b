from __future__ import annotations

import re

import pytest

from dispatch_mcp import errors
from dispatch_mcp.agents import bundled_files, templates

TOOLS = frozenset(
    {"route_task", "plan_dag", "dispatch", "report", "review_council", "get_trace", "steer_run", "message_agents"}
)
ARGUMENTS = frozenset(
    {
        "plan_id",
        "run_id",
        "task_id",
        "request_key",
        "run_in_background",
        "depends_on",
        "timeout_s",
        "already_out",
        "pass_on",
    }
)
OF_HOSTS = frozenset({"failure_scenario"})
"""Arguments of tools that hosts have of their own."""
EXPECTED = frozenset(
    {
        "dispatch-task",
        "dispatch-task-example",
        "pattern-single",
        "pattern-parallel-investigation",
        "pattern-sequential-handoff",
        "pattern-consultation",
        "pattern-parallel-implementation",
        "pattern-phased-rollout",
        "orchestrate",
        "research-plan-execute",
        "review",
        "handoff",
        "resume",
        "routing-analysis",
        "subagent-activation",
        "results-report",
    }
)
TEMPLATES = bundled_files.all_templates()[0]
SNAKE = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")
pytestmark = pytest.mark.parametrize("name", sorted(TEMPLATES))


def filled(name: str, *, every: bool) -> str:
    template = TEMPLATES[name]
    return templates.render(
        template, {one.name: f"the-{one.name}" for one in template.arguments if every or one.required}
    )


def test_every_template_is_one_that_the_product_promises(name: str) -> None:
    assert name in EXPECTED
    assert TEMPLATES.keys() >= EXPECTED


def test_every_template_says_what_it_is_and_what_it_takes(name: str) -> None:
    template = TEMPLATES[name]
    assert template.title
    assert template.description.endswith(".")
    assert all(argument.description.endswith(".") for argument in template.arguments)
    required = [argument.required for argument in template.arguments]
    assert required == sorted(required, reverse=True), "clients pass arguments by position: required ones come first"


@pytest.mark.parametrize("every", [True, False])
def test_every_template_renders_with_all_and_with_only_the_required_arguments(name: str, *, every: bool) -> None:
    text = filled(name, every=every)
    given = [one.name for one in TEMPLATES[name].arguments if every or one.required]
    assert all(f"the-{argument}" in text for argument in given)
    assert "{{" not in text
    assert "{%" not in text
    assert "\n\n\n" not in text
    assert all(len(line) <= 160 for line in text.splitlines() if not line.lstrip().startswith('"'))
    assert len(text) < 4_000


def test_every_template_names_only_tools_that_exist(name: str) -> None:
    assert set(SNAKE.findall(filled(name, every=True))) <= TOOLS | ARGUMENTS | OF_HOSTS


def test_a_template_that_has_files_written_asks_for_proof(name: str) -> None:
    text = filled(name, every=True)
    plans_writing = "`plan_dag` with" in text or "`plan_dag`: tasks" in text or "`plan_dag` it reads" in text
    only_reads = {"pattern-parallel-investigation"}
    assert name in only_reads or not plans_writing or "acceptance" in text


def test_every_template_fails_on_a_missing_argument(name: str) -> None:
    required = [argument.name for argument in TEMPLATES[name].arguments if argument.required]
    given = dict.fromkeys(required[1:], "x")
    if required:
        with pytest.raises(errors.InputError, match=required[0]):
            templates.render(TEMPLATES[name], given)


def test_every_pattern_says_how_to_carry_it_out_with_the_tools(name: str) -> None:
    if name.startswith("pattern-") or name in {"orchestrate", "research-plan-execute", "dispatch-task"}:
        text = filled(name, every=True)
        assert all(f"`{tool}`" in text for tool in ("plan_dag", "dispatch", "report"))


@pytest.mark.promise("S13")
def test_template_syntax_in_an_argument_stays_literal(name: str) -> None:
    template = TEMPLATES[name]
    text = templates.render(template, {argument.name: "{{7*7}}" for argument in template.arguments})
    assert "49" not in text
    assert text.count("{{7*7}}") >= len(template.arguments)
