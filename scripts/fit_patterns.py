"""Fits how much each word beginning speaks for each pattern, and writes `pattern_weights.py`.

Run it after a change to the features or to the requests it fits to: `python scripts/fit_patterns.py`. A multinomial
logistic model with a penalty on large weights, by gradient descent with momentum; the same input gives the same file.
It prints the share of requests that get their pattern when they are left out of the fit, a tenth at a time: the
choices below were made by that figure, and the tests measure on files that are not read here.
"""

from __future__ import annotations

import collections
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from dispatch_mcp.planning.drafts import classifier

ROOT = Path(__file__).resolve().parent.parent
REQUESTS = ROOT / "tests" / "planning" / "drafts" / "data" / "fitted.jsonl"
TARGET = ROOT / "server" / "dispatch_mcp" / "planning" / "drafts" / "pattern_weights.py"
NAMES = classifier.NAMES
LEAST_REQUESTS = 2
"""Requests that a feature must be in."""

LEAST_WEIGHT = 0.3
"""Log-odds that a feature must give or take for some pattern: half of the features do, and the figure stays."""

PENALTY, STEPS, RATE, MOMENTUM, FOLDS = 1.0, 200, 1.0, 0.9, 10
LINE = 116

Weights = dict[str, list[float]]
Example = tuple[Collection[str], int]


def main() -> None:
    """Writes the weights and prints how well others like them do on requests they were not fitted to."""
    rows = [json.loads(line) for line in REQUESTS.read_text(encoding="utf-8").splitlines()]
    examples = [(classifier.features(row["text"]).keys(), NAMES.index(row["pattern"])) for row in rows]
    TARGET.write_text(source(fit(examples)), encoding="utf-8")
    print(f"{left_out(examples):.3f} of {len(rows)} requests get their pattern when left out")  # a script's answer


def left_out(examples: Sequence[Example]) -> float:
    """Returns the share of examples that are chosen as labelled by weights fitted to the other nine tenths."""
    right = 0
    for fold in range(FOLDS):
        weights = fit([example for at, example in enumerate(examples) if at % FOLDS != fold])
        right += sum(_best(shares(weights, marks)) == label for marks, label in examples[fold::FOLDS])
    return right / len(examples)


def fit(examples: Sequence[Example]) -> Weights:
    """Returns the weights with the least penalised loss; the empty name is the bias."""
    counts = collections.Counter(mark for marks, _ in examples for mark in marks)
    weights = {name: [0.0] * len(NAMES) for name in ["", *sorted(counts)] if not name or counts[name] >= LEAST_REQUESTS}
    speed = {name: [0.0] * len(NAMES) for name in weights}
    for _ in range(STEPS):
        slope = _slope(weights, examples)
        for name, row in weights.items():
            for at in range(len(NAMES)):
                speed[name][at] = MOMENTUM * speed[name][at] - RATE / len(examples) * slope[name][at]
                row[at] += speed[name][at]
    return {name: row for name, row in weights.items() if not name or max(map(abs, row)) >= LEAST_WEIGHT}


def shares(weights: Weights, marks: Collection[str]) -> list[float]:
    """Returns the probability of each pattern."""
    rows = [weights[""], *(weights[mark] for mark in marks if mark in weights)]
    return classifier.soft_maximum([sum(column) for column in zip(*rows, strict=True)])


def _slope(weights: Weights, examples: Sequence[Example]) -> Weights:
    slope = {name: [PENALTY * weight if name else 0.0 for weight in row] for name, row in weights.items()}
    for marks, label in examples:
        errors = [share - (at == label) for at, share in enumerate(shares(weights, marks))]
        for name in ("", *marks):
            if name in slope:
                slope[name] = [total + error for total, error in zip(slope[name], errors, strict=True)]
    return slope


def _best(probabilities: Sequence[float]) -> int:
    return max(range(len(NAMES)), key=probabilities.__getitem__)


def source(weights: Mapping[str, Sequence[float]]) -> str:
    """Returns the text of the module that holds the weights."""
    lines = [""]
    for name, row in weights.items():
        item = f"{name}:{''.join(map(_letter, row))}"
        if len(lines[-1]) + len(item) >= LINE:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{item}"
    return "\n".join(
        [
            '"""How much the beginning of a word speaks for each pattern: fitted to labelled requests.',
            "",
            "Written by `scripts/fit_patterns.py`; do not edit by hand. An entry is a feature and a letter for each",
            "pattern, in the order of `classifier.NAMES`; `ZERO` and `STEP` there say what a letter means.",
            '"""',
            "",
            "from __future__ import annotations",
            "",
            "from typing import Final",
            "",
            'TABLE: Final = """',
            *lines,
            '"""',
            "",
        ]
    )


def _letter(weight: float) -> str:
    return chr(min(ord("z"), max(ord("a"), classifier.ZERO + round(weight / classifier.STEP))))


if __name__ == "__main__":
    main()
