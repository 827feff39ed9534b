"""The catalogue that a command asks for: everything, one roster, or one folder of agent files used alone."""

from __future__ import annotations

import os
from pathlib import Path

from dispatch_mcp import configuration
from dispatch_mcp.agents import catalog, loader


def choose(settings: configuration.Settings, roster: str | None) -> catalog.Catalog:
    """Returns the agents of a roster's name or a folder, or of all layers when nothing is asked for.

    Raises:
        UnknownHandle: there is neither a roster nor a folder of that name.
        ConfigError: the folder holds no agent files.
    """
    if roster and names_folder(roster):
        return loader.load(Path(roster).resolve())
    catalogue = loader.Source.from_settings(settings).catalog()
    if not roster:
        return catalogue
    if roster not in catalogue.rosters and Path(roster).is_dir():
        return loader.load(Path(roster).resolve())
    return catalogue.roster(roster)


def names_folder(roster: str) -> bool:
    """Returns whether a text can only mean a folder."""
    return os.sep in roster or roster in (os.curdir, os.pardir)
