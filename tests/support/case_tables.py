"""Tables of cases in one item: a call that takes microseconds costs a hundred times that as a test of its own."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

LIGHT_MARKERS = frozenset({"parametrize", "promise", "slice", "chaos"})
"""Markers that say nothing about how a case is run."""


def joined(items: Sequence[pytest.Item], shared: Iterable[str]) -> list[pytest.Item]:
    """Returns the items, the plain cases of a function in one that stands where the first of them stood.

    `shared` are the fixtures that every test has, and that all cases of a table get together.
    """
    free = frozenset(shared)
    tables: dict[object, list[pytest.Function]] = {}
    places: list[pytest.Item | list[pytest.Function]] = []
    for item in items:
        if not isinstance(item, pytest.Function) or not _is_plain(item, free):
            places.append(item)
            continue
        table = tables.setdefault((item.parent, item.originalname), [])
        if not table:
            places.append(table)
        table.append(item)
    return [place if isinstance(place, pytest.Item) else _item(place) for place in places]


def _is_plain(item: pytest.Function, shared: frozenset[str]) -> bool:
    """Returns whether a case is a call of a function with the values of its row, and nothing else."""
    if item.cls is not None or inspect.iscoroutinefunction(item.obj) or getattr(item.obj, "is_hypothesis_test", False):
        return False
    if not {marker.name for marker in item.iter_markers()} <= LIGHT_MARKERS:
        return False
    names = _given(item)
    return (
        bool(names)
        and names == set(inspect.signature(item.obj).parameters)
        and set(item.fixturenames) - names <= shared
    )


def _given(item: pytest.Function) -> set[str]:
    """Returns the arguments that stand in the rows; none when one of them is for a fixture."""
    names: set[str] = set()
    for marker in item.iter_markers("parametrize"):
        if marker.kwargs.get("indirect"):
            return set()
        columns = marker.args[0] if marker.args else marker.kwargs["argnames"]
        names.update(column.strip() for column in (columns.split(",") if isinstance(columns, str) else columns))
    return names


def _item(rows: list[pytest.Function]) -> pytest.Item:
    first = rows[0]
    if len(rows) == 1 or first.parent is None:
        return first
    # pytest says nothing of its keywords:
    return pytest.Function.from_parent(  # pyright: ignore[reportUnknownMemberType]
        first.parent, name=first.originalname, callobj=_calls(rows)
    )


def _calls(rows: list[pytest.Function]) -> Callable[[], None]:
    def table() -> None:
        run([(row.callspec.id, lambda row=row: row.obj(**row.callspec.params)) for row in rows])

    return table


def run(rows: Sequence[tuple[str, Callable[[], object]]]) -> None:
    """Calls every row and raises what failed in any, each with the name of its row; skips when all were skipped."""
    failures: list[BaseException] = []
    skips: list[BaseException] = []
    for name, call in rows:
        try:
            call()
        except pytest.skip.Exception as error:
            skips.append(error)
        except (Exception, pytest.fail.Exception) as error:
            error.add_note(f"in the row [{name}]")
            failures.append(error)
        _tidy(Path.home())
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {len(rows)} rows failed", failures)
    if len(skips) == len(rows):
        raise skips[0]


def _tidy(home: Path) -> None:
    """Leaves the next row the empty home that a test begins with."""
    for entry in home.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
