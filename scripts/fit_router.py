"""Fits what routing weighs: how sure it is of a route, from development data, each roster left out in turn.

    python scripts/fit_router.py FOLDER

FOLDER has `cases/*.jsonl` and `rosters/*.json` as `benchmarks/routing.py` reads them. Prints the tables `SCOPE` and
`RIGHT` of `routing/confidence.py`, and how they do on rosters not fitted on. A request counts less the more of
its kind there are; the shipped rosters take part with the hand-made requests, as rosters with role texts.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dispatch_mcp.agents import bundled_files, catalog, loader
from dispatch_mcp.routing import agent_index, confidence, preferences, request_reader, scoring, suitability

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

import routing as bench

SCOPE = (
    "log odds|head|whole|rescue|concepts|cover|known|strength|matches|empty",
    0.3,
)
RIGHT = (
    "lead|rivals|concepts lead|concepts|head lead|body lead|rescue|cover|known|matches|empty|fluency",
    1.0,
)
"""The signals of a model, and how strongly its weights are held back."""

OURS = {"hand_backend8": "backend", "hand_roles41": "roles"}
BROAD = ("banking77", "clinc150", "metatool")
"""Rosters that the requests of other collections may well be for."""

GENERIC, NEAR, OUTSIDE = 0.10, 0.07, 1.0
"""What requests of other collections, of missing agents and of nobody weigh beside those in scope."""

FOLDS = 5
ROUNDS = 40


@dataclass(frozen=True)
class Example:
    """One request as the models see it: `kind` is `in`, `outside`, `generic` or `near`."""

    roster: str
    kind: str
    right: bool
    given: dict[str, float]
    bodied: bool
    fold: int

    @property
    def group(self) -> str:
        """Returns what is left out together: a public roster as a whole, a fold of our own."""
        return f"{self.roster}:{self.fold}" if self.roster.startswith(("hand", "shipped")) else self.roster


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    examples = list(collect(parser.parse_args().folder))
    weights = weigh(examples)
    scope = fitted("SCOPE", SCOPE, examples, weights, lambda example: example.kind == "in")
    inside = [weight if example.kind == "in" else 0.0 for weight, example in zip(weights, examples, strict=True)]
    right = fitted("RIGHT", RIGHT, examples, inside, lambda example: example.right)
    report(examples, [one * other for one, other in zip(scope, right, strict=True)])
    return 0


def collect(data: Path) -> Iterator[Example]:
    generic = [case.text for case in bench.read_cases(data, "clinc150")][::5]
    folder = loader.Folder(bundled_files.shipped_folder("agents"), "bundled", nested=True)
    shipped = loader.Source((folder,), scope=frozenset[str]()).catalog()
    for path in sorted((data / "cases").glob("*.jsonl")):
        known, cases = bench.read_set(data, path.stem)
        others = [] if path.stem.startswith(("seed", *BROAD)) else generic
        yield from read(path.stem, known, cases, others)
        if path.stem in OURS:
            yield from read(f"shipped {path.stem}", shipped.roster(OURS[path.stem]), cases, others)


def read(name: str, known: catalog.Catalog, cases: Sequence[bench.Case], generic: Sequence[str]) -> Iterator[Example]:
    asked = [(case.text, case.labels, "in" if case.labels else "outside") for case in cases]
    asked += [(text, (), "generic") for text in generic]
    for number, (text, labels, kind) in enumerate(asked):
        found = example(name, known, text, labels, kind, fold=number % FOLDS)
        if found:
            yield found
    if name.startswith(("hand", "shipped")):
        yield from missing(name, known, cases)


def missing(name: str, known: catalog.Catalog, cases: Sequence[bench.Case]) -> Iterator[Example]:
    """Yields each request put to the roster without the agents that are right."""
    for labels in sorted({case.labels for case in cases if case.labels}):
        rest = catalog.merge((agent for agent in known.agents if agent.name not in labels), words=known.words)
        for number, case in enumerate(cases):
            found = example(name, rest, case.text, (), "near", fold=number % FOLDS) if case.labels == labels else None
            if found:
                yield found


def example(
    name: str, known: catalog.Catalog, text: str, labels: tuple[str, ...], kind: str, *, fold: int
) -> Example | None:
    """Returns what the models see of a request; None for one that is an agent's own example."""
    index = agent_index.index_of(known)
    request = request_reader.read(text, index, known.words)
    scores = scoring.score(request, index)
    scores = preferences.preferred(scores, request, index, known, suitability.misfits(text, (), known))
    if max(scores.features[scoring.FEATURES.index("example")]) == 1:
        return None
    given = confidence.signals(request, scores, index)
    right = known.routable[scores.best[0]].name in labels
    return Example(name, kind, right, given, index.body_share > 0.5, fold)


def weigh(examples: Sequence[Example]) -> list[float]:
    """Returns each example's weight: large collections say less for each of their requests."""
    sizes = Counter((example.roster, example.kind) for example in examples)
    return [weight_of(example, sizes) for example in examples]


