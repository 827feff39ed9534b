from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import file_listing
from dispatch_mcp.context.indexing import reading_order

STATE = file_listing.State(10, 0)
PATHS = ["docs/guide.md", "lib/a.py", "lib/b.py", "lib/new/c.py", "tests/test_a.py", "z.bin"]


def order(
    paths: Sequence[str] = PATHS, *, dirty: Sequence[str] = (), commits: Sequence[Sequence[str]] = (), **mtimes: int
) -> list[str]:
    states = {path: file_listing.State(10, mtimes.get(path.rpartition("/")[2].partition(".")[0], 0)) for path in paths}
    return reading_order.likeliest_first(paths, states, dirty, commits)


def test_source_is_read_before_documents_and_tests() -> None:
    assert order() == ["lib/a.py", "lib/b.py", "lib/new/c.py", "docs/guide.md", "tests/test_a.py", "z.bin"]


@pytest.mark.parametrize(("dirty", "first"), [("tests/test_a.py", "tests/test_a.py"), ("lib/new/", "lib/new/c.py")])
def test_what_is_not_committed_is_read_first(dirty: str, first: str) -> None:
    assert order(dirty=[dirty], commits=[["lib/b.py"]])[:2] == [first, "lib/b.py"]


def test_what_the_newest_commits_touched_comes_next_but_not_what_touched_everything() -> None:
    everything = [*PATHS, *(f"x{at}" for at in range(100))]
    assert order(commits=[everything, ["z.bin"], ["lib/b.py", "z.bin"]])[:2] == ["z.bin", "lib/b.py"]


def test_without_a_history_what_was_changed_last_comes_first_among_its_kind() -> None:
    assert order(b=5, c=9)[:3] == ["lib/new/c.py", "lib/b.py", "lib/a.py"]


@given(st.lists(st.integers(0, 500_000), max_size=6_000).map(lambda sizes: {f"f{n}": s for n, s in enumerate(sizes)}))
def test_portions_are_all_files_in_order_and_grow_within_bounds(sizes: dict[str, int]) -> None:
    states = {path: file_listing.State(size, 0) for path, size in sizes.items()}
    portions = list(reading_order.portions(list(states), states))
    assert [path for portion in portions for path in portion] == list(states)
    assert all(portions)
    assert not portions or len(portions[0]) <= reading_order.PORTION
    for before, after in itertools.pairwise(portions):
        assert len(after) <= max(2 * reading_order.PORTION, 10 * len(before))


@given(st.lists(st.integers(0, 900_000), max_size=50), st.integers(0, 5_000_000))
def test_what_is_read_stays_within_the_bound_and_is_all_if_that_suffices(sizes: list[int], bound: int) -> None:
    states = {f"f{n}": file_listing.State(size, 0) for n, size in enumerate(sizes)}
    within = reading_order.bounded(states, reading_order.Bounds(text_bytes=bound))
    texts = [state.size for state in within.values() if state.size <= 400_000]
    assert sum(texts) <= bound
    assert list(within) == list(states)[: len(within)]
    if sum(sizes) <= bound:
        assert within == states
