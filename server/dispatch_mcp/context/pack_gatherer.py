"""The one entry to context: gathers a workspace once, keeps it fresh, and filters it per task."""

from __future__ import annotations

import functools
import math
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent import futures
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import anyio

from dispatch_mcp.context import (
    assembly,
    context_query,
    file_index,
    file_listing,
    git_log,
    index_search,
    packs,
    ranking,
    requirement_sources,
    requirements,
    safe_read,
    search_scope,
)
from dispatch_mcp.context.documents import file_shares
from dispatch_mcp.context.indexing import first_look, index_process, index_tables, reading_order
from dispatch_mcp.process import safe_paths, shared_looks, workspace_sense
from dispatch_mcp.text import escape

KEPT_OPEN: Final = 4
"""Workspaces whose indexes stay open."""
SMALL: Final = 500
"""Entries of a workspace that is read on the spot: starting a process for it would take longer."""
WAIT_S: Final = 30.0
"""Seconds that a pack waits for a large workspace to be read, when nothing else is said."""
TRUST_S: Final = 2.0
"""Seconds for which a look at all files of a large workspace holds; what a pack shows is looked at each time."""
FIRST_LOOK_S: Final = 0.6
"""Seconds of a wait for the index that are left for reading what a task probably needs, as the index is not there."""
EXPECTED_S: Final = 10.0
"""Seconds after a look in which a further sign of work brings no new one."""
CLOSE_S: Final = 0.3
"""Seconds that a close waits for the pack that is being made: a server whose client has gone ends within one."""
_WITHHELD = 50
_WITHOUT_INDEX = frozenset({"file", "rules", "task"})
"""Keys that bring something of a workspace that is not indexed."""


