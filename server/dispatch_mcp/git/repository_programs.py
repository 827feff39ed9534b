"""The programs that a repository's own configuration names, and the settings under which git starts none of them.

Content must not give rights, and the configuration of a folder is content: whoever packed it wrote it, and a worker
may change it. What the user has set up for all repositories stays as it is. The drivers that git looks up by a name in
`.gitattributes` can only be switched off name by name, so their names are read variables; all other settings that name
programs have one name each, and are in `git_process`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
