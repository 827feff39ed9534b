"""Finds what the keys of a task stand for in an index."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from dispatch_mcp.context import (
    assembly,
    context_query,
    file_index,
    index_search,
    packs,
    part_choice,
    ranking,
    requirements,
    search_scope,
)
from dispatch_mcp.context.documents import file_mentions, file_shares, guide_shares, project_rules
from dispatch_mcp.context.indexing import index_tables
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import languages, path_globs, token_count

NOTES: Final = "continuity notes"
_PART_SHARE: Final = 0.3
"""Share of the budget that one question, pattern or folder may take."""
_DEFINITIONS: Final = 6
"""Definitions of one name that are given."""
_FOUND: Final = 4
"""Parts that answer a question."""
_WHOLE: Final = 150
"""Lines of a class that is given in one piece."""
_GLOBBED: Final = 40
"""Files of one glob that are given or listed."""
_EACH: Final = 1_000
"""Tokens that a file should have of which nobody says by name that it is needed; with less, fewer are given."""
_LIKELY: Final = 3
"""Likeliest files whose folders may have rules of their own."""
_ALIKE: Final = 0.75
"""How near the name of a file must be to one that is not there to be offered: the endings alone make many alike."""
_LINK: Final = "is a link"
_NOWHERE: Final = "is a link that leads nowhere in the workspace"
_LISTED: Final = 400
"""Lines of the tree of a folder."""
_LOOKED_AT: Final = 8_192
"""Bytes of a file that show whether it is text."""
_FEW: Final = 200
"""Files below a folder that are entries one by one, however deep."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Texts from elsewhere: the agent's `knowledge` by name, stored continuity `notes`, other tasks' `handoffs`.

    `texts` are what names files besides the task's own words, such as its inputs; `outputs` are files that the tasks
    before have made or changed, which come in the room that named ones leave. `knowledge_share` of the budget is what
    a knowledge document may take before it comes as its outline and the sections that the task is about; `addresses`
    are where all of it can be read. `new` are keys of files that the task may have to make: where one is not there, no
    name like it is looked for.
    """

    knowledge: Mapping[str, str] = field(default_factory=dict[str, str])
    addresses: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: str = ""
    handoffs: Mapping[str, str] = field(default_factory=dict[str, str])
    texts: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    new: frozenset[str] = frozenset()
    knowledge_share: float = 1 / 3


NO_SOURCES: Final = Sources()


@dataclass(slots=True)
class Resolved:
    """What keys stand for; `tasks` are ids whose handoffs the caller has to add.

    `whole` are the tokens of the files that were named by their paths, each whole.
    """

    offers: list[assembly.KeyOffer] = field(default_factory=list[assembly.KeyOffer])
    unresolved: list[packs.Unresolved] = field(default_factory=list[packs.Unresolved])
    tasks: list[str] = field(default_factory=list[str])
    explicit_paths: set[str] = field(default_factory=set[str])
    whole: int = 0

    def miss(self, entry: packs.Unresolved) -> None:
        """Notes a key that stands for nothing, once."""
        if all(entry.key != other.key for other in self.unresolved):
            self.unresolved.append(entry)


_NOT_YET: Final = assembly.KeyOffer(())
"""Holds the place of a file until it is known how much room all of them have."""

_Way = Callable[[requirements.Requirement, Resolved], assembly.KeyOffer | None]


class Resolver:
    """Resolves keys within a scope; an explicit `file:` path wins over the scope, everything else obeys it.

    `interest` is what the reader wants to know of files that are too long to be given whole.
    """

    def __init__(
        self,
        index: file_index.Readable,
        search: index_search.Search,
        scope: search_scope.SearchScope,
        sources: Sources,
        interest: file_shares.Interest = file_shares.NO_INTEREST,
    ) -> None:
        self._index = index
        self._search = search
        self._scope = scope
        self._sources = sources
        self._interest = interest
        self._files: dict[str, file_shares.NamedFile] = {}
        self._places: dict[str, int] = {}
        self._second: set[str] = set()
        self._mentions: Mapping[file_mentions.Mention, Sequence[str]] = {}
        self._at_hand: tuple[str, ...] = ()
        self._workspaces = tuple(dict.fromkeys((str(index.root.path), str(index.root.alias))))

    def resolve(self, keys: Iterable[str]) -> Resolved:
        """Returns what the keys stand for, in their order, and then the files that the task's own words name."""
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
        entries = [self._within_workspace(requirement) for requirement in requirements.parse_all(keys)]
        self._read_words(entries)
        for requirement in sorted(entries, key=lambda requirement: requirement.kind != "rules"):
            offer = ways[requirement.kind](requirement, result)
            if offer is not None:
                result.offers.append(offer)
        for mention, paths in self._mentions.items():
            for offer in self._mentioned(mention, paths, result):
                result.offers.append(offer)
        outputs = (file_mentions.inside(path, self._workspaces) for path in self._sources.outputs)
        self._add_best([path for path in dict.fromkeys(outputs) if path and self._scope.allows(path)], result)
        return self._filled(result)

    def _within_workspace(self, requirement: requirements.Requirement) -> requirements.Requirement:
        """Returns a requirement whose path is relative to the workspace, if it names one below it.

        The name of a folder is one without a sign for it, too, and a name with a number sign may be that of a file.
        """
        subject = requirement.subject
        if requirement.kind == "rag" and requirement.key == subject and subject in self._search.files.folders:
            return requirement._replace(kind="structure")
        if requirement.kind not in {"file", "structure"}:
            return requirement
        whole = requirement.key.strip().removeprefix("file:").strip()
        if "#" in whole and self._is_file(whole):
            return requirements.Requirement(requirement.key, "file", whole)
        if not subject.startswith("/"):
            return requirement
        if subject in self._workspaces:
            return requirement._replace(subject="")
        return requirement._replace(subject=file_mentions.inside(subject, self._workspaces) or subject)

    def _read_words(self, entries: Sequence[requirements.Requirement]) -> None:
        """Finds the files that the task's words and inputs name, and which files are at hand."""
        words = (requirement.subject for requirement in entries if requirement.kind == "rag")
        texts = (self._interest.query.text, *self._sources.texts, *words)
        mentions = dict.fromkeys(name for text in texts for name in file_mentions.of(text, self._workspaces))
        self._mentions = {mention: self._search.files.names.meant(mention) for mention in mentions}
        keys = [requirement.subject for requirement in entries if requirement.kind == "file"]
        targets = [
            path for paths in self._mentions.values() if len(paths) <= file_mentions.MOST_ALIKE for path in paths
        ]
        likely = self._interest.likely[:_LIKELY]
        self._at_hand = tuple(dict.fromkeys([*keys, *targets, *likely]))

    def _add_best(self, paths: Sequence[str], result: Resolved) -> None:
        """Adds as many of these files as there is room for, the likeliest first, and lists the rest as left out."""
        order = {path: at for at, path in enumerate(self._interest.likely)}
        texts: dict[str, str] = {}
        for path in sorted(paths, key=lambda path: (order.get(path, len(order)), path))[:_GLOBBED]:
            with suppress(safe_paths.Refused):
                texts[path] = self._read(path)
        room = int(self._interest.budget * file_shares.SHARE)
        costs = {path: part_choice.cost(path, text) for path, text in texts.items()}
        count = len(costs) if sum(costs.values()) <= room else max(1, room // _EACH)
        for path in list(costs)[:count]:
            offer = self._kept(file_shares.NamedFile(path, texts[path]), result, is_second=True)
            if offer is not None:
                result.offers.append(offer)
        rest = [packs.LeftOut(f"file:{path}", costs[path]) for path in list(costs)[count:] if path not in self._files]
        if rest:
            result.offers.append(assembly.KeyOffer((), left_out=tuple(rest)))

    def _filled(self, result: Resolved) -> Resolved:
        """Returns what was resolved with the files in their places: whole, or in parts where they are too long.

        Those that somebody has named come first; the others share what these leave.
        """
        guides = sum(
            part_choice.cost(piece.path, piece.text)
            for offer in result.offers
            for piece in offer.pieces
            if piece.why in packs.READ_FIRST
        )
        room = int((self._interest.budget - guides) * file_shares.SHARE)
        for is_second in (False, True):
            files = [file for path, file in self._files.items() if (path in self._second) == is_second]
            offers = file_shares.offers(files, room, self._interest, self._parts)
            for file, offer in zip(files, offers, strict=True):
                result.offers[self._places[file.path]] = offer
                room = max(0, room - sum(part_choice.cost(piece.path, piece.text) for piece in offer.pieces))
        files = [file_shares.NamedFile(path, self._search.text(path)) for path in sorted(result.explicit_paths)]
        result.whole = token_count.count(packs.render([file_shares.whole(file) for file in files], ()))
        return result

    def _parts(self, path: str) -> Sequence[ranking.FilePart]:
        """Returns the parts of a file that was read, also of one that the index leaves out."""
        query = self._interest.query
        return self._search.parts_of(query, path) or index_search.divided(query, path, self._files[path].text)

    def _file(self, requirement: requirements.Requirement, result: Resolved) -> assembly.KeyOffer | None:
        files, subject = self._search.files, requirement.subject
        if any(mark in subject for mark in "*?{") and subject not in files.ids:
            return self._glob(requirement, result)
        if not subject or subject in files.folders:
            return self._structure(requirement, result)
        try:
            text = self._read(subject)
        except safe_paths.Refused as why:
            return self._unreadable(requirement, why, result)
        result.explicit_paths.add(subject)
        if requirement.symbol:
            return self._within(requirement, result)
        if requirement.is_place or not requirement.first:
            spans = ((requirement.first, requirement.last),) if requirement.first else ()
            return self._kept(file_shares.NamedFile(subject, text, spans), result)
        return self._lines(requirement, text, result)

    def _unreadable(
        self, requirement: requirements.Requirement, why: safe_paths.Refused, result: Resolved
    ) -> assembly.KeyOffer | None:
        """Returns the file that one which is not there surely means; notes what was asked for, and the nearest name."""
        subject = requirement.subject
        if self._is_file(subject) or "cannot be read" not in why.message:
            return self._behind(requirement.key, subject, why, result)
        near = self._other_name(subject)
        nearest = near
        if not near and requirement.key not in self._sources.new:
            nearest = requirements.nearest(subject, self._allowed_paths(), least=_ALIKE)
        result.miss(packs.Unresolved(requirement.key, _as_file(nearest), is_given=bool(near)))
        return self._whole(near, result) if near else None

    def _behind(
        self,
        key: str,
        path: str,
        refusal: safe_paths.Refused,
        result: Resolved,
        mention: file_mentions.Mention | None = None,
    ) -> assembly.KeyOffer | None:
        """Returns the file that a link leads to below the workspace; notes that, or why nothing can be given."""
        place = self._index.root.target(path)
        why = _LINK if place is not None else refusal.message.removeprefix(f"{path!r} ").rstrip(".")
        result.miss(
            packs.Unresolved(key, _as_file(place or ""), _NOWHERE if place == "" else why, is_given=bool(place))
        )
        return self._whole(place, result, mention) if place else None

    def _lines(self, requirement: requirements.Requirement, text: str, result: Resolved) -> assembly.KeyOffer | None:
        subject, lines = requirement.subject, text.removesuffix("\n").split("\n")
        first, last = requirement.first, min(requirement.last, len(lines))
        if first > len(lines):
            result.miss(packs.Unresolved(requirement.key, f"file:{subject}", f"it has {len(lines)} lines"))
            return None
        return assembly.KeyOffer((_item(subject, lines, (first, last)),))

    def _read(self, path: str) -> str:
        """Returns the text of a file of the workspace. Raises Refused for one that cannot be read or holds no text."""
        content = self._index.root.read(path, limit=index_search.MAX_BYTES)
        if b"\0" in content.data[:_LOOKED_AT]:
            raise safe_paths.refusal(path, "holds no text")
        return content.text

    def _is_file(self, path: str) -> bool:
        """Returns whether something that is no folder stands there, readable or not."""
        place = self._index.root.path / path
        return os.path.lexists(place) and not place.is_dir()

    def _allowed_paths(self) -> Sequence[str]:
        return self._search.files.visible(self._scope)

    def _other_name(self, path: str) -> str:
        """Returns the file that a path which is not there surely means, empty for none.

        One that is nearly called so, or one whose path is written as from a folder above the workspace.
        """
        near = self._search.files.names.nearest(path, self._scope.allows)
        rests = (file_mentions.below(path, workspace) for workspace in self._workspaces)
        return near or next((rest for rest in rests if rest and self._is_file(rest)), "")

    def _whole(
        self, path: str, result: Resolved, mention: file_mentions.Mention | None = None
    ) -> assembly.KeyOffer | None:
        """Returns the place of a file that is given whole if it can be; None for one that has a place or is no text."""
        try:
            text = self._read(path)
        except safe_paths.Refused as why:
            return self._behind(f"file:{path}", path, why, result, mention)
        result.explicit_paths.add(path)
        spans = ((mention.first, mention.last),) if mention and mention.first else ()
        symbols = (mention.symbol,) if mention and mention.symbol else ()
        return self._kept(file_shares.NamedFile(path, text, spans, symbols), result)

    def _kept(
        self, file: file_shares.NamedFile, result: Resolved, *, is_second: bool = False
    ) -> assembly.KeyOffer | None:
        before = self._files.get(file.path)
        if is_second and before is None:
            self._second.add(file.path)
        elif not is_second:
            self._second.discard(file.path)
        if before is None:
            self._files[file.path] = file
            self._places[file.path] = len(result.offers)
            return _NOT_YET
        spans, symbols = (*before.spans, *file.spans), (*before.symbols, *file.symbols)
        self._files[file.path] = replace(before, spans=spans, symbols=symbols)
        return None

    def _mentioned(
        self, mention: file_mentions.Mention, paths: Sequence[str], result: Resolved
    ) -> Iterator[assembly.KeyOffer]:
        """Yields the places of files that a name in the task's words means, also of one that only nearly has it."""
        key = f"file:{mention.path}"
        if (
            not paths
            and path_globs.WILD.search(mention.path)
            and len(matches := self._matching(mention.path)) <= _GLOBBED
        ):
            self._add_best(matches, result)
        names = (mention.path, f"{mention.path}#{mention.symbol}")  # the sign may belong to the name
        if not paths and (name := next(filter(self._is_file, names), "")):
            paths = (name,)
        elif not paths and ("/" in mention.path or "." in mention.path) and (near := self._other_name(mention.path)):
            result.miss(packs.Unresolved(key, f"file:{near}", is_given=True))
            paths = (near,)
        for path in paths if len(paths) <= file_mentions.MOST_ALIKE else ():
            offer = self._whole(path, result, mention)
            if offer is not None:
                yield offer

    def _within(self, requirement: requirements.Requirement, result: Resolved) -> assembly.KeyOffer | None:
        names = list(dict.fromkeys(name for name, _, _ in self._chunks(requirement.subject) if name))
        matches = requirements.answering(requirement.symbol, names)
        if not matches:
            near = requirements.nearest(requirement.symbol, names, apart=".")
            result.unresolved.append(
                packs.Unresolved(requirement.key, f"file:{requirement.subject}{f'#{near}' if near else ''}")
            )
            return None
        return assembly.KeyOffer(
            tuple(piece for name in matches for piece in self._definition(requirement.subject, name))
        )

    def _chunks(self, path: str) -> list[tuple[str, int, int]]:
        file = self._search.files.ids.get(path)
        return self._index.db.execute(
            "SELECT name, first, last FROM chunks WHERE file = ? AND kind != 'module' ORDER BY first", (file,)
        ).fetchall()

    def _glob(self, requirement: requirements.Requirement, result: Resolved) -> assembly.KeyOffer | None:
        visible = self._matching(requirement.subject)
        if not visible:
            result.unresolved.append(packs.Unresolved(requirement.key))
        self._add_best(visible, result)
        return None

    def _matching(self, glob: str) -> list[str]:
        paths = (path for path in self._search.files.ids if path_globs.matches(glob, path))
        return [path for path in paths if self._scope.allows(path)]

    def _symbol(self, requirement: requirements.Requirement, result: Resolved) -> assembly.KeyOffer | None:
        rows = [row for row in self._definitions(index_tables.leaf(requirement.subject)) if self._scope.allows(row[0])]
        matches = requirements.answering(
            requirement.subject.replace("::", ".").replace("#", "."), [row[1] for row in rows]
        )
        if not matches:
            near = self._near_symbol(requirement.subject)
            result.unresolved.append(packs.Unresolved(requirement.key, f"symbol:{near}" if near else ""))
            return None
        spans = dict.fromkeys((path, name) for path, name, _ in rows if name in matches)
        pieces = [piece for path, name in list(spans)[:_DEFINITIONS] for piece in self._definition(path, name)]
        return assembly.KeyOffer(tuple(pieces))

    def _definitions(self, leaf: str) -> list[tuple[str, str, int]]:
        rows = self._index.db.execute(
            "SELECT path, name, first FROM chunks JOIN files ON files.id = file"
            " WHERE leaf = ? AND kind NOT IN ('module', 'text') LIMIT 200",
            (leaf,),
        ).fetchall()
        order = {"source": 0, "example": 1, "other": 1, "test": 2, "docs": 3, "copy": 4}
        return sorted(rows, key=lambda row: (order[languages.role(row[0])], row[0], row[2]))

    def _definition(self, path: str, name: str) -> list[packs.Item]:
        """Returns the lines of a definition with everything inside it; the head of a long class comes first."""
        rows = [row for row in self._chunks(path) if row[0] == name or row[0].startswith(f"{name}.")]
        first, last = min(row[1] for row in rows), max(row[2] for row in rows)
        lines = self._search.text(path).split("\n")
        if last - first < _WHOLE:
            return [_item(path, lines, (first, last), name)]
        return [_item(path, lines, (first, last), member) for member, first, last in rows]

    def _near_symbol(self, name: str) -> str:
        leaf = index_tables.leaf(name)
        rows = self._index.db.execute(
            "SELECT DISTINCT leaf, path FROM chunks JOIN files ON files.id = file"
            " WHERE kind IN ('function', 'class') AND leaf != '' AND (leaf LIKE ? OR leaf LIKE ?) LIMIT 3000",
            (f"{leaf[:2]}%", f"%{leaf[-4:]}"),
        )
        return requirements.nearest(
            leaf, dict.fromkeys(candidate for candidate, path in rows if self._scope.allows(path))
        )

    def _structure(self, requirement: requirements.Requirement, result: Resolved) -> assembly.KeyOffer | None:
        files = self._search.files
        folder = requirement.subject.strip("/")
        below = [path for path in files.ids if not folder or path.startswith(f"{folder}/")]
        visible = [path for path in below if self._scope.allows(path)]
        if not visible:
            folders = {parent: None for path in self._allowed_paths() for parent in index_search.folders(path)}
            near = requirements.nearest(folder, folders)
            result.unresolved.append(packs.Unresolved(requirement.key, f"structure:{near}" if near else ""))
            return None
        text = "\n".join(tree(visible, folder))
        key = f"structure:{folder}"
        return assembly.KeyOffer((packs.Item(key, key, text, 0, "structure"),), _PART_SHARE)

    def _pattern(self, requirement: requirements.Requirement, result: Resolved) -> assembly.KeyOffer | None:
        query = context_query.read(requirement.subject)
        evidence = self._search.evidence(query)
        parts = self._allowed(query, evidence)
        best = next((part for part in parts if part.kind in {"function", "class"}), None)
        if best is None:
            result.unresolved.append(packs.Unresolved(requirement.key, why="nothing like it is defined here"))
            return None
        tests = [
            part for part in evidence.support if languages.role(part.path) == "test" and self._scope.allows(part.path)
        ]
        about = [part for part in tests if languages.subject(part.path) == languages.subject(best.path)] or tests
        example = sorted(about, key=lambda part: (-part.score, part.path, part.first))[:1]
        pieces = [self._piece(best), *(self._piece(part, "example") for part in example)]
        return assembly.KeyOffer(tuple(pieces), _PART_SHARE)

    def _rag(self, requirement: requirements.Requirement, result: Resolved) -> assembly.KeyOffer | None:
        if requirement.key == requirement.subject and self._names_files(requirement.subject):
            return None
        query = context_query.read(requirement.subject)
        evidence = self._search.evidence(query)
        if requirement.docs:
            visible = [part for part in evidence.support if self._scope.allows(part.path)]
            best = sorted(visible, key=lambda part: (-part.score, part.path, part.first))
        else:
            best = self._allowed(query, evidence)
        if not best:
            result.unresolved.append(packs.Unresolved(requirement.key, why="nothing holds these words"))
            return None
        return assembly.KeyOffer(tuple(self._piece(part) for part in best[:_FOUND]), _PART_SHARE)

    def _names_files(self, words: str) -> bool:
        """Returns whether words name files of the workspace and need not be looked for."""
        return any(
            0 < len(self._mentions.get(mention, ())) <= file_mentions.MOST_ALIKE
            for mention in file_mentions.of(words, self._workspaces)
        )

    def _allowed(self, query: context_query.Query, evidence: ranking.FileEvidence) -> list[ranking.FilePart]:
        ranks = ranking.rank(query, replace(evidence, beside_parts=()))
        return [part for part, _ in ranks.parts if part.score > 0 and self._scope.allows(part.path)]

    def _piece(self, part: ranking.FilePart, why: packs.Why = "asked") -> packs.Item:
        lines = self._search.text(part.path).split("\n")
        return _item(part.path, lines, (part.first, part.last), part.name if part.kind != "module" else "", why)

    def _task(self, requirement: requirements.Requirement, result: Resolved) -> assembly.KeyOffer | None:
        text = self._sources.handoffs.get(requirement.subject)
        if text is None:
            result.tasks.append(requirement.subject)
            return None
        return assembly.KeyOffer((packs.Item(requirement.key, f"handoff of {requirement.subject}", text, 0, "asked"),))

    def _rules(self, requirement: requirements.Requirement, result: Resolved) -> assembly.KeyOffer | None:
        guides = [guide for guide in self._guides(result) if _is_called(guide.path, requirement.subject)]
        if not guides:
            names = [guide.path for guide in self._guides(result)]
            near = requirements.nearest(requirement.subject, names) if requirement.subject else ""
            result.miss(packs.Unresolved(requirement.key, f"rules:{near}" if near else "", "no rules are there"))
            return None
        share, addresses = self._sources.knowledge_share, self._sources.addresses
        return guide_shares.offer(guides, self._interest, knowledge_share=share, addresses=addresses)

    def _guides(self, result: Resolved) -> Iterator[packs.Item]:
        """Yields everything that guides the work, in the order in which it counts."""
        for name, text in self._sources.knowledge.items():
            yield packs.Item(f"rules:{name}", name, text.strip(), 0, "knowledge")
        rules = project_rules.read(self._index.root, self._at_hand)
        for path, why in rules.refusals:
            result.miss(packs.Unresolved(f"rules:{path}", "", why))
        for file in rules.files:
            yield packs.Item(f"rules:{file.path}", file.path, file.text, 0, "rules")
        if self._sources.notes.strip():
            yield packs.Item(f"rules:{NOTES}", NOTES, self._sources.notes.strip(), 0, "notes")


def _is_called(name: str, subject: str) -> bool:
    return not subject or name.lower() == subject.lower()


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
