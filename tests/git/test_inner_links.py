"""What becomes of the commits of other repositories in a change, and what git's complaints come to: as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_mcp import model
from dispatch_mcp.git import merge_rules
from dispatch_mcp.git.merge_rules import GITLINK, ZERO, Link, PathChange

A, B, C = "a" * 40, "b" * 40, "c" * 40
FILE = "100644"


def added(path: str, commit: str = B) -> PathChange:
    return PathChange("A", GITLINK, path, commit, "000000", ZERO)


def moved(path: str, before: str = A, now: str = B) -> PathChange:
    return PathChange("M", GITLINK, path, now, GITLINK, before)


def removed(path: str) -> PathChange:
    return PathChange("D", "000000", path, ZERO, GITLINK, A)


def new_file(path: str) -> PathChange:
    return PathChange("A", FILE, path, C, "000000", ZERO)


def test_an_index_is_read_for_the_commits_in_it_alone() -> None:
    listing = "\0".join([f"{FILE} {C} 0\ta.py", f"{GITLINK} {A} 0\tlib", f"{GITLINK} {B} 0\tdeep/er lib\there", ""])
    assert merge_rules.gitlinks(listing) == {"lib": A, "deep/er lib\there": B}
    assert merge_rules.gitlinks("") == {}


@pytest.mark.parametrize(
    ("complaint", "path"),
    [
        ("error: 'lib/' does not have a commit checked out\nfatal: adding files failed", "lib"),
        ("error: 'a b' does not have a commit checked out", "a b"),
        ("error: does not have a commit checked out", ""),
        ("fatal: not a git repository", ""),
        ("", ""),
    ],
)
def test_a_repository_without_a_commit_is_named_by_the_complaint_about_it(complaint: str, path: str) -> None:
    assert merge_rules.unborn_repository(complaint) == path


def test_the_links_of_a_worktree_are_those_of_its_index_of_its_base_and_those_without_a_commit() -> None:
    now = {"same": A, "moved": B, "new": B, "node_modules/x": A}
    changes = [moved("moved"), added("new"), removed("gone"), new_file("a.py")]
    assert merge_rules.links(now, changes, ["unborn", "__pycache__/y"]) == {
        "same": Link(A, A),
        "moved": Link(A, B),
        "new": Link("", B),
        "gone": Link(A, ""),
        "unborn": Link(),
    }


def test_a_file_in_the_place_of_a_submodule_and_the_other_way_round_are_links_of_one_side() -> None:
    to_file = PathChange("T", FILE, "lib", C, GITLINK, A)
    to_link = PathChange("T", GITLINK, "file", B, FILE, C)
    assert merge_rules.links({}, [to_file, to_link], []) == {"lib": Link(A, ""), "file": Link("", B)}


@pytest.mark.parametrize(
    ("path", "inside"),
    [("lib", True), ("lib/a/b.c", True), ("lib2/a", False), ("a/lib", False), ("deep/x/y", True), ("deep", False)],
)
def test_a_path_is_within_a_folder_that_it_is_or_lies_in(path: str, *, inside: bool) -> None:
    assert merge_rules.is_within(path, {"lib", "deep/x"}) is inside


def test_links_that_nobody_could_follow_are_put_back_and_all_others_stay() -> None:
    changes = [moved("held"), moved("free"), added("new"), new_file("held/a.py")]
    assert merge_rules.links_to_put_back(changes, {"held", "new"}, ()) == [moved("held"), added("new")]


def test_a_submodule_whose_folder_is_gone_stays_while_it_is_listed_and_nothing_took_its_place() -> None:
    gone = removed("lib")
    assert merge_rules.links_to_put_back([gone], (), {"lib"}) == [gone]
    assert merge_rules.links_to_put_back([gone], (), ()) == [], "it was taken out of .gitmodules too"
    assert merge_rules.links_to_put_back([gone, new_file("lib/a.py")], (), {"lib"}) == [], "files stand in its place"
    assert merge_rules.links_to_put_back([gone, new_file("library.py")], (), {"lib"}) == [gone]
    assert merge_rules.links_to_put_back([gone, removed("lib/sub")], (), {"lib"}) == [gone]


@pytest.mark.parametrize(
    ("change", "is_back", "remark"),
    [
        (moved("lib"), False, f"Submodule `lib` moves to commit {B[:12]}."),
        (moved("lib"), True, ""),
        (moved("lib", B, B), False, ""),
        (added("lib"), False, f"Submodule `lib` moves to commit {B[:12]}."),
        (removed("lib"), False, "Submodule `lib` is taken out."),
        (removed("lib"), True, "The folder of submodule `lib` was gone; the submodule stays"),
        (new_file(".gitmodules"), False, "`.gitmodules` is changed: look at its addresses"),
        (new_file("a.py"), False, ""),
    ],
)
def test_what_happens_to_a_submodule_is_said(change: PathChange, remark: str, *, is_back: bool) -> None:
    remarks = list(merge_rules.link_remarks([change], [change] if is_back else [], []))
    assert len(remarks) == bool(remark)
    assert all(line.startswith(remark) for line in remarks)


def test_folders_that_are_gone_are_said_first_and_in_one_line_each() -> None:
    first, second = merge_rules.link_remarks([moved("lib")], [], ["a\nb"])
    assert first.startswith("The folder of submodule `a b` was gone")
    assert second.startswith("Submodule `lib` moves")


def test_paths_are_put_back_to_what_they_were_and_new_ones_are_taken_out() -> None:
    lines = merge_rules.index_lines([moved("lib"), added("new"), removed("gone")])
    assert lines == f"{GITLINK} {A}\tlib\0" + f"0 {ZERO}\tnew\0" + f"{GITLINK} {A}\tgone\0"
    assert merge_rules.index_lines([]) == ""


@given(st.lists(st.sampled_from([added, moved, removed]), max_size=8), st.sets(st.integers(0, 7)))
def test_whatever_is_put_back_is_a_part_of_the_change(kinds: list[type], held: set[int]) -> None:
    changes = [kind(f"lib{place}") for place, kind in enumerate(kinds)]
    paths = {f"lib{place}" for place in held}
    back = merge_rules.links_to_put_back(changes, paths, {change.path for change in changes})
    assert set(back) <= set(changes)
    assert {change for change in changes if change.status != "D" and change.path in paths} <= set(back)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("node_modules", False),
        ("node_modules/x/index.js", True),
        ("src/__pycache__/a.cpython-311.pyc", True),
        ("a.pyc", True),
        ("a.pyo", True),
        ("a.pycx", False),
        ("src/.DS_Store", True),
        ("Thumbs.db", True),
        ("thumbs.db.py", False),
        (".hypothesis/x", True),
        ("my__pycache__/x.py", False),
    ],
)
def test_caches_and_installed_packages_are_known_by_their_folder_or_ending(path: str, *, is_one: bool) -> None:
    assert merge_rules.is_litter(path) is is_one


def test_only_files_that_are_declared_by_name_and_lie_in_the_workspace_count_as_named() -> None:
    files = ("a.py", "./src//b.py", "*.log", "src/[x].py", "/etc/passwd", "../up.py", "docs/", ".")
    task = model.Task(id="t", do="do", files=files)
    assert merge_rules.files_by_name(task) == ["a.py", "src/b.py", "docs"]


@pytest.mark.parametrize(
    ("complaint", "kind", "hint"),
    [
        ("error: external filter 'git-lfs x' failed\nsmudge filter lfs failed", "broken_filter", "(git-lfs)"),
        ("fatal: big.bin: clean filter 'crypt' failed", "broken_filter", "filter `crypt`"),
        (f"fatal: unable to read tree {A}", "no_worktree", "git fsck"),
        (f"error: unable to read sha1 file of a ({A})", "no_worktree", "git fsck"),
        ("error: object file .git/objects/aa is corrupt", "no_worktree", "git fsck"),
        ("fatal: bad object HEAD", "no_worktree", "git fsck"),
        ("fatal: could not fetch from promisor remote", "no_worktree", "git fsck"),
    ],
)
def test_a_complaint_that_will_come_again_is_a_lasting_obstacle_with_a_way_out(
    complaint: str, kind: str, hint: str
) -> None:
    obstacle = merge_rules.lasting_obstacle(complaint)
    assert obstacle is not None
    assert obstacle.kind == kind
    assert hint in obstacle.hint


@pytest.mark.parametrize("complaint", ["", "fatal: Unable to create 'x.lock': File exists", "fatal: disk full"])
def test_a_complaint_that_may_pass_is_none(complaint: str) -> None:
    assert merge_rules.lasting_obstacle(complaint) is None


@pytest.mark.parametrize(
    ("text", "is_object", "is_revision"),
    [
        (A, True, True),
        ("0" * 64, True, True),
        ("a" * 41, False, True),
        ("a" * 7, False, True),
        ("a" * 6, False, False),
        ("a" * 65, False, False),
        ("A" * 40, False, False),
        (f"{A}\n", False, False),
        ("", False, False),
    ],
)
def test_names_of_objects_are_whole_and_those_of_revisions_may_be_cut(
    text: str, *, is_object: bool, is_revision: bool
) -> None:
    assert (merge_rules.is_object(text), merge_rules.is_revision(text)) == (is_object, is_revision)


def test_notices_count_what_a_worktree_does_not_have_and_are_silent_about_nothing() -> None:
    assert merge_rules.dirty_notice([]) == merge_rules.filter_notice([]) == ""
    assert merge_rules.dirty_notice(["a.py"]).startswith("1 file of the checkout with uncommitted changes (`a.py`)")
    many = merge_rules.dirty_notice([f"{number}.py" for number in range(5)])
    assert many.startswith("5 files of the checkout")
    assert "`0.py`, `1.py`, `2.py`" in many
    assert "`3.py`" not in many
    assert "The filters `crypt`, which" in merge_rules.filter_notice(["crypt"])


@given(st.lists(st.text(max_size=300), max_size=5))
def test_names_are_printed_on_one_line_each(paths: list[str]) -> None:
    names = merge_rules.printable(paths)
    assert len(names) == len(paths)
    assert all(len(name) <= 200 and name.splitlines() in ([], [name]) for name in names)