def weight_of(example: Example, sizes: Counter[tuple[str, str]]) -> float:
    inside = sizes[example.roster, "in"]
    each = 45 / inside if example.roster in bench.OTHER_DOMAINS else (inside / 20) ** -0.35
    if example.roster.startswith(("hand", "seed")):
        each = 1.0
    if example.roster.startswith("shipped"):
        each = 60 / inside
    if example.kind == "in":
        return each
    size = sizes[example.roster, example.kind]
    share = {"generic": GENERIC, "near": NEAR}.get(example.kind)
    return min(OUTSIDE * each, 0.4 * each * inside / size) if share is None else share * each * inside / size


def fitted(
    name: str,
    signals: tuple[str, float],
    examples: Sequence[Example],
    weights: Sequence[float],
    is_true: Callable[[Example], bool],
) -> list[float]:
    """Prints the table of a model and returns its answer for each example, from a fit without its group."""
    names = ["", *signals[0].split("|")]
    answers = [0.0] * len(examples)
    tables: list[list[float]] = []
    for bodied in (False, True):
        places = [at for at, example in enumerate(examples) if example.bodied == bodied]
        rows = [([examples[at].given[key] for key in names], is_true(examples[at]), weights[at]) for at in places]
        tables.append(
            logistic([row for row in rows if row[2] > 0], signals[1] * (3 if bodied and name == "RIGHT" else 1))
        )
        groups: dict[str, list[int]] = defaultdict(list)
        for row, at in enumerate(places):
            groups[examples[at].group].append(row)
        for group in groups.values():
            out = set(group)
            rest = [row for number, row in enumerate(rows) if number not in out and row[2] > 0]
            found = logistic(rest, signals[1] * (3 if bodied and name == "RIGHT" else 1), tables[-1])
            for row in group:
                answers[places[row]] = answer(found, rows[row][0])
    print(f"{name}: Model = {{")
    for key, plain, bodied in zip(names, *tables, strict=True):
        print(f'    "{key}": ({plain:.3f}, {bodied:.3f}),')
    print("}")
    return answers


Row = tuple[Sequence[float], bool, float]


def logistic(rows: Sequence[Row], held: float, start: Sequence[float] | None = None) -> list[float]:
    """Returns the weights of a ridge logistic regression by Newton's method; the first one is not held back."""
    size = len(rows[0][0])
    found = list(start or [0.0] * size)
    for _ in range(ROUNDS):
        slope = [-2 * held * weight * (at > 0) for at, weight in enumerate(found)]
        bend = [
            [2 * held * (at == other and at > 0) + 1e-9 * (at == other) for other in range(size)] for at in range(size)
        ]
        for given, true, weight in rows:
            sure = answer(found, given)
            off, curve = weight * (true - sure), weight * sure * (1 - sure)
            for at, value in enumerate(given):
                if value:
                    slope[at] += off * value
                    line, scaled = bend[at], curve * value
                    for other in range(at + 1):
                        line[other] += scaled * given[other]
        step = solved(bend, slope)
        found = [weight + change for weight, change in zip(found, step, strict=True)]
        if max(map(abs, step)) < 1e-4:
            break
    return found


def answer(weights: Sequence[float], given: Sequence[float]) -> float:
    total = sum(weight * value for weight, value in zip(weights, given, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))


def solved(lower: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Returns x of A x = b for a symmetric positive A given by its lower half (Cholesky)."""
    size = len(right)
    root = [[0.0] * size for _ in range(size)]
    for at in range(size):
        for other in range(at + 1):
            rest = lower[at][other] - sum(root[at][k] * root[other][k] for k in range(other))
            root[at][other] = math.sqrt(max(rest, 1e-12)) if at == other else rest / root[other][other]
    half: list[float] = []
    for at in range(size):
        half.append((right[at] - sum(root[at][k] * half[k] for k in range(at))) / root[at][at])
    found = [0.0] * size
    for at in reversed(range(size)):
        found[at] = (half[at] - sum(root[k][at] * found[k] for k in range(at + 1, size))) / root[at][at]
    return found


def report(examples: Sequence[Example], sure: Sequence[float]) -> None:
    """Prints precision and share from .70 on, and the calibration error, on what a model was not fitted on."""
    print(f"\n{'left out in turn':18} {'n':>5}  p@.70 share    ECE")
    groups: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for example, value in zip(examples, sure, strict=True):
        if example.kind in ("in", "outside"):
            known = next((head for head in ("hand", "shipped", "seed") if example.roster.startswith(head)), "public")
            groups["other domains" if example.roster in bench.OTHER_DOMAINS else known].append((value, example.right))
    for name, cases in groups.items():
        certain = [right for value, right in cases if value >= bench.SURE]
        share = len(certain) / len(cases)
        print(
            f"{name:18} {len(cases):5}  {sum(certain) / max(len(certain), 1):.3f}  {share:.2f}  {bench.ece(cases):.3f}"
        )


if __name__ == "__main__":
    sys.exit(main())
