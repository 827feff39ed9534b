"""What a folder of a repository holds, on its way to a host that sees no disk of ours, and its changes on the way back.

A parcel is git's own: bundles of commits. The history up to the first commit that is sent of a repository goes once;
what was committed since, and what is not committed, goes with each parcel. What comes back is a bundle too, and is
applied as a patch: to a worktree, which nobody else changes, or to a checkout, where it is refused as a whole when
somebody has changed the same lines meanwhile. Files that git ignores stay where they are, unless their task names them.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import anyio.to_thread

from dispatch_mcp import errors
from dispatch_mcp.git import git_process
from dispatch_mcp.model import ports

TIP: Final = "refs/parcel/tip"
"""What a bundle calls its newest commit."""

RENEWED_S: Final = 86_400.0
"""Seconds after which a history is kept anew: what is old in a bucket is deleted there."""

_LOCAL: Final = {"GIT_ALLOW_PROTOCOL": "file"}
"""For bundles that we have written to a file ourselves; no other address is ever fetched from."""

_NOBODY: Final = {
    f"GIT_{role}_{key}": text
    for role in ("AUTHOR", "COMMITTER")
    for key, text in (("NAME", "dispatch-mcp"), ("EMAIL", "dispatch-mcp@localhost"), ("DATE", "@0 +0000"))
}
"""The author of commits that only carry files; no branch ever has them. The same files are the same commit."""

_FETCH: Final = (
    *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"),
    *("--no-auto-maintenance", "--"),
)
_CHECKED: Final = ("fetch.fsckObjects=true",)
_PATCH: Final = (
    *("diff-tree", "-r", "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv"),
    *("--no-color", "--ignore-submodules=all", "--src-prefix=a/", "--dst-prefix=b/"),
)


@dataclass(frozen=True, slots=True)
class Parcel:
    """What a folder holds: `head` is checked out, the files are those of the commit `state`.

    Both are the same where everything is committed. `parts` are digests of bundles, each needing those before it;
    `below` is the workspace's path below the top of its repository.
    """

    parts: tuple[str, ...]
    head: str
    state: str
    below: str = ""


class _Carrier(NamedTuple):
    """A bare repository for a moment, which borrows the objects of another one and names those to send."""

    folder: Path
    git: git_process.Git

    async def bundle(self, tip: str, without: Sequence[str] = ()) -> bytes:
        """Returns a commit with all that leads to it, but for what leads to those of `without`."""
        await self.git.run(self.folder, "update-ref", TIP, tip)
        file, limits = self.folder / "bundle", [f"^{commit}" for commit in without]
        await self.git.run(self.folder, "bundle", "create", "--quiet", str(file), TIP, *limits)
        return await anyio.Path(file).read_bytes()


@asynccontextmanager
async def _carrier(git: git_process.Git, repo: git_process.Repository) -> AsyncGenerator[_Carrier]:
    form = (await git.run(repo.top, "rev-parse", "--show-object-format")).out.strip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await _new_repository(git, folder, form, repo.common / "objects", bare=True)
        yield _Carrier(folder, git)


async def _new_repository(git: git_process.Git, folder: Path, form: str, objects: Path | None, *, bare: bool) -> None:
    """Makes a repository without files, which borrows the objects of a folder."""
    kind = ("--bare",) if bare else ()
    await git.run(folder, "init", "--quiet", "--template=", f"--object-format={form}", *kind, ".")
    if objects is not None:
        alternates = (folder if bare else folder / ".git") / "objects" / "info" / "alternates"
        await anyio.Path(alternates.parent).mkdir(parents=True, exist_ok=True)
        await anyio.Path(alternates).write_bytes(os.fsencode(objects) + b"\n")


@asynccontextmanager
async def _file(data: bytes, folder: Path | None = None) -> AsyncGenerator[Path]:
    """Yields a file that holds the data for the length of a block, in a folder of its own, below `folder` if given."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "bundle"
        await anyio.Path(path).write_bytes(data)
        yield path


async def _tree(git: git_process.Git, repo: git_process.Repository, by_name: Sequence[str]) -> str:
    """Returns the tree of a folder's files as they are, of ignored ones only those that are named."""
    own = Path((await git.run(repo.top, "rev-parse", "--path-format=absolute", "--git-path", "index")).out.strip())
    with tempfile.TemporaryDirectory() as name:
        index = Path(name) / "index"
        env = {"GIT_INDEX_FILE": str(index)}
        try:
            await anyio.to_thread.run_sync(git_process.copy_index, own, index)
        except OSError:
            await git.run(repo.top, "read-tree", "HEAD", env=env)
        await git.run(repo.top, "add", "--all", "--sparse", "--", ".", env=env)
        present = await anyio.to_thread.run_sync(lambda: [path for path in by_name if os.path.lexists(repo.top / path)])
        if present:
            add = ("add", "--force", "--sparse", "--pathspec-from-file=-", "--pathspec-file-nul")
            await git.run(repo.top, *add, stdin="\0".join(present), env={**env, "GIT_LITERAL_PATHSPECS": "1"})
        return (await git.run(repo.top, "write-tree", env=env)).out.strip()


