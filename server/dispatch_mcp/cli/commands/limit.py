"""`dispatch-mcp limit RUN NAME=VALUE…`: other ceilings for a run that goes on or waits at one."""

from __future__ import annotations

import argparse
import math
import os
import sys

import anyio

from dispatch_mcp import composition, configuration, errors, model
from dispatch_mcp.cli import console, shell_wording
from dispatch_mcp.cli.commands import approve, status
from dispatch_mcp.service import answers, plan_answers


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Changes the ceilings and prints where the run stands.

    Raises:
        InputError: nothing shall change.
        NotAllowed: an assistant would give a person's word.
    """
    if not options.limits and not options.begin_anyway:
        raise errors.InputError("No ceiling is named.", hint="Name one, such as dollars=8, or add --begin-anyway.")
    limits = plan_answers.read_limits(_read(options.limits))
    if options.begin_anyway:
        approve.refuse_assistants(os.environ, terminal=sys.stdin.isatty())
        limits = limits.model_copy(update={"beyond_forecast": True})
    answer = anyio.run(_limit, setup.settings, options.run, limits)
    if options.json:
        console.emit(answer.wire(shell_wording.words))
    else:
        status.show_run(answer)
    return console.OK


def _read(entries: list[str]) -> dict[str, model.Json]:
    limits: dict[str, model.Json] = {}
    for entry in entries:
        name, _, value = entry.partition("=")
        number = _number(value)
        if number is None:
            raise errors.InputError(f"{entry!r} is not NAME=NUMBER.", hint="Such as dollars=8 or minutes=90.")
        limits[name.strip()] = int(number) if number.is_integer() else number
    return limits


def _number(text: str) -> float | None:
    """Returns the number that a text says, None for one that says none or none that is finite."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


async def _limit(settings: configuration.Settings, run: str, limits: model.Limits) -> answers.Trace:
    async with composition.open_dispatcher(settings, drives=False) as app:
        run_id = await app.limit(run, limits)
        return await app.trace(run_id=run_id)
