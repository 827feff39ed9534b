from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.agents import catalog, frontmatter, rosters
from dispatch_mcp.routing import agent_index
from dispatch_mcp.text.reading import excerpts

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
    known = catalog.merge([agent("x"), agent("x", "user", "user", description="mine")])
    assert [found.qualified for found in known.agents] == ["user/x"]
    assert [found.qualified for found in known.shadowed] == ["a/x"]
    assert known.agent("x").description == "mine"


@pytest.mark.promise("S7")
def test_an_untrusted_agent_replaces_nobody() -> None:
    known = catalog.merge([agent("x"), agent("x", "project", "project", description="evil")])
    assert known.agent("x").layer == "bundled"
    assert known.agent("project/x").description == "evil"


def test_names_that_repeat_in_a_layer_need_their_roster() -> None:
    known = catalog.merge([agent("x", roster="a"), agent("x", roster="b")])
    assert known.keys == ("a/x", "b/x")
    assert known.find("x") is None
    with pytest.raises(errors.UnknownHandle, match="2 agents") as told:
        known.agent("x")
    assert "`a/x`" in str(told.value.hint)


def test_a_bare_name_means_the_one_in_scope() -> None:
    known = catalog.merge([agent("x", roster="a"), agent("x", roster="b")], scope={"b"})
    assert known.agent("x").roster == "b"
    assert known.keys == ("x",)


def test_an_alias_finds_its_agent_unless_somebody_has_that_name() -> None:
    known = catalog.merge([agent("coder", aliases=["agent_coder", "debug"]), agent("debug")])
    assert known.agent("agent_coder").name == "coder"
    assert known.agent("debug").name == "debug"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(errors.UnknownHandle) as told:
        catalog.merge([agent("database-architect")]).agent("databse-architect")
    assert "'database-architect'" in str(told.value.hint)


def test_a_roster_alone_has_what_stronger_layers_replaced() -> None:
    known = catalog.merge([agent("x"), agent("y"), agent("x", "user", "user")])
    assert [found.qualified for found in known.roster("a").agents] == ["a/x", "a/y"]
    with pytest.raises(errors.UnknownHandle, match="no roster"):
        known.roster("b")


def test_the_order_of_agents_does_not_matter() -> None:
    agents = [agent(f"n{i % 7}", layer, f"r{i % 3}", sha256=str(i)) for i, layer in enumerate(catalog.LAYERS * 5)]
    shuffled = agents[:]
    random.Random(4).shuffle(shuffled)
    straight, turned = catalog.merge(agents), catalog.merge(shuffled)
    assert (straight.agents, straight.shadowed) == (turned.agents, turned.shadowed)
    assert agent_index.fingerprint(straight) == agent_index.fingerprint(turned)


@pytest.mark.parametrize(
    ("word", "number"),
    [("low", -10), ("medium", 0), ("Normal", 0), ("high", 20), ("critical", 40), ("7", 7), ("-2.4", -2), ("", 0)],
)
def test_priorities_are_words_or_numbers(word: str, number: int) -> None:
    found = read(f"---\nname: x\ndescription: d\npriority: {word}\n---\nb")
    assert (found.priority, found.notes) == (number, ())


@pytest.mark.parametrize("word", ["urgent", "1e9", ".nan", ".inf", "[1, 2]"])
def test_a_priority_that_is_no_number_counts_as_none_and_is_noted(word: str) -> None:
    found = read(f"---\nname: x\ndescription: d\npriority: {word}\n---\nb")
    assert found.priority == 0
    assert word in ("[1, 2]", ".nan", ".inf") or "is no number" in found.notes[0]


@pytest.mark.parametrize(
    "name", ["My Agent", "Python DevOps/CI-CD Expert", "a/b", "äöü", "コード係", "x.y", "--", "(x)"]
)
def test_a_name_is_kept_letter_for_letter_as_the_host_knows_it(name: str) -> None:
    known = catalog.merge([read(f"---\nname: '{name}'\ndescription: d\n---\nb")])
    assert known.agents[0].name == name
    assert known.agent(name) == known.agents[0]
    assert known.keys == (name,)


