"""Who declares a path, looked up: a run of thousands of tasks asks it of every changed file, for every result."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Final

from dispatch_mcp.text import path_globs

_Owners = tuple[str, ...]
"""At most two: whether anybody but one of them declares a path can be told by two."""

_MANY_SEGMENTS: Final = 60
"""Slashes from which on `path_globs.touch` may answer with caution instead of looking, so that it has to be asked."""


class DeclaredPaths:
    """Paths and globs with who declares each; says the same as `path_globs.touch` with each of them, but at once.

    `declarations` are owners with normalised paths, read when somebody asks.
    """

    def __init__(self, declarations: Iterable[tuple[str, str]] = ()) -> None:
        self._source = declarations
        self._answers: dict[str, _Owners] = {}
        self._exact: dict[str, _Owners] = {}
        self._below: dict[str, _Owners] = {}
        self._globs: dict[str, dict[str, _Owners]] = {}

    def names(self, *, but: str = "") -> Iterator[str]:
        """Returns the declarations of everybody but one, in their order."""
        return (entry for owner, entry in self._declarations if owner != but)

    def touch(self, path: str, *, but: str = "") -> bool:
        """Returns whether anybody but one declares what can be this path. In doubt, True."""
        owners = self._answers.get(path)
        if owners is None:
            owners = self._answers[path] = self._owners(path)
        return any(owner != but for owner in owners)

    def owner(self, path: str, *, but: str = "") -> str:
        """Returns who declares what can be this path, but for one; an empty string for nobody."""
        self.touch(path)
        return next((owner for owner in self._answers[path] if owner != but), "")

    @functools.cached_property
    def _declarations(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._source)

    @functools.cached_property
    def _is_indexed(self) -> bool:
        """Puts the declarations where they are looked up, once somebody does; who only names them needs no index."""
        for owner, entry in self._declarations:
            self._add(owner, entry)
        return bool(self._declarations)

    def _add(self, owner: str, entry: str) -> None:
        _join(self._exact, entry, owner)
        for folder in _folders(entry):
            _join(self._below, folder, owner)
        if not entry.startswith(("/", "..")) and entry:
            _join(self._below, "", owner)
        if path_globs.WILD.search(entry):
            place = "" if entry.count("/") > _MANY_SEGMENTS else _literal_folder(entry)
            _join(self._globs.setdefault(place, {}), entry, owner)

    def _owners(self, path: str) -> _Owners:
        if not self._is_indexed:
            return ()
        if not path or path_globs.WILD.search(path) or path.count("/") > _MANY_SEGMENTS:
            entries = (owners for entry, owners in self._exact.items() if path_globs.touch(entry, path))
            return _two(owner for owners in entries for owner in owners)
        return _two(owner for owners in self._found(path) for owner in owners)

    def _found(self, path: str) -> Iterator[_Owners]:
        """Returns the owners of each declaration that can be a path without wildcards."""
        yield self._exact.get(path, ())
        yield self._below.get(path, ())
        if path_globs.contains("", path):
            yield self._exact.get("", ())
        for folder in _folders(path):
            yield self._exact.get(folder, ())
        for folder in ("", *_folders(path)):
            for glob, owners in self._globs.get(folder, {}).items():
                if path_globs.touch(glob, path):
                    yield owners


NOBODY: Final = DeclaredPaths()


def _join(owners: dict[str, _Owners], key: str, owner: str) -> None:
    pair = owners.get(key, ())
    if owner not in pair and len(pair) < 2:
        owners[key] = (*pair, owner)


def _two(owners: Iterable[str]) -> _Owners:
    """Returns the first two of them that differ."""
    first: _Owners = ()
    for owner in owners:
        if owner not in first:
            first = (*first, owner)
        if len(first) == 2:
            break
    return first


def _folders(path: str) -> Iterator[str]:
    """Returns the folders that a path lies in, but for the workspace itself."""
    at = path.find("/", 1)
    while at > 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _literal_folder(glob: str) -> str:
    """Returns the folder of a glob up to its first wildcard; empty where that stands in its first name."""
    wild = path_globs.WILD.search(glob)
    return glob[: glob.rfind("/", 0, wild.start() if wild else None) + 1].rstrip("/") if wild else glob
