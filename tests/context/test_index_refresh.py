"""How an index follows its workspace: files, history, and what others do to it meanwhile."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import temp_repository

from dispatch_mcp.context import context_query, file_index, git_log, index_search
from dispatch_mcp.context.indexing import index_tables

git = temp_repository.git


@pytest.fixture
def root(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    for name in ("cart", "money", "session"):
        temp_repository.write(work, f"shop/{name}.py", f"def {name}_value():\n    return 1\n")
    return work


@pytest.fixture
def index(root: Path, tmp_path: Path) -> Iterator[file_index.FileIndex]:
    with file_index.FileIndex(tmp_path / "state", root) as opened:
        opened.refresh()
        yield opened


def names(index: file_index.FileIndex) -> set[str]:
    return {name for (name,) in index.db.execute("SELECT name FROM chunks")}


def subjects(index: file_index.FileIndex, word: str) -> int:
    return index.db.execute("SELECT count(*) FROM subjects WHERE subjects MATCH ?", (word,)).fetchone()[0]


def test_a_file_with_the_same_size_and_time_is_not_read_again(root: Path, index: file_index.FileIndex) -> None:
    status = (root / "shop/cart.py").stat()
    (root / "shop/cart.py").write_text("def cash_value():\n    return 1\n")
    os.utime(root / "shop/cart.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert index.refresh().read == 0
    os.utime(root / "shop/cart.py", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert index.refresh().read == 1
    assert "cash_value" in names(index)


def test_the_generation_rises_with_every_change_and_only_then(root: Path, index: file_index.FileIndex) -> None:
    first = index_tables.generation(index.db)
    index.refresh()
    assert index_tables.generation(index.db) == first
    (root / "shop/new.py").write_text("def new_value(): ...\n")
    index.refresh()
    assert index_tables.generation(index.db) == first + 1


def test_words_of_a_file_that_is_gone_are_found_no_more(root: Path, index: file_index.FileIndex) -> None:
    (root / "shop/money.py").unlink()
    index.refresh()
    search = index_search.Search(index)
    assert not search.evidence(context_query.read("money")).parts
    assert names(index) == {"cart_value", "session_value"}


def test_two_who_keep_an_index_open_see_what_each_other_refreshed(root: Path, tmp_path: Path) -> None:
    with file_index.FileIndex(tmp_path / "state", root) as one, file_index.FileIndex(tmp_path / "state", root) as other:
        assert one.refresh().read == 3
        assert other.refresh().read == 0
        (root / "shop/late.py").write_text("def late_value(): ...\n")
        assert other.refresh().read == 1
        assert one.refresh().read == 0
        assert "late_value" in names(one)


def test_what_somebody_else_has_read_meanwhile_is_read_again_when_the_files_are_as_they_were(
    root: Path, tmp_path: Path, index: file_index.FileIndex
) -> None:
    assert index.refresh().read == 0
    cart = root / "shop/cart.py"
    before, text = cart.stat(), cart.read_text("utf-8")
    with file_index.FileIndex(tmp_path / "state", root) as other:
        cart.write_text("def other_value():\n    return 22\n", "utf-8")
        assert other.refresh().read == 1
    cart.write_text(text, "utf-8")
    os.utime(cart, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert index.refresh().read == 1
    assert names(index) >= {"cart_value"}


def test_what_is_read_in_one_block_is_of_one_moment(root: Path, tmp_path: Path, index: file_index.FileIndex) -> None:
    with index.snapshot():
        before = names(index)
        (root / "shop/late.py").write_text("def late_value(): ...\n")
        with file_index.FileIndex(tmp_path / "state", root) as other:
            assert other.refresh().read == 1
        assert names(index) == before
    assert names(index) == {*before, "late_value"}


def test_a_block_that_fails_leaves_no_transaction_open(index: file_index.FileIndex) -> None:
    with pytest.raises(KeyError), index.snapshot():
        raise KeyError
    assert not index.db.in_transaction


def test_a_broken_database_is_said_in_a_sentence(index: file_index.FileIndex) -> None:
    with pytest.raises(file_index.Damaged, match="cannot serve"), index.snapshot():
        index.db.execute("SELECT nothing FROM nowhere")


def test_history_is_remembered_and_goes_on_where_it_ended(root: Path, index: file_index.FileIndex) -> None:
    git(root, "init", "-q")
    temp_repository.commit(root, "Round amounts")
    index.refresh()
    assert subjects(index, "amounts") == 1
    for at in range(3):
        temp_repository.write(root, "shop/cart.py", f"def cart_value():\n    return {at}\n")
        temp_repository.commit(root, f"Change the cart {at}")
    index.refresh()
    index.refresh()
    assert subjects(index, "cart") == 3
    assert subjects(index, "amounts") == 1


def test_commits_stay_when_the_head_goes_back(root: Path, index: file_index.FileIndex) -> None:
    git(root, "init", "-q")
    temp_repository.commit(root, "Round amounts")
    temp_repository.commit(root, "Keep discounts")
    index.refresh()
    git(root, "reset", "-q", "--hard", "HEAD~1")
    index.refresh()
    assert subjects(index, "amounts") == 1


def test_history_is_read_anew_when_the_last_known_commit_is_gone(root: Path, index: file_index.FileIndex) -> None:
    git(root, "init", "-q")
    temp_repository.commit(root, "Round amounts")
    index.refresh()
    git(root, "update-ref", "-d", "HEAD")
    git(root, "reflog", "expire", "--expire=now", "--all")
    git(root, "gc", "-q", "--prune=now")
    temp_repository.commit(root, "Begin again")
    index.refresh()
    assert subjects(index, "again") == 1
    assert subjects(index, "amounts") == 0


def test_the_same_commit_is_remembered_once() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    index_tables.create(db)
    commit = git_log.Commit("a" * 40, 1, "Round amounts", ("shop/money.py",))
    index_tables.remember(db, [commit, commit])
    index_tables.remember(db, [commit])
    assert db.execute("SELECT sha, time, files FROM commits").fetchall() == [("a" * 40, 1, "shop/money.py")]
    assert db.execute("SELECT count(*) FROM subjects WHERE subjects MATCH 'rounding'").fetchone() == (1,)
    db.close()


def test_discarding_removes_the_files_and_the_next_refresh_brings_them_back(index: file_index.FileIndex) -> None:
    index.discard()
    assert not index.path.exists()
    assert index.refresh().read == 3
    assert index.path.exists()


@pytest.mark.parametrize(
    ("name", "leaf"),
    [("Cart.total", "total"), ("Cart::Total", "total"), ("Cart#size", "size"), ("total", "total"), ("", "")],
)
def test_the_last_part_of_a_name_is_what_it_is_looked_up_by(name: str, leaf: str) -> None:
    assert index_tables.leaf(name) == leaf


def test_workspaces_of_the_same_name_have_indexes_of_their_own(tmp_path: Path) -> None:
    places = {file_index.place(tmp_path, tmp_path / folder / "shop") for folder in ("a", "b")}
    assert len(places) == 2
    assert all(place.name.startswith("shop-") for place in places)
    assert file_index.place(tmp_path, Path("/")).name.startswith("root-")
