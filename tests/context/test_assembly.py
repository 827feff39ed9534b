"""How a pack is put together from what was named, what was ranked and what else there is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import assembly, packs, part_choice, ranking

FILES = {
    path: [f"{stem}_{number} = compute({number})" for number in range(1, 301)]
    for path, stem in (("shop/cart.py", "cart"), ("shop/money.py", "money"), ("web/page.ts", "page"))
}
CART, MONEY, PAGE = FILES


def read(path: str, first: int, last: int) -> str:
    return "\n".join(FILES[path][first - 1 : last])


def item(path: str, first: int, last: int, why: packs.Why = "asked", name: str = "") -> packs.Item:
    return packs.Item(f"file:{path}#L{first}-{last}", path, read(path, first, last), 0, why, first, last, name)


def part(path: str, first: int, last: int, name: str = "", score: float = 1.0) -> ranking.FilePart:
    size = len(read(path, first, last))
    kind = "function" if name else "module"
    return ranking.FilePart(first, path, kind, name, first, last, size, score, frozenset())


def request(
    budget: int = 2_000,
    offers: Sequence[assembly.KeyOffer] = (),
    parts: Sequence[ranking.FilePart] = (),
    files: Sequence[str] = (),
    **rest: object,
) -> assembly.PackRequest:
    paths = files or list(dict.fromkeys(one.path for one in parts))
    scored = [(one, 10.0 - at) for at, one in enumerate(parts)]
    ranked = ranking.Ranking({path: 1.0 / (at + 2) for at, path in enumerate(paths)}, scored)
    whole = assembly.PackRequest(budget, offers, ranked, read, lambda _: True)
    return dataclasses.replace(whole, **rest)


def lines(pack: packs.Pack) -> list[tuple[str, int]]:
    """Returns every line of a pack, once for each time that it is there."""
    return [(one.path, number) for one in pack.chosen for number in range(one.first, one.last + 1)]


_SPANS = st.tuples(st.sampled_from(sorted(FILES)), st.integers(1, 250), st.integers(0, 49)).map(
    lambda span: (span[0], span[1], span[1] + span[2])
)
_OFFERS = st.lists(
    st.builds(
        assembly.KeyOffer,
        st.lists(_SPANS.map(lambda span: item(*span)), min_size=1, max_size=3).map(tuple),
        st.sampled_from([1.0, 0.3]),
    ),
    max_size=4,
)
_PATHS = st.lists(st.text("abc/é", min_size=1, max_size=30), max_size=40)


def apart(spans: Sequence[tuple[str, int, int]]) -> list[ranking.FilePart]:
    """Returns the parts of an index for spans; those of one file never overlap."""
    chosen: list[tuple[str, int, int]] = []
    for path, first, last in spans:
        if all(path != other or last < begin or end < first for other, begin, end in chosen):
            chosen.append((path, first, last))
    return [part(*span) for span in chosen]


@given(_OFFERS, st.lists(_SPANS, max_size=8).map(apart), _PATHS, st.integers(100, 4_000))
def test_no_pack_has_more_tokens_than_its_budget(
    offers: list[assembly.KeyOffer], parts: list[ranking.FilePart], paths: list[str], budget: int
) -> None:
    unresolved = [packs.Unresolved(f"symbol:{path}", path) for path in paths]
    pack = assembly.assemble(
        request(budget, offers, parts, [*FILES, *paths], withheld=paths, unresolved=unresolved, see_also=paths)
    )
    assert pack.tokens <= budget


@given(_OFFERS, st.lists(_SPANS, max_size=8).map(apart), st.integers(100, 4_000))
def test_every_item_holds_the_lines_that_its_key_names(
    offers: list[assembly.KeyOffer], parts: list[ranking.FilePart], budget: int
) -> None:
    for one in assembly.assemble(request(budget, offers, parts)).chosen:
        assert one.key == f"file:{one.path}#L{one.first}-{one.last}"
        assert one.text == read(one.path, one.first, one.last)


@given(st.lists(_SPANS, max_size=10).map(apart), st.integers(100, 4_000))
def test_no_line_is_given_twice(parts: list[ranking.FilePart], budget: int) -> None:
    given_lines = lines(assembly.assemble(request(budget, parts=parts)))
    assert len(given_lines) == len(set(given_lines))


def test_what_was_asked_for_comes_before_better_scored_parts_when_there_is_room_for_one() -> None:
    pack = assembly.assemble(request(400, [assembly.KeyOffer((item(MONEY, 1, 20),))], [part(CART, 1, 20)]))
    assert {one.path for one in pack.chosen} == {MONEY}
    assert [one.why for one in pack.chosen] == ["asked"]


def test_a_scored_part_that_overlaps_what_was_asked_for_is_not_added() -> None:
    pack = assembly.assemble(
        request(5_000, [assembly.KeyOffer((item(CART, 1, 30),))], [part(CART, 20, 40), part(MONEY, 1, 5)])
    )
    assert [(one.path, one.first, one.last) for one in pack.chosen] == [(CART, 1, 30), (MONEY, 1, 5)]


def test_a_piece_inside_another_is_given_once() -> None:
    offers = [assembly.KeyOffer((item(CART, 1, 30),)), assembly.KeyOffer((item(CART, 5, 9), item(MONEY, 1, 2)))]
    pack = assembly.assemble(request(5_000, offers))
    assert [(one.path, one.first, one.last) for one in pack.chosen] == [(CART, 1, 30), (MONEY, 1, 2)]


def test_an_offer_gets_no_more_than_its_share() -> None:
    whole, some = (
        assembly.assemble(request(2_000, [assembly.KeyOffer((item(CART, 1, 300),), share)])).chosen[0]
        for share in (1.0, 0.3)
    )
    assert some.tokens <= 600 < whole.tokens


def test_what_does_not_fit_is_cut_at_a_line_and_its_rest_can_be_fetched() -> None:
    pack = assembly.assemble(request(1_000, [assembly.KeyOffer((item(CART, 1, 300),))]))
    (head,) = pack.chosen
    assert head.first == 1
    assert pack.left_out[0].key == f"file:{CART}#L{head.last + 1}-300"


def test_a_head_that_would_be_too_short_is_not_given() -> None:
    pack = assembly.assemble(request(100, [assembly.KeyOffer((item(CART, 1, 300),))]))
    assert pack.chosen == ()
    assert [left.key for left in pack.left_out] == [f"file:{CART}#L1-300"]


def test_parts_with_few_lines_between_them_become_one_with_those_lines() -> None:
    pack = assembly.assemble(request(5_000, parts=[part(CART, 1, 10, "load"), part(CART, 13, 20, "save")]))
    (joined,) = pack.chosen
    assert (joined.first, joined.last, joined.name) == (1, 20, "load, save")
    assert joined.text == read(CART, 1, 20)


def test_parts_far_apart_stay_apart() -> None:
    pack = assembly.assemble(request(5_000, parts=[part(CART, 1, 10), part(CART, 50, 60)]))
    assert [(one.first, one.last) for one in pack.chosen] == [(1, 10), (50, 60)]


def test_a_part_between_two_others_joins_all_three_where_the_first_stood() -> None:
    items = [item(CART, 30, 40, "scored"), item(MONEY, 1, 5, "scored"), item(CART, 1, 12, "scored")]
    joined = assembly.merge([*items, item(CART, 13, 29, "scored")], read)
    assert [(one.path, one.first, one.last) for one in joined] == [(CART, 1, 40), (MONEY, 1, 5)]


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 40)), max_size=8))
def test_parts_within_each_other_are_joined_without_losing_a_line(spans: list[tuple[int, int]]) -> None:
    items = [item(CART, first, first + more, "scored") for first, more in spans]
    joined = assembly.merge(items, read)
    lines = [number for one in joined for number in range(one.first, one.last + 1)]
    assert {number for one in items for number in range(one.first, one.last + 1)} <= set(lines)
    assert all(one.text == read(CART, one.first, one.last) for one in joined)


def test_a_part_that_joins_others_keeps_the_last_line_of_all() -> None:
    items = [item(CART, 17, 200, "scored"), item(CART, 1, 3, "scored"), item(CART, 18, 19, "scored")]
    (joined,) = assembly.merge([*items, item(CART, 5, 16, "scored")], read)
    assert (joined.first, joined.last) == (1, 200)


def test_what_was_asked_for_is_not_joined_with_what_was_scored() -> None:
    joined = assembly.merge([item(CART, 1, 10), item(CART, 11, 20, "scored")], read)
    assert len(joined) == 2


@given(st.lists(_SPANS, max_size=8).map(apart))
def test_joining_loses_no_line_and_keeps_the_order_of_files(parts: list[ranking.FilePart]) -> None:
    items = [item(one.path, one.first, one.last, "scored") for one in parts]
    joined = assembly.merge(items, read)
    before, after = (
        {(one.path, number) for one in group for number in range(one.first, one.last + 1)} for group in (items, joined)
    )
    assert before <= after
    assert list(dict.fromkeys(one.path for one in joined)) == list(dict.fromkeys(one.path for one in items))


def test_a_path_that_may_not_be_shown_is_in_no_list() -> None:
    def allows(path: str) -> bool:
        return path not in {CART, "docs/secret.md"}

    pack = assembly.assemble(
        request(
            5_000,
            parts=[part(CART, 1, 10), part(MONEY, 1, 10)],
            files=list(FILES),
            see_also=["docs/secret.md", "docs/open.md"],
            allows=allows,
        )
    )
    assert {one.path for one in pack.chosen} == {MONEY}
    assert pack.ranked == (MONEY, PAGE)
    assert pack.also == (PAGE, "docs/open.md")
    assert "cart" not in pack.text
    assert "secret" not in pack.text


def test_further_paths_are_those_that_are_not_in_the_pack_the_likeliest_first() -> None:
    pack = assembly.assemble(
        request(5_000, parts=[part(MONEY, 1, 5)], files=[PAGE, MONEY, CART], see_also=[CART, "x.md"])
    )
    assert pack.also == (PAGE, CART, "x.md")


def test_further_paths_have_the_name_of_their_best_definition() -> None:
    big = part(CART, 1, 300, "Cart.total", score=5.0)
    pack = assembly.assemble(request(300, parts=[part(MONEY, 1, 3), big]))
    assert pack.names == {CART: "total"}
    assert "cart.py (total)" in pack.text


def test_the_best_parts_that_did_not_fit_are_named_a_few_only() -> None:
    parts = [part(CART, 1 + at * 20, 18 + at * 20) for at in range(14)]
    pack = assembly.assemble(request(500, parts=parts))
    assert pack.chosen
    assert 0 < len(pack.left_out) <= 3


def test_lists_are_cut_before_items_are() -> None:
    paths = [f"some/long/folder/name/file_{at}.py" for at in range(60)]
    pack = assembly.assemble(request(600, [assembly.KeyOffer((item(CART, 1, 30),))], files=paths))
    assert lines(pack) == [(CART, number) for number in range(1, 31)]
    assert 0 < len(pack.also) < 60


def test_withheld_paths_outlast_the_other_lists() -> None:
    paths = [f"some/folder/file_{at}.py" for at in range(60)]
    pack = assembly.assemble(request(300, files=paths, withheld=[f"secret/{at}.py" for at in range(20)]))
    assert len(pack.withheld) == 20


def test_keys_that_stand_for_nothing_and_tasks_are_passed_on() -> None:
    pack = assembly.assemble(request(unresolved=[packs.Unresolved("symbol:Crat", "symbol:Cart")], tasks=["design"]))
    assert pack.unresolved == (packs.Unresolved("symbol:Crat", "symbol:Cart"),)
    assert pack.tasks == ("design",)


def test_what_the_named_files_have_whole_is_the_same_whatever_fits() -> None:
    asked = [dataclasses.replace(request(budget, parts=[part(CART, 1, 300)]), whole=1_234) for budget in (200, 9_000)]
    assert [assembly.assemble(one).whole for one in asked] == [1_234, 1_234]


@pytest.mark.parametrize("room", [0, 30, 59, 80, 200, 10_000])
def test_a_text_is_cut_into_a_head_that_fits_and_its_rest(room: int) -> None:
    whole = item(CART, 11, 60)
    head, rest = assembly.cut(whole, room)
    if head is None:
        assert rest == whole
        return
    assert (head.first, rest.last, rest.first) == (11, 60, head.last + 1)
    assert "\n".join(filter(None, (head.text, rest.text))) == whole.text
    assert part_choice.cost(head.path, head.text) <= room + 4


def test_a_text_without_lines_keeps_its_key_when_it_is_cut() -> None:
    tree = packs.Item(
        "structure:shop", "structure:shop", "\n".join(f"file_{at}.py" for at in range(200)), 0, "structure"
    )
    head, rest = assembly.cut(tree, 200)
    assert head is not None
    assert head.key == rest.key == "structure:shop"
    assert head.first == rest.first == 0
    assert f"{head.text}\n{rest.text}" == tree.text


@given(_OFFERS, st.lists(_SPANS, max_size=8).map(apart), st.integers(100, 4_000))
def test_every_line_that_was_asked_for_is_given_or_listed_as_left_out(
    offers: list[assembly.KeyOffer], parts: list[ranking.FilePart], budget: int
) -> None:
    pack = assembly.assemble(request(budget, offers, parts))
    there = set(lines(pack)) | {
        (path, number)
        for path, _, span in (
            entry.key.removeprefix("file:").partition("#L") for entry in pack.left_out if "#L" in entry.key
        )
        for number in range(int(span.split("-")[0]), int(span.split("-")[1]) + 1)
    }
    wanted = {
        (piece.path, number)
        for offer in offers
        for piece in offer.pieces
        for number in range(piece.first, piece.last + 1)
    }
    assert pack.surplus or wanted <= there


@given(_SPANS.map(lambda span: item(*span)), st.integers(0, 2_000))
def test_the_head_of_a_text_that_is_cut_fits_and_nothing_of_it_is_lost(whole: packs.Item, room: int) -> None:
    head, rest = assembly.cut(whole, room)
    if head is None:
        assert rest == whole
    else:
        assert part_choice.cost(head.path, head.text) <= room
        assert f"{head.text}\n{rest.text}" == whole.text or (head.text, rest.text) == (whole.text, "")


def test_what_was_not_even_offered_is_listed_and_what_finds_no_place_in_the_list_is_counted() -> None:
    missing = tuple(packs.LeftOut(f"file:some/long/path/of/a/file/number{at}.py", 90) for at in range(200))
    pack = assembly.assemble(request(1_000, [assembly.KeyOffer((item(CART, 1, 5),), left_out=missing)]))
    assert pack.left_out[0] == missing[0]
    assert len(pack.left_out) + pack.surplus == 200
    assert f", {pack.surplus} more" in pack.text


@pytest.mark.parametrize(
    ("files", "others"),
    [((MONEY, CART, PAGE), [1, 21, 41]), ((MONEY, PAGE), [1, 21, 41, 61, 81])],
    ids=["where the words point as well", "elsewhere"],
)
def test_beside_a_file_that_was_asked_for_a_pack_holds_what_is_worth_its_tokens(
    files: Sequence[str], others: list[int]
) -> None:
    windows = [part(MONEY, first, first + 19) for first in range(1, 101, 20)]
    pack = assembly.assemble(request(4_000, [assembly.KeyOffer((item(CART, 1, 20),))], windows, files))
    money = [number for path, number in lines(pack) if path == MONEY]
    assert money == [number for first in others for number in range(first, first + 20)]
    assert PAGE in pack.also, "what is not worth its tokens is named"


def test_without_a_file_that_was_asked_for_a_pack_goes_on_to_the_last_likely_part() -> None:
    windows = [part(MONEY, first, first + 19) for first in range(1, 101, 20)]
    assert len(lines(assembly.assemble(request(4_000, parts=windows)))) == 100


@pytest.mark.parametrize(("strangers", "is_full"), [((), True), (("rocket", "orbit"), False)])
def test_what_likely_parts_leave_is_given_to_others_unless_little_here_matches(
    strangers: Sequence[str], *, is_full: bool
) -> None:
    windows = [part(MONEY, first, first + 4) for first in range(1, 200, 5)]
    pack = assembly.assemble(request(20_000, parts=windows, strangers=strangers))
    assert (len(lines(pack)) == 200) == is_full


def test_of_a_changelog_a_pack_holds_what_is_new_and_one_of_the_old_entries() -> None:
    def entries(_path: str, first: int, last: int) -> str:
        return "\n".join(f"- entry {number}" for number in range(first, last + 1))

    parts = [part(CART, first, first + 9)._replace(path="CHANGES.md") for first in (201, 1, 31, 101, 151)]
    parts = [one._replace(name=f"Version {300 - one.first}") for one in parts]
    parts.append(part(CART, 61, 120)._replace(path="CHANGES.md", name="Version 299"))
    pack = assembly.assemble(request(parts=parts, read=entries))
    assert sorted(one.first for one in pack.chosen) == [1, 31, 61, 201]


def test_rules_are_not_given_again_as_what_the_task_may_change() -> None:
    rules = packs.Item(f"rules:{CART}", CART, "Be brief.", 0, "rules")
    parts = [part(CART, 1, 20), part(MONEY, 1, 20)]
    pack = assembly.assemble(request(offers=[assembly.KeyOffer((rules,))], parts=parts))
    assert [(one.path, one.why) for one in pack.chosen] == [(CART, "rules"), (MONEY, "scored")]
