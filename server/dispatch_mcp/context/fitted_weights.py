"""Reads the weights that were fitted on public commits; the tables lie beside this module and say what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources


def features(table: str) -> Mapping[str, float]:
    """Returns the weight of each feature of a table of `ranking_weights.tsv`."""
    return {name: float(weight) for owner, name, weight, _ in _rows("ranking_weights.tsv") if owner == table}


def kind_words() -> Mapping[str, tuple[float, ...]]:
    """Returns what each stem of a task says about the kinds of files, in the order of `file_kinds.KINDS`.

    `*` is what is true of every task.
    """
    return {stem: tuple(int(tenths) / 10 for tenths in numbers.split()) for stem, numbers in _rows("kind_words.tsv")}


def _rows(name: str) -> Iterator[list[str]]:
    text = resources.files("dispatch_mcp.context").joinpath(name).read_text("utf-8")
    yield from (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
