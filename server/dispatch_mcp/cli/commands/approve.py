"""`dispatch-mcp approve RUN [TASK]`: a person's answer to a run that waits for one."""

from __future__ import annotations

import argparse
import getpass

import anyio

from dispatch_mcp import composition, configuration
from dispatch_mcp.cli import console, person_acts
from dispatch_mcp.cli.commands import status
from dispatch_mcp.service import answers, approvals


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Records the answer and prints where the run stands. Raises NotAllowed when no person runs the command."""
    person_acts.refuse(person_acts.PersonAct.DECIDE, setup.settings.home)
    verdict = approvals.PersonVerdict(not options.reject, f"{getpass.getuser()} at a shell", options.reason)
    answer = anyio.run(_decide, setup.settings, options, verdict)
    status.show_steered(answer, as_json=options.json)
    return console.OK


async def _decide(
    settings: configuration.Settings, options: argparse.Namespace, verdict: approvals.PersonVerdict
) -> answers.SteeringAnswer:
    async with composition.open_dispatcher(settings, purpose=composition.ACT) as app:
        return await app.decide(options.run, options.task, verdict)
