"""Which files a task will probably change, and which of their parts are worth their tokens.

What the index found for a task (`Evidence`) becomes features, numbers from 0 to about 1, of every file and of every
part (docs/rules.md#context-measurements); fitted weights make one score of them. All of it is values.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from dispatch_mcp.context import chunks, context_query, file_kinds, fitted_weights
from dispatch_mcp.text import languages

Features = Mapping[str, float]

FILE_WEIGHTS = fitted_weights.features("file")
PART_WEIGHTS = fitted_weights.features("part")
BESIDE_FILE_WEIGHTS = fitted_weights.features("beside_file")
BESIDE_PART_WEIGHTS = fitted_weights.features("beside_part")
GATE_WEIGHTS = fitted_weights.features("gate")
"""Weights of features in the exponent of a softmax over the files (over the parts) of one task: those of source, and
those of the files beside it. `GATE_WEIGHTS` are those in the logarithm of the odds that a task is about source."""


class FilePart(NamedTuple):
    """One part of a file that may go into a pack: `score` is what full-text search gave it, 0 for not found.

    `first` and `last` are lines from 1; `stems` are those of the task that its text has.
    """

    id: int
    path: str
    kind: chunks.Kind
    name: str
    first: int
    last: int
    size: int
    score: float
    stems: frozenset[str]
    phrases: int = 0


@dataclass(frozen=True, slots=True)
class FileEvidence:
    """Everything found for one task.

    `parts` are candidates of source files, `support` those of tests, documents and examples; `near` maps a path to the
    paths it imports or is imported by; `votes` maps paths to the share that similar past commits give them; `rarity`
    maps stems of the task to their inverse document frequency; `definitions` maps paths to how many of the task's names
    they define; `ends` are the ids of parts that end a likely test. `paths` are all source files that anything speaks
    for, best or not; `roles` says what each path is for, `strangers` which words of the task name a subject and stand
    nowhere in the workspace.
    """

    parts: Sequence[FilePart] = ()
    support: Sequence[FilePart] = ()
    beside_parts: Sequence[FilePart] = ()
    near: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    votes: Mapping[str, float] = field(default_factory=dict[str, float])
    rarity: Mapping[str, float] = field(default_factory=dict[str, float])
    definitions: Mapping[str, int] = field(default_factory=dict[str, int])
    paths: Sequence[str] = ()
    beside: Sequence[str] = ()
    beside_votes: Mapping[str, float] = field(default_factory=dict[str, float])
    alone_votes: Mapping[str, float] = field(default_factory=dict[str, float])
    past_source: float = 0.5
    kind_chances: Mapping[file_kinds.FileKind, float] = field(default_factory=dict[file_kinds.FileKind, float])
    roles: Mapping[str, languages.Role] = field(default_factory=dict[str, languages.Role])
    strangers: Sequence[str] = ()
    ends: Collection[int] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether the task is plainly about other kinds than source."""
        return 1.0 - self.kind_chances.get("source", 1.0) >= _PLAINLY

    @property
    def speaks(self) -> bool:
        """Whether anything here speaks for any file: words, names, past commits, or what the task is plainly about."""
        scores = (part.score for part in (*self.parts, *self.support, *self.beside_parts))
        return self.is_plain or bool(self.paths or self.beside_votes) or any(score > 0 for score in scores)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Files with their probabilities, best first; their parts with their scores, best first."""

    files: Mapping[str, float]
    parts: Sequence[tuple[FilePart, float]]

    @property
    def beside(self) -> float:
        """The probability that the task is about files that are no source."""
        return sum(chance for path, chance in self.files.items() if file_kinds.of(path) != "source")

    def _chance(self, kind: file_kinds.FileKind) -> float:
        return sum(chance for path, chance in self.files.items() if file_kinds.of(path) == kind)

    @property
    def order(self) -> list[str]:
        """The files, best first: the first places are divided by how probable it is that the task is about source."""
        source = [path for path in self.files if file_kinds.of(path) == "source"]
        beside = [path for path in self.files if file_kinds.of(path) != "source"]
        with_tests = self._chance("test") > self.beside / 2
        places = next(places for least, places in (_WITH_TESTS if with_tests else _PLACES) if self.beside >= least)
        best: list[str] = []
        for place in places:
            rows = source if place == "s" else beside
            best += [rows.pop(0)] if rows else []
        share = 1.0 if places == _BY_CHANCE else _BEHIND
        chance = {path: self.files[path] * (1.0 if file_kinds.of(path) == "source" else share) for path in self.files}
        return [*best, *sorted([*source, *beside], key=lambda path: (-chance[path], path))]


def is_faint(query: context_query.Query, evidence: FileEvidence) -> bool:
    """Returns whether hardly anything matches: half of the words are nowhere, and no part has much of the others."""
    terms, strangers = query.terms, {context_query.stem(word) for word in evidence.strangers}
    if len(terms) < _FEW or 2 * len(strangers) < len(terms) or evidence.definitions or evidence.is_plain:
        return False
    most = max(evidence.rarity.values(), default=0.0) or 1.0
    weights = {term: evidence.rarity.get(term) or most for term in terms}
    parts = [*evidence.parts, *evidence.beside_parts]
    best = max((sum(weights[term] for term in part.stems & weights.keys()) for part in parts), default=0.0)
    return not any(part.phrases for part in parts) and best <= _FAINT * sum(weights.values())


_FEW = 3
"""Words of a task of which too few are left to say that hardly anything matches."""
_FAINT = 0.3
"""Share of a task, by the rarity of its words, that a part must hold; set on development commits in their own
repositories and tasks that are about something else (ADR 0015)."""
_PLAINLY = 0.7
"""Probability of other kinds than source that needs no word of the workspace to go by."""
_BY_CHANCE = ""
_PLACES = ((0.9, _BY_CHANCE), (0.8, "bbsbb"), (0.65, "sbbsb"), (0.5, "ssbsb"), (0.35, "ssssb"), (0.0, "sssss"))
"""Whose the first places are, source's or other files', from a probability of the latter on; set on development
commits of all kinds (ADR 0015)."""
_WITH_TESTS = ((0.8, "bsbsb"), (0.5, "ssbsb"), *_PLACES[-2:])
"""The same where the others are tests, which change together with what they test; set likewise."""
_BEHIND = 0.05
"""What the probability of files that are no source counts behind those; source that changes is worth more to know."""


def rank(query: context_query.Query, evidence: FileEvidence) -> Ranking:
    """Returns the files and parts of `found` in the order of what speaks for them."""
    return parts(query, evidence, files(query, evidence))


def files(query: context_query.Query, evidence: FileEvidence) -> dict[str, float]:
    """Returns the probability of each file, best first; they add up to 1."""
    of = file_features(query, evidence)
    chances = file_chances(of)
    is_source = {path: file_kinds.of(path) == "source" for path in chances}
    source = sum(chance for path, chance in chances.items() if is_source[path])
    if not 0 < source < 1 or all(is_source.values()) or not any(is_source.values()):
        return chances
    share = source_chance(gate_features(evidence, of, chances))
    rows = {
        path: chance / source * share if is_source[path] else chance / (1 - source) * (1 - share)
        for path, chance in chances.items()
    }
    return {path: rows[path] for path in sorted(rows, key=lambda path: (-rows[path], path))}


def gate_features(evidence: FileEvidence, of: Mapping[str, Features], chances: Mapping[str, float]) -> dict[str, float]:
    """Returns what says whether a task is about source, given the features and first probabilities of the files."""
    source = [chance for path, chance in chances.items() if file_kinds.of(path) == "source"]
    beside = [path for path in chances if file_kinds.of(path) != "source"]
    plain = [path for path in beside if file_kinds.of(path) != "test"]
    top = max((part.score for part in evidence.parts), default=0.0)
    beside_top = max((part.score for part in evidence.beside_parts if file_kinds.of(part.path) != "test"), default=0.0)
    return {
        "one": 1.0,
        "files": -_odds(sum(source)),
        "prior": _odds(evidence.kind_chances.get("source", 1.0)),
        "past": 2 * evidence.past_source - 1,
        "lead": math.log((top + 1) / (beside_top + 1)),
        "best": math.log((max(source, default=0.0) + 0.003) / (max((chances[p] for p in beside), default=0.0) + 0.003)),
        "named": max((of[path]["pidf"] for path in plain), default=0.0),
    }


def _odds(chance: float) -> float:
    """Returns the logarithm of the odds of a probability, from about -4.6 to 4.6."""
    return math.log((chance + 0.01) / (1 - chance + 0.01))


def source_chance(features: Features) -> float:
    """Returns the probability that a task is about source."""
    return 1 / (1 + math.exp(-linear(features, GATE_WEIGHTS)))


def parts(query: context_query.Query, evidence: FileEvidence, chances: Mapping[str, float]) -> Ranking:
    """Returns the parts of `found` in the order of what speaks for them, given the probabilities of the files."""
    rows = [(part, linear(of, part_weights(part.path))) for part, of in part_features(query, evidence, chances)]
    rows.sort(key=lambda row: (-row[1], row[0].path, row[0].first))
    return Ranking(chances, rows)


def file_chances(of: Mapping[str, Features]) -> dict[str, float]:
    """Returns the probability of each file, best first; they add up to 1."""
    scores = {path: linear(features, file_weights(path)) for path, features in of.items()}
    most = max(scores.values(), default=0.0)
    odds = {path: math.exp(score - most) for path, score in scores.items()}
    total = sum(odds.values()) or 1.0
    return {path: odds[path] / total for path in sorted(odds, key=lambda path: (-odds[path], path))}


def file_weights(path: str) -> Mapping[str, float]:
    """Returns the weights of the features of a file."""
    return FILE_WEIGHTS if file_kinds.of(path) == "source" else BESIDE_FILE_WEIGHTS


def part_weights(path: str) -> Mapping[str, float]:
    """Returns the weights of the features of a part of a file."""
    return PART_WEIGHTS if file_kinds.of(path) == "source" else BESIDE_PART_WEIGHTS


def linear(of: Features, by: Mapping[str, float]) -> float:
    """Returns the weighted sum of features."""
    return sum([weight * of[name] for name, weight in by.items()])


_ENTRIES = frozenset({"__init__", "index", "mod", "lib", "main", "__main__"})


@lru_cache(maxsize=65536)
def path_stems(path: str) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the stems of a file's name and of its folders."""
    folder, _, name = path.rpartition("/")
    base = name.rpartition(".")[0] if "." in name[1:] else name
    return _path_part_stems(base), _path_part_stems(folder)


