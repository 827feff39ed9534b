"""A large change in parts: every line is shown or named, and no part is longer than a prompt allows."""

from __future__ import annotations

import itertools
import re

import diff_samples
import hypothesis
import pytest
from hypothesis import strategies as st

from dispatch_mcp.review import diff_parts
from dispatch_mcp.text import unified_diff


def shown(split: diff_parts.Split) -> set[tuple[str, unified_diff.Numbered]]:
    return {line for part in split.parts for line in diff_samples.lines(unified_diff.parse(part.text))}


def long_file(path: str, count: int = 500) -> unified_diff.FileChange:
    return diff_samples.new_file(path, *(f"value_{n} = compute({n})" for n in range(count)))


@hypothesis.given(diff_samples.CHANGES, st.integers(1_100, 2_000), st.sampled_from([1, 2, 1000]))
def test_every_line_is_in_a_part_or_named(changes: list[unified_diff.FileChange], limit: int, most: int) -> None:
    diff = unified_diff.Diff(tuple(changes))
    split = diff_parts.split(diff, limit=limit, max_parts=most)
    lines, unseen = shown(split), {span.path for span in split.unseen}
    assert all(line in lines or line[0] in unseen for line in diff_samples.lines(diff))
    assert len(split.parts) <= most


@hypothesis.given(diff_samples.CHANGES)
def test_a_change_that_fits_one_prompt_is_one_part_and_the_same_change(changes: list[unified_diff.FileChange]) -> None:
    diff = unified_diff.Diff(tuple(changes))
    [part] = diff_parts.split(diff).parts
    assert diff_samples.lines(unified_diff.parse(part.text)) == diff_samples.lines(diff)
    assert part.files == tuple(change.path for change in changes)


@hypothesis.given(st.lists(st.integers(1, 120), min_size=1, max_size=12), st.integers(2_000, 6_000))
def test_no_part_is_longer_than_the_limit(sizes: list[int], limit: int) -> None:
    diff = diff_samples.diff(*(long_file(f"f{n}.py", size) for n, size in enumerate(sizes)))
    assert all(len(part.text) <= limit for part in diff_parts.split(diff, limit=limit).parts)


@hypothesis.given(st.lists(st.integers(1, 60), min_size=2, max_size=12))
def test_a_file_that_fits_one_part_is_not_divided(sizes: list[int]) -> None:
    diff = diff_samples.diff(*(long_file(f"f{n}.py", size) for n, size in enumerate(sizes)))
    parts = diff_parts.split(diff, limit=4_000).parts
    paths = [path for part in parts for path in part.files]
    assert len(paths) == len(set(paths)) == len(sizes)


def test_nothing_is_no_part() -> None:
    assert diff_parts.split(unified_diff.Diff()) == diff_parts.Split()


def test_a_hunk_too_long_for_one_prompt_is_cut_with_overlap() -> None:
    diff = diff_samples.diff(long_file("long.py", 400))
    parts = diff_parts.split(diff, limit=3_000).parts
    assert len(parts) == 4
    hunks = [unified_diff.parse(part.text).files[0].hunks[0] for part in parts]
    for before, after in itertools.pairwise(hunks):
        assert after.lines[: diff_parts.OVERLAP] == before.lines[-diff_parts.OVERLAP :]
        assert after.new_start == before.new_start + before.new_count - diff_parts.OVERLAP
    assert shown(diff_parts.split(diff, limit=3_000)) == diff_samples.lines(diff)


def rejoined(split: diff_parts.Split, mark: str) -> str:
    """Returns the pieces of a long line as one text again."""
    texts = "\n".join(part.text for part in split.parts).split("\n")
    pieces = [line for line in texts if line.startswith(mark) and line.endswith("of this line]")]
    return "".join(re.sub(r" \[piece \d+ of \d+ of this line\]$", "", line)[1:] for line in pieces)


@hypothesis.given(st.integers(3_000, 40_000), st.integers(1_500, 6_000), st.sampled_from("+-"))
def test_a_line_too_long_for_one_prompt_is_shown_in_pieces(size: int, limit: int, mark: str) -> None:
    line = "".join(chr(ord("a") + at % 26) for at in range(size))
    diff = diff_samples.diff(diff_samples.change("x.js", " before", f"{mark}{line}", " after"))
    split = diff_parts.split(diff, limit=limit)
    assert rejoined(split, mark) == line or any(f"{mark}{line}" in part.text.split("\n") for part in split.parts)
    assert all(len(part.text) <= limit for part in split.parts)
    assert split.unseen == ()
    assert all(any(context in part.text for part in split.parts) for context in (" before", " after"))


