"""Finds agent files and keeps the catalogue of them up to date.

Layers, the weakest first: bundled rosters, the user's `~/.claude/agents`, `agents/` of plugins, the project's
`.claude/agents`, and configured folders. A file is read again only when its path, size or time of change differ.
Nothing is kept on the disk: a new process reads the 78 bundled files in 30 ms (benchmarks/routing.py).
"""

from __future__ import annotations

import codecs
import dataclasses
import functools
import hashlib
import importlib.resources
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeGuard

import pydantic

from dispatch_mcp import configuration, errors, model
from dispatch_mcp.agents import bundled_files, catalog, frontmatter, rosters, workspace_signs
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import json_types, lexicon

MAX_FILES = 2_000
MAX_BYTES = 256 * 1024
KEPT = 256
"""Agent files that stay read for whoever looks at them next: ours are 81, and each principal has its own source."""

FRESH_S = 1.0
"""How long a look at the folders counts; within it routing does not touch the disk."""

_JSON: Final = pydantic.TypeAdapter[model.Json](model.Json)
"""Reads JSON as `json.loads` does, and refuses what is nested deeper than a walk through it could follow."""

_OTHER_THINGS: Final = frozenset({"skills", "commands", "playbooks", "references", "templates"})
"""Folders of what is no agent, inside folders of agents."""

_BLANK = re.compile(r"[{\[<][\w -]*name[\w -]*[}\]>]", re.IGNORECASE)
"""A name that is left to fill in: `{agent-name}`."""

_TEMPLATE = re.compile(r"(?:^|[-_. ])template\.md$", re.IGNORECASE)
_INPUT: Final = "$ARGUMENTS"
"""What a person types behind a command stands for this in its text; nobody fills it in for an agent."""

_SKIPPED: Final = frozenset({"readme.md", "claude.md", "agents.md", "license.md", "contributing.md", "changelog.md"})


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of agent files. With `nested` each folder below it that holds some is a roster of its own."""

    path: Path
    layer: catalog.Layer
    roster: str = ""
    nested: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    """An agent file as it lies there; one that changes in any of this is read again."""

    path: Path
    size: int
    changed_ns: tuple[int, int]
    layer: catalog.Layer
    roster: str
    folder: str


@dataclass(slots=True)
class Source:
    """The agents that a server offers; `catalog()` returns the same value until a file changes.

    `scope` are rosters that take part in routing when none is named, beside those that say so themselves or that
    something in `workspace` switches on; None for all. `documents` is the folder that knowledge paths start from,
    `trusted` the file of approved digests.
    """

    folders: tuple[Folder, ...]
    scope: Collection[str] | None = None
    trusted: Path | None = None
    documents: Path | None = None
    workspace: Path | None = None
    clock: Callable[[], float] = time.monotonic
    fresh_s: float = FRESH_S
    _agents: dict[_File, catalog.Agent] = field(default_factory=dict[_File, catalog.Agent], repr=False)
    _strangers: dict[_File, catalog.Stranger] = field(default_factory=dict[_File, catalog.Stranger], repr=False)
    _state: tuple[object, ...] = field(default=(), repr=False)
    _catalog: catalog.Catalog = field(default=catalog.EMPTY, repr=False)
    _looked_at: float | None = field(default=None, repr=False)

    @staticmethod
    def from_settings(settings: configuration.Settings, home: Path | None = None) -> Source:
        """Returns the source of all layers that these settings name; `home` is the user's home directory."""
        home = home or Path.home()
        shipped_folder = bundled_files.shipped_folder("agents")
        folders = (
            Folder(shipped_folder, "bundled", nested=True),
            Folder(home / ".claude" / "agents", "user", "user"),
            *_plugins(home, settings.workspace, shipped_folder),
            Folder(settings.workspace / ".claude" / "agents", "project", "project"),
            *(Folder(path, "configured", path.name or "configured") for path in settings.agent_dirs),
        )
        return Source(
            folders,
            scope=frozenset(folder.roster for folder in folders if folder.roster),
            trusted=settings.trusted_agents,
            documents=shipped_folder.parent,
            workspace=settings.workspace,
        )

    def catalog(self) -> catalog.Catalog:
        """Returns the catalogue of the files as they are, or were not longer than `fresh_s` ago."""
        now = self.clock()
        if self._looked_at is not None and 0 <= now - self._looked_at < self.fresh_s:
            return self._catalog
        digests = approved_digests(self.trusted)
        files = [file for folder in self.folders for file in _files(folder)][:MAX_FILES]
        state = (tuple(files), digests, workspace_signs.stamp(self.workspace) if self.workspace else ())
        if state != self._state:
            self._refresh(files, digests)
            self._state = state
        self._looked_at = now
        return self._catalog

    def installed(self) -> frozenset[str]:
        """Returns the names by which the host itself calls subagents: the user's, the plugins' and the project's.

        The agents of a plugin have its name in front: `plugin:agent`.
        """
        agents, layers = self.catalog(), ("user", "project", "plugin")
        return frozenset(
            f"{agent.roster}:{agent.name}" if agent.layer == "plugin" else agent.name
            for agent in (*agents.agents, *agents.shadowed)
            if agent.layer in layers or agent.roster == catalog.HOST_ROSTER
        )

    def _refresh(self, files: list[_File], digests: frozenset[str]) -> None:
        agents: dict[_File, catalog.Agent] = {}
        strangers: dict[_File, catalog.Stranger] = {}
        for file in files:
            agent = self._strangers.get(file) or self._agents.get(file)
            if agent is None or (isinstance(agent, catalog.Agent) and agent.trusted != _trusts(agent, digests)):
                agent = _read(file, digests)
            if isinstance(agent, catalog.Agent):
                agents[file] = agent
            elif agent is not None:
                strangers[file] = agent
        self._agents, self._strangers = agents, strangers
        signs = workspace_signs.read(self.workspace) if self.workspace else rosters.NO_SIGNS
        declarations = [roster for folder in self.folders if folder.nested for roster in _declarations(folder.path)]
        whole = catalog.merge(
            agents.values(),
            words=words(),
            scope=_taking_part(self.scope, declarations, signs),
            missing=_missing(agents.values(), self.documents),
            declarations=declarations,
            signs=signs,
        )
        self._catalog = replace(whole, strangers=tuple(strangers.values()))


