"""What speaks for a file, and for a part of it, as numbers from 0 to about 1 (docs/rules.md#context-measurements)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache

from dispatch_mcp.context import context_query, pack_evidence
from dispatch_mcp.text import languages

Features = Mapping[str, float]

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


def files(query: context_query.Query, found: pack_evidence.Evidence) -> dict[str, dict[str, float]]:
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


def _textual(group: Sequence[pack_evidence.Part], top: float, asked: _Asked) -> dict[str, float]:
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


def _by_path(parts: Iterable[pack_evidence.Part]) -> dict[str, list[pack_evidence.Part]]:
    groups: dict[str, list[pack_evidence.Part]] = defaultdict(list)
    for part in parts:
        groups[part.path].append(part)
    return groups


def _by_subject(parts: Iterable[pack_evidence.Part]) -> dict[str, list[pack_evidence.Part]]:
    groups: dict[str, list[pack_evidence.Part]] = defaultdict(list)
    for part in parts:
        if languages.role(part.path) == "test" or part.kind == "test":
            groups[languages.subject(part.path)].append(part)
    return groups


def _near_tests(found: pack_evidence.Evidence, top: float) -> dict[str, float]:
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


def parts(
    query: context_query.Query, found: pack_evidence.Evidence, chances: Mapping[str, float]
) -> list[tuple[pack_evidence.Part, dict[str, float]]]:
    """Returns the features of every part; `chances` are the probabilities of the files, best first."""
    top = max((part.score for part in found.parts), default=0.0) or 1.0
    asked = _Asked(query, found.rarity)
    names = {name.rpartition(".")[2].lower() for name in query.names}
    groups = _by_path(found.parts)
    result: list[tuple[pack_evidence.Part, dict[str, float]]] = []
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


def _own(part: pack_evidence.Part, asked: _Asked, names: Collection[str]) -> dict[str, float]:
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


def _around(group: Sequence[pack_evidence.Part], at: int, top: float) -> dict[str, float]:
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
