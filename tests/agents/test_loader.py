from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from dispatch_mcp import configuration, errors
from dispatch_mcp.agents import bundled_files, catalog, loader, rosters

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


def test_a_plugin_whose_manifest_lists_no_agents_brings_none(tmp_path: Path) -> None:
    home, plugin = tmp_path / "home", tmp_path / "cache" / "dispatch"
    (plugin / "agents").mkdir(parents=True)
    (plugin / "agents" / "own.md").write_text(
        "---\nname: own\ndescription: Use for what the plugin itself does.\n---\nx"
    )
    (plugin / ".claude-plugin").mkdir()
    (home / ".claude" / "plugins").mkdir(parents=True)
    listed = {"plugins": {"dispatch@dispatch-mcp": [{"installPath": str(plugin)}]}}
    (home / ".claude" / "plugins" / "installed_plugins.json").write_text(json.dumps(listed))
    names: list[bool] = []
    for manifest in ('{"name": "dispatch", "agents": []}', '{"name": "dispatch"}'):
        (plugin / ".claude-plugin" / "plugin.json").write_text(manifest)
        names.append("own" in loader.Source.from_settings(settings(tmp_path), home).catalog().names)
    assert names == [False, True]


def test_installed_plugins_bring_their_agents(tmp_path: Path) -> None:
    home, place = tmp_path / "home", tmp_path / "plugin"
    write(place / "agents", "helper")
    (home / ".claude" / "plugins").mkdir(parents=True)
    listed = {"version": 2, "plugins": {"tools@market": [{"installPath": str(place)}]}}
    (home / ".claude" / "plugins" / "installed_plugins.json").write_text(json.dumps(listed))
    found = list(loader._plugins(home, tmp_path, bundled_files.shipped_folder("agents")))  # pyright: ignore[reportPrivateUsage] - no home of our own
    assert found == [loader.Folder(place / "agents", "plugin", "tools")]


def test_every_shipped_agent_is_read_without_a_note_and_names_a_document_that_is_there() -> None:
    bundled = bundled_files.shipped_folder("agents")
    known = loader.Source((loader.Folder(bundled, "bundled", nested=True),), documents=bundled.parent).catalog()
    assert {agent.qualified: agent.notes for agent in known.agents if agent.notes} == {}
    assert known.missing == frozenset()
    assert {roster.name for roster in known.declarations} == set(known.rosters)


def test_the_lexicon_is_read_once() -> None:
    assert loader.words() is loader.words()
    assert len(loader.words().names) > 90


def test_a_new_process_reads_the_files_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "agents", "one")
    before = source(tmp_path).catalog()
    status = path.stat()
    path.write_text(FILE.format(name="two", description="Database tables and SQL queries."))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    after = source(tmp_path).catalog()
    assert (before.names, after.names) == ({"one", "user/one"}, {"two", "user/two"})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["agents"]


def test_only_files_that_changed_are_read_again(tmp_path: Path) -> None:
    write(tmp_path / "agents", "one")
    other = write(tmp_path / "agents", "two")
    agents = source(tmp_path)
    before = agents.catalog()
    other.write_text(FILE.format(name="two", description="Now about pages."))
    after = agents.catalog()
    assert after.agent("one") is before.agent("one")
    assert after.agent("two") is not before.agent("two")


def test_what_one_source_has_read_another_does_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("---\nname: a\ndescription: Reviews code\n---\nHow.")
    folder = (loader.Folder(tmp_path, "project"),)
    [first] = loader.Source(folder).catalog().agents
    [second] = loader.Source(folder).catalog().agents
    assert second is first
    [approved] = loader.Source(folder, trusted=approving(tmp_path, first.sha256)).catalog().agents
    assert (first.trusted, approved.trusted) == (False, True)
    path.write_text("---\nname: b\ndescription: Reviews code\n---\nHow.")
    [third] = loader.Source(folder).catalog().agents
    assert third.name == "b"


def approving(folder: Path, digest: str) -> Path:
    """Returns a file that approves the digest."""
    path = folder / "approved.json"
    path.write_text(json.dumps([digest]))
    return path


def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "agents", "one")
    (tmp_path / "agents" / "nowhere.md").symlink_to(tmp_path / "nowhere")
    (tmp_path / "agents" / "folder.md").mkdir()
    assert [agent.name for agent in source(tmp_path).catalog().agents] == ["one"]


def test_bytes_that_are_no_utf8_still_give_an_agent(tmp_path: Path) -> None:
    write(tmp_path / "agents", "one").write_bytes(b"---\nname: one\ndescription: caf\xe9\n---\nbody")
    assert source(tmp_path).catalog().agent("one").description == "café"


