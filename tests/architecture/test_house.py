from __future__ import annotations

import sys
from pathlib import Path

import pytest
import source

sys.path.insert(0, str(source.REPOSITORY / "scripts"))
import house
import walks

FILES = {
    "server/dispatch_mcp/__init__.py": '"""The product."""\n',
    "server/dispatch_mcp/model/__init__.py": '"""Values."""\nfrom dispatch_mcp.model.types import Task\n',
    "server/dispatch_mcp/model/types.py": '"""Types."""\nclass Task:\n    """A task."""\n    name: str\n',
    "server/dispatch_mcp/store/store.py": (
        '"""The store."""\nfrom dispatch_mcp import model\n\n\nclass Store:\n    """Keeps tasks."""\n\n'
        "    def task(self, name: str) -> model.Task:\n        found = self._row(name)  # noqa: F841\n"
        "        return found  # rows are never changed\n\n    def _row(self, name: str) -> model.Task: ...\n"
    ),
    "server/dispatch_mcp/service/runs.py": (
        '"""Runs."""\nfrom dataclasses import dataclass\nfrom dispatch_mcp.store import store\n\n\n'
        "@dataclass\nclass Runs:\n"
        '    """Use cases."""\n\n    kept: store.Store\n\n    def look(self, name: str) -> str:\n'
        "        return label(self.kept.task(name).name) + self.again(name)\n\n"
        "    def again(self, name: str) -> str:\n        return self.kept.task(name).name\n\n\n"
        "def label(name: str) -> str:\n    return name\n"
    ),
    "tests/test_all.py": "def test_nothing():\n    pass\n",
    "tests/store/test_store.py": "def test_a_row():\n    assert Store()._row('a')\n",
}


@pytest.fixture
def checkout(tmp_path: Path) -> house.Checkout:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return house.read(tmp_path)


def test_the_figures_of_a_small_house(checkout: house.Checkout) -> None:
    figures = house.figures(checkout)
    assert figures["files / lines"] == [5, 39]
    assert figures["comment lines per 1,000"] == 25.6
    assert figures["names that are participles or pronouns / all names / share"] == [2, 12, 0.1667]
    assert figures["participles and pronouns by room"] == {"store": 1, "service": 1, "root": 0, "model": 0}
    assert figures["test lines / code lines / ratio"] == [4, 39, 0.1]
    assert figures["tests: count / without assertion / touching privates / over 40 lines"] == [2, 1, 1, 0]
    assert figures["modules with one importer / their lines"] == [3, 18]
    assert figures["circles of packages"] == []


def test_every_figure_has_a_line(checkout: house.Checkout) -> None:
    figures = house.figures(checkout)
    lines = list(house.lines_of(figures))
    assert [name for name in figures if not any(line.startswith(f"{name}: ") for line in lines)] == []


def test_the_ceilings_are_those_of_today(checkout: house.Checkout) -> None:
    lines = list(house.ceilings(checkout))
    assert lines[:3] == ["[vague_names]", "service = 1", "store = 1"]
    assert "root = 1.0" not in lines
    assert "store = 0.16" in lines


def test_a_walk_follows_fields_and_expands_each_function_once(checkout: house.Checkout) -> None:
    calls = walks.walk(checkout.modules, "service.runs:Runs.look")
    assert [(call.depth, call.function.name.removeprefix("service."), call.again) for call in calls] == [
        (0, "runs.Runs.look", False),
        (1, "store.store.Store.task", False),
        (2, "store.store.Store._row", False),
        (1, "runs.label", False),
        (1, "runs.Runs.again", False),
        (2, "store.store.Store.task", True),
    ]


def test_a_walk_counts_its_stays_climbs_and_returns(checkout: house.Checkout) -> None:
    lines = list(walks.lines(checkout.modules, "service.runs:Runs.look"))
    assert "rooms, all calls: 4 stays, 2 different, 1 climbs, 2 returns" in lines


def test_a_walk_ends_at_its_depth(checkout: house.Checkout) -> None:
    calls = walks.walk(checkout.modules, "service.runs:Runs.look", depth=1)
    assert max(call.depth for call in calls) == 1


def test_a_walk_from_nowhere_says_how_to_name_a_function(checkout: house.Checkout) -> None:
    with pytest.raises(SystemExit, match="names no function"):
        walks.walk(checkout.modules, "service.runs:Runs.gone")
