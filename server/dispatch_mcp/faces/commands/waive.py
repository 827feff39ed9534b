"""`dispatch-mcp waive RUN FINDING --reason WHY`: a person lets a finding of a review go."""

from __future__ import annotations

import argparse
import getpass
import os
import sys

import anyio

from dispatch_mcp import config
from dispatch_mcp.engine import councils, verdicts
from dispatch_mcp.faces import build, console
from dispatch_mcp.faces.commands import approve, review


def main(options: argparse.Namespace, loaded: config.Loaded) -> int:
    """Records the waiver and prints where the review stands. Raises NotAllowed when an assistant runs the command."""
    approve.refuse_assistants(os.environ, terminal=sys.stdin.isatty())
    found = anyio.run(_waive, loaded.settings, options)
    if options.json:
        console.emit(review.wire(found))
    else:
        review.show(found)
    return review.exit_code(found)


async def _waive(settings: config.Settings, options: argparse.Namespace) -> verdicts.Reviewed:
    async with build.open_dispatcher(settings, drives=False) as app:
        by = f"{getpass.getuser()} at a shell"
        return await councils.Council(app).waive(options.run, options.finding, options.reason, by)
