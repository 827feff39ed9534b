"""What lies in a folder of agents and is none, and files in other encodings."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.agents import catalog, loader

AGENT = "---\nname: {name}\ndescription: Use for käse and molke.\n---\nYou make käse.\n"


def folder(tmp_path: Path, files: dict[str, bytes]) -> catalog.Catalog:
    for name, content in files.items():
        path = tmp_path / "team" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return loader.load(tmp_path / "team")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("skills/chart/SKILL.md", AGENT.format(name="chart"), "lies in 'skills'"),
        ("SKILL.md", AGENT.format(name="chart"), "is a skill"),
        ("commands/ship.md", AGENT.format(name="ship"), "lies in 'commands'"),
        ("playbooks/phase-0.md", "# Phase 0\n", "lies in 'playbooks'"),
        ("phase-0.md", "# Phase 0\n", "has no `name`"),
        ("nameless.md", "---\ndescription: Knows.\n---\nBody\n", "has no `name`"),
        ("templates/role.md", AGENT.format(name="role"), "lies in 'templates'"),
        ("team-template.md", AGENT.format(name="team"), "is a template"),
        ("fill.md", AGENT.format(name="'{agent-name}'"), "is a template"),
        ("fill-in.md", AGENT.format(name="<your-agent-name>"), "is a template"),
        ("open.md", AGENT.format(name="{agent-name}"), "no `name`"),
        ("ship.md", AGENT.format(name="ship") + "Ship $ARGUMENTS.\n", "is a command"),
        ("fetch.md", "---\nname: fetch\nargument-hint: [file]\n---\nFetch it.\n", "is a command"),
        ("empty.md", "", "is empty"),
        ("blank.md", " \n\n", "is empty"),
    ],
)
def test_what_is_no_agent_is_left_out_with_the_reason(tmp_path: Path, name: str, content: str, why: str) -> None:
    known = folder(tmp_path, {"one.md": AGENT.format(name="one").encode(), name: content.encode()})
    assert [agent.name for agent in known.agents] == ["one"]
    [stranger] = known.strangers
    assert stranger.path.endswith(name)
    assert why in stranger.why


@pytest.mark.parametrize(
    ("encoding", "note"), [("utf-8", ""), ("utf-8-sig", ""), ("utf-16", "UTF-16"), ("latin-1", "Latin-1")]
)
def test_a_file_in_another_encoding_is_decoded_and_named(tmp_path: Path, encoding: str, note: str) -> None:
    [agent] = folder(tmp_path, {"one.md": AGENT.format(name="one").encode(encoding)}).agents
    assert agent.description == "Use for käse and molke."
    assert note in " ".join(agent.notes)
    assert bool(agent.notes) == bool(note)


@pytest.mark.parametrize("name", ["on", "off", "yes", "no", "y", "Null", "1"])
def test_an_agent_may_be_called_what_yaml_takes_for_a_truth(tmp_path: Path, name: str) -> None:
    quoted = f"'{name}'" if name == "Null" else name
    [agent] = folder(tmp_path, {"x.md": AGENT.format(name=quoted).encode()}).agents
    assert agent.name == name


def test_tabs_that_indent_a_header_are_read_as_blanks(tmp_path: Path) -> None:
    text = "---\nname: nets\ndescription: Use for nets\ntools:\n\t- Read\n\t- Grep\n---\nNets.\n"
    [agent] = folder(tmp_path, {"nets.md": text.encode()}).agents
    assert agent.tools == ("Read", "Grep")
    assert "tabs" in " ".join(agent.notes)


def test_a_stranger_that_becomes_an_agent_is_found(tmp_path: Path) -> None:
    place = tmp_path / "agents"
    place.mkdir()
    (place / "one.md").write_text("# Notes\n")
    source = loader.Source((loader.Folder(place, "user", "user"),), fresh_s=0)
    assert [stranger.why for stranger in source.catalog().strangers] == ["has no `name` in its front matter"]
    (place / "one.md").write_text(AGENT.format(name="one"))
    assert (len(source.catalog().agents), source.catalog().strangers) == (1, ())


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded(data: bytes) -> None:
    content, note = loader.text_of(data)
    assert isinstance(content, str)
    assert not note or "UTF" in note


@pytest.mark.parametrize("end", ["---", "--------------------------------------------", "---   "])
def test_a_header_may_begin_with_blank_lines_and_end_with_a_longer_line(tmp_path: Path, end: str) -> None:
    content = f"---\n\nname: worker\ndescription: Makes käse.\ntools: Read, Grep\n{end}\n\n# Worker\n\n---\n\nBody.\n"
    (agent,) = folder(tmp_path, {"worker.md": content.encode()}).agents
    assert (agent.name, agent.tools) == ("worker", ("Read", "Grep"))
    assert agent.body == "# Worker\n\n---\n\nBody."


def test_a_folder_that_is_linked_to_is_read_once_and_a_circle_ends(tmp_path: Path) -> None:
    write = tmp_path / "collection"
    write.mkdir()
    (write / "cheese.md").write_text(AGENT.format(name="cheese"), encoding="utf-8")
    team = tmp_path / "team"
    team.mkdir()
    (team / "linked").symlink_to(write, target_is_directory=True)
    (team / "again").symlink_to(write, target_is_directory=True)
    (write / "round").symlink_to(team, target_is_directory=True)
    assert [agent.name for agent in loader.load(team).agents] == ["cheese"]


def test_a_folder_of_a_project_that_is_linked_to_is_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "cheese.md").write_text(AGENT.format(name="cheese"), encoding="utf-8")
    agents = tmp_path / "project"
    agents.mkdir()
    (agents / "linked").symlink_to(outside, target_is_directory=True)
    assert loader.Source((loader.Folder(agents, "project", "project"),)).catalog().agents == ()
