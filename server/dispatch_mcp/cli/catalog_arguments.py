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


def with_roster(settings: configuration.Settings, roster: str | None) -> tuple[configuration.Settings, str]:
    """Returns the settings and the name of the roster that a plan is routed in, empty for everybody who takes part.

    The agents of a folder are loaded beside all others, so that whoever carries the plan out finds their roles.

    Raises:
        ConfigError: the folder holds no agent files.
    """
    if not roster:
        return settings, ""
    is_roster = not names_folder(roster) and roster in loader.Source.from_settings(settings).catalog().rosters
    if is_roster or not (names_folder(roster) or Path(roster).is_dir()):
        return settings, roster
    folder = Path(roster).resolve()
    loader.load(folder)
    folders = (*(path for path in settings.agent_dirs if path != folder), folder)
    return settings.model_copy(update={"agent_dirs": folders}), folder.name


def names_folder(roster: str) -> bool:
    """Returns whether a text can only mean a folder."""
    return os.sep in roster or roster in (os.curdir, os.pardir)
