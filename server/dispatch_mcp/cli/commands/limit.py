"""`dispatch-mcp limit RUN NAME=VALUE…`: other ceilings for a run that goes on or waits at one.

Who lowers them is not asked anything. A raise is shown to a person, with the plan that it is for, and needs their word.
"""

from __future__ import annotations

import argparse
import getpass
import math
import sys
from pathlib import Path

import anyio

from dispatch_mcp import composition, configuration, errors, model
from dispatch_mcp.cli import console, person_acts, shell_wording
from dispatch_mcp.cli.commands import status
from dispatch_mcp.model import records
from dispatch_mcp.service import answers, approvals, plan_answers

LEAST_DIGITS = 6
"""Digits of a plan's digest by which a person can name it."""


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Changes the ceilings and prints where the run stands; a person is asked first about a raise.

    Raises:
        InputError: nothing shall change, or a person has looked at another plan.
        NotAllowed: an assistant would give a person's word, or a person says no.
    """
    if not options.limits and not options.begin_anyway:
        raise errors.InputError("No ceiling is named.", hint="Name one, such as dollars=8, or add --begin-anyway.")
    limits = plan_answers.read_limits(_read(options.limits))
    if options.begin_anyway:
        limits = limits.model_copy(update={"beyond_forecast": True})
    offer = anyio.run(_offer, setup.settings, options.run, limits)
    word = agreement(offer, options.expect, setup.settings.home) if offer else None
    answer = anyio.run(_limit, setup.settings, options.run, limits, word)
    if options.json:
        console.emit(answer.wire(shell_wording.words))
    else:
        status.show_run(answer)
        if answer.state in model.RUN_FINAL:
            console.note("This run is over: the ceiling counts from when one of its tasks is tried again.")
    return console.OK


def agreement(offer: approvals.RaiseOffer, expect: str, home: Path) -> records.PersonWord:
    """Returns the word of the person at this shell.

    Who has looked at the plan names it by its digest (`expect`); everybody else is asked here.

    Raises:
        InputError: they have looked at another plan.
        NotAllowed: no person runs the command, nobody can be asked, or the person says no.
    """
    person_acts.refuse(person_acts.PersonAct.RAISE, home)
    word = offer.word(f"{getpass.getuser()} at a shell")
    if expect:
        if len(expect) < LEAST_DIGITS or not offer.plan_digest.startswith(expect.lower()):
            raise errors.InputError(
                f"The plan's digest is {offer.shown_digest}, not {expect!r}.",
                hint=f"Look first. {offer.question}",
            )
        return word
    if not sys.stdin.isatty():
        offer.refuse(None)
    console.note(offer.question, style="bold")
    console.note("Type yes to agree; anything else leaves it as it is.")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise errors.NotAllowed("Nothing was raised.", hint="The run goes on within its ceilings, or waits.")
    return word


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


async def _offer(settings: configuration.Settings, run: str, limits: model.Limits) -> approvals.RaiseOffer | None:
    async with composition.open_dispatcher(settings, purpose=composition.LOOK) as app:
        return await app.offer_raise(run, limits)


async def _limit(
    settings: configuration.Settings, run: str, limits: model.Limits, word: records.PersonWord | None
) -> answers.Trace:
    async with composition.open_dispatcher(settings, purpose=composition.ACT) as app:
        run_id = await app.limit(run, limits, word)
        return await app.trace(run_id=run_id)
