"""Finds agent files and keeps the catalogue of them up to date.

Layers, the weakest first: bundled rosters, the user's `~/.claude/agents`, `agents/` of plugins, the project's
`.claude/agents`, and configured folders. A file is read again only when its path, size or time of change differ; with
a cache folder what was read and the index built from it are kept there for the next process.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.resources
import json
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pydantic

from dispatch_mcp import configuration, errors
from dispatch_mcp.agents import bundled_files, catalog
from dispatch_mcp.text import json_types, lexicon

MAX_FILES = 2_000
MAX_BYTES = 256 * 1024
FRESH_S = 1.0
"""How long a look at the folders counts; within it routing does not touch the disk."""

_FORMAT = "2"
_SKIPPED = frozenset({"readme.md", "claude.md", "agents.md", "license.md", "contributing.md", "changelog.md"})
_ANY = pydantic.TypeAdapter[dict[str, object] | list[object]](dict[str, object] | list[object])


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
    size: int
    changed_ns: int
    layer: catalog.Layer
    roster: str

    @property
    def stamp(self) -> str:
        return f"{self.size}:{self.changed_ns}:{self.layer}:{self.roster}"


@dataclass(slots=True)
class Source:
    """The agents that a server offers; `catalog()` returns the same value until a file changes.

    `scope` are the rosters that take part in routing when none is named, None for all; `documents` the folder that
    knowledge paths start from; `trusted` the file of approved digests; `cache` a folder of our own to keep what was
    read. `ready` is called with each new catalogue.
    """

    folders: tuple[Folder, ...]
    scope: Collection[str] | None = None
    trusted: Path | None = None
    documents: Path | None = None
    cache: Path | None = None
    ready: Callable[[catalog.Catalog], None] | None = None
    clock: Callable[[], float] = time.monotonic
    fresh_s: float = FRESH_S
    _agents: dict[tuple[str, str], catalog.Agent] = field(
        default_factory=dict[tuple[str, str], catalog.Agent], repr=False
    )
    _state: tuple[object, ...] = field(default=(), repr=False)
    _catalog: catalog.Catalog = field(default=catalog.EMPTY, repr=False)
    _looked: float | None = field(default=None, repr=False)

    @staticmethod
    def of(
        settings: configuration.Settings,
        home: Path | None = None,
        ready: Callable[[catalog.Catalog], None] | None = None,
    ) -> Source:
        """Returns the source of all layers that these settings name; `home` is the user's home directory."""
        home = home or Path.home()
        bundled = bundled_files.bundled("agents")
        found = (
            Folder(bundled, "bundled", nested=True),
            Folder(home / ".claude" / "agents", "user", "user"),
            *_plugins(home, settings.workspace, bundled),
            Folder(settings.workspace / ".claude" / "agents", "project", "project"),
            *(Folder(path, "configured", path.name or "configured") for path in settings.agent_dirs),
        )
        scope = frozenset({*catalog.DEFAULT_ROSTERS, *(folder.roster for folder in found if folder.roster)})
        return Source(
            found,
            scope=scope,
            trusted=settings.trusted_agents,
            documents=bundled.parent,
            cache=settings.home / "cache",
            ready=ready,
        )

    def catalog(self) -> catalog.Catalog:
        """Returns the catalogue of the files as they are, or were not longer than `fresh_s` ago."""
        now = self.clock()
        if self._looked is not None and 0 <= now - self._looked < self.fresh_s:
            return self._catalog
        approved = approved_digests(self.trusted)
        files = [file for folder in self.folders for file in _files(folder)][:MAX_FILES]
        state = (tuple(files), approved)
        if state != self._state:
            self._refresh(files, approved)
            self._state = state
        self._looked = now
        return self._catalog

    def installed(self) -> frozenset[str]:
        """Returns the names that the host itself knows as subagents: the user's, the plugins' and the project's."""
        known = self.catalog()
        theirs = ("user", "project", "plugin")
        return frozenset(agent.name for agent in (*known.agents, *known.shadowed) if agent.layer in theirs)

    def _refresh(self, files: list[_File], approved: frozenset[str]) -> None:
        if not self._agents and self.cache is not None:
            self._agents = _stored_agents(self.cache / self._store_name())
        agents: dict[tuple[str, str], catalog.Agent] = {}
        changed = False
        for file in files:
            place = (str(file.path), file.stamp)
            known = self._agents.get(place)
            if known is None or known.trusted != _trusts(known, approved):
                known, changed = _read(file, approved), True
            if known is not None:
                agents[place] = known
        changed = changed or len(agents) != len(self._agents)
        self._agents = agents
        missing = _missing(agents.values(), self.documents)
        self._catalog = catalog.of(agents.values(), words=words(), scope=self.scope, missing=missing)
        if self.cache is not None and changed:
            write(self.cache / self._store_name(), _agents_as_bytes(agents))
        if self.ready is not None:
            self.ready(self._catalog)

    def _store_name(self) -> str:
        places = json.dumps([str(folder.path) for folder in self.folders])
        return f"agents-{hashlib.sha256(places.encode()).hexdigest()[:16]}.json"