class Gatherer:
    """Packs of any workspace, from indexes below `state_dir`. Usable from any thread; close it at the end."""

    def __init__(self, state_dir: Path, *, guess: Path | None = None, beside: bool = False) -> None:
        """Opens nothing yet.

        `guess` is a workspace that nobody has named: it is searched if it looks like one. With `beside`, `gather` has
        large workspaces read by a process of their own.
        """
        self.state_dir = state_dir
        self._guess = guess
        self._beside = beside
        self._readers: dict[Path, index_process.IndexProcess] = {}
        self._expected_at: dict[Path, float] = {}
        self._open: OrderedDict[Path, _Workspace] = OrderedDict()
        self._lock = threading.Lock()
        self._is_closed = False
        self._sizes = shared_looks.SharedLooks[index_process.IndexProcess | None]()
        self._one_at_a_time = anyio.CapacityLimiter(1)  # the others would only keep threads from whoever needs them

    def close(self) -> None:
        """Closes every index, and ends what reads workspaces; packs that still wait for their turn are not made.

        A pack of a large workspace that is being made keeps its index open: nobody waits for it, and an index is a
        cache that bears a process that ends without closing it.
        """
        self._is_closed = True
        for reader in self._readers.values():
            reader.close()
        if not self._lock.acquire(timeout=CLOSE_S):
            return
        try:
            while self._open:
                self._open.popitem()[1].close()
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def pack(
        self,
        workspace: Path | str,
        text: str,
        keys: Sequence[str] = (),
        *,
        budget: int = packs.BUDGET,
        scope: search_scope.SearchScope = search_scope.EVERYTHING,
        sources: requirement_sources.Sources = requirement_sources.NO_SOURCES,
        past_commits: PastCommits | None = None,
    ) -> packs.Pack:
        """Returns what a task whose words are `text` should read, at most `budget` tokens.

        `keys` are those of `context.requirements` and come first. `scope` says what the agent receives,
        `sources` are texts from elsewhere; `past_commits` replaces the workspace's own history.

        Raises:
            Refused: the workspace is no folder, or none that may be searched.
        """
        request = _request(text, keys, budget=budget, scope=scope, sources=sources, history=past_commits)
        return self._packed(workspace, request, time.monotonic())

    def _packed(self, workspace: Path | str, request: _Request, asked_at: float) -> packs.Pack:
        """Returns the pack; a look at the files that began after `asked_at` serves all who wait here."""
        with self._lock:
            self._refuse_closed(workspace)
            return self._opened(Path(workspace)).pack(request, asked_at)

    def _packed_as_read(self, workspace: Path | str, request: _Request) -> packs.Pack:
        """Returns the pack of what another process has read so far."""
        with self._lock:
            self._refuse_closed(workspace)
            return self._opened(Path(workspace)).pack_as_read(request)

    def _refuse_closed(self, workspace: Path | str) -> None:
        """Raises Refused once nobody waits for packs any more: each of a large workspace would take seconds."""
        if self._is_closed:
            raise safe_paths.refusal(str(workspace), "is not searched any more: the server ends")

    def plain(
        self,
        workspace: Path | str,
        text: str,
        keys: Sequence[str] = (),
        *,
        budget: int = packs.BUDGET,
        scope: search_scope.SearchScope = search_scope.EVERYTHING,
        sources: requirement_sources.Sources = requirement_sources.NO_SOURCES,
    ) -> packs.Pack:
        """Returns what of a pack needs no index: what guides the work, and files that are named by their path.

        Raises:
            Refused: the workspace is no folder.
        """
        self._refuse(workspace)
        request = _request(text, keys, budget=budget, scope=scope, sources=sources)
        return _plain(Path(workspace), request)

    async def gather(
        self,
        workspace: Path | str,
        text: str,
        keys: Sequence[str] = (),
        *,
        budget: int = packs.BUDGET,
        scope: search_scope.SearchScope = search_scope.EVERYTHING,
        sources: requirement_sources.Sources = requirement_sources.NO_SOURCES,
        wait_s: float = WAIT_S,
    ) -> packs.Pack:
        """Returns what `pack` returns, worked out in a thread. Raises Refused likewise.

        Waits at most `wait_s` seconds for a large workspace to be read; `progress` says how much of it was.
        """
        request, asked_at = _request(text, keys, budget=budget, scope=scope, sources=sources), time.monotonic()
        reader = await self._sizes.get(str(workspace), lambda: anyio.to_thread.run_sync(self._reader, Path(workspace)))
        if reader is None:
            work = functools.partial(self._packed, workspace, request, asked_at)
        else:
            await reader.fresh(asked_at - TRUST_S, max(0.0, wait_s - FIRST_LOOK_S))
            work = functools.partial(self._packed_as_read, workspace, request)
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._one_at_a_time)

    def is_expected(self, workspace: Path | str) -> bool:
        """Returns whether `expect` was called so shortly before that another call would begin nothing."""
        return time.monotonic() - self._expected_at.get(Path(workspace), -math.inf) < EXPECTED_S

    def expect(self, workspace: Path | str) -> None:
        """Begins to read a large workspace of which tasks are to be expected; one that is none is passed over."""
        self._expected_at[Path(workspace)] = time.monotonic()
        with suppress(safe_paths.Refused):
            if reader := self._reader(Path(workspace)):
                reader.ask(time.monotonic() - EXPECTED_S)

    def share_read(self, workspace: Path | str) -> index_tables.IndexProgress | None:
        """Returns how much of a workspace the last pack of it was made of; None for all of it, read on the spot."""
        entry = self._open.get(Path(workspace))
        return entry.share if entry else None

    def progress(self, workspace: Path | str) -> index_tables.IndexProgress | None:
        """Returns how far a large workspace has been read, None while nobody knows, and for small ones."""
        reader = self._readers.get(Path(workspace))
        return reader.progress if reader and not reader.is_broken else None

    def _reader(self, workspace: Path) -> index_process.IndexProcess | None:
        """Returns who reads a workspace; None for one that is small enough to be read on the spot. Raises Refused."""
        self._refuse(workspace)
        if not self._beside or file_listing.is_small(workspace, SMALL):
            return None
        reader = self._readers.setdefault(workspace, index_process.IndexProcess(self.state_dir, workspace))
        return None if reader.is_broken else reader

    def refresh(self, workspace: Path | str) -> file_index.Refreshed:
        """Brings the index of a workspace up to date and returns what that took. Raises Refused."""
        with self._lock:
            return self._opened(Path(workspace)).index.refresh()

    def _refuse(self, workspace: Path | str) -> None:
        workspace_sense.refuse(workspace, is_guess=self._guess is not None and Path(workspace) == self._guess)

    def _opened(self, workspace: Path) -> _Workspace:
        self._refuse(workspace)
        entry = self._open.pop(workspace, None) or _Workspace(self.state_dir, workspace)
        self._open[workspace] = entry
        while len(self._open) > KEPT_OPEN:
            self._open.popitem(last=False)[1].close()
        return entry


class PastCommits:
    """Past commits that are handed in."""

    def __init__(self, commits: Sequence[git_log.Commit]) -> None:
        """Indexes the commits in memory."""
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        index_tables.create(self._db)
        index_tables.remember(self._db, commits)
        self._before: int | None = None
        self._but = ""

    def until(self, before: int | None, but: str = "") -> Self:
        """Lets only commits older than `before` (seconds since the epoch) count, and not `but`; returns itself."""
        self._before, self._but = before, but
        return self

    def close(self) -> None:
        """Frees the memory."""
        self._db.close()

    def votes(self, query: context_query.Query) -> index_search.Votes:
        """Returns what similar commits touched."""
        return index_search.votes(self._db, query, before=self._before, but=self._but)


@dataclass(frozen=True, slots=True)
class _Request:
    text: str
    keys: Sequence[str]
    budget: int
    scope: search_scope.SearchScope
    sources: requirement_sources.Sources
    history: PastCommits | None


