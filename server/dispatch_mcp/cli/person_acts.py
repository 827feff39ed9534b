"""What only a person does, all of it in one place, and who is taken for one at a shell."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from dispatch_mcp import errors
from dispatch_mcp.process import ancestry

ASSISTANTS: Final = ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CODEX_SANDBOX", "CURSOR_AGENT", "GEMINI_CLI", "OPENCODE")
"""Variables that assistants set for the commands they run."""


class PersonAct(StrEnum):
    """What a person does at a shell and nobody else; each value goes on from `A person has to`."""

    DECIDE = "answer a decision"
    RAISE = "raise what a run may use"
    LET_GO = "let a review go"
    WAIVE = "waive a finding"
    APPLY = "apply what a run has changed"
    TRUST = "trust an agent"
    ADMIT = "make a token"
    SET = "edit the settings"


AT_TERMINALS: Final = frozenset({PersonAct.TRUST, PersonAct.ADMIT, PersonAct.SET})
"""Acts that an assistant's shell may do for its user, who has asked for it, and a program of a run may not."""


def refuse(act: PersonAct, home: Path) -> None:
    """Raises NotAllowed when no person seems to be behind this command.

    This keeps assistants, and the programs of runs, from deciding by habit. It is no wall: whoever has the user's
    rights can in the end do what the user can.
    """
    program = ancestry.sign_of_dispatcher(os.environ, home)
    if program:
        raise errors.NotAllowed(
            f"A program of a run may not {act} ({program}); a person has to decide.",
            hint="Approve in your own terminal: a person has to run the same command there, outside of any run.",
        )
    if act not in AT_TERMINALS:
        refuse_assistants(os.environ, terminal=sys.stdin.isatty())


def refuse_assistants(environment: Mapping[str, str], *, terminal: bool) -> None:
    """Raises NotAllowed when the command seems to be run by an assistant and not by a person."""
    variable = "" if terminal else next((name for name in ASSISTANTS if environment.get(name)), "")
    if variable:
        raise errors.NotAllowed(
            f"This shell belongs to an assistant ({variable} is set); a person has to decide.",
            hint="A person has to run the same command in a terminal.",
        )


def is_by_person(home: Path) -> bool:
    """Returns whether a person seems to run this command, who may let a review go."""
    try:
        refuse(PersonAct.LET_GO, home)
    except errors.NotAllowed:
        return False
    return True
