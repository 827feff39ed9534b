"""Repositories with a submodule, and work inside of it, for the tests of worktrees."""

from __future__ import annotations

import subprocess
from pathlib import Path

from temp_repository import Work, commit, git, make, write

PLACE = "parts/pump"
LOCAL = ("-c", "protocol.file.allow=always")


def add_submodule(repo: Path, upstream: Path, place: str = PLACE) -> Path:
    """Adds a repository as a submodule of another one and commits that; returns its folder in the checkout."""
    if not upstream.exists():
        make(upstream)
    git(repo, *LOCAL, "submodule", "--quiet", "add", str(upstream), place)
    commit(repo, "With a submodule")
    return repo / place


def fill(at: Path, *options: str) -> Path:
    """Fills the submodules of a worktree, as a worker does; returns the folder of the first."""
    git(at, *LOCAL, "submodule", "--quiet", "update", "--init", "--recursive", *options)
    return at / PLACE


def filled(at: Path) -> None:
    """Is work that fills the submodules and changes nothing."""
    fill(at)


def writes(path: str, text: str = "work") -> Work:
    """Returns work that fills the submodule and writes a file in it."""
    return lambda at: write(fill(at), path, text)


def commits(*, branch: str = "", then: str = "") -> Work:
    """Returns work that commits inside of the submodule, on a branch if it is named; `then` is checked out after it."""

    def work(at: Path) -> None:
        inner = fill(at)
        if branch:
            git(inner, "checkout", "-q", "-b", branch)
        write(inner, "a.txt", "work")
        commit(inner, "Inner work")
        if then:
            git(inner, "checkout", "-q", then)

    return work


def has(repository: Path, commit_or_path: str) -> bool:
    """Returns whether a repository has an object."""
    command = ["git", "cat-file", "-e", commit_or_path]
    return subprocess.run(command, cwd=repository, check=False, capture_output=True).returncode == 0


def link(repo: Path, revision: str, place: str = PLACE) -> str:
    """Returns the commit of a submodule that a revision names, empty for none."""
    words = git(repo, "ls-tree", revision, "--", place).split()
    return words[2] if words[:1] == ["160000"] else ""


_OF_GIT_NOTHING = ("local/cache.json", "build/deep/out.bin", ".env", f"{PLACE}/notes.txt", f"{PLACE}/a.txt")


def lay_property(repo: Path, upstream: Path) -> None:
    """Gives a repository what is only the user's: a submodule with a commit and edits of theirs, and ignored files."""
    pump = add_submodule(repo, upstream)
    write(repo, ".gitignore", "local/\nbuild/\n.env\n")
    commit(repo, "Ignore")
    git(pump, "checkout", "-q", "-b", "mine")
    write(pump, "own.txt", "mine\n")
    commit(pump, "Of the user, pushed nowhere")
    for path in _OF_GIT_NOTHING:
        write(repo, path, f"mine: {path}\n")


def property_of(repo: Path) -> dict[str, str]:
    """Returns what is the user's, by name: commits, branches and loose files of the checkout and of its submodule."""
    things: dict[str, str] = {}
    for at in (repo, repo / PLACE):
        for words in (("rev-parse", "HEAD"), ("branch", "--show-current"), ("status", "--porcelain")):
            things[f"{at.name} {words[0]}"] = git(at, *words)
    for path in (*_OF_GIT_NOTHING, f"{PLACE}/own.txt"):
        things[path] = (repo / path).read_text() if (repo / path).exists() else "GONE"
    return things
