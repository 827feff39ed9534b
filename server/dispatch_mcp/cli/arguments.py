"""The command line: what there is to type. It loads nothing but argparse, so that help comes at once."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

from dispatch_mcp import __version__
from dispatch_mcp.cli import help_pages
from dispatch_mcp.service.run_views import view_names
from dispatch_mcp.text import json_types

EXIT_CODES = "exit codes: 0 ok, 1 failed, 2 wrong usage or input, 3 inconclusive, 130 interrupted"

CLIENTS = ("claude-code", "claude-desktop", "cursor", "vscode", "codex", "opencode", "gemini")
SCOPES = ("user", "project", "local")
SHELLS = ("bash", "zsh", "fish", "powershell")
STEERING = ("cancel", "pause", "resume", "retry", "skip")
VALUES = ("runs", "tasks", "plans", "agents")
"""What a shell can complete, and only this machine knows."""
VIEWS = tuple(view for view in view_names.VIEWS if view not in view_names.NOT_OF_RUNS)


class Command(NamedTuple):
    """One command: its help, its arguments as argparse takes them, and its module in `cli` if it has not its name.

    `quick` is a module that is asked first: its `main` returns None where only the command's own can do it.
    """

    help: str
    arguments: tuple[tuple[tuple[str, ...], Mapping[str, object]], ...] = ()
    module: str = ""
    quick: str = ""


def flag(*names: str, **how: object) -> tuple[tuple[str, ...], Mapping[str, object]]:
    """Returns one argument of a command."""
    return names, how


COMMANDS: Mapping[str, Command] = {
    "serve": Command(
        "serve MCP on stdio, also the default when stdin is not a terminal, or with --http at an address",
        (
            flag(
                "--http",
                nargs="?",
                const="",
                metavar="ADDRESS",
                help="serve over HTTP at HOST:PORT (default: 127.0.0.1:8765); clients need a token",
            ),
            flag(
                "--allow-host",
                action="append",
                default=[],
                metavar="NAME",
                help="for --http: a host name by which clients may reach it, behind a proxy with TLS",
            ),
        ),
    ),
    "token": Command(
        "make, list or remove the tokens of clients that use serve --http",
        (
            flag("action", nargs="?", choices=("list", "add", "remove"), default="list", help="what to do"),
            flag("name", nargs="?", default="", help="whose token it is"),
        ),
        module="installation.tokens",
    ),
    "hook": Command("answer a hook of Claude Code; its plugin starts this", (flag("event", help="its name"),)),
    "statusline": Command("print the open run in one line, for the status line of Claude Code"),
    "run": Command(
        "run a task document (or a stored plan) to its end and print the results as JSON",
        (
            flag("file", help="a JSON file {tasks, config}, - for stdin, or a plan: the beginning of its id"),
            flag(
                "--worker", default="auto", help="who does tasks that do not say: auto, api, claude, command, scripted"
            ),
            flag("--roster", help="who does tasks without an agent: a roster's name, or a folder of agent files"),
            flag("--dry-run", action="store_true", help="simulate every task; labelled as such"),
            flag("--title", default="", help="what to call it (default: the first words of its first task)"),
            flag("--reuse", action="store_true", help="take over results of earlier runs of the same document"),
            flag("--strict", action="store_true", help="exit code 1 also when work was only claimed and not proven"),
            flag("--trace-dir", help="also write one trace file a task into this folder"),
            flag("--quiet", action="store_true", help="no progress on stderr"),
        ),
    ),
    "plan": Command(
        "check and schedule a task document without running it, or make a plan of a request",
        (
            flag("file", nargs="?", help="a JSON file {tasks, config}; - or nothing for stdin"),
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
            flag("--title", default="", help="what to call the plan (default: the first words of the request or task)"),
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
        "carry on open runs that no process carries on, as after a chat has ended; stops cleanly on Ctrl-C or SIGTERM",
        (
            flag("--idle", type=float, metavar="SECONDS", help="leave after so long without work (default: never)"),
            flag("--quiet", action="store_true", help="no progress on stderr"),
            flag("--engine", choices=("embedded", "temporal"), help="what drives runs (default: as the settings say)"),
            flag("--queue", metavar="NAME", help="only do work from the queues of this name, with --engine temporal"),
            flag("--slots", type=int, metavar="N", help="so many attempts from each queue at a time (default: 5)"),
            flag("--read-only", action="store_true", help="with --queue: only work that changes no files"),
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
            flag("run", nargs="?", help="a run: the beginning of its id, or latest"),
            flag("--all", action="store_true", help="finished runs too"),
        ),
        quick="run_list",
    ),
    "watch": Command(
        "follow a run on one screen, with keys to pause, cancel and look closer",
        (flag("run", nargs="?", help="a run: the beginning of its id (default: the latest)"),),
        module="live.watch",
    ),
    "trace": Command(
        "show what happened in a run",
        (
            flag("run", nargs="?", default="latest", help="a run: the beginning of its id (default: the latest)"),
            flag("--view", choices=VIEWS, default="timeline", help="which side of the run"),
            flag("--task", default="", help="one task's whole result"),
            flag("--cursor", default="", help="go on behind this cursor"),
            flag(
                "--html",
                metavar="FILE",
                help="write the run as one page without a network, - for stdout",
            ),
            flag("--open", action="store_true", help="show that page in the browser; without --html as a passing file"),
        ),
    ),
    "steer": Command(
        "cancel, pause or resume a run; retry or skip a task",
        (
            flag("action", choices=STEERING, help="what to do"),
            flag("run", help="a run: the beginning of its id, or latest"),
            flag("task", nargs="?", default="", help="a task id, for retry and skip"),
            flag("--reason", default="", help="is kept in the trace"),
        ),
    ),
    "limit": Command(
        "give a run other ceilings: dollars, tokens, minutes, attempts, tasks, fan_out",
        (
            flag("run", help="a run: the beginning of its id, or latest"),
            flag("limits", nargs="*", default=[], metavar="NAME=VALUE", help="such as dollars=8"),
            flag(
                "--begin-anyway",
                action="store_true",
                help="let work begin with what is left where its forecast does not fit; it stops at the ceiling",
            ),
            flag("--expect", default="", metavar="DIGEST", help="do not ask: the plan that you saw has this digest"),
        ),
    ),
    "approve": Command(
        "answer a run that waits for a person's decision",
        (
            flag("run", help="a run: the beginning of its id, or latest"),
            flag("task", nargs="?", default="", help="the decision, when several wait"),
            flag("--reject", action="store_true", help="say no: what depends on it is skipped"),
            flag("--reason", default="", help="is kept in the trace"),
        ),
    ),
    "apply": Command(
        "show what a run has merged; with its revision, bring that into the checkout",
        (
            flag("run", help="a run: the beginning of its id, or latest"),
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
            flag("run", help="the review: the beginning of its run's id, or latest"),
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
    "where": Command("say where everything lies, and how large it is; changes nothing", (), "installation.upkeep"),
    "prune": Command(
        "remove runs that have been over for long, and what was kept for them; never what is open or not merged",
        (
            flag("--older", default="30d", metavar="AGE", help="over for longer: 30d, 12h, 8w, 1y (default: 30d)"),
            flag("--dry-run", action="store_true", help="only say what would go"),
        ),
        "installation.upkeep",
    ),
    "doctor": Command("check this installation; changes nothing"),
    "config": Command(
        "show the settings in force, check that each can be used, name the file that holds them, or edit it",
        (
            flag("what", choices=("show", "check", "path", "edit"), nargs="?", default="show", help="what to do"),
            flag("--origin", action="store_true", help="and where each one comes from"),
        ),
    ),
    "notify": Command(
        "say how you are told of your runs, try it, or print the key that a webhook is signed with",
        (flag("what", choices=("show", "test", "key"), nargs="?", default="show", help="what to do"),),
        "installation.notifications",
    ),
    "completion": Command(
        "print what makes a shell complete commands, options and their values",
        (
            flag("shell", choices=SHELLS, help="which shell; the script says where it goes"),
            flag("--values", choices=VALUES, help="only say what can stand in one place; what the scripts ask for"),
            flag("--line", default="", help="for tasks: what is typed so far, with the run"),
        ),
        "installation.completion",
    ),
    "demo": Command(
        "show it at work on a small project that it brings along, in under half a minute; no key, no network",
        (flag("--repo", help="a git repository: it works in a copy of it, and writes nothing there"),),
    ),
}


GROUPS: Mapping[str, tuple[str, ...]] = {
    "Set up": ("install", "uninstall", "doctor", "config", "notify", "where", "prune", "completion", "demo"),
    "Plan and run": ("plan", "run", "worker", "route", "context", "agents"),
    "Follow and steer": ("status", "watch", "trace", "steer", "limit", "approve"),
    "Review and take over": ("review", "waive", "apply", "worktrees"),
    "For clients": ("serve", "token", "hook", "statusline"),
}
"""Under which heading help lists a command; one that stands nowhere comes under "More"."""

WAYS: Mapping[str, str] = {
    **{action: f"`steer {action} RUN` does that" for action in STEERING},
    "version": "`dispatch-mcp --version` says which one this is",
    **dict.fromkeys(("list", "ls", "runs"), "`status --all` lists runs"),
    **dict.fromkeys(("log", "logs"), "`trace latest` shows what happened in the newest run"),
    "init": "A project needs no preparation; `install CLIENT` registers the server in your assistant",
    "resume": "`run` with the same file or plan goes on with a run that was ended, `steer resume RUN` a paused one",
}
"""What to type instead of words that people take for commands."""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "": ("install claude-code", "run tasks.json", "status", "review main..HEAD"),
    "install": ("install", "install claude-code", "install cursor --scope project --dry-run"),
    "uninstall": ("uninstall --dry-run", "uninstall", "uninstall cursor"),
    "config": ("config", "config --origin", "config check", "config edit"),
    "notify": ("notify", "notify test", "notify key"),
    "prune": ("prune --dry-run", "prune", "prune --older 1y"),
    "completion": ("completion bash > FILE", "completion zsh > FILE", "completion fish > FILE"),
    "plan": ("plan tasks.json", 'plan --request "Add payments to the shop"', "plan tasks.json --diagram"),
    "run": ("run tasks.json", "run tasks.json --worker claude", "run tasks.json --dry-run"),
    "worker": ("worker", "worker --idle 60", "worker --engine temporal --queue agents --slots 20"),
    "route": ('route "Fix the expired tokens"', "route --batch requests.jsonl"),
    "context": ('context "Add a discount to the cart"', 'context "Fix total()" --need file:shop/cart.py'),
    "agents": ("agents", "agents show eng-backend", "agents lint --roster ./agents"),
    "status": ("status", "status --all", "status latest"),
    "watch": ("watch", "watch shop-payments"),
    "trace": ("trace latest", "trace latest --view results", "trace latest --open"),
    "steer": ("steer pause latest", "steer retry latest api"),
    "limit": ("limit latest dollars=8 minutes=60", "limit latest --begin-anyway"),
    "approve": ("approve latest", 'approve latest release --reject --reason "not today"'),
    "review": ("review", "review main..HEAD", "review --choose"),
    "waive": ('waive latest 9a7af7b8 --reason "covered elsewhere"',),
    "apply": ("apply latest", "apply latest --expect 4f2a91c0b3de"),
    "worktrees": ("worktrees", "worktrees prune"),
    "demo": ("demo", "demo --repo ."),
    "serve": ("serve", "serve --http", "serve --http 0.0.0.0:8765 --allow-host dispatch.example.com"),
    "token": ("token add laptop", "token", "token remove laptop"),
}
"""What one types, without the program's name; under "" for the whole."""


