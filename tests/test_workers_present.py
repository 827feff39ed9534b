"""Who can work here, told without loading anybody who would."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatch_mcp import configuration, workers_present
from dispatch_mcp.model import WorkerKind


def settings(folder: Path, **flags: object) -> configuration.Settings:
    chosen = {"home": folder / "home", "workspace": folder, **flags}
    return configuration.load({}, flags=chosen, cwd=folder).settings


@pytest.mark.parametrize(
    ("env", "has_key"),
    [
        ({}, False),
        ({"ANTHROPIC_API_KEY": ""}, False),
        ({"ANTHROPIC_API_KEY": "key"}, True),
        ({"ANTHROPIC_AUTH_TOKEN": "token"}, True),
        ({"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}, False),
    ],
)
def test_the_api_can_be_asked_with_a_key_or_a_token_and_not_with_an_address_alone(
    env: dict[str, str], *, has_key: bool, tmp_path: Path
) -> None:
    assert workers_present.workers_here(settings(tmp_path), env).key == has_key


@pytest.mark.parametrize("name", ["api", "host"])
def test_who_is_to_work_by_the_settings_is_preferred(name: str, tmp_path: Path) -> None:
    assert workers_present.workers_here(settings(tmp_path), {}).preferred is None
    chosen = settings(tmp_path, default_worker=name)
    assert workers_present.workers_here(chosen, {}).preferred is WorkerKind(name)


@pytest.mark.parametrize("chat", [True, False])
def test_whether_an_assistant_calls_and_has_subagents_is_told_apart(tmp_path: Path, *, chat: bool) -> None:
    inside = workers_present.workers_here(settings(tmp_path), {"CLAUDECODE": "1"}, chat=chat)
    outside = workers_present.workers_here(settings(tmp_path), {}, chat=chat)
    assert (inside.chat, inside.subagents, outside.subagents) == (chat, True, False)
