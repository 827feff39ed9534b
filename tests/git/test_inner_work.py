"""What is said of work that an attempt left inside other repositories of its worktree."""

from __future__ import annotations

import pytest

from dispatch_mcp.git import inner_work
from dispatch_mcp.git.inner_work import InnerWork

COMMITS = tuple(letter * 40 for letter in "abcdef")
TREE = "/state/worktrees/run/task"


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        pytest.param(InnerWork("lib"), "submodule `lib`: a repository of its own", id="nothing in it"),
        pytest.param(
            InnerWork("lib", is_submodule=False), "repository `lib`: a repository of its own", id="no submodule"
        ),
        pytest.param(
            InnerWork("lib", commits=COMMITS[:1]),
            "submodule `lib`: 1 commit of its own (aaaaaaaaaaaa)",
            id="one commit",
        ),
        pytest.param(
            InnerWork("lib", commits=COMMITS[:3]),
            "submodule `lib`: 3 commits of its own (aaaaaaaaaaaa, bbbbbbbbbbbb, cccccccccccc)",
            id="three commits",
        ),
        pytest.param(
            InnerWork("lib", commits=COMMITS[:4]),
            "submodule `lib`: 4 commits of its own (aaaaaaaaaaaa, bbbbbbbbbbbb, cccccccccccc, …)",
            id="more commits than are named",
        ),
        pytest.param(
            InnerWork("lib", files=("a.c",)), "submodule `lib`: 1 file that is in no commit (`a.c`)", id="one file"
        ),
        pytest.param(
            InnerWork("lib", files=("a.c", "b.c")),
            "submodule `lib`: 2 files that are in no commit (`a.c`, `b.c`)",
            id="two files",
        ),
        pytest.param(
            InnerWork("lib", target=COMMITS[2]),
            "submodule `lib`: moved to commit cccccccccccc, which your copy of the submodule does not have",
            id="moved",
        ),
        pytest.param(
            InnerWork("lib", trouble="bad\nobject"), "submodule `lib`: could not be read (bad object)", id="unreadable"
        ),
        pytest.param(
            InnerWork("lib", commits=COMMITS[:1], files=("a.c",)),
            "submodule `lib`: 1 commit of its own (aaaaaaaaaaaa) and 1 file that is in no commit (`a.c`)",
            id="both",
        ),
        pytest.param(
            InnerWork("lib", commits=COMMITS[:1], keeper="/srv/lib.git", ref="refs/dispatch/r/kept/t/1"),
            "submodule `lib`: 1 commit of its own (aaaaaaaaaaaa), kept as refs/dispatch/r/kept/t/1 in /srv/lib.git",
            id="kept",
        ),
    ],
)
def test_an_inner_repository_is_described_with_what_is_in_it_and_where_that_is_kept(
    work: InnerWork, sentence: str
) -> None:
    assert inner_work.describe(work) == sentence


@pytest.mark.parametrize("name", ["a\nb", "a\r\n- and 9 more", "a\u2028b", "\x1b[2Ka", "a\u202eb", "a\0b"])
def test_no_name_of_a_file_or_folder_breaks_the_line(name: str) -> None:
    line = inner_work.describe(InnerWork(name, files=(name, name), trouble=name, keeper=name, ref="refs/kept"))
    assert line.splitlines() == [line]
    assert line.isprintable()


def test_a_failure_is_of_submodules_as_soon_as_one_is_among_them() -> None:
    folder, module = InnerWork("vendor/x", is_submodule=False), InnerWork("lib")
    assert inner_work.kind([folder]) == "inner_repository"
    assert inner_work.kind([folder, module]) == "submodule"


@pytest.mark.parametrize(
    ("count", "lines", "more"), [(1, 1, ""), (12, 12, ""), (13, 12, "- and 1 more"), (40, 12, "28")]
)
def test_a_refusal_lists_a_dozen_repositories_and_counts_the_rest(count: int, lines: int, more: str) -> None:
    text = inner_work.refusal([InnerWork(f"lib{number}") for number in range(count)], TREE, "")
    assert text.count("- submodule ") == lines
    assert ("- and " in text) is bool(more)
    assert more in text
    assert f"the worktree {TREE} stays as it is. Do such work" in text


def test_a_refusal_names_the_commit_of_what_was_changed_outside_if_there_is_one() -> None:
    assert "outside of them is commit bbbbbbbbbbbb." in inner_work.refusal([InnerWork("lib")], TREE, COMMITS[1])
    assert "outside" not in inner_work.refusal([InnerWork("lib")], TREE, "")


@pytest.mark.parametrize(("count", "tail"), [(1, "own"), (3, "own"), (4, "; and 1 more"), (9, "; and 6 more")])
def test_a_remark_names_three_and_counts_the_rest(count: int, tail: str) -> None:
    text = inner_work.remark([InnerWork(f"lib{number}") for number in range(count)])
    assert text.startswith("not merged: submodule `lib0`: ")
    assert text.count("submodule") == min(count, 3)
    assert text.endswith(tail)


@pytest.mark.parametrize("is_failure", [True, False])
def test_a_receipt_never_says_that_inner_work_was_merged_and_counts_as_checked_if_it_failed(
    *, is_failure: bool
) -> None:
    receipt = inner_work.receipt([InnerWork("lib")], TREE, is_failure=is_failure)
    assert (receipt.kind, receipt.ok, receipt.checked) == ("merge", False, is_failure)
    assert receipt.detail.endswith(f"; it is still in the worktree {TREE}")
