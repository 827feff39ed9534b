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

from dispatch_mcp.context import chunks, context_query
from dispatch_mcp.text import languages

Features = Mapping[str, float]

# Weights of features in the exponent of a softmax over the files (over the parts) of one task, without a unit: printed
# by scripts/fit_context.py from 714 public commits of 19 projects, `length` then raised by hand (ADR 0015). Beside each
# stands what its feature says.
FILE_WEIGHTS: Mapping[str, float] = {
    "top1": 0.21,  # text score of the file's best part, as a share of the best part of all
    "top2": 0.63,  # the same of its second best part
    "top5": 0.80,  # mean of its five best parts
    "hits": 0.57,  # logarithm of how many of its parts were found
    "cov": -0.02,  # share of the task's words, by rarity, that its parts hold
    "titlecov": 0.90,  # the same of the words of the task's first sentence
    "phrase": 1.23,  # pairs of words of the task that stand together in one part, up to three
    "symdef": 1.15,  # names of the task that it defines, up to three
    "testlink": 0.84,  # score of the best test that is named after it
    "testcov": 0.07,  # share of the task's words that those tests hold
    "near": 0.69,  # best score of a file that it imports or is imported by
    "neartest": 0.20,  # best score of a test that imports it
    "sibling": 0.47,  # best score of another file of its folder
    "explicit": 0.18,  # the task names its path
    "pbest": 0.03,  # all words of its name stand in the task
    "pfrac": 0.64,  # share of the words of its name that stand in the task
    "pidf": 0.53,  # rarity of the rarest of those
    "pdir": 1.19,  # share of the words of its folders that stand in the task
    "ptick": -0.28,  # the task quotes a word of its name
    "entry": -0.28,  # it is an entry such as `__init__` or `index`
    "stub": -0.65,  # it only declares types
    "vote": 1.55,  # share that past commits with alike subjects give it
    "top1sq": 0.84,  # square of `top1`
    "rank": 0.54,  # 1 / its place by text score
}
PART_WEIGHTS: Mapping[str, float] = {
    "s": 1.24,  # text score, as a share of the best part of all
    "s2": 0.53,  # its square
    "share": 1.00,  # text score, as a share of the best part of its file
    "cov": 0.23,  # share of the task's words, by rarity, that it holds
    "titlecov": 0.89,  # the same of the words of the task's first sentence
    "name": 1.24,  # share of the words of its name that stand in the task
    "nameall": -0.44,  # all of them do
    "phrase": 0.94,  # pairs of words of the task that stand together in it, up to three
    "symdef": 0.86,  # it defines a name of the task
    "function": 0.23,
    "module": 0.42,
    "class": -0.65,
    "length": 4.50,  # logarithm of its characters; what it costs counts against it in `token_budget`
    "first": 0.38,  # it begins in one of the first three lines
    "nohit": -0.04,  # no word of it was found
    "beside": 0.58,  # best text score of the parts next to it
    "around": 0.22,  # best text score of those two or three away
    "few": 0.55,  # 1 / root of the number of parts of its file
    "file": 2.15,  # logarithm of the probability of its file
    "filerank": 0.42,  # 1 / place of its file by probability
}


