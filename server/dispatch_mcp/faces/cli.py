"""The command line: what there is to type, and which module does it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dispatch_mcp import __version__, config, errors
from dispatch_mcp.core import escape

EXIT_CODES = "exit codes: 0 ok, 1 failed, 2 wrong usage or input, 3 inconclusive, 130 interrupted"
VIEWS = ("summary", "timeline", "results", "todo", "mermaid")


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its module in `faces.commands`, its help, and its arguments as argparse takes them."""

    help: str
    arguments: tuple[tuple[tuple[str, ...], Mapping[str, object]], ...] = ()


def flag(*names: str, **how: object) -> tuple[tuple[str, ...], Mapping[str, object]]:
    """Returns one argument of a command."""
    return names, how


COMMANDS: Mapping[str, Command] = {
    "serve": Command("serve MCP on stdio; also the default when stdin is not a terminal"),
    "run": Command(
        "run a task document (or a stored plan) to its end and print the results as JSON",
        (
            flag("file", help="a JSON file {tasks, config}, - for stdin, or a plan id"),
            flag("--worker", default="auto", help="who does tasks that do not say (default: auto)"),
            flag("--dry-run", action="store_true", help="simulate every task; labelled as such"),
            flag("--reuse", action="store_true", help="take over results of earlier runs of the same document"),
            flag("--trace-dir", help="also write one trace file a task into this folder"),
            flag("--quiet", action="store_true", help="no progress on stderr"),
        ),
    ),
    "plan": Command(
        "check and schedule a task document without running it",
        (
            flag("file", nargs="?", default="-", help="a JSON file {tasks, config}, - for stdin"),
            flag("--diagram", action="store_true", help="add a Mermaid flowchart"),
            flag("--on-conflict", choices=("serialize", "worktree", "error"), default="serialize"),
        ),
    ),
    "route": Command(
        "say which specialist a request should go to, and why",
        (
            flag("text", nargs="*", help="the request"),
            flag("--roster", help="a roster's name, or a folder of agent files that is used alone"),
            flag("--batch", help="a JSONL file of {id, text}; answers one JSON line each"),
        ),
    ),
    "agents": Command(
        "list, show or check the agents that routing knows",
        (
            flag("what", choices=("list", "show", "lint"), nargs="?", default="list"),
            flag("name", nargs="?", help="for show"),
            flag("--roster", help="only this roster"),
        ),
    ),
    "status": Command(
        "list runs, or say where one stands",
        (flag("run", nargs="?", help="a run id"), flag("--all", action="store_true", help="finished runs too")),
    ),
    "trace": Command(
        "show what happened in a run",
        (
            flag("run", help="a run id"),
            flag("--view", choices=VIEWS, default="timeline"),
            flag("--task", default="", help="one task's whole result"),
            flag("--cursor", default="", help="go on behind this cursor"),
        ),
    ),
    "steer": Command(
        "cancel, pause or resume a run; retry or skip a task",
        (
            flag("action", choices=("cancel", "pause", "resume", "retry", "skip")),
            flag("run", help="a run id"),
            flag("task", nargs="?", default=""),
            flag("--reason", default=""),
        ),
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


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the whole command line."""
    top = argparse.ArgumentParser(
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


def read(arguments: Sequence[str]) -> tuple[argparse.Namespace, config.Loaded]:
    """Returns the options and the settings in force. Raises ConfigError; argparse exits on wrong usage."""
    options = parser().parse_args(arguments)
    flags = {"home": options.home, "workspace": options.workspace}
    return options, config.load(os.environ, flags=flags, cwd=Path.cwd())


def complain(trouble: errors.DispatchError) -> int:
    """Prints what was wrong and what to do next; returns the exit code."""
    sys.stderr.write(escape.terminal(f"dispatch-mcp: {trouble.message}\n"))
    if trouble.hint:
        sys.stderr.write(escape.terminal(f"  {trouble.hint}\n"))
    wrong_input = isinstance(trouble, errors.InputError | errors.ConfigError)
    return 2 if wrong_input else 1
