"""The command line: what there is to type, and which module does it."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dispatch_mcp import __version__, configuration, errors, model
from dispatch_mcp.cli import clean_output, shell_wording
from dispatch_mcp.model import problems
from dispatch_mcp.text import escape, redaction

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

EXIT_CODES = "exit codes: 0 ok, 1 failed, 2 wrong usage or input, 3 inconclusive, 130 interrupted"
MAX_PROBLEMS = 50
"""Problems of a plan that are printed for people."""

CLIENTS = ("claude-code", "claude-desktop", "cursor", "vscode", "codex", "opencode", "gemini")
SCOPES = ("user", "project", "local")
VIEWS = ("summary", "timeline", "results", "artifacts", "todo", "mermaid")


RunCommand = Callable[[argparse.Namespace, configuration.LoadedSettings], int]
"""Carries out a command and returns its exit code; `main` of each module in `cli.commands` is one."""

Load = Callable[[str], RunCommand]
"""Imports a module of `cli` and returns its `main`."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its help, its arguments as argparse takes them, and its module in `cli` if it has not its name."""

    help: str
    arguments: tuple[tuple[tuple[str, ...], Mapping[str, object]], ...] = ()
    module: str = ""


def flag(*names: str, **how: object) -> tuple[tuple[str, ...], Mapping[str, object]]:
    """Returns one argument of a command."""
    return names, how


