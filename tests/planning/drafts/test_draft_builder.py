"""The worked examples (docs/rules.md#six-patterns, #groups), and what holds for any draft."""

from __future__ import annotations

import json
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.planning import plan_checks
from dispatch_mcp.planning.drafts import draft_builder, patterns, skeletons

AGENTS = Path(__file__).parents[3] / "agents"
LEAD, TEAM, PAIR = (loader.load(AGENTS / name) for name in ("example-backend-lead", "orchestration", "dispatch"))
CART = [
    ("schema", (), ()),
    ("api", (), ()),
    ("backend", ("schema", "api"), ()),
    ("ui", ("api",), ()),
    ("payment", ("backend",), ()),
    ("test", ("ui", "payment"), ()),
]


def groups(made: draft_builder.Draft) -> list[list[str]]:
    """Returns the agents of each group, sorted."""
    agents = {task.id: task.agent or "" for task in made.tasks}
    return [sorted(agents[name] for name in group) for group in skeletons.groups(made.tasks)]


def test_a_bug_in_one_domain_is_for_one_specialist() -> None:
    made = draft_builder.draft("Fix bug trong budget tracking", LEAD)
    assert (made.pattern, groups(made)) == ("single", [["agentic-agent"]])
    assert "single agent is better" in made.next


def test_trouble_without_a_place_is_looked_into_from_three_sides() -> None:
    made = draft_builder.draft("Performance issue khi gọi HPSM", LEAD)
    assert made.pattern == "parallel-investigation"
    assert groups(made) == [["agentic-agent", "hpsm-agent", "mongodb-agent"], [""]]


def test_steps_come_in_the_order_of_the_request_and_the_answer_says_so() -> None:
    made = draft_builder.draft("Thêm retry mechanism cho HPSM và log failures vào MongoDB", LEAD)
    assert (made.pattern, groups(made)) == ("sequential-handoff", [["hpsm-agent"], ["mongodb-agent"]])
    assert "steps in the order of the request" in made.assumed


def test_a_concept_of_another_specialist_is_asked_about_first() -> None:
    made = draft_builder.draft("Implement cost tracking cho HPSM API calls", LEAD)
    assert (made.pattern, groups(made)) == ("consultation", [["agentic-agent"], ["hpsm-agent"]])
    assert [task.model for task in made.tasks] == ["haiku", "opus"]
    assert any("swap" in assumption for assumption in made.assumed)


def test_one_change_in_two_servers_has_a_contract_and_a_comparison() -> None:
    made = draft_builder.draft("Refactor middleware chain ở cả ask-it-server và gateway-server", LEAD)
    assert made.pattern == "parallel-implementation"
    assert groups(made)[1] == ["gateway-agent", "middleware-agent"]
    assert [len(group) for group in groups(made)] == [1, 2, 1]


def test_a_feature_across_the_system_has_a_base_integrations_and_a_check() -> None:
    made = draft_builder.draft("Add comprehensive audit logging across the system", LEAD)
    first, middle, last = groups(made)
    assert (made.pattern, first, last) == ("phased-rollout", ["mongodb-agent"], ["mongodb-agent"])
    assert len(middle) == 3
    assert {"hpsm-agent", "pattern-agent"} <= set(middle)


def test_three_nodes_are_generated_beside_each_other() -> None:
    made = draft_builder.draft(
        "Generate three ONEX Effect nodes for database operations: user writer, product reader, and order updater", PAIR
    )
    assert made.pattern == "parallel-implementation"
    assert groups(made)[1] == ["coder"] * 3


def test_a_finding_comes_before_its_repair() -> None:
    made = draft_builder.draft("Investigate why authentication is failing, then generate a fixed version", PAIR)
    assert made.pattern == "sequential-handoff"
    assert [task.model for task in made.tasks] == ["sonnet", "opus"]
    assert made.tasks[0].agent == "debug"


def test_two_different_acts_in_parallel_wait_for_nothing() -> None:
    made = draft_builder.draft("Debug the existing API endpoint AND generate a new caching layer in parallel", PAIR)
    assert made.pattern == "parallel-implementation"
    assert groups(made) == [["coder", "debug"]]


@pytest.mark.parametrize(
    ("request_text", "experts"),
    [
        ("Add shopping cart to e-commerce site", {"e-commerce-specialist"}),
        ("Build a payment system", {"payment-expert", "frontend-developer"}),
    ],
)
def test_a_large_feature_is_researched_planned_and_carried_out(request_text: str, experts: set[str]) -> None:
    made = draft_builder.draft(request_text, TEAM)
    assert made.pattern == "phased-rollout"
    assert experts <= set(groups(made)[0])
    assert skeletons.groups(made.tasks)[1:3] == [["plan"], ["base"]]


