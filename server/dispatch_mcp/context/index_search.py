"""Reads from the index what bears on one task."""

from __future__ import annotations

import dataclasses
import math
import posixpath
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from dispatch_mcp.context import chunks, context_query, file_index, file_kinds, ranking, search_scope
from dispatch_mcp.context.documents import file_mentions
from dispatch_mcp.context.indexing import index_tables
from dispatch_mcp.process import safe_paths
from dispatch_mcp.text import languages

PARTS: Final = 200
"""Parts of source files that a question brings."""
OTHERS: Final = 50
"""Parts of tests, documents and examples that speak for source files."""
BESIDE: Final = 60
"""Parts of files that are no source which may be what a task is about; half as many may be tests."""
OF_A_KIND: Final = 12
"""Files of a kind that a task is probably about, those least deep, which are candidates whatever words they hold."""
LIKELY: Final = 0.08
"""Probability of a kind from which on its files are candidates for that alone."""
WRITES_TESTS: Final = 0.1
"""Probability that a task is about tests from which on their text may be given; otherwise they are named."""
COVERED: Final = 5
"""Likeliest source files whose tests are named."""
TESTS: Final = 3
"""Tests of one source file that are named."""
PAST: Final = 5
"""Files that are no source which are named because past commits with alike subjects touched them."""
SUPPORT: Final = 5
"""Tests and documents that are named for the words they hold."""
HEADS: Final = 40
"""First parts of a file that is no source which become candidates."""
RAREST: Final = 8
"""Words of a task that tests and documents are searched for, the rarest ones."""
FULL_FILES: Final = 3
"""Best source files of which every part becomes a candidate."""
FULL_BESIDE: Final = 3
"""Best files that are no source of which the first HEADS parts become candidates."""
NEAREST: Final = 30
"""Past commits with the most alike subjects, whose files get votes."""
WIDEST: Final = 15
"""Files of a past commit that still says something about each of them."""


MAX_BYTES: Final = 4_000_000
"""A larger file is not given, though it is asked for by name; smaller ones may be too large for the index."""
MOST_SCOPES: Final = 16
"""Scopes of which the visible paths are kept: more agents than take part in a wave or a round."""


