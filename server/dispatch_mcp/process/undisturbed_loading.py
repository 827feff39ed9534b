"""Loading modules without the garbage collector, which would look at all that they make, again and again, for nothing.

That is a seventh of the time of every command and of a server's start.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def undisturbed() -> Generator[None]:
    """Lets nothing be collected in this block, nor ever what is there at its end: modules stay until the process ends.

    Several threads may load at a time; whoever ends first lets the collector run again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
