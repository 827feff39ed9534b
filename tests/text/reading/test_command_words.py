"""What a command starts, in whatever words it is written."""

from __future__ import annotations

import shlex

import growth
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.text.reading import command_words

DEPLOY = ("make", "deploy")


@pytest.mark.parametrize(
    "words",
    [
        "make deploy",
        "/usr/bin/make deploy",
        "make -s deploy",
        "make -- deploy",
        "make deploy X=1",
        "make --jobs=4 deploy",
        "env make deploy",
        "env -i PATH=/bin /usr/bin/make deploy",
        "nice -n 5 timeout 30s make deploy",
        "nohup sudo -n make deploy",
        "bash -c 'make deploy'",
        "sh -ec 'cd app && make -s deploy; echo done'",
        "/bin/bash -lc 'true | make deploy > log'",
        "env bash -c 'sh -c \"make deploy\"'",
        "bash -c 'A=1 make deploy'",
        "bash -c '(make deploy)'",
        "make lint deploy",
    ],
)
def test_a_command_is_known_in_every_spelling(words: str) -> None:
    assert any(command_words.does(call, DEPLOY) for call in command_words.calls(shlex.split(words)))


@pytest.mark.parametrize(
    "words",
    [
        *("make", "make test", "cmake deploy", "echo make-deploy", "deploy make", "bash deploy", "bash -c 'make test'"),
        *("echo 'make deploy'", "env", "env A=1", "bash", "bash -c ''", "sh -c \"echo 'make deploy'\"", "git deploy"),
    ],
)
def test_another_command_is_not_taken_for_it(words: str) -> None:
    assert not any(command_words.does(call, DEPLOY) for call in command_words.calls(shlex.split(words)))


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        ("bash deploy.sh prod", [("deploy.sh", "prod")]),
        ("./deploy.sh prod --now", [("deploy.sh", "prod")]),
        ("bash -c './deploy.sh prod'", [("deploy.sh", "prod")]),
        ('sh -c "it\'s broken"', [("it's", "broken")]),
        ("python3 -m app.deploy", [("python3", "app.deploy")]),
        ("sh -c 'a\nb'", [("a",), ("b",)]),
    ],
)
def test_scripts_and_interpreters_are_called_by_what_they_run(words: str, calls: list[tuple[str, ...]]) -> None:
    assert list(command_words.calls(shlex.split(words))) == calls


def test_what_a_wrapper_starts_is_the_command_itself() -> None:
    for words in (
        "env -u HOME X=1 timeout 5 pytest -q",
        "env -C tests pytest -q",
        "env -S 'pytest -q'",
        "timeout -k 5 50 nice -n 5 pytest -q",
        "stdbuf -oL sudo -u me pytest -q",
        "X=1 nohup pytest -q",
    ):
        assert command_words.started(shlex.split(words)) == ["pytest", "-q"]
    assert command_words.started(["pytest", "-q"]) == ["pytest", "-q"]
    assert command_words.started(["bash", "run", "pytest"]) == ["bash", "run", "pytest"]
    assert command_words.started([]) == command_words.started(["env"]) == []


@pytest.mark.parametrize(
    "words",
    [
        *("env -u HOME -C app make deploy", "env -S 'make deploy'", "env --split-string 'make -s' deploy"),
        *(
            "sudo -u root make deploy",
            "stdbuf -o L make deploy",
            "xargs -I {} make deploy",
            "timeout -s KILL 5 make deploy",
        ),
        *("npx make deploy", "npm exec -- make deploy", "uv run make deploy", "poetry run env A=1 make deploy"),
    ],
)
def test_values_of_options_and_launchers_are_not_taken_for_the_command(words: str) -> None:
    assert any(command_words.does(call, DEPLOY) for call in command_words.calls(shlex.split(words)))


@pytest.mark.parametrize("words", ["npm test", "uv sync", "poetry install", "env -S", "npx", "uv run"])
def test_a_launcher_without_a_program_is_the_command_itself_or_nothing(words: str) -> None:
    assert list(command_words.started(words.split())) in (words.split(), [])


@given(st.lists(st.text(max_size=30), max_size=8))
def test_any_command_can_be_read(argv: list[str]) -> None:
    assert all(call for call in command_words.calls(argv))


@pytest.mark.parametrize("line", ["a ", "a;", "(", "'", "$(", "\\"])
def test_a_long_line_of_a_shell_takes_bounded_time(line: str) -> None:
    assert growth.is_at_most(9, lambda size: [*command_words.calls(["sh", "-c", line * size])], 5_000, 20_000)


@pytest.mark.parametrize(
    ("call", "other", "is_done"),
    [
        (("make", "deploy"), ("make", "deploy"), True),
        (("make", "lint", "deploy"), ("make", "deploy"), True),
        (("make", "deploy"), ("make", "lint", "deploy"), False),
        (("make",), ("make", "deploy"), False),
        (("git", "push", "origin"), ("git", "push"), True),
        (("push", "git"), ("git", "push"), False),
        ((), ("make",), False),
    ],
)
def test_who_does_more_does_it_too_and_who_does_less_does_not(
    call: tuple[str, ...], other: tuple[str, ...], *, is_done: bool
) -> None:
    assert command_words.does(call, other) is is_done
