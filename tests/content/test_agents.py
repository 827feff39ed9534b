"""The shipped rosters: every file parses, and says what its part of the catalogue promises."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from dispatch_mcp import model
from dispatch_mcp.review import answer_form

ROOT = Path(__file__).parents[2]
AGENTS = ROOT / "agents"
FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n(.*)\Z", re.DOTALL)

COUNTS = {
    "backend": 8,
    "dispatch": 2,
    "example-backend-lead": 6,
    "orchestration": 14,
    "reviewers": 7,
    "host": 3,
    "engineering": 8,
    "operations": 8,
    "business": 8,
    "data": 3,
    "product": 3,
    "growth": 4,
    "review": 3,
    "coordination": 4,
}
DOMAINS = {
    "engineering": 8,
    "operations": 8,
    "business": 8,
    "data": 3,
    "product": 3,
    "growth": 4,
    "review": 3,
    "orchestration": 4,
}
MODELS = {"opus", "sonnet", "haiku"}
TOOLS = {"Read", "Grep", "Glob", "Edit", "Write", "Bash"}
FACETS = {"frontend", "backend", "database", "infrastructure", "docs", "tests"}
KEYS = {
    "name": str,
    "description": str,
    "model": str,
    "tools": str,
    "domain": str,
    "priority": int,
    "fallback": bool,
    "knowledge": str,
    "aliases": list,
    "keywords": list,
    "examples": list,
    "capabilities": list,
    "receives": list,
    "excludes": list,
    "inputs": dict,
    "focus": str,
    "subject": str,
    "always": bool,
    "when": str,
    "triggers": dict,
    "path_triggers": dict,
}
FALLBACKS = {"backend": "backend-overview-architect", "orchestration": "project-analyst", "host": "general-purpose"}

BACKEND_KEYWORDS = {
    "auth-system-architect": (
        "jwt token login logout authentication auth password security session cookie authorize permission lockout "
        "signin signup"
    ),
    "database-architect": (
        "database db model sqlalchemy query migration table schema relationship orm sql postgres sqlite"
    ),
    "api-endpoints-architect": "endpoint api route rest get post put delete request response json status http cors",
    "user-management-architect": ("user users profile role manager team crud create update delete search filter admin"),
    "services-architect": "service email ai openai gemini smtp integration external api-key webhook mail",
    "config-architect": ("config environment env settings variable production development staging deployment secret"),
    "troubleshooting-architect": ("debug error fix bug issue problem crash failure exception trace logs 500 404 401"),
    "backend-overview-architect": "architecture overview structure design pattern general help",
}
REVIEWERS = {
    "security-sentinel",
    "performance-oracle",
    "architecture-strategist",
    "test-coverage-auditor",
    "dependency-analyst",
    "legacy-healing-auditor",
}
FILES = sorted(AGENTS.rglob("*.md"))


def front(path: Path) -> dict[str, Any]:
    match = FRONT_MATTER.match(path.read_text(encoding="utf-8"))
    assert match, f"{path} has no front matter"
    header: dict[str, Any] | None = yaml.safe_load(match[1])
    assert header
    return header


def body(path: Path) -> str:
    match = FRONT_MATTER.match(path.read_text(encoding="utf-8"))
    assert match, f"{path} has no front matter"
    return match[2].strip()


def roster(name: str) -> dict[str, dict[str, Any]]:
    return {path.stem: front(path) for path in FILES if path.parent.name == name or path.parts[-3] == name}


@pytest.fixture(params=FILES, ids=[f"{path.parent.name}/{path.stem}" for path in FILES])
def agent(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_every_roster_has_the_promised_number_of_agents() -> None:
    assert Counter(path.parent.name for path in FILES) == COUNTS


def test_the_name_is_the_name_of_the_file(agent: Path) -> None:
    assert front(agent)["name"] == agent.stem


def test_only_known_keys_of_the_right_type_are_used(agent: Path) -> None:
    wrong = {key: value for key, value in front(agent).items() if not isinstance(value, KEYS.get(key, ()))}
    assert not wrong


def model_is_ours(path: Path) -> bool:
    """Returns whether the model is ours to choose: the host's own types run on whatever the host gives them."""
    return path.parent.name != "host"


def test_the_description_is_one_short_line(agent: Path) -> None:
    description = front(agent)["description"]
    assert 40 <= len(description) <= 400
    assert "\n" not in description


def test_model_tools_and_facets_are_known(agent: Path) -> None:
    header = front(agent)
    assert header["model"] in MODELS if model_is_ours(agent) else "model" not in header
    assert set(header["tools"].split(", ")) <= TOOLS
    assert set(header["receives"]) <= FACETS
    assert set(header.get("excludes", ())) <= FACETS - set(header["receives"])


def test_keywords_and_examples_are_distinct_text(agent: Path) -> None:
    header = front(agent)
    for key in ("keywords", "examples", "capabilities", "aliases"):
        words = header.get(key, [])
        assert all(isinstance(word, str) and word.strip() == word for word in words)
        assert len({word.casefold() for word in words}) == len(words), f"{key} repeats itself"
    assert header["keywords"]