COMMANDS: Mapping[str, Command] = {
    "serve": Command("serve MCP on stdio; also the default when stdin is not a terminal"),
    "hook": Command("answer a hook of Claude Code; its plugin starts this", (flag("event", help="its name"),)),
    "statusline": Command("print the open run in one line, for the status line of Claude Code"),
    "run": Command(
        "run a task document (or a stored plan) to its end and print the results as JSON",
        (
            flag("file", help="a JSON file {tasks, config}, - for stdin, or a plan id"),
            flag("--worker", default="auto", help="who does tasks that do not say (default: auto)"),
            flag("--roster", help="who does tasks without an agent: a roster's name, or a folder of agent files"),
            flag("--dry-run", action="store_true", help="simulate every task; labelled as such"),
            flag("--reuse", action="store_true", help="take over results of earlier runs of the same document"),
            flag("--strict", action="store_true", help="exit code 1 also when work was only claimed and not proven"),
            flag("--trace-dir", help="also write one trace file a task into this folder"),
            flag("--quiet", action="store_true", help="no progress on stderr"),
        ),
    ),
    "plan": Command(
        "check and schedule a task document without running it, or make a plan of a request",
        (
            flag("file", nargs="?", default="-", help="a JSON file {tasks, config}, - for stdin"),
            flag(
                "--request",
                help="instead of a file: what is to be done, in free words; alone, what is offered for it",
            ),
            flag("--pattern", help="for --request: how its parts stand to each other; one of those that it names"),
            flag("--part", action="append", help="for --request: one part of it, in your own words; once for each"),
            flag(
                "--with",
                dest="writer",
                choices=("api", "claude"),
                help="for --request: have the lead write the plan, with your API key or Claude Code",
            ),
            flag("--roster", help="who does tasks without an agent: a roster's name, or a folder of agent files"),
            flag("--diagram", "--mermaid", action="store_true", help="add a Mermaid flowchart"),
            flag("--todo", action="store_true", help="add a to-do list: content, status, priority"),
            flag(
                "--on-conflict",
                choices=("serialize", "worktree", "error"),
                default="serialize",
                help="what to do with tasks that write the same file at the same time",
            ),
        ),
    ),
    "route": Command(
        "say which specialist a request should go to, and why; exit code 3 when none is a likely home",
        (
            flag("text", nargs="*", help="the request; without it stdin is read"),
            flag("--roster", help="a roster's name, or a folder of agent files that is used alone"),
            flag("--batch", help="a JSONL file of {id, text}, - for stdin; answers one JSON line each"),
        ),
    ),
    "worker": Command(
        "carry on whatever runs nobody carries on, also after a chat has ended; stops cleanly on Ctrl-C or SIGTERM",
        (
            flag("--idle", type=float, metavar="SECONDS", help="leave after so long without work (default: never)"),
            flag("--quiet", action="store_true", help="no progress on stderr"),
        ),
    ),
    "context": Command(
        "say what a worker on a task would be given to read: the parts that the task will change, within a budget",
        (
            flag("text", nargs="*", help="the task in a sentence or two; without it stdin is read"),
            flag("--need", action="append", help="a key that comes first, such as file:src/app.py#L10-80, symbol:Name"),
            flag("--budget", type=int, default=5_000, help="tokens (default: 5000)"),
            flag("--receives", action="append", help="only this part of the project: a facet or a glob"),
            flag("--excludes", action="append", help="never this part: frontend, backend, database, …, or a glob"),
            flag("--batch", help="a JSONL file of {id, text}, - for stdin; answers one JSON line each"),
            flag("--history", help="past commits instead of git's: JSONL (.gz) of [id, time, subject, files]"),
        ),
    ),
    "agents": Command(
        "list, show, check or trust the agents that routing knows; see or forget what outcomes taught it",
        (
            flag("what", choices=("list", "show", "lint", "trust", "misroutes", "forget"), nargs="?", default="list"),
            flag("name", nargs="?", help="the agent, for show and trust"),
            flag("--roster", help="only this roster, or only this folder of agent files"),
            flag("--sha256", help="approve exactly this content, for trust without a terminal"),
        ),
    ),
    "status": Command(
        "list runs, or say where one stands",
        (
            flag("run", nargs="?", help="a run id, or latest"),
            flag("--all", action="store_true", help="finished runs too"),
        ),
    ),
    "trace": Command(
        "show what happened in a run",
        (
            flag("run", help="a run id, or latest"),
            flag("--view", choices=VIEWS, default="timeline", help="which side of the run"),
            flag("--task", default="", help="one task's whole result"),
            flag("--cursor", default="", help="go on behind this cursor"),
        ),
    ),
    "steer": Command(
        "cancel, pause or resume a run; retry or skip a task",
        (
            flag("action", choices=("cancel", "pause", "resume", "retry", "skip"), help="what to do"),
            flag("run", help="a run id, or latest"),
            flag("task", nargs="?", default="", help="a task id, for retry and skip"),
            flag("--reason", default="", help="is kept in the trace"),
        ),
    ),
    "limit": Command(
        "give a run other ceilings: dollars, tokens, minutes, attempts, tasks, fan_out",
        (
            flag("run", help="a run id, or latest"),
            flag("limits", nargs="+", metavar="NAME=VALUE", help="such as dollars=8"),
        ),
    ),
    "approve": Command(
        "answer a run that waits for a person's decision",
        (
            flag("run", help="a run id, or latest"),
            flag("task", nargs="?", default="", help="the decision, when several wait"),
            flag("--reject", action="store_true", help="say no: what depends on it is skipped"),
            flag("--reason", default="", help="is kept in the trace"),
        ),
    ),
    "apply": Command(
        "show what a run has merged; with its revision, bring that into the checkout",
        (
            flag("run", help="a run id, or latest"),
            flag(
                "--expect", default="", metavar="REVISION", help="the revision that was looked at: apply exactly that"
            ),
        ),
    ),
    "worktrees": Command(
        "list what runs have left in repositories; prune removes what is safe elsewhere",
        (flag("what", choices=("list", "prune"), nargs="?", default="list"),),
    ),
    "review": Command(
        "have a change reviewed by the council; exit codes: 0 does not block, 1 blocked, 3 inconclusive",
        (
            flag("range", nargs="?", help="a git range, or a revision: all since it (default: the working tree)"),
            flag("--diff", help="a file with a unified diff instead, - for stdin"),
            flag("--run", help="what a run changed instead; or a review: where it stands"),
            flag("--after", help="the review before, whose findings are checked again"),
            flag("--reviewer", action="append", help="one more reviewer beside those chosen; can be repeated"),
            flag("--worker", choices=("auto", "api", "claude", "scripted"), default="auto", help="who reviews"),
            flag("--choose", action="store_true", help="only say who would review what and why; starts nothing"),
            flag("--sarif", metavar="FILE", help="also write SARIF 2.1.0 into this file, - for stdout"),
            flag("--fresh", action="store_true", help="review again what has been reviewed"),
        ),
    ),
    "waive": Command(
        "let a finding of a review go: a person's word, recorded and shown with every decision",
        (
            flag("run", help="the review's run id, or latest"),
            flag("finding", help="the finding's id"),
            flag("--reason", required=True, help="why it may stay"),
        ),
    ),
    "install": Command(
        "register this server in a client: shows the change, starts the server as the client will, then writes",
        (
            flag("client", nargs="?", choices=CLIENTS, help="which client; without one, which are here"),
            flag("--scope", choices=SCOPES, default="user", help="for all projects, or for this one"),
            flag("--dry-run", action="store_true", help="only show what would change"),
            flag("--remove", action="store_true", help="take it out instead"),
            flag("--status-line", action="store_true", help="show the open run below the prompt of Claude Code, too"),
        ),
        "installation.install",
    ),
    "uninstall": Command(
        "take this server out of one client, or out of all of them, and say what stays",
        (
            flag("client", nargs="?", choices=CLIENTS, help="which client (default: all of them)"),
            flag("--scope", choices=SCOPES, default="user", help="for all projects, or for this one"),
            flag("--dry-run", action="store_true", help="only show what would change"),
        ),
        "installation.install",
    ),
    "doctor": Command("check this installation; changes nothing"),
    "config": Command(
        "show the settings in force", (flag("--origin", action="store_true", help="and where each one comes from"),)
    ),
    "demo": Command(
        "show the whole thing on a real repository in under half a minute",
        (
            flag("--repo", help="a git repository to look at (default: this checkout, else a fresh one)"),
            flag("--quick", action="store_true", help="no pauses for reading"),
        ),
    ),
}


