"""How much the tests try: enough to notice a fault in `make test`, all of it in `make chaos`."""

from __future__ import annotations

import os

FULL = os.environ.get("DISPATCH_MCP_CHAOS") == "full"
SHARE, LEAST = 10, 20
"""`make test` tries one in so many examples of a property, but no fewer than this: most faults show within ten."""


def examples(many: int, least: int = LEAST) -> int:
    """Returns how many examples of a property are tried now, of so many in full; `least` where each takes long."""
    return many if FULL else min(many, max(least, many // SHARE))