@functools.cache
def parser() -> help_pages.Parser:
    """Returns the parser of the whole command line, the same at every call: who changes it builds another."""
    return new_parser()


def new_parser() -> help_pages.Parser:
    """Returns a parser of the whole command line that nobody else has."""
    top = help_pages.Parser(
        prog="dispatch-mcp",
        description="Turns any MCP assistant into the orchestrator of a team of specialist agents.",
        epilog=f"{EXIT_CODES}.",
    )
    top.add_argument("-V", "--version", action="version", version=f"dispatch-mcp {__version__}")
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=help_pages.sentence(command.help))
        sub.epilog = f"{EXIT_CODES}."
        top.commands[name] = sub
        sub.examples = EXAMPLES.get(name, ())
        for names, how in command.arguments:
            sub.add_argument(*names, **_shown(names, how))  # pyright: ignore[reportArgumentType]  # argparse checks it
        if name != "serve":
            sub.add_argument("--json", action="store_true", help="print JSON")
        sub.add_argument("--home", help="state folder (default: the user data folder, or DISPATCH_MCP_HOME)")
        sub.add_argument("--workspace", help="the project that the work is about (default: the current directory)")
    top.examples = EXAMPLES[""]
    top.ways = WAYS
    top.groups = {title: {name: COMMANDS[name].help for name in names} for title, names in _groups().items()}
    return top


def _shown(names: tuple[str, ...], how: Mapping[str, object]) -> Mapping[str, object]:
    """Returns how an argument is declared, with its choices in its help and not in its name."""
    choices = how.get("choices")
    if choices is None:
        return how
    text = f"{how.get('help', '')}: {_listed(choices)}"
    name = names[-1].lstrip("-")
    return {**how, "help": text, "metavar": name.upper() if names[0].startswith("-") else name}


def _listed(choices: object) -> str:
    return ", ".join(map(str, choices)) if json_types.is_list(choices) else str(choices)


def _groups() -> dict[str, tuple[str, ...]]:
    """Returns the groups with all commands in them."""
    members = {name for names in GROUPS.values() for name in names}
    rest = tuple(name for name in COMMANDS if name not in members)
    return {**GROUPS, **({"More": rest} if rest else {})}
