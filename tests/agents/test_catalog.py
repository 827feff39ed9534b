from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.agents import catalog, frontmatter
from dispatch_mcp.routing import agent_index

PLAIN = """---
name: tester
description: Writes tests.
tools: Read, Grep
model: opus
keywords: [pytest, coverage]
examples:
  - Write tests for the parser
priority: high
fallback: true
flavour: vanilla
---
You are a tester.
"""

DIALOGUE = """---
name: joker
description: Use this agent when spirits are low. Examples:

<example>
Context: A long day
user: "We need some humour: now"
assistant: "I'll tell a joke"
</example>
color: yellow
tools: Write, Read
---
Body here.
"""


def read(text: str, layer: catalog.Layer = "user", **more: object) -> catalog.Agent:
    return catalog.read_agent(text, path="/agents/some-name.md", layer=layer, roster="r", **more)  # type: ignore[arg-type] - test sugar


def agent(name: str, layer: catalog.Layer = "bundled", roster: str = "a", **more: object) -> catalog.Agent:
    trusted = layer not in catalog.UNTRUSTED
    return catalog.Agent.model_validate({"name": name, "layer": layer, "roster": roster, "trusted": trusted, **more})


def test_a_file_gives_its_name_purpose_body_and_keys() -> None:
    found = read(PLAIN)
    assert (found.name, found.description, found.body) == ("tester", "Writes tests.", "You are a tester.")
    assert found.tools == ("Read", "Grep")
    assert found.model == "opus"
    assert found.keywords == ("pytest", "coverage")
    assert found.examples == ("Write tests for the parser",)
    assert found.priority == 20
    assert found.fallback
    assert found.extra == {"flavour": "vanilla"}
    assert found.notes == ()


def test_front_matter_that_is_not_yaml_is_read_line_by_line() -> None:
    found = read(DIALOGUE)
    assert found.name == "joker"
    assert found.description == "Use this agent when spirits are low."
    assert found.examples == ("We need some humour: now",)
    assert found.tools == ("Write", "Read")
    assert "not YAML" in found.notes[0]


def test_an_empty_description_is_replaced_by_the_first_paragraph() -> None:
    found = read("---\nname: services\ndescription: |\nmodel: opus\n---\n# Title\n\nKnows outside services.\n\nMore.")
    assert found.description == "Knows outside services."
    assert found.model == "opus"


@pytest.mark.parametrize(
    "text", ["", "no header at all", "---\nname: x\nnever ends", "---\n- a\n- b\n---\nbody", "\ufeff---\r\n---"]
)
def test_a_file_without_a_usable_header_still_gives_an_agent(text: str) -> None:
    found = read(text)
    assert found.name
    assert found.notes


def test_a_missing_name_comes_from_the_file() -> None:
    assert read("---\ndescription: d\n---\nb").name == "some-name"


def test_aliases_that_would_unfold_are_not_followed() -> None:
    bomb = "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\ndescription: fine"
    header, notes = frontmatter.parse(bomb)
    assert header["description"] == "fine"
    assert notes


@pytest.mark.parametrize("nested", ["[" * 5_000, "{a: " * 5_000, "- " * 5_000])
def test_deep_nesting_is_read_line_by_line(nested: str) -> None:
    header, notes = frontmatter.parse(f"description: fine\nkeywords: {nested}")
    assert header["description"] == "fine"
    assert notes


@given(st.text(max_size=400))
def test_any_text_gives_an_agent(text: str) -> None:
    found = read(text, layer="project")
    assert found.name
    assert not found.trusted
    assert found.public()["name"] == found.name


@given(st.text(max_size=200))
def test_any_header_gives_json(header: str) -> None:
    found = read(f"---\n{header}\n---\nbody")
    assert catalog.Agent.model_validate_json(found.model_dump_json()) == found


@pytest.mark.promise("S7")
def test_a_project_file_holds_no_rights_until_its_digest_is_approved() -> None:
    asked = PLAIN.replace("priority: high", "permissionMode: bypassPermissions")
    doubted = read(asked, layer="project")
    assert not doubted.trusted
    assert (doubted.tools, doubted.model, doubted.permission_mode) == (None, "", "")
    assert doubted.asked["permission_mode"] == "bypassPermissions"
    approved = read(asked, layer="project", approved={doubted.sha256})
    assert approved.trusted
    assert approved.tools == ("Read", "Grep")
    assert approved.permission_mode == "bypassPermissions"


def test_a_stronger_layer_replaces_an_agent_of_the_same_name() -> None:
    known = catalog.of([agent("x"), agent("x", "user", "user", description="mine")])
    assert [found.qualified for found in known.agents] == ["user/x"]
    assert [found.qualified for found in known.shadowed] == ["a/x"]
    assert known.agent("x").description == "mine"


@pytest.mark.promise("S7")
def test_an_untrusted_agent_replaces_nobody() -> None:
    known = catalog.of([agent("x"), agent("x", "project", "project", description="evil")])
    assert known.agent("x").layer == "bundled"
    assert known.agent("project/x").description == "evil"


def test_names_that_repeat_in_a_layer_need_their_roster() -> None:
    known = catalog.of([agent("x", roster="a"), agent("x", roster="b")])
    assert known.keys == ("a/x", "b/x")
    assert known.find("x") is None
    with pytest.raises(errors.UnknownHandle, match="2 agents") as told:
        known.agent("x")
    assert "`a/x`" in told.value.hint


def test_a_bare_name_means_the_one_in_scope() -> None:
    known = catalog.of([agent("x", roster="a"), agent("x", roster="b")], scope={"b"})
    assert known.agent("x").roster == "b"
    assert known.keys == ("x",)


def test_an_alias_finds_its_agent_unless_somebody_has_that_name() -> None:
    known = catalog.of([agent("coder", aliases=["agent_coder", "debug"]), agent("debug")])
    assert known.agent("agent_coder").name == "coder"
    assert known.agent("debug").name == "debug"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(errors.UnknownHandle) as told:
        catalog.of([agent("database-architect")]).agent("databse-architect")
    assert "'database-architect'" in told.value.hint


def test_a_roster_alone_has_what_stronger_layers_replaced() -> None:
    known = catalog.of([agent("x"), agent("y"), agent("x", "user", "user")])
    assert [found.qualified for found in known.roster("a").agents] == ["a/x", "a/y"]
    with pytest.raises(errors.UnknownHandle, match="no roster"):
        known.roster("b")


def test_the_order_of_agents_does_not_matter() -> None:
    agents = [agent(f"n{i % 7}", layer, f"r{i % 3}", sha256=str(i)) for i, layer in enumerate(catalog.LAYERS * 5)]
    shuffled = agents[:]
    random.Random(4).shuffle(shuffled)
    straight, turned = catalog.of(agents), catalog.of(shuffled)
    assert (straight.agents, straight.shadowed) == (turned.agents, turned.shadowed)
    assert agent_index.fingerprint(straight) == agent_index.fingerprint(turned)
