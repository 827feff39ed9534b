from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dispatch_mcp import errors
from dispatch_mcp.agents import bundled_files, catalog, loader

FILE = "---\nname: {name}\ndescription: {description}\nmodel: opus\n---\nYou are {name}.\n"


def write(folder: Path, name: str, description: str = "Database tables and SQL queries.") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text(FILE.format(name=name, description=description), encoding="utf-8")
    return path


def source(tmp_path: Path, layer: catalog.Layer = "user", **more: Any) -> loader.Source:
    folders = (loader.Folder(tmp_path / "agents", layer, layer),)
    return loader.Source(folders, fresh_s=0, **more)


def test_files_of_a_folder_and_below_are_agents(tmp_path: Path) -> None:
    write(tmp_path / "agents", "one")
    write(tmp_path / "agents" / "deeper", "two")
    write(tmp_path / "agents" / ".hidden", "three")
    (tmp_path / "agents" / "README.md").write_text("# no agent")
    (tmp_path / "agents" / "notes.txt").write_text("no agent")
    assert [agent.name for agent in source(tmp_path).catalog().agents] == ["one", "two"]


def test_a_missing_folder_holds_nobody(tmp_path: Path) -> None:
    assert source(tmp_path).catalog().agents == ()


def test_folders_of_a_nested_layer_are_rosters(tmp_path: Path) -> None:
    write(tmp_path / "backend", "one")
    write(tmp_path / "roles", "one")
    known = loader.Source((loader.Folder(tmp_path, "bundled", nested=True),)).catalog()
    assert known.rosters == {"backend": 1, "roles": 1}


def test_the_catalogue_is_the_same_until_a_file_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "agents", "one")
    agents = source(tmp_path)
    before = agents.catalog()
    assert agents.catalog() is before
    path.write_text(FILE.format(name="one", description="Something longer than before, about web pages."))
    after = agents.catalog()
    assert "web pages" in after.agent("one").description
    path.unlink()
    assert agents.catalog().agents == ()


def test_within_the_fresh_time_the_disk_is_left_alone(tmp_path: Path) -> None:
    now = [100.0]
    write(tmp_path / "agents", "one")
    agents = source(tmp_path, clock=lambda: now[0])
    agents.fresh_s = 5.0
    assert len(agents.catalog().agents) == 1
    write(tmp_path / "agents", "two")
    assert len(agents.catalog().agents) == 1
    now[0] += 5.0
    assert len(agents.catalog().agents) == 2


@pytest.mark.promise("S7")
def test_a_project_agent_is_trusted_once_its_digest_is_listed(tmp_path: Path) -> None:
    write(tmp_path / "agents", "one")
    trusted = tmp_path / "trusted.json"
    agents = source(tmp_path, "project", trusted=trusted)
    doubted = agents.catalog().agent("one")
    assert (doubted.trusted, doubted.model) == (False, "")
    trusted.write_text(json.dumps({"sha256": [doubted.sha256]}))
    assert agents.catalog().agent("one").model == "opus"
    trusted.unlink()
    assert not agents.catalog().agent("one").trusted


@pytest.mark.parametrize("content", ["", "{", "[1, null]", '{"sha256": 4}', "7"])
def test_a_broken_list_of_approvals_approves_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "trusted.json"
    path.write_text(content)
    assert loader.approved_digests(path) == frozenset()


def test_one_folder_can_be_used_alone(tmp_path: Path) -> None:
    write(tmp_path / "mine", "one")
    assert loader.load(tmp_path / "mine").keys == ("one",)
    with pytest.raises(errors.ConfigError, match="no agent files"):
        loader.load(tmp_path / "nothing")


def test_installed_plugins_bring_their_agents(tmp_path: Path) -> None:
    home, place = tmp_path / "home", tmp_path / "plugin"
    write(place / "agents", "helper")
    (home / ".claude" / "plugins").mkdir(parents=True)
    listed = {"version": 2, "plugins": {"tools@market": [{"installPath": str(place)}]}}
    (home / ".claude" / "plugins" / "installed_plugins.json").write_text(json.dumps(listed))
    found = list(loader._plugins(home, tmp_path, bundled_files.bundled("agents")))  # pyright: ignore[reportPrivateUsage] - no home of our own
    assert found == [loader.Folder(place / "agents", "plugin", "tools")]


def test_every_shipped_agent_is_read_without_a_note_and_names_a_document_that_is_there() -> None:
    bundled = bundled_files.bundled("agents")
    known = loader.Source((loader.Folder(bundled, "bundled", nested=True),), documents=bundled.parent).catalog()
    assert {agent.qualified: agent.notes for agent in known.agents if agent.notes} == {}
    assert known.missing == frozenset()
    assert set(catalog.DEFAULT_ROSTERS) <= set(known.rosters)


def test_the_lexicon_is_read_once() -> None:
    assert loader.words() is loader.words()
    assert len(loader.words().names) > 90
