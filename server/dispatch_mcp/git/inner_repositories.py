"""Finds the work that an attempt did inside other repositories of its worktree, and keeps it.

These are the submodules that it filled or wrote into, and the repositories that it made. Work in a submodule is kept in
the user's own copy of that submodule if there is one; the rest stays where it is, in the worktree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from dispatch_mcp import errors
from dispatch_mcp.git import foreign_repositories, git_process, inner_work, merge_rules
from dispatch_mcp.text import path_globs

MAX_DEPTH: Final = 10
MAX_FILES: Final = 1_000


async def keeper(repo: git_process.Repository, path: str, names: Mapping[str, str], inside: Path | None) -> Path | None:
    """Returns the git directory of the user's own copy of a submodule, if there is one.

    `path` is its place in the checkout, `names` are those in `.gitmodules` by path, `inside` its place among the git
    directories of submodules.
    """
    modules = repo.common / "modules"
    candidates = [] if repo.bare else [foreign_repositories.git_directory(repo.top / path)]
    candidates += [modules / inside] if inside is not None else []
    name = names.get(path, "")
    candidates += [modules / name] if name and ".." not in name.split("/") else []
    for candidate in candidates:
        if candidate is not None and await anyio.Path(candidate / "HEAD").is_file():
            return foreign_repositories.common_directory(candidate)
    return None


async def inner_folders(git: git_process.Git, workspace: str, paths: Collection[str]) -> list[str]:
    """Implements `ports.InnerFolders`; what cannot be read is none."""
    root = Path(workspace)
    enclosing = await anyio.to_thread.run_sync(_enclosing, root, list(paths))
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)
    if not workspace or top is None:
        return enclosing
    try:
        names = await foreign_repositories.submodule_names(git, top)
    except errors.WorkerError:
        return enclosing
    submodules = [top / path for path in names]
    inside = [path.relative_to(root).as_posix() for path in submodules if root in path.parents]
    return [*inside, *(folder for folder in enclosing if folder not in inside)]


def _enclosing(root: Path, paths: Collection[str]) -> list[str]:
    """Returns the repositories below a workspace that hold some of the paths."""
    folders: dict[str, None] = {}
    for path in (path_globs.normalise(path, str(root)) for path in paths):
        if path.startswith(("/", "../")):
            continue
        parts = path.split("/")
        heads = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        folders.update(
            (head, None) for head in heads if not path_globs.WILD.search(head) and (root / head / ".git").exists()
        )
    return list(folders)


@dataclass(slots=True)
class InnerRepositories:
    """One walk through the inner repositories of a worktree; what can be kept is kept under `ref`."""

    foreign: foreign_repositories.ForeignGit
    ref: str
    names: Mapping[str, str]
    works: list[inner_work.InnerWork] = field(default_factory=list[inner_work.InnerWork])
    _recorded: set[str] = field(default_factory=set[str])
    _entered: set[Path] = field(default_factory=set[Path])

    async def examine(self, links: Mapping[str, merge_rules.Link]) -> list[inner_work.InnerWork]:
        """Returns the work in inner repositories that the user has nowhere else.

        `links` are all entries of the base and of the index that are commits of other repositories.
        """
        self._recorded.update(link.before for link in links.values() if link.before)
        for path, link in links.items():
            await self._enter(path, link, is_submodule=bool(link.before) or path in self.names)
        modules = self.foreign.admin / "modules"
        for git_dir in await anyio.to_thread.run_sync(lambda: list(foreign_repositories.git_directories(modules))):
            if git_dir.resolve() not in self._entered:
                await self._enter_removed(str(git_dir.relative_to(modules)), git_dir)
        return self.works

    async def _enter(self, path: str, link: merge_rules.Link, *, is_submodule: bool, depth: int = 0) -> None:
        """Notes what is in the folder of one entry, and in the repositories inside of it."""
        plain = inner_work.InnerWork(path, is_submodule)
        work, links = plain, dict[str, str]()
        try:
            work, links = await self._look(plain, link)
        except errors.WorkerError as trouble:
            work = plain._replace(trouble=str(trouble))
        if work != plain or not is_submodule:
            self.works.append(work)
        for name, commit in links.items() if depth < MAX_DEPTH else ():
            await self._enter(f"{path}/{name}", merge_rules.Link(commit, commit), is_submodule=True, depth=depth + 1)

    async def _look(
        self, work: inner_work.InnerWork, link: merge_rules.Link
    ) -> tuple[inner_work.InnerWork, Mapping[str, str]]:
        """Returns what is in one inner repository, kept as far as it can be, and what it links itself."""
        folder = self.foreign.path / work.path
        inner = await self.foreign.locate(folder)
        home = await keeper(self.foreign.repo, work.path, self.names, self._inside(inner))
        if inner is None:
            # What is no entry of the index any more has given way to files, which belong to the change.
            files = await anyio.to_thread.run_sync(lambda: tuple(_files(folder)) if link.now else ())
            lacks = link.now not in ("", link.before) and not (home and await self.foreign.is_held(home, link.now))
            return work._replace(files=files, target=link.now if lacks else ""), {}
        self._entered.add(inner.git_dir)
        commits = await self.foreign.commits(inner, self._recorded, home)
        rest = await self.foreign.uncommitted(inner, home)
        work = work._replace(commits=tuple(commits), files=rest.files)
        if home is not None and (commits or rest.files):
            await self.foreign.keep(inner, home, self.ref, commits, rest)
            work = work._replace(keeper=str(home), ref=self.ref)
        elif link.now not in ("", link.before) and not commits and not await self._has(inner, home, link.now):
            work = work._replace(target=link.now)
        return work, rest.links

    async def _has(self, inner: foreign_repositories.ForeignRepository, home: Path | None, commit: str) -> bool:
        """Returns whether the user's copy has a commit; one that its remote has is brought there."""
        if home is None:
            return False
        if await self.foreign.is_held(home, commit):
            return True
        if not await self.foreign.is_upstream(inner, commit):
            return False
        await self.foreign.bring(inner, home, self.ref, commit)
        return True

    def _inside(self, inner: foreign_repositories.ForeignRepository | None) -> Path | None:
        modules = (self.foreign.admin / "modules").resolve()
        if inner is None or not inner.git_dir.is_relative_to(modules):
            return None
        return inner.git_dir.relative_to(modules)

    async def _enter_removed(self, path: str, git_dir: Path) -> None:
        """Notes the commits of a submodule whose folder is gone: its git directory outlives it."""
        work = inner_work.InnerWork(path)
        try:
            inner = await self.foreign.at(self.foreign.path, git_dir)
            home = await keeper(self.foreign.repo, path, self.names, self._inside(inner))
            commits = await self.foreign.commits(inner, self._recorded, home)
            if not commits:
                return
            work = work._replace(commits=tuple(commits))
            if home is not None:
                none = foreign_repositories.Uncommitted((), f"{commits[0]}^{{tree}}", {})
                await self.foreign.keep(inner, home, self.ref, commits, none)
                work = work._replace(keeper=str(home), ref=self.ref)
        except errors.WorkerError as trouble:
            work = work._replace(trouble=str(trouble))
        self.works.append(work)


def _files(folder: Path) -> Iterator[str]:
    """Yields the files in a folder that should be empty, by their paths below it."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for count, path in enumerate(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()):
        if count == MAX_FILES:
            return
        yield path.relative_to(folder).as_posix()