@dataclass(slots=True)
class Files:
    """All files of an index by path, and by the stems of their names; valid for one generation of the index."""

    generation: int
    ids: Mapping[str, int]
    names: file_mentions.FileNames
    folders: frozenset[str]
    roles: Mapping[str, languages.Role]
    imports: Mapping[str, Sequence[str]]
    by_stem: Mapping[str, Sequence[str]]
    by_subject: Mapping[str, Sequence[str]]
    by_base: Mapping[str, Sequence[str]]
    by_kind: Mapping[file_kinds.FileKind, Sequence[str]]
    beside_by_stem: Mapping[str, Sequence[str]]
    importers: Mapping[str, Sequence[tuple[str, str]]]
    tests: Mapping[str, Sequence[str]]
    near: dict[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    texts: dict[str, str] = field(default_factory=dict[str, str])
    lines: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    by_scope: dict[search_scope.SearchScope, list[str]] = field(
        default_factory=dict[search_scope.SearchScope, list[str]]
    )

    def visible(self, scope: search_scope.SearchScope) -> Sequence[str]:
        """Returns the paths that a scope allows; which these are is asked of every path once for each scope."""
        paths = self.by_scope.get(scope)
        if paths is None:
            if len(self.by_scope) >= MOST_SCOPES:
                self.by_scope.clear()
            paths = self.by_scope[scope] = [path for path in self.ids if scope.allows(path)]
        return paths


def load(db: sqlite3.Connection) -> Files:
    """Returns the files of the index."""
    ids: dict[str, int] = {}
    roles: dict[str, languages.Role] = {}
    imports: dict[str, Sequence[str]] = {}
    by_stem: dict[str, list[str]] = defaultdict(list)
    by_subject: dict[str, list[str]] = defaultdict(list)
    by_base: dict[str, list[str]] = defaultdict(list)
    by_kind: dict[file_kinds.FileKind, list[str]] = defaultdict(list)
    beside_by_stem: dict[str, list[str]] = defaultdict(list)
    importers: dict[str, list[tuple[str, str]]] = defaultdict(list)
    tests: dict[str, list[str]] = defaultdict(list)
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
        if role == "test":
            tests[languages.subject(path)].append(path)
        kind = file_kinds.of(path)
        if kind != "source" and role != "copy" and path not in _READ_ANYWAY:
            by_kind[kind].append(path)
            for stem in frozenset[str]().union(*ranking.path_stems(path)):
                beside_by_stem[stem].append(path)
    for paths in by_kind.values():
        paths.sort(key=lambda path: (path.count("/"), path))
    generation = index_tables.generation(db)
    names, parents = file_mentions.FileNames(ids), frozenset(parent for path in ids for parent in folders(path))
    return Files(
        *(generation, ids, names, parents, roles, imports),
        *(by_stem, by_subject, by_base, by_kind, beside_by_stem, importers, tests),
    )


def folders(path: str) -> Iterator[str]:
    """Yields the folders that a file lies in, the outermost first."""
    at = path.find("/")
    while at >= 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _end(name: str) -> str:
    name = name.rstrip("/")
    folder, _, base = name.rpartition("/")
    return folder.rpartition("/")[2] if base in {"__init__", "index", "mod"} else base


_READ_ANYWAY: Final = frozenset({"AGENTS.md", "CLAUDE.md"})
"""Rules of a project, which every worker has; only a task that names them is about them."""
_ELSEWHERE: Final = frozenset({"test", "copy"})
"""Roles of files that are no candidates for what they hold, or only some of them."""

_HitRow = tuple[str, float, int, chunks.Kind, str, int, int, int, int]


class Votes(NamedTuple):
    """What past commits with alike subjects touched, as shares from 0 to 1 by path.

    `source` are source files, `beside` all others, `alone` those others that were touched without any source;
    `source_share` is the share of the commits that touched source, a half when there are none.
    """

    source: Mapping[str, float]
    beside: Mapping[str, float]
    alone: Mapping[str, float]
    source_share: float = 0.5


NO_VOTES: Final = Votes({}, {}, {})


class Search:
    """Asks one index; keeps the list of its files between questions."""

    def __init__(self, index: file_index.Readable) -> None:
        self._index = index
        self._files: Files | None = None

    @property
    def files(self) -> Files:
        """The files of the index, as they were at the last `evidence`."""
        return self._files or self._current()

    def _current(self) -> Files:
        if self._files is None or self._files.generation != index_tables.generation(self._index.db):
            self._files = load(self._index.db)
        return self._files

    def evidence(self, query: context_query.Query, votes: Votes | None = None) -> ranking.FileEvidence:
        """Returns everything that bears on `query`; `votes` are those of the history."""
        db, files, votes = self._index.db, self._current(), votes or NO_VOTES
        in_code = word_rows(db, "code", query.words)
        rare = rarity(db, in_code)
        rarest, elsewhere = query.rarest(rare, RAREST), [word for word, count in in_code.items() if not count]
        in_prose = word_rows(db, "prose", list(dict.fromkeys([*rarest, *elsewhere])))
        own = list(
            self._parts(query, self._hits("code", context_query.match(query.words, query.pairs, in_code), PARTS))
        )
        rows = self._hits("prose", context_query.match(rarest, (), in_prose), OTHERS + 2 * BESIDE)
        support = list(self._parts(query, rows[:OTHERS]))
        chances = file_kinds.chances(query)
        beside_parts = self._others(query, rows, support, with_tests=chances["test"] >= WRITES_TESTS)
        exact = query.paths_in(files.ids)
        name_matches = self._named(query, exact)
        definitions = self._defined(query)
        subjects = {languages.subject(part.path) for part in support}
        subject_matches = [
            path for subject in sorted(subjects) for path in files.by_subject.get(subject, ())[:3] if subject
        ]
        live_votes = {path: share for path, share in votes.source.items() if path in files.ids}
        beside_votes = {path: share for path, share in votes.beside.items() if path in files.ids}
        paths = dict.fromkeys(
            [*(part.path for part in own), *name_matches, *subject_matches, *live_votes, *definitions]
        )
        beside = dict.fromkeys(
            [
                *(part.path for part in beside_parts),
                *self._named_beside(query, exact),
                *(path for kind, chance in chances.items() if chance >= LIKELY for path in self._of_kind(kind)),
                *sorted(beside_votes, key=lambda path: -beside_votes[path])[:BESIDE],
            ]
        )
        tests = dict.fromkeys([*(part.path for part in support), *beside])
        return ranking.FileEvidence(
            parts=own,
            support=support,
            beside_parts=beside_parts,
            near={path: self._neighbours(path) for path in (*paths, *tests)},
            votes=live_votes,
            beside_votes=beside_votes,
            alone_votes=votes.alone,
            past_source=votes.source_share,
            rarity=rare,
            definitions=definitions,
            paths=list(paths),
            beside=list(beside),
            roles={path: files.roles[path] for path in (*paths, *tests)},
            kind_chances=chances,
            strangers=[
                word
                for word in elsewhere
                if not in_prose.get(word) and not file_kinds.is_of_tasks(context_query.stem(word))
            ],
        )

    def _others(
        self,
        query: context_query.Query,
        rows: Sequence[_HitRow],
        support: Sequence[ranking.FilePart],
        *,
        with_tests: bool,
    ) -> list[ranking.FilePart]:
        """Returns the best parts of files that are no source; those in `support` are there already."""
        shut = {"source", "copy"} if with_tests else {"source", "copy", "test"}
        near = [part for part in support if languages.role(part.path) not in shut]
        ids = {part.id for part in support}
        tests = [row for row in rows if with_tests and languages.role(row[0]) == "test"][: BESIDE // 2]
        rest = [row for row in rows if file_kinds.of(row[0]) != "source" and languages.role(row[0]) not in _ELSEWHERE]
        fresh = [row for row in (*tests, *rest[:BESIDE]) if row[2] not in ids]
        return [*near, *self._parts(query, fresh)]

    def _of_kind(self, kind: file_kinds.FileKind) -> Sequence[str]:
        return self.files.by_kind.get(kind, ())[:OF_A_KIND]

    def _named_beside(self, query: context_query.Query, exact: Sequence[str]) -> list[str]:
        """Returns files that are no source: of those that the task names some, and those with most words of it."""
        counts: dict[str, float] = defaultdict(float)
        for term in query.terms:
            matches = self.files.beside_by_stem.get(term, ())
            for path in matches[:200]:
                base, folders = ranking.path_stems(path)
                counts[path] += 1.0 / len(base) if term in base else 0.3 / len(folders)
        best = sorted(counts, key=lambda path: (-counts[path], path.count("/"), path))[:BESIDE]
        beside = [path for path in exact if file_kinds.of(path) != "source"]
        return list(dict.fromkeys([*beside[:20], *best]))

    def complete(
        self, query: context_query.Query, evidence: ranking.FileEvidence, paths: Iterable[str]
    ) -> ranking.FileEvidence:
        """Returns `evidence` with all parts of the first files of `paths`, best first, and the ends of its tests."""
        paths = list(paths)
        source = [path for path in paths if file_kinds.of(path) == "source"][:FULL_FILES]
        shut = {"source"} if evidence.kind_chances.get("test", 1.0) >= WRITES_TESTS else {"source", "test"}
        beside = [path for path in paths if file_kinds.of(path) not in shut][:FULL_BESIDE]
        tests = [path for path in paths if file_kinds.of(path) == "test" and "test" not in shut][:FULL_BESIDE]
        ids = {part.id for part in (*evidence.parts, *evidence.beside_parts)}
        rows = [
            (path, row)
            for path in (*source, *beside)
            for row in self._index.db.execute(
                "SELECT id, kind, name, first, last, start, end FROM chunks WHERE file = ? AND kind != 'test'"
                " ORDER BY first LIMIT ?",
                (self.files.ids[path], -1 if file_kinds.of(path) == "source" else HEADS),
            )
        ]
        ends = [
            (path, row)
            for path in tests
            for row in self._index.db.execute(
                "SELECT id, kind, name, first, last, start, end FROM chunks WHERE file = ? ORDER BY first DESC LIMIT 1",
                (self.files.ids[path],),
            )
        ]
        unread = {row[0]: (path, row) for path, row in (*rows, *ends) if row[0] not in ids}
        fresh = [self._part(query, path, 0.0, row) for path, row in unread.values()]
        return dataclasses.replace(
            evidence,
            parts=[*evidence.parts, *(part for part in fresh if file_kinds.of(part.path) == "source")],
            beside_parts=[*evidence.beside_parts, *(part for part in fresh if file_kinds.of(part.path) != "source")],
            ends=frozenset(row[0] for _, row in ends),
        )

    def parts_of(self, query: context_query.Query, path: str) -> list[ranking.FilePart]:
        """Returns all parts of a file in their order, none with a score; none of a file that is not in the index."""
        rows = self._index.db.execute(
            "SELECT id, kind, name, first, last, start, end FROM chunks WHERE file = ? ORDER BY first",
            (self.files.ids.get(path),),
        ).fetchall()
        return [self._part(query, path, 0.0, row) for row in rows]

    def beside(self, evidence: ranking.FileEvidence, order: Sequence[str]) -> list[str]:
        """Returns what goes with the likeliest source files: tests of them, and what past commits touched as well."""
        source = [path for path in order if file_kinds.of(path) == "source"][:COVERED]
        tests = [path for name in source for path in self._tests(name)]
        support = sorted(evidence.support, key=lambda part: (-part.score, part.path))
        past = sorted(evidence.beside_votes, key=lambda path: (-evidence.beside_votes[path], path))
        return list(
            dict.fromkeys([*tests, *past[:PAST], *list(dict.fromkeys(part.path for part in support))[:SUPPORT]])
        )

    def _tests(self, path: str) -> list[str]:
        """Returns the tests of a source file: those named after it, else those that import it."""
        files = self.files
        namesakes = [test for test in files.tests.get(languages.subject(path), ()) if test != path][:TESTS]
        if namesakes:
            return namesakes
        stem = posixpath.splitext(path)[0]
        importers = files.importers.get(_end(stem), ())[:200]
        return [test for test, name in importers if files.roles[test] == "test" and fits(name, path)][:TESTS]

    def lines(self, path: str, first: int, last: int) -> str:
        """Returns lines of a file, both ends included."""
        cache = self.files.lines
        if path not in cache:
            if len(cache) > len(self.files.texts) + 100:
                cache.clear()
            cache[path] = self.text(path).split("\n")
        return "\n".join(cache[path][first - 1 : last])

    def _hits(self, table: str, match: context_query.WordMatch, most: int) -> list[_HitRow]:
        """Returns the best parts of a table of words, best first, as rows."""
        if not match.text:
            return []
        # A word in the path or the name counts four or six times one in the body: weighted columns were measured to
        # be worth it (ADR 0015).
        return self._index.db.execute(
            f"SELECT files.path, hits.score / {match.times}, chunks.id, kind, name, first, last, start, end"  # noqa: S608  # two names
            f" FROM (SELECT rowid, bm25({table}, 4.0, 6.0, 1.0) AS score FROM {table} WHERE {table} MATCH ?"
            f" ORDER BY score LIMIT {most * 2}) AS hits"
            " JOIN chunks ON chunks.id = hits.rowid JOIN files ON files.id = chunks.file"
            f" ORDER BY hits.score, chunks.id LIMIT {most}",
            (match.text,),
        ).fetchall()

    def _parts(self, query: context_query.Query, rows: Sequence[_HitRow]) -> Iterator[ranking.FilePart]:
        for path, score, chunk, kind, name, first, last, start, end in sorted(rows, key=lambda row: row[0]):
            yield self._part(query, path, -score, (chunk, kind, name, first, last, start, end))

    def _part(
        self, query: context_query.Query, path: str, score: float, row: tuple[int, chunks.Kind, str, int, int, int, int]
    ) -> ranking.FilePart:
        number, kind, name, first, last, start, end = row
        chunk = chunks.Chunk(kind, name, first, last, start, end)
        return _read_part(query, chunk, self.text(path), path=path, number=number, score=score)

    @property
    def read_paths(self) -> list[str]:
        """The files that questions have read, as far as their texts are kept."""
        return list(self.files.texts)

    def text(self, path: str) -> str:
        """Returns the text of a file as it is now; empty when it cannot be read."""
        cache = self.files.texts
        if path not in cache:
            if len(cache) > 400:
                cache.clear()
            try:
                cache[path] = self._index.root.read(path, limit=MAX_BYTES).text
            except safe_paths.Refused:
                cache[path] = ""
        return cache[path]

    def _named(self, query: context_query.Query, exact: Sequence[str]) -> list[str]:
        """Returns files that the task names, and source files whose name holds words of it, those with most first."""
        files, counts = self.files, dict[str, float]()
        for term in query.terms:
            matches = files.by_stem.get(term, ())
            for path in matches[:200]:
                counts[path] = counts.get(path, 0.0) + 1.0 / len(ranking.path_stems(path)[0])
        best = sorted(counts, key=lambda path: (-counts[path], path))[:40]
        return list(dict.fromkeys([*exact[:20], *best]))

    def _defined(self, query: context_query.Query) -> dict[str, int]:
        """Returns how many of the task's names each source file defines."""
        names = {index_tables.leaf(name) for name in query.names}
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


def divided(query: context_query.Query, path: str, text: str) -> list[ranking.FilePart]:
    """Returns all parts of a file that is not in the index, in their order, none with a score."""
    return [
        _read_part(query, chunk, text, path=path, number=at, score=0.0)
        for at, chunk in enumerate(chunks.divide(text, path))
    ]


def _read_part(
    query: context_query.Query, chunk: chunks.Chunk, text: str, *, path: str, number: int, score: float
) -> ranking.FilePart:
    """Returns a part of the file that has this text, with what it holds of the task."""
    plain = context_query.plain(f"{chunk.name} {text[chunk.start : chunk.end]}")
    stems = context_query.terms_in(query, plain)
    phrases = context_query.phrases(query, stems, plain)
    size = chunk.end - chunk.start
    return ranking.FilePart(number, path, chunk.kind, chunk.name, chunk.first, chunk.last, size, score, stems, phrases)


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


def word_rows(db: sqlite3.Connection, table: str, words: Sequence[str]) -> dict[str, int]:
    """Returns how many rows of a table of words hold each of the words, as the index itself stems them."""
    db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.asked USING fts5 (word, tokenize = 'porter unicode61')")
    db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.asked_words USING fts5vocab (temp, asked, instance)")
    db.execute(f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.{table}_words USING fts5vocab (main, {table}, row)")
    db.execute("DELETE FROM temp.asked")
    db.executemany("INSERT INTO temp.asked (rowid, word) VALUES (?, ?)", list(enumerate(words)))
    rows: list[tuple[int, int | None]] = db.execute(
        "SELECT asked_words.doc, in_table.doc FROM temp.asked_words LEFT JOIN"  # noqa: S608  # a name
        f" temp.{table}_words AS in_table ON in_table.term = asked_words.term"
    ).fetchall()
    return {words[at]: count or 0 for at, count in rows}


def rarity(db: sqlite3.Connection, rows: Mapping[str, int]) -> dict[str, float]:
    """Returns the inverse document frequency of the stem of each word that so many parts of source hold."""
    size = db.execute("SELECT count(*) FROM chunks").fetchone()[0] + 1
    return {
        context_query.stem(word): math.log(1 + (size - count + 0.5) / (count + 0.5)) if count else 0.0
        for word, count in rows.items()
    }


def votes(db: sqlite3.Connection, query: context_query.Query, *, before: int | None = None, but: str = "") -> Votes:
    """Returns which files the commits with the nearest subjects touched.

    Only commits older than `before` count, and not the one whose id starts with `but`.
    """
    if not query.words:
        return NO_VOTES
    match = " OR ".join(f'"{word}"' for word in query.words)
    rows = db.execute(
        "SELECT sha, files, -hits.rank FROM (SELECT rowid, rank FROM subjects WHERE subjects MATCH ? ORDER BY rank"
        " LIMIT ?) AS hits JOIN commits ON commits.id = hits.rowid WHERE time < ? ORDER BY hits.rank",
        (match, NEAREST * (20 if before is not None else 3), before if before is not None else 1 << 62),
    ).fetchall()
    commits = [
        ([path for path in paths.split("\n") if path], score)
        for sha, paths, score in rows
        if not (but and sha[:12] == but[:12])
    ]
    source = [([path for path in paths if file_kinds.of(path) == "source"], score) for paths, score in commits]
    beside = [([path for path in paths if file_kinds.of(path) != "source"], score) for paths, score in commits]
    alone = [row for row, (paths, _) in zip(beside, source, strict=True) if not paths]
    return Votes(_shares(source), _shares(beside), _shares(alone), _share_of_source(source))


def _share_of_source(commits: Sequence[tuple[Sequence[str], float]]) -> float:
    """Returns which share of the NEAREST commits touched source; two more are added as if one of them had."""
    weights = [(score / commits[0][1]) ** 2 for _, score in commits[:NEAREST]]
    mass = sum(weight for weight, (paths, _) in zip(weights, commits, strict=False) if paths)
    return (mass + 1) / (sum(weights) + 2)


def _shares(commits: Iterable[tuple[Sequence[str], float]]) -> dict[str, float]:
    """Returns the shares of paths among the NEAREST commits that touched any, and not too many."""
    narrow = [(paths, score) for paths, score in commits if paths and len(paths) <= WIDEST][:NEAREST]
    shares: dict[str, float] = defaultdict(float)
    for paths, score in narrow:
        for path in paths:
            shares[path] += (score / narrow[0][1]) ** 2 / math.sqrt(len(paths))
    most = max(shares.values(), default=0.0)
    return {path: share / most for path, share in shares.items()}
