"""What a run has merged for the user's checkout."""

from __future__ import annotations

from typing import Literal

from dispatch_mcp import model
from dispatch_mcp.model import short_ids

Way = Literal["nothing", "forward", "merge"]
"""How a run's work comes to a branch: it is there already, the branch moves on to it, or both are merged."""


class Offer(model.Value):
    """What `apply` would do. `revision` is what the run has merged, `head` the commit of the checkout.

    `files` are those that would change, `local` what is the user's own and not committed in their way (changed,
    untracked and ignored files, folders, other repositories), `clashes` the files that git cannot merge, `lacking` the
    submodules whose new commit the user's copies of them do not have, `behind_filters` the files that go through
    filters which the repository configures itself and may not start; `busy` is what the checkout is in the middle of;
    `is_empty` is whether the run has merged nothing so far.
    """

    run_id: short_ids.Handle
    revision: str
    head: str
    branch: str = ""
    way: Way = "nothing"
    commits: int = 0
    files: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    clashes: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    behind_filters: tuple[str, ...] = ()
    busy: str = ""
    is_empty: bool = False
    run_state: str = ""
    applied: bool = False
