"""The tables that were fitted on public commits."""

from __future__ import annotations

import pytest

from dispatch_mcp.context import file_kinds, fitted_weights

TABLES = ("file", "part", "beside_file", "beside_part")


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_weights_that_can_be_summed(table: str) -> None:
    weights = fitted_weights.features(table)
    assert weights
    assert all(-10 < weight < 10 for weight in weights.values())


def test_what_is_no_table_has_no_weights() -> None:
    assert fitted_weights.features("nothing") == {}


@pytest.mark.parametrize("table", ["beside_file", "beside_part"])
def test_every_kind_beside_source_has_a_weight_of_its_own(table: str) -> None:
    assert {kind for kind in file_kinds.KINDS if kind != "source"} <= fitted_weights.features(table).keys()


def test_every_word_says_something_of_each_kind() -> None:
    words = fitted_weights.kind_words()
    assert "*" in words
    assert {len(numbers) for numbers in words.values()} == {len(file_kinds.KINDS)}
    assert all(any(numbers) for numbers in words.values())


@pytest.mark.parametrize(("stem", "kind"), [("changelog", "changelog"), ("readm", "docs"), ("workflow", "ci")])
def test_plain_words_speak_for_their_kind(stem: str, kind: file_kinds.FileKind) -> None:
    numbers = fitted_weights.kind_words()[stem]
    assert max(numbers) == numbers[file_kinds.KINDS.index(kind)]