def load(folder: Path) -> catalog.Catalog:
    """Returns the catalogue of one folder of agent files, used alone.

    Raises:
        ConfigError: the folder is not there or holds no agent file.
    """
    found = Source((Folder(folder, "configured", folder.name or "roster"),)).catalog()
    if not found.agents:
        raise errors.ConfigError(
            f"{str(folder)!r} holds no agent files.", hint="Name a folder with `*.md` agent files."
        )
    return found


@functools.cache
def words() -> lexicon.Lexicon:
    """Returns the lexicon that comes with the product."""
    folder = importlib.resources.files("dispatch_mcp") / "text" / "data"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".txt"))
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    common = texts.pop("english.txt", "").split()
    return lexicon.parse(texts.values(), common)


def approved_digests(path: Path | None) -> frozenset[str]:
    """Returns the SHA-256 digests in a file of approved agents; a file that cannot be read approves nothing.

    The file is JSON: a list of digests, or an object with that list under `sha256`.
    """
    if path is None:
        return frozenset()
    try:
        found = _ANY.validate_json(path.read_bytes())
    except (OSError, ValueError):
        return frozenset()
    listed = found.get("sha256") if isinstance(found, dict) else found
    return (
        frozenset(digest for digest in listed if isinstance(digest, str)) if json_types.is_list(listed) else frozenset()
    )


def _plugins(home: Path, workspace: Path, bundled: Path) -> Iterator[Folder]:
    """Yields the agent folders of installed plugins, and of the workspace when it is a plugin itself."""
    try:
        listed = _ANY.validate_json((home / ".claude" / "plugins" / "installed_plugins.json").read_bytes())
    except (OSError, ValueError):
        listed = []
    for name, path in sorted(set(_install_paths(listed, ""))):
        yield Folder(Path(path, "agents"), "plugin", name)
    own = workspace / "agents"
    if (workspace / ".claude-plugin" / "plugin.json").is_file() and own.resolve() != bundled.resolve():
        yield Folder(own, "plugin", workspace.name or "plugin")


def _install_paths(listed: object, name: str) -> Iterator[tuple[str, str]]:
    if json_types.is_list(listed):
        for item in listed:
            yield from _install_paths(item, name)
    elif json_types.is_object(listed):
        place = listed.get("installPath")
        if isinstance(place, str) and name:
            yield name.split("@", 1)[0], place
            return
        for key, item in listed.items():
            yield from _install_paths(item, name if key == "plugins" else key)


def _files(folder: Folder) -> Iterator[_File]:
    for path in _markdown(folder.path):
        parts = path.relative_to(folder.path).parts
        roster = parts[0] if folder.nested and len(parts) > 1 else folder.roster
        try:
            status = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            yield _File(path, status.st_size, status.st_mtime_ns, folder.layer, roster)


def _markdown(folder: Path) -> list[Path]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found.extend(Path(root, name) for name in names if name.endswith(".md") and name.lower() not in _SKIPPED)
        if len(found) > MAX_FILES:
            break
    return sorted(found)[:MAX_FILES]


def _read(file: _File, approved: Collection[str]) -> catalog.Agent | None:
    try:
        with file.path.open("rb") as opened:
            data = opened.read(MAX_BYTES)
    except OSError:
        return None
    return catalog.read_agent(
        data.decode("utf-8", "replace"),
        path=str(file.path),
        layer=file.layer,
        roster=file.roster,
        approved=approved,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _trusts(agent: catalog.Agent, approved: Collection[str]) -> bool:
    return agent.layer not in catalog.UNTRUSTED or agent.sha256 in approved


def _missing(agents: Iterable[catalog.Agent], documents: Path | None) -> frozenset[str]:
    if documents is None:
        return frozenset()
    named = {agent.knowledge for agent in agents if agent.knowledge and agent.layer == "bundled"}
    return frozenset(name for name in named if not (documents / name).is_file())


def _stored_agents(path: Path) -> dict[tuple[str, str], catalog.Agent]:
    """Returns the agents that an earlier process has read, by path and stamp; nothing when the file is of no use."""
    try:
        found = json.loads(path.read_bytes())
        if found["format"] != _FORMAT:
            return {}
        return {(row["path"], row["stamp"]): catalog.Agent.model_validate(row["agent"]) for row in found["agents"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _agents_as_bytes(agents: Mapping[tuple[str, str], catalog.Agent]) -> bytes:
    rows = [
        {"path": path, "stamp": stamp, "agent": agent.model_dump(mode="json", exclude_defaults=True)}
        for (path, stamp), agent in agents.items()
    ]
    return json.dumps({"format": _FORMAT, "agents": rows}, ensure_ascii=True, separators=(",", ":")).encode()


def write(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all; a cache that cannot be written is no error."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
        part.replace(path)