def _taking_part(
    scope: Collection[str] | None, declarations: Iterable[rosters.Roster], signs: rosters.Signs
) -> frozenset[str] | None:
    """Returns the rosters of the scope, and those that say so or that the workspace switches on; None for all."""
    if scope is None:
        return None
    return frozenset({*scope, *(roster.name for roster in declarations if roster.always or roster.evidence(signs))})


def _declarations(folder: Path) -> Iterator[rosters.Roster]:
    """Yields the rosters below a folder; one inside another folder is a part of that one."""
    for path in sorted(folder.glob(f"**/{rosters.DECLARATION}")):
        *above, name = path.relative_to(folder).parts[:-1] or ("",)
        yield rosters.read(name, path.read_text(encoding="utf-8"), group=above[0] if above else "")


def load(folder: Path) -> catalog.Catalog:
    """Returns the catalogue of one folder of agent files, used alone.

    Raises:
        ConfigError: the folder is not there or holds no agent file.
    """
    agents = Source((Folder(folder, "configured", folder.name or "roster"),)).catalog()
    if not agents.agents:
        raise errors.ConfigError(
            f"{str(folder)!r} holds no agent files.", hint="Name a folder with `*.md` agent files."
        )
    return agents


@functools.cache
def words() -> lexicon.Lexicon:
    """Returns the lexicon that comes with the product."""
    folder = importlib.resources.files("dispatch_mcp") / "text" / "data"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".txt"))
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    common = texts.pop("english.txt", "").split()
    vectors = (folder / "word_vectors.bin").read_bytes()
    return dataclasses.replace(lexicon.parse(texts.values(), common), vectors=vectors)


def approved_digests(path: Path | None) -> frozenset[str]:
    """Returns the SHA-256 digests in a file of approved agents; a file that cannot be read approves nothing.

    The file is JSON: a list of digests, or an object with that list under `sha256`.
    """
    if path is None:
        return frozenset()
    content = _json(path)
    digests = content.get("sha256") if json_types.is_object(content) else content
    return frozenset(filter(_is_text, digests)) if json_types.is_list(digests) else frozenset()


def _is_text(value: model.Json) -> TypeGuard[str]:
    return isinstance(value, str)


def _json(path: Path) -> model.Json:
    """Returns what a JSON file holds; None for one that cannot be read."""
    try:
        return _JSON.validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _plugins(home: Path, workspace: Path, shipped_folder: Path) -> Iterator[Folder]:
    """Yields the agent folders of installed plugins, and of the workspace when it is a plugin itself."""
    plugins = _json(home / ".claude" / "plugins" / "installed_plugins.json")
    for name, path in sorted(set(_install_paths(plugins, ""))):
        if _lists_agents(Path(path)):
            yield Folder(Path(path, "agents"), "plugin", name)
    own = workspace / "agents"
    is_plugin = safe_paths.is_file(workspace / ".claude-plugin" / "plugin.json") and _lists_agents(workspace)
    if is_plugin and own.resolve() != shipped_folder.resolve():
        yield Folder(own, "plugin", _plugin_name(workspace) or workspace.name or "plugin")


def _lists_agents(plugin: Path) -> bool:
    """Returns whether a plugin has agents for its host; ours lists none in its manifest."""
    manifest = _json(plugin / ".claude-plugin" / "plugin.json")
    return not (json_types.is_object(manifest) and manifest.get("agents") == [])


