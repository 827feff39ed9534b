"""Test modules are imported by their bare names: of two with one name, one would never run in a run of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath

import source


def shared_names(paths: Iterable[PurePath]) -> list[str]:
    """Returns the names that several modules have, but for those that pytest finds by their folder."""
    counts = Counter(path.name for path in paths)
    return sorted(name for name, count in counts.items() if count > 1 and name != "conftest.py")


def test_every_test_module_has_a_name_of_its_own() -> None:
    assert shared_names((source.REPOSITORY / "tests").rglob("*.py")) == []


def test_a_name_that_stands_in_two_folders_is_found() -> None:
    paths = [PurePath(name) for name in ("a/test_x.py", "b/test_x.py", "a/conftest.py", "b/conftest.py", "test_y.py")]
    assert shared_names(paths) == ["test_x.py"]