def test_a_line_that_fits_one_prompt_is_shown_whole() -> None:
    diff = diff_samples.diff(diff_samples.change("x.js", "+" + "y" * 50_000 + "e"))
    [part] = diff_parts.split(diff).parts
    assert part.text.endswith("ye")


def test_a_line_too_long_for_all_prompts_is_named() -> None:
    diff = diff_samples.diff(diff_samples.change("x.js", "+" + "y" * 500_000))
    split = diff_parts.split(diff, max_parts=2)
    assert {span.label for span in split.unseen} == {"x.js:1"}


def test_lines_shown_again_leave_most_of_a_prompt_to_what_is_new() -> None:
    diff = diff_samples.diff(diff_samples.change("x.js", *(f"+{number}{'y' * 9_000}" for number in range(60))))
    split = diff_parts.split(diff)
    assert len(split.parts) < 15
    assert shown(split) == diff_samples.lines(diff)


def test_a_line_too_long_to_be_shown_again_is_shown_once_though_short_ones_follow() -> None:
    diff = diff_samples.diff(diff_samples.change("x.js", *(f"+{letter * 900}" for letter in "abc"), *["+short"] * 200))
    parts = diff_parts.split(diff, limit=3_000).parts
    assert len(parts) > 1
    assert [sum(letter * 900 in part.text for part in parts) for letter in "abc"] == [1, 1, 1]


@pytest.mark.parametrize("after", [(), ("d = 4",), ("d = 4", "e = 5")])
def test_short_lines_before_one_that_fills_a_prompt_are_not_shown_again_and_again(after: tuple[str, ...]) -> None:
    change = diff_samples.new_file("a.py", "a = 1", "b = 2", f"c = '{'x' * 1_500}'", *after)
    split = diff_parts.split(unified_diff.Diff((change,)), limit=1_000)
    text = "\n".join(part.text for part in split.parts)
    assert [text.count(f"+{line}") for line in ("a = 1", "b = 2", *after)] == [1] * (2 + len(after))
    assert text.count("x") >= 1_500


def test_a_file_without_lines_is_named_in_a_part() -> None:
    renamed = unified_diff.FileChange("new.py", "old.py", "renamed")
    [part] = diff_parts.split(diff_samples.diff(renamed)).parts
    assert "rename from old.py" in part.text
    assert part.files == ("new.py",)


def test_fifty_thousand_lines_are_all_shown_in_parts() -> None:
    diff = diff_samples.diff(*(long_file(f"f{n}.py") for n in range(100)))
    split = diff_parts.split(diff)
    assert len(shown(split)) == 50_000
    assert not split.unseen
    assert {span.path for part in split.parts for span in part.spans} == {change.path for change in diff.files}


def test_more_parts_than_allowed_are_named_as_unseen() -> None:
    diff = diff_samples.diff(*(long_file(f"f{n}.py") for n in range(20)))
    split = diff_parts.split(diff, limit=20_000, max_parts=3)
    assert len(split.parts) == 3
    assert [span.label for span in split.unseen] == [f"f{n}.py:1-500" for n in range(3, 20)]


@pytest.mark.parametrize(
    ("span", "label"),
    [
        (diff_parts.Span(path="a.py", first=3, last=9), "a.py:3-9"),
        (diff_parts.Span(path="a.py", first=3, last=3), "a.py:3"),
        (diff_parts.Span(path="a.py", first=3, last=4, removed=True), "a.py:3-4 (removed)"),
    ],
)
def test_a_span_is_written_as_people_write_it(span: diff_parts.Span, label: str) -> None:
    assert span.label == label


def test_spans_are_numbered_in_the_new_file_and_in_the_old_one_where_all_goes() -> None:
    kept = diff_samples.change("a.py", " a", "-b", "+c", "+d", start=7)
    lost = diff_samples.change("b.py", "-a", "-b", kind="deleted", start=1)
    [part] = diff_parts.split(diff_samples.diff(kept, lost)).parts
    assert [span.label for span in part.spans] == ["a.py:7-9", "b.py:1-2 (removed)"]
