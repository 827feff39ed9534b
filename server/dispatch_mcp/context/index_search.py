"""Reads from the index what bears on one task."""

from __future__ import annotations

import dataclasses
import itertools
import math
import posixpath
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from dispatch_mcp.context import chunks, context_query, file_index, ranking
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import languages

PARTS: Final = 200
"""Parts of source files that a question brings."""
OTHERS: Final = 50
"""Parts of tests, documents and examples that a question brings."""
LARGE: Final = 3_000
"""Files from which on the words that every fourth part holds are not searched for."""
RAREST: Final = 8
"""Words of a task that tests and documents are searched for, the rarest ones."""
MEMORY: Final = 5_000
"""Parts whose words are kept between questions."""
FULL_FILES: Final = 6
"""Best files of which every part becomes a candidate."""
NEAREST: Final = 30
"""Past commits with the most alike subjects, whose files get votes."""
WIDEST: Final = 15
"""Files of a past commit that still says something about each of them."""


@dataclass(slots=True)
class Files:
    """All files of an index by path, and by the stems of their names; valid for one generation of the index."""

    generation: int
    ids: Mapping[str, int]
    roles: Mapping[str, languages.Role]
    imports: Mapping[str, Sequence[str]]
    by_stem: Mapping[str, Sequence[str]]
    by_subject: Mapping[str, Sequence[str]]
    by_base: Mapping[str, Sequence[str]]
    importers: Mapping[str, Sequence[tuple[str, str]]]
    near: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    texts: dict[str, str] = field(default_factory=dict[str, str])
    lines: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    words: dict[int, tuple[str, frozenset[str]]] = field(default_factory=dict[int, tuple[str, frozenset[str]]])


def load(db: sqlite3.Connection) -> Files:
    """Returns the files of the index."""
    ids: dict[str, int] = {}
    roles: dict[str, languages.Role] = {}
    imports: dict[str, Sequence[str]] = {}
    by_stem: dict[str, list[str]] = defaultdict(list)
    by_subject: dict[str, list[str]] = defaultdict(list)
    by_base: dict[str, list[str]] = defaultdict(list)
    importers: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for file, path, role, names in db.execute("SELECT id, path, role, imports FROM files ORDER BY path"):
        ids[path], roles[path] = file, role
        imports[path] = found = names.split("\n") if names else ()
        for name in found:
            importers[_end(name)].append((path, name))
        if role == "source":
            for stem in ranking.path_stems(path)[0]:
                by_stem[stem].append(path)
            by_subject[languages.subject(path)].append(path)
            by_base[_end(posixpath.splitext(path)[0])].append(path)
    return Files(file_index.generation(db), ids, roles, imports, by_stem, by_subject, by_base, importers)


def _end(name: str) -> str:
    name = name.rstrip("/")
    folder, _, base = name.rpartition("/")
    return folder.rpartition("/")[2] if base in {"__init__", "index", "mod"} else base


_Row = tuple[int, chunks.Kind, str, int, int, int, int]


