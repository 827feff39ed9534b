"""Finds agent files and keeps the catalogue of them up to date.

Layers, the weakest first: bundled rosters, the user's `~/.claude/agents`, `agents/` of plugins, the project's
`.claude/agents`, and configured folders. Files are read again only when path, size or time of change differ.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import json
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dispatch_mcp import config, errors, resources
from dispatch_mcp.core import catalog, lexicon

MAX_FILES = 2_000
MAX_BYTES = 256 * 1024
_SKIPPED = frozenset({"readme.md", "claude.md", "agents.md", "license.md", "contributing.md", "changelog.md"})

_Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of agent files. With `nested` each folder directly below it is a roster of its own."""

    path: Path
    layer: catalog.Layer
    roster: str = ""
    nested: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    stamp: _Stamp
    layer: catalog.Layer
    roster: str


@dataclass(slots=True)
class Source:
    """The agents that a server offers; `catalog()` returns the same value until a file changes."""

    folders: tuple[Folder, ...]
    trusted: Path | None = None
    scope: Collection[str] | None = None
    documents: Path | None = None
    _agents: dict[tuple[Path, _Stamp, bool], catalog.Agent] = field(default_factory=dict, repr=False)
    _state: tuple[object, ...] = ()
    _catalog: catalog.Catalog = catalog.EMPTY

    @staticmethod
    def of(settings: config.Settings) -> Source:
        """Returns the source of all layers that these settings name."""
        folders = (
            Folder(resources.bundled("agents"), "bundled", nested=True),
            Folder(Path.home() / ".claude" / "agents", "user", "user"),
            Folder(settings.workspace / ".claude" / "agents", "project", "project"),
            *(Folder(path, "configured", path.name or "configured") for path in settings.agent_dirs),
        )
        scope = {*catalog.DEFAULT_ROSTERS, *(folder.roster for folder in folders if folder.roster)}
        return Source(folders, settings.trusted_agents, scope, resources.bundled("knowledgebase").parent)

    def catalog(self) -> catalog.Catalog:
        """Returns the catalogue of the files as they are now."""
        approved = _approved(self.trusted)
        files = [file for folder in self.folders for file in _files(folder)]
        state = (tuple(files), frozenset(approved))
        if state != self._state:
            agents = [agent for file in files if (agent := self._read(file, approved)) is not None]
            missing = _missing(agents, self.documents)
            self._catalog = catalog.of(agents, words=words(), scope=self.scope, missing=missing)
            self._state = state
        return self._catalog

    def installed(self) -> frozenset[str]:
        """Returns the names that the host itself knows as subagents: the user's and the project's."""
        everyone = (*self._catalog.agents, *self._catalog.shadowed)
        return frozenset(agent.name for agent in everyone if agent.layer in ("user", "project", "plugin"))

    def _read(self, file: _File, approved: Collection[str]) -> catalog.Agent | None:
        try:
            data = _bytes(file.path)
        except OSError:
            return None
        digest = hashlib.sha256(data).hexdigest()
        return catalog.read_agent(
            data.decode("utf-8", "replace"),
            path=str(file.path),
            layer=file.layer,
            roster=file.roster,
            approved=approved,
            sha256=digest,
        )


def load(folder: Path) -> catalog.Catalog:
    """Returns the catalogue of one folder of agent files, used alone.

    Raises:
        ConfigError: the folder is not there or holds no agent file.
    """
    source = Source((Folder(folder, "configured", folder.name or "roster"),))
    found = source.catalog()
    if not found.agents:
        raise errors.ConfigError(
            f"{str(folder)!r} holds no agent files.", hint="Name a folder with `*.md` agent files."
        )
    return found


@functools.cache
def words() -> lexicon.Lexicon:
    """Returns the lexicon that comes with the product."""
    folder = importlib.resources.files("dispatch_mcp") / "core" / "data"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".txt"))
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    common = texts.pop("english.txt", "").split()
    return lexicon.parse(texts.values(), common)


def _approved(path: Path | None) -> frozenset[str]:
    """Returns the digests of approved agent files; a file that cannot be read approves nothing."""
    if path is None:
        return frozenset()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    listed = found.get("sha256", ()) if isinstance(found, dict) else found
    return (
        frozenset(digest for digest in listed if isinstance(digest, str)) if isinstance(listed, list) else frozenset()
    )


def _files(folder: Folder) -> Iterator[_File]:
    for path in sorted(_markdown(folder.path)):
        parts = path.relative_to(folder.path).parts
        roster = parts[0] if folder.nested and len(parts) > 1 else folder.roster
        try:
            status = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            yield _File(path, (status.st_size, status.st_mtime_ns), folder.layer, roster)


def _markdown(folder: Path) -> Iterable[Path]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found.extend(Path(root, name) for name in names if name.endswith(".md") and name.lower() not in _SKIPPED)
        if len(found) >= MAX_FILES:
            break
    return found[:MAX_FILES]


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES)


def _missing(agents: Iterable[catalog.Agent], documents: Path | None) -> frozenset[str]:
    if documents is None:
        return frozenset()
    named = {agent.knowledge for agent in agents if agent.knowledge}
    return frozenset(name for name in named if not (documents / name).is_file())
