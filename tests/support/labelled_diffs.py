"""Diffs with the reviewer whom each of them needs, and the shipped pool."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

from dispatch_mcp.agents import catalog, loader
from dispatch_mcp.review import review_scope, reviewer_selection
from dispatch_mcp.text import unified_diff

DATA = Path(__file__).parent / "diffs"
AGENTS = Path(__file__).parents[2] / "agents"


class Case(NamedTuple):
    wanted: str
    title: str
    text: str


def load(name: str) -> list[Case]:
    """Returns the cases of a file: `=== reviewer | title`, then a diff whose counts are put right here."""
    blocks = (DATA / name).read_text(encoding="utf-8").removeprefix("=== ").split("\n=== ")
    cases: list[Case] = []
    for block in blocks:
        head, _, body = block.partition("\n")
        wanted, _, title = head.partition(" | ")
        cases.append(Case(wanted, title, "\n".join(map(unified_diff.render, unified_diff.parse(body).files))))
    return cases


@functools.cache
def shipped() -> catalog.Catalog:
    return loader.Source((loader.Folder(AGENTS, "bundled", nested=True),)).catalog()


@functools.cache
def pool() -> reviewer_selection.Pool:
    return reviewer_selection.pool(shipped())


def select(text: str, chosen: reviewer_selection.Pool | None = None) -> reviewer_selection.Selection:
    seen = review_scope.split_scope(unified_diff.parse(text))
    return reviewer_selection.select(seen.diff, chosen or pool(), skipped_paths=[one.path for one in seen.excluded])
