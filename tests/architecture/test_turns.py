"""The order of the tests: whatever takes long begins early, in the part of every worker."""

from __future__ import annotations

import pytest
import thoroughness
import turns


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("long", [0, 1, 5, 40, 120])
def test_what_is_long_stands_in_the_first_half_of_the_parts_of_all_workers(workers: int, long: int) -> None:
    items = list(range(1000))
    order = turns.arranged(items, workers, lambda item: item >= 1000 - long)
    assert sorted(order) == items
    parts_of = list(turns.sizes(1000, workers))
    parts = [order[sum(parts_of[:worker]) : sum(parts_of[: worker + 1])] for worker in range(workers)]
    counts = [sum(item >= 1000 - long for item in part) for part in parts]
    assert max(counts) - min(counts) <= 1
    for part, count in zip(parts, counts, strict=True):
        assert [item for item in part[(len(part) + count) // 2 + 1 :] if item >= 1000 - long] == []


def test_more_workers_than_tests_get_them_all() -> None:
    assert sorted(turns.arranged([1, 2, 3], 5, lambda item: item > 1)) == [1, 2, 3]


def test_turn_after_turn_every_case_of_a_table_is_tried_and_what_is_no_table_always() -> None:
    cases = [("rows", number) for number in range(10)] + [("alone", 0), ("few", 0), ("few", 1)]
    shares = {"rows": 3, "alone": 1, "few": 2}
    turns_ = [thoroughness.sliced(cases, lambda case: (case[0], shares[case[0]]), turn) for turn in range(6)]
    assert all(("alone", 0) in kept for kept in turns_)
    assert {case for kept in turns_[3:] for case in kept} == set(cases)
    assert [sum(name == "rows" for name, _ in kept) for kept in turns_[:3]] == [4, 3, 3]
