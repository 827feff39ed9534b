"""Reads repositories that an attempt may have set up, and copies out of them.

Their configuration may name programs (filters, monitors). So git runs with it only to read refs and commits, which
starts none. Files are compared and kept by a repository of the user's, to which their objects are lent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import anyio

from dispatch_mcp.git import git_process, merge_rules
from dispatch_mcp.model import run_refs

MAX_COMMITS: Final = 1_000

_INDEX: Final = "dispatch-inner-index"
_OFFLINE: Final = {"GIT_ALLOW_PROTOCOL": "none"}
"""What is missing in a partial clone is not fetched: its configuration would say by which program."""

_HEAD: Final = ("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
_POINTER: Final = "gitdir: "


class ForeignRepository(NamedTuple):
    """A repository inside a worktree: its files, its git directory and the one that holds its objects, its commit.

    `is_own` says that its objects go when the worktree goes.
    """

    folder: Path
    git_dir: Path
    common: Path
    is_own: bool
    head: str

    @property
    def env(self) -> dict[str, str]:
        """The environment in which a repository of the user's sees its files and its objects."""
        path = str(self.common / "objects").replace("\\", "\\\\").replace('"', '\\"')
        return {**_OFFLINE, "GIT_WORK_TREE": str(self.folder), "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{path}"'}


class Staged(NamedTuple):
    """What an index has of inner repositories: their commits by path.

    It lacks those without a commit, `unborn`, and has those whose folder is gone though they are listed, `absent`.
    """

    links: Mapping[str, str]
    unborn: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


class Uncommitted(NamedTuple):
    """The files that are in no commit, the tree of all files, and the commits of other repositories in it, by path."""

    files: tuple[str, ...]
    tree: str
    links: Mapping[str, str]


def git_directory(folder: Path) -> Path | None:
    """Returns the git directory of a repository whose top a folder is, without asking git; None if it is none."""
    mark = folder / ".git"
    try:
        if mark.is_file():
            text = mark.read_bytes()[:4_096].decode("utf-8", "surrogateescape").strip()
            mark = folder / text.removeprefix(_POINTER) if text.startswith(_POINTER) else folder / ".git" / "none"
        return mark.resolve() if (mark / "HEAD").is_file() else None
    except OSError:
        return None


def git_directories(folder: Path, depth: int = 12) -> Iterator[Path]:
    """Yields the git directories of submodules below a folder `modules`, and of submodules inside of these."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())
    except OSError:
        return
    for entry in entries if depth else ():
        if (entry / "HEAD").is_file() and (entry / "objects").is_dir():
            yield entry
            yield from git_directories(entry / "modules", depth - 1)
        else:
            yield from git_directories(entry, depth - 1)


def _gone(at: Path, links: Collection[str], names: Collection[str]) -> tuple[list[str], list[str]]:
    """Returns the submodules that gave way to a file, to files or to nothing, and those whose folder only is gone.

    What is still listed stays: in the first case it gave way to a file.
    """
    obsolete = [path for path in links if _is_replaced(at / path, is_listed=path in names)]
    return obsolete, [path for path in links if path not in obsolete and not (at / path).exists()]


def _is_replaced(path: Path, *, is_listed: bool) -> bool:
    if path.is_symlink() or path.is_file():
        return True
    files = path.is_dir() and git_directory(path) is None and any(path.iterdir())
    return not is_listed and (files or not path.exists())


def common_directory(git_dir: Path) -> Path:
    """Returns the directory that holds the objects and refs of a repository, shared by its linked worktrees."""
    try:
        return (git_dir / (git_dir / "commondir").read_text().strip()).resolve()
    except OSError:
        return git_dir.resolve()


async def submodule_names(git: git_process.Git, top: Path, *, blob: str = "") -> dict[str, str]:
    """Returns the names of the submodules that the `.gitmodules` of a folder lists, or a `blob`, by path.

    Raises:
        WorkerError: git could not be run.
    """
    file = top / ".gitmodules"
    if not blob and not await anyio.Path(file).is_file():
        return {}
    source = ("--blob", blob) if blob else ("--file", str(file))
    ask = ("config", *source, "-z", "--get-regexp", r"^submodule\..*\.path$")
    answer = await git.run(top, *ask, codes=range(256))
    return merge_rules.submodule_names(answer.out) if answer.code == 0 else {}


@dataclass(frozen=True, slots=True)
class ForeignGit:
    """Git for the repositories inside the worktree of `repo` at `path`; `admin` is git's own folder of it.

    Every method raises WorkerError when git fails.
    """

    git: git_process.Git
    repo: git_process.Repository
    path: Path
    admin: Path

    async def stage(self, at: Path, env: Mapping[str, str], names: Collection[str]) -> Staged:
        """Stages everything below `at` that is not ignored; `names` are the submodules that its `.gitmodules` lists.

        An inner repository is never asked by git, which would run in it and look for changes: it is staged as the
        commit that it is at. One whose folder is gone stays staged as long as `.gitmodules` lists it.
        """
        links = merge_rules.gitlinks((await self.git.run(at, "ls-files", "--stage", "-z", env=env)).out)
        obsolete, absent = await anyio.to_thread.run_sync(_gone, at, links, names)
        await self._update_index(at, env, "--force-remove", obsolete)
        inner = {path: await self.locate(at / path) for path in links if path not in obsolete}
        await self._update_index(at, env, "--skip-worktree", inner)
        unborn = await self._add(at, env)
        heads = {path: repository.head for path, repository in inner.items() if repository and repository.head}
        if heads:
            lines = "".join(f"{merge_rules.GITLINK} {head}\t{path}\0" for path, head in heads.items())
            await self.git.run(at, "update-index", "-z", "--index-info", stdin=lines, env=env)
        links = merge_rules.gitlinks((await self.git.run(at, "ls-files", "--stage", "-z", env=env)).out)
        return Staged(links, tuple(unborn), tuple(absent))

    async def _update_index(self, at: Path, env: Mapping[str, str], option: str, paths: Collection[str]) -> None:
        if paths:
            await self.git.run(at, "update-index", option, "-z", "--stdin", stdin="\0".join(paths), env=env)

    async def _add(self, at: Path, env: Mapping[str, str]) -> list[str]:
        """Stages files; returns the repositories without a commit, which git refuses."""
        unborn: list[str] = []
        quietly = ("advice.addEmbeddedRepo=false",)
        while True:
            paths = [".", *(f":(exclude,literal){path}" for path in unborn)]
            command = ("add", "--all", "--sparse", "--", *paths)
            answer = await self.git.run(at, *command, settings=quietly, env=env, codes=(0, 128))
            if answer.code == 0:
                return unborn
            path = merge_rules.unborn_repository(answer.err)
            if not path or path in unborn:
                raise git_process.refusal("add", answer)
            unborn.append(path)

    async def remove(self, at: Path, env: Mapping[str, str], paths: Collection[str]) -> None:
        """Takes paths out of an index."""
        await self._update_index(at, env, "--force-remove", paths)

    async def locate(self, folder: Path) -> ForeignRepository | None:
        """Returns the repository whose top a folder is."""
        git_dir = await anyio.to_thread.run_sync(git_directory, folder)
        return None if git_dir is None else await self.at(folder, git_dir)

    async def at(self, folder: Path, git_dir: Path) -> ForeignRepository:
        """Returns the repository of a git directory, with its files in a folder."""
        common = await anyio.to_thread.run_sync(common_directory, git_dir)
        is_own = any(common.is_relative_to(place.resolve()) for place in (self.path, self.admin))
        head = await self._read(git_dir, *_HEAD, codes=(0, 1))
        return ForeignRepository(folder, git_dir, common, is_own, head.out.strip())

    async def commits(self, inner: ForeignRepository, outer: Collection[str], keeper: Path | None) -> list[str]:
        """Returns the commits that neither a repository's remotes nor the user's copy of it have, the newest first.

        `outer` are commits that the repository around it records.
        """
        heads = [inner.head] if inner.head else []
        if inner.is_own:
            every = ["--all", "--reflog", *heads, "--not", "--remotes"]
        elif heads:
            every = [*heads, "--not", f"--exclude={run_refs.PREFIX}/*", "--branches", "--tags", "--remotes"]
        else:
            return []
        exclusions = "".join(f"^{commit}\n" for commit in [*outer, *await self._refs(keeper)])
        ask = ("rev-list", f"--max-count={MAX_COMMITS}", "--ignore-missing", *every, "--stdin")
        return (await self._read(inner.git_dir, *ask, stdin=exclusions)).lines

    async def _refs(self, keeper: Path | None) -> list[str]:
        """Returns the commits that the user's own refs name."""
        if keeper is None:
            return []
        listing = ("for-each-ref", "--format=%(objectname)", "refs/heads/", "refs/remotes/", "refs/tags/")
        head = await self._read(keeper, *_HEAD, codes=(0, 1))
        return list(dict.fromkeys([*(await self._read(keeper, *listing)).lines, *head.lines]))

    async def is_held(self, keeper: Path, commit: str, *, by_runs: bool = False) -> bool:
        """Returns whether refs of the user's copy (or, `by_runs`, of runs) hold a commit and all that it builds on."""
        runs = () if by_runs else (f"--exclude={run_refs.PREFIX}/*",)
        ask = ("rev-list", "--max-count=1", "--objects", "--single-worktree", commit, "--not", *runs, "--all")
        answer = await self._read(keeper, *ask, codes=(0, 128))
        return answer.code == 0 and not answer.out.strip()

    async def is_upstream(self, inner: ForeignRepository, commit: str) -> bool:
        """Returns whether the remotes of a repository have a commit, as far as it has fetched them."""
        ask = ("rev-list", "--max-count=1", commit, "--not", "--remotes")
        answer = await self._read(inner.git_dir, *ask, codes=(0, 128))
        return inner.is_own and answer.code == 0 and not answer.out.strip()

    async def uncommitted(self, inner: ForeignRepository, keeper: Path | None) -> Uncommitted:
        """Returns what is in no commit, as the user's configuration reads it; objects go to the user's repository."""
        # An index of our own: that of the attempt may say of a file that it need not be looked at.
        index = self.admin / _INDEX
        for file in (index, index.with_name(f"{_INDEX}.lock")):
            await anyio.Path(file).unlink(missing_ok=True)
        env = {**inner.env, "GIT_DIR": str(keeper or self.repo.common), "GIT_INDEX_FILE": str(index)}
        await self.git.run(inner.folder, "read-tree", inner.head or "--empty", env=env)
        index = await self.stage(inner.folder, env, await submodule_names(self.git, inner.folder))
        changes = await self._changes(inner, env)
        litter = merge_rules.litter(changes, ())
        await self.remove(inner.folder, env, litter)
        files = [change.path for change in changes if change.path not in litter]
        links = {path: commit for path, commit in index.links.items() if path not in litter}
        tree = await self.git.run(inner.folder, "write-tree", env=env)
        return Uncommitted((*files, *index.unborn), tree.out.strip(), links)

    async def _changes(self, inner: ForeignRepository, env: Mapping[str, str]) -> list[merge_rules.PathChange]:
        if not inner.head:
            listing = await self.git.run(inner.folder, "ls-files", "-z", env=env)
            return [merge_rules.PathChange("A", "", path) for path in listing.out.split("\0") if path]
        ask = ("diff-index", "--cached", "--raw", "-z", "--no-renames", "--full-index", inner.head, "--")
        return merge_rules.read_changes((await self.git.run(inner.folder, *ask, env=env)).out)

    async def keep(
        self, inner: ForeignRepository, keeper: Path, ref: str, commits: Sequence[str], rest: Uncommitted
    ) -> None:
        """Lets a ref of the user's copy hold a repository's own commits, and its files on top of them."""
        heads = [inner.head] if inner.head else []
        tips = [*heads, *(commit for commit in commits if commit not in heads)]
        if len(tips) > 1:
            tips = (await self._read(inner.git_dir, "merge-base", "--independent", *tips)).lines
        if len(tips) == 1 and not rest.files:
            return await self.bring(inner, keeper, ref, tips[0])
        parents = [word for tip in tips for word in ("-p", tip)]
        env = {**inner.env, "GIT_DIR": str(keeper), **await self.git.identity(self.repo.top)}
        command = ("commit-tree", "--no-gpg-sign", *parents, "-F", "-", rest.tree)
        message = "What an attempt left in a submodule\n"
        commit = await self.git.run(inner.folder, *command, stdin=message, env=env)
        return await self.bring(inner, keeper, ref, commit.out.strip())

    async def bring(self, inner: ForeignRepository, keeper: Path, ref: str, commit: str) -> None:
        """Brings a commit and all that it builds on into the user's copy, under a ref."""
        if inner.common != keeper:
            lines = (commit, *(f"^{commit_id}" for commit_id in await self._refs(keeper)))
            pack = ("pack-objects", "--revs", "--quiet", "--non-empty", str(keeper / "objects" / "pack" / "pack"))
            env = {**inner.env, "GIT_DIR": str(keeper)}
            await self.git.run(inner.folder, *pack, stdin="".join(f"{line}\n" for line in lines), env=env)
            # Without what was lent: only what is there by itself may get a name.
            await self._read(keeper, "rev-list", "--objects", "--quiet", commit, "--not", "--all")
        await self._read(keeper, "update-ref", ref, commit)

    async def _read(
        self, git_dir: Path, *arguments: str, stdin: str = "", codes: Collection[int] = (0,)
    ) -> git_process.GitAnswer:
        """Runs a command that starts no program, whatever the configuration of the repository says."""
        # The folder that the configuration names may be gone, and git would not begin.
        env = {**_OFFLINE, "GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(self.path)}
        return await self.git.run(self.path, *arguments, stdin=stdin, env=env, codes=codes)
