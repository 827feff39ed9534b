"""`dispatch-mcp completion SHELL`: what makes a shell complete this command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping

import shtab

from dispatch_mcp import configuration
from dispatch_mcp.cli import arguments, console, help_pages

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


def main(options: argparse.Namespace, _setup: configuration.LoadedSettings) -> int:
    """Prints the script, and on a terminal says where it goes."""
    script = shtab.complete(with_paths(arguments.new_parser()), options.shell)
    if options.json:
        console.emit({"shell": options.shell, "place": PLACES[options.shell], "script": script})
        return console.OK
    sys.stdout.write(script)
    if sys.stdout.isatty():
        console.note(f"Save it: {options.shell} looks for it in {PLACES[options.shell]}.")
    return console.OK


def with_paths(parser: help_pages.Parser) -> help_pages.Parser:
    """Returns the parser with what is a file or a folder marked as such, in its commands too."""
    for action in parser._actions:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # argparse offers no other way
        names = {action.dest, *action.option_strings}
        if names & FILES:
            setattr(action, "complete", shtab.FILE)  # noqa: B010  # shtab's own way
        elif names & FOLDERS:
            setattr(action, "complete", shtab.DIRECTORY)  # noqa: B010  # shtab's own way
    for command in parser.commands.values():
        with_paths(command)
    return parser