class Part(NamedTuple):
    """One part of a file that may go into a pack: `score` is what full-text search gave it, 0 for not found.

    `first` and `last` are lines from 1; `stems` are those of its text.
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
class Evidence:
    """Everything found for one task.

    `parts` are candidates of source files, `others` those of tests, documents and examples; `near` maps a path to the
    paths it imports or is imported by; `votes` maps paths to the share that similar past commits give them; `rarity`
    maps stems of the task to their inverse document frequency; `defined` maps paths to the names of the task that they
    define. `named` are files whose path answers to words of the task, best or not.
    """

    parts: Sequence[Part] = ()
    others: Sequence[Part] = ()
    near: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    votes: Mapping[str, float] = field(default_factory=dict[str, float])
    rarity: Mapping[str, float] = field(default_factory=dict[str, float])
    defined: Mapping[str, int] = field(default_factory=dict[str, int])
    named: Sequence[str] = ()
    roles: Mapping[str, languages.Role] = field(default_factory=dict[str, languages.Role])


@dataclass(frozen=True, slots=True)
class Ranking:
    """Source files with their probabilities, best first; their parts with their scores, best first."""

    files: Mapping[str, float]
    parts: Sequence[tuple[Part, float]]


def rank(query: context_query.Query, found: Evidence) -> Ranking:
    """Returns the files and parts of `found` in the order of what speaks for them."""
    return parts(query, found, files(query, found))


def files(query: context_query.Query, found: Evidence) -> dict[str, float]:
    """Returns the probability of each source file, best first; they add up to 1."""
    return file_chances(file_features(query, found))


def parts(query: context_query.Query, found: Evidence, chances: Mapping[str, float]) -> Ranking:
    """Returns the parts of `found` in the order of what speaks for them, given the probabilities of the files."""
    scored = [(part, linear(of, PART_WEIGHTS)) for part, of in part_features(query, found, chances)]
    scored.sort(key=lambda one: (-one[1], one[0].path, one[0].first))
    return Ranking(chances, scored)


def file_chances(of: Mapping[str, Features]) -> dict[str, float]:
    """Returns the probability of each file, best first; they add up to 1."""
    scores = {path: linear(one, FILE_WEIGHTS) for path, one in of.items()}
    most = max(scores.values(), default=0.0)
    raised = {path: math.exp(score - most) for path, score in scores.items()}
    total = sum(raised.values()) or 1.0
    return {path: raised[path] / total for path in sorted(raised, key=lambda path: (-raised[path], path))}


def linear(of: Features, by: Mapping[str, float]) -> float:
    """Returns the weighted sum of features."""
    return sum([weight * of[name] for name, weight in by.items()])


_ENTRIES = frozenset({"__init__", "index", "mod", "lib", "main", "__main__"})


@lru_cache(maxsize=65536)
def path_stems(path: str) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the stems of a file's name and of its folders."""
    folder, _, name = path.rpartition("/")
    base = name.rpartition(".")[0] if "." in name[1:] else name
    return context_query.stems(base), context_query.stems(folder)


@lru_cache(maxsize=65536)
def name_stems(name: str) -> frozenset[str]:
    """Returns the stems of the last part of a qualified name."""
    return context_query.stems(name.rpartition(".")[2])


def file_features(query: context_query.Query, found: Evidence) -> dict[str, dict[str, float]]:
    """Returns the features of every source file that anything speaks for."""
    parts = _by_path(found.parts)
    tests = _by_subject(found.others)
    top = max((part.score for part in found.parts), default=0.0) or 1.0
    test_top = max((part.score for part in found.others), default=0.0) or 1.0
    best = {path: max(part.score for part in group) / top for path, group in parts.items()}
    test_near = _near_tests(found, test_top)
    folders = _folders(best)
    asked = _Asked(query, found.rarity)
    wanted = {*parts, *found.named, *found.votes}
    places = {path: at for at, path in enumerate(sorted(best, key=best.__getitem__, reverse=True), 1)}
    result: dict[str, dict[str, float]] = {}
    for path in wanted:
        if found.roles.get(path, "other") != "source":
            continue
        group = parts.get(path, ())
        about = tests.get(languages.subject(path), ())
        result[path] = {
            **_textual(group, top, asked),
            **_from_path(path, query, asked),
            "symdef": min(found.defined.get(path, 0), 3) / 3,
            "testlink": max((part.score for part in about), default=0.0) / test_top,
            "testcov": asked.shares(frozenset[str]().union(*(part.stems for part in about)))[0] if about else 0.0,
            "near": max((best.get(other, 0.0) for other in found.near.get(path, ())), default=0.0),
            "neartest": test_near.get(path, 0.0),
            "sibling": max((score for other, score in folders[_folder(path)] if other != path), default=0.0),
            "vote": found.votes.get(path, 0.0),
            "rank": 1.0 / places.get(path, 1_000),
        }
    return result


class _Asked:
    """The stems of the task with their rarity; `shares` says how much of them a set of stems holds."""

    def __init__(self, query: context_query.Query, rarity: Mapping[str, float]) -> None:
        self.weights = {term: rarity.get(term, 1.0) for term in query.terms}
        self._terms = frozenset(self.weights)
        self.title = {context_query.stem(word) for word in query.title}
        self.quoted = {context_query.stem(word) for word in query.quoted}
        self._all = sum(self.weights.values()) or 1.0
        self._title = sum(weight for term, weight in self.weights.items() if term in self.title) or 1.0

    def shares(self, stems: frozenset[str]) -> tuple[float, float]:
        """Returns the share of the task, and that of its title, that a set of stems holds."""
        held = self._terms & stems
        weights, title = self.weights, self.title
        return (
            sum([weights[term] for term in held]) / self._all,
            sum([weights[term] for term in held if term in title]) / self._title,
        )


