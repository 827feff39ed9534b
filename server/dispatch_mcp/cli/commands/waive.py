"""`dispatch-mcp waive RUN FINDING --reason WHY`: a person lets a finding of a review go."""

from __future__ import annotations

import argparse
import getpass

import anyio

from dispatch_mcp import composition, configuration
from dispatch_mcp.cli import console, person_acts, shell_wording
from dispatch_mcp.cli.commands import review
from dispatch_mcp.service import review_answers


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Records the waiver and prints where the review stands. Raises NotAllowed when no person runs the command."""
    person_acts.refuse(person_acts.PersonAct.WAIVE, setup.settings.home)
    outcome = anyio.run(_waive, setup.settings, options)
    if options.json:
        console.emit(outcome.wire(shell_wording.words))
    else:
        review.show(outcome)
    return review.exit_code(outcome)


async def _waive(settings: configuration.Settings, options: argparse.Namespace) -> review_answers.ReviewAnswer:
    async with composition.open_dispatcher(settings, purpose=composition.ACT) as app:
        by = f"{getpass.getuser()} at a shell"
        return await app.council.waive(options.run, options.finding, options.reason, by)
