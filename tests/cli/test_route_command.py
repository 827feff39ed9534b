"""Routes at a shell, as sentences and as JSON lines."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import command_runs
import pytest

from dispatch_mcp import configuration, errors
from dispatch_mcp.cli import catalog_arguments

TEXT = "---\nname: {name}\ndescription: {about}\n---\nYou help.\n"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


def team(folder: Path, **agents: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, about in agents.items():
        (folder / f"{name}.md").write_text(TEXT.format(name=name, about=about), encoding="utf-8")
    return folder


def settings(tmp_path: Path) -> configuration.Settings:
    return configuration.load({}, flags={"home": tmp_path / "home", "workspace": tmp_path}, cwd=tmp_path).settings


def test_a_request_may_come_from_standard_input(shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Fix the JWT login")))
    assert shell("route", "--json", "--roster", "backend").json["specialist"] == "auth-system-architect"


def test_nothing_on_standard_input_is_nothing_to_route(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"  \n")))
    answer = shell("route")
    assert answer.code == 2
    assert 'dispatch-mcp route "…"' in answer.err


def test_runners_up_are_named_with_their_share(shell: command_runs.Shell, tmp_path: Path) -> None:
    folder = team(tmp_path / "team", potter="Use for pottery: kilns.", weaver="Use for weaving and kilns.")
    out = shell("route", "The kiln is cold, and the pottery too", "--roster", str(folder)).out
    [line] = [line for line in out.splitlines() if line.startswith("Runners-up: ")]
    assert "weaver" in line
    assert line.endswith("%")


def test_a_batch_says_null_where_nobody_is_a_likely_home(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [{"id": "cook", "text": "What should we cook tonight?"}, {"id": "jwt", "text": "Fix the JWT login"}]
    data = "\n".join(map(json.dumps, cases)).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    first, second = map(json.loads, shell("route", "--batch", "-", "--roster", "backend").out.splitlines())
    assert (first["id"], first["label"]) == ("cook", None)
    assert (second["id"], second["label"]) == ("jwt", "auth-system-architect")
    assert second["ranked"][0] == "auth-system-architect"
    assert len(first["offered"]) == 8
    assert "auth-system-architect" in second["offered"]
    assert 0.0 <= first["confidence"] < second["confidence"] <= 1.0


def test_a_roster_that_is_both_a_name_and_a_folder_is_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    team(tmp_path / "backend", potter="Use for pottery.")
    by_name = catalog_arguments.choose(settings(tmp_path), "backend")
    by_path = catalog_arguments.choose(settings(tmp_path), "./backend")
    assert "potter" not in {agent.name for agent in by_name.agents}
    assert [agent.name for agent in by_path.agents] == ["potter"]


def test_a_folder_needs_no_slash_where_no_roster_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    team(tmp_path / "pottery", potter="Use for pottery.")
    assert [agent.name for agent in catalog_arguments.choose(settings(tmp_path), "pottery").agents] == ["potter"]


def test_without_a_roster_everybody_is_known(tmp_path: Path) -> None:
    everybody = catalog_arguments.choose(settings(tmp_path), None)
    assert {"backend", "dispatch"} <= set(everybody.rosters)


@pytest.mark.parametrize("roster", ["no-such-roster", "./no-such-folder"])
def test_a_roster_that_is_neither_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, roster: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((errors.InputError, errors.ConfigError)):
        catalog_arguments.choose(settings(tmp_path), roster)


@pytest.mark.parametrize(("roster", "folder"), [("backend", False), (".", True), ("..", True), ("a/b", True)])
def test_only_what_has_a_separator_or_dots_can_only_be_a_folder(roster: str, folder: object) -> None:
    assert catalog_arguments.names_folder(roster) is folder


def test_an_unsure_route_shows_whom_to_choose_from_and_which_rosters_are_off(shell: command_runs.Shell) -> None:
    answer = shell("route", "Prepare a sales proposal for the hospital deal")
    lines = answer.out.splitlines()
    choices = lines[lines.index("Choose from:") + 1 :][:5]
    assert all(re.match(r"  [a-z-]+: [A-Za-z]", choice, re.IGNORECASE) for choice in choices), choices
    assert lines.count("Choose from:") == 1
    assert "business" in next(line for line in answer.out.splitlines() if line.startswith("Rosters that are off: "))
    assert answer.code == 3


def test_a_named_roster_is_chosen_from_alone(shell: command_runs.Shell) -> None:
    route = shell("route", "Prepare a sales proposal for the hospital deal", "--roster", "business", "--json").json
    assert route["specialist"] == "biz-sales"
    assert "off" not in route["offer"]


def test_a_roster_that_the_workspace_switches_on_is_named_with_the_reason(
    shell: command_runs.Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text("flask\n")
    monkeypatch.chdir(tmp_path)
    assert "Switched on: backend, because flask is a dependency" in shell("route", "Do it").out


@pytest.mark.parametrize("text", ["add-an-index", "Fix the JWT login", "What should we cook tonight?"])
def test_nobody_is_named_beside_a_share_that_says_nothing(text: str, shell: command_runs.Shell) -> None:
    answer = shell("route", text)
    assert " 0.0%" not in answer.out
    assert ("Runners-up: " in answer.out) <= ("Routing to: nobody" not in answer.out)
    assert ("Routing to: nobody" in answer.out) == (answer.code == 3)
