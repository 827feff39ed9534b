"""Diffs with the reviewer whom each of them needs, and the shipped pool."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

from dispatch_mcp import rosters
from dispatch_mcp.core import catalog
from dispatch_mcp.core.council import diffs, scope, selecting

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
        cases.append(Case(wanted, title, "\n".join(map(diffs.render, diffs.parse(body).files))))
    return cases


@functools.cache
def shipped() -> catalog.Catalog:
    return rosters.Source((rosters.Folder(AGENTS, "bundled", nested=True),)).catalog()


@functools.cache
def pool() -> selecting.Pool:
    return selecting.pool(shipped())


def select(text: str, chosen: selecting.Pool | None = None) -> selecting.Selection:
    seen = scope.of(diffs.parse(text))
    return selecting.select(seen.diff, chosen or pool(), unreviewed=[one.path for one in seen.excluded])
