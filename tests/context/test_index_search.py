"""What the index brings for one task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import temp_repository

from dispatch_mcp.context import context_query, file_index, git_log, index_search, pack_gatherer, search_scope

FILES = {
    "shop/__init__.py": "from shop.cart import Cart\n",
    "shop/cart.py": (
        "from shop import money\n\n\nclass Cart:\n    def keep_discount(self, session):\n        return session\n\n"
        "    def total(self):\n        return money.rounded(1)\n"
    ),
    "shop/money.py": "def rounded(amount):\n    return round(amount, 2)\n",
    "shop/session.py": "def end_session(session):\n    session.discount = None\n",
    "web/basket.ts": "import { Money } from '../lib/money'\n\nexport function showBasket() {\n  return 1\n}\n",
    "lib/money.ts": "export class Money {\n  round() {\n    return 2\n  }\n}\n",
    "tests/test_cart.py": "from shop.cart import Cart\n\n\ndef test_discount_is_kept():\n    assert Cart()\n",
    "docs/cart.md": "# The cart\n\nThe discount ends with the session.\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        temp_repository.write(tmp_path / "work", path, text)
    return tmp_path / "work"


@pytest.fixture
def index(root: Path, tmp_path: Path) -> Iterator[file_index.FileIndex]:
    with file_index.FileIndex(tmp_path / "state", root) as opened:
        opened.refresh()
        yield opened


@pytest.fixture
def search(index: file_index.FileIndex) -> index_search.Search:
    return index_search.Search(index)


def ask(
    search: index_search.Search, text: str, votes: Mapping[str, float] | None = None
) -> index_search.ranking.FileEvidence:
    return search.evidence(context_query.read(text), index_search.Votes(votes or {}, {}, {}))


def test_source_is_a_candidate_and_tests_and_documents_are_evidence(search: index_search.Search) -> None:
    found = ask(search, "discount of the cart")
    assert {part.path for part in found.parts} >= {"shop/cart.py", "shop/session.py"}
    assert {part.path for part in found.support} == {"tests/test_cart.py", "docs/cart.md"}


def test_a_part_has_its_lines_and_the_stems_of_the_task_that_it_holds(search: index_search.Search) -> None:
    task = "keep discount of sessions and amounts"
    (part,) = (part for part in ask(search, task).parts if part.name == "Cart.keep_discount")
    assert (part.first, part.last) == (5, 6)
    assert part.stems == {context_query.stem(word) for word in ("keep", "discount", "session")}
    assert part.size == len(search.lines(part.path, part.first, part.last))
    assert part.phrases == 1


def test_words_are_found_inside_compound_names_and_in_other_forms(search: index_search.Search) -> None:
    assert "shop/session.py" in {part.path for part in ask(search, "ending sessions").parts}
    assert "web/basket.ts" in {part.path for part in ask(search, "baskets").parts}


def test_a_word_in_the_path_or_the_name_weighs_more_than_one_in_the_body(search: index_search.Search) -> None:
    scores = {part.path: part.score for part in ask(search, "session").parts}
    assert scores["shop/session.py"] > scores["shop/cart.py"] > 0


def test_a_task_without_words_finds_nothing(search: index_search.Search) -> None:
    for text in ("", "the of and", "?!", "\0"):
        found = ask(search, text)
        assert not found.parts
        assert not found.support


@pytest.mark.parametrize(
    "text", ['"quoted', "NEAR(a b)", "a* OR b", "shop AND NOT cart", "col:x", "(((", "--", "'; DROP"]
)
def test_no_task_is_taken_for_an_expression_of_the_search(search: index_search.Search, text: str) -> None:
    plain = " ".join(context_query.read(text).words)
    assert [part.path for part in ask(search, text).parts] == [part.path for part in ask(search, plain).parts]


def test_files_are_found_by_their_names_and_by_paths_in_the_task(search: index_search.Search) -> None:
    assert "shop/money.py" in ask(search, "money matters").paths
    assert "lib/money.ts" in ask(search, "Look at lib/money.ts please").paths


def test_definitions_that_the_task_names_are_counted_by_file(search: index_search.Search) -> None:
    assert ask(search, "Fix `Cart.total` and `rounded`").definitions == {"shop/cart.py": 1, "shop/money.py": 1}


def test_imports_make_neighbours_in_both_directions(search: index_search.Search) -> None:
    near = ask(search, "cart money discount").near
    assert "shop/money.py" in near["shop/cart.py"]
    assert "shop/cart.py" in near["shop/money.py"]
    assert "shop/cart.py" in near["tests/test_cart.py"]


def test_an_import_means_the_nearest_file_of_its_path_and_language_does_not_matter(search: index_search.Search) -> None:
    near = ask(search, "basket money").near
    assert near["web/basket.ts"] == ("lib/money.ts",)


def test_votes_count_only_for_files_that_are_there(search: index_search.Search) -> None:
    found = ask(search, "zebra", {"shop/money.py": 0.7, "shop/gone.py": 1.0})
    assert found.votes == {"shop/money.py": 0.7}
    assert "shop/money.py" in found.paths


def test_the_best_files_are_completed_with_all_their_parts(search: index_search.Search) -> None:
    query = context_query.read("keep discount")
    found = search.evidence(query)
    completed = search.complete(query, found, ["shop/cart.py", "shop/money.py"])
    names = {(part.path, part.name) for part in completed.parts}
    assert {("shop/cart.py", "Cart.total"), ("shop/money.py", "rounded")} <= names
    assert len({part.id for part in completed.parts}) == len(completed.parts)
    fresh = [part for part in completed.parts if part not in found.parts]
    assert all(part.score == 0.0 for part in fresh)


def test_only_the_first_files_are_completed(root: Path, index: file_index.FileIndex) -> None:
    for at in range(10):
        temp_repository.write(root, f"many/file_{at}.py", f"def lonely_{at}():\n    return {at}\n")
    index.refresh()
    search = index_search.Search(index)
    query = context_query.read("zebra")
    paths = [f"many/file_{at}.py" for at in range(10)]
    completed = search.complete(query, search.evidence(query), paths)
    assert {part.path for part in completed.parts} == set(paths[: index_search.FULL_FILES])


def test_lines_and_texts_are_those_of_the_file_now(
    root: Path, index: file_index.FileIndex, search: index_search.Search
) -> None:
    assert search.lines("shop/money.py", 1, 1) == "def rounded(amount):"
    assert search.lines("shop/money.py", 2, 9) == "    return round(amount, 2)\n"
    (root / "shop/money.py").write_text("def floored(amount): ...\n")
    index.refresh()
    ask(search, "money")
    assert search.text("shop/money.py") == "def floored(amount): ...\n"


def test_a_file_that_is_gone_since_the_last_refresh_has_no_text(root: Path, search: index_search.Search) -> None:
    (root / "shop/money.py").unlink()
    assert search.text("shop/money.py") == ""


def test_a_word_is_the_rarer_the_fewer_parts_hold_it(index: file_index.FileIndex) -> None:
    rows = index_search.word_rows(index.db, "code", ["shop", "basket", "zebra"])
    assert rows["shop"] > rows["basket"] > rows["zebra"] == 0
    rarity = index_search.rarity(index.db, rows)
    assert rarity[context_query.stem("basket")] > rarity[context_query.stem("shop")] > 0
    assert rarity[context_query.stem("zebra")] == 0.0


def test_a_word_that_very_many_parts_hold_adds_to_what_rarer_ones_bring_and_brings_nothing(tmp_path: Path) -> None:
    functions = {
        "a.py": [f"def f{at}(value):\n    return value\n" for at in range(context_query.ENOUGH)],
        "b.py": [f"def g{at}(other):\n    return other\n" for at in range(context_query.ENOUGH)],
        "c.py": [f"def h{at}(discount):\n    return discount\n" for at in range(context_query.LEAST)],
        "discount.py": ["def both(discount, value):\n    return discount\n"],
    }
    for path, texts in functions.items():
        temp_repository.write(tmp_path / "work", path, "\n\n".join(texts))
    with file_index.FileIndex(tmp_path / "state", tmp_path / "work") as index:
        index.refresh()
        parts = ask(index_search.Search(index), "discount; value").parts
        rows = "SELECT rowid, -bm25(code, 4.0, 6.0, 1.0) FROM code WHERE code MATCH 'discount OR value'"
        scores = dict(index.db.execute(rows).fetchall())
    assert all("discount" in part.stems for part in parts)
    assert "both" in {part.name for part in parts}
    assert {part.id: part.score for part in parts} == pytest.approx({part.id: scores[part.id] for part in parts})


@pytest.mark.parametrize(
    ("name", "path", "fits"),
    [
        ("shop/cart", "shop/cart.py", True),
        ("cart", "shop/cart.py", True),
        ("app/shop/cart", "shop/cart.py", True),
        ("shop", "shop/__init__.py", True),
        ("lib/view", "src/lib/view/index.ts", True),
        ("example.org/web/binding/", "web/binding.go", True),
        ("art", "shop/cart.py", False),
        ("shop/money", "shop/cart.py", False),
        ("money", "money/cart.py", False),
    ],
)
def test_the_end_of_a_path_that_an_import_names_fits_a_file(name: str, path: str, *, fits: bool) -> None:
    assert index_search.fits(name, path) is fits


COMMITS = (
    git_log.Commit("a" * 40, 100, "Round the money", ("shop/money.py", "tests/test_money.py")),
    git_log.Commit("b" * 40, 200, "Keep the discount of a cart", ("shop/cart.py",)),
    git_log.Commit("c" * 40, 300, "Round money and keep discounts", ("shop/cart.py", "shop/money.py")),
    git_log.Commit("d" * 40, 400, "Round everything", tuple(f"src/file_{at}.py" for at in range(40))),
)


@pytest.fixture
def history() -> Iterator[pack_gatherer.PastCommits]:
    opened = pack_gatherer.PastCommits(COMMITS)
    yield opened
    opened.close()


def test_commits_with_alike_subjects_vote_for_the_source_that_they_touched(history: pack_gatherer.PastCommits) -> None:
    votes = history.votes(context_query.read("Rounding of money"))
    assert max(votes.source, key=votes.source.__getitem__) == "shop/money.py"
    assert votes.source["shop/money.py"] == 1.0
    assert "tests/test_money.py" not in votes.source
    assert votes.beside["tests/test_money.py"] == 1.0


def test_a_commit_that_touched_very_much_says_nothing(history: pack_gatherer.PastCommits) -> None:
    assert not any(path.startswith("src/") for path in history.votes(context_query.read("Round everything")).source)


def test_only_older_commits_count_and_never_the_one_that_is_asked_about(history: pack_gatherer.PastCommits) -> None:
    query = context_query.read("Keep the discount")
    assert history.until(200).votes(query).source == {}
    assert set(history.until(300).votes(query).source) == {"shop/cart.py"}
    assert history.until(301, "b" * 40).votes(query).source.keys() == {"shop/cart.py", "shop/money.py"}
    assert history.until(300, "b" * 12).votes(query).source == {}


@pytest.mark.parametrize("text", ["", "zebra", "the of"])
def test_no_alike_commit_no_votes(history: pack_gatherer.PastCommits, text: str) -> None:
    assert history.votes(context_query.read(text)) == index_search.NO_VOTES


def test_which_paths_a_scope_lets_through_is_asked_once_for_each_scope(search: index_search.Search) -> None:
    ask(search, "cart")  # which reads the files
    files = search.files
    nobody, tests = search_scope.SearchScope(excludes=("**",)), search_scope.SearchScope(receives=("tests",))
    assert list(files.visible(search_scope.EVERYTHING)) == sorted(FILES)
    assert list(files.visible(nobody)) == []
    assert "tests/test_cart.py" in files.visible(tests)
    assert "shop/cart.py" not in files.visible(tests)
    assert files.visible(tests) is files.visible(search_scope.SearchScope(receives=("tests",)))
    for at in range(2 * index_search.MOST_SCOPES):
        files.visible(search_scope.SearchScope(excludes=(f"{at}/**",)))
    assert len(files.by_scope) <= index_search.MOST_SCOPES