class Search:
    """Asks one index; keeps the list of its files between questions."""

    def __init__(self, opened: file_index.Index) -> None:
        self._index = opened
        self._files: Files | None = None

    @property
    def files(self) -> Files:
        """The files of the index, as they were at the last `evidence`."""
        return self._files or self._current()

    def _current(self) -> Files:
        if self._files is None or self._files.generation != file_index.generation(self._index.db):
            self._files = load(self._index.db)
        return self._files

    def evidence(self, query: context_query.Query, votes: Mapping[str, float]) -> ranking.Evidence:
        """Returns everything that bears on `query`; `votes` are those of the history."""
        db, files = self._index.db, self._current()
        rare = rarity(db, query)
        own = list(self._hits("code", query, query.match(rare if len(files.ids) > LARGE else {}), PARTS))
        others = list(self._hits("prose", query, query.match_rarest(rare, RAREST), OTHERS))
        named = self._named(query)
        defined = self._defined(query)
        subjects = {languages.subject(part.path) for part in others}
        linked = [path for subject in sorted(subjects) for path in files.by_subject.get(subject, ())[:3] if subject]
        known = {path: share for path, share in votes.items() if path in files.ids}
        wanted = dict.fromkeys([*(part.path for part in own), *named, *linked, *known, *defined])
        tests = dict.fromkeys(part.path for part in others)
        return ranking.Evidence(
            parts=own,
            others=others,
            near={path: self._neighbours(path) for path in (*wanted, *tests)},
            votes=known,
            rarity=rare,
            defined=defined,
            named=list(wanted),
            roles={path: files.roles[path] for path in (*wanted, *tests)},
        )

    def completed(self, query: context_query.Query, found: ranking.Evidence, paths: Iterable[str]) -> ranking.Evidence:
        """Returns `found` with all parts of the first FULL_FILES of `paths`, best first."""
        seen = {part.id for part in found.parts}
        rows = [
            (path, row)
            for path in itertools.islice(paths, FULL_FILES)
            for row in self._index.db.execute(
                "SELECT id, kind, name, first, last, start, end FROM chunks WHERE file = ? AND kind != 'test'",
                (self.files.ids[path],),
            )
            if row[0] not in seen
        ]
        return dataclasses.replace(
            found, parts=[*found.parts, *(self._part(query, path, 0.0, row) for path, row in rows)]
        )

    def lines(self, path: str, first: int, last: int) -> str:
        """Returns lines of a file, both ends included."""
        kept = self.files.lines
        if path not in kept:
            if len(kept) > len(self.files.texts) + 100:
                kept.clear()
            kept[path] = self.text(path).split("\n")
        return "\n".join(kept[path][first - 1 : last])

    def _hits(self, table: str, query: context_query.Query, match: str, most: int) -> Iterator[ranking.Part]:
        if not match:
            return
        # A word in the path or the name counts four or six times one in the body: weighted columns were measured to
        # be worth it (ADR 0015).
        rows = self._index.db.execute(
            f"SELECT files.path, hits.score, chunks.id, kind, name, first, last, start, end"  # noqa: S608  # two names
            f" FROM (SELECT rowid, bm25({table}, 4.0, 6.0, 1.0) AS score FROM {table} WHERE {table} MATCH ?"
            f" ORDER BY score LIMIT {most * 2}) AS hits"
            " JOIN chunks ON chunks.id = hits.rowid JOIN files ON files.id = chunks.file"
            f" ORDER BY hits.score, chunks.id LIMIT {most}",
            (match,),
        ).fetchall()
        for path, score, *row in sorted(rows, key=lambda row: row[0]):
            yield self._part(query, path, -score, tuple(row))

    def _part(
        self, query: context_query.Query, path: str, score: float, row: tuple[int, chunks.Kind, str, int, int, int, int]
    ) -> ranking.Part:
        chunk, kind, name, first, last, start, end = row
        kept = self.files.words
        if chunk not in kept:
            if len(kept) > MEMORY:
                kept.clear()
            plain = context_query.plain(f"{name} {self.text(path)[start:end]}")
            kept[chunk] = (plain, context_query.plain_stems(plain))
        plain, stems = kept[chunk]
        phrases = context_query.phrases(query, plain)
        return ranking.Part(chunk, path, kind, name, first, last, end - start, score, stems, phrases)

    def text(self, path: str) -> str:
        """Returns the text of a file as it is now; empty when it cannot be read."""
        kept = self.files.texts
        if path not in kept:
            if len(kept) > 400:
                kept.clear()
            try:
                kept[path] = self._index.root.read(path).text
            except safe_paths.Refused:
                kept[path] = ""
        return kept[path]

    def _named(self, query: context_query.Query) -> list[str]:
        """Returns source files whose name holds words of the task, those that hold most of it first."""
        files, counts = self.files, dict[str, float]()
        for term in query.terms:
            found = files.by_stem.get(term, ())
            for path in found[:200]:
                counts[path] = counts.get(path, 0.0) + 1.0 / len(ranking.path_stems(path)[0])
        best = sorted(counts, key=lambda path: (-counts[path], path))[:40]
        paths = [one.lstrip("./") for one in query.paths]
        written = (
            [path for path in files.ids if any(path == one or path.endswith(f"/{one}") for one in paths)]
            if paths
            else []
        )
        return list(dict.fromkeys([*written[:20], *best]))

    def _defined(self, query: context_query.Query) -> dict[str, int]:
        """Returns how many of the task's names each source file defines."""
        names = {file_index.leaf(name) for name in query.names}
        found: dict[str, int] = defaultdict(int)
        for name in names:
            rows = self._index.db.execute(
                "SELECT DISTINCT path FROM chunks JOIN files ON files.id = file"
                " WHERE leaf = ? AND role = 'source' LIMIT 20",
                (name,),
            ).fetchall()
            for (path,) in rows if len(rows) < 8 else ():
                found[path] += 1
        return dict(found)

    def _neighbours(self, path: str) -> Sequence[str]:
        kept = self.files.near
        if path not in kept:
            kept[path] = self._near(path)
        return kept[path]

    def _near(self, path: str) -> Sequence[str]:
        files = self.files
        forward = [
            other
            for name in files.imports.get(path, ())
            for other in files.by_base.get(_end(name), ())[:20]
            if other != path and fits(name, other)
        ]
        if files.roles.get(path) != "source":
            return tuple(dict.fromkeys(forward))
        stem = posixpath.splitext(path)[0]
        back = [other for other, name in files.importers.get(_end(stem), ())[:60] if other != path and fits(name, path)]
        return tuple(dict.fromkeys([*forward, *back]))


