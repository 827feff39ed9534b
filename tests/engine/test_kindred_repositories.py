"""Which commits and files a repository under another path has, and what its files are called now."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dispatch_mcp.engine.earlier_runs import kindred_repositories
from dispatch_mcp.git import git_process
from dispatch_mcp.process import child_environment

pytestmark = pytest.mark.anyio

ABSENT = "0123456789" * 4
TEXT = "".join(f"line {number}\n" for number in range(20))


def git(at: Path, *command: str) -> str:
    return subprocess.run(["git", *command], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


def commit(at: Path) -> str:
    git(at, "add", ".")
    git(at, "commit", "-q", "-m", "Change")
    return git(at, "rev-parse", "HEAD")


def under_another_name(at: Path) -> Path:
    return at.rename(at.with_name("other"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = tmp_path / "shop"
    (root / "app").mkdir(parents=True)
    (root / "app/cart.py").write_text(TEXT)
    git(root, "init", "-q", "-b", "main")
    return root


def history(at: Path) -> kindred_repositories.RepositoryHistory:
    policy = child_environment.ChildPolicy(os.environ)
    return kindred_repositories.RepositoryHistory(git_process.Git(at.parent / "state", policy), at)


async def test_a_clone_and_a_folder_under_another_name_have_the_commits_and_files_that_were_there(shop: Path) -> None:
    first = commit(shop)
    clone = shop.with_name("clone")
    git(shop, "clone", "-q", ".", str(clone))
    for at in (clone, under_another_name(shop)):
        assert await history(at).commits([first, ABSENT]) == {first}
        assert await history(at).files(first, ["app/cart.py", "app/no.py", "app/b\nad.py"]) == ["app/cart.py"]


async def test_a_folder_without_a_repository_or_commit_has_none(shop: Path, tmp_path: Path) -> None:
    for at in (shop, tmp_path):
        assert await history(at).commits([ABSENT]) == frozenset()
        assert await history(at).renames(ABSENT) == []
        assert await history(at).files(ABSENT, ["app/cart.py"]) == []
    assert await history(shop).commits([]) == frozenset()


async def test_renames_are_told_in_order_whether_they_are_committed_or_not(shop: Path) -> None:
    first = commit(shop)
    git(shop, "mv", "app/cart.py", "app/cøre.py")
    commit(shop)
    git(shop, "mv", "app/cøre.py", "app/total.py")
    (shop / "app/total.py").write_text(f"{TEXT}more\n")
    renames = await history(shop).renames(first)
    assert renames[0] == ("app/cart.py", "app/cøre.py")
    assert ("app/cart.py", "app/total.py") in renames[1:]


async def test_new_files_are_those_that_were_added_or_nobody_has_added_yet(shop: Path) -> None:
    (shop / ".gitignore").write_text("*.log\n")
    first = commit(shop)
    (shop / "new.py").write_text("x\n")
    commit(shop)
    (shop / "app/loose file.py").write_text("y\n")
    (shop / "noise.log").write_text("z\n")
    assert await history(shop).new_files(first) == ["new.py", "app/loose file.py"]
