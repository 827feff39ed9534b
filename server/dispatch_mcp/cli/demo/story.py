"""What the demo plays: its plan, and the answers of reviewers, which stand in for models."""

from __future__ import annotations

import glob
import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.cli.demo import demo_project

GOALS: Final[Mapping[str, tuple[str, str, tuple[str, ...], float]]] = {
    "codes": ("Check the codes of gift cards", "shop/codes.py", (), 0.5),
    "values": ("Read what a gift card is worth", "shop/values.py", (), 0.8),
    "menu": ("Add the page that sells gift cards", "shop/routes.py", (), 0.7),
    "redeem": ("Add the page that redeems them", "shop/routes.py", (), 0.7),
    "cart": ("Let the cart take gift cards", "shop/cart.py", ("codes", "values"), 2.0),
}
"""What each task is for, the file that it writes, what it waits for, and how long its stand-in takes in seconds.

So long that one sees it at work, and that the cart still is when everything before it is done.
"""

PROOFS: Final[Mapping[str, str]] = {"codes": "test_codes.py", "cart": "test_cart.py"}
"""Which test proves a task."""

CUT_OFF: Final = "cart"
"""The task during which the server is killed."""

UNDECIDED: Final = "Gift cards look useful. The codes could be longer, or they could be shorter."
"""What a reviewer says first, who has to be asked again: there is no verdict in it."""


@dataclass(frozen=True, slots=True)
class Story:
    """The plan over one copy: `agents` is the folder of the stand-in, `below` that of the shop in the copy."""

    agents: Path
    below: str = "."

    def tasks(self) -> list[dict[str, model.Json]]:
        """Returns the plan's tasks as a model would send them."""
        tasks: list[dict[str, model.Json]] = [
            {
                "id": name,
                "do": goal,
                "files": [self.path(file)],
                "deps": list(deps),
                "command": self._edit(name, seconds),
                "isolation": "worktree",
                **({"acceptance": [f"command: {shlex.join(self._test(PROOFS[name]))}"]} if name in PROOFS else {}),
            }
            for name, (goal, file, deps, seconds) in GOALS.items()
        ]
        check = {"id": "check", "do": "Run every test", "deps": ["cart", "menu", "redeem"], "command": self._test()}
        return [*tasks, check]

    def allowed(self) -> list[list[str]]:
        """Returns the allow-list of the demo's own state directory."""
        edits = [self._edit(name, goal[-1]) for name, goal in GOALS.items()]
        tests = [self._test(), *map(self._test, PROOFS.values())]
        return [[glob.escape(word) for word in words] for words in [*edits, *tests]]

    def path(self, file: str) -> str:
        """Returns where a file of the shop lies in the copy."""
        return file if self.below == "." else f"{self.below}/{file}"

    def _edit(self, name: str, seconds: float) -> list[str]:
        return [sys.executable, "-I", str(self.agents / "stand_in.py"), name, str(seconds), self.below]

    def _test(self, pattern: str = "test_*.py") -> list[str]:
        return [sys.executable, "-m", "unittest", "discover", "-q", "-s", self.below, "-t", self.below, "-p", pattern]

    def write(self, folder: Path) -> None:
        """Writes the shop below a folder, and the stand-in to its own."""
        for name, text in demo_project.FILES.items():
            path = folder / self.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.agents.mkdir(exist_ok=True)
        for name, text in demo_project.programs().items():
            (self.agents / name).write_text(text, encoding="utf-8")

    def review(self, seat: int, attempt: int) -> str:
        """Returns the answer of a reviewer: the first one's first try comes to no verdict."""
        if (seat, attempt) == (0, 1):
            return UNDECIDED
        answer = {"verdict": "PASS", "files": [self.path("shop/codes.py"), self.path("shop/cart.py")], "findings": []}
        return f"```json\n{json.dumps(answer)}\n```"
