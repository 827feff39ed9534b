"""The files that come with the product: prompts, agents and the knowledge base, and the user's own beside them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dispatch_mcp import errors
from dispatch_mcp.agents import templates
from dispatch_mcp.model import problems

Kind = Literal["prompts", "agents", "knowledgebase"]
Layer = Literal["bundled", "user"]

MAX_BYTES = 256 * 1024
MAX_FILES = 2_000

_PACKAGE = Path(__file__).resolve().parents[1]
_SUFFIXES: dict[Kind, str] = {"prompts": ".md.j2", "agents": ".md", "knowledgebase": ".md"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a kind. `name` is its path below the layer's folder without the suffix, with `/` between parts."""

    name: str
    layer: Layer
    path: Path


def shipped_folder(kind: Kind) -> Path:
    """Returns the folder of the files that come with this copy of the product.

    A checkout uses its own folders: an editable install also leaves a copy in the package, and that one grows stale.
    """
    return _bundled(kind, _PACKAGE)


def _bundled(kind: Kind, package: Path) -> Path:
    root = package.parents[1]
    checkout = package.parent.name == "server" and (root / "pyproject.toml").is_file()
    copy = package / "_bundled" / kind
    return root / kind if checkout or not copy.is_dir() else copy


def entries(kind: Kind, home: Path | None = None) -> tuple[Entry, ...]:
    """Returns the files of a kind by name; those below `<home>/<kind>` replace bundled ones of the same name.

    Files of a workspace are never looked at: whoever wrote the repository would choose what the assistant is told.
    """
    by_name = {entry.name: entry for entry in _listed(kind, "bundled", shipped_folder(kind))}
    if home is not None:
        by_name |= {entry.name: entry for entry in _listed(kind, "user", home / kind)}
    return tuple(by_name[name] for name in sorted(by_name))


def stamp(home: Path) -> tuple[tuple[str, int, int], ...]:
    """Returns what tells two states of the user's own prompts and documents apart: path, size and time of each."""
    kinds: tuple[Kind, ...] = ("prompts", "knowledgebase")
    paths = [entry.path for kind in kinds for entry in _listed(kind, "user", home / kind)]
    looks = [(str(path), path.stat()) for path in paths if path.exists()]
    return tuple((path, look.st_size, look.st_mtime_ns) for path, look in looks)


def read(entry: Entry) -> str:
    """Returns the text of a file.

    Raises:
        ConfigError: the file cannot be read, is larger than `MAX_BYTES`, or is not UTF-8.
    """
    try:
        with entry.path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise errors.ConfigError(
            f"{str(entry.path)!r} cannot be read: {error.strerror}.", hint="Check that the file is there and readable."
        ) from error
    if len(data) > MAX_BYTES:
        raise errors.ConfigError(
            f"{str(entry.path)!r} is larger than {MAX_BYTES} bytes.", hint="Split it, or move detail elsewhere."
        )
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise errors.ConfigError(
            f"{str(entry.path)!r} is not UTF-8 at byte {error.start}.", hint="Save the file as UTF-8."
        ) from error


def names(kind: Kind, home: Path | None = None) -> list[str]:
    """Returns the names of the files of a kind, sorted."""
    return [entry.name for entry in entries(kind, home)]


def text(kind: Kind, name: str, home: Path | None = None) -> str:
    """Returns the text of the file of that kind and name, the user's own before the bundled one.

    Raises:
        UnknownHandle: there is no such file.
        ConfigError: the file cannot be read.
    """
    entry = next((entry for entry in entries(kind, home) if entry.name == name), None)
    if entry is None:
        near = problems.nearest(name, names(kind, home))
        raise errors.UnknownHandle(
            f"There is no {kind} file {name[:80]!r}.", hint=f"Did you mean {near!r}?" if near else "List them first."
        )
    return read(entry)


def template(name: str, home: Path | None = None) -> templates.Template:
    """Returns the prompt template of that name, the user's own before the bundled one.

    Raises:
        UnknownHandle: there is no such template.
        ConfigError: the template's file is broken.
    """
    return templates.read_template(text("prompts", name, home), name)


def all_templates(home: Path | None = None) -> tuple[dict[str, templates.Template], tuple[str, ...]]:
    """Returns the prompt templates by name, and what is wrong with the user's; the bundled one stands in for those.

    Raises:
        ConfigError: a bundled template is broken.
    """
    by_name = {entry.name: templates.read_template(read(entry), entry.name) for entry in entries("prompts")}
    faults: list[str] = []
    for entry in (entry for entry in entries("prompts", home) if entry.layer == "user"):
        try:
            by_name[entry.name] = templates.read_template(read(entry), entry.name)
        except errors.ConfigError as error:
            faults.append(str(error))
    return dict(sorted(by_name.items())), tuple(faults)


def _listed(kind: Kind, layer: Layer, folder: Path) -> Iterator[Entry]:
    suffix = _SUFFIXES[kind]
    paths = sorted(folder.rglob(f"*{suffix}")) if folder.is_dir() else []
    for path in paths[:MAX_FILES]:
        if _regular(path) and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield Entry(path.relative_to(folder).as_posix().removesuffix(suffix), layer, path)


def _regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
