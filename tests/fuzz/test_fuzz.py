"""A slice of the fuzzing: every text of the corpus through its reader, and some damaged ones. `make fuzz` does more."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import readers
import wire_lines

from dispatch_mcp import errors
from dispatch_mcp.registration import toml_tables
from fuzz import Count, Hang, interrupt, one, patiently, reader_for

pytestmark = pytest.mark.promise("R13")


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
