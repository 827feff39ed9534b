"""The index of a catalogue as a file for the next process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dispatch_mcp import configuration
from dispatch_mcp.agents import catalog
from dispatch_mcp.store import agent_index_files


@pytest.fixture
def settings(tmp_path: Path) -> configuration.Settings:
    return configuration.load({}, home=tmp_path / "home", cwd=tmp_path).settings


def agents(settings: configuration.Settings) -> catalog.Catalog:
    return agent_index_files.source(settings).catalog()


def stored(settings: configuration.Settings) -> list[Path]:
    return sorted((settings.home / "cache").glob("index-*.bin"))


def test_the_first_catalogue_stores_its_index_and_the_next_one_reads_it(settings: configuration.Settings) -> None:
    agents(settings)
    [path] = stored(settings)
    before = path.stat().st_mtime_ns
    agents(settings)
    assert [path.stat().st_mtime_ns for path in stored(settings)] == [before]


@pytest.mark.parametrize("data", [b"", b"DMIX", b"\xff" * 5_000])
def test_a_damaged_index_is_made_anew(settings: configuration.Settings, data: bytes) -> None:
    agents(settings)
    [path] = stored(settings)
    whole = path.read_bytes()
    path.write_bytes(data)
    agents(settings)
    assert path.read_bytes() == whole


def test_only_the_newest_indexes_stay(settings: configuration.Settings) -> None:
    folder = settings.home / "cache"
    folder.mkdir(parents=True)
    for age in range(12):
        path = folder / f"index-{age:032}.bin"
        path.touch()
        os.utime(path, (age, age))
    agents(settings)
    names = {path.name for path in stored(settings)}
    assert len(names) == agent_index_files.MAX_STORED
    assert f"index-{11:032}.bin" in names
    assert f"index-{0:032}.bin" not in names
