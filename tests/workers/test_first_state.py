from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.model import Receipt
from dispatch_mcp.planning.acceptance import Criterion
from dispatch_mcp.workers import first_state

FILE = Criterion("file:notes.md", "file", "notes.md")
GONE = Criterion("absent:old.md", "absent", "old.md")
TESTS = Criterion("command:make test", "command", argv=("make", "test"))


def receipt_of(criterion: Criterion, *, ok: bool = True, checked: bool = True) -> Receipt:
    """Returns a receipt as looking gives one."""
    return Receipt(kind="file", ok=ok, detail="looked", criterion=criterion.text, checked=checked)


def look(root: Path, *criteria: Criterion, entries: tuple[str, ...] = ()) -> first_state.FirstState:
    """Returns the first state of a folder in which an `absent` holds and a `file` holds if it is there."""

    def receipt(folder: Path, criterion: Criterion, _stop: threading.Event) -> Receipt:
        return receipt_of(criterion, ok=(folder / criterion.subject).exists() is (criterion.kind != "absent"))

    return first_state.look(root, criteria, entries, receipt, threading.Event())


def test_only_what_looking_decides_and_what_holds_is_in_the_first_state(tmp_path: Path) -> None:
    assert set(look(tmp_path, FILE, GONE, TESTS).standing) == {GONE.text}
    (tmp_path / "notes.md").write_text("One.\n", "utf-8")
    assert set(look(tmp_path, FILE, GONE, TESTS).standing) == {FILE.text, GONE.text}


def test_a_file_that_nobody_edited_is_no_proof_of_work(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("One.\n", "utf-8")
    before = look(tmp_path, FILE, GONE)
    assert before.marked(tmp_path, FILE, receipt_of(FILE)).earlier
    assert before.marked(tmp_path, GONE, receipt_of(GONE)).earlier


def test_a_file_that_was_edited_since_is_new_proof(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("One.\n", "utf-8")
    before = look(tmp_path, FILE)
    (tmp_path / "notes.md").write_text("One.\nAnd a second thought.\n", "utf-8")
    assert not before.marked(tmp_path, FILE, receipt_of(FILE)).earlier


def test_a_file_that_came_later_is_proof(tmp_path: Path) -> None:
    before = look(tmp_path, FILE)
    (tmp_path / "notes.md").write_text("One.\n", "utf-8")
    assert not before.marked(tmp_path, FILE, receipt_of(FILE)).earlier


@pytest.mark.parametrize(("ok", "checked"), [(False, True), (True, False), (False, False)])
def test_a_receipt_that_proves_nothing_is_left_as_it_is(tmp_path: Path, *, ok: bool, checked: bool) -> None:
    receipt = receipt_of(GONE, ok=ok, checked=checked)
    assert look(tmp_path, GONE).marked(tmp_path, GONE, receipt) == receipt


def test_only_folders_that_came_later_are_new(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    entries = ("old", "new", "file.txt", "src/*.py", "", "missing")
    before = look(tmp_path, entries=entries)
    (tmp_path / "new").mkdir()
    (tmp_path / "file.txt").write_text("x", "utf-8")
    assert before.new_folders(tmp_path, entries) == ["new"]
    assert first_state.FirstState().new_folders(tmp_path, entries) == []


def test_a_folder_behind_a_link_that_leads_outside_is_none_of_ours(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    (outside / "inner").mkdir(parents=True)
    before = look(root, entries=("way/inner",))
    (root / "way").symlink_to(outside)
    assert before.new_folders(root, ("way/inner",)) == []


@given(st.dictionaries(st.text(), st.text()), st.lists(st.text()))
def test_a_first_state_survives_its_way_through_json(standing: dict[str, str], folders: list[str]) -> None:
    state = first_state.FirstState(standing, tuple(folders), is_known=True)
    assert first_state.from_json(state.to_json()) == state


@pytest.mark.parametrize("value", [None, [], "x", {}, {"standing": None}, {"folders": ["a"]}])
def test_what_is_no_first_state_is_an_unknown_one(value: model.Json) -> None:
    assert first_state.from_json(value) == first_state.FirstState()
