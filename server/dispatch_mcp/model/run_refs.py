"""The git references under which the work of a run is kept."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal

PREFIX: Final = "refs/dispatch"


_PLAIN_PART = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def safe_part(name: str) -> str:
    """Returns `name` if it can be part of a ref and of a path everywhere, else a name that no other name gets."""
    if _PLAIN_PART.fullmatch(name):
        return name
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:32]
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{slug or 'x'}.{digest}"


State = Literal["done", "conflicts", "kept"]
"""What became of an attempt's change: a success (merged, or about to be), one that does not merge, or the rest."""


@dataclass(frozen=True, slots=True)
class Refs:
    """The names under which a repository keeps what a run made; outside of `refs/heads`, so no branch list grows."""

    run_id: str

    @property
    def root(self) -> str:
        """Everything of the run is below it."""
        return f"{PREFIX}/{safe_part(self.run_id)}"

    @property
    def merged(self) -> str:
        """What the run has merged so far: what later tasks begin from, and what a person applies."""
        return f"{self.root}/merged"

    @property
    def base(self) -> str:
        """The commit that the run began from."""
        return f"{self.root}/base"

    def edits(self, task_id: str, attempt: int) -> str:
        """Returns the name of what was not committed in the checkout before an attempt."""
        return f"{self.root}/before/{safe_part(task_id)}/{attempt}"

    def change(self, state: State, task_id: str, attempt: int) -> str:
        """Returns the name of an attempt's change in that state."""
        return f"{self.root}/{state}/{safe_part(task_id)}/{attempt}"
