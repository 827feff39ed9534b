"""What there is to type, and how what goes wrong ends."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import __main__ as entry
from dispatch_mcp import configuration, errors
from dispatch_mcp.cli import arguments, commands, installation
from dispatch_mcp.cli import program as cli_program
from dispatch_mcp.model import problems
from dispatch_mcp.next_steps import NextStep, StepKind

NEEDED = {
    "run": ["x.json"],
    "trace": ["latest"],
    "steer": ["pause", "latest"],
    "limit": ["latest", "dollars=8"],
    "approve": ["latest"],
    "apply": ["latest"],
    "completion": ["bash"],
    "hook": ["Stop"],
    "waive": ["latest", "f1", "--reason", "a fixture"],
}
"""What a command cannot do without."""


LIGHT = frozenset({"hook", "statusline"})
"""What is carried out without all that other commands load."""
LOADED = [name for name in arguments.COMMANDS if name not in LIGHT]


def module_of(name: str) -> str:
    return arguments.COMMANDS[name].module or f"commands.{name}"


def test_every_command_has_a_module_and_every_module_is_a_command() -> None:
    modules = {
        f"{room.__name__.rpartition('.')[2]}.{path.stem}"
        for room in (commands, installation)
        for path in Path(next(iter(room.__path__))).glob("*.py")
        if path.stem != "__init__"
    }
    assert modules | {"live.watch"} == set(map(module_of, LOADED))


@pytest.mark.parametrize("name", LOADED)
def test_a_command_is_carried_out_with_its_options_and_the_settings(name: str) -> None:
    run_command = entry.command(module_of(name))
    assert run_command is importlib.import_module(f"dispatch_mcp.cli.{module_of(name)}").main
    parameters = inspect.signature(run_command).parameters.values()
    assert len([parameter for parameter in parameters if parameter.default is parameter.empty]) == 2


@pytest.mark.parametrize("name", arguments.COMMANDS)
def test_every_command_takes_a_state_directory_and_a_workspace(name: str, tmp_path: Path) -> None:
    words = [name, *NEEDED.get(name, []), "--home", str(tmp_path / "state"), "--workspace", str(tmp_path)]
    options, setup = cli_program.read(words)
    assert options.command == name
    assert (setup.settings.home, setup.settings.workspace) == (tmp_path / "state", tmp_path)


@pytest.mark.parametrize("name", sorted(set(arguments.COMMANDS) - {"serve"}))
def test_every_command_that_answers_people_answers_programs_too(name: str) -> None:
    assert arguments.parser().parse_args([name, *NEEDED.get(name, []), "--json"]).json


def test_the_command_that_was_typed_is_loaded_and_no_other(tmp_path: Path) -> None:
    seen: list[tuple[str, object]] = []

    def load(name: str) -> cli_program.RunCommand:
        def run_command(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int | None:
            seen.append((name, options.run))
            return None if name == "run_list" else 7

        return run_command

    assert cli_program.main(["status", "abc", "--home", str(tmp_path)], load) == 7
    assert seen == [("run_list", "abc"), ("commands.status", "abc")], "what is quick is asked first"
    assert cli_program.main(["trace", "abc", "--home", str(tmp_path)], load) == 7
    assert seen[2:] == [("commands.trace", "abc")]


def problem(number: int) -> problems.Problem:
    return problems.Problem(code="missing", task=f"t{number}", message=f"Problem {number}.", fix="Mend it.")


def test_people_see_the_first_problems_and_programs_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    many = tuple(problem(number) for number in range(cli_program.MAX_PROBLEMS + 3))
    rejection = errors.PlanRejected("The plan has problems.", hint=NextStep(StepKind.CORRECT_PLAN), problems=many)
    assert cli_program.complain(rejection, as_json=True) == 2
    seen = capsys.readouterr()
    lines = seen.err.splitlines()
    assert lines[0] == "dispatch-mcp: The plan has problems."
    assert lines[1] == "  missing: [t0] Problem 0. Mend it."
    assert lines[-2:] == ["  and 3 more; --json lists all", "  Fix all of them and try again."]
    answer = json.loads(seen.out)
    assert (answer["ok"], answer["hint"]) == (False, "Fix all of them and try again.")
    assert len(answer["errors"]) == len(many)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("x"), 2),
        (errors.UnknownHandle("x"), 2),
        (errors.ConfigError("x"), 2),
        (errors.NotAllowed("x"), 1),
        (errors.StoreTooNew("x"), 1),
        (errors.WorkerError("x"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_wrong_input_and_wrong_settings_are_exit_code_2_and_everything_else_is_1(
    capsys: pytest.CaptureFixture[str], error: errors.DispatchError, code: int
) -> None:
    assert cli_program.complain(error) == code
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("", "dispatch-mcp: x\n")


@pytest.mark.promise("S12")
def test_an_error_cannot_write_to_the_terminal_what_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    cli_program.complain(errors.InputError("A name like \x1b[31mred\x07."))
    assert not {"\x1b", "\x07"} & set(capsys.readouterr().err)


def test_a_message_in_json_is_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    cli_program.complain(errors.InputError("A name like \x1b[31mred."), as_json=True)
    assert json.loads(capsys.readouterr().out)["error"] == "A name like \x1b[31mred."


TREES = st.recursive(
    st.sampled_from([ValueError, KeyError, errors.InputError, errors.StoreBusy, PermissionError]).map(
        lambda kind: kind()
    ),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda group: ExceptionGroup("group", group)),
    max_leaves=8,
)


def count(error: BaseException) -> int:
    inside = getattr(error, "exceptions", None)
    return 1 if inside is None else sum(map(count, inside))


@given(TREES)
def test_every_exception_in_a_group_of_groups_is_looked_at(error: Exception) -> None:
    leaves = list(cli_program.leaves(error))
    assert len(leaves) == count(error)
    assert not [leaf for leaf in leaves if isinstance(leaf, BaseExceptionGroup)]


@given(TREES)
def test_a_group_ends_as_a_sentence_exactly_if_one_of_its_errors_is_expected(error: Exception) -> None:
    expected = [leaf for leaf in cli_program.leaves(error) if isinstance(leaf, errors.DispatchError | OSError)]
    if expected:
        code = cli_program.excuse(error)
        first = next((leaf for leaf in expected if isinstance(leaf, errors.DispatchError)), expected[0])
        assert code == (2 if isinstance(first, errors.InputError) else 1)
    else:
        with pytest.raises(type(error)):
            cli_program.excuse(error)