class Parser(argparse.ArgumentParser):
    """A parser whose complaints hold no secrets."""

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        super()._print_message(clean_output.text(message), file)


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the whole command line."""
    top = Parser(
        prog="dispatch-mcp",
        description="Turns any MCP assistant into the orchestrator of a team of specialist agents.",
        epilog=f"{EXIT_CODES}. Register with Claude Code: claude mcp add dispatch -- uvx dispatch-mcp",
    )
    top.add_argument("-V", "--version", action="version", version=f"dispatch-mcp {__version__}")
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help, epilog=EXIT_CODES)
        for names, how in command.arguments:
            sub.add_argument(*names, **how)  # pyright: ignore[reportArgumentType]  # argparse checks it
        if name != "serve":
            sub.add_argument("--json", action="store_true", help="print JSON")
        sub.add_argument("--home", help="state directory (default: the user data directory, or DISPATCH_MCP_HOME)")
        sub.add_argument("--workspace", help="the project that the work is about (default: the current directory)")
    return top


def read(arguments: Sequence[str]) -> tuple[argparse.Namespace, configuration.LoadedSettings]:
    """Returns the options and the settings in force. Raises ConfigError; argparse exits on wrong usage."""
    options = parser().parse_args(arguments)
    flags = {"home": options.home, "workspace": options.workspace}
    return options, configuration.load(os.environ, flags=flags, cwd=Path.cwd())


def main(arguments: Sequence[str], load: Load) -> int:
    """Runs one command and returns its exit code; what goes wrong on purpose ends as a sentence, not a traceback.

    `load` imports a command's module when it is known which one is needed, and returns its `main`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    as_json = "--json" in arguments
    try:
        clean_output.use(redaction.Redactor(configuration.secret_values(os.environ)))
        options, setup = read(arguments)
        clean_output.use(redaction.Redactor(setup.secrets))
        code = load(COMMANDS[options.command].module or f"commands.{options.command}")(options, setup)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:
        return excuse(error, as_json=as_json)
    return code


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
        _silence(sys.stdout)
        return 0
    if isinstance(first, OSError):
        what = first.strerror or type(first).__name__
        place = f"{str(first.filename)!r}: " if first.filename is not None else ""
        first = errors.DispatchError(f"{place}{what}.", hint="Check the path, its rights and the space on its disk.")
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


def _silence(stream: object) -> None:
    """Lets what is left in a stream's buffer go nowhere, because nobody reads it any more."""
    if isinstance(stream, io.TextIOWrapper):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


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
    sys.stderr.write(clean_output.text(escape.terminal("\n".join(lines))) + "\n")
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
