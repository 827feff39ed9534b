"""A slice of the fuzzing: every text of the corpus through its reader, and some damaged ones. `make fuzz` does more."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import growth
import pytest
import readers
import wire_lines

from dispatch_mcp import errors
from dispatch_mcp.registration import toml_tables
from fuzz import Count, Hang, interrupt, one, patiently, reader_for

pytestmark = pytest.mark.promise("R13")

SAMPLES = 4
"""Texts of each corpus that are read again and again."""


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    """The signal that ends a reader which takes too long."""
    before = signal.signal(signal.SIGVTALRM, interrupt)
    yield
    signal.signal(signal.SIGVTALRM, before)


def test_every_reader_has_a_corpus_that_is_kept_small() -> None:
    files = {path.stem: path.stat().st_size for path in readers.CORPUS.glob("*.json")}
    assert files.keys() == readers.READERS.keys()
    assert sum(files.values()) < 100_000


@pytest.mark.parametrize("name", readers.READERS)
def test_what_once_was_hard_to_read_is_read_or_refused_in_time(name: str, tmp_path: Path) -> None:
    count = Count()
    for text in readers.corpus(name):
        patiently(name, text, tmp_path, count)
    assert count.tried > count.refused, "a corpus that is only refused shows nothing"


@pytest.mark.parametrize("name", readers.READERS)
def test_damaged_texts_are_read_or_refused(name: str) -> None:
    assert reader_for(name, 0.0, 1, batch_size=25, least=1).tried >= 25


@pytest.mark.promise("R24")
@pytest.mark.parametrize("name", readers.READERS)
def test_a_reader_takes_no_longer_than_its_text_is_longer(name: str, tmp_path: Path) -> None:
    reader = readers.READERS[name]
    samples = [text[:400] for text in readers.corpus(name)[:SAMPLES]]
    for sample in samples:

        def read(length: int, sample: str = sample) -> None:
            with contextlib.suppress(*reader.refusals):
                reader.read((sample * (length // max(1, len(sample)) + 1))[:length], tmp_path)

        assert growth.is_at_most(9, read, 8_000, 32_000), sample


def test_settings_and_entries_that_are_nested_without_end_are_refused_and_not_followed(tmp_path: Path) -> None:
    deep = "a = " + "[" * 20_000
    with pytest.raises(errors.ConfigError, match="is not TOML"):
        readers.READERS["settings"].read(deep, tmp_path)
    with pytest.raises(toml_tables.UnreadableToml, match="nested too deeply"):
        toml_tables.parse(deep)


def test_a_reader_that_hangs_or_breaks_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forever(text: str, folder: Path) -> object:
        while text:
            pass
        return json.loads(text)

    monkeypatch.setitem(readers.READERS, "glob", readers.Reader(forever))
    with pytest.raises(Hang):
        one("glob", "a", tmp_path, Count())
    with pytest.raises(json.JSONDecodeError):
        one("glob", "", tmp_path, Count())


def test_damaged_lines_and_odd_calls_are_all_answered_by_a_real_server() -> None:
    assert "answers" in wire_lines.told(2.0, 1)
