"""What is said of each setting: its choices and ranges hold, its default fits, and what it names is looked for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pydantic
import pytest

from dispatch_mcp import configuration
from dispatch_mcp.cli import catalog_arguments, settings_guide

NAMES = sorted(configuration.Settings.model_fields)
RANGE = re.compile(r"(above )?([\d,.]+) to ([\d,.]+)")
CHOICES = re.compile(r"[\w-]+(, [\w-]+)+")


def settings(tmp_path: Path, **values: Any) -> configuration.Settings:
    flags = {"home": tmp_path / "home", "workspace": tmp_path}
    return configuration.load({}, flags=flags, cwd=tmp_path).settings.model_copy(update=values)


def fits(name: str, value: object) -> bool:
    """Returns whether a setting can be that, by itself."""
    paths = {"home": "/h", "workspace": "/w", "trusted_agents": "/h/trusted.json"}
    try:
        configuration.Settings.model_validate({**paths, name: value})
    except pydantic.ValidationError as wrong:
        return name not in {str(part) for fault in wrong.errors() for part in fault["loc"]}
    return True


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_says_in_a_few_words_what_it_can_be(name: str) -> None:
    possible = settings_guide.possible(name)
    assert possible
    assert len(possible) < 80
    assert "$" not in possible


@pytest.mark.parametrize("name", [name for name in NAMES if RANGE.fullmatch(settings_guide.possible(name))])
def test_both_ends_of_a_range_can_be_set_and_nothing_beyond_them(name: str) -> None:
    match = RANGE.fullmatch(settings_guide.possible(name))
    assert match is not None
    least, most = (float(end.replace(",", "")) for end in match.groups()[1:])
    step = 1 if most > 1 else 0.5
    values = (least, most, least - step, most + step)
    numbers = [int(value) if value == int(value) else value for value in values]
    assert [fits(name, number) for number in numbers] == [not match[1], True, False, False]


@pytest.mark.parametrize("name", [name for name in NAMES if CHOICES.fullmatch(settings_guide.possible(name))])
def test_every_choice_that_is_offered_can_be_set(name: str) -> None:
    for choice in settings_guide.possible(name).split(", "):
        assert fits(name, {"true": True, "false": False}.get(choice, choice)), choice
    assert not fits(name, "something else")


@pytest.mark.parametrize("name", NAMES)
def test_a_default_that_is_shown_is_what_holds_without_the_setting(name: str, tmp_path: Path) -> None:
    text = settings_guide.default(name)
    if text:
        shown, value = json.loads(text), getattr(settings(tmp_path), name)
        assert shown == json.loads(json.dumps(value))


def test_where_a_default_depends_on_the_machine_none_is_shown() -> None:
    assert settings_guide.default("home") == settings_guide.default("workspace") == ""


def troubles(tmp_path: Path, **values: Any) -> list[tuple[str, str]]:
    return [(trouble.setting, trouble.message) for trouble in settings_guide.troubles(settings(tmp_path, **values))]


def test_what_is_there_is_no_trouble(tmp_path: Path) -> None:
    commands = (("python3", "-V"), ("*", "--help"), ("no-such-*",))
    assert troubles(tmp_path, agent_dirs=(tmp_path,), trusted_repositories=(tmp_path,), allow_commands=commands) == []


def test_everything_that_is_missing_is_named_at_once_by_its_setting(tmp_path: Path) -> None:
    missing = tmp_path / "gone"
    found = troubles(
        tmp_path,
        agent_dirs=(tmp_path, missing),
        trusted_repositories=(missing,),
        allow_commands=(("no-such-program", "-q"),),
        council_reviewers=("nobody", "security-sentinel"),
        claude_program=str(missing),
    )
    assert [name for name, _ in found] == [
        *("claude_program", "allow_commands", "agent_dirs", "trusted_repositories", "council_reviewers"),
    ]
    assert all("gone" in message or "no-such-program" in message or "nobody" in message for _, message in found)


def test_a_file_is_no_folder_of_agents(tmp_path: Path) -> None:
    file = tmp_path / "agents.md"
    file.touch()
    assert troubles(tmp_path, agent_dirs=(file,)) == [("agent_dirs", f"{str(file)!r} is no folder")]


TEXT = "---\nname: {0}\ndescription: Use for {0}.\n---\nYou help.\n"


def test_agents_of_a_folder_come_beside_all_others_and_are_the_roster_of_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "pottery"
    folder.mkdir()
    (folder / "potter.md").write_text(TEXT.format("potter"))
    before = settings(tmp_path, agent_dirs=(tmp_path,))
    after, roster = catalog_arguments.with_roster(before, str(folder))
    assert roster == "pottery"
    assert after.agent_dirs == (tmp_path, folder)
    again, _ = catalog_arguments.with_roster(after, str(folder))
    assert again.agent_dirs == after.agent_dirs, "it is named once"


@pytest.mark.parametrize(
    ("roster", "name"), [(None, ""), ("", ""), ("backend", "backend"), ("unheard-of", "unheard-of")]
)
def test_a_roster_that_is_named_changes_no_setting(tmp_path: Path, roster: str | None, name: str) -> None:
    before = settings(tmp_path)
    assert catalog_arguments.with_roster(before, roster) == (before, name)