_path_part_stems = lru_cache(maxsize=65536)(context_query.stems)
"""Files share their folders, and often names such as `index`."""


@lru_cache(maxsize=65536)
def name_stems(name: str) -> frozenset[str]:
    """Returns the stems of the last part of a qualified name."""
    return context_query.stems(name.rpartition(".")[2])


@lru_cache(maxsize=65536)
def heading_stems(name: str) -> tuple[frozenset[str], ...]:
    """Returns the stems of each heading of a part of a document."""
    return tuple(map(context_query.stems, name.split(chunks.BETWEEN_HEADINGS)))


def _names(part: FilePart) -> tuple[frozenset[str], ...]:
    """Returns the stems of what a part is called; a part of a module is called nothing."""
    if part.kind == "text":
        return heading_stems(part.name)
    return () if part.kind == "module" else (name_stems(part.name),)


def file_features(query: context_query.Query, evidence: FileEvidence) -> dict[str, dict[str, float]]:
    """Returns the features of every file that anything speaks for."""
    return {**_source_features(query, evidence), **_beside_features(query, evidence)}


def _source_features(query: context_query.Query, evidence: FileEvidence) -> dict[str, dict[str, float]]:
    parts = _by_path(evidence.parts)
    tests = _by_subject(evidence.support)
    top = max((part.score for part in evidence.parts), default=0.0) or 1.0
    test_top = max((part.score for part in evidence.support), default=0.0) or 1.0
    best = {path: max(part.score for part in group) / top for path, group in parts.items()}
    test_near = _near_tests(evidence, test_top)
    folders = _folders(best)
    task = _TaskStems(query, evidence.rarity)
    paths = {*parts, *evidence.paths, *evidence.votes}
    places = {path: at for at, path in enumerate(sorted(best, key=lambda path: (-best[path], path)), 1)}
    plain = max((part.score for part in evidence.beside_parts if file_kinds.of(part.path) != "test"), default=0.0)
    of_task = {
        "prior": _prior(evidence, "source"),
        "past": 2 * evidence.past_source - 1,
        "lead": math.log((top + 1) / (plain + 1)) if evidence.parts and evidence.beside_parts else 0.0,
        "source": 1.0,
    }
    result: dict[str, dict[str, float]] = {}
    for path in paths:
        if evidence.roles.get(path, "other") != "source" or file_kinds.of(path) != "source":
            continue
        group = parts.get(path, ())
        about = tests.get(languages.subject(path), ())
        result[path] = {
            **_textual(group, top, task),
            **_from_path(path, query, task),
            "symdef": min(evidence.definitions.get(path, 0), 3) / 3,
            "testlink": max((part.score for part in about), default=0.0) / test_top,
            "testcov": task.shares(frozenset[str]().union(*(part.stems for part in about)))[0] if about else 0.0,
            "near": max((best.get(other, 0.0) for other in evidence.near.get(path, ())), default=0.0),
            "neartest": test_near.get(path, 0.0),
            "sibling": max((score for other, score in folders[_folder(path)] if other != path), default=0.0),
            "vote": evidence.votes.get(path, 0.0),
            "rank": 1.0 / places.get(path, 1_000),
            **of_task,
        }
    return result


