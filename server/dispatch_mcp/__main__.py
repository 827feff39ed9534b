"""Starts dispatch-mcp: a command, or the stdio server when there is no terminal."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from dispatch_mcp import __version__
from dispatch_mcp.process import standard_streams, undisturbed_loading, user_home

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatch_mcp.cli.program import Load

FAST = (["--version"], ["-V"])
HELP = ("--help", "-h", "help")
MOST_WORDS_OF_HELP = 2
LIGHT = (["hook"], ["statusline"])
"""What a host starts at every turn: nothing that it does not need is loaded."""
LISTS = (["status"], ["status", "--all"])
"""What people type again and again, and one look at the store can answer."""


def main() -> int:
    """Runs the command line and returns its exit code.

    What a command needs is imported here and not on top: `--version` and wrong usage must not wait for the MCP SDK.
    """
    standard_streams.complete()
    standard_streams.degrade()
    arguments = sys.argv[1:]
    if arguments in FAST:
        sys.stdout.write(f"dispatch-mcp {__version__}\n")
        return 0
    trouble = user_home.complete(os.environ)
    if arguments[:1] in LIGHT and not set(HELP) & set(arguments):
        end_with_light_command(*arguments, has_home=not trouble)
    if not arguments:
        arguments = ["--help"] if sys.stdin.isatty() else ["serve"]
    try:
        if help_for(arguments):
            return 0
        if trouble:
            sys.stderr.write(f"dispatch-mcp: {trouble}\n  {user_home.HINT}\n")
            return 2
        if arguments in LISTS and listed_at_once(every="--all" in arguments):
            return 0
        load = begun_session() if arguments == ["serve"] and not standard_streams.CLOSED - {"stderr"} else command
        with undisturbed_loading.undisturbed():
            from dispatch_mcp.cli import program  # noqa: PLC0415  # `--version` and help do not wait for it
    except KeyboardInterrupt:
        return 130
    return program.main(arguments, load)


def help_for(arguments: list[str]) -> bool:
    """Prints the help that is asked for and nothing else, without loading the rest; returns whether it was."""
    words = [word for word in arguments if word not in HELP]
    if len(arguments) == len(words) or len(arguments) > MOST_WORDS_OF_HELP:
        return False
    from dispatch_mcp.cli import arguments as command_line  # noqa: PLC0415

    if words and words[0] not in command_line.COMMANDS:
        return False
    with suppress(SystemExit):
        command_line.parser().parse_args([*words, "--help"])
    return True


def listed_at_once(*, every: bool) -> bool:
    """Prints the list of runs without loading what could change one; returns whether that was possible."""
    with undisturbed_loading.undisturbed():
        from dispatch_mcp.cli import run_list  # noqa: PLC0415
    return run_list.show_at_once(os.environ, time.time(), every=every)


def end_with_light_command(*arguments: str, has_home: bool) -> NoReturn:
    """Runs what a host starts at every turn, and ends at once: nothing that fails after it is the host's concern.

    Python itself would end with another code where stdout is gone, and go on where PYTHONINSPECT asks for that.
    """
    with suppress(BaseException):
        if has_home:  # without one there is no state to speak of, and no folder is made for it wherever a host is
            light_command(*arguments)
    os._exit(0)


def light_command(name: str, *arguments: str) -> int:
    """Runs a command that must be over before a session notices it."""
    if name == "hook":
        from dispatch_mcp.hooks import hook_program  # noqa: PLC0415

        return hook_program.main(list(arguments))
    from dispatch_mcp.hooks import status_line  # noqa: PLC0415

    return status_line.main()


def begun_session() -> Load:
    """Answers a client what a session before was answered, while the server is loaded; returns what loads it."""
    from dispatch_mcp.hooks import hook_program  # noqa: PLC0415  # only a session needs it
    from dispatch_mcp.mcp_server.handshake import early_answers  # noqa: PLC0415

    beginning = early_answers.begin(hook_program.home(os.environ), os.environ)
    return lambda module: partial(command(module), beginning=beginning)


def command(module: str) -> Callable[..., int]:
    """Returns what carries out a command: `main` of its module in `cli`."""
    with undisturbed_loading.undisturbed():
        run_command: Callable[..., int] = import_module(f"dispatch_mcp.cli.{module}").main
    return run_command


if __name__ == "__main__":
    sys.exit(main())
