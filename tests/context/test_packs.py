"""A pack as text and as JSON."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import packs

_WORDS = st.text("abcxyz_/.", min_size=1, max_size=8)


def item(path: str, text: str = "text", first: int = 1, why: packs.Why = "scored", name: str = "") -> packs.Item:
    last = first + text.count("\n") if first else 0
    return packs.Item(f"file:{path}#L{first}-{last}", path, text, 7, why, first, last, name)


def test_an_empty_pack_says_that_nothing_matches() -> None:
    assert packs.Pack(1_000).text == packs.NOTHING


def test_pieces_of_a_file_stand_under_its_path_by_their_lines() -> None:
    pack = packs.Pack(1_000, (item("b.py", "late", 40), item("a.py", "other"), item("b.py", "early", 3)))
    assert pack.text == "== b.py\n-- 3-3\nearly\n-- 40-40\nlate\n\n== a.py\n-- 1-1\nother"


def test_rules_come_first_and_have_no_lines() -> None:
    pack = packs.Pack(1_000, (item("a.py", "code"), item("AGENTS.md", "Be brief.", 0, "rules")))
    assert pack.text == "== AGENTS.md\nBe brief.\n\n== a.py\n-- 1-1\ncode"


def test_files_come_in_the_order_in_which_their_first_piece_was_chosen() -> None:
    pack = packs.Pack(1_000, tuple(item(path) for path in ("c.py", "a.py", "b.py", "a.py")))
    assert list(dict.fromkeys(one.path for one in pack.items)) == ["c.py", "a.py", "b.py"]


@given(st.lists(st.tuples(_WORDS, st.integers(1, 90), st.sampled_from(["scored", "rules", "asked"])), max_size=9))
def test_reading_order_is_a_permutation_in_which_no_file_stands_twice(
    pieces: list[tuple[str, int, packs.Why]],
) -> None:
    chosen = tuple(item(path, "x", first, why) for path, first, why in pieces if why != "rules") + tuple(
        item(f"rules/{path}", "x", 0, why) for path, _, why in pieces if why == "rules"
    )
    order = packs.Pack(1_000, chosen).items
    assert sorted(map(repr, order)) == sorted(map(repr, chosen))
    paths = [one.path for one in order]
    assert len([path for at, path in enumerate(paths) if at == 0 or paths[at - 1] != path]) == len(set(paths))


def test_below_the_items_stands_what_else_there_is() -> None:
    pack = packs.Pack(
        1_000,
        left_out=(packs.LeftOut("file:a.py#L9-20", 120), packs.LeftOut("file:b.py#L1-2", 30)),
        also=("src/a.py", "README.md", "src/b.py"),
        withheld=("db/schema.sql",),
        unresolved=(
            packs.Unresolved("symbol:Crat", "symbol:Cart"),
            packs.Unresolved("file:.env", why="'.env' may hold secrets."),
            packs.Unresolved("rag:zebra"),
        ),
        names={"src/b.py": "total"},
    )
    assert pack.text.split("\n") == [
        "also likely: src/: a.py, b.py (total); README.md",
        "left out: file:a.py#L9-20 (~120), file:b.py#L1-2 (~30)",
        "withheld: db/schema.sql",
        "not found: symbol:Crat; did you mean symbol:Cart?",
        "not given: file:.env ('.env' may hold secrets.)",
        "not found: rag:zebra",
    ]


def test_the_data_of_a_pack_is_its_text_from_where_it_came() -> None:
    data = packs.Pack(1_000, (item("a.py"),)).data("workspace")
    assert "== a.py" in repr(data)
    assert "workspace" in repr(data)


def test_as_json_a_pack_has_everything_but_the_texts() -> None:
    pack = packs.Pack(
        2_000,
        (item("a.py", "one\ntwo", name="load"), item("b.py", why="asked")),
        (packs.LeftOut("file:c.py#L1-9", 90),),
        ("d.py",),
        ("e.py",),
        (packs.Unresolved("symbol:X", "symbol:Y", "why"),),
        ("a.py",),
        ("design",),
        4_321,
    )
    assert json.loads(json.dumps(pack.wire())) == {
        "tokens": pack.tokens,
        "budget": 2_000,
        "items": [
            {"key": "file:a.py#L1-2", "tokens": 7, "why": "scored", "name": "load"},
            {"key": "file:b.py#L1-1", "tokens": 7, "why": "asked"},
        ],
        "left_out": [{"key": "file:c.py#L1-9", "tokens": 90}],
        "also": ["d.py"],
        "withheld": ["e.py"],
        "unresolved": [{"key": "symbol:X", "nearest": "symbol:Y", "why": "why"}],
        "tasks": ["design"],
        "named_files": 4_321,
    }


def test_tokens_are_those_of_the_whole_text() -> None:
    one = packs.Pack(1_000, (item("a.py", "alpha beta"),))
    more = packs.Pack(1_000, (item("a.py", "alpha beta"),), also=("src/gamma.py",))
    assert 0 < one.tokens < more.tokens


def test_what_guides_the_work_stands_before_the_files_and_is_no_part_of_the_data() -> None:
    texts: list[tuple[str, packs.Why]] = [
        ("src/cart.py", "asked"),
        ("continuity notes", "notes"),
        ("AGENTS.md", "rules"),
        ("shops/totals.md", "knowledge"),
        ("src/money.py", "scored"),
    ]
    chosen = tuple(packs.Item(f"file:{path}", path, f"text of {path}", 5, why) for path, why in texts)
    pack = packs.Pack(1_000, chosen)
    names = ["shops/totals.md", "AGENTS.md", "continuity notes", "src/cart.py", "src/money.py"]
    assert [item.path for item in pack.items] == names
    assert [item.path for item in pack.of("rules", "knowledge")] == ["shops/totals.md", "AGENTS.md"]
    assert [path for path, _ in texts if f"text of {path}" in pack.data().text] == ["src/cart.py", "src/money.py"]
    assert all(f"text of {path}" in pack.text for path, _ in texts)


def test_how_much_more_was_left_out_than_is_listed_is_said() -> None:
    pack = packs.Pack(1_000, left_out=(packs.LeftOut("file:a.py", 90),), surplus=7)
    assert pack.text == "left out: file:a.py (~90), 7 more"