def _prior(evidence: FileEvidence, kind: file_kinds.FileKind) -> float:
    return math.log(max(evidence.kind_chances.get(kind, 1.0), 0.001))


def _beside_features(query: context_query.Query, evidence: FileEvidence) -> dict[str, dict[str, float]]:
    """Returns the features of every file that is no source: what it holds, what it is, and who touched it with what."""
    parts = _by_path(evidence.beside_parts)
    top = max((part.score for part in evidence.beside_parts), default=0.0) or 1.0
    source_top = max((part.score for part in evidence.parts), default=0.0) or 1.0
    best = {path: max(part.score for part in group) / top for path, group in parts.items()}
    of_kind: dict[file_kinds.FileKind, float] = defaultdict(float)
    for path, score in best.items():
        of_kind[file_kinds.of(path)] = max(of_kind[file_kinds.of(path)], score)
    source: dict[str, float] = defaultdict(float)
    subjects: dict[str, float] = defaultdict(float)
    for part in evidence.parts:
        source[part.path] = max(source[part.path], part.score / source_top)
        subject = languages.subject(part.path)
        subjects[subject] = max(subjects[subject], part.score / source_top)
    task = _TaskStems(query, evidence.rarity)
    places = {path: at for at, path in enumerate(sorted(best, key=lambda path: (-best[path], path)), 1)}
    result: dict[str, dict[str, float]] = {}
    for path in {*parts, *evidence.beside}:
        kind = file_kinds.of(path)
        if kind == "source":
            continue
        is_test = kind == "test"
        result[path] = {
            **_textual(parts.get(path, ()), top, task),
            **_from_path(path, query, task),
            "best": best.get(path, 0.0) / (of_kind[kind] or 1.0),
            "about": subjects.get(languages.subject(path), 0.0) * is_test,
            "near": max((source.get(other, 0.0) for other in evidence.near.get(path, ())), default=0.0) * is_test,
            "vote": evidence.beside_votes.get(path, 0.0),
            "alone": evidence.alone_votes.get(path, 0.0),
            "rank": 1.0 / places.get(path, 1_000),
            "root": float("/" not in path),
            "depth": path.count("/") / 4,
            "prior": _prior(evidence, kind),
            **{name: float(name == kind) for name in _BESIDE},
        }
    return result


