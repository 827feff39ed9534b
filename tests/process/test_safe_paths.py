"""The way to a file below a folder, which reading, writing and looking share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import traversals
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp.process import safe_paths

_NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/\\:~"), min_size=1, max_size=8)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    """Returns an open folder that holds `inside/deep`, and a link to the folder above."""
    work = tmp_path / "work"
    (work / "inside" / "deep").mkdir(parents=True)
    (work / "up").symlink_to(tmp_path)
    handle = os.open(work, safe_paths.FOLDER)
    yield handle
    os.close(handle)


@given(st.lists(_NAMES, min_size=1, max_size=5))
def test_a_plain_path_is_refused_or_comes_apart_at_its_slashes(names: list[str]) -> None:
    path = "/".join(names)
    try:
        assert safe_paths.parts(path, "workspace") == tuple(names)
    except safe_paths.Refused as refusal:
        climbs = any(name in {".", ".."} for name in names)
        assert climbs or refusal.message.endswith("may hold secrets.")  # noqa: PT017


@given(st.text(max_size=60))
def test_no_path_that_passes_climbs_or_starts_elsewhere(path: str) -> None:
    try:
        names = safe_paths.parts(path, "workspace")
    except safe_paths.Refused:
        return
    assert not Path(path).is_absolute()
    assert Path(os.path.normpath(Path("/work", path))).is_relative_to("/work")
    assert not {"", ".", ".."} & set(names)


@pytest.mark.promise("S4")
@pytest.mark.parametrize("path", [*traversals.UP, "/etc/passwd", "C:/x.txt", "a\\b", "~/x", "a//b", "a/./b", "\0", ""])
def test_a_path_that_leads_elsewhere_is_refused_and_quoted(path: str) -> None:
    with pytest.raises(safe_paths.Refused) as refusal:
        safe_paths.parts(path, "workspace", hint="Stay.")
    assert refusal.value.message.startswith(repr(path))
    assert refusal.value.hint == "Stay."


def test_a_long_path_is_quoted_cut() -> None:
    with pytest.raises(safe_paths.Refused) as refusal:
        safe_paths.parts("../" * 2_000, "workspace")
    assert len(refusal.value.message) < 200


def test_the_message_says_where_the_path_has_to_stay() -> None:
    with pytest.raises(safe_paths.Refused, match="does not stay below the working directory"):
        safe_paths.parts("a/../b", "working directory")


def test_a_path_is_refused_from_a_certain_depth_on() -> None:
    assert len(safe_paths.parts("/".join("a" * safe_paths.DEEPEST), "workspace")) == safe_paths.DEEPEST
    with pytest.raises(safe_paths.Refused):
        safe_paths.parts("/".join("a" * (safe_paths.DEEPEST + 1)), "workspace")


def test_a_folder_is_reached_step_by_step_and_the_root_stays_open(root: int) -> None:
    handle = safe_paths.descend(root, ["inside", "deep"])
    assert os.fstat(handle).st_ino == os.stat("inside/deep", dir_fd=root).st_ino
    os.close(handle)
    assert os.stat("inside", dir_fd=root).st_ino


def _next_handle(root: int) -> int:
    """Returns the lowest number that no open file has."""
    handle = os.dup(root)
    os.close(handle)
    return handle


@pytest.mark.promise("S4")
@pytest.mark.parametrize("folders", [["up"], ["up", "work"], ["inside", "nowhere"], ["inside", "..", "up"]])
def test_no_link_is_followed_on_the_way_and_nothing_is_left_open(root: int, folders: list[str]) -> None:
    open_before = _next_handle(root)
    with pytest.raises(OSError, match=r"up|nowhere"):
        safe_paths.descend(root, folders)
    assert _next_handle(root) == open_before


def test_missing_folders_are_made_only_on_demand(root: int) -> None:
    with pytest.raises(FileNotFoundError):
        safe_paths.descend(root, ["new", "deep"])
    os.close(safe_paths.descend(root, ["new", "deep"], make=True))
    os.close(safe_paths.descend(root, ["new", "deep"], make=True))
    assert os.stat("new/deep", dir_fd=root).st_ino


def test_what_a_link_leads_to_decides_whether_a_folder_holds_it(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "src").mkdir(parents=True)
    (work / "out").symlink_to(tmp_path)
    (work / "in").symlink_to("src")
    assert safe_paths.holds(work, "in/app.py")
    assert safe_paths.holds(work, "src/not/there.py")
    assert not safe_paths.holds(work, "out/app.py")
    assert not safe_paths.holds(work, "../other")


@pytest.mark.parametrize(("name", "sayable"), [("plain", True), ("größe", True), ("日本", True), ("\udce9", False)])
def test_a_name_that_is_no_unicode_text_cannot_be_said(name: str, sayable: bool) -> None:  # noqa: FBT001
    assert safe_paths.sayable(name) is sayable


def test_what_may_not_be_looked_at_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert safe_paths.is_file(tmp_path / "file")
    assert not safe_paths.is_file(tmp_path)
    assert not safe_paths.is_file(tmp_path / ("long" * 2_000))
