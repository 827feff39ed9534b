"""The settings in force, as a table and as JSON."""

from __future__ import annotations

import command_runs
import pytest

from dispatch_mcp import configuration


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
    assert plain.splitlines()[0].split() == ["setting", "value"]
    assert with_origin.splitlines()[0].split() == ["setting", "value", "from"]
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
