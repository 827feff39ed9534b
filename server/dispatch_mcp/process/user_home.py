"""The user's home folder, also where a process was started with none: from cron, a container, or an empty variable.

Python, git and the clients each make something else of an empty or a relative HOME: the root of the disk, or a folder
of whatever place they are started in. So it is mended once, before anything reads it, for us and for our children.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, MutableMapping

if sys.platform != "win32":
    import pwd

VARIABLE = "HOME"
HINT = f"Set {VARIABLE} to the absolute path of a folder of yours."


def complete(env: MutableMapping[str, str], lookup: Callable[[int], str] | None = None) -> str:
    """Sets HOME to the folder that the system knows for this user, unless it is an absolute path.

    Returns what is wrong where the system knows none either, else an empty text; `lookup` asks it, by user id.
    """
    # On Windows it is another variable that Python and the clients go by, and the system sets it for every process.
    if os.name != "posix" or env.get(VARIABLE, "").startswith("/"):
        return ""
    try:
        home = (lookup or _from_system)(os.getuid())
    except KeyError:
        home = ""
    if home.startswith("/"):
        env[VARIABLE] = home
        return ""
    return f"Your home folder is not known: {_state(env)}, and the system has none for user {os.getuid()}."


def _state(env: Mapping[str, str]) -> str:
    return f"{VARIABLE} is {env[VARIABLE]!r}" if VARIABLE in env else f"{VARIABLE} is not set"


def _from_system(user: int) -> str:
    return pwd.getpwuid(user).pw_dir
