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
        imports[path] = targets = names.split("\n") if names else ()
        for name in targets:
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

    def __init__(self, index: file_index.Index) -> None:
        self._index = index
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
        support = list(self._hits("prose", query, query.match_rarest(rare, RAREST), OTHERS))
        name_matches = self._named(query)
        definitions = self._defined(query)
        subjects = {languages.subject(part.path) for part in support}
        subject_matches = [
            path for subject in sorted(subjects) for path in files.by_subject.get(subject, ())[:3] if subject
        ]
        live_votes = {path: share for path, share in votes.items() if path in files.ids}
        paths = dict.fromkeys(
            [*(part.path for part in own), *name_matches, *subject_matches, *live_votes, *definitions]
        )
        tests = dict.fromkeys(part.path for part in support)
        return ranking.Evidence(
            parts=own,
            support=support,
            near={path: self._neighbours(path) for path in (*paths, *tests)},
            votes=live_votes,
            rarity=rare,
            definitions=definitions,
            paths=list(paths),
            roles={path: files.roles[path] for path in (*paths, *tests)},
        )

    def complete(
        self, query: context_query.Query, evidence: ranking.Evidence, paths: Iterable[str]
    ) -> ranking.Evidence:
        """Returns `found` with all parts of the first FULL_FILES of `paths`, best first."""
        ids = {part.id for part in evidence.parts}
        rows = [
            (path, row)
            for path in itertools.islice(paths, FULL_FILES)
            for row in self._index.db.execute(
                "SELECT id, kind, name, first, last, start, end FROM chunks WHERE file = ? AND kind != 'test'",
                (self.files.ids[path],),
            )
            if row[0] not in ids
        ]
        return dataclasses.replace(
            evidence, parts=[*evidence.parts, *(self._part(query, path, 0.0, row) for path, row in rows)]
        )

    def parts_of(self, query: context_query.Query, path: str) -> list[ranking.Part]:
        """Returns all parts of a file in their order, none with a score; none of a file that is not in the index."""
        rows = self._index.db.execute(
            "SELECT id, kind, name, first, last, start, end FROM chunks WHERE file = ? ORDER BY first",
            (self.files.ids.get(path),),
        ).fetchall()
        return [self._part(query, path, 0.0, row) for row in rows]

    def lines(self, path: str, first: int, last: int) -> str:
        """Returns lines of a file, both ends included."""
        cache = self.files.lines
        if path not in cache:
            if len(cache) > len(self.files.texts) + 100:
                cache.clear()
            cache[path] = self.text(path).split("\n")
        return "\n".join(cache[path][first - 1 : last])

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
        cache = self.files.words
        if chunk not in cache:
            if len(cache) > MEMORY:
                cache.clear()
            plain = context_query.plain(f"{name} {self.text(path)[start:end]}")
            cache[chunk] = (plain, context_query.plain_stems(plain))
        plain, stems = cache[chunk]
        phrases = context_query.phrases(query, plain)
        return ranking.Part(chunk, path, kind, name, first, last, end - start, score, stems, phrases)

    def text(self, path: str) -> str:
        """Returns the text of a file as it is now; empty when it cannot be read."""
        cache = self.files.texts
        if path not in cache:
            if len(cache) > 400:
                cache.clear()
            try:
                cache[path] = self._index.root.read(path).text
            except safe_paths.Refused:
                cache[path] = ""
        return cache[path]

    def _named(self, query: context_query.Query) -> list[str]:
        """Returns source files whose name holds words of the task, those that hold most of it first."""
        files, counts = self.files, dict[str, float]()
        for term in query.terms:
            matches = files.by_stem.get(term, ())
            for path in matches[:200]:
                counts[path] = counts.get(path, 0.0) + 1.0 / len(ranking.path_stems(path)[0])
        best = sorted(counts, key=lambda path: (-counts[path], path))[:40]
        paths = [ending.lstrip("./") for ending in query.paths]
        exact = (
            [path for path in files.ids if any(path == ending or path.endswith(f"/{ending}") for ending in paths)]
            if paths
            else []
        )
        return list(dict.fromkeys([*exact[:20], *best]))

    def _defined(self, query: context_query.Query) -> dict[str, int]:
        """Returns how many of the task's names each source file defines."""
        names = {file_index.leaf(name) for name in query.names}
        counts: dict[str, int] = defaultdict(int)
        for name in names:
            rows = self._index.db.execute(
                "SELECT DISTINCT path FROM chunks JOIN files ON files.id = file"
                " WHERE leaf = ? AND role = 'source' LIMIT 20",
                (name,),
            ).fetchall()
            for (path,) in rows if len(rows) < 8 else ():
                counts[path] += 1
        return dict(counts)

    def _neighbours(self, path: str) -> Sequence[str]:
        cache = self.files.near
        if path not in cache:
            cache[path] = self._near(path)
        return cache[path]

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
    rarities: dict[str, float] = {}
    stems: list[tuple[int, str]] = db.execute("SELECT doc, term FROM temp.asked_words").fetchall()
    for at, term in stems:
        row = db.execute("SELECT doc FROM temp.known_words WHERE term = ?", (term,)).fetchone()
        count: int = row[0] if row else 0
        rarities[context_query.stem(query.words[at])] = (
            math.log(1 + (size - count + 0.5) / (count + 0.5)) if count else 0.0
        )
    return rarities


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
    count, best = 0, 0.0
    for sha, paths, score in rows:
        sources = [path for path in paths.split("\n") if path and languages.role(path) == "source"]
        if not sources or len(sources) > WIDEST or (but and sha[:12] == but[:12]):
            continue
        best = best or score
        count += 1
        for path in sources:
            shares[path] += (score / best) ** 2 / math.sqrt(len(sources))
        if count == NEAREST:
            break
    most = max(shares.values(), default=0.0)
    return {path: share / most for path, share in shares.items()}
