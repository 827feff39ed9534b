"""One command from its words to its exit code; what goes wrong on purpose ends as a sentence, not a traceback."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.cli import arguments as command_line
from dispatch_mcp.cli import clean_output, help_pages, shell_wording
from dispatch_mcp.model import problems
from dispatch_mcp.process import private_files
from dispatch_mcp.text import escape, redaction

MAX_PROBLEMS = 50
"""Problems of a plan that are printed for people."""

WORK_ON_BROKEN = frozenset({"config", "doctor", "serve"})
"""Commands that say what is wrong with the settings, and so work when these cannot be used."""

WORK_ANYWHERE = frozenset({"serve"})
"""Commands that a program starts which shows nobody why they ended: a workspace that is gone is told in answers."""

RunCommand = Callable[[argparse.Namespace, configuration.LoadedSettings], int | None]
"""Carries out a command and returns its exit code; `main` of each module in `cli.commands` is one."""

Load = Callable[[str], RunCommand]
"""Imports a module of `cli` and returns its `main`."""


def read(arguments: Sequence[str]) -> tuple[argparse.Namespace, configuration.LoadedSettings]:
    """Returns the options and the settings in force. Raises ConfigError; argparse exits on wrong usage."""
    options = command_line.parser().read(arguments)
    flags = {"home": options.home, "workspace": options.workspace}
    try:
        cwd = Path.cwd()
    except FileNotFoundError as error:
        raise errors.InputError("The folder in which you are is gone.", hint="Go to another one with `cd`.") from error
    load = configuration.load_what_can_be if options.command in WORK_ON_BROKEN else configuration.load
    return options, load(os.environ, flags=flags, cwd=cwd, needs_workspace=options.command not in WORK_ANYWHERE)


def main(arguments: Sequence[str], load: Load) -> int:
    """Runs one command and returns its exit code; what goes wrong on purpose ends as a sentence, not a traceback.

    `load` imports a command's module when it is known which one is needed, and returns its `main`.
    """
    as_json = "--json" in arguments
    help_pages.Parser.clean = staticmethod(clean_output.text)
    try:
        clean_output.use(redaction.Redactor(configuration.secret_values(os.environ)))
        options, setup = read(arguments)
        clean_output.use(redaction.Redactor(setup.secrets))
        command = command_line.COMMANDS[options.command]
        code = load(command.quick)(options, setup) if command.quick else None
        if code is None:
            code = load(command.module or f"commands.{options.command}")(options, setup)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:
        return excuse(error, as_json=as_json)
    return code or 0


def excuse(error: BaseException, *, as_json: bool = False) -> int:
    """Returns the exit code for what a command raised, however deep in groups, and says what was wrong.

    Raises:
        BaseException: what was raised, when nothing in it happens on purpose: a bug needs its traceback.
    """
    reasons = sorted((leaf for leaf in leaves(error) if _rank(leaf) is not None), key=lambda leaf: _rank(leaf) or 0)
    if not reasons:
        raise error
    first = reasons[0]
    if isinstance(first, KeyboardInterrupt):
        sys.stderr.write("dispatch-mcp: interrupted\n")
        return 130
    if isinstance(first, BrokenPipeError):
        clean_output.silence(sys.stdout)
        return 0
    if isinstance(first, OSError):
        hint = "Check the path, its rights and the space on its disk."
        first = errors.DispatchError(f"{private_files.refusal(first)}.", hint=hint)
    assert isinstance(first, errors.DispatchError)
    return complain(first, as_json=as_json)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yields the exceptions in a group of groups; an exception that is no group yields itself."""
    inside: Sequence[BaseException] | None = getattr(error, "exceptions", None)
    if inside is None:
        yield error
        return
    for inner in inside:
        yield from leaves(inner)


_EXPECTED = (KeyboardInterrupt, errors.DispatchError, BrokenPipeError, OSError)


def _rank(error: BaseException) -> int | None:
    """Returns how much an exception explains, 0 the most; None for one that is not expected."""
    return next((rank for rank, kind in enumerate(_EXPECTED) if isinstance(error, kind)), None)


def complain(trouble: errors.DispatchError, *, as_json: bool = False) -> int:
    """Prints what was wrong and what to do next, on stdout too when JSON was asked for; returns the exit code."""
    message, hint = trouble.message, trouble.advice(shell_wording.words)
    plan_problems = trouble.problems if isinstance(trouble, errors.PlanRejected) else ()
    rows = [problem for problem in plan_problems if isinstance(problem, problems.Problem)]
    lines = [f"dispatch-mcp: {message}", *(f"  {_line(problem)}" for problem in rows[:MAX_PROBLEMS])]
    if len(rows) > MAX_PROBLEMS:
        lines.append(f"  and {len(rows) - MAX_PROBLEMS} more; --json lists all")
    if hint:
        lines.append(f"  {hint}")
    sys.stderr.write(clean_output.text(help_pages.complaint([escape.terminal(line) for line in lines])))
    if as_json:
        answer: dict[str, model.Json] = {"ok": False, "error": message, "hint": hint}
        if rows:
            answer["errors"] = [problem.model_dump(mode="json", exclude_defaults=True) for problem in rows]
        sys.stdout.write(json.dumps(clean_output.document(answer), indent=2) + "\n")
    wrong_input = isinstance(trouble, errors.InputError | errors.ConfigError)
    return 2 if wrong_input else 1


def _line(problem: problems.Problem) -> str:
    place = problem.task or problem.where
    return " ".join(filter(None, (f"{problem.code}:", f"[{place}]" if place else "", problem.message, problem.fix)))