def test_of_a_very_large_file_the_beginning_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "agents", "one")
    path.write_text(path.read_text() + "x" * (loader.MAX_BYTES + 10))
    assert len(source(tmp_path).catalog().agent("one").body) < loader.MAX_BYTES


def test_an_agent_knows_its_file_layer_and_digest(tmp_path: Path) -> None:
    path = write(tmp_path / "agents", "one")
    agent = source(tmp_path).catalog().agent("one")
    assert (agent.path, agent.layer, agent.roster) == (str(path), "user", "user")
    assert agent.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_document_that_bundled_agents_name_must_be_there(tmp_path: Path) -> None:
    folder = tmp_path / "agents"
    folder.mkdir()
    for name, document in (("one", "there.md"), ("two", "gone.md")):
        (folder / f"{name}.md").write_text(f"---\nname: {name}\ndescription: d\nknowledge: {document}\n---\nb")
    (tmp_path / "there.md").write_text("x")
    assert source(tmp_path, "bundled", documents=tmp_path).catalog().missing == {"gone.md"}
    assert source(tmp_path, "user", documents=tmp_path).catalog().missing == frozenset()
    assert source(tmp_path, "bundled").catalog().missing == frozenset()


@pytest.mark.promise("S7")
@pytest.mark.parametrize("form", ["list", "object"])
def test_approvals_are_a_list_of_digests_or_an_object_with_one(tmp_path: Path, form: str) -> None:
    path = tmp_path / "trusted.json"
    path.write_text(json.dumps(["a", 4, None, "b"] if form == "list" else {"sha256": ["a", 4, "b"], "other": 1}))
    assert loader.approved_digests(path) == {"a", "b"}


@pytest.mark.parametrize("content", ["[" * 50_000, '{"sha256":' * 50_000, "\ufeff[]", '"text"', "null"])
def test_hostile_lists_of_approvals_approve_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "trusted.json"
    path.write_text(content, encoding="utf-8")
    assert loader.approved_digests(path) == frozenset()


@pytest.mark.parametrize("path", [None, "nowhere.json", "."])
def test_a_list_of_approvals_that_is_not_there_approves_nothing(tmp_path: Path, path: str | None) -> None:
    assert loader.approved_digests(None if path is None else tmp_path / path) == frozenset()


def settings(tmp_path: Path, **fields: Any) -> configuration.Settings:
    workspace = tmp_path / "workspace"
    workspace.mkdir(exist_ok=True)
    return configuration.Settings(
        home=tmp_path / "state", workspace=workspace, trusted_agents=tmp_path / "trusted.json", **fields
    )


def test_all_layers_of_the_settings_are_read_and_the_strongest_wins(tmp_path: Path) -> None:
    home, extra = tmp_path / "home", tmp_path / "extra"
    write(home / ".claude" / "agents", "database-architect", "The user's own.")
    write(tmp_path / "workspace" / ".claude" / "agents", "one", "The project's.")
    write(extra, "one", "The configured one.")
    agents = loader.Source.from_settings(settings(tmp_path, agent_dirs=(extra,)), home).catalog()
    assert agents.agent("database-architect").layer == "user"
    assert agents.agent("one").description == "The configured one."
    assert agents.agent("project/one").layer == "project"
    assert {"backend", "dispatch", "engineering", "user", "project", "extra"} <= set(agents.rosters)


def test_rosters_that_nobody_asked_for_take_no_part_in_routing(tmp_path: Path) -> None:
    agents = loader.Source.from_settings(settings(tmp_path), tmp_path / "home").catalog()
    taking_part = {agent.roster for agent in agents.routable}
    assert taking_part == {"host", "engineering", "operations", "review", "coordination"}
    assert "reviewers" in agents.rosters
    off = {roster.name for roster in agents.off}
    assert {"business", "growth", "product", "data", "backend", "dispatch", "example-backend-lead"} <= off
    assert "reviewers" not in off