class _TaskStems:
    """The stems of the task with their rarity; `shares` says how much of them a set of stems holds."""

    def __init__(self, query: context_query.Query, rarity: Mapping[str, float]) -> None:
        self.weights = {term: rarity.get(term, 1.0) for term in query.terms}
        self._terms = frozenset(self.weights)
        self.title = {context_query.stem(word) for word in query.title}
        self.quote_stems = {context_query.stem(word) for word in query.quote_words}
        self._all = sum(self.weights.values()) or 1.0
        self._title = sum(weight for term, weight in self.weights.items() if term in self.title) or 1.0

    def shares(self, stems: frozenset[str]) -> tuple[float, float]:
        """Returns the share of the task, and that of its title, that a set of stems holds."""
        overlap = self._terms & stems
        weights, title = self.weights, self.title
        return (
            sum([weights[term] for term in overlap]) / self._all,
            sum([weights[term] for term in overlap if term in title]) / self._title,
        )


def _textual(group: Sequence[FilePart], top: float, task: _TaskStems) -> dict[str, float]:
    if not group:
        return _NO_TEXT
    scores = sorted((part.score / top for part in group), reverse=True)
    cov, titlecov = task.shares(frozenset[str]().union(*(part.stems for part in group)))
    first = scores[0]
    return {
        "top1": first,
        "top1sq": first * first,
        "top2": scores[1] if len(scores) > 1 else 0.0,
        "top5": sum(scores[:5]) / 5,
        "hits": math.log1p(sum(score > 0 for score in scores)) / 4,
        "cov": cov,
        "titlecov": titlecov,
        "phrase": min(max(part.phrases for part in group), 3) / 3,
    }


