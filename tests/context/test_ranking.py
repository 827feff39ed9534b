"""What speaks for a file and for a part, and what that makes of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import chunks, context_query, ranking
from dispatch_mcp.text import languages

TASK = "Let the cart keep its discount. Sessions end after an hour."
PATHS = ("shop/cart.py", "shop/session.py", "shop/money.py", "web/page.ts")
IDS = itertools.count(1)


def part(
    path: str,
    text: str,
    score: float = 1.0,
    *,
    name: str = "",
    kind: chunks.Kind = "function",
    first: int = 1,
    phrases: int = 0,
) -> ranking.FilePart:
    stems = context_query.stems(text)
    return ranking.FilePart(next(IDS), path, kind, name, first, first + 9, 300, score, stems, phrases)


def evidence(
    parts: Sequence[ranking.FilePart],
    others: Sequence[ranking.FilePart] = (),
    *,
    votes: Mapping[str, float] | None = None,
    defined: Mapping[str, int] | None = None,
    near: Mapping[str, Sequence[str]] | None = None,
    named: Sequence[str] = (),
) -> ranking.FileEvidence:
    paths = {*(one.path for one in (*parts, *others)), *named, *(votes or {})}
    return ranking.FileEvidence(
        parts=parts,
        support=others,
        near=near or {},
        votes=votes or {},
        definitions=defined or {},
        paths=named,
        roles={path: languages.role(path) for path in paths},
    )


def alike(*paths: str) -> list[ranking.FilePart]:
    """Returns a part each that nothing tells apart but its path."""
    return [part(path, "one plain text") for path in paths]


def best(task: str, found: ranking.FileEvidence) -> str:
    return next(iter(ranking.files(context_query.read(task), found)))


_PARTS = st.builds(
    part,
    st.sampled_from(PATHS),
    st.sampled_from(["cart discount", "session hour", "money", "unrelated words", ""]),
    st.floats(0, 30),
    name=st.sampled_from(["", "Cart", "Cart.keep", "Session.end"]),
    kind=st.sampled_from(["function", "class", "module"]),
    first=st.integers(1, 400),
    phrases=st.integers(0, 5),
)


@given(st.lists(_PARTS, max_size=12))
def test_files_have_probabilities_that_add_up_to_one_and_come_best_first(parts: list[ranking.FilePart]) -> None:
    chances = ranking.files(context_query.read(TASK), evidence(parts))
    assert set(chances) == {one.path for one in parts}
    assert list(chances.values()) == sorted(chances.values(), reverse=True)
    assert not chances or math.isclose(sum(chances.values()), 1.0)


@given(st.lists(_PARTS, max_size=12))
def test_every_part_is_ranked_once_by_falling_score(parts: list[ranking.FilePart]) -> None:
    ranked = ranking.rank(context_query.read(TASK), evidence(parts))
    assert sorted(one.id for one, _ in ranked.parts) == sorted(one.id for one in parts)
    scores = [score for _, score in ranked.parts]
    assert scores == sorted(scores, reverse=True)


@given(st.lists(_PARTS, min_size=1, max_size=10, unique_by=(lambda one: one.score, lambda one: one.first)))
def test_the_order_in_which_the_search_brings_parts_does_not_matter(parts: list[ranking.FilePart]) -> None:
    query = context_query.read(TASK)
    chances = ranking.files(query, evidence(parts))
    assert ranking.files(query, evidence(parts[::-1])) == pytest.approx(chances)


@given(st.lists(_PARTS, min_size=1, max_size=10))
def test_every_feature_is_a_number_near_its_range_and_has_a_weight(parts: list[ranking.FilePart]) -> None:
    query, found = context_query.read(TASK), evidence(parts)
    of_files = ranking.file_features(query, found)
    for features in of_files.values():
        assert features.keys() == ranking.FILE_WEIGHTS.keys()
        assert all(0 <= value <= 1.5 for value in features.values())
    chances = ranking.file_chances(of_files)
    for _, features in ranking.part_features(query, found, chances):
        assert features.keys() == ranking.PART_WEIGHTS.keys()
        assert all(-2.5 <= value <= 1.5 for value in features.values())


def test_nothing_is_ranked_where_nothing_was_found() -> None:
    ranked = ranking.rank(context_query.read(TASK), ranking.FileEvidence())
    assert ranked.files == {}
    assert ranked.parts == []


def test_files_that_nothing_tells_apart_come_by_path() -> None:
    found = evidence([], votes=dict.fromkeys(("b.py", "a.py", "c.py"), 0.5))
    assert list(ranking.files(context_query.read(TASK), found)) == ["a.py", "b.py", "c.py"]


def test_only_source_files_are_ranked_whatever_speaks_for_others() -> None:
    found = evidence(
        [part("shop/cart.py", "cart")],
        votes={"tests/test_cart.py": 1.0, "docs/cart.md": 1.0},
        named=["tests/test_cart.py"],
    )
    assert list(ranking.files(context_query.read(TASK), found)) == ["shop/cart.py"]


def test_a_file_whose_name_stands_in_the_task_comes_before_one_whose_name_does_not() -> None:
    assert best("Round the money", evidence(alike("shop/cart.py", "shop/money.py"))) == "shop/money.py"


def test_a_folder_that_stands_in_the_task_speaks_for_its_files() -> None:
    assert best("Show the web page", evidence(alike("shop/x.py", "web/x.py"))) == "web/x.py"


def test_a_better_text_score_comes_first() -> None:
    found = evidence([part("a/x.py", "cart", 3.0), part("b/x.py", "cart", 9.0)])
    assert best(TASK, found) == "b/x.py"


def test_a_file_that_defines_a_name_of_the_task_comes_before_one_that_uses_it() -> None:
    parts = alike("shop/x.py", "shop/y.py")
    assert best("Fix `keep_discount`", evidence(parts, defined={"shop/y.py": 1})) == "shop/y.py"


def test_past_commits_speak_for_what_they_touched() -> None:
    assert best(TASK, evidence(alike("shop/x.py", "shop/y.py"), votes={"shop/y.py": 1.0})) == "shop/y.py"


def test_a_file_that_only_past_commits_know_is_ranked_too() -> None:
    assert "shop/z.py" in ranking.files(context_query.read(TASK), evidence(alike("a.py"), votes={"shop/z.py": 0.4}))


def test_a_test_that_was_found_speaks_for_the_file_it_is_about() -> None:
    tests = [part("tests/test_y.py", "cart discount", 5.0)]
    assert best(TASK, evidence(alike("shop/x.py", "shop/y.py"), tests)) == "shop/y.py"


def test_a_test_that_was_found_speaks_for_what_it_imports() -> None:
    tests = [part("tests/test_all.py", "cart discount", 5.0)]
    near = {"tests/test_all.py": ["shop/y.py"]}
    query, parts = context_query.read(TASK), alike("shop/x.py", "shop/y.py")
    alone, imported = (ranking.files(query, evidence(parts, tests, near=links))["shop/y.py"] for links in ({}, near))
    assert imported > alone


def test_a_document_of_the_same_name_is_no_test() -> None:
    with_document = evidence(alike("shop/x.py", "shop/y.py"), [part("docs/y.md", "cart discount", 5.0, kind="text")])
    assert best(TASK, with_document) == "shop/x.py"


def test_a_neighbour_by_import_of_a_good_file_comes_before_a_stranger() -> None:
    parts = [part("core/x.py", "cart", 9.0), part("a/y.py", "one"), part("b/z.py", "one")]
    chances = ranking.files(context_query.read(TASK), evidence(parts, near={"b/z.py": ["core/x.py"]}))
    assert chances["b/z.py"] > chances["a/y.py"]


def test_a_file_beside_a_good_one_comes_before_one_elsewhere() -> None:
    parts = [part("core/x.py", "cart", 9.0), part("other/y.py", "one"), part("core/z.py", "one")]
    chances = ranking.files(context_query.read(TASK), evidence(parts))
    assert chances["core/z.py"] > chances["other/y.py"]


def test_declarations_of_types_come_behind_the_code() -> None:
    found = evidence(alike("web/cart.d.ts", "web/basket.ts"))
    assert best("Show it", found) == "web/basket.ts"


def test_the_rarer_word_decides_between_two_files() -> None:
    parts = [part("a/x.py", "session"), part("a/y.py", "discount")]
    rare = replace(evidence(parts), rarity={"session": 0.2, "discount": 7.0, "sessions": 0.2})
    assert best("Discount of a session", rare) == "a/y.py"


def test_words_that_stand_together_in_a_part_speak_for_it() -> None:
    query = context_query.read("Cart discount")
    parts = [part("a/x.py", "cart discount", first=20), part("a/x.py", "cart discount", first=50, phrases=1)]
    assert ranking.rank(query, evidence(parts)).parts[0][0].first == 50


def test_a_definition_that_the_task_names_comes_before_its_neighbours() -> None:
    parts = [
        part("a/x.py", "one", name=name, first=at)
        for at, name in ((10, "Cart.load"), (30, "Cart.keep"), (50, "Cart.end"))
    ]
    ranked = ranking.rank(context_query.read("Let `keep` work"), evidence(parts))
    assert ranked.parts[0][0].name == "Cart.keep"


def test_a_part_of_a_document_counts_as_what_the_best_of_its_headings_says() -> None:
    names = ["Overview / Use of dates", "Overview / Licence", "Licence"]
    parts = [
        part("README.md", "one plain text", name=name, kind="text", first=at * 10) for at, name in enumerate(names)
    ]
    rows = ranking.part_features(
        context_query.read("Explain the licence"), ranking.FileEvidence(beside_parts=parts), {"README.md": 1.0}
    )
    assert [features["name"] for _, features in rows] == [0.0, 1.0, 1.0]


def test_parts_of_the_likelier_file_come_first_when_they_are_alike() -> None:
    parts = alike("a/x.py", "a/y.py")
    ranked = ranking.rank(context_query.read(TASK), evidence(parts, votes={"a/y.py": 1.0}))
    assert [one.path for one, _ in ranked.parts] == ["a/y.py", "a/x.py"]


def test_a_part_beside_a_good_one_comes_before_one_far_away() -> None:
    parts = [
        part("a/x.py", "cart", score, name=f"f{at}", first=at * 20) for at, score in enumerate((0, 9, 0, 0, 0, 0, 0))
    ]
    ranked = [one.name for one, _ in ranking.rank(context_query.read(TASK), evidence(parts)).parts]
    assert ranked.index("f2") < ranked.index("f6")


@pytest.mark.parametrize(
    ("path", "name", "folders"),
    [
        ("src/web/user_cart.py", {"user", "cart"}, {"src", "web"}),
        ("HTTPClient.java", {"http", "client"}, set[str]()),
        (".eslintrc", {"eslintrc"}, set[str]()),
    ],
)
def test_a_path_is_read_as_the_words_of_its_name_and_of_its_folders(
    path: str, name: set[str], folders: set[str]
) -> None:
    stems = ranking.path_stems(path)
    assert stems[0] >= {context_query.stem(word) for word in name}
    assert stems[1] == {context_query.stem(word) for word in folders}


@given(st.dictionaries(st.sampled_from(sorted(ranking.FILE_WEIGHTS)), st.floats(-1, 1), max_size=6))
def test_a_score_is_linear_in_the_features(features: dict[str, float]) -> None:
    whole = {**dict.fromkeys(ranking.FILE_WEIGHTS, 0.0), **features}
    double = {name: 2 * value for name, value in whole.items()}
    score = ranking.linear(whole, ranking.FILE_WEIGHTS)
    assert math.isclose(ranking.linear(double, ranking.FILE_WEIGHTS), 2 * score, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("beside", "order"),
    [
        (0.3, ["a.py", "b.py", "c.py", "d.py", "e.py", "X.md", "Y.md", "Z.md"]),
        (0.4, ["a.py", "b.py", "c.py", "d.py", "X.md", "e.py", "Y.md", "Z.md"]),
        (0.6, ["a.py", "b.py", "X.md", "c.py", "Y.md", "d.py", "e.py", "Z.md"]),
        (0.7, ["a.py", "X.md", "Y.md", "b.py", "Z.md", "c.py", "d.py", "e.py"]),
        (0.85, ["X.md", "Y.md", "a.py", "Z.md", "b.py", "c.py", "d.py", "e.py"]),
        (0.95, ["X.md", "Y.md", "Z.md", "a.py", "b.py", "c.py", "d.py", "e.py"]),
    ],
)
def test_the_first_places_are_divided_by_how_probable_it_is_that_a_task_is_about_source(
    beside: float, order: list[str]
) -> None:
    source = {
        f"{name}.py": (1 - beside) * share for name, share in zip("abcde", (0.4, 0.3, 0.15, 0.1, 0.05), strict=True)
    }
    pages = {f"{name}.md": beside * share for name, share in zip("XYZ", (0.5, 0.3, 0.2), strict=True)}
    ranks = ranking.Ranking({**pages, **source}, ())
    assert ranks.order == order
    assert math.isclose(ranks.beside, beside)


@pytest.mark.parametrize(
    ("beside", "order"),
    [
        (0.4, "a.py b.py c.py test_a.py test_b.py test_c.py"),
        (0.6, "a.py b.py test_a.py c.py test_b.py test_c.py"),
        (0.95, "test_a.py a.py test_b.py b.py test_c.py c.py"),
    ],
)
def test_a_task_about_tests_is_shown_what_they_test_between_them(beside: float, order: str) -> None:
    source = {f"{name}.py": (1 - beside) * share for name, share in zip("abc", (0.5, 0.3, 0.2), strict=True)}
    tests = {f"test_{path}": chance * beside / (1 - beside) for path, chance in source.items()}
    assert " ".join(ranking.Ranking({**tests, **source}, ()).order) == order


@given(
    st.dictionaries(st.sampled_from(["a.py", "b.py", "README.md", "CHANGES.md", "ci.yml"]), st.floats(0.001, 9)),
    st.floats(0, 1),
    st.floats(0.01, 0.99),
)
def test_the_gate_moves_probability_between_kinds_and_keeps_the_order_within_each(
    scores: dict[str, float], past: float, prior: float
) -> None:
    rows = [part(path, "one plain text", score) for path, score in scores.items()]
    found = ranking.FileEvidence(
        parts=[row for row in rows if row.path.endswith(".py")],
        beside_parts=[row for row in rows if not row.path.endswith(".py")],
        past_source=past,
        kind_chances={"source": prior, "docs": 1 - prior},
        roles={row.path: languages.role(row.path) for row in rows},
    )
    query = context_query.read("Round the total")
    before = ranking.file_chances(ranking.file_features(query, found))
    chances = ranking.files(query, found)
    assert chances.keys() == before.keys()
    assert not chances or math.isclose(sum(chances.values()), 1.0)
    for suffixes in ((".py",), (".md", ".yml")):
        assert [path for path in chances if path.endswith(suffixes)] == [p for p in before if p.endswith(suffixes)]


def test_words_and_past_commits_that_speak_for_source_make_it_likelier() -> None:
    def share(past: float, prior: float) -> float:
        features = {"one": 1.0, "files": 0.0, "prior": prior, "past": past, "lead": 0.0, "best": 0.0, "named": 0.0}
        return ranking.source_chance(features)

    assert 0 < share(-1, -4) < share(-1, 4) < share(1, 4) < 1


def test_nothing_speaks_for_a_workspace_without_words_names_or_past_commits() -> None:
    assert not ranking.FileEvidence(kind_chances={"source": 0.9, "docs": 0.1}).speaks
    assert ranking.FileEvidence(kind_chances={"source": 0.1, "docs": 0.9}).speaks
    assert evidence(alike("shop/cart.py")).speaks
    assert evidence([], votes={"shop/cart.py": 1.0}, named=["shop/cart.py"]).speaks