def _plugin_name(folder: Path) -> str:
    """Returns the name of the plugin in a folder, an empty text where it says none."""
    manifest = _json(folder / ".claude-plugin" / "plugin.json")
    name = manifest.get("name") if json_types.is_object(manifest) else None
    return name if isinstance(name, str) else ""


def _install_paths(plugins: model.Json, name: str) -> Iterator[tuple[str, str]]:
    """Yields name and path of each plugin, at whatever depth the list has them."""
    if json_types.is_list(plugins):
        for item in plugins:
            yield from _install_paths(item, name)
    elif json_types.is_object(plugins):
        path = plugins.get("installPath")
        if isinstance(path, str) and name:
            yield name.split("@", 1)[0], path
            return
        for key, item in plugins.items():
            yield from _install_paths(item, name if key == "plugins" else key)


def _files(folder: Folder) -> Iterator[_File]:
    depth = len(folder.path.parts)
    for path in _markdown(folder.path, follow=folder.layer not in catalog.UNTRUSTED):
        parts = path.parts[depth:]
        within = parts[-2] if len(parts) > 1 else ""
        roster = within if folder.nested and within else folder.roster
        try:
            status = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            yield _File(
                path,
                status.st_size,
                (status.st_mtime_ns, status.st_ctime_ns),
                folder.layer,
                roster,
                "" if folder.nested else within,
            )


def _markdown(folder: Path, *, follow: bool) -> list[Path]:
    """Returns the Markdown files below a folder; `follow` also those in folders that it links to, each once."""
    paths: list[Path] = []
    visits: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=follow):
        place = os.path.realpath(root)
        if place in visits:
            folders.clear()
            continue
        visits.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths.extend(Path(root, name) for name in names if name.endswith(".md") and name.lower() not in _SKIPPED)
        if len(paths) > MAX_FILES:
            break
    return sorted(paths, key=lambda path: path.parts)[:MAX_FILES]


def _read(file: _File, digests: Collection[str]) -> catalog.Agent | catalog.Stranger | None:
    """Returns the agent in a file, or why it is none; None for one that cannot be opened."""
    try:
        return _agent_in(file, frozenset(digests))
    except OSError:
        return None


@functools.lru_cache(maxsize=KEPT)
def _agent_in(file: _File, digests: frozenset[str]) -> catalog.Agent | catalog.Stranger:
    """Returns the agent that a file defines, or why it defines none; read once for all sources. Raises OSError."""
    with file.path.open("rb") as stream:
        data = stream.read(MAX_BYTES)
    content, note = text_of(data)
    if why := _foreign(file, content):
        return catalog.Stranger(str(file.path), why)
    agent = catalog.read_agent(
        content,
        path=str(file.path),
        layer=file.layer,
        roster=file.roster,
        folder=file.folder,
        approved=digests,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return agent.model_copy(update={"notes": (*agent.notes, note)}) if note else agent


def text_of(data: bytes) -> tuple[str, str]:
    """Returns the text of a file, and what is odd about its encoding: the host may read it otherwise, or not at all."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace"), "its encoding is UTF-16, not UTF-8"
    try:
        return data.decode("utf-8"), ""
    except UnicodeDecodeError:
        cut = len(data) == MAX_BYTES
        return (
            (data.decode("utf-8", "replace"), "")
            if cut
            else (data.decode("latin-1"), "its bytes are no UTF-8 and were read as Latin-1")
        )


def _foreign(file: _File, content: str) -> str:
    """Returns why a file is no agent; an empty text for one that is."""
    place = next((part for part in file.path.parent.parts[-2:] if part.lower() in _OTHER_THINGS), "")
    if place or file.path.name.lower() == "skill.md":
        return f"lies in {place!r}, where no agents are" if place else "is a skill, not an agent"
    if not content.strip():
        return "is empty"
    header, body, _ = frontmatter.read_front_matter(content)
    name = frontmatter.text(header.get("name")).strip()
    if _TEMPLATE.search(file.path.name) or _BLANK.search(name):
        return "is a template, to be filled in"
    if "argument-hint" in header or _INPUT in body:
        return "is a command, not an agent: it takes arguments"
    return "" if name else "has no `name` in its front matter"


def _trusts(agent: catalog.Agent, digests: Collection[str]) -> bool:
    return agent.layer not in catalog.UNTRUSTED or agent.sha256 in digests


def _missing(agents: Iterable[catalog.Agent], documents: Path | None) -> frozenset[str]:
    if documents is None:
        return frozenset()
    paths = {agent.knowledge for agent in agents if agent.knowledge and agent.layer == "bundled"}
    return frozenset(name for name in paths if not (documents / name).is_file())
