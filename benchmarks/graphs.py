"""The graphs that every engine is given: names of tasks with what each waits for. Nothing is imported for them."""

from __future__ import annotations

from typing import Final

LAYERS, WIDTH, FAN_IN, CHAIN = 10, 100, 3, 200
AT_ONCE: Final = 50
TASK_S: Final = 0.01

Edges = list[tuple[str, list[str]]]


def layers() -> list[Edges]:
    """Returns 1,000 tasks in ten layers; each waits for three of the layer before."""
    return [
        [
            (f"t{layer}-{place}", [f"t{layer - 1}-{(place + k * 7) % WIDTH}" for k in range(FAN_IN)] if layer else [])
            for place in range(WIDTH)
        ]
        for layer in range(LAYERS)
    ]


def chain() -> list[Edges]:
    """Returns 200 tasks, each of which waits for the one before."""
    return [[(f"c{n}", [f"c{n - 1}"] if n else [])] for n in range(CHAIN)]


def shape(name: str) -> tuple[list[Edges], float]:
    """Returns the layers of a graph, `layered` or `chain`, and the seconds that each of its tasks takes."""
    return (layers(), TASK_S) if name == "layered" else (chain(), 0.0)
