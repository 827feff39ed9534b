from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dispatch_mcp.text import file_states
from dispatch_mcp.workers import safe_look


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Returns a workspace with a few files, and a secret beside it."""
    (tmp_path / "secret.txt").write_text("secret", "utf-8")
    for name in ("root/a.py", "root/src/b.py", "root/src/deep/c.py", "root/src/notes.md", "root/.git/hooks/d.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, "utf-8")
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*.py", {"a.py"}),
        ("src/*.py", {"src/b.py"}),
        ("**/*.py", {"a.py", "src/b.py", "src/deep/c.py"}),
        ("{a,src/b}.py", {"a.py", "src/b.py"}),
        ("none/*.py", set[str]()),
    ],
)
def test_a_pattern_stands_for_the_files_at_its_depth_and_none_of_git(root: Path, pattern: str, paths: set[str]) -> None:
    matches = list(safe_look.matching(root, pattern, threading.Event()))
    assert set(matches) == paths
    assert len(matches) == len(paths)


def test_links_that_lead_outside_or_into_git_match_nothing(root: Path) -> None:
    (root / "out.py").symlink_to(root.parent / "secret.txt")
    (root / "hooks").symlink_to(root / ".git" / "hooks")
    assert set(safe_look.matching(root, "*.py", threading.Event())) == {"a.py"}
    assert safe_look.leads_into_git(root, "hooks/d.py")
    assert not safe_look.leads_into_git(root, "src/b.py")


def test_a_search_that_starts_outside_says_so(root: Path) -> None:
    (root / "way").symlink_to(root.parent)
    with pytest.raises(safe_look.Unmeasured, match="'way' leads outside the workspace"):
        list(safe_look.matching(root, "way/*.txt", threading.Event()))


def test_a_search_ends_when_nobody_waits_for_it(root: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(safe_look.Unmeasured):
        list(safe_look.declared(root, "src/**", stop))


def test_a_declared_folder_stands_for_its_files_and_a_file_for_itself_there_or_not(root: Path) -> None:
    assert set(safe_look.declared(root, "src", threading.Event())) == {"src/b.py", "src/deep/c.py", "src/notes.md"}
    assert list(safe_look.declared(root, "new.py", threading.Event())) == ["new.py"]


def test_every_kind_of_entry_has_its_state(root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "way").symlink_to(root.parent)
    states = safe_look.states(str(root), ["src", "missing", "pipe", "way/secret.txt"])
    assert states == {
        "src": safe_look.FOLDER,
        "missing": "",
        "pipe": file_states.SPECIAL,
        "way/secret.txt": file_states.OUTSIDE,
    }


def test_a_link_changes_with_the_file_behind_it_only_when_that_is_inside(root: Path) -> None:
    (root / "near").symlink_to("a.py")
    (root / "far").symlink_to(root.parent / "secret.txt")
    before = safe_look.states(str(root), ["near", "far"])
    (root / "a.py").write_text("print('something else')", "utf-8")
    (root.parent / "secret.txt").write_text("another secret", "utf-8")
    after = safe_look.states(str(root), ["near", "far"])
    assert after["near"] != before["near"]
    assert after["far"] == before["far"]


def test_what_is_not_there_was_never_changed(root: Path) -> None:
    assert safe_look.changed_at(root, "missing") == 0.0
    assert safe_look.changed_at(root, "a.py") >= (root / "a.py").lstat().st_mtime


NAMES = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(
    [
        "I rewrote the parser " * 15,
        "x" * 5_000,
        "deep/" * 2_000,
        "nul\0here",
        "\ud800.py",
        "\udcff.py",
        "\n",
        "a.py/b",
        "~",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, max_size=4))
def test_whatever_a_worker_calls_a_file_it_has_a_state_and_hides_no_other(root: Path, names: list[str]) -> None:
    states = safe_look.states(str(root), [*names, "a.py"])
    assert states.keys() == {*names, "a.py"}
    assert states["a.py"] == safe_look.digest(root, "a.py") != ""
    assert all(safe_look.changed_at(root, name) >= 0 for name in names)


def test_what_no_file_can_be_called_is_not_there_and_no_folder(root: Path) -> None:
    names = ["I rewrote the parser " * 15, "nul\0here", "\ud800.py"]
    assert safe_look.states(str(root), names) == dict.fromkeys(names, "")
    assert not any(safe_look.is_folder(root, name) for name in names)
    assert list(safe_look.declared(root, names[0], threading.Event())) == [names[0]]


def test_one_look_reads_so_much_and_no_more_and_says_what_it_left_out(root: Path) -> None:
    half = safe_look.MOST_BYTES // 2
    for name, size in (("b1", half), ("b2", half), ("b3", half), ("huge", safe_look.WHOLE_BYTES + 1)):
        with (root / name).open("wb") as file:
            file.truncate(size)
    (root / "link").symlink_to("b1")
    states = safe_look.states(str(root), ["huge", "b1", "b2", "b3", "link", "missing", "src"], 60)
    assert [name for name, state in states.items() if state == file_states.UNREAD] == ["b3", "link"]
    assert states["huge"].startswith("large ")
    assert (states["missing"], states["src"]) == ("", safe_look.FOLDER)


def test_a_look_that_took_too_long_leaves_the_rest_unread(root: Path) -> None:
    assert safe_look.states(str(root), ["a.py", "src/b.py"], -1) == dict.fromkeys(
        ("a.py", "src/b.py"), file_states.UNREAD
    )
    assert not file_states.same(file_states.UNREAD, file_states.UNREAD)
