"""`dispatch-mcp completion SHELL`: what makes a shell complete this command line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final, get_args

import shtab

from dispatch_mcp import configuration, errors
from dispatch_mcp.agents import loader
from dispatch_mcp.cli import arguments, console, help_pages
from dispatch_mcp.model import worker_choice
from dispatch_mcp.process import standard_streams
from dispatch_mcp.store import health
from dispatch_mcp.store.looks import listed_runs
from dispatch_mcp.text import short_forms

PLACES: Mapping[str, str] = {
    "bash": "~/.local/share/bash-completion/completions/dispatch-mcp",
    "zsh": "a folder of your $fpath, as _dispatch-mcp",
    "fish": "~/.config/fish/completions/dispatch-mcp.fish",
    "powershell": "the file that $PROFILE names",
}
"""Where a shell looks for it."""

FILES = frozenset({"file", "--diff", "--batch", "--history", "--sarif"})
FOLDERS = frozenset({"--home", "--workspace", "--repo", "--trace-dir", "--roster"})
"""Arguments whose values are completed as paths."""


PLANS: Final = "plans"
"""What can stand for a file in `run`."""
VALUES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("run", "--run", "--after"), "runs"),
    **dict.fromkeys(("task", "--task"), "tasks"),
    "name": "agents",
}
"""Which values of this machine complete an argument; `WORKERS` are the same everywhere."""
WORKERS: Final = tuple(name for name in get_args(worker_choice.WorkerName) if name != "host")
LATEST: Final = "latest"

_LINES: Final[Mapping[str, str]] = {
    "bash": ' --line "$COMP_LINE"',
    "zsh": ' --line "$BUFFER"',
    "fish": " --line (commandline -cp)",
    "powershell": ' --line "$commandAst"',  # the completer's own variable, which what it calls can see
}
"""How a shell says what is typed so far."""
_FILES_TOO: Final[Mapping[str, str]] = {
    "bash": '  _shtab_compgen_files "$1"\n',
    "zsh": '  _files "$@"\n',
    "fish": "; __fish_complete_path (commandline -ct)",
    "powershell": "  _shtab_powershell_compgen_files $WordToComplete\n",
}
"""What offers files beside values of this machine."""
_PLAIN: Final = str.maketrans(dict(standard_streams.PLAIN))
"""Signs of our own in ASCII: Windows PowerShell reads a file in a code page, and a curly quote ends a string there."""
_HEAD: Final = re.compile(r"^# AUTOMATICALLY GENERATED.*\n(?:# (?!See also).*\n){0,20}# See also.*\n", re.MULTILINE)


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints the script, and on a terminal says where it goes; or what can stand in one place of a line."""
    if options.values:
        sys.stdout.write("".join(f"{value}\n" for value in values(options.values, options.line, setup.settings)))
        return console.OK
    script = shtab.complete(with_values(arguments.new_parser()), options.shell)
    script = _HEAD.sub(f"# It belongs in {PLACES[options.shell]}\n", script, count=1).translate(_PLAIN)
    if options.json:
        console.emit({"shell": options.shell, "place": PLACES[options.shell], "script": script})
        return console.OK
    sys.stdout.write(script)
    if sys.stdout.isatty():
        console.note(f"Save it: {options.shell} looks for it in {PLACES[options.shell]}.")
    return console.OK


def values(kind: str, line: str, settings: configuration.Settings) -> Iterable[str]:
    """Returns the runs, tasks, plans or agents that there are; nothing where that cannot be read just now."""
    try:
        if kind == "agents":
            return sorted(agent.name for agent in loader.Source.from_settings(settings).catalog().agents)
        if kind == "tasks":
            return health.look(settings.home, partial(listed_runs.task_names, words=line.split()[1:]))
        if kind == PLANS:
            return list(map(short_forms.short, health.look(settings.home, listed_runs.plan_names)))
        return [LATEST, *map(short_forms.short, health.look(settings.home, listed_runs.names))]
    except (errors.DispatchError, OSError):
        return ()


def asked_for(kind: str) -> dict[str, str | dict[str, str]]:
    """Returns how each shell asks this program for values, in the form that shtab takes."""
    ask = {
        shell: f"dispatch-mcp completion {shell} --values {kind}{_LINES.get(shell, '') if kind == 'tasks' else ''}"
        for shell in arguments.SHELLS
    }
    name = f"_dispatch_mcp_{kind}"
    beside = _FILES_TOO if kind == PLANS else dict.fromkeys(_FILES_TOO, "")
    return {
        **dict.fromkeys(arguments.SHELLS, name),
        "fish": f"({ask['fish']} 2>/dev/null{beside['fish']})",
        "preamble": {
            "bash": f'{name}() {{\n  compgen -W "$({ask["bash"]} 2>/dev/null)" -- "$1"\n{beside["bash"]}}}\n',
            "zsh": f'{name}() {{\n  local -a names\n  names=(${{(f)"$({ask["zsh"]} 2>/dev/null)"}})\n'
            f'  compadd "$@" -a names\n{beside["zsh"]}}}\n',
            "powershell": f"function {name} {{\n  param([string]$WordToComplete)\n"
            f'  {ask["powershell"]} 2>$null | Where-Object {{ $_ -like "$WordToComplete*" }}\n'
            f"{beside['powershell']}}}\n",
        },
    }


def with_values(parser: help_pages.Parser, command: str = "") -> help_pages.Parser:
    """Returns the parser with what completes its values, in its commands too."""
    for action in parser._actions:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # argparse offers no other way
        names = {action.dest, *action.option_strings}
        if command == "run" and "file" in names:
            setattr(action, "complete", asked_for(PLANS))  # noqa: B010  # shtab's own way
        elif names & FILES:
            setattr(action, "complete", shtab.FILE)  # noqa: B010  # shtab's own way
        elif names & FOLDERS:
            setattr(action, "complete", shtab.DIRECTORY)  # noqa: B010  # shtab's own way
        elif kind := next((VALUES[name] for name in names if name in VALUES and not _is_other(name, command)), ""):
            setattr(action, "complete", asked_for(kind))  # noqa: B010
        elif "--worker" in names:
            action.choices = action.choices or WORKERS
        action.help = action.help and action.help.removesuffix(f": {', '.join(map(str, action.choices or ()))}")
    for name, inner in parser.commands.items():
        with_values(inner, name)
    return parser


def _is_other(name: str, command: str) -> bool:
    """Returns whether an argument of that name is something else in this command: a name is not always an agent's."""
    return name == "name" and command != "agents"
