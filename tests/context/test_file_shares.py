"""Files that were asked for, in the room that they have together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import assembly, context_query, packs, part_choice, ranking
from dispatch_mcp.context.documents import file_shares

BODY = 12
"""Lines of each function of a made-up file."""


NAMES = [f"rule_{at}" for at in range(60)]
LONG = [*NAMES[:40], "round_total", *NAMES[40:]]


def file(
    path: str, names: Sequence[str], spans: tuple[tuple[int, int], ...] = (), symbols: tuple[str, ...] = ()
) -> file_shares.NamedFile:
    """Returns a file that defines these functions."""
    lines = [line for name in names for line in (f"def {name}():", *[f"    {name}_step()"] * (BODY - 2), "")]
    return file_shares.NamedFile(path, "\n".join(lines), spans, symbols)


def parts(names: Sequence[str]) -> list[ranking.FilePart]:
    return [
        ranking.FilePart(
            at,
            "",
            "function",
            name,
            at * BODY + 1,
            (at + 1) * BODY,
            200,
            0.0,
            context_query.stems(f"{name} {name}_step"),
        )
        for at, name in enumerate(names)
    ]


def interest(text: str, budget: int = 5_000) -> file_shares.Interest:
    return file_shares.Interest(context_query.read(text), budget=budget)


def spans(offer_pieces: Sequence[packs.Item]) -> list[tuple[int, int]]:
    return [(piece.first, piece.last) for piece in offer_pieces if piece.first]


def test_what_fits_is_given_whole() -> None:
    short = file("a.py", NAMES[:2])
    [offer] = file_shares.offers([short], 4_000, interest("zebra"), lambda _: parts(NAMES[:2]))
    assert offer == assembly.KeyOffer((file_shares.whole(short),))


def test_of_a_long_file_the_part_that_the_task_means_comes_with_an_outline() -> None:
    [offer] = file_shares.offers([file("a.py", LONG)], 900, interest("Round the total"), lambda _: parts(LONG))
    outline, best = offer.pieces[:2]
    assert (outline.why, outline.text[:17]) == ("structure", "outline: 1 rule_0")
    assert (best.name, best.first) == ("round_total", 40 * BODY + 1)
    assert [entry.key for entry in offer.left_out] == ["file:a.py"]


def test_of_the_old_entries_of_a_changelog_one_shows_what_an_entry_looks_like() -> None:
    entries = [f"Version {at} total" for at in range(60)]
    log = file("CHANGES.md", entries)
    [offer] = file_shares.offers([log], 1_500, interest("Add an entry on the total"), lambda _: parts(entries))
    assert spans(offer.pieces) == [(1, BODY), (BODY + 1, 2 * BODY)]


def test_of_a_long_newest_section_of_a_changelog_the_end_comes_too() -> None:
    entries = [*["Unreleased total"] * 6, *[f"Version {at} total" for at in range(60)]]
    log = file("CHANGES.md", entries)
    [offer] = file_shares.offers([log], 1_500, interest("Add an entry on the total"), lambda _: parts(entries))
    assert [first // BODY for first, _ in spans(offer.pieces)] == [0, 1, 5, 2]


def test_beside_lines_that_are_named_what_the_task_means_elsewhere_in_the_file_is_given_too() -> None:
    traced = file("a.py", LONG, ((3 * BODY + 4, 3 * BODY + 4),))
    [offer] = file_shares.offers([traced], 900, interest("Round the total"), lambda _: parts(LONG))
    assert [piece.name for piece in offer.pieces[1:3]] == ["rule_3", "round_total"]


def test_of_a_long_changelog_the_newest_entries_come_before_those_that_the_task_means() -> None:
    [offer] = file_shares.offers([file("CHANGES.md", LONG)], 900, interest("Round the total"), lambda _: parts(LONG))
    assert [piece.name for piece in offer.pieces[1:]] == ["rule_0", "round_total"]


@pytest.mark.parametrize("focus", [file("a.py", LONG, ((30, 30),)), file("a.py", LONG, symbols=("rule_2",))])
def test_what_is_named_in_a_file_counts_more_than_its_words(focus: file_shares.NamedFile) -> None:
    [offer] = file_shares.offers([focus], 900, interest("Round the total"), lambda _: parts(LONG))
    assert spans(offer.pieces)[0] == (2 * BODY + 1, 3 * BODY)


def test_a_long_file_takes_nothing_from_a_short_one() -> None:
    files = [file("long.py", LONG), file("short.py", NAMES[:3])]
    first, second = file_shares.offers(files, 1_200, interest("Round the total"), lambda _: parts(LONG))
    assert second.pieces == (file_shares.whole(files[1]),)
    assert "round_total" in {piece.name for piece in first.pieces}


def test_a_file_that_no_word_speaks_for_shows_its_beginning() -> None:
    [offer] = file_shares.offers([file("a.py", LONG)], 900, interest("zebra"), lambda _: parts(LONG))
    assert spans(offer.pieces)[0][0] == 1


def test_a_file_without_parts_shows_its_beginning_and_one_of_one_endless_line_is_left_out() -> None:
    [text] = file_shares.offers([file("a.txt", LONG)], 900, interest("total"), lambda _: ())
    assert spans(text.pieces)[0][0] == 1
    endless = file_shares.NamedFile("a.min.js", "x = 1; " * 20_000)
    [offer] = file_shares.offers([endless], 900, interest("x"), lambda _: ())
    assert (offer.pieces, [entry.key for entry in offer.left_out]) == ((), ["file:a.min.js"])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(100, 6_000))
def test_all_files_together_keep_within_their_room(sizes: list[int], room: int) -> None:
    files = [file(f"f{at}.py", NAMES[:size]) for at, size in enumerate(sizes)]
    by_path = {one.path: parts(NAMES[:size]) for one, size in zip(files, sizes, strict=True)}
    offers = file_shares.offers(files, room, interest("rule 7"), by_path.__getitem__)
    costs = [part_choice.cost(piece.path, piece.text) for offer in offers for piece in offer.pieces]
    assert sum(costs) <= room
    for one, offer in zip(files, offers, strict=True):
        is_whole = spans(offer.pieces) == [(1, len(one.text.split("\n")) - 1)]
        assert is_whole or [entry.key for entry in offer.left_out] == [f"file:{one.path}"]