def _below(below: str, paths: Sequence[str]) -> list[str]:
    return [f"{below}/{path}".lstrip("/") for path in paths]


async def _tree_of(git: git_process.Git, repo: git_process.Repository, commit: str) -> str:
    return (await git.run(repo.top, "rev-parse", "--verify", f"{commit}^{{tree}}")).out.strip()


async def _commit(git: git_process.Git, repo: git_process.Repository, tree: str) -> str:
    """Returns a commit of a tree after the head of a repository."""
    command = ("commit-tree", tree, "-p", repo.head, "-m", "What stood in a folder")
    return (await git.run(repo.top, *command, env=_NOBODY)).out.strip()


async def _repository(git: git_process.Git, folder: str) -> git_process.Repository:
    try:
        repo = await git_process.find(git, folder)
    except git_process.Unusable as why:
        raise _lasting(f"Hosts without a shared disk get work through git, and {why}.") from None
    if repo.bare:
        raise _lasting(f"Hosts without a shared disk get files through git, and {folder!r} is a bare repository.")
    return repo


def _lasting(message: str) -> git_process.Lasting:
    return git_process.Lasting(
        message, kind="no_worktree", hint="Plan it where a repository with a commit is, or have hosts share a disk."
    )


@dataclass(frozen=True, slots=True)
class Sender:
    """Packs folders for hosts, and brings back what these have changed."""

    git: git_process.Git
    blobs: ports.Blobs
    clock: Callable[[], float] = time.monotonic
    _anchors: dict[Path, tuple[str, str]] = field(default_factory=dict[Path, tuple[str, str]])
    _kept_at: dict[Path, float] = field(default_factory=dict[Path, float])
    _packing: dict[Path, anyio.Lock] = field(default_factory=dict[Path, anyio.Lock])

    async def pack(self, folder: str, by_name: Sequence[str] = ()) -> Parcel:
        """Returns what a folder of a repository holds, its bundles kept as blobs, with the ignored files of `by_name`.

        Raises:
            Lasting: it is in no repository that can be sent.
            WorkerError: git failed.
            StoreError: the blobs take nothing.
        """
        repo = await _repository(self.git, folder)
        if (await self.git.run(repo.top, "rev-parse", "--is-shallow-repository")).out.strip() == "true":
            raise _lasting(
                f"{str(repo.top)!r} is a shallow clone, which cannot be sent to hosts: `git fetch --unshallow` first."
            )
        tree = await _tree(self.git, repo, _below(repo.below, by_name))
        is_committed = tree == await _tree_of(self.git, repo, repo.head)
        state = repo.head if is_committed else await _commit(self.git, repo, tree)
        async with self._packing.setdefault(repo.common, anyio.Lock()), _carrier(self.git, repo) as way:
            anchor, whole = await self._anchor(repo, way)
            if state == anchor:
                return Parcel((whole,), repo.head, state, repo.below)
            rest = await anyio.to_thread.run_sync(self.blobs.put, await way.bundle(state, [anchor]))
        return Parcel((whole, rest), repo.head, state, repo.below)

    async def _anchor(self, repo: git_process.Repository, way: _Carrier) -> tuple[str, str]:
        """Returns a commit that leads to the head, whose whole history is a blob, and the digest of that."""
        anchor, now = self._anchors.get(repo.common), self.clock()
        if anchor is not None and now - self._kept_at[repo.common] < RENEWED_S:
            command = ("merge-base", "--is-ancestor", anchor[0], repo.head)
            if (await self.git.run(repo.top, *command, codes=(0, 1, 128))).code == 0:
                return anchor
        data = await way.bundle(repo.head)
        anchor = repo.head, await anyio.to_thread.run_sync(self.blobs.put, data)
        self._anchors[repo.common], self._kept_at[repo.common] = anchor, now
        return anchor

    async def take_back(self, folder: str, parcel: Parcel, change: str, *, moves_head: bool) -> None:
        """Makes the changes of a host in the folder that a parcel came from; of the commits there only in a worktree.

        Raises:
            Lasting: what is there now is not what was sent, so that nothing was changed.
            WorkerError: git failed, or what came is damaged.
            StoreError: the blob cannot be read.
        """
        repo = await _repository(self.git, folder)
        data = await anyio.to_thread.run_sync(self.blobs.get, change)
        state = await self._unpacked(repo, data)
        head = await self._commit_of(repo, f"{state}^")
        async with _file(b"") as patch:
            await self._apply(repo, patch, parcel.state, state)
        if moves_head and head != repo.head:
            await self.git.run(repo.top, "update-ref", "--no-deref", "HEAD", head)
            await self.git.run(repo.top, "reset", "--quiet")

    async def _unpacked(self, repo: git_process.Repository, bundle: bytes) -> str:
        """Returns the newest commit of a bundle, whose objects are in the repository from now on, under no name.

        Fetching it would look at the heads of all worktrees, of which one that is just being made has none for a
        moment: git writes nought there first, and takes that for damage.
        """
        head, empty_line, pack = bundle.partition(b"\n\n")
        tip = re.search(rf"^([0-9a-f]+) {TIP}$".encode(), head, re.MULTILINE)
        if tip is None or not empty_line:
            raise errors.WorkerError("What came from a host is no bundle of its changes.")
        await self.git.run(repo.top, "unpack-objects", "-q", "--strict", stdin=pack)
        return await self._commit_of(repo, tip[1].decode())

    async def _commit_of(self, repo: git_process.Repository, name: str) -> str:
        return (await self.git.run(repo.top, "rev-parse", "--verify", f"{name}^{{commit}}")).out.strip()

    async def _apply(self, repo: git_process.Repository, patch: Path, before: str, after: str) -> None:
        await self.git.run(repo.top, *_PATCH, f"--output={patch}", before, after)
        if not (await anyio.Path(patch).stat()).st_size:
            return
        answer = await self.git.run(repo.top, "apply", "--whitespace=nowarn", "--", str(patch), codes=range(256))
        if answer.code:
            raise git_process.Lasting(
                f"What a host changed does not fit what is in {str(repo.top)!r} now: {answer.complaint}",
                kind="merge_conflict",
                hint="Somebody has changed the same files meanwhile; look at them, then retry the task.",
            )


