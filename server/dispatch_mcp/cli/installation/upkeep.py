"""`dispatch-mcp where` and `prune`: where everything lies, and how what is old goes."""

from __future__ import annotations

import argparse
import functools
import math
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import anyio

from dispatch_mcp import configuration, errors, next_steps
from dispatch_mcp.cli import console, shell_wording
from dispatch_mcp.model import short_ids
from dispatch_mcp.service.housekeeping import old_work, state_places

_AGE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*([smhdwy]?)", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "": 86_400, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
MOST_ROWS: Final = 20
"""Runs that are listed for people; --json has all."""


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prunes, or says what would go, and prints both what went and what stays; `where` only reads."""
    if options.command == "where":
        return show_places(setup.settings.home, as_json=options.json)
    older_s = age(options.older)
    prune = functools.partial(old_work.prune, setup.settings, older_s, dry_run=options.dry_run)
    outcome = anyio.run(prune)
    if options.json:
        console.emit(outcome.model_dump(mode="json", exclude_defaults=True, context=shell_wording.words))
        return console.OK
    show(outcome)
    return console.OK


def show_places(home: Path, *, as_json: bool) -> int:
    """Prints every place of this installation with its size."""
    places = [
        state_places.StatePlace(name="program", path=str(Path(sys.argv[0]).absolute()), purpose="what you have typed"),
        state_places.StatePlace(
            name="state folder", path=str(home), purpose="all below", size=state_places.total(home) or None
        ),
        *state_places.places(home),
    ]
    if as_json:
        console.emit([place.model_dump(mode="json") for place in places])
        return console.OK
    rows = [
        (place.name, place.path, "" if place.size is None else console.size(place.size), place.purpose)
        for place in places
    ]
    console.show(("what", "where", "size", "for"), rows)
    console.say("`dispatch-mcp prune --dry-run` says what of it can go; your repositories hold nothing but git refs.")
    return console.OK


def age(text: str) -> float:
    """Returns an age in seconds: `30d`, `12h`, `2w`; a number alone counts days. Raises InputError."""
    match = _AGE.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else math.inf
    if seconds > 100 * _SECONDS["y"]:
        raise errors.InputError(f"--older {text!r} is no age.", hint="Write a number and a unit: 30d, 12h, 8w, 1y.")
    return seconds


def show(outcome: old_work.Pruned) -> None:
    """Prints what went and what stays."""
    if outcome.runs:
        now = time.time()
        rows = [
            (short_ids.short(run.run), run.title, run.state, next_steps.age(now - run.ended_at))
            for run in outcome.runs[-MOST_ROWS:]
        ]
        console.show(("run", "title", "ended", "ago"), rows)
        if len(outcome.runs) > MOST_ROWS:
            console.say(f"and {len(outcome.runs) - MOST_ROWS} older; --json lists all")
    parts = [next_steps.counted(len(outcome.runs), "run")] if outcome.runs else []
    parts += [_words(share) for share in outcome.shares]
    if not parts:
        console.say("Nothing is old enough to go.")
    elif outcome.dry_run:
        console.say(f"Would go: {', '.join(parts)}. Nothing was changed: --dry-run.")
    else:
        console.say(f"✓ Gone: {', '.join(parts)}.", style="green")
    for why, count in Counter(run.why for run in outcome.stays).most_common():
        console.say(f"Old, and yet not pruned: {next_steps.counted(count, 'run')}, as {why}.")


def _words(share: old_work.RemovedShare) -> str:
    size = "" if share.size is None else f" ({console.size(share.size)})"
    return f"{next_steps.counted(share.count, share.kind)}{size}"
