from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import anyio
import memory_blobs
import pytest
import temp_repository
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_mcp import errors
from dispatch_mcp.git import git_process, parcels
from dispatch_mcp.process import child_environment

pytestmark = pytest.mark.anyio


class Way:
    """A repository here, and a host whose disk is another folder."""

    def __init__(self, folder: Path) -> None:
        self.repo = temp_repository.make(folder / "repo")
        self.shelf = memory_blobs.Shelf()
        self.host = folder / "host"
        policy = child_environment.ChildPolicy({"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]})
        git = git_process.Git(folder / "home", policy)
        self.now = 0.0
        self.sender = parcels.Sender(git, self.shelf, lambda: self.now)
        self.receiver = parcels.Receiver(git_process.Git(self.host, policy), self.shelf, self.host)
        self.place = self.host / "place"

    async def send(self, *by_name: str, at: Path | None = None) -> tuple[parcels.Parcel, Path]:
        parcel = await self.sender.pack(str(at or self.repo), by_name)
        return parcel, await self.receiver.lay(parcel, self.place)

    async def back(self, parcel: parcels.Parcel, *by_name: str, moves_head: bool = False) -> str:
        change = await self.receiver.collect(parcel, self.place, by_name)
        if change:
            await self.sender.take_back(str(self.repo), parcel, change, moves_head=moves_head)
        return change


@pytest.fixture
def way(tmp_path: Path) -> Way:
    return Way(tmp_path)


def contents(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Returns all files of a folder but git's own, with what kind each is of."""
    files: dict[str, tuple[str, bytes]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == ".git" or name.startswith(".git/"):
            continue
        if path.is_symlink():
            files[name] = ("link", os.fsencode(path.readlink()))
        elif path.is_file():
            files[name] = ("program" if path.stat().st_mode & 0o100 else "file", path.read_bytes())
    return files


async def test_a_place_holds_what_the_folder_held_with_its_history_and_what_is_not_committed(way: Way) -> None:
    temp_repository.write(way.repo, "src/new.py", "untracked\n")
    (way.repo / "a.txt").write_text("edited\n")
    (way.repo / "src/b.txt").unlink()
    _, workspace = await way.send()
    assert contents(workspace) == contents(way.repo)
    for command in (("log", "--format=%H %s"), ("status", "--porcelain", "-uall")):
        assert temp_repository.git(workspace, *command) == temp_repository.git(way.repo, *command)


async def test_a_history_that_the_bucket_has_deleted_since_is_kept_there_anew(way: Way) -> None:
    await way.sender.pack(str(way.repo))
    way.shelf.clear()
    way.now = parcels.RENEWED_S
    _, workspace = await way.send()
    assert contents(workspace) == contents(way.repo)


async def test_what_a_host_changes_is_made_in_the_folder_that_was_sent(way: Way) -> None:
    parcel, workspace = await way.send()
    temp_repository.write(workspace, "deep/er/new.bin", "x\0y\n")
    (workspace / "a.txt").write_text("changed there\n")
    (workspace / "src/b.txt").unlink()
    (workspace / "run.sh").write_text("#!/bin/sh\n")
    (workspace / "run.sh").chmod(0o755)
    (workspace / "link").symlink_to("a.txt")
    assert await way.back(parcel)
    assert contents(way.repo) == contents(workspace)
    assert temp_repository.git(way.repo, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


async def test_nothing_comes_back_of_a_place_in_which_nothing_has_changed(way: Way) -> None:
    (way.repo / "a.txt").write_text("edited\n")
    parcel, _ = await way.send()
    assert await way.back(parcel) == ""


async def test_commits_that_a_worker_has_made_come_back_to_a_worktree_as_they_are(way: Way) -> None:
    parcel, workspace = await way.send()
    (workspace / "a.txt").write_text("committed there\n")
    made = temp_repository.commit(workspace, "Made on a host")
    (workspace / "src/b.txt").write_text("not committed there\n")
    temp_repository.git(way.repo, "checkout", "-q", "--detach")
    await way.back(parcel, moves_head=True)
    assert temp_repository.git(way.repo, "rev-parse", "HEAD") == made
    assert temp_repository.git(way.repo, "status", "--porcelain") == "M src/b.txt"
    assert temp_repository.git(way.repo, "rev-parse", "main") == parcel.head


async def test_a_host_never_moves_the_branch_of_a_checkout(way: Way) -> None:
    parcel, workspace = await way.send()
    (workspace / "a.txt").write_text("committed there\n")
    temp_repository.commit(workspace, "Made on a host")
    await way.back(parcel)
    assert temp_repository.git(way.repo, "rev-parse", "main") == parcel.head
    assert (way.repo / "a.txt").read_text() == "committed there\n"


async def test_a_change_that_no_longer_fits_is_refused_as_a_whole(way: Way) -> None:
    parcel, workspace = await way.send()
    (workspace / "a.txt").write_text("there\n")
    (workspace / "new.txt").write_text("there\n")
    (way.repo / "a.txt").write_text("here, meanwhile\n")
    before = contents(way.repo)
    with pytest.raises(git_process.Lasting, match="does not fit") as refusal:
        await way.back(parcel)
    assert refusal.value.kind == "merge_conflict"
    assert contents(way.repo) == before


async def test_what_is_not_committed_and_put_back_there_is_put_back_here(way: Way) -> None:
    original = (way.repo / "a.txt").read_text()
    (way.repo / "a.txt").write_text("a try\n")
    parcel, workspace = await way.send()
    (workspace / "a.txt").write_text(original)
    await way.back(parcel)
    assert (way.repo / "a.txt").read_text() == original


async def test_ignored_files_travel_only_if_their_task_names_them(way: Way) -> None:
    temp_repository.write(way.repo, ".gitignore", "*.log\n")
    temp_repository.write(way.repo, "build.log", "here\n")
    temp_repository.write(way.repo, "other.log", "here\n")
    parcel, workspace = await way.send("build.log", "absent.log")
    assert [path.name for path in workspace.glob("*.log")] == ["build.log"]
    (workspace / "build.log").write_text("there\n")
    (workspace / "extra.log").write_text("there\n")
    await way.back(parcel, "build.log")
    assert {path.name: path.read_text() for path in way.repo.glob("*.log")} == {
        "build.log": "there\n",
        "other.log": "here\n",
    }


async def test_a_workspace_below_the_top_of_its_repository_is_one_there_too(way: Way) -> None:
    temp_repository.write(way.repo, "part/c.txt", "c\n")
    temp_repository.commit(way.repo)
    parcel, workspace = await way.send(at=way.repo / "part")
    assert workspace == way.place / "part"
    (workspace / "c.txt").write_text("changed\n")
    await way.back(parcel)
    assert (way.repo / "part" / "c.txt").read_text() == "changed\n"


async def test_the_history_of_a_repository_is_sent_once(way: Way) -> None:
    temp_repository.write(way.repo, "large.txt", os.urandom(100_000).hex())
    temp_repository.commit(way.repo)
    first, _ = await way.send()
    shutil.rmtree(way.place)
    (way.repo / "a.txt").write_text("the next commit\n")
    temp_repository.commit(way.repo)
    second, workspace = await way.send()
    assert contents(workspace) == contents(way.repo)
    assert second.parts[0] == first.parts[0]
    assert len(way.shelf[second.parts[1]]) < 2_000 < len(way.shelf[first.parts[0]])


async def test_a_history_that_begins_anew_is_sent_anew(way: Way) -> None:
    await way.send()
    shutil.rmtree(way.place)
    temp_repository.git(way.repo, "checkout", "-q", "--orphan", "other")
    temp_repository.commit(way.repo, "Begin anew")
    _, workspace = await way.send()
    assert temp_repository.git(workspace, "log", "--format=%s") == "Begin anew"


def without_repository(repo: Path) -> None:
    shutil.rmtree(repo / ".git")


def without_folder(repo: Path) -> None:
    shutil.rmtree(repo)


def shallow(repo: Path) -> None:
    (repo / ".git" / "shallow").write_text(temp_repository.git(repo, "rev-parse", "HEAD"))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(without_repository, "not in a git repository"), (without_folder, "is not there"), (shallow, "shallow")],
)
async def test_what_cannot_be_sent_says_why_and_is_not_tried_again(
    way: Way, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(way.repo)
    with pytest.raises(git_process.Lasting, match=reason) as refusal:
        await way.send()
    assert refusal.value.kind == "no_worktree"


async def test_a_place_whose_worker_has_removed_its_repository_is_not_taken_for_one_of_a_folder_above(
    way: Way,
) -> None:
    temp_repository.make(way.host / "above")
    way.place = way.host / "above" / "place"
    parcel, workspace = await way.send()
    shutil.rmtree(workspace / ".git")
    with pytest.raises(errors.WorkerError):
        await way.back(parcel)


async def test_a_change_comes_back_while_another_worktree_is_being_made(way: Way) -> None:
    parcel, workspace = await way.send()
    (workspace / "a.txt").write_text("there\n")
    temp_repository.git(way.repo, "worktree", "add", "-q", "--detach", str(way.repo.parent / "other"))
    # What `git worktree add` has written there before it knows better.
    (way.repo / ".git" / "worktrees" / "other" / "HEAD").write_text("0" * 40 + "\n")
    await way.back(parcel)
    assert (way.repo / "a.txt").read_text() == "there\n"


def zeroed(data: bytes) -> bytes:
    return data[:-40] + bytes(40)


def renamed(data: bytes) -> bytes:
    return data.replace(parcels.TIP.encode(), b"refs/heads/main")


def headless(data: bytes) -> bytes:
    return data.partition(b"\n\n")[2]


def packless(data: bytes) -> bytes:
    return data.partition(b"\n\n")[0]


@pytest.mark.parametrize("spoil", [zeroed, renamed, headless, packless])
async def test_a_bundle_that_is_damaged_changes_nothing(way: Way, spoil: Callable[[bytes], bytes]) -> None:
    parcel, workspace = await way.send()
    (workspace / "a.txt").write_text("there\n")
    change = await way.receiver.collect(parcel, way.place)
    way.shelf[change] = spoil(way.shelf[change])
    before = contents(way.repo)
    with pytest.raises(errors.WorkerError):
        await way.sender.take_back(str(way.repo), parcel, change, moves_head=False)
    assert contents(way.repo) == before
    assert temp_repository.git(way.repo, "for-each-ref", "--format=%(refname)") == "refs/heads/main"


@pytest.mark.parametrize("name", [".git", ".GIT", ".."])
async def test_a_name_that_no_file_may_have_is_refused(way: Way, name: str) -> None:
    parcel, workspace = await way.send()
    run = functools.partial(temp_repository.git, workspace)
    blob = run("hash-object", "-w", "a.txt")
    entry = b"100644 " + name.encode() + b"\0" + bytes.fromhex(blob)
    (workspace / "tree").write_bytes(entry)
    tree = run("hash-object", "-w", "--literally", "-t", "tree", "tree")
    run("update-ref", parcels.TIP, run("commit-tree", tree, "-p", parcel.head, "-m", "x"))
    run("bundle", "create", "-q", "bundle", parcels.TIP, f"^{parcel.head}")
    change = way.shelf.put((workspace / "bundle").read_bytes())
    before = contents(way.repo)
    with pytest.raises(errors.WorkerError):
        await way.sender.take_back(str(way.repo), parcel, change, moves_head=False)
    assert contents(way.repo) == before


async def test_places_of_one_history_can_be_laid_at_the_same_time(way: Way) -> None:
    parcel = await way.sender.pack(str(way.repo))
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(way.receiver.lay, parcel, way.host / f"place-{number}")
    assert {tuple(contents(way.host / f"place-{number}")) for number in range(4)} == {tuple(contents(way.repo))}


NAMES = st.sampled_from(["a.txt", "src/b.txt", "c", "d/e.txt", "d/f", " g h.txt", "ü.txt", "-i"])
DATA = st.one_of(st.binary(max_size=40), st.sampled_from([b"a\r\nb\r\n", b"no end", b"x\n" * 50, b"\0\n\0"]))
CHANGES = st.lists(st.tuples(st.sampled_from(["write", "program", "link", "remove"]), NAMES, DATA), max_size=8)


def make_change(folder: Path, kind: str, name: str, data: bytes) -> None:
    path = folder / name
    if path.is_dir() and not path.is_symlink():
        return
    path.unlink(missing_ok=True)
    if kind == "remove":
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "link":
        path.symlink_to(f"to-{len(data)}")
    else:
        path.write_bytes(data)
        path.chmod(0o755 if kind == "program" else 0o644)


@pytest.mark.property
@settings(max_examples=12, deadline=None)
@given(here=CHANGES, there=CHANGES, commits=st.sets(st.sampled_from(["here", "there"])))
def test_any_change_arrives_as_it_was_made(
    tmp_path_factory: pytest.TempPathFactory,
    here: list[tuple[str, str, bytes]],
    there: list[tuple[str, str, bytes]],
    commits: set[str],
) -> None:
    folder = tmp_path_factory.mktemp("way")

    async def travel() -> None:
        way = Way(folder)
        for change in here:
            make_change(way.repo, *change)
        if "here" in commits:
            temp_repository.commit(way.repo)
        parcel, workspace = await way.send()
        assert contents(workspace) == contents(way.repo)
        for change in there:
            make_change(workspace, *change)
        if "there" in commits:
            temp_repository.commit(workspace)
        await way.back(parcel)
        assert contents(way.repo) == contents(workspace)

    anyio.run(travel)
    shutil.rmtree(folder)
