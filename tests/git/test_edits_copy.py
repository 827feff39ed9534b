"""The user's uncommitted work, kept beside an attempt: what was there can be had back, and nothing else is touched."""

from __future__ import annotations

import subprocess
from pathlib import Path

import anyio
import pytest
from temp_repository import Site, git, make, state_of, write

from dispatch_mcp import model
from dispatch_mcp.git import checkout_watch, edits_copy, git_process
from dispatch_mcp.git.checkout_watch import CheckoutState
from dispatch_mcp.model import ports, run_refs

pytestmark = pytest.mark.anyio

REF = run_refs.Refs("run").edits("Task one", 2)
DIRTY = {
    "a.txt": "changed\n",
    "new/deep/one.txt": "new\n",
    "name with blanks.txt": "new\n",
    "-dash.txt": "new\n",
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(make(tmp_path / "repo"), tmp_path / "state")


async def copy_of(site: Site) -> edits_copy.EditsCopy | None:
    with anyio.fail_after(120):
        repo = await git_process.find(site.workspaces.git, str(site.repo))
        return await edits_copy.EditsCopies(site.workspaces.git, repo).keep(REF)


def soil(repo: Path) -> None:
    for path, text in DIRTY.items():
        write(repo, path, text)
    git(repo, "add", "a.txt")


async def test_a_copy_holds_changed_staged_new_and_deleted_files_and_leaves_the_checkout_as_it_is(site: Site) -> None:
    soil(site.repo)
    (site.repo / "src/b.txt").unlink()
    before = state_of(site.repo)
    copy = await copy_of(site)
    assert copy is not None
    assert copy.paths == {*DIRTY, "src/b.txt"}
    assert state_of(site.repo) == before
    names = git(site.repo, "ls-tree", "-r", "-z", "--name-only", REF).strip("\0").split("\0")
    assert sorted(names) == sorted(DIRTY)
    for path in DIRTY:
        (site.repo / path).unlink()
    git(site.repo, *copy.way_back(sorted(DIRTY)).split("`")[1].partition(" -- ")[0].split()[1:], "--", *DIRTY)
    assert {path: (site.repo / path).read_text() for path in DIRTY} == DIRTY


async def test_where_all_is_committed_or_ignored_nothing_is_copied(site: Site) -> None:
    write(site.repo, ".git/info/exclude", "*.log\n")
    write(site.repo, "x.log", "noise")
    write(site.repo, "__pycache__/x.pyc", "noise")
    assert await copy_of(site) is None
    assert git(site.repo, "for-each-ref", "refs/dispatch") == ""


async def test_files_beyond_what_is_affordable_are_left_out_the_largest_first(site: Site) -> None:
    write(site.repo, "small.txt", "x")
    write(site.repo, "huge.bin", "")
    with (site.repo / "huge.bin").open("wb") as file:
        file.truncate(edits_copy.MOST_BYTES + 1)
    copy = await copy_of(site)
    assert copy is not None
    assert copy.paths == {"small.txt"}


async def test_very_many_files_are_all_looked_after_though_not_all_are_copied(site: Site) -> None:
    for number in range(edits_copy.MOST_FILES + 2):
        write(site.repo, f"new/{number}", "x" * (1 + number // edits_copy.MOST_FILES))
    copy = await copy_of(site)
    assert copy is not None
    last = f"new/{edits_copy.MOST_FILES}"
    assert (len(copy.paths), len(copy.rest), last in copy.rest) == (edits_copy.MOST_FILES, 2, True)
    (site.repo / last).unlink()
    assert copy.gone(site.repo) == [last]


async def test_where_nothing_can_be_copied_the_files_are_still_looked_after(site: Site) -> None:
    with (site.repo / "huge.bin").open("wb") as file:
        file.truncate(edits_copy.MOST_BYTES + 1)
    copy = await copy_of(site)
    assert copy is not None
    assert (copy.commit, copy.paths, copy.rest) == ("", frozenset(), {"huge.bin"})
    (site.repo / "huge.bin").write_bytes(b"")
    assert copy.gone(site.repo) == ["huge.bin"]


async def test_a_checkout_in_the_middle_of_a_merge_is_copied_as_its_files_are(site: Site) -> None:
    git(site.repo, "checkout", "-q", "-b", "other")
    write(site.repo, "a.txt", "theirs\n")
    git(site.repo, "commit", "-qam", "theirs")
    git(site.repo, "checkout", "-q", "main")
    write(site.repo, "a.txt", "ours\n")
    git(site.repo, "commit", "-qam", "ours")
    git(site.repo, "merge", "-q", "other", check=False)
    text = (site.repo / "a.txt").read_text()
    assert "<<<<<<<" in text
    copy = await copy_of(site)
    assert copy is not None
    assert git(site.repo, "show", f"{REF}:a.txt") == text.strip()


def test_a_folder_that_is_gone_takes_its_files_along() -> None:
    copy = edits_copy.EditsCopy(REF, "1" * 40, frozenset({"new/a", "new/b/c", "newer", "x"}))
    assert copy.missing(["new/"]) == ["new/a", "new/b/c"]
    assert copy.missing(["x", "y"]) == ["x"]
    assert copy.missing([]) == []


def test_very_many_files_are_listed_by_a_command_and_not_one_by_one() -> None:
    copy = edits_copy.EditsCopy(REF, "1" * 40, frozenset())
    paths = [f"f{number}" for number in range(edits_copy.NAMED + 1)]
    assert "git diff --name-only HEAD 111111111111" in copy.way_back(paths)
    whole = edits_copy.EditsCopy(REF, "1" * 40, frozenset(paths))
    assert len(edits_copy.notice(whole, paths)) < 700
    assert "'a b'" in copy.way_back(["a b"])


def state(head: str = "h", **files: str) -> CheckoutState:
    return CheckoutState("main", head, {}, files)


@pytest.mark.parametrize(
    ("after", "losses"),
    [
        (state(a="1 .M x 5", b="? 7"), []),
        (state(a="1 .M y 6", b="? 7"), []),
        (state(b="? 7"), ["a"]),
        (state(a="100644 5", b="? 7"), ["a"]),
        (state(), ["a", "b"]),
    ],
)
def test_edits_are_missing_that_were_not_committed_and_are_no_longer_there(
    after: CheckoutState, losses: list[str]
) -> None:
    before = state(a="1 .M x 5", b="? 7", ignored="! 9", declared="100644 3")
    assert checkout_watch.missing_edits(before, after) == losses


async def test_a_copied_file_is_gone_that_is_not_on_the_disk_any_more_but_for_those_that_were_not_before(
    site: Site,
) -> None:
    soil(site.repo)
    (site.repo / "src/b.txt").unlink()
    copy = await copy_of(site)
    assert copy is not None
    assert copy.gone(site.repo) == []
    (site.repo / "new/deep/one.txt").unlink()
    (site.repo / "a.txt").unlink()
    assert copy.gone(site.repo) == ["a.txt", "new/deep/one.txt"]


@pytest.mark.parametrize("name", ["a\nb", "it's \\ mine\t", "caf\udce9.txt", "name with blanks.txt", "\u00e9.txt"])
async def test_the_way_back_of_a_file_names_just_that_file_whatever_is_in_its_name(site: Site, name: str) -> None:
    write(site.repo, name, "mine\n")
    copy = await copy_of(site)
    assert copy is not None
    (site.repo / name).unlink()
    command = copy.way_back([name]).split("`")[1]
    assert command.isprintable()
    await anyio.run_process(["bash", "-c", command], cwd=site.repo)
    assert (site.repo / name).read_text() == "mine\n"


@pytest.mark.parametrize(
    ("harm", "is_lost"),
    [
        ("git reset -q", True),
        ("git restore --staged a.txt", True),
        ("rm .git/index; git read-tree HEAD", True),
        ("git status; git diff --cached", False),
        ("echo more >> a.txt", False),
        ("git update-index --refresh", False),
    ],
)
async def test_what_was_only_staged_is_missed_when_it_is_gone_and_can_be_staged_again(
    site: Site, harm: str, *, is_lost: bool
) -> None:
    for name in ("a.txt", "new.txt"):
        write(site.repo, name, "staged only\n")
        git(site.repo, "add", name)
        write(site.repo, name, "on the disk\n")
    before = git(site.repo, "ls-files", "--stage")

    def work(folder: Path) -> None:
        write(folder, "src/b.txt", "done\n")
        subprocess.run(["bash", "-c", harm], cwd=site.repo, check=False)

    outcome = await site.attempt(site.order(), work)
    details = [receipt.detail for receipt in outcome.receipts if "was staged of" in receipt.detail]
    assert bool(details) is is_lost
    assert (git(site.repo, "ls-files", "--stage") != before) is is_lost
    ref = run_refs.Refs("run").edits(site.order().task.id, 1)
    assert (git(site.repo, "for-each-ref", ref) != "") is is_lost
    for detail in details:
        command = detail.split("`")[-2]
        await anyio.run_process(["bash", "-c", command], cwd=site.repo)
        assert git(site.repo, "ls-files", "--stage") == before or harm.endswith("a.txt")


MINE = "import os\n\ndef mine():\n    return None\n"


@pytest.mark.parametrize(
    ("harm", "files"),
    [
        ("echo HIS > a.txt", ["a.txt"]),
        ("echo HIS > new/n.txt", ["new/n.txt"]),
        ("printf 'import os\n\ndef his():\n    return None\n' > new/n.txt", ["new/n.txt"]),
        ("sed -i 's/mine/his/' a.txt", ["a.txt"]),
        ("git show HEAD:src/b.txt > src/b.txt", ["src/b.txt"]),
        ("git show HEAD:a.txt > a.txt", ["a.txt"]),
        ("printf '\\0\\2' > pixels.bin", ["pixels.bin"]),
        ("git add a.txt; echo HIS > a.txt; git commit -qm mine a.txt", ["a.txt"]),
        ("git commit -qm mine a.txt; echo HIS > a.txt", []),
        ("echo more >> a.txt", []),
        ("cp a.txt b; echo first > a.txt; cat b >> a.txt; rm b", []),
        ("touch a.txt new/n.txt pixels.bin", []),
        ("sed -i 's/def/  def/' a.txt", []),
    ],
)
@pytest.mark.slice(2)
async def test_what_is_written_over_while_a_worktree_is_worked_in_is_kept_and_told_as_no_loss(
    site: Site, harm: str, files: list[str]
) -> None:
    write(site.repo, "src/b.txt", "one\ntwo\n")
    git(site.repo, "commit", "-qam", "two lines")
    for name in ("a.txt", "new/n.txt"):
        write(site.repo, name, MINE)
    write(site.repo, "src/b.txt", "two\n")
    (site.repo / "pixels.bin").write_bytes(b"\0\1")
    former = {name: (site.repo / name).read_bytes() for name in files}

    def work(folder: Path) -> None:
        write(folder, "ours.txt", "done\n")
        subprocess.run(["bash", "-c", harm], cwd=site.repo, check=True)

    outcome = await site.attempt(site.order(), work)
    assert outcome.state is model.AttemptState.SUCCEEDED
    details = [receipt.detail for receipt in outcome.receipts if "was written over meanwhile" in receipt.detail]
    assert bool(details) is bool(files)
    assert (ports.LOSS in site.context.left, [site.context.left.get(ports.WRITTEN_OVER)]) == (False, details or [None])
    for detail in details:
        await anyio.run_process(["bash", "-c", detail.split("`")[-2]], cwd=site.repo)
    assert {name: (site.repo / name).read_bytes() for name in files} == former
    assert (git(site.repo, "for-each-ref", "refs/dispatch/run/before") != "") is bool(files)


async def test_what_is_emptied_is_a_loss_beside_what_is_written_over(site: Site) -> None:
    for name in ("a.txt", "new/n.txt"):
        write(site.repo, name, MINE)

    def work(folder: Path) -> None:
        write(folder, "src/b.txt", "done\n")
        write(site.repo, "a.txt", "HIS")
        write(site.repo, "new/n.txt", "")

    await site.attempt(site.order(), work)
    told, quiet = str(site.context.left[ports.LOSS]), str(site.context.left[ports.WRITTEN_OVER])
    assert ("new/n.txt" in told, "a.txt" in told) == (True, False)
    assert ("new/n.txt" in quiet, "a.txt" in quiet) == (False, True)


async def test_what_other_tasks_of_the_run_write_over_is_kept_and_said_in_the_receipt_alone(site: Site) -> None:
    write(site.repo, "theirs.txt", MINE)

    def work(folder: Path) -> None:
        write(folder, "src/b.txt", "done\n")
        write(site.repo, "theirs.txt", "changed on purpose\n")

    outcome = await site.attempt(site.order(declarations=("theirs.txt",)), work)
    assert any("was written over meanwhile" in receipt.detail for receipt in outcome.receipts)
    assert ports.WRITTEN_OVER not in site.context.left
    assert git(site.repo, "for-each-ref", "refs/dispatch/run/before") != ""


@pytest.mark.parametrize("act", ["mv mine.txt renamed.txt", "mv new newer", "mkdir far; mv mine.txt far/x; mv new far"])
async def test_a_new_file_that_is_moved_in_the_checkout_is_no_loss(site: Site, act: str) -> None:
    for name in ("mine.txt", "new/n.txt", "new/deep/m.txt"):
        write(site.repo, name, MINE)

    def work(folder: Path) -> None:
        write(folder, "src/b.txt", "done\n")
        subprocess.run(["bash", "-c", act], cwd=site.repo, check=True)

    await site.attempt(site.order(), work)
    assert site.context.left.keys().isdisjoint({ports.LOSS, ports.WRITTEN_OVER})
    assert git(site.repo, "for-each-ref", "refs/dispatch/run/before") == ""


async def test_who_stages_more_in_the_meantime_has_lost_nothing(site: Site) -> None:
    write(site.repo, "a.txt", "staged only\n")
    git(site.repo, "add", "a.txt")
    write(site.repo, "a.txt", "on the disk\n")
    repo = await git_process.find(site.workspaces.git, str(site.repo))
    watch = checkout_watch.CheckoutWatch(site.workspaces.git, repo)
    before = await watch.view()
    git(site.repo, "add", "a.txt")
    assert checkout_watch.unstaged_files(before, await watch.view(), [], site.repo) == []
    git(site.repo, "reset", "-q")
    assert checkout_watch.unstaged_files(before, await watch.view(), [], site.repo) == ["a.txt"]


def test_what_is_lost_without_a_copy_is_called_so() -> None:
    copy = edits_copy.EditsCopy(REF, "1" * 40, frozenset({"new/a"}))
    assert edits_copy.notice(copy, []) == ""
    assert edits_copy.notice(None, []) == ""
    assert edits_copy.notice(copy, ["new/", "huge.bin"]).endswith(f"(kept as {REF}). There is no copy of `huge.bin`.")
    assert edits_copy.notice(None, ["x"]).endswith("somebody else: `x`. There is no copy of `x`.")


@pytest.mark.parametrize(
    ("harm", "is_lost"),
    [
        (("checkout", "-q", "--", "a.txt"), True),
        (("stash", "-q", "-u"), True),
        (("clean", "-fdq"), True),
        (("stash", "-q", "-u", "--", "nothing-of-that-name"), False),
        (("status",), False),
    ],
)
async def test_the_copy_stays_only_where_something_of_it_is_missing(
    site: Site, harm: tuple[str, ...], *, is_lost: bool
) -> None:
    write(site.repo, "a.txt", "mine\n")
    write(site.repo, "new/n.txt", "mine\n")

    def work(folder: Path) -> None:
        write(folder, "src/b.txt", "done\n")
        git(site.repo, *harm, check=False)

    outcome = await site.attempt(site.order(), work)
    ref = run_refs.Refs("run").edits(site.order().task.id, 1)
    assert (git(site.repo, "for-each-ref", ref) != "") is is_lost
    details = [receipt.detail for receipt in outcome.receipts if "Uncommitted work i" in receipt.detail]
    assert bool(details) is is_lost
    assert outcome.state is model.AttemptState.SUCCEEDED
