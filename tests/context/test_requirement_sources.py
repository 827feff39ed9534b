"""What the keys of a task stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import temp_repository
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.context import (
    context_query,
    file_index,
    index_search,
    packs,
    requirement_sources,
    requirements,
    search_scope,
)
from dispatch_mcp.context.documents import file_shares

LONG_CLASS = "class Ledger:\n    size = 3\n\n" + "\n\n".join(
    f"    def entry_{at}(self):\n" + f"        step({at})\n" * 12 for at in range(20)
)
CART_CODE = "class Cart:\n    def total(self):\n        return 1\n\n    class Line:\n        def total(self): ...\n"
MONEY_CODE = "def rounded(amount):\n    return round(amount)\n\n\ndef total(amounts):\n    return sum(amounts)\n"
FILES = {
    "shop/cart.py": CART_CODE,
    "shop/money.py": MONEY_CODE,
    "shop/ledger.py": LONG_CLASS,
    "examples/demo.py": "def total():\n    return 'demo'\n",
    "tests/test_money.py": "from shop import money\n\n\ndef test_rounded_amounts():\n    assert money.rounded(1.2)\n",
    "docs/money.md": "# Money\n\nAmounts are rounded to cents.\n",
    "db/schema.sql": "CREATE TABLE ledger (id int);\n",
    "AGENTS.md": "Be brief.\n",
    "empty.py": "",
}

Resolve = Callable[..., requirement_sources.Resolved]


@pytest.fixture
def resolve(tmp_path: Path) -> Iterator[Resolve]:
    """Returns what resolves keys in a small shop, within a scope and with sources if there are any."""
    root = tmp_path / "work"
    for path, text in FILES.items():
        temp_repository.write(root, path, text)
    with file_index.FileIndex(tmp_path / "state", root) as index:
        index.refresh()

        def resolved(
            *keys: str,
            scope: search_scope.SearchScope = search_scope.EVERYTHING,
            sources: requirement_sources.Sources = requirement_sources.NO_SOURCES,
            interest: file_shares.Interest = file_shares.NO_INTEREST,
        ) -> requirement_sources.Resolved:
            search = index_search.Search(index)
            return requirement_sources.Resolver(index, search, scope, sources, interest).resolve(keys)

        yield resolved


def pieces(found: requirement_sources.Resolved) -> list[packs.Item]:
    return [piece for offer in found.offers for piece in offer.pieces]


def spans(found: requirement_sources.Resolved) -> list[tuple[str, int, int]]:
    return [(piece.path, piece.first, piece.last) for piece in pieces(found)]


def test_keys_are_resolved_in_their_order(resolve: Resolve) -> None:
    found = resolve("file:shop/money.py#L1-2", "symbol:Cart", "file:docs/money.md")
    assert [offer.pieces[0].path for offer in found.offers] == ["shop/money.py", "shop/cart.py", "docs/money.md"]


def test_a_file_is_given_whole_and_lines_as_far_as_it_has_them(resolve: Resolve) -> None:
    assert spans(resolve("file:shop/money.py")) == [("shop/money.py", 1, 6)]
    assert spans(resolve("file:shop/money.py#L5-900")) == [("shop/money.py", 5, 6)]
    assert pieces(resolve("file:shop/money.py#L2"))[0].text == "    return round(amount)"


def test_an_empty_file_is_one_empty_line(resolve: Resolve) -> None:
    assert pieces(resolve("file:empty.py"))[0].text == ""


def test_lines_behind_the_end_are_not_there_and_the_file_is_offered(resolve: Resolve) -> None:
    found = resolve("file:shop/money.py#L7-9")
    assert found.unresolved == [packs.Unresolved("file:shop/money.py#L7-9", "file:shop/money.py", "it has 6 lines")]


def test_a_folder_named_as_a_file_is_given_as_a_tree(resolve: Resolve) -> None:
    for key in ("file:shop", "file:shop/", "structure:shop", "structure:/shop/"):
        (piece,) = pieces(resolve(key))
        assert piece.text == "cart.py\nledger.py\nmoney.py"
        assert piece.why == "structure"


def test_a_definition_of_a_file_is_given_with_everything_inside_it(resolve: Resolve) -> None:
    assert spans(resolve("file:shop/cart.py#Cart")) == [("shop/cart.py", 1, 6)]
    assert spans(resolve("file:shop/cart.py#Line")) == [("shop/cart.py", 5, 6)]


def test_a_long_class_is_given_in_pieces_its_head_first(resolve: Resolve) -> None:
    found = pieces(resolve("symbol:Ledger"))
    assert found[0].name == "Ledger"
    assert found[0].text.startswith("class Ledger:\n    size = 3")
    assert [piece.name for piece in found[1:3]] == ["Ledger.entry_0", "Ledger.entry_1"]


def test_source_comes_before_examples_and_tests_for_one_name(resolve: Resolve) -> None:
    assert [path for path, *_ in spans(resolve("symbol:total"))] == ["shop/money.py", "examples/demo.py"]


@pytest.mark.parametrize("key", ["symbol:Cart.total", "symbol:Cart::total", "symbol:Cart#total", "symbol:cart.TOTAL"])
def test_a_method_is_named_as_any_language_names_it(resolve: Resolve, key: str) -> None:
    assert spans(resolve(key)) == [("shop/cart.py", 2, 3)]


def test_a_pattern_brings_the_best_definition_and_its_test(resolve: Resolve) -> None:
    found = pieces(resolve("pattern:rounded amount"))
    assert [(piece.path, piece.why) for piece in found] == [
        ("shop/money.py", "asked"),
        ("tests/test_money.py", "example"),
    ]


def test_a_question_about_documents_looks_in_documents_and_tests(resolve: Resolve) -> None:
    assert "docs/money.md" in {path for path, *_ in spans(resolve("rag:docs: rounded cents"))}
    assert {path for path, *_ in spans(resolve("rag:rounded"))} == {"shop/money.py"}


def test_a_question_a_pattern_and_a_folder_get_a_part_of_the_budget_and_a_file_all_of_it(resolve: Resolve) -> None:
    shares = [offer.share for offer in resolve("rag:total", "pattern:total", "structure:", "file:empty.py").offers]
    assert shares == [0.3, 0.3, 0.3, 1.0]


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("symbol:Legder", "symbol:ledger"),
        ("symbol:rounde", "symbol:rounded"),
        ("file:shop/mony.py", "file:shop/money.py"),
        ("file:money.py", "file:shop/money.py"),
        ("file:shop/cart.py#totals", "file:shop/cart.py#Cart.total"),
        ("structure:shopp", "structure:shop"),
        ("rules:agent.md", "rules:AGENTS.md"),
        ("file:nothing/*.zig", ""),
        ("file:shop/marry.py", ""),
    ],
)
def test_what_was_probably_meant_is_offered(resolve: Resolve, key: str, nearest: str) -> None:
    found = resolve(key)
    assert not found.offers
    assert [(one.key, one.nearest) for one in found.unresolved] == [(key, nearest)]


def test_a_file_that_the_task_may_have_to_make_is_no_misspelt_name_of_another_one(resolve: Resolve) -> None:
    def nearest(key: str, *new: str) -> list[str]:
        sources = requirement_sources.Sources(new=frozenset(new))
        return [miss.nearest for miss in resolve(key, sources=sources).unresolved]

    assert nearest("file:shop/moneys.py") == ["file:shop/money.py"]
    assert nearest("file:shop/moneys.py", "file:shop/moneys.py") == [""]
    assert nearest("file:docs/money.rst", "file:docs/money.rst") == ["file:docs/money.md"]
    assert nearest("file:shop/moneys.py", "file:shop/other.py") == ["file:shop/money.py"]


@pytest.mark.promise("S4")
@pytest.mark.parametrize("key", ["file:.env", "file:../outside.txt", "file:/etc/passwd", "file:.git/config"])
def test_a_refused_path_says_why_and_brings_nothing(resolve: Resolve, key: str) -> None:
    found = resolve(key)
    assert not found.offers
    assert found.unresolved[0].why


def test_suggestions_name_nothing_that_the_agent_does_not_receive(resolve: Resolve) -> None:
    scope = search_scope.SearchScope(excludes=("database",))
    for key in ("file:db/schem.sql", "symbol:ledgr", "structure:dbs"):
        assert "schema" not in repr(resolve(key, scope=scope))
    assert resolve("structure:db", scope=scope).unresolved
    assert [piece.text for piece in pieces(resolve("structure:", scope=scope)) if "schema" in piece.text] == []


def test_a_path_that_is_named_outright_wins_over_the_scope_and_a_glob_does_not(resolve: Resolve) -> None:
    scope = search_scope.SearchScope(excludes=("database",))
    assert spans(resolve("file:db/schema.sql", scope=scope)) == [("db/schema.sql", 1, 1)]
    assert resolve("file:db/*.sql", scope=scope).unresolved == [packs.Unresolved("file:db/*.sql")]
    assert resolve("file:db/schema.sql", scope=scope).explicit_paths == {"db/schema.sql"}


def test_rules_of_a_name_are_found_in_any_case_and_empty_notes_are_none(resolve: Resolve) -> None:
    sources = requirement_sources.Sources(knowledge={"style": "Use nouns."}, notes="   ")
    assert [piece.path for piece in pieces(resolve("rules:", sources=sources))] == ["style", "AGENTS.md"]
    assert [piece.path for piece in pieces(resolve("rules:STYLE", sources=sources))] == ["style"]


def test_handoffs_that_are_known_are_given_and_others_are_asked_for(resolve: Resolve) -> None:
    sources = requirement_sources.Sources(handoffs={"design": "Use cursors."})
    found = resolve("task:design", "task:build", sources=sources)
    assert [piece.text for piece in pieces(found)] == ["Use cursors."]
    assert found.tasks == ["build"]


def test_the_same_key_counts_once_and_keys_without_words_not_at_all(resolve: Resolve) -> None:
    assert len(resolve("symbol:Cart", "symbol:Cart", "", "  ").offers) == 1


_PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=6).map("/".join), min_size=1, unique=True
)


@given(_PATHS)
def test_a_tree_of_few_files_lists_each_of_them(paths: list[str]) -> None:
    assert requirement_sources.tree([f"top/{path}" for path in paths], "top") == sorted(paths)


def test_a_tree_of_many_files_counts_those_of_deep_folders() -> None:
    paths = [f"a/{folder}/deep/er/most/f{at}.py" for folder in range(30) for at in range(20)] + ["a/readme.md"]
    lines = requirement_sources.tree(paths, "")
    assert len(lines) <= 400
    assert "a/0/deep/er/ (20 files)" in lines
    assert "a/readme.md" in lines


def test_a_tree_never_has_more_lines_than_it_may() -> None:
    assert len(requirement_sources.tree([f"f{at}.py" for at in range(5_000)], "")) == 400


@given(
    st.lists(st.sampled_from(["Cart", "Cart.total", "cart.total", "shop.Cart", "total", "Other.total"]), unique=True)
)
def test_a_symbol_is_answered_exactly_or_by_its_end_and_only_then_in_any_case(names: list[str]) -> None:
    answers = requirements.answering("total", names)
    if "total" in names:
        assert answers == ["total"]
    else:
        assert answers == [name for name in names if name.endswith(".total")]


@given(st.text("abc/._", min_size=1, max_size=12), st.lists(st.text("abc/._", min_size=1, max_size=12), max_size=8))
def test_the_nearest_name_is_one_of_those_that_are_there(name: str, names: list[str]) -> None:
    assert requirements.nearest(name, names) in {"", *names}
    assert requirements.nearest(name.upper(), [*names, name]).lower() == name.lower()


def words(text: str, budget: int = 5_000) -> file_shares.Interest:
    return file_shares.Interest(context_query.read(text), budget=budget)


def test_files_that_the_words_of_a_task_name_come_behind_its_keys(resolve: Resolve) -> None:
    interest = words("As docs/money.md says, mend shop/money.py and `shop/cart.py`")
    found = resolve("file:shop/cart.py", interest=interest)
    assert [piece.path for piece in pieces(found)] == ["shop/cart.py", "docs/money.md", "shop/money.py"]
    assert found.explicit_paths == {"shop/cart.py", "docs/money.md", "shop/money.py"}


def test_files_that_inputs_name_are_given_too(resolve: Resolve, tmp_path: Path) -> None:
    sources = requirement_sources.Sources(texts=("shop/money.py", f"{tmp_path / 'work'}/db/schema.sql", "zebra"))
    assert [piece.path for piece in pieces(resolve(sources=sources))] == ["shop/money.py", "db/schema.sql"]


def test_a_full_path_means_the_file_below_the_workspace(resolve: Resolve, tmp_path: Path) -> None:
    found = resolve(f"file:{tmp_path / 'work'}/shop/money.py#L5-6", f"structure:{tmp_path / 'work'}/shop")
    assert pieces(found)[0].key == "file:shop/money.py#L5-6"
    assert pieces(found)[1].path == "structure:shop"
    assert resolve(f"file:{tmp_path}/outside.txt").unresolved[0].key == f"file:{tmp_path}/outside.txt"


def test_a_file_that_is_asked_for_twice_is_given_once(resolve: Resolve) -> None:
    found = resolve("file:shop/money.py", "shop/money.py", interest=words("Mend shop/money.py:5"))
    assert spans(found) == [("shop/money.py", 1, 6)]


def test_of_a_long_file_the_definition_that_is_named_comes_first(resolve: Resolve) -> None:
    found = resolve("file:shop/ledger.py", interest=words("Let entry_13 round its steps", budget=700))
    outline, best = pieces(found)[:2]
    assert (outline.why, outline.path) == ("structure", "shop/ledger.py")
    assert "entry_13" in best.text
    assert [entry.key for offer in found.offers for entry in offer.left_out] == ["file:shop/ledger.py"]


def test_a_file_that_is_not_there_brings_the_same_document_under_its_other_name(resolve: Resolve) -> None:
    found = resolve("file:docs/money.rst", interest=words("Extend docs/money.rst"))
    assert found.unresolved == [packs.Unresolved("file:docs/money.rst", "file:docs/money.md", is_given=True)]
    assert [piece.path for piece in pieces(found)] == ["docs/money.md"]


@pytest.mark.parametrize("name", ["shop/moneys.py", "node.js", "docs/new.md", "e.g.", "money"])
def test_a_word_that_names_no_file_brings_nothing_and_is_no_miss(resolve: Resolve, name: str) -> None:
    found = resolve(interest=words(f"Write {name} for me"))
    assert (pieces(found), found.unresolved) == ([], [])


def test_what_holds_no_text_is_named_and_not_given(resolve: Resolve, tmp_path: Path) -> None:
    (tmp_path / "work/logo.png").write_bytes(b"\x89PNG\0\0")
    found = resolve("file:logo.png", interest=words("Look at logo.png"))
    assert found.unresolved == [packs.Unresolved("file:logo.png", "", "holds no text")]


def test_rules_of_folders_at_hand_follow_those_of_the_root(resolve: Resolve, tmp_path: Path) -> None:
    temp_repository.write(tmp_path / "work", "shop/AGENTS.md", "Sell.\n")
    temp_repository.write(tmp_path / "work", "db/AGENTS.md", "Store.\n")
    found = resolve("rules:", interest=words("Mend shop/money.py"))
    assert [piece.path for piece in pieces(found)] == ["AGENTS.md", "shop/AGENTS.md", "shop/money.py"]


def test_rules_that_are_too_long_are_cut_to_what_matters_and_the_rest_is_named(
    resolve: Resolve, tmp_path: Path
) -> None:
    long = "\n".join(f"## {name}\n\n" + "Be careful with it.\n" * 200 for name in ("Money", "Ships", "Shoes"))
    temp_repository.write(tmp_path / "work", "CLAUDE.md", long)
    found = resolve("rules:", interest=words("Round the money", budget=4_000))
    assert [(piece.path, piece.text == "Be brief.") for piece in pieces(found)] == [
        ("AGENTS.md", True),
        ("CLAUDE.md", False),
    ]
    assert "## Money" in pieces(found)[1].text
    assert "## Ships" not in pieces(found)[1].text
    assert [entry.key for offer in found.offers for entry in offer.left_out] == ["file:CLAUDE.md"]


def test_a_glob_brings_the_likeliest_of_its_files_and_lists_the_others(resolve: Resolve, tmp_path: Path) -> None:
    likely = ["docs/money.md", "shop/ledger.py", "shop/cart.py"]
    interest = file_shares.Interest(context_query.read("Let entry_13 round its steps"), {}, 1_600, likely)
    found = resolve("file:shop/*.py", interest=interest)
    assert {path for path, *_ in spans(found)} == {"shop/ledger.py"}
    assert any("entry_13" in piece.text for piece in pieces(found))
    listed = [entry.key for offer in found.offers for entry in offer.left_out]
    assert listed == ["file:shop/ledger.py", "file:shop/cart.py", "file:shop/money.py"]


def test_few_files_of_a_glob_in_the_words_of_a_task_are_given(resolve: Resolve) -> None:
    found = resolve(interest=words("Round all of shop/m*.py"))
    assert [path for path, *_ in spans(found)] == ["shop/money.py"]


def test_a_file_that_is_named_has_its_room_before_those_of_a_glob(resolve: Resolve) -> None:
    found = resolve("file:shop/*.py", "file:shop/money.py", interest=words("Let entry_13 round", budget=300))
    assert ("shop/money.py", 1, 6) in spans(found)


def test_what_tasks_before_have_made_comes_as_far_as_the_scope_allows(resolve: Resolve) -> None:
    sources = requirement_sources.Sources(outputs=("shop/money.py", "docs/money.md", "gone.py", "../outside.txt"))
    scope = search_scope.SearchScope(excludes=("docs",))
    found = resolve(sources=sources, scope=scope)
    assert ([path for path, *_ in spans(found)], found.unresolved) == (["shop/money.py"], [])
    assert found.whole == 0


@pytest.mark.parametrize("key", ["money.md (the rules)", "See docs/money.md, please", "`docs/money.md`"])
def test_words_that_name_a_file_bring_it_and_are_not_searched_for(resolve: Resolve, key: str) -> None:
    assert [path for path, *_ in spans(resolve(key))] == ["docs/money.md"]


def test_the_bare_name_of_a_folder_means_the_folder(resolve: Resolve) -> None:
    assert [piece.key for piece in pieces(resolve("shop"))] == ["structure:shop"]


@pytest.mark.parametrize("key", ["file:C#/cart.cs", "C#/cart.cs"])
def test_a_number_sign_may_belong_to_the_name_of_a_file(resolve: Resolve, tmp_path: Path, key: str) -> None:
    temp_repository.write(tmp_path / "work", "C#/cart.cs", "class Cart {}\n")
    assert [piece.path for piece in pieces(resolve(key))] == ["C#/cart.cs"]
    temp_repository.write(tmp_path / "work", "shop/a#b.py", "B = 1\n")
    found = resolve(interest=words("Change shop/a#b.py and C#/cart.cs"))
    assert {piece.path for piece in pieces(found)} == {"shop/a#b.py", "C#/cart.cs"}


@pytest.mark.parametrize("path", ["work/shop/money.py", "{above}/work/shop/money.py", "{above}/work/new.lock"])
def test_a_path_as_seen_from_above_the_workspace_means_the_file_in_it(
    resolve: Resolve, tmp_path: Path, path: str
) -> None:
    temp_repository.write(tmp_path / "work", "new.lock", "x\n")
    path = path.format(above=tmp_path.name)
    for keys, text in (((path,), "Mend it"), ((), f"Mend {path} now")):
        found = resolve(*keys, interest=words(text))
        rest = path.partition("work/")[2]
        assert [piece.path for piece in pieces(found)] == [rest]
        assert [(entry.nearest, entry.is_given) for entry in found.unresolved] == [(f"file:{rest}", True)]
    assert resolve("elsewhere/shop/money.py").offers == []


def test_a_line_behind_a_name_says_what_of_a_long_file_matters(resolve: Resolve) -> None:
    for key in ("shop/ledger.py:80", "file:shop/ledger.py:80"):
        found = resolve(key, interest=words("Mend it", budget=700))
        assert any(piece.first <= 80 <= piece.last and piece.last > piece.first for piece in pieces(found))
    assert spans(resolve("shop/money.py:2")) == [("shop/money.py", 1, 6)]


def test_a_link_brings_the_file_that_it_leads_to_and_one_that_leads_away_nothing(
    resolve: Resolve, tmp_path: Path
) -> None:
    root = tmp_path / "work"
    (root / "money.py").symlink_to("shop/money.py")
    (root / "away.py").symlink_to("/etc/hostname")
    (root / "round.py").symlink_to("round.py")
    found = resolve("file:money.py", "file:away.py", interest=words("Mend round.py"))
    assert [path for path, *_ in spans(found)] == ["shop/money.py"]
    assert [(entry.key, entry.nearest, entry.is_given) for entry in found.unresolved] == [
        ("file:money.py", "file:shop/money.py", True),
        ("file:away.py", "", False),
        ("file:round.py", "", False),
    ]
    assert all(entry.why for entry in found.unresolved)


def test_of_a_file_too_large_for_the_index_what_is_named_is_given(resolve: Resolve, tmp_path: Path) -> None:
    functions = "".join(f"def step_{at}(order):\n    return order + {at}\n\n\n" for at in range(10_000))
    temp_repository.write(tmp_path / "work", "shop/checker.py", functions)
    found = resolve("file:shop/checker.py", interest=words("Let step_7031 round", budget=900))
    assert (tmp_path / "work/shop/checker.py").stat().st_size > 400_000
    assert any("def step_7031(" in piece.text for piece in pieces(found))
    assert [entry.key for offer in found.offers for entry in offer.left_out] == ["file:shop/checker.py"]


def test_what_is_there_and_cannot_be_given_is_likened_to_no_other_file(resolve: Resolve, tmp_path: Path) -> None:
    (tmp_path / "work/money.bin").write_bytes(b"\0\1")
    (entry,) = resolve("file:money.bin").unresolved
    assert (entry.nearest, entry.why) == ("", "holds no text")
