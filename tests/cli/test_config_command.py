"""The settings in force, as a table and as JSON."""

from __future__ import annotations

from pathlib import Path

import command_runs
import pytest

from dispatch_mcp import configuration
from dispatch_mcp.cli import settings_guide


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


def test_every_setting_is_shown_with_where_it_comes_from(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH_MCP_MAX_PARALLEL", "3")
    shown = shell("config", "--json").json
    assert shown.keys() == configuration.Settings.model_fields.keys()
    assert shown["max_parallel"] == {"value": 3, "from": "env DISPATCH_MCP_MAX_PARALLEL"}
    assert {entry["from"] for name, entry in shown.items() if name == "review_policy"} == {"default"}


def test_the_table_of_settings_says_how_to_change_them(shell: command_runs.Shell) -> None:
    plain, with_origin = shell("config").out, shell("config", "--origin").out
    assert plain.splitlines()[0].split() == ["setting", "value", "meaning"]
    assert with_origin.splitlines()[0].split() == ["setting", "value", "from", "meaning"]
    assert [name for name, (meaning, _) in settings_guide.MEANINGS.items() if meaning not in plain] == []
    assert "config.toml or with DISPATCH_MCP_<SETTING>." in plain


def test_a_key_in_the_environment_is_no_setting_that_is_shown(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key for a test")
    assert "a key for a test" not in shell("config", "--origin").out + shell("config", "--json").out


def test_a_variable_that_nobody_knows_is_told_with_the_likely_one(
    shell: command_runs.Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCH_MCP_MAX_PARALEL", "3")
    answer = shell("config")
    assert "DISPATCH_MCP_MAX_PARALEL is not known" in answer.out + answer.err
    assert "max_parallel" in (answer.out + answer.err).lower()


def test_every_setting_has_a_meaning_and_an_example_that_fits() -> None:
    assert settings_guide.MEANINGS.keys() == configuration.Settings.model_fields.keys()
    fixed = {"home", "workspace", "trusted_agents", "depth"}
    for name, (_, example) in settings_guide.MEANINGS.items():
        if name not in fixed:
            loaded = configuration.load({f"DISPATCH_MCP_{name.upper()}": example}, cwd=Path("/"), home=Path("/no/such"))
            assert str(loaded.origin[name]).startswith("env"), name


@pytest.mark.parametrize(
    ("name", "possible"),
    [
        ("max_parallel", "1 to"),
        ("lease_minutes", "above 0 to 1,440"),
        ("reviews", "end, each, none"),
        ("learn", "true, false"),
        ("agent_dirs", "a list"),
        ("home", "a path"),
        ("claude_program", "a text"),
    ],
)
def test_a_setting_says_what_it_can_be(name: str, possible: str) -> None:
    assert settings_guide.possible(name).startswith(possible)


BROKEN = {
    "not TOML": "max_parallel = \n",
    "an unknown key": "max_paralel = 3\n",
    "a value that does not fit": "max_parallel = 0\n",
    "a command in no form": 'allow_commands = ["pytest"]\n',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named_by_those_who_say_what_is_wrong(
    content: str, shell: command_runs.Shell, own_home: Path
) -> None:
    file = own_home / "state/config.toml"
    file.parent.mkdir()
    file.write_text(content)
    shown, health = shell("config"), shell("doctor", "--json")
    assert (shown.code, health.code) == (2, 1)
    assert "config.toml" in shown.err
    assert "Until then every command that needs settings refuses to begin." in shown.err
    assert any(fact["mark"] == "✗" and "config.toml" in fact["detail"] for fact in health.json)
    assert shell("status").code == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('claude_program = "/no/such/claude"', "claude_program: '/no/such/claude' is no program"),
        ('agent_dirs = ["/no/such/folder"]', "agent_dirs: '/no/such/folder' is no folder"),
        ('trusted_repositories = ["/no/such"]', "trusted_repositories: '/no/such' is no folder"),
        ('council_reviewers = ["nobody"]', "council_reviewers: 'nobody' is no reviewer"),
        ('allow_commands = [["no-such-program", "-q"]]', "allow_commands: 'no-such-program' is not on the path"),
        ('default_worker = "api"', "default_worker: 'api' cannot work here"),
    ],
)
def test_what_a_setting_names_and_is_not_there_is_named(
    line: str, words: str, shell: command_runs.Shell, own_home: Path
) -> None:
    file = own_home / "state/config.toml"
    file.parent.mkdir()
    file.write_text(line + "\n")
    answer = shell("config", "check")
    assert answer.code == 2
    assert words in answer.err
    assert len(shell("config", "check", "--json").json) == 1


def test_whatever_else_is_wrong_with_a_file_all_of_its_settings_are_checked_at_once(
    shell: command_runs.Shell, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = own_home / "state/config.toml"
    file.parent.mkdir()
    file.write_text(
        'max_paralel = 3\nmax_parallel = 0\nnotify = "command"\nagent_dirs = ["/no/such/folder"]\n'
        'allow_commands = [["pytest -q"]]\nmax_tasks = 9\n'
    )
    monkeypatch.setenv("DISPATCH_MCP_PASS_ENV", "[")
    answer = shell("config", "check")
    assert answer.code == 2
    for words in (
        "there is no setting 'max_paralel'. Did you mean 'max_parallel'?",
        "`max_parallel` is 0",
        "`notify_command` says nothing",
        "DISPATCH_MCP_PASS_ENV is not a JSON list",
        "agent_dirs: '/no/such/folder' is no folder",
        """allow_commands: 'pytest -q' is not on the path. Write each word apart: ["pytest", "-q"].""",
    ):
        assert words in answer.err
    shown = shell("config", "--json").json
    assert (shown["max_tasks"]["value"], shown["max_parallel"]["value"], shown["notify"]["value"]) == (9, 5, "off")


def test_settings_that_can_be_used_are_said_to_be_and_where(shell: command_runs.Shell, own_home: Path) -> None:
    assert shell("config", "path").out.strip() == str(own_home / "state/config.toml")
    answer = shell("config", "check")
    assert answer.code == 0
    assert "Every setting can be used" in answer.out