@pytest.mark.parametrize("alias", ["Python-DevOps-CI-CD-Expert", "Python DevOps/CI-CD Expert"])
def test_the_name_that_earlier_versions_made_of_one_still_finds_its_agent(alias: str) -> None:
    known = catalog.merge([read("---\nname: Python DevOps/CI-CD Expert\ndescription: d\n---\nb")])
    assert known.find(alias) == known.agents[0]


@given(st.text(max_size=120))
def test_no_name_holds_what_cannot_be_printed(name: str) -> None:
    agent = read(f"---\nname: {name!r}\ndescription: d\n---\nb")
    assert agent.name
    assert agent.name.isprintable()
    assert agent.name == agent.name.strip()


def test_keys_for_routing_are_read_as_lists_of_names() -> None:
    text = (
        "---\nname: x\ndescription: d\nkeywords: sql, 'db'\ncapabilities: [a, b]\nreceives: a\nexcludes: [c]\n"
        "domain: data\naliases: y, z\nfallback: 'yes'\ntriggers: |\n  - Add a table\n  - Drop it\n---\nb"
    )
    found = read(text)
    assert (found.keywords, found.capabilities, found.receives) == (("sql", "db"), ("a", "b"), ("a",))
    assert (found.excludes, found.domain, found.aliases, found.fallback) == (("c",), "data", ("y", "z"), True)
    assert found.examples == ("Add a table", "Drop it")


def test_weighted_triggers_of_reviewers_are_kept_as_they_are() -> None:
    found = read("---\nname: x\ndescription: d\ntriggers: {sql: 3, login: 1}\n---\nb")
    assert found.extra == {"triggers": {"sql": 3, "login": 1}}
    assert found.examples == ()


@pytest.mark.parametrize(("inputs", "noted"), [("{path: str}", False), ("[path]", True), ("path", True)])
def test_inputs_are_a_mapping_or_left_out_with_a_note(inputs: str, *, noted: bool) -> None:
    found = read(f"---\nname: x\ndescription: d\ninputs: {inputs}\n---\nb")
    assert bool(found.notes) == noted
    assert found.inputs == ({} if noted else {"path": "str"})


@pytest.mark.parametrize(
    ("tools", "names"),
    [("Read, Write", ("Read", "Write")), ("[Read]", ("Read",)), ("'*'", None), ("''", None), ("", None), ("[]", ())],
)
def test_tools_are_names_or_everything(tools: str, names: tuple[str, ...] | None) -> None:
    assert read(f"---\nname: x\ndescription: d\ntools: {tools}\n---\nb").tools == names


def test_without_tools_an_agent_may_use_what_its_session_has() -> None:
    assert read("---\nname: x\ndescription: d\n---\nb").tools is None


def test_inherit_is_no_model_of_its_own() -> None:
    assert read("---\nname: x\ndescription: d\nmodel: inherit\n---\nb").model == ""


def test_a_very_long_file_is_cut_with_a_note() -> None:
    found = read(f"---\nname: x\ndescription: d\n---\n{'y' * excerpts.AGENT_FILE.chars}")
    assert len(found.body) < excerpts.AGENT_FILE.chars
    assert "only the first" in found.notes[0]


def test_the_digest_is_that_of_the_bytes_when_the_caller_has_it() -> None:
    assert read(PLAIN).sha256 == hashlib.sha256(PLAIN.encode()).hexdigest()
    assert read(PLAIN, sha256="abc").sha256 == "abc"


def test_what_is_public_of_an_agent_has_no_path_and_no_empty_fields() -> None:
    fields = read("---\nname: x\ndescription: d\n---\nb").public()
    assert fields["trusted"] is True
    assert not {"path", "keywords", "tools"} & fields.keys()


LAYERED = st.lists(
    st.builds(agent, st.sampled_from("abc"), st.sampled_from(catalog.LAYERS), st.sampled_from(["r", "s"])), max_size=12
)