_NO_TEXT: dict[str, float] = dict.fromkeys(("top1", "top1sq", "top2", "top5", "hits", "cov", "titlecov", "phrase"), 0.0)


def _from_path(path: str, query: context_query.Query, task: _TaskStems) -> dict[str, float]:
    base, folder = path_stems(path)
    terms = task.weights
    inside = base & terms.keys()
    stem = path.rpartition("/")[2].partition(".")[0]
    return {
        "explicit": float(query.has_path(path)),
        "pbest": float(bool(base) and base <= terms.keys()),
        "pfrac": len(inside) / len(base) if base else 0.0,
        "pidf": min(1.0, max((terms[term] for term in inside), default=0.0) / 10),
        "pdir": len(folder & terms.keys()) / len(folder) if folder else 0.0,
        "ptick": float(bool(base & task.quote_stems)),
        "entry": float(stem in _ENTRIES),
        "stub": float(path.endswith((".d.ts", ".pyi"))),
    }


def _by_path(parts: Iterable[FilePart]) -> dict[str, list[FilePart]]:
    groups: dict[str, list[FilePart]] = defaultdict(list)
    for part in parts:
        groups[part.path].append(part)
    return groups


def _by_subject(parts: Iterable[FilePart]) -> dict[str, list[FilePart]]:
    groups: dict[str, list[FilePart]] = defaultdict(list)
    for part in parts:
        if languages.role(part.path) == "test" or part.kind == "test":
            groups[languages.subject(part.path)].append(part)
    return groups