def test_a_slow_site_is_looked_into_from_four_sides() -> None:
    made = draft_builder.draft("Site is slow, fix performance", TEAM)
    assert made.pattern == "parallel-investigation"
    assert len(groups(made)[0]) == 4
    assert {"performance-expert", "frontend-developer", "devops"} <= set(groups(made)[0])
    assert {"database-expert", "database-optimizer"} & set(groups(made)[0])


def test_the_cart_runs_in_the_four_groups_of_its_example() -> None:
    tasks = [model.Task(id=name, do=f"do {name}", deps=deps) for name, deps, _ in CART]
    prepared = plan_checks.prepare(tasks, max_parallel=5)
    assert [set(wave) for wave in prepared.waves] == [{"schema", "api"}, {"backend", "ui"}, {"payment"}, {"test"}]


def test_server_and_client_of_one_interface_begin_with_the_interface() -> None:
    made = draft_builder.draft("Add pagination in both the backend api and the mobile client", TEAM)
    first, middle, last = skeletons.groups(made.tasks)
    assert (first, len(middle), last) == (["contract"], 2, ["compare"])


def test_work_that_is_to_be_reviewed_until_approved_ends_with_a_person() -> None:
    made = draft_builder.draft("Rewrite the hero text, review and refine it until it is approved", TEAM)
    assert made.tasks[-1].worker == model.WorkerKind.HUMAN
    assert any("a person approves" in assumption for assumption in made.assumed)


def test_files_that_are_named_are_not_asked_for_again() -> None:
    made = draft_builder.draft("Fix the typo in docs/guide.md", TEAM)
    assert made.files == ("docs/guide.md",)
    assert "files" not in made.tasks[0].fill


@pytest.mark.parametrize("roster", [catalog.EMPTY, TEAM])
def test_where_no_pattern_is_likely_all_are_offered_with_what_each_needs(roster: catalog.Catalog) -> None:
    made = draft_builder.draft("hmm", roster)
    answer = draft_builder.answer(made)
    assert made.needs_human
    assert made.tasks == ()
    assert {offer["pattern"] for offer in answer["patterns"]} == {pattern.name for pattern in patterns.PATTERNS}
    assert all(offer["when"] and offer["needs"] for offer in answer["patterns"])
    shares = [offer["share"] for offer in answer["patterns"]]
    assert shares == sorted(shares, reverse=True)
    assert "tasks" not in answer
    assert "ask the user" in answer["next"]


def test_a_draft_says_that_its_pattern_is_a_guess_and_which_is_next() -> None:
    made = draft_builder.draft("Site is slow, fix performance", TEAM)
    assert "guessed from words; next likely: " in made.assumed[0]
    assert not made.patterns


def test_what_the_request_does_not_name_is_a_placeholder_that_is_pointed_out() -> None:
    made = draft_builder.draft("Site is slow, fix performance", catalog.EMPTY)
    assert [task.id for task in made.tasks] == ["look-first-suspect", "conclude"]
    assert any("first-suspect" in assumption for assumption in made.assumed)


@pytest.mark.parametrize("roster", [LEAD, TEAM])
def test_an_answer_costs_forty_tokens_a_task_and_a_head(roster: catalog.Catalog) -> None:
    for request in ("Add shopping cart to e-commerce site", "Performance issue khi gọi HPSM"):
        said = draft_builder.answer(draft_builder.draft(request, roster))
        tasks = json.dumps(said["tasks"], ensure_ascii=False, separators=(",", ":"))
        assert len(tasks) / 4 <= 40 * len(said["tasks"])
        assert request not in json.dumps({**said, "why": []}, ensure_ascii=False)


@hypothesis.given(st.text(max_size=200))
@hypothesis.settings(max_examples=60)
def test_every_text_gets_a_draft_that_is_a_sound_graph_and_no_plan_to_run(text: str) -> None:
    made = draft_builder.draft(text, PAIR)
    plan = draft_builder.plan_of(made)
    assert plan.draft
    assert not plan.tasks or not plan_checks.check(
        plan.tasks, agents=None, models=("opus", "sonnet", "haiku", "inherit")
    )
    answer = draft_builder.answer(made)
    assert answer["draft"] is True
    assert bool(answer.get("tasks")) != bool(answer.get("patterns"))