def _textual(group: Sequence[Part], top: float, asked: _Asked) -> dict[str, float]:
    scores = sorted((part.score / top for part in group), reverse=True)
    cov, titlecov = asked.shares(frozenset[str]().union(*(part.stems for part in group)))
    first = scores[0] if scores else 0.0
    return {
        "top1": first,
        "top1sq": first * first,
        "top2": scores[1] if len(scores) > 1 else 0.0,
        "top5": sum(scores[:5]) / 5,
        "hits": math.log1p(sum(score > 0 for score in scores)) / 4,
        "cov": cov,
        "titlecov": titlecov,
        "phrase": min(max((part.phrases for part in group), default=0), 3) / 3,
    }


def _from_path(path: str, query: context_query.Query, asked: _Asked) -> dict[str, float]:
    base, folder = path_stems(path)
    terms = asked.weights
    inside = base & terms.keys()
    stem = path.rpartition("/")[2].partition(".")[0]
    return {
        "explicit": float(
            any(path == one or path.endswith(f"/{one}") for one in (p.lstrip("./") for p in query.paths))
        ),
        "pbest": float(bool(base) and base <= terms.keys()),
        "pfrac": len(inside) / len(base) if base else 0.0,
        "pidf": min(1.0, max((terms[term] for term in inside), default=0.0) / 10),
        "pdir": len(folder & terms.keys()) / len(folder) if folder else 0.0,
        "ptick": float(bool(base & asked.quoted)),
        "entry": float(stem in _ENTRIES),
        "stub": float(path.endswith((".d.ts", ".pyi"))),
    }


def _by_path(parts: Iterable[Part]) -> dict[str, list[Part]]:
    groups: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        groups[part.path].append(part)
    return groups


def _by_subject(parts: Iterable[Part]) -> dict[str, list[Part]]:
    groups: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        if languages.role(part.path) == "test" or part.kind == "test":
            groups[languages.subject(part.path)].append(part)
    return groups


def _near_tests(found: Evidence, top: float) -> dict[str, float]:
    """Returns the best score of a test that imports a file, by that file."""
    best: dict[str, float] = {}
    for part in found.others:
        for path in found.near.get(part.path, ()):
            best[path] = max(best.get(path, 0.0), part.score / top)
    return best


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _folders(best: Mapping[str, float]) -> dict[str, list[tuple[str, float]]]:
    """Returns the two best files of each folder."""
    groups: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for path, score in best.items():
        groups[_folder(path)].append((path, score))
    kept = {folder: sorted(group, key=lambda one: -one[1])[:2] for folder, group in groups.items()}
    return defaultdict(list, kept)


def part_features(
    query: context_query.Query, found: Evidence, chances: Mapping[str, float]
) -> list[tuple[Part, dict[str, float]]]:
    """Returns the features of every part; `chances` are the probabilities of the files, best first."""
    top = max((part.score for part in found.parts), default=0.0) or 1.0
    asked = _Asked(query, found.rarity)
    names = {name.rpartition(".")[2].lower() for name in query.names}
    groups = _by_path(found.parts)
    result: list[tuple[Part, dict[str, float]]] = []
    ranks = {path: at for at, path in enumerate(chances, 1)}
    for path, group in groups.items():
        group.sort(key=lambda part: part.first)
        best = max(part.score for part in group) or 1.0
        of_file = {
            "few": 1 / math.sqrt(len(group)),
            "file": math.log(max(chances.get(path, 0.0), 1e-4)) / 4,
            "filerank": 1.0 / ranks.get(path, 100),
        }
        for at, part in enumerate(group):
            own = _own(part, asked, names)
            result.append((part, {**own, **of_file, **_around(group, at, top), "share": part.score / best}))
    return result


def _own(part: Part, asked: _Asked, names: Collection[str]) -> dict[str, float]:
    """Returns what a part says for itself."""
    own = name_stems(part.name) if part.kind != "module" else frozenset[str]()
    inside = own & asked.weights.keys()
    cov, titlecov = asked.shares(part.stems)
    leaf = part.name.rpartition(".")[2]
    return {
        "cov": cov,
        "titlecov": titlecov,
        "name": len(inside) / len(own) if own else 0.0,
        "nameall": float(bool(own) and own <= asked.weights.keys()),
        "phrase": min(part.phrases, 3) / 3,
        "symdef": float(leaf.lower() in names),
        "function": float(part.kind == "function"),
        "module": float(part.kind == "module"),
        "class": float(part.kind == "class"),
        "length": math.log(max(part.size, 20)) / 8,
        "first": float(part.first <= 3),
        "nohit": float(part.score <= 0),
    }


def _around(group: Sequence[Part], at: int, top: float) -> dict[str, float]:
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