@dataclass(frozen=True, slots=True)
class Receiver:
    """Lays parcels out on a host, below `home`, and packs what was changed there."""

    git: git_process.Git
    blobs: ports.Blobs
    home: Path
    _laying: anyio.Lock = field(default_factory=anyio.Lock)

    async def lay(self, parcel: Parcel, place: Path) -> Path:
        """Makes `place`, which is not there yet, as the folder was that was packed; returns the workspace in it.

        Raises:
            WorkerError: git failed, or a bundle is damaged.
            StoreError: the bundles cannot be had.
        """
        whole = await self._whole(parcel.parts[0])
        form = (await self.git.run(whole, "rev-parse", "--show-object-format")).out.strip()
        await anyio.to_thread.run_sync(lambda: place.mkdir(mode=0o700, parents=True))
        await _new_repository(self.git, place, form, whole / "objects", bare=False)
        for part in parcel.parts[1:]:
            data = await anyio.to_thread.run_sync(self.blobs.get, part)
            async with _file(data) as bundle:
                fetch = (*_FETCH, str(bundle), "+refs/parcel/*:refs/parcel/*")
                await self.git.run(place, *fetch, settings=_CHECKED, env=_LOCAL)
        await self.git.run(place, "checkout", "--quiet", "--force", "--detach", parcel.head)
        if parcel.state != parcel.head:
            await self.git.run(place, "read-tree", "--reset", "-u", parcel.state)
            await self.git.run(place, "reset", "--quiet")
        return place / parcel.below

    async def _whole(self, digest: str) -> Path:
        """Returns the repository with the history that a bundle holds, which all places of it borrow from."""
        folder = self.home / f"{digest[:32]}.git"
        async with self._laying:
            if await anyio.Path(folder).exists():
                await anyio.to_thread.run_sync(os.utime, folder)
                return folder
            await anyio.to_thread.run_sync(lambda: self.home.mkdir(mode=0o700, parents=True, exist_ok=True))
            data = await anyio.to_thread.run_sync(self.blobs.get, digest)
            async with _file(data, self.home) as bundle:
                draft = bundle.with_name("repository")
                await anyio.Path(draft).mkdir()
                await _new_repository(self.git, draft, _object_format(data), None, bare=True)
                fetch = (*_FETCH, str(bundle), "+refs/parcel/*:refs/parcel/*")
                await self.git.run(draft, *fetch, settings=_CHECKED, env=_LOCAL)
                try:
                    await anyio.Path(draft).rename(folder)
                except OSError:  # another process of this host was first
                    if not await anyio.Path(folder).exists():
                        raise
        return folder

    async def collect(self, parcel: Parcel, place: Path, by_name: Sequence[str] = ()) -> str:
        """Returns the digest of a bundle with what has changed in a place, empty for nothing.

        Raises:
            WorkerError: it is no repository any more, or git failed.
            StoreError: the blobs take nothing.
        """
        repo = await _repository(self.git, str(place))
        if not git_process.is_around(place, repo.top):
            raise errors.WorkerError(f"{str(place)!r} is no repository of its own any more.")
        tree = await _tree(self.git, repo, _below(parcel.below, by_name))
        if repo.head == parcel.head and tree == await _tree_of(self.git, repo, parcel.state):
            return ""
        state = await _commit(self.git, repo, tree)
        async with _carrier(self.git, repo) as way:
            data = await way.bundle(state, [parcel.head, parcel.state])
        return await anyio.to_thread.run_sync(self.blobs.put, data)


def _object_format(bundle: bytes) -> str:
    """Returns which kind of object names a bundle has."""
    head = bundle[: bundle.find(b"PACK")]
    return "sha256" if b"object-format=sha256" in head else "sha1"
