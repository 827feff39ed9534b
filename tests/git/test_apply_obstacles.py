"""What of the user's own lies in the way of a change: refused and named, by looking and by applying, and left alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from temp_repository import Site, commit, git, make, puts, state_of, write

from dispatch_mcp import errors
from dispatch_mcp.git import apply_rules, branch_apply, git_process, merge_rules, path_obstacles
from dispatch_mcp.model import AttemptState, merge_offer
from dispatch_mcp.process import child_environment

pytestmark = pytest.mark.anyio

IGNORED = "local/\nown\n*.key\nlinks\n"
Work = Callable[[Path], None]


def contents(at: Path) -> Mapping[str, str]:
    """Returns every file, link and folder of a checkout, also those that git ignores."""
    return {
        str(path.relative_to(at)): f"-> {path.readlink()}" if path.is_symlink() else _text(path)
        for path in sorted(at.rglob("*"))
        if ".git" not in path.relative_to(at).parts
    }


def _text(path: Path) -> str:
    return "(folder)" if path.is_dir() else path.read_text()


def replaces(path: str, text: str) -> Work:
    """Returns work that puts a file where a folder was, or the other way round."""

    def work(at: Path) -> None:
        git(at, "rm", "-rq", "--", path.split("/", maxsplit=1)[0])
        write(at, path, text)

    return work


def links(path: str, target: str) -> Work:
    def work(at: Path) -> None:
        git(at, "rm", "-rq", "--", path)
        (at / path).symlink_to(target)

    return work


def own_at(path: str, text: str = "mine") -> Work:
    return lambda at: write(at, path, text)


def own_link(path: str) -> Work:
    def work(at: Path) -> None:
        write(at.parent, "elsewhere/settings.json", "mine")
        (at / path).symlink_to(at.parent / "elsewhere")

    return work


def own_repository(path: str) -> Work:
    def work(at: Path) -> None:
        git(make(at / path), "checkout", "-q", "-b", "mine")

    return work


def empty_repository(path: str) -> Work:
    def work(at: Path) -> None:
        (at / path).mkdir()
        git(at / path, "init", "-q")

    return work


class Case(NamedTuple):
    mine: Work
    theirs: Work
    paths: tuple[str, ...]
    declares: tuple[str, ...] = ()


CASES = {
    "an ignored file": Case(
        own_at("local/settings.json"),
        puts("local/settings.json", "x"),
        ("local/settings.json",),
        ("local/settings.json",),
    ),
    "an untracked file": Case(own_at("new.txt"), puts("new.txt", "x"), ("new.txt",)),
    "an ignored file where a folder comes": Case(own_at("own"), puts("own/x.txt", "x"), ("own",), ("own/x.txt",)),
    "an untracked file where a folder comes": Case(own_at("new"), puts("new/x.txt", "x"), ("new",)),
    "an ignored folder where a file comes": Case(own_at("own/mine.txt"), puts("own", "x"), ("own/mine.txt",), ("own",)),
    "an ignored file in a tracked folder that becomes a file": Case(
        own_at("src/deep/own.key"), replaces("src", "x"), ("src/deep/own.key",)
    ),
    "an ignored file in a tracked folder that becomes a link": Case(
        own_at("src/own.key"), links("src", "a.txt"), ("src/own.key",)
    ),
    "an ignored link where a folder comes": Case(
        own_link("links"), puts("links/settings.json", "x"), ("links",), ("links/settings.json",)
    ),
    "an untracked link where a folder comes": Case(own_link("new"), puts("new/settings.json", "x"), ("new",)),
    "a link where a file comes": Case(own_link("new.txt"), puts("new.txt", "x"), ("new.txt",)),
    "a repository into which files come": Case(own_repository("inner"), puts("inner/new.txt", "x"), ("inner/",)),
    "a repository where a file comes": Case(own_repository("inner"), puts("inner", "x"), ("inner/",)),
    "a repository without a commit where a file comes": Case(empty_repository("new"), puts("new", "x"), ("new/",)),
    "an ignored repository into which files come": Case(
        own_repository("own"), puts("own/new.txt", "x"), ("own/",), ("own/new.txt",)
    ),
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    repo = make(tmp_path / "repo")
    write(repo, ".gitignore", IGNORED)
    commit(repo)
    return Site(repo, tmp_path / "state")


async def look(site: Site) -> merge_offer.Offer:
    with anyio.fail_after(120):
        return await branch_apply.BranchApply(site.workspaces.git).look(str(site.repo), "run")


async def apply(site: Site, revision: str) -> merge_offer.Offer:
    with anyio.fail_after(120):
        return await branch_apply.BranchApply(site.workspaces.git).apply(str(site.repo), "run", revision)


async def prepare(site: Site, theirs: Work, declares: tuple[str, ...] = ()) -> None:
    order = site.order()
    task = order.task.model_copy(update={"files": declares})
    outcome = await site.attempt(site.order(task=task), theirs)
    assert outcome.state is AttemptState.SUCCEEDED, outcome.error


@pytest.mark.slice(3)
@pytest.mark.promise("S8")
@pytest.mark.promise("S20")
@pytest.mark.parametrize("way", ["forward", "merge"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_what_is_the_users_own_in_the_way_of_a_change_is_named_and_stays(
    site: Site, case: Case, way: merge_offer.Way
) -> None:
    await prepare(site, case.theirs, case.declares)
    if way == "merge":
        write(site.repo, "more.txt", "committed meanwhile")
        commit(site.repo)
    case.mine(site.repo)
    before, files = state_of(site.repo), contents(site.repo.parent)
    offer = await look(site)
    assert (offer.way, set(case.paths) <= set(offer.local)) == (way, True), offer.local
    obstacle = apply_rules.obstacle(offer)
    assert obstacle is not None
    with pytest.raises(errors.NotAllowed, match="would be written over"):
        await apply(site, offer.revision)
    assert (state_of(site.repo), contents(site.repo.parent)) == (before, files)


FREE: dict[str, tuple[Work, Work]] = {
    "an ignored file elsewhere": (own_at("local/settings.json"), puts("new.txt", "x")),
    "an ignored file beside": (own_at("src/own.key"), puts("src/new.txt", "x")),
    "an empty folder": (lambda at: (at / "new").mkdir(), puts("new/x.txt", "x")),
    "an empty folder where a file comes": (lambda at: (at / "new" / "deep").mkdir(parents=True), puts("new", "x")),
    "a tracked folder that becomes a file": (own_at("own"), replaces("src", "x")),
    "a tracked file that becomes a folder": (own_at("own"), replaces("a.txt/b.txt", "x")),
    "a repository elsewhere": (own_repository("inner"), puts("outer/new.txt", "x")),
}


@pytest.mark.parametrize(("mine", "theirs"), FREE.values(), ids=FREE.keys())
@pytest.mark.slice(2)
async def test_what_is_not_in_the_way_of_a_change_stays_and_keeps_nobody_from_applying(
    site: Site, mine: Work, theirs: Work
) -> None:
    await prepare(site, theirs)
    mine(site.repo)
    own_files = {path: text for path, text in contents(site.repo).items() if text == "mine"}
    offer = await look(site)
    assert offer.local == ()
    assert (await apply(site, offer.revision)).applied
    assert own_files.items() <= contents(site.repo).items()
    assert git(site.repo, "diff", "HEAD", "--stat") == ""


async def test_an_ignored_file_that_comes_after_the_look_is_kept_by_git_itself(site: Site, tmp_path: Path) -> None:
    await prepare(site, puts("local/settings.json", "x"), ("local/settings.json",))
    real, fake = git(site.repo, "--exec-path") + "/git", tmp_path / "bin" / "git"
    fake.parent.mkdir()
    late = f'mkdir -p "{site.repo}/local"; echo mine > "{site.repo}/local/settings.json"'
    fake.write_text(f'#!/bin/sh\ncase "$*" in *--ff-only*) {late};; esac\nexec {real} "$@"\n')
    fake.chmod(0o755)
    policy = child_environment.ChildPolicy({"PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}"})
    hasty = branch_apply.BranchApply(git_process.Git(site.home, policy))
    with anyio.fail_after(120), pytest.raises(errors.NotAllowed, match="git did not change the checkout"):
        await hasty.apply(str(site.repo), "run", (await look(site)).revision)
    assert (site.repo / "local" / "settings.json").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("names", "twins"),
    [
        (("Readme", "README", "other"), ("Readme", "README")),
        (("src/a.py", "SRC/a.py"), ("src/a.py", "SRC/a.py")),
        (("caf\u00e9", "cafe\u0301"), ("caf\u00e9", "cafe\u0301")),
        (("a", "b"), ()),
    ],
)
def test_names_that_are_one_where_capitals_do_not_count_collide(
    names: tuple[str, ...], twins: tuple[str, ...], tmp_path: Path
) -> None:
    coming = [merge_rules.PathChange("A", "100644", name) for name in names]
    assert path_obstacles.in_the_way(tmp_path, coming, ignore_case=True) == list(twins)
    assert path_obstacles.in_the_way(tmp_path, coming, ignore_case=False) == []


def test_a_file_that_only_changes_its_capitals_is_not_in_its_own_way(tmp_path: Path) -> None:
    write(tmp_path, "README", "on such a disk both names open it")
    renamed = [merge_rules.PathChange("D", "000000", "Readme"), merge_rules.PathChange("A", "100644", "README")]
    assert path_obstacles.in_the_way(tmp_path, renamed, ignore_case=True) == []
    assert path_obstacles.in_the_way(tmp_path, renamed, ignore_case=False) == ["README"]


@pytest.mark.parametrize("mark", ["--assume-unchanged", "--skip-worktree"])
@pytest.mark.parametrize("is_edited", [True, False])
async def test_edits_that_the_index_says_to_overlook_stand_in_the_way_when_looking_too(
    tmp_path: Path, mark: str, *, is_edited: bool
) -> None:
    site = Site(make(tmp_path / "repo"), tmp_path / "state")
    await site.attempt(site.order(), puts("a.txt", "theirs"))
    git(site.repo, "update-index", mark, "a.txt", "src/b.txt")
    write(site.repo, "src/b.txt", "mine, and in nobody's way")
    if is_edited:
        write(site.repo, "a.txt", "mine")
    offer = await branch_apply.BranchApply(site.workspaces.git).look(str(site.repo), "run")
    assert offer.local == (("a.txt",) if is_edited else ())
    assert apply_rules.can_be_applied(offer) is not is_edited