@given(LAYERED)
def test_every_agent_is_in_force_or_replaced_and_none_is_lost(agents: list[catalog.Agent]) -> None:
    known = catalog.merge(agents)
    assert len(known.agents) + len(known.shadowed) == len(agents)
    assert len({found.qualified for found in known.agents}) == len(known.agents)
    assert sum(known.rosters.values()) == len(agents)


@given(LAYERED)
def test_every_key_of_a_catalogue_finds_the_agent_that_it_stands_for(agents: list[catalog.Agent]) -> None:
    known = catalog.merge(agents)
    assert len(set(known.keys)) == len(known.routable)
    for key, found in zip(known.keys, known.routable, strict=True):
        assert known.find(key) is found


@pytest.mark.promise("S7")
@given(LAYERED)
def test_no_trusted_agent_is_replaced_by_one_that_is_not(agents: list[catalog.Agent]) -> None:
    known = catalog.merge(agents)
    for shadowed in known.shadowed:
        if shadowed.trusted:
            winners = [found for found in known.agents if found.name == shadowed.name]
            assert any(found.trusted for found in winners)


@pytest.mark.promise("S7")
def test_a_plugin_does_not_replace_an_agent_of_a_configured_folder_of_its_name() -> None:
    known = catalog.merge([agent("x", "plugin", "tools", description="evil"), agent("x", "configured", "tools")])
    assert [found.layer for found in known.agents] == ["configured"]
    assert [found.layer for found in known.shadowed] == ["plugin"]


def test_a_bare_name_means_the_trusted_one_of_two() -> None:
    known = catalog.merge([agent("x", roster="a"), agent("x", "project", "b")])
    assert known.agent("x").roster == "a"


def test_a_roster_alone_is_the_same_value_every_time_and_unknown_ones_are_listed() -> None:
    known = catalog.merge([agent("x"), agent("y", roster="b")])
    assert known.roster("a") is known.roster("a")
    with pytest.raises(errors.UnknownHandle) as refused:
        known.roster("c" * 300)
    assert "`a`" in str(refused.value.hint)
    assert len(refused.value.message) < 200


def test_an_empty_catalogue_knows_nobody() -> None:
    assert catalog.EMPTY.names == frozenset()
    assert catalog.EMPTY.keys == ()
    with pytest.raises(errors.UnknownHandle, match="no agent 'x'"):
        catalog.EMPTY.agent("x")


def test_who_does_ordinary_work_is_the_host_s_fallback() -> None:
    helper = agent("helper", roster=catalog.HOST_ROSTER, fallback=True)
    assert catalog.merge([agent("x"), helper]).general == helper
    assert catalog.merge([agent("x", fallback=True)]).general is None
    assert catalog.merge([helper, agent("x")], scope={"a"}).general is None


def test_rosters_that_wait_are_named_but_for_internal_ones() -> None:
    declarations = [rosters.Roster(name=name, internal=name == "c") for name in "abc"]
    known = catalog.merge([agent(name, roster=name) for name in "abc"], scope={"a"}, declarations=declarations)
    assert [roster.name for roster in known.off] == ["b"]
    assert catalog.merge([agent("x")], declarations=declarations).off == ()


def test_a_group_is_a_roster_of_its_parts() -> None:
    declarations = [rosters.Roster(name=name, group="all") for name in "ab"]
    known = catalog.merge([agent(name, roster=name) for name in "abc"], declarations=declarations)
    assert [found.name for found in known.roster("all").agents] == ["a", "b"]
    assert [found.name for found in known.roster("b").agents] == ["b"]


def test_a_roster_that_is_switched_on_comes_with_the_reason() -> None:
    web = rosters.Roster(name="a", dependencies=("flask",))
    signs = rosters.Signs(dependencies=frozenset({"flask"}))
    assert catalog.merge([agent("x")], declarations=[web], signs=signs).switched_on == {"a": "flask is a dependency"}
    assert catalog.merge([agent("x")], declarations=[web]).switched_on == {}
