"""The knowledge document of an agent: where it lies, whether its reader is to work by it, and what stands in for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from dispatch_mcp import errors
from dispatch_mcp.agents import bundled_files, catalog
from dispatch_mcp.context import safe_read

SHIPPED: Final = "knowledgebase/"
"""How the names of documents begin that come with the product, or that the user keeps in their place."""
RESOURCE: Final = "the MCP resource "
FILE: Final = "the file "
MAX_BYTES: Final = 256 * 1024
_ABOVE: Final = 3
"""Folders in which a document of an agent's own is looked for: that of its file, and two above it."""
_OWN: Final[frozenset[catalog.Layer]] = frozenset({"user", "configured"})


class KnowledgeDocument(NamedTuple):
    """A knowledge document. `address` says in words where a reader finds all of it, empty for nowhere.

    `is_instruction` is whether it comes from the product or from its user; from anybody else it is information.
    """

    name: str
    text: str
    is_instruction: bool = True
    address: str = ""


class Knowledge(NamedTuple):
    """What an agent may know: its document or its stand-in, if there is one; `missing` is the name of an absent one."""

    document: KnowledgeDocument | None = None
    missing: str = ""


NOTHING: Final = Knowledge()


@dataclass(frozen=True, slots=True)
class Library:
    """Finds documents. `home` is where the user's own lie; `trusts` says whether a workspace's own are instructions."""

    home: Path
    trusts: Callable[[str], bool] = lambda _workspace: False

    def of(self, agent: catalog.Agent, agents: catalog.Catalog, workspace: str) -> Knowledge:
        """Returns what an agent may know; for a document that is not there, that of the fallback of its roster."""
        if not agent.knowledge:
            return NOTHING
        document = self._find(agent, workspace)
        if document is not None:
            return Knowledge(document)
        spare = next(
            (other for other in agents.agents if other.fallback and other.roster == agent.roster and other.knowledge),
            None,
        )
        stand_in = self._find(spare, workspace) if spare and spare.name != agent.name else None
        return Knowledge(stand_in, agent.knowledge)

    def _find(self, agent: catalog.Agent, workspace: str) -> KnowledgeDocument | None:
        texts = (
            _shipped(agent.knowledge, self.home),
            *(_beside(agent) if agent.layer in _OWN else ()),
            self._of_others(agent, workspace) if agent.layer in catalog.UNTRUSTED else None,
        )
        return next((document for document in texts if document is not None), None)

    def _of_others(self, agent: catalog.Agent, workspace: str) -> KnowledgeDocument | None:
        """Returns the document of a project's or plugin's agent, which lies below the project's or plugin's folder."""
        is_project = agent.layer == "project"
        root = Path(workspace) if is_project else Path(agent.path).parent.parent
        text, address = _below(root, agent.knowledge), FILE + agent.knowledge.removeprefix("./") if is_project else ""
        is_trusted = self.trusts(workspace) if is_project else agent.trusted
        return None if text is None else KnowledgeDocument(agent.knowledge, text, is_trusted, address)


def _shipped(name: str, home: Path) -> KnowledgeDocument | None:
    """Returns a document of the user or the product, the user's own first."""
    if not name.startswith(SHIPPED):
        return None
    short = name.removeprefix(SHIPPED).removesuffix(".md")
    try:
        text = bundled_files.text("knowledgebase", short, home)
    except errors.DispatchError:
        return None
    return KnowledgeDocument(name, text, address=f"{RESOURCE}dispatch://knowledge/{short}") if text.strip() else None


def _beside(agent: catalog.Agent) -> Iterator[KnowledgeDocument | None]:
    """Yields what lies where the user's own agent says: in full, or from a folder around its file."""
    path = Path(os.path.expanduser(agent.knowledge))  # noqa: PTH111  # a name without a home stays as it is
    folders = [Path(agent.path).parent, *Path(agent.path).parent.parents][:_ABOVE]
    for place in [path] if path.is_absolute() else [folder / path for folder in folders]:
        text = _text(place)
        yield KnowledgeDocument(agent.knowledge, text, address=f"{FILE}{place}") if text is not None else None


def _text(path: Path) -> str | None:
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8-sig", "replace")
    except (OSError, ValueError):
        return None
    return text if text.strip() and "\0" not in text else None


def _below(root: Path, path: str) -> str | None:
    """Returns the text of a file below a folder that others write, as far as it stays there."""
    try:
        with safe_read.Root(root) as folder:
            text = folder.read(path.removeprefix("./"), limit=MAX_BYTES).text
    except errors.DispatchError:
        return None
    return text if text.strip() and "\0" not in text else None
