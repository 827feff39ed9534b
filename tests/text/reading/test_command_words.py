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
        "gmake deploy",
        "flock deploy.lock make deploy",
        "uv run --with rich make deploy",
        "bash -c 'if true; then make deploy; fi'",
        "bash -c 'if false; then :; elif true; then ! make deploy; else :; fi'",
        "bash -c '{ time make deploy; }'",
        "bash -c 'for at in 1 2; do make deploy; done'",
        "bash -c 'while true; do make deploy; done'",
        "bash -c 'case $1 in x) make deploy;; esac'",
        "bash -c 'make deploy 2>&1 | tee log'",
        "bash -c 'make 2> log deploy'",
        "bash -c 'eval \"make deploy\"'",
    ],
)
def test_a_command_is_known_in_every_spelling(words: str) -> None:
    assert any(command_words.does(call, DEPLOY) for call in command_words.calls(shlex.split(words)))


@pytest.mark.parametrize(
    "words",
    [
        *("make", "make test", "cmake deploy", "echo make-deploy", "deploy make", "bash deploy", "bash -c 'make test'"),
        *(
            "bash -c 'for make in deploy; do ls; done'",
            "bash -c 'ls > make deploy'",
            "bash -c 'if make; then deploy; fi'",
        ),
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
        ("python3 -m app.deploy", [("python", "app.deploy")]),
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
        (("make",), ("make",), True),
        (("make", "test"), ("make",), False),
        (("deploy.sh", "prod"), ("deploy.sh",), True),
    ],
)
def test_who_does_more_does_it_too_and_who_does_less_does_not(
    call: tuple[str, ...], other: tuple[str, ...], *, is_done: bool
) -> None:
    assert command_words.does(call, other) is is_done


@pytest.mark.parametrize(
    ("spellings", "call"),
    [
        (
            ("python app/x.py now", "python3.12 -B -Werror x.py now", "./x.py now", "bash -c 'python3 x.py now'"),
            ("x.py", "now"),
        ),
        (("node x.js", "nodejs --trace-warnings app/x.js", "deno run x.js"), ("x.js",)),
        (("python3 -m x.py", "python -mx.py x.py", "python3 -c x.py"), ("python", "x.py")),
        (("pip3.12 download x", "pip download x"), ("pip", "download", "x")),
        (("npm run ship -- x", "npm run-script ship x", "yarn ship x", "yarn run ship x"), ("npm", "run", "ship", "x")),
        (("pnpm run ship", "pnpm ship", "npm -s run ship", "npm --prefix app run ship"), ("npm", "run", "ship")),
        (("npm start", "npm run start", "yarn start"), ("npm", "run", "start")),
        (("npm publish", "yarn publish", "pnpm publish"), ("npm", "publish")),
        ((". ./deploy.sh", "source deploy.sh", "bash deploy.sh"), ("deploy.sh",)),
    ],
)
def test_an_interpreter_and_a_runner_of_scripts_are_the_same_by_every_name(
    spellings: tuple[str, ...], call: tuple[str, ...]
) -> None:
    for words in spellings:
        assert command_words.does(command_words.calls(shlex.split(words))[0], call), words


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (
            "bash -c 'set -e; cd app; export A=1; source .env; [ -f x ] && echo go; ./deploy.sh | tee log'",
            ["deploy.sh"],
        ),
        ("bash -c 'npm ci && git status && npm run build && npm run ship'", ["npm run ship"]),
        ("bash -c 'make test lint && make deploy && ./tell.sh'", ["make deploy", "tell.sh"]),
        ("bash -c 'python3 -m pytest -q; docker push x'", ["docker push x"]),
        ("bash -c 'cd docs && npm ci'", ["npm ci"]),
        ("bash -c 'cd docs && git status'", ["git status"]),
        ("bash -c 'cd docs; echo x > y'", ["cd docs", "echo x"]),
        ("make test", ["make test"]),
        ("bash -c 'make test deploy; make'", ["make test deploy", "make"]),
        ("env", []),
    ],
)
def test_a_line_is_known_by_what_it_is_for_and_not_by_its_common_steps(words: str, calls: list[str]) -> None:
    telling = command_words.telling_calls(shlex.split(words), lambda argv: list(argv) == ["git", "status"])
    assert [" ".join(call) for call in telling] == calls


def test_calls_that_are_harmless_are_left_out_of_a_line() -> None:
    argv = ["sh", "-c", "git status; make deploy"]
    assert command_words.calls(argv, lambda words: "git" in words) == [DEPLOY]


@given(st.lists(st.text(alphabet="abcd -;&|<>{}!\n'", max_size=30), max_size=4))
def test_every_line_that_starts_something_is_known_by_a_part_of_it(words: list[str]) -> None:
    argv = ["bash", "-c", "; ".join(words)]
    calls = command_words.calls(argv)
    telling = command_words.telling_calls(argv, lambda _: False)
    assert set(telling) <= set(calls)
    assert bool(telling) == bool(calls)
    assert all(any(command_words.does(call, mark) for call in calls) for mark in telling)


def test_the_same_line_is_asked_about_again_whatever_in_it_is_harmless() -> None:
    for line in ("git status", "cd app; git status", "set -e", "npm ci; make test", "git status; make deploy"):
        argv = ["bash", "-c", line]
        calls = command_words.calls(argv)
        for mark in command_words.telling_calls(argv, lambda words: "git" in words):
            assert any(command_words.does(call, mark) for call in calls)


@pytest.mark.parametrize(
    ("refused_line", "other"),
    [
        ("make deploy", "bash -c 'cat Makefile | grep deploy'"),
        ("make deploy", "just deploy"),
        ("make", "make test"),
        ("git push origin main", "git push origin dev"),
        ("npm run deploy", "yarn test"),
        ("npm publish", "npm test"),
        ("python3 deploy.py", "python3 -m pytest"),
        ("python3 -c 'deploy()'", "python3 -c 'print(1)'"),
        ("python3 -m alembic upgrade head", "python3 -m alembic current"),
        ("uv run deploy.py", "uv run pytest"),
        ("./deploy.sh", "bash -c 'echo ./deploy.sh'"),
        ("bash -c 'cd docs; bash ../deploy.sh'", "bash -c 'cd docs && make html'"),
        ("bash -c 'source .env; python3 manage.py migrate'", "bash -c 'source .env; python3 manage.py check'"),
        ("bash -c 'docker build -t x . && docker push x'", "docker build -t x ."),
    ],
)
def test_what_only_looks_like_refused_work_is_not_known_by_it(refused_line: str, other: str) -> None:
    calls = command_words.calls(shlex.split(other))
    marks = command_words.telling_calls(shlex.split(refused_line), lambda _: False)
    assert not any(command_words.does(call, mark) for call in calls for mark in marks)
