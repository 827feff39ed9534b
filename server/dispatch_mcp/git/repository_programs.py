"""The programs that a repository's own configuration names, and the settings under which git starts none of them.

Content must not give rights, and the configuration of a folder is content: whoever packed it wrote it, and a worker
may change it. What the user has set up for all repositories stays as it is. The drivers that git looks up by a name in
`.gitattributes` can only be switched off name by name, so their names are read variables; all other settings that name
programs have one name each, and are in `git_process`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

LISTING: Final = (
    *("config", "--show-scope", "--name-only", "-z", "--get-regexp"),
    r"^((filter|merge|hook)\..*\.[a-z]*|core\.worktree)$",
)
"""Asks for every such setting, and where it is from."""

_OWN: Final = frozenset({"local", "worktree"})
"""Scopes of a repository itself, as git calls them, whatever files these include."""

_TEXT_MERGE: Final = "git merge-file --quiet --marker-size=%L -L ours -L base -L theirs %A %O %B || exit 1"
"""What git does by itself where no driver is set. Without a driver's command it would not merge at all."""

READING_ONLY: Final = frozenset(
    {
        *("cat-file", "commit-tree", "config", "for-each-ref", "ls-tree", "merge-base", "pack-objects", "rev-list"),
        *("rev-parse", "symbolic-ref", "unpack-objects", "update-ref", "version"),
    }
)
"""Commands that look at no file of a checkout, merge nothing and so ask for no driver. `write-tree` does look."""

_MAY_SET = re.compile(rb"\[\s*(?:filter|merge|hook|include)|worktree", re.IGNORECASE)
"""What every configuration that sets one of them has in it, or that has more files than this one. No escape of git's
reaches the names of sections and settings, so a file without any of it sets none."""

_MOST_BYTES: Final = 1 << 20
"""Above which git takes no `.git` for a link; a configuration of that size is unusual too."""


def are_none_set(folder: Path) -> bool:
    """Returns whether it is certain, without asking git, that no repository around a folder sets any of `LISTING`.

    It looks at each repository that git could find from there, not only at the one that it would take. What is
    unusual in any way is not certain.
    """
    start = Path(os.path.realpath(folder))
    try:
        configurations = [config for ancestor in (start, *start.parents) for config in _configurations(ancestor)]
        return not any(_MAY_SET.search(_contents(config)) for config in configurations)
    except (OSError, ValueError):
        return False


def _configurations(folder: Path) -> Iterator[Path]:
    """Yields the configuration of a repository that a folder holds or is. Raises OSError, ValueError."""
    git = folder / ".git"
    if git.is_file():
        git_dir = folder / os.fsdecode(_contents(git)).removeprefix("gitdir:").strip()
        link = git_dir / "commondir"
        yield (git_dir / os.fsdecode(_contents(link)).strip() if link.exists() else git_dir) / "config"
    elif os.path.lexists(git):
        yield git / "config"
    if os.path.lexists(folder / "HEAD"):  # it is bare, or the part of a repository that a worktree has to itself
        yield folder / "config"


def _contents(path: Path) -> bytes:
    """Returns what a file of git's holds; raises OSError, or ValueError where it is none that git would write."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # a pipe would be waited for
    with os.fdopen(descriptor, "rb") as file:
        contents = file.read(_MOST_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    if not 0 < len(contents) < _MOST_BYTES:
        raise ValueError(f"{path} is no file of settings.")
    return contents


class OwnPrograms(NamedTuple):
    """The names of what a repository configures itself; `is_elsewhere` says that it sets where its files are."""

    filters: tuple[str, ...] = ()
    merges: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    is_elsewhere: bool = False

    def replacements(self) -> Iterator[tuple[str, str]]:
        """Yields settings by which none of them is started."""
        for name in self.filters:
            yield from ((f"filter.{name}.{key}", "") for key in ("clean", "smudge", "process"))
            yield f"filter.{name}.required", "false"
        yield from ((f"merge.{name}.driver", _TEXT_MERGE) for name in self.merges)
        for name in self.hooks:
            yield from ((f"hook.{name}.enabled", "false"), (f"hook.{name}.event", ""))


def read(listing: str) -> OwnPrograms:
    """Returns what an answer to `LISTING` names."""
    words = listing.split("\0")
    keys = [key for scope, key in zip(words[::2], words[1::2], strict=False) if scope in _OWN]
    names = {kind: dict.fromkeys(_names(keys, f"{kind}.")) for kind in ("filter", "merge", "hook")}
    return OwnPrograms(*(tuple(names[kind]) for kind in names), is_elsewhere="core.worktree" in keys)


def _names(keys: Iterable[str], head: str) -> Iterator[str]:
    for key in keys:
        name, _, variable = key.removeprefix(head).rpartition(".")
        if key.startswith(head) and name and variable:
            yield name


def environment(settings: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Returns settings as variables: a name may contain whatever it likes there, and programs hand them on."""
    variables: dict[str, str] = {}
    count = 0
    for count, (key, value) in enumerate(settings, 1):
        variables |= {f"GIT_CONFIG_KEY_{count - 1}": key, f"GIT_CONFIG_VALUE_{count - 1}": value}
    return {**variables, "GIT_CONFIG_COUNT": str(count)} if count else {}


def joined(variables: Mapping[str, str], settings: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Returns variables with settings behind those that they hold already."""
    count = int(variables.get("GIT_CONFIG_COUNT", "0"))
    pairs = [(variables[f"GIT_CONFIG_KEY_{at}"], variables[f"GIT_CONFIG_VALUE_{at}"]) for at in range(count)]
    return {**variables, **environment([*pairs, *settings])}
