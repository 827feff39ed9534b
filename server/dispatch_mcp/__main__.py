"""Starts dispatch-mcp: a command, or the stdio server when there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

from dispatch_mcp import __version__

FAST = (["--version"], ["-V"])


def main() -> int:
    """Runs the command line and returns its exit code.

    What a command needs is imported here and not on top: `--version` and wrong usage must not wait for the MCP SDK.
    """
    arguments = sys.argv[1:]
    if arguments in FAST:
        sys.stdout.write(f"dispatch-mcp {__version__}\n")
        return 0
    if not arguments:
        arguments = ["--help"] if sys.stdin is not None and sys.stdin.isatty() else ["serve"]
    try:
        cli = import_module("dispatch_mcp.cli.arguments")
    except KeyboardInterrupt:
        return 130
    code: int = cli.main(arguments, command)
    return code


def command(name: str) -> Callable[..., int]:
    """Returns what carries out the command of that name."""
    main_of: Callable[..., int] = import_module(f"dispatch_mcp.cli.commands.{name}").main
    return main_of


if __name__ == "__main__":
    sys.exit(main())
