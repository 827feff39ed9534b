"""What goes into a token budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import part_choice, ranking
from dispatch_mcp.text import token_count

LEAST = 1e-5
LINE = "value = compute(first, second)"
FILES = {name: [f"{LINE}  # {number} of {name}" for number in range(1, 400)] for name in ("a.py", "b.py", "c/d.py")}


def read(path: str, first: int, last: int) -> str:
    return "\n".join(FILES[path][first - 1 : last])


def part(path: str, first: int, last: int) -> ranking.FilePart:
    size = len(read(path, first, last))
    return ranking.FilePart(first, path, "function", f"f{first}", first, last, size, 1.0, frozenset())


@st.composite
def ranked_parts(draw: st.DrawFn) -> list[tuple[ranking.FilePart, float]]:
    """Returns parts of several files that do not overlap, with scores, best first."""
    found: list[tuple[ranking.FilePart, float]] = []
    for path in sorted(FILES):
        at = 1
        for length in draw(st.lists(st.integers(1, 40), max_size=6)):
            at += draw(st.integers(0, 8))
            found.append((part(path, at, at + length - 1), draw(st.floats(-3, 9))))
            at += length
    return sorted(found, key=lambda pair: -pair[1])


@given(ranked_parts(), st.integers(0, 1_500))
def test_what_is_chosen_costs_no_more_than_the_budget(
    ranked: list[tuple[ranking.FilePart, float]], budget: int
) -> None:
    chosen = part_choice.choose(ranked, read, budget)
    assert chosen.tokens == sum(choice.tokens for choice in chosen.parts) <= budget
    assert len({choice.part.id for choice in chosen.parts if choice.part.path == "a.py"}) == len(
        [choice for choice in chosen.parts if choice.part.path == "a.py"]
    )


@given(ranked_parts(), st.integers(0, 1_500))
def test_a_part_is_chosen_or_left_never_both_and_has_its_text_if_it_is_chosen(
    ranked: list[tuple[ranking.FilePart, float]], budget: int
) -> None:
    chosen = part_choice.choose(ranked, read, budget)
    inside, left = ({(c.part.path, c.part.first) for c in group} for group in (chosen.parts, chosen.leftovers))
    assert not inside & left
    assert inside | left <= {(one.path, one.first) for one, _ in ranked}
    assert all(choice.text == read(*choice.part[1:2], *choice.part[4:6]) for choice in chosen.parts)


@given(ranked_parts())
def test_everything_is_chosen_when_there_is_room_for_all(ranked: list[tuple[ranking.FilePart, float]]) -> None:
    chosen = part_choice.choose(ranked, read, 10**6)
    assert len(chosen.parts) == len(ranked)
    assert chosen.leftovers == ()


@given(ranked_parts(), st.integers(0, 4_000))
def test_what_is_chosen_has_no_more_characters_than_allowed(
    ranked: list[tuple[ranking.FilePart, float]], characters: int
) -> None:
    chosen = part_choice.choose(ranked, read, 10**6, characters=characters)
    assert sum(len(choice.text) for choice in chosen.parts) <= characters


def test_a_smaller_part_is_chosen_when_a_better_one_does_not_fit() -> None:
    ranked = [(part("a.py", 1, 200), 9.0), (part("b.py", 1, 3), 1.0)]
    chosen = part_choice.choose(ranked, read, 200)
    assert [choice.part.path for choice in chosen.parts] == ["b.py"]
    assert [choice.part.path for choice in chosen.leftovers] == ["a.py"]


def test_a_full_budget_names_a_few_parts_and_no_more() -> None:
    ranked = [(part("a.py", 1 + 5 * at, 4 + 5 * at), 9.0 - at / 10) for at in range(60)]
    chosen = part_choice.choose(ranked, read, 100)
    assert 0 < len(chosen.leftovers) < len(ranked) - len(chosen.parts)


def test_what_is_far_too_large_is_not_even_read() -> None:
    reads: list[str] = []

    def counted(path: str, first: int, last: int) -> str:
        reads.append(path)
        return read(path, first, last)

    part_choice.choose([(part("a.py", 1, 390), 9.0), (part("b.py", 1, 2), 1.0)], counted, 150)
    assert set(reads) == {"b.py"}


def test_a_part_next_to_a_chosen_one_costs_no_title() -> None:
    near = part_choice.choose([(part("a.py", 1, 5), 2.0), (part("a.py", 6, 10), 1.0)], read, 10**4)
    far = part_choice.choose([(part("a.py", 1, 5), 2.0), (part("a.py", 60, 64), 1.0)], read, 10**4)
    assert near.parts[1].tokens < far.parts[1].tokens < far.parts[0].tokens


@given(ranked_parts())
def test_worth_keeps_every_part_and_prefers_the_shorter_of_two_equally_good_ones(
    ranked: list[tuple[ranking.FilePart, float]],
) -> None:
    same = [(one, 1.0) for one, _ in ranked]
    ordered = part_choice.by_worth(same)
    assert sorted(ordered) == sorted(one for one, _ in ranked)
    for path in FILES:
        lengths = [token_count.estimate(one.size) for one in ordered if one.path == path]
        assert lengths == sorted(lengths)


def test_a_file_that_has_much_already_leaves_room_for_a_part_of_another_that_is_nearly_as_good() -> None:
    home = [(part("a.py", 1 + 10 * at, 10 + 10 * at), 2.0) for at in range(8)]
    order = part_choice.by_worth([*home, (part("b.py", 1, 10), 1.9)])
    assert [row.path for row in order[:2]] == ["a.py", "b.py"]
    assert part_choice.by_worth([*home, (part("b.py", 1, 10), 0.5)])[-1].path == "b.py"


def test_a_part_that_another_file_has_word_for_word_is_given_once() -> None:
    texts = {"a.py": FILES["a.py"], "deno/a.py": FILES["a.py"], "b.py": FILES["b.py"]}

    def lines(path: str, first: int, last: int) -> str:
        return "\n".join(texts[path][first - 1 : last])

    parts = [part("a.py", 1, 20)._replace(path=path) for path in texts]
    chosen = part_choice.choose([(row, 1.0) for row in parts], lines, 10**4)
    assert [choice.part.path for choice in chosen.parts] == ["a.py", "b.py"]
    assert chosen.leftovers == ()
    short = [(row._replace(last=1, size=len(lines(row.path, 1, 1))), 1.0) for row in parts]
    assert len(part_choice.choose(short, lines, 10**4).parts) == len(texts)


@pytest.mark.parametrize(
    ("spans", "first", "last", "adjoins"),
    [
        ([(1, 5)], 6, 9, True),
        ([(1, 5)], 5 + part_choice.GAP + 1, 12, True),
        ([(1, 5)], 5 + part_choice.GAP + 2, 12, False),
        ([(10, 15)], 4, 9, True),
        ([(10, 15)], 1, 6, True),
        ([(10, 15)], 1, 5, False),
        ([(10, 15)], 12, 13, False),
        ([(1, 2), (30, 40)], 41, 50, True),
        ([], 1, 2, False),
    ],
)
def test_lines_adjoin_a_span_when_few_lines_lie_between(
    spans: Sequence[tuple[int, int]], first: int, last: int, *, adjoins: bool
) -> None:
    assert part_choice.adjoins(spans, first, last) is adjoins


@given(st.lists(st.text(alphabet="abc de", max_size=30), max_size=20), st.integers(-5, 120))
def test_the_first_lines_that_fit_are_given_and_none_behind_one_that_does_not(lines: list[str], budget: int) -> None:
    fitting = list(part_choice.fitting(lines, budget))
    assert fitting == lines[: len(fitting)]
    assert sum(token_count.count(line) + 1 for line in fitting) <= max(budget, 0)
    if len(fitting) < len(lines):
        assert sum(token_count.count(line) + 1 for line in lines[: len(fitting) + 1]) > budget


def test_the_cost_of_a_part_counts_its_path_and_title() -> None:
    assert part_choice.cost("a.py", "x") > token_count.count("x") + part_choice.HEADER
    assert part_choice.cost("a/very/long/path/of/a/file.py", "x") > part_choice.cost("a.py", "x")


def test_nothing_is_chosen_from_nothing() -> None:
    assert part_choice.choose([], read, 1_000) == part_choice.Chosen((), (), 0)
    assert part_choice.choose([], read, 1_000, characters=math.inf).tokens == 0


def window(first: int, last: int, *, name: str = "long", path: str = "a.py") -> ranking.FilePart:
    size = len(read(path, first, last))
    return ranking.FilePart(first, path, "function", name, first, last, size, 1.0, frozenset())


def test_a_definition_that_was_cut_into_windows_is_given_to_its_end() -> None:
    ranked = [(window(61, 120), 5.0), (window(1, 60), 1.0), (window(121, 150), -3.0)]
    chosen = part_choice.choose(ranked, read, 20_000)
    assert [(choice.part.first, choice.part.last) for choice in chosen.parts] == [(1, 150)]
    assert chosen.parts[0].text == read("a.py", 1, 150)


def test_a_definition_that_would_take_too_much_is_given_by_its_best_windows() -> None:
    ranked = [(window(61, 120), 5.0), (window(1, 60), 1.0), (window(121, 180), -3.0)]
    chosen = part_choice.choose(ranked, read, 1_500)
    assert chosen.parts[0].part.first == 61
    assert chosen.tokens <= 1_500


@pytest.mark.parametrize("second", [window(70, 120), window(61, 120, name="other"), window(61, 120, path="b.py")])
def test_parts_that_do_not_run_on_in_one_definition_stay_apart(second: ranking.FilePart) -> None:
    chosen = part_choice.choose([(window(1, 60), 2.0), (second, 1.0)], read, 20_000)
    assert [choice.part.last for choice in chosen.parts] == [60, 120]


def test_what_brings_too_little_for_its_tokens_is_left_out_however_much_room_there_is() -> None:
    ranked = [(part("a.py", 1, 20), 9.0), (part("b.py", 2, 20), 8.0), (part("c/d.py", 3, 200), -4.0)]
    chosen = part_choice.choose(ranked, read, 20_000, least=LEAST)
    assert [choice.part.path for choice in chosen.parts] == ["a.py", "b.py"]
    assert chosen.leftovers == ()


def test_what_brings_little_has_the_room_that_others_leave_of_a_pack_that_is_to_be_full() -> None:
    ranked = [(part("a.py", 1, 20), 9.0), (part("b.py", 2, 20), 8.0), (part("c/d.py", 3, 200), -4.0)]
    chosen = part_choice.choose(ranked, read, 20_000, least=LEAST, is_full=True)
    assert [choice.part.path for choice in chosen.parts] == ["a.py", "b.py", "c/d.py"]


@given(ranked_parts(), st.integers(0, 1_500), st.floats(0, 1))
def test_a_pack_that_is_to_be_full_has_all_that_one_that_ends_has(
    ranked: list[tuple[ranking.FilePart, float]], budget: int, share: float
) -> None:
    division = part_choice.Division(share, share)
    ended, full = (
        part_choice.choose(ranked, read, budget, least=1e-3, division=division, is_full=is_full)
        for is_full in (False, True)
    )
    assert full.parts[: len(ended.parts)] == ended.parts
    assert ended.tokens <= full.tokens <= budget


@given(ranked_parts())
def test_the_best_part_is_always_worth_its_tokens(ranked: list[tuple[ranking.FilePart, float]]) -> None:
    chosen = part_choice.choose(ranked, read, 20_000, least=LEAST)
    assert not ranked or chosen.parts


def test_a_line_without_a_name_is_worth_nothing_by_itself() -> None:
    fragment = ranking.FilePart(1, "a.py", "module", "", 1, 1, len("import os"), 9.0, frozenset())
    chosen = part_choice.choose([(fragment, 9.0), (part("b.py", 1, 3), 1.0)], read, 1_000)
    assert [choice.part.path for choice in chosen.parts] == ["b.py"]


def mixed(ranked: list[tuple[ranking.FilePart, float]]) -> list[tuple[ranking.FilePart, float]]:
    """Returns the parts with one source file as a document."""
    return [(row._replace(path="README.md") if row.path == "b.py" else row, score) for row, score in ranked]


def mixed_lines(path: str, first: int, last: int) -> str:
    return read("b.py" if path == "README.md" else path, first, last)


@given(ranked_parts(), st.integers(0, 1_500), st.floats(0, 1), st.floats(0, 1))
def test_a_divided_budget_is_kept_and_no_part_is_chosen_twice(
    ranked: list[tuple[ranking.FilePart, float]], budget: int, chance: float, share: float
) -> None:
    division = part_choice.Division(chance, share)
    chosen = part_choice.choose(mixed(ranked), mixed_lines, budget, division=division)
    assert chosen.tokens == sum(choice.tokens for choice in chosen.parts) <= budget
    places = [(choice.part.path, choice.part.first) for choice in chosen.parts]
    assert len(places) == len(set(places))
    assert not {(choice.part.path, choice.part.first) for choice in chosen.leftovers} & set(places)


@given(ranked_parts(), st.integers(0, 1_500))
def test_source_is_chosen_among_its_own_as_if_there_were_nothing_beside_it(
    ranked: list[tuple[ranking.FilePart, float]], budget: int
) -> None:
    rows = mixed(ranked)
    source = [row for row in rows if row[0].path != "README.md"]
    alone = part_choice.choose(source, mixed_lines, budget)
    beside = part_choice.choose(rows, mixed_lines, budget, division=part_choice.Division(0.1, 0.0))
    assert [choice for choice in beside.parts if choice.part.path != "README.md"][: len(alone.parts)] == list(
        alone.parts
    )


@pytest.mark.parametrize(("share", "first"), [(0.2, "a.py"), (0.8, "README.md")])
def test_whoever_has_the_larger_share_comes_first_and_leaves_the_rest_to_the_other(share: float, first: str) -> None:
    rows = mixed([(part("a.py", 1, 3), 1.0), (part("b.py", 1, 3), 1.0)])
    chosen = part_choice.choose(rows, mixed_lines, 500, division=part_choice.Division(share, share))
    assert chosen.parts[0].part.path == first
    assert len(chosen.parts) == 2


def test_a_file_beside_source_keeps_its_share_however_much_source_there_is() -> None:
    rows = mixed([*((part("a.py", 1 + 20 * at, 20 + 20 * at), 9.0) for at in range(15)), (part("b.py", 1, 5), 0.0)])
    chosen = part_choice.choose(rows, mixed_lines, 1_000, division=part_choice.Division(0.5, 0.3))
    assert "README.md" in {choice.part.path for choice in chosen.parts}
    without = part_choice.choose(rows, mixed_lines, 1_000, division=part_choice.Division(0.0, 0.0))
    assert "README.md" not in {choice.part.path for choice in without.parts}


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("def f():\n    pass\n\n\nx = 1\n", 4),
        ("def f():\n    pass\n\nx = 1\n", 3),
        ("def f():\n    pass\n  \n\n\n\nx = 1\n", 4),
        ("def f():\n    pass\nx = 1\n", 2),
        ("def f():\n    pass\n", 2),
        ("def f():\n    pass", 2),
        ("def f():\n    pass\n\n", 3),
    ],
)
def test_the_blank_lines_below_a_part_where_new_code_is_written_are_given_with_it(text: str, last: int) -> None:
    lines = text.split("\n")

    def of_file(_: str, first: int, end: int) -> str:
        return "\n".join(lines[first - 1 : end])

    part = ranking.FilePart(1, "a.py", "function", "f", 1, 2, 17, 1.0, frozenset())
    (choice,) = part_choice.choose([(part, 1.0)], of_file, 1_000).parts
    assert (choice.part.first, choice.part.last) == (1, last)
    assert choice.text == of_file("a.py", 1, last)
