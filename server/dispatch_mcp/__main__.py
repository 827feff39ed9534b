"""Starts dispatch-mcp: a command, or the stdio server when there is no terminal."""

from __future__ import annotations

import sys
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
        arguments = ["--help"] if sys.stdin.isatty() else ["serve"]
    cli = import_module("dispatch_mcp.faces.cli")
    errors = import_module("dispatch_mcp.errors")
    try:
        options, loaded = cli.read(arguments)
        command = import_module(f"dispatch_mcp.faces.commands.{options.command}")
        code: int = command.main(options, loaded)
    except errors.DispatchError as trouble:
        code = cli.complain(trouble)
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    return code


if __name__ == "__main__":
    sys.exit(main())
