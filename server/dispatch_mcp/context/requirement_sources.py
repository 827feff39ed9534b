"""Finds what the keys of a task stand for in an index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dispatch_mcp.context import (
    assembly,
    context_query,
    file_index,
    index_search,
    packs,
    ranking,
    requirements,
    search_scope,
)
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import languages, path_globs

RULES: Final = ("AGENTS.md", "CLAUDE.md")
"""Where a project keeps its rules, in the order in which they count (docs/rules.md#project-rules)."""
NOTES: Final = "continuity notes"
_RULES_SHARE: Final = 0.4
"""Share of the budget that rules may take (docs/rules.md#project-rules)."""
_PART_SHARE: Final = 0.3
"""Share of the budget that one question, pattern or folder may take."""
_DEFINITIONS: Final = 6
"""Definitions of one name that are given."""
_FOUND: Final = 4
"""Parts that answer a question."""
_WHOLE: Final = 150
"""Lines of a class that is given in one piece."""
_GLOBBED: Final = 40
"""Files of one glob that are given."""
_LISTED: Final = 400
"""Lines of the tree of a folder."""
_FEW: Final = 200
"""Files below a folder that are listed one by one, however deep."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Texts from elsewhere: the agent's `knowledge` by name, stored continuity `notes`, other tasks' `handoffs`."""

    knowledge: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: str = ""
    handoffs: Mapping[str, str] = field(default_factory=dict[str, str])


NO_SOURCES: Final = Sources()


@dataclass(slots=True)
class Resolved:
    """What keys stand for; `tasks` are ids whose handoffs the caller has to add."""

    offers: list[assembly.Offer] = field(default_factory=list[assembly.Offer])
    unresolved: list[packs.Unresolved] = field(default_factory=list[packs.Unresolved])
    tasks: list[str] = field(default_factory=list[str])
    named: set[str] = field(default_factory=set[str])


_Way = Callable[[requirements.Requirement, Resolved], assembly.Offer | None]


class Resolver:
    """Resolves keys within a scope; an explicit `file:` path wins over the scope, everything else obeys it."""

    def __init__(
        self, opened: file_index.Index, found: index_search.Search, scope: search_scope.Scope, sources: Sources
    ) -> None:
        self._index = opened
        self._search = found
        self._scope = scope
        self._sources = sources

    def resolve(self, keys: Iterable[str]) -> Resolved:
        """Returns what the keys stand for, in their order."""
        result = Resolved()
        ways: Mapping[requirements.Kind, _Way] = {
            "file": self._file,
            "symbol": self._symbol,
            "structure": self._structure,
            "pattern": self._pattern,
            "rag": self._rag,
            "task": self._task,
            "rules": self._rules,
        }
        for one in requirements.parse_all(keys):
            offer = ways[one.kind](one, result)
            if offer is not None:
                result.offers.append(offer)
        return result

    def _file(self, one: requirements.Requirement, result: Resolved) -> assembly.Offer | None:
        files = self._search.files
        if any(mark in one.subject for mark in "*?{"):
            return self._glob(one, result)
        if not one.subject or any(path.startswith(f"{one.subject}/") for path in files.ids):
            return self._structure(one, result)
        try:
            text = self._index.root.read(one.subject).text
        except safe_paths.Refused as why:
            known = [path for path in files.ids if self._scope.allows(path)]
            reason = "" if one.subject not in files.ids and "cannot be read" in why.message else why.message
            result.unresolved.append(
                packs.Unresolved(one.key, _as_file(requirements.nearest(one.subject, known)), reason)
            )
            return None
        result.named.add(one.subject)
        if one.symbol:
            return self._within(one, result)
        lines = text.removesuffix("\n").split("\n")
        first, last = (one.first, min(one.last, len(lines))) if one.first else (1, len(lines))
        if first > len(lines):
            result.unresolved.append(packs.Unresolved(one.key, f"file:{one.subject}", f"it has {len(lines)} lines"))
            return None
        return assembly.Offer((_item(one.subject, lines, (first, last)),))

    def _within(self, one: requirements.Requirement, result: Resolved) -> assembly.Offer | None:
        names = list(dict.fromkeys(name for name, _, _ in self._chunks(one.subject) if name))
        found = requirements.answering(one.symbol, names)
        if not found:
            near = requirements.nearest(one.symbol, names, apart=".")
            result.unresolved.append(packs.Unresolved(one.key, f"file:{one.subject}{f'#{near}' if near else ''}"))
            return None
        return assembly.Offer(tuple(piece for name in found for piece in self._definition(one.subject, name)))

    def _chunks(self, path: str) -> list[tuple[str, int, int]]:
        file = self._search.files.ids.get(path)
        return self._index.db.execute(
            "SELECT name, first, last FROM chunks WHERE file = ? AND kind != 'module' ORDER BY first", (file,)
        ).fetchall()

    def _glob(self, one: requirements.Requirement, result: Resolved) -> assembly.Offer | None:
        found = [path for path in self._search.files.ids if path_globs.matches(one.subject, path)]
        shown = [path for path in found if self._scope.allows(path)]
        if not shown:
            result.unresolved.append(packs.Unresolved(one.key))
            return None
        return assembly.Offer(tuple(self._whole(path) for path in shown[:_GLOBBED]))

    def _whole(self, path: str) -> packs.Item:
        lines = self._search.text(path).removesuffix("\n").split("\n")
        return _item(path, lines, (1, len(lines)))

    def _symbol(self, one: requirements.Requirement, result: Resolved) -> assembly.Offer | None:
        rows = [row for row in self._definitions(file_index.leaf(one.subject)) if self._scope.allows(row[0])]
        found = requirements.answering(one.subject.replace("::", ".").replace("#", "."), [row[1] for row in rows])
        if not found:
            near = self._near_symbol(one.subject)
            result.unresolved.append(packs.Unresolved(one.key, f"symbol:{near}" if near else ""))
            return None
        spans = dict.fromkeys((path, name) for path, name, _ in rows if name in found)
        pieces = [piece for path, name in list(spans)[:_DEFINITIONS] for piece in self._definition(path, name)]
        return assembly.Offer(tuple(pieces))

    def _definitions(self, leaf: str) -> list[tuple[str, str, int]]:
        rows = self._index.db.execute(
            "SELECT path, name, first FROM chunks JOIN files ON files.id = file"
            " WHERE leaf = ? AND kind NOT IN ('module', 'text') LIMIT 200",
            (leaf,),
        ).fetchall()
        order = {"source": 0, "example": 1, "other": 1, "test": 2, "docs": 3}
        return sorted(rows, key=lambda row: (order[languages.role(row[0])], row[0], row[2]))

    def _definition(self, path: str, name: str) -> list[packs.Item]:
        """Returns the lines of a definition with everything inside it; the head of a long class comes first."""
        rows = [row for row in self._chunks(path) if row[0] == name or row[0].startswith(f"{name}.")]
        first, last = min(row[1] for row in rows), max(row[2] for row in rows)
        lines = self._search.text(path).split("\n")
        if last - first < _WHOLE:
            return [_item(path, lines, (first, last), name)]
        return [_item(path, lines, (first, last), found) for found, first, last in rows]

    def _near_symbol(self, name: str) -> str:
        leaf = file_index.leaf(name)
        rows = self._index.db.execute(
            "SELECT DISTINCT leaf, path FROM chunks JOIN files ON files.id = file"
            " WHERE kind IN ('function', 'class') AND leaf != '' AND (leaf LIKE ? OR leaf LIKE ?) LIMIT 3000",
            (f"{leaf[:2]}%", f"%{leaf[-4:]}"),
        )
        return requirements.nearest(leaf, dict.fromkeys(known for known, path in rows if self._scope.allows(path)))

    def _structure(self, one: requirements.Requirement, result: Resolved) -> assembly.Offer | None:
        files = self._search.files
        folder = one.subject.strip("/")
        below = [path for path in files.ids if not folder or path.startswith(f"{folder}/")]
        shown = [path for path in below if self._scope.allows(path)]
        if not shown:
            folders = {parent: None for path in files.ids if self._scope.allows(path) for parent in _folders(path)}
            near = requirements.nearest(folder, folders)
            result.unresolved.append(packs.Unresolved(one.key, f"structure:{near}" if near else ""))
            return None
        text = "\n".join(tree(shown, folder))
        key = f"structure:{folder}"
        return assembly.Offer((packs.Item(key, key, text, 0, "structure"),), _PART_SHARE)

    def _pattern(self, one: requirements.Requirement, result: Resolved) -> assembly.Offer | None:
        query = context_query.read(one.subject)
        found = self._search.evidence(query, {})
        ranked = self._allowed(query, found)
        best = next((part for part in ranked if part.kind in {"function", "class"}), None)
        if best is None:
            result.unresolved.append(packs.Unresolved(one.key, why="nothing like it is defined here"))
            return None
        tests = [part for part in found.others if languages.role(part.path) == "test" and self._scope.allows(part.path)]
        about = [part for part in tests if languages.subject(part.path) == languages.subject(best.path)] or tests
        example = sorted(about, key=lambda part: (-part.score, part.path, part.first))[:1]
        pieces = [self._piece(best), *(self._piece(part, "example") for part in example)]
        return assembly.Offer(tuple(pieces), _PART_SHARE)

    def _rag(self, one: requirements.Requirement, result: Resolved) -> assembly.Offer | None:
        query = context_query.read(one.subject)
        found = self._search.evidence(query, {})
        if one.docs:
            allowed = [part for part in found.others if self._scope.allows(part.path)]
            best = sorted(allowed, key=lambda part: (-part.score, part.path, part.first))
        else:
            best = self._allowed(query, found)
        if not best:
            result.unresolved.append(packs.Unresolved(one.key, why="nothing holds these words"))
            return None
        return assembly.Offer(tuple(self._piece(part) for part in best[:_FOUND]), _PART_SHARE)

    def _allowed(self, query: context_query.Query, found: ranking.Evidence) -> list[ranking.Part]:
        return [
            part for part, _ in ranking.rank(query, found).parts if part.score > 0 and self._scope.allows(part.path)
        ]

    def _piece(self, part: ranking.Part, why: packs.Why = "asked") -> packs.Item:
        lines = self._search.text(part.path).split("\n")
        return _item(part.path, lines, (part.first, part.last), part.name if part.kind != "module" else "", why)

    def _task(self, one: requirements.Requirement, result: Resolved) -> assembly.Offer | None:
        text = self._sources.handoffs.get(one.subject)
        if text is None:
            result.tasks.append(one.subject)
            return None
        return assembly.Offer((packs.Item(one.key, f"handoff of {one.subject}", text, 0, "asked"),))

    def _rules(self, one: requirements.Requirement, result: Resolved) -> assembly.Offer | None:
        known = dict(self._rule_texts())
        wanted = [name for name in known if not one.subject or name.lower() == one.subject.lower()]
        if not wanted:
            near = requirements.nearest(one.subject, known) if one.subject else ""
            result.unresolved.append(packs.Unresolved(one.key, f"rules:{near}" if near else "", "no rules are there"))
            return None
        items = [packs.Item(f"rules:{name}", name, known[name].strip(), 0, "rules") for name in wanted]
        return assembly.Offer(tuple(items), _RULES_SHARE)

    def _rule_texts(self) -> Iterator[tuple[str, str]]:
        yield from self._sources.knowledge.items()
        for name in RULES:
            try:
                text = self._index.root.read(name).text
            except safe_paths.Refused:
                continue
            if text.strip():
                yield name, text
        if self._sources.notes.strip():
            yield NOTES, self._sources.notes


def _folders(path: str) -> Iterator[str]:
    """Yields the folders that a file lies in, the outermost first."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _as_file(path: str) -> str:
    return f"file:{path}" if path else ""


def _item(
    path: str, lines: Sequence[str], span: tuple[int, int], name: str = "", why: packs.Why = "asked"
) -> packs.Item:
    first, last = span
    text = "\n".join(lines[first - 1 : last])
    return packs.Item(f"file:{path}#L{first}-{last}", path, text, 0, why, first, last, name)


def tree(paths: Sequence[str], folder: str) -> list[str]:
    """Returns the files below a folder, a line each; folders that are too full as one line with their count."""
    head = f"{folder}/" if folder else ""
    names = sorted(path.removeprefix(head) for path in paths)
    if len(names) <= _FEW:
        return names
    depth = next((depth for depth in (4, 3, 2, 1) if len({_short(name, depth) for name in names}) <= _LISTED), 1)
    counts: dict[str, int] = {}
    for name in names:
        counts[_short(name, depth)] = counts.get(_short(name, depth), 0) + 1
    return [f"{name} ({count} files)" if name.endswith("/") else name for name, count in counts.items()][:_LISTED]


def _short(name: str, depth: int) -> str:
    parts = name.split("/")
    return name if len(parts) <= depth else "/".join(parts[:depth]) + "/"