def _request(
    text: str,
    keys: Sequence[str],
    *,
    budget: int,
    scope: search_scope.SearchScope,
    sources: requirement_sources.Sources,
    history: PastCommits | None = None,
) -> _Request:
    """Returns a request of which no word is what neither the index nor git could be asked for."""
    return _Request(escape.encodable(text), [*map(escape.encodable, keys)], budget, scope, sources, history)


class _Unindexed(NamedTuple):
    """A workspace whose index is empty."""

    root: safe_read.Root
    db: sqlite3.Connection


def _plain(workspace: Path, request: _Request) -> packs.Pack:
    with safe_read.Root(workspace) as root, closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        index_tables.create(db)
        search, query = index_search.Search(_Unindexed(root, db)), context_query.read(request.text)
        keys = [key for key in request.keys if requirements.parse(key).kind in _WITHOUT_INDEX]
        interest = file_shares.Interest(query, budget=request.budget)
        resolver = requirement_sources.Resolver(_Unindexed(root, db), search, request.scope, request.sources, interest)
        resolution = resolver.resolve(keys)
        return assembly.assemble(
            assembly.PackRequest(
                budget=request.budget,
                offers=resolution.offers,
                ranks=ranking.Ranking({}, ()),
                read=search.lines,
                allows=request.scope.allows,
                unresolved=resolution.unresolved,
                tasks=resolution.tasks,
                whole=resolution.whole,
            )
        )


class _Workspace:
    """One open index with its search."""

    def __init__(self, state_dir: Path, workspace: Path) -> None:
        self.index = file_index.FileIndex(state_dir, workspace)
        self._search = index_search.Search(self.index)
        self._looked_at = -math.inf
        self.share: index_tables.IndexProgress | None = None

    def close(self) -> None:
        self.index.close()

    def pack(self, request: _Request, asked_at: float) -> packs.Pack:
        if self._looked_at <= asked_at:
            self._looked_at = time.monotonic()
            self.index.refresh()
        self.share = None
        try:
            return self._pack(request)
        except (sqlite3.DatabaseError, file_index.Damaged):
            self.index.discard()
            self.index.refresh()
            return self._pack(request)

    def pack_as_read(self, request: _Request) -> packs.Pack:
        """Returns the pack without a look at the workspace; what it holds and has changed is read anew.

        While most of the workspace is still to be read, what the task probably needs is read first.
        """
        try:
            progress = self.index.progress()
            if progress.rest > reading_order.PORTION or not progress.files:
                self._read_first(context_query.read(request.text))
            pack, self.share = self._pack(request), self.index.progress()
            return self._pack(request) if self.index.update(self._search.read_paths) else pack
        except (sqlite3.DatabaseError, file_index.Damaged):
            self.index.discard()  # it is built anew at the next look
            raise

    def _read_first(self, query: context_query.Query) -> None:
        """Reads what the task probably needs; git looks into the texts while the files are listed here."""
        since = time.monotonic() - TRUST_S
        with futures.ThreadPoolExecutor(1) as beside:
            texts = beside.submit(first_look.in_texts, self.index.root.path, query)

            def choose(db: sqlite3.Connection, states: Mapping[str, file_listing.State]) -> Sequence[str]:
                votes = index_search.votes(db, query)
                return first_look.likeliest(query, states.keys(), texts.result, {**votes.source, **votes.beside})

            self.index.read_first(choose, since)

    def _pack(self, request: _Request) -> packs.Pack:
        with self.index.snapshot():
            return self._chosen(request)

    def _chosen(self, request: _Request) -> packs.Pack:
        query, scope = context_query.read(request.text), request.scope
        votes = request.history.votes(query) if request.history else index_search.votes(self.index.db, query)
        evidence = self._search.evidence(query, votes)
        if not evidence.speaks:
            evidence = ranking.FileEvidence()
        chances = ranking.files(query, evidence)
        evidence = self._search.complete(query, evidence, (path for path in chances if scope.allows(path)))
        budget = max(packs.LEAST_BUDGET, min(request.budget, packs.MOST_BUDGET))
        likely = [path for path in chances if scope.allows(path)]
        interest = file_shares.Interest(query, evidence.rarity, budget, likely)
        resolver = requirement_sources.Resolver(self.index, self._search, scope, request.sources, interest)
        resolution = resolver.resolve(request.keys)
        withheld = [path for path in chances if path not in resolution.explicit_paths and not scope.allows(path)]
        ranks = ranking.parts(query, evidence, chances)
        return assembly.assemble(
            assembly.PackRequest(
                budget=budget,
                offers=resolution.offers,
                ranks=ranks,
                read=self._search.lines,
                allows=scope.allows,
                unresolved=resolution.unresolved,
                tasks=resolution.tasks,
                whole=resolution.whole,
                withheld=withheld[:_WITHHELD],
                see_also=self._search.beside(evidence, ranks.order),
                strangers=evidence.strangers if ranking.is_faint(query, evidence) else (),
            )
        )
