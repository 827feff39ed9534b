"""`dispatch-mcp approve RUN [TASK]`: a person's answer to a run that waits for one."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Mapping

import anyio

from dispatch_mcp import composition, configuration, errors
from dispatch_mcp.cli import console
from dispatch_mcp.cli.commands import status
from dispatch_mcp.service import answers, approvals

ASSISTANTS = ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CODEX_SANDBOX", "CURSOR_AGENT", "GEMINI_CLI", "OPENCODE")
"""Variables that assistants set for the commands they run."""


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Records the answer and prints where the run stands. Raises NotAllowed when an assistant runs the command."""
    refuse_assistants(os.environ, terminal=sys.stdin.isatty())
    verdict = approvals.PersonVerdict(not options.reject, f"{getpass.getuser()} at a shell", options.reason)
    answer = anyio.run(_decide, setup.settings, options, verdict)
    status.show_steered(answer, as_json=options.json)
    return console.OK


def refuse_assistants(environment: Mapping[str, str], *, terminal: bool) -> None:
    """Raises NotAllowed when the command seems to be run by an assistant and not by a person.

    This keeps an assistant from approving its own plan by habit. It is no wall: whoever has the user's shell can do
    what the user can.
    """
    variable = assistant_variable(environment, terminal=terminal)
    if variable:
        raise errors.NotAllowed(
            f"This shell belongs to an assistant ({variable} is set); a person has to decide.",
            hint="A person has to run the same command in a terminal.",
        )


def assistant_variable(environment: Mapping[str, str], *, terminal: bool) -> str:
    """Returns the variable that shows that an assistant runs the command; an empty string for a person's."""
    return "" if terminal else next((name for name in ASSISTANTS if environment.get(name)), "")


def is_by_person() -> bool:
    """Returns whether a person seems to run this command, and no assistant."""
    return not assistant_variable(os.environ, terminal=sys.stdin.isatty())


async def _decide(
    settings: configuration.Settings, options: argparse.Namespace, verdict: approvals.PersonVerdict
) -> answers.SteeringAnswer:
    async with composition.open_dispatcher(settings, drives=False) as app:
        return await app.decide(options.run, options.task, verdict)
