"""A project's own rules: the files in which it says how work is done here (docs/rules.md#project-rules)."""

from __future__ import annotations

import itertools
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dispatch_mcp.context import safe_read
from dispatch_mcp.process import safe_paths

NAMES: Final = ("AGENTS.md", "CLAUDE.md")
"""Files that hold the rules of the folder that they lie in and of all below it; the first counts most."""
ELSEWHERE: Final = (".claude/CLAUDE.md",)
"""Where else a project keeps the rules of its root."""
CONTINUITY: Final = (".loki/CONTINUITY.md", "CONTINUITY.md")
"""Where sessions leave notes for the next one; the first that is there counts."""

MAX_BYTES: Final = 400_000
"""A larger file of rules is not read."""
MAX_FOLDERS: Final = 24
"""Folders that are looked at for rules of their own."""
MAX_IMPORTS: Final = 20
"""Files that rules may import, all together."""
MAX_DEPTH: Final = 5
"""Imports of imports that are followed."""

_IMPORT = re.compile(r"(?<![\w@`/])@(?P<path>~?[\w./-]*[\w/-])")
_CODE = re.compile(r"^(`{3,}|~{3,}).*?(?:^\1|\Z)|`[^`\n]*`", re.MULTILINE | re.DOTALL)


class RuleFile(NamedTuple):
    """One file of rules; `importer` is the file that names it with `@`, empty for one that counts by its name."""

    path: str
    text: str
    importer: str = ""


@dataclass(slots=True)
class ProjectRules:
    """Files of rules in the order in which they count, and those that are named and cannot be given, with why."""

    files: list[RuleFile] = field(default_factory=list[RuleFile])
    refusals: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def read(root: safe_read.Root, at_hand: Iterable[str] = ()) -> ProjectRules:
    """Returns the rules of the root, then of the folders of the files `at_hand`, the outermost first, then the notes.

    Files that rules import with `@` follow the file that names them. The same text is given once.
    """
    reader = _Reader(root)
    for path in (*NAMES, *ELSEWHERE):
        reader.add(path)
    folders = dict.fromkeys(folder for path in at_hand for folder in _folders(path))
    for folder in sorted(itertools.islice(folders, MAX_FOLDERS), key=lambda folder: folder.count("/")):
        for name in NAMES:
            reader.add(f"{folder}/{name}")
    any(reader.add(path) for path in CONTINUITY)
    return reader.rules


def _folders(path: str) -> Iterator[str]:
    """Yields the folders that a file lies in, the outermost first."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


class _Reader:
    def __init__(self, root: safe_read.Root) -> None:
        self.rules = ProjectRules()
        self._root = root
        self._paths: set[str] = set()
        self._texts: set[str] = set()
        self._imports = 0

    def add(self, path: str, importer: str = "", depth: int = 0) -> bool:
        """Adds a file with what it imports; returns whether it is there and says anything."""
        text = self._text(path, importer)
        if text is None:
            return False
        if text not in self._texts:
            self._texts.add(text)
            self.rules.files.append(RuleFile(path, text, importer))
        for target in _imports(text):
            self._import(target, path, depth + 1)
        return True

    def _import(self, target: str, importer: str, depth: int) -> None:
        is_path = "/" in target or "." in target
        if not is_path or target.startswith(("~", "/")):
            if is_path:
                self._refuse(target, importer, "leads outside of the workspace")
            return
        path = posixpath.normpath(posixpath.join(posixpath.dirname(importer), target))
        if path.startswith("../") or path == "..":
            self._refuse(target, importer, "leads outside of the workspace")
        elif path not in self._paths and self._is_there(path):
            if depth > MAX_DEPTH or self._imports >= MAX_IMPORTS:
                self._refuse(target, importer, "is one import too many")
                return
            self._imports += 1
            self.add(path, importer, depth)

    def _is_there(self, path: str) -> bool:
        """Returns whether an import can be a file: `@somebody` is no import."""
        return os.path.lexists(self._root.path / path) and not (self._root.path / path).is_dir()

    def _refuse(self, target: str, importer: str, why: str) -> None:
        entry = (f"@{target}", f"{importer} imports it; it {why}")
        if entry not in self.rules.refusals:
            self.rules.refusals.append(entry)

    def _text(self, path: str, importer: str) -> str | None:
        """Returns the text of a file, through links as far as they stay in the workspace; None for none to give."""
        if path in self._paths or not self._is_there(path):
            return None
        self._paths.add(path)
        try:
            text = self._root.read(self._behind_links(path), limit=MAX_BYTES).text.strip()
        except safe_paths.Refused as refusal:
            why = f"{importer} imports it; {refusal.message}" if importer else refusal.message
            self.rules.refusals.append((path, why))
            return None
        return text or None

    def _behind_links(self, path: str) -> str:
        target = self._root.target(path)
        if target == "":
            raise safe_paths.refusal(path, "is a link that leads outside of the workspace")
        return target or path


def _imports(text: str) -> list[str]:
    """Returns what a text imports with `@`, each once; what stands in code is no import."""
    matches = (match["path"].rstrip(".") for match in _IMPORT.finditer(_CODE.sub("", text)))
    return [path for path in dict.fromkeys(matches) if path]
