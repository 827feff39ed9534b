"""`dispatch-mcp apply RUN [--expect REVISION]`: brings what a run has merged into the user's checkout."""

from __future__ import annotations

import argparse

import anyio

from dispatch_mcp import configuration
from dispatch_mcp.cli import console, person_acts, shell_wording
from dispatch_mcp.git import apply_rules
from dispatch_mcp.model import merge_offer, short_ids
from dispatch_mcp.service.housekeeping import run_offers


def main(options: argparse.Namespace, setup: configuration.LoadedSettings) -> int:
    """Prints what would be applied; with a revision, applies it. Returns 1 when nothing can be applied now.

    Raises NotAllowed when no person applies.
    """
    if options.expect:
        person_acts.refuse(person_acts.PersonAct.APPLY, setup.settings.home)
    offer = anyio.run(run_offers.offer, setup.settings, options.run, options.expect)
    if options.json:
        console.emit(offer.model_dump(mode="json", exclude_defaults=True, context=shell_wording.words))
    else:
        console.say(apply_rules.describe_offer(offer), style="bold")
        for line in advice(offer):
            console.say(line)
    return console.OK if apply_rules.can_be_applied(offer) else console.FAILED


def advice(offer: merge_offer.Offer) -> list[str]:
    """Returns what stands against it, and what to type next."""
    if offer.way == "nothing" or offer.applied:
        return []
    lines = [f"The run is still {offer.run_state}: more may come."] if offer.run_state == "running" else []
    why = apply_rules.obstacle(offer)
    if why:
        return [*lines, *why]
    return [*lines, f"Do it: dispatch-mcp apply {short_ids.short(offer.run_id)} --expect {offer.revision[:12]}"]