def test_the_body_says_enough_without_flooding_the_context(agent: Path) -> None:
    assert 1_200 <= len(body(agent)) <= 3_200


def test_the_named_knowledge_document_exists(agent: Path) -> None:
    named = front(agent).get("knowledge")
    assert named is None or (ROOT / named).is_file()


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_a_roster_has_at_most_one_fallback(name: str) -> None:
    found = [agent for agent, header in roster(name).items() if header.get("fallback")]
    assert found == ([FALLBACKS[name]] if name in FALLBACKS else [])


@pytest.mark.parametrize("name", sorted(COUNTS.keys() - {"example-backend-lead", "orchestration"}))
def test_no_example_belongs_to_two_agents_of_one_roster(name: str) -> None:
    examples = Counter(example for header in roster(name).values() for example in header.get("examples", ()))
    assert [example for example, times in examples.items() if times > 1] == []


def test_the_roles_cover_eight_domains() -> None:
    assert Counter(header["domain"] for header in roster("roles").values()) == DOMAINS


def test_backend_specialists_carry_the_documented_keywords() -> None:
    agents = roster("backend")
    assert agents.keys() == BACKEND_KEYWORDS.keys()
    for name, documented in BACKEND_KEYWORDS.items():
        words = documented.split()
        assert agents[name]["keywords"][: len(words)] == words


def test_backend_ties_go_to_auth_then_database_then_troubleshooting() -> None:
    agents = roster("backend")
    ranked = sorted(agents, key=lambda name: -agents[name]["priority"])
    assert ranked[:3] == ["auth-system-architect", "database-architect", "troubleshooting-architect"]
    assert agents[ranked[2]]["priority"] > agents[ranked[3]]["priority"]


def test_backend_specialists_name_their_own_document() -> None:
    documents = [header["knowledge"] for header in roster("backend").values()]
    assert len(set(documents)) == len(documents)


def test_backend_examples_are_the_triggers_and_worked_examples() -> None:
    assert sum(len(header["examples"]) for header in roster("backend").values()) == 47


def test_coder_and_debug_describe_their_inputs() -> None:
    agents = roster("dispatch")
    coder, debug = agents["coder"]["inputs"], agents["debug"]["inputs"]
    assert coder["properties"]["node_type"]["enum"] == ["Effect", "Compute", "Reducer", "Orchestrator"]
    assert coder["properties"]["validation_level"]["enum"] == ["strict", "moderate", "lenient"]
    assert debug["properties"]["analysis_depth"]["enum"] == ["quick", "standard", "deep"]
    for schema in (coder, debug):
        assert set(schema["required"]) <= schema["properties"].keys()
        assert "pre_gathered_context" in schema["properties"]


def test_there_are_six_reviewers_and_a_devils_advocate() -> None:
    assert roster("reviewers").keys() == REVIEWERS | {"devils-advocate"}


def test_every_review_uses_sonnet_and_only_reads() -> None:
    reviews = roster("reviewers") | {k: v for k, v in roster("roles").items() if v["domain"] == "review"}
    assert {header["model"] for header in reviews.values()} == {"sonnet"}
    assert not {"Edit", "Write"} & {tool for header in reviews.values() for tool in header["tools"].split(", ")}


def test_only_the_architecture_strategist_sits_in_every_round() -> None:
    assert [name for name, header in roster("reviewers").items() if header.get("always")] == ["architecture-strategist"]


def test_reviewers_weigh_their_triggers() -> None:
    for name in REVIEWERS:
        header = roster("reviewers")[name]
        for weights in (header["triggers"], header["path_triggers"]):
            assert weights
            assert all(isinstance(word, str) and isinstance(weight, int) for word, weight in weights.items())
            assert all(1 <= weight <= 8 for weight in weights.values())


def test_reviewers_share_one_answer_form() -> None:
    paths = [*(AGENTS / "reviewers").glob("*.md"), *(AGENTS / "roles" / "review").glob("*.md")]
    answers = {body(path).partition("## Answer\n")[2] for path in paths}
    assert len(answers) == 1
    assert answers.pop().startswith(f"{answer_form.FORM}\n\n")


def test_reviewers_say_what_each_severity_means() -> None:
    for path in (AGENTS / "reviewers").glob("*.md"):
        assert all(f"- **{severity}**: " in body(path) for severity in ("critical", "high", "medium", "low"))


def test_the_coordinator_names_every_kind_of_message_that_the_server_carries() -> None:
    text = " ".join(body(AGENTS / "roles" / "coordination" / "orch-coordinator.md").split())
    kinds = re.search(r"kind \(([^)]+)\)", text)
    assert kinds
    assert set(re.split(r", | or ", kinds[1])) == set(get_args(model.MessageKind))


def test_the_planner_writes_tasks_in_fields_that_a_plan_has() -> None:
    deliver = body(AGENTS / "roles" / "coordination" / "orch-planner.md").partition("## Deliver\n")[2]
    fields = re.findall(r"`(\w+)`", deliver)
    assert {"id", "do", "deps", "acceptance"} <= set(fields) <= model.task_fields().keys()
