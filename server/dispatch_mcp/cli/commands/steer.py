"""`dispatch-mcp steer ACTION RUN [TASK]`."""

from __future__ import annotations

import argparse

import anyio

from dispatch_mcp import composition, configuration
from dispatch_mcp.cli import console, person_acts
from dispatch_mcp.cli.commands import status
from dispatch_mcp.service import answers


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Applies the action and prints where the run stands; only a person's shell lets a review go."""
    by_person = person_acts.is_by_person(setup.settings.home)
    answer = anyio.run(_steer, setup.settings, options, by_person)
    status.show_steered(answer, as_json=options.json)
    return console.OK


async def _steer(
    settings: configuration.Settings, options: argparse.Namespace, by_person: object
) -> answers.SteeringAnswer:
    async with composition.open_dispatcher(settings, purpose=composition.ACT) as app:
        return await app.steer(options.run, options.action, options.task, options.reason, by_person=bool(by_person))