@pytest.mark.parametrize(
    ("name", "content", "roster"),
    [
        ("requirements.txt", "# web\nFlask==3.0\n", "backend"),
        ("requirements-dev.txt", "flask_login\nflask>=2 ; python_version > '3.8'\n", "backend"),
        ("pyproject.toml", "[project]\nname = 'x'\ndependencies = ['flask[async]>=3']\n", "backend"),
        ("pyproject.toml", "[tool.poetry.dependencies]\npython = '^3.11'\nFlask = '^3'\n", "backend"),
        ("pyproject.toml", "[dependency-groups]\nml = ['scikit_learn']\n", "data"),
        ("setup.cfg", "[options]\ninstall_requires =\n    flask\n", "backend"),
        ("dbt_project.yml", "", "data"),
    ],
)
def test_what_a_workspace_depends_on_switches_a_roster_on(tmp_path: Path, name: str, content: str, roster: str) -> None:
    place = settings(tmp_path)
    (place.workspace / name).write_text(content)
    agents = loader.Source.from_settings(place, tmp_path / "home").catalog()
    assert roster in {agent.roster for agent in agents.routable}
    assert list(agents.switched_on) == [roster]
    assert roster not in {other.name for other in agents.off}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pyproject.toml", "[project]\nname = 'flask'\ndescription = 'like flask'\n"),
        ("pyproject.toml", "not toml [[["),
        ("package.json", '{"name": "flask", "dependencies": ["flask"]}'),
        ("package.json", "{" * 5_000),
        ("requirements.txt", "# flask\n-r flask\n"),
        ("notes.txt", "flask\n"),
    ],
)
def test_a_word_that_is_no_dependency_switches_nothing_on(tmp_path: Path, name: str, content: str) -> None:
    place = settings(tmp_path)
    (place.workspace / name).write_text(content)
    assert loader.Source.from_settings(place, tmp_path / "home").catalog().switched_on == {}


def test_a_manifest_that_changes_switches_a_roster_on_in_a_living_server(tmp_path: Path) -> None:
    living = loader.Source.from_settings(settings(tmp_path), tmp_path / "home")
    living.fresh_s = 0
    assert "backend" in {roster.name for roster in living.catalog().off}
    (tmp_path / "workspace" / "requirements.txt").write_text("flask\n")
    assert living.catalog().switched_on == {"backend": "flask is a dependency"}


def test_a_roster_inside_a_folder_is_a_part_of_the_larger_one(tmp_path: Path) -> None:
    agents = loader.Source.from_settings(settings(tmp_path), tmp_path / "home").catalog()
    assert len(agents.roster("roles").agents) == 41
    assert {agent.roster for agent in agents.roster("business").agents} == {"business"}


def test_a_declaration_that_cannot_be_read_switches_nothing_on() -> None:
    for declaration in ("", "when: always", "when: [always]", "when: {always: yes-please}", "- 1", ": :", "\tfor: x"):
        roster = rosters.read("odd", declaration)
        assert not roster.always
        assert roster.evidence(rosters.Signs(dependencies=frozenset({"flask"}))) == ""


def test_the_host_knows_the_agents_of_user_project_and_plugins(tmp_path: Path) -> None:
    home = tmp_path / "home"
    write(home / ".claude" / "agents", "mine")
    write(tmp_path / "workspace" / ".claude" / "agents", "theirs")
    assert loader.Source.from_settings(settings(tmp_path), home).installed() == {
        *("mine", "theirs", "general-purpose", "Explore", "Plan")
    }


def test_the_host_calls_the_agents_of_a_plugin_with_its_name_in_front(tmp_path: Path) -> None:
    home, plugin = tmp_path / "home", tmp_path / "plugin"
    write(plugin / "agents", "helper")
    (home / ".claude" / "plugins").mkdir(parents=True)
    (home / ".claude" / "plugins" / "installed_plugins.json").write_text(
        json.dumps({"plugins": {"kit@market": [{"installPath": str(plugin)}]}})
    )
    made = settings(tmp_path)
    write(made.workspace / "agents", "own")
    (made.workspace / ".claude-plugin").mkdir()
    (made.workspace / ".claude-plugin" / "plugin.json").write_text('{"name": "shop-kit"}')
    assert {"kit:helper", "shop-kit:own"} <= loader.Source.from_settings(made, home).installed()


def test_a_workspace_that_is_a_plugin_brings_its_own_agents(tmp_path: Path) -> None:
    made = settings(tmp_path)
    write(made.workspace / "agents", "helper")
    assert loader.Source.from_settings(made, tmp_path / "home").catalog().find("helper") is None
    (made.workspace / ".claude-plugin").mkdir()
    (made.workspace / ".claude-plugin" / "plugin.json").write_text("{}")
    assert loader.Source.from_settings(made, tmp_path / "home").catalog().agent("workspace/helper").layer == "plugin"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "7",
        '{"plugins": null}',
        '{"plugins": {"a": [{"installPath": 4}]}}',
        '{"installPath": "x"}',
        "[" * 9_000,
    ],
)
def test_a_list_of_plugins_without_paths_brings_nobody(tmp_path: Path, content: str) -> None:
    plugins = tmp_path / "home" / ".claude" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "installed_plugins.json").write_text(content)
    folders = loader.Source.from_settings(settings(tmp_path), tmp_path / "home").folders
    assert [folder for folder in folders if folder.layer == "plugin"] == []
