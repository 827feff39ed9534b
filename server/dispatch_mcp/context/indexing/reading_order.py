"""In which order the files of a large workspace are read: what is being worked on first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dispatch_mcp.context import file_listing, safe_read
from dispatch_mcp.text import languages

PORTION, _LARGEST_PORTION = 200, 2_000
"""Files of the first portion that is read and kept, and of the largest: each takes twice as many as the one before."""
_PORTION_BYTES = 16 << 20
"""Bytes of texts after which a portion is kept, however few its files are."""
COMMITS: Final = 500
"""Newest commits whose files are read early, those of the newest first."""
_WIDEST: Final = 50
"""Files of a commit that still says something about each of them."""
_ROLES: Final[Mapping[str, int]] = {"source": 0, "docs": 1, "test": 2}
_OTHER_ROLE: Final = 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one refresh may take: seconds, and bytes of the workspace's texts; what lies beyond stays unread."""

    seconds: float = 600.0
    text_bytes: int = 500_000_000


def likeliest_first(
    paths: Sequence[str],
    states: Mapping[str, file_listing.State],
    dirty: Sequence[str],
    commits: Sequence[Sequence[str]],
) -> list[str]:
    """Returns the paths in the order in which a task will probably need them.

    First what has changes that are not committed (`dirty`; a folder stands for all in it), then what the newest of
    `commits` touched, then what was changed last, source before documents before tests.
    """
    folders = tuple(path for path in dirty if path.endswith("/"))
    open_files = frozenset(dirty)
    recent: dict[str, int] = {}
    for at, files in enumerate(commits):
        for path in files if len(files) <= _WIDEST else ():
            recent.setdefault(path, at)

    def rank(path: str) -> tuple[bool, int, int, int, str]:
        is_open = path in open_files or path.startswith(folders)
        role = _ROLES.get(languages.role(path), _OTHER_ROLE)
        return (not is_open, recent.get(path, len(commits)), role, -states[path].mtime_ns, path)

    return sorted(paths, key=rank)


def portions(order: Sequence[str], states: Mapping[str, file_listing.State]) -> Iterator[list[str]]:
    """Yields paths in portions that grow, as each leaves a segment in the tables of words that every question reads."""
    portion, most, size = list[str](), PORTION, 0
    for path in order:
        portion.append(path)
        size += min(states[path].size, safe_read.MAX_BYTES)
        if len(portion) >= most or size >= _PORTION_BYTES:
            yield portion
            portion, most, size = [], min(2 * most, _LARGEST_PORTION), 0
    if portion:
        yield portion


def bounded(states: Mapping[str, file_listing.State], bounds: Bounds) -> Mapping[str, file_listing.State]:
    """Returns the files whose texts together are within the bound, in the order in which they were listed."""
    if sum(state.size for state in states.values()) <= bounds.text_bytes:
        return states
    within, size = dict[str, file_listing.State](), 0
    for path, state in states.items():
        size += state.size if state.size <= safe_read.MAX_BYTES else 0
        if size > bounds.text_bytes:
            break
        within[path] = state
    return within
