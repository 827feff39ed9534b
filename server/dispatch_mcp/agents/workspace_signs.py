"""What a workspace shows of the technologies it uses: the manifests at its root and the names there. Nothing is run."""

from __future__ import annotations

import itertools
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from dispatch_mcp import model
from dispatch_mcp.agents import rosters
from dispatch_mcp.text import json_types

MAX_BYTES: Final = 200_000
MAX_NAMES: Final = 2_000

_NAME = re.compile(r"[A-Za-z@][\w.@/-]*")
# A line of a manifest that names a package: `flask>=2`, `gem "rails"`, `require github.com/x/y`.
_LINE = re.compile(
    r"""^[ \t]*+(?:gem |require |implementation |api )?[ \t]*+["'(]{0,2}+([A-Za-z][\w./:-]*)""", re.MULTILINE
)


def read(workspace: Path) -> rosters.Signs:
    """Returns what the root of a workspace shows; nothing where it cannot be read."""
    names = _names(workspace)
    packages: set[str] = set()
    for name in sorted(names):
        reader = _reader(name)
        if reader is not None:
            packages.update(_plain(package) for package in reader(_text(workspace / name)))
    return rosters.Signs(dependencies=frozenset(packages), files=frozenset(names))


def stamp(workspace: Path) -> tuple[tuple[str, int, int], ...]:
    """Returns name, size and time of change of the manifests; the same as long as `read` would say the same."""
    return tuple(_stamps(workspace))


def _stamps(workspace: Path) -> Iterator[tuple[str, int, int]]:
    for name in sorted(_names(workspace)):
        try:
            status = (workspace / name).lstat() if _reader(name) else None
        except OSError:
            continue
        yield (name, status.st_size, status.st_mtime_ns) if status else (name, 0, 0)


def _names(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in itertools.islice(entries, MAX_NAMES))
    except OSError:
        return frozenset()


def _text(path: Path) -> str:
    try:
        if path.is_symlink() or not path.is_file():
            return ""
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _plain(package: str) -> str:
    name = _NAME.match(package.strip())
    return name[0].lower().replace("_", "-").rstrip(".") if name else ""


def _of_pyproject(source: str) -> Iterator[str]:
    try:
        document: model.Json = tomllib.loads(source)
    except (ValueError, RecursionError):
        return
    project, poetry = _at(document, "project"), _at(_at(document, "tool"), "poetry")
    groups = [_at(project, "optional-dependencies"), _at(document, "dependency-groups")]
    yield from _items(_at(project, "dependencies"))
    for group in groups:
        for items in group.values() if json_types.is_object(group) else ():
            yield from _items(items)
    yield from _keys(_at(poetry, "dependencies"))


def _of_package_json(source: str) -> Iterator[str]:
    try:
        document: model.Json = json.loads(source)
    except (ValueError, RecursionError):
        return
    for field in ("dependencies", "devDependencies", "peerDependencies", "require"):
        yield from _keys(_at(document, field))


def _of_lines(source: str) -> Iterator[str]:
    return (match[1] for match in _LINE.finditer(source))


def _at(document: model.Json, key: str) -> model.Json:
    return document.get(key) if json_types.is_object(document) else None


def _items(value: model.Json) -> Iterable[str]:
    return [item for item in value if isinstance(item, str)] if json_types.is_list(value) else ()


def _keys(value: model.Json) -> Iterable[str]:
    return list(value) if json_types.is_object(value) else ()


_READERS: Mapping[str, Callable[[str], Iterator[str]]] = {
    "pyproject.toml": _of_pyproject,
    "package.json": _of_package_json,
    "composer.json": _of_package_json,
    "setup.cfg": _of_lines,
    "Pipfile": _of_lines,
    "Gemfile": _of_lines,
    "go.mod": _of_lines,
    "Cargo.toml": _of_lines,
}


def _reader(name: str) -> Callable[[str], Iterator[str]] | None:
    is_requirements = name.startswith("requirements") and name.endswith((".txt", ".in"))
    return _of_lines if is_requirements else _READERS.get(name)
