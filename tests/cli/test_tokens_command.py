"""`token`: who may come over HTTP, told to people and as JSON; and addresses that `serve --http` refuses."""

from __future__ import annotations

from pathlib import Path

import command_runs
import pytest

from dispatch_mcp.web import access_tokens


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> command_runs.Shell:
    return command_runs.shell(monkeypatch, capsys)


def test_a_new_token_is_printed_alone_and_lets_its_name_in(shell: command_runs.Shell, own_home: Path) -> None:
    done = shell("token", "add", "laptop")
    assert done.code == 0
    assert access_tokens.Tokens(own_home / "state").owner(done.out.strip()) == "laptop"
    assert "Shown once. laptop sends it" in done.err
    assert done.out.strip() not in done.err


def test_a_new_token_is_one_object_for_programs(shell: command_runs.Shell, own_home: Path) -> None:
    answer = shell("token", "add", "laptop", "--json").json
    assert answer["name"] == "laptop"
    assert access_tokens.Tokens(own_home / "state").owner(answer["token"]) == "laptop"


def test_the_list_has_names_and_no_tokens(shell: command_runs.Shell) -> None:
    assert "token add NAME" in shell("token").out
    token = shell("token", "add", "laptop").out.strip()
    shell("token", "add", "desk")
    listed = shell("token")
    assert listed.out.split() == ["desk", "laptop"]
    assert token not in listed.out
    assert shell("token", "list", "--json").json == {"names": ["desk", "laptop"]}


def test_a_removed_name_is_said_and_gone(shell: command_runs.Shell) -> None:
    shell("token", "add", "laptop")
    shell("token", "add", "desk")
    assert "laptop is not let in any more" in shell("token", "remove", "laptop").out
    assert shell("token", "remove", "desk", "--json").json == {"removed": "desk"}
    assert shell("token", "list", "--json").json == {"names": []}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("token", "add"), "Whose token?"),
        (("token", "remove"), "Whose token?"),
        (("token", "remove", "laptop"), "'laptop' has no token"),
        (("token", "add", "a b"), "is no name"),
        (("serve", "--http", "0.0.0.0:0"), "--allow-host"),
        (("serve", "--http", "127.0.0.1:x"), "is no address"),
        (("serve", "--http", "foo"), "For this machine alone write a port, such as 8765."),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    shell: command_runs.Shell, own_home: Path, words: tuple[str, ...], problem: str
) -> None:
    done = shell(*words)
    assert done.code == 2
    assert problem in done.err
    assert not (own_home / "state").exists()