def _near_tests(evidence: FileEvidence, top: float) -> dict[str, float]:
    """Returns the best score of a test that imports a file, by that file."""
    best: dict[str, float] = {}
    for part in evidence.support:
        for path in evidence.near.get(part.path, ()):
            best[path] = max(best.get(path, 0.0), part.score / top)
    return best


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _folders(best: Mapping[str, float]) -> dict[str, list[tuple[str, float]]]:
    """Returns the two best files of each folder."""
    groups: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for path, score in best.items():
        groups[_folder(path)].append((path, score))
    best_two = {folder: sorted(group, key=lambda row: -row[1])[:2] for folder, group in groups.items()}
    return defaultdict(list, best_two)


def part_features(
    query: context_query.Query, evidence: FileEvidence, chances: Mapping[str, float]
) -> list[tuple[FilePart, dict[str, float]]]:
    """Returns the features of every part; `chances` are the probabilities of the files, best first."""
    task = _TaskStems(query, evidence.rarity)
    names = {name.rpartition(".")[2].lower() for name in query.names}
    result: list[tuple[FilePart, dict[str, float]]] = []
    source = sum(chance for path, chance in chances.items() if file_kinds.of(path) == "source")
    shares = {True: source or 1.0, False: 1.0 - source or 1.0}
    of_task = {"gate": math.log((1 - source + 0.01) / (source + 0.01)), "beside_all": 1.0}
    for pool in (evidence.parts, evidence.beside_parts):
        here = {part.path for part in pool}
        ranks = {path: at for at, path in enumerate((path for path in chances if path in here), 1)}
        top = max((part.score for part in pool), default=0.0) or 1.0
        for path, group in _by_path(pool).items():
            group.sort(key=lambda part: part.first)
            best = max(part.score for part in group) or 1.0
            kind = file_kinds.of(path)
            of_file = {
                "few": 1 / math.sqrt(len(group)),
                "file": math.log(max(chances.get(path, 0.0) / shares[kind == "source"], 1e-4)) / 4,
                "filerank": 1.0 / ranks.get(path, 100),
                **({} if kind == "source" else {name: float(name == kind) for name in _BESIDE}),
            }
            for at, part in enumerate(group):
                own = _own(part, task, names)
                head = (
                    {}
                    if kind == "source"
                    else {
                        **of_task,
                        "newest": float(kind == "changelog" and part.first <= _NEWEST),
                        "end": float(part.id in evidence.ends),
                    }
                )
                result.append((part, {**own, **of_file, **_around(group, at, top), **head, "share": part.score / best}))
    return result


_BESIDE = tuple(kind for kind in file_kinds.KINDS if kind != "source")
_NEWEST = 40
"""Lines from the top of a changelog in which its newest entries stand."""


def _own(part: FilePart, task: _TaskStems, names: Collection[str]) -> dict[str, float]:
    """Returns what a part says for itself."""
    name = max((len(stems & task.weights.keys()) / len(stems) for stems in _names(part) if stems), default=0.0)
    cov, titlecov = task.shares(part.stems)
    leaf = part.name.rpartition(".")[2]
    return {
        "cov": cov,
        "titlecov": titlecov,
        "name": name,
        "nameall": float(name == 1.0),
        "phrase": min(part.phrases, 3) / 3,
        "symdef": float(leaf.lower() in names),
        "function": float(part.kind == "function"),
        "module": float(part.kind == "module"),
        "class": float(part.kind == "class"),
        "length": math.log(max(part.size, 20)) / 8,
        "first": float(part.first <= 3),
        "nohit": float(part.score <= 0),
    }


def _around(group: Sequence[FilePart], at: int, top: float) -> dict[str, float]:
    """Returns what the parts next to one, and those two or three away, got."""
    score = group[at].score / top
    beside = [group[to].score for to in (at - 1, at + 1) if 0 <= to < len(group)]
    near = [group[to].score for to in (at - 3, at - 2, at + 2, at + 3) if 0 <= to < len(group)]
    return {
        "s": score,
        "s2": score * score,
        "beside": max(beside, default=0.0) / top,
        "around": max(near, default=0.0) / top,
    }
