"""Which folders are no workspace: the root of the disk and homes, in which servers are started that nobody told better.

Searching one would read everything that its user has.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from dispatch_mcp.process import safe_paths

HOW_TO_NAME_ONE: Final = (
    "Give a workspace, or set DISPATCH_MCP_WORKSPACE to the absolute path of your project where the server is "
    "registered."
)
_HOMES_PARTS: Final = 2
"""Parts of the path of a folder that holds the homes of all users, such as `/home`."""


def reason(workspace: Path | str, home: Path | None = None) -> str:
    """Returns why a folder is no workspace, empty for one that is; `home` is the user's, their own by default."""
    real = Path(os.path.realpath(workspace))
    own = Path(os.path.realpath(home or Path.home()))
    if real == Path(real.anchor):
        return "the root of the disk"
    if real == own:
        return "your home folder"
    if real == own.parent and len(real.parts) <= _HOMES_PARTS:
        return "the folder of all homes"
    return ""


def refuse(workspace: Path | str, home: Path | None = None) -> None:
    """Does nothing for a folder that may be searched.

    Raises:
        Refused: it is the root of the disk, the user's home, or holds all homes.
    """
    why = reason(workspace, home)
    if why:
        raise safe_paths.Refused(f"{str(workspace)!r} is no workspace: it is {why}.", hint=HOW_TO_NAME_ONE)