def fits(name: str, path: str) -> bool:
    """Returns whether the end of a path that an import names can mean `path`."""
    module = _module(path)
    name = name.rstrip("/")
    return module == name or module.endswith(f"/{name}") or ("/" in name and name.endswith(f"/{module}"))


@lru_cache(maxsize=65536)
def _module(path: str) -> str:
    """Returns a path as imports name it: without its extension, a package by its folder."""
    module = posixpath.splitext(path)[0]
    for end in ("/__init__", "/index", "/mod"):
        module = module.removesuffix(end)
    return module


def rarity(db: sqlite3.Connection, query: context_query.Query) -> dict[str, float]:
    """Returns the inverse document frequency of each stem of the task, as the index itself stems words."""
    size = db.execute("SELECT count(*) FROM chunks").fetchone()[0] + 1
    db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.asked USING fts5 (word, tokenize = 'porter unicode61')")
    db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.asked_words USING fts5vocab (temp, asked, instance)")
    db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.known_words USING fts5vocab (main, code, row)")
    db.execute("DELETE FROM temp.asked")
    db.executemany("INSERT INTO temp.asked (rowid, word) VALUES (?, ?)", list(enumerate(query.words)))
    found: dict[str, float] = {}
    asked: list[tuple[int, str]] = db.execute("SELECT doc, term FROM temp.asked_words").fetchall()
    for at, term in asked:
        row = db.execute("SELECT doc FROM temp.known_words WHERE term = ?", (term,)).fetchone()
        held: int = row[0] if row else 0
        found[context_query.stem(query.words[at])] = math.log(1 + (size - held + 0.5) / (held + 0.5)) if held else 0.0
    return found


def votes(
    db: sqlite3.Connection, query: context_query.Query, *, before: int | None = None, but: str = ""
) -> dict[str, float]:
    """Returns which files the commits with the nearest subjects touched: shares from 0 to 1 by path.

    Only commits older than `before` count, and not the one whose id starts with `but`.
    """
    if not query.words:
        return {}
    match = " OR ".join(f'"{word}"' for word in query.words)
    rows = db.execute(
        "SELECT sha, files, -hits.rank FROM (SELECT rowid, rank FROM subjects WHERE subjects MATCH ? ORDER BY rank"
        " LIMIT ?) AS hits JOIN commits ON commits.id = hits.rowid WHERE time < ? ORDER BY hits.rank",
        (match, NEAREST * (20 if before is not None else 2), before if before is not None else 1 << 62),
    )
    shares: dict[str, float] = defaultdict(float)
    used, best = 0, 0.0
    for sha, paths, score in rows:
        touched = [path for path in paths.split("\n") if path and languages.role(path) == "source"]
        if not touched or len(touched) > WIDEST or (but and sha[:12] == but[:12]):
            continue
        best = best or score
        used += 1
        for path in touched:
            shares[path] += (score / best) ** 2 / math.sqrt(len(touched))
        if used == NEAREST:
            break
    most = max(shares.values(), default=0.0)
    return {path: share / most for path, share in shares.items()}
