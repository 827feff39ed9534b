"""What a change looks like to those who choose reviewers: texts to search, by side and by kind of file."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Literal

from dispatch_mcp.text import unified_diff

Side = Literal["added", "removed"]
Place = Literal["code", "test", "config", "text"]

WHOLE, THIN = 500, 160
"""Lines of a change that is searched whole; of a larger one so many from all over, and blocks with a telling word."""

BLOCK = 16
"""Lines of a block."""

MAX_TOLD = 10
"""Blocks that are searched because of a telling word."""

_TELLING = (
    *("shell=true", "innerhtml", "pickle.loads", "verify=false", "insecureskipverify", "eval(", "private key"),
    *("csrf_exempt", "permitall", "fetchall", "objects.all", "drop column", "drop_column", "alter table", ".skip("),
    *("deprecated", "postinstall", "time.sleep", "readfilesync", "secret"),
)
"""Text that is looked for in all of a large change, so that what matters most is searched wherever it stands."""


MAX_LINE = 500
"""Characters of one line that signs are looked for in."""

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_PAIR = re.compile(r"(?=((?:[A-Z]?[a-z]+|[A-Z]+)[A-Z][a-z]+))")
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_TEST_PATH = re.compile(
    r"(?:^|/)(?:tests?|__tests__|specs?|e2e|testing|cypress|testdata|androidTest)/|(?:^|/)(?:test_[^/]*|conftest\.py$)"
    r"|[_.-](?:test|tests|spec|specs|e2e|cy)\.\w+$|(?:Test|Tests|TestCase|Spec|IT)\.(?:java|kt|scala|cs|swift|php|groovy)$",
)


def is_test(path: str) -> bool:
    """Returns whether a file holds tests, as its path says."""
    return bool(_TEST_PATH.search(path))


def place(change: unified_diff.FileChange) -> Place:
    """Returns what kind of file it is."""
    if is_test(change.path):
        return "test"
    if change.language == "text":
        return "text"
    return "config" if change.language in unified_diff.NOT_CODE else "code"


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a change: its lines by side, or as many of them as are searched; `hunks` are those."""

    change: unified_diff.FileChange
    place: Place
    added: str
    removed: str
    hunks: tuple[unified_diff.Hunk, ...] = ()

    @property
    def path(self) -> str:
        """Its path."""
        return self.change.path


SEARCHED: tuple[Place, ...] = ("code", "test", "config")
"""The kinds of files in which words are counted."""


class Corpus:
    """Lines of one side of several files, searched by hints first."""

    def __init__(self, sources: Sequence[Source], side: Side) -> None:
        self._sources = sources
        texts = [source.added if side == "added" else source.removed for source in sources]
        self._starts = [0, *accumulate(len(text) + 1 for text in texts)]
        self.text = "\n".join(texts)
        lowered = self.text.lower()
        self._lowered = lowered if len(lowered) == len(self.text) else self.text.translate(_LOWER)

    def lines_with(self, hint: str, limit: int) -> Iterator[tuple[int, str]]:
        """Yields up to `limit` lines that hold `hint`, in lower case, each with its place in the text."""
        at = self._lowered.find(hint)
        while at >= 0 and limit > 0:
            start = self._lowered.rfind("\n", 0, at) + 1
            end = self._lowered.find("\n", at)
            end = len(self.text) if end < 0 else end
            yield start, self._lowered[start : min(end, start + MAX_LINE)]
            limit -= 1
            at = self._lowered.find(hint, end)

    def source(self, start: int) -> Source:
        """Returns the file that a place of the text is in."""
        return self._sources[min(bisect_right(self._starts, start) - 1, len(self._sources) - 1)]


def _vocabulary(words: Collection[str]) -> frozenset[str]:
    """Returns words, their parts, and neighbouring parts together, all in lower case."""
    whole = "\n".join(words)
    pieces = "\n".join([whole, *_PART.findall(whole), *_PAIR.findall(whole)])
    return frozenset(pieces.lower().split("\n"))


@dataclass(frozen=True)
class Facts:
    """A change, ready to be searched."""

    sources: tuple[Source, ...]
    unreviewed: tuple[str, ...] = ()
    _corpora: dict[tuple[Side, tuple[Place, ...]], Corpus] = field(
        default_factory=dict[tuple[Side, tuple[Place, ...]], Corpus], compare=False
    )

    def corpus(self, side: Side, places: tuple[Place, ...]) -> Corpus:
        """Returns the lines of one side in files of these kinds."""
        if (side, places) not in self._corpora:
            self._corpora[side, places] = Corpus([one for one in self.sources if one.place in places], side)
        return self._corpora[side, places]

    def text(self, side: Side, places: tuple[Place, ...]) -> str:
        """Returns the text of `corpus`."""
        return self.corpus(side, places).text

    @cached_property
    def words(self) -> Mapping[str, int]:
        """How often each word stands in added lines of files that are not running text."""
        return Counter(WORD.findall(self.text("added", SEARCHED)))

    def may_hold(self, side: Side, hint: str) -> bool:
        """Whether a hint is worth looking for: a word or part of one that is there, or no word at all."""
        known = self._added if side == "added" else self._removed
        return hint in known or not hint.isidentifier()

    @cached_property
    def _added(self) -> frozenset[str]:
        return _vocabulary(self.words)

    @cached_property
    def _removed(self) -> frozenset[str]:
        return _vocabulary(set(WORD.findall(self.text("removed", SEARCHED))))

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """All paths that the change touches, unreviewed ones too."""
        return (*(source.path for source in self.sources), *self.unreviewed)

    @cached_property
    def listing(self) -> str:
        """All paths in lower case, one a line, the unsayable ones left out."""
        return "\n".join(path.lower() for path in self.paths if "\n" not in path)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all files, in lower case."""
        return frozenset(PurePosixPath(path).name.lower() for path in self.paths)

    @cached_property
    def languages(self) -> Mapping[str, int]:
        """Lines by language, unchanged ones around a change too."""
        counts: dict[str, int] = {}
        for source in self.sources:
            if source.change.language:
                size = sum(len(hunk.lines) for hunk in source.change.hunks)
                counts[source.change.language] = counts.get(source.change.language, 0) + size
        return counts

    def of(self, *places: Place) -> Iterator[Source]:
        """Yields the files of these kinds."""
        return (source for source in self.sources if source.place in places)


def of(diff: unified_diff.Diff, unreviewed: tuple[str, ...] = ()) -> Facts:
    """Returns the facts of a change; `unreviewed` are paths that nobody reviews but that say something (lock files)."""
    lines = [line for change in diff.files for hunk in change.hunks for line in hunk.lines]
    if len(lines) <= WHOLE:
        return Facts(tuple(_source(change, change.hunks) for change in diff.files), unreviewed)
    thin = _Thinning(-(-len(lines) // THIN), _told(lines))
    return Facts(tuple(_source(change, tuple(thin.hunks(change))) for change in diff.files), unreviewed)


def _source(change: unified_diff.FileChange, hunks: tuple[unified_diff.Hunk, ...]) -> Source:
    lines = [line for hunk in hunks for line in hunk.lines]
    return Source(
        change,
        place(change),
        "\n".join([line[1:] for line in lines if line[0] == "+"]),
        "\n".join([line[1:] for line in lines if line[0] == "-"]),
        hunks,
    )


def _told(lines: Sequence[str]) -> list[int]:
    """Returns the numbers of lines that hold a telling word, one for each word."""
    text = "\n".join(lines).lower()
    places = [at for word in _TELLING if (at := text.find(word)) >= 0]
    return sorted(text.count("\n", 0, at) for at in places[:MAX_TOLD])


@dataclass(slots=True)
class _Thinning:
    """Takes every `step`-th block of a change, and those that hold one of the lines `told`."""

    step: int
    told: Sequence[int]
    block: int = 0
    line: int = 0

    def hunks(self, change: unified_diff.FileChange) -> Iterator[unified_diff.Hunk]:
        """Yields what is searched of one file: of each hunk its blocks."""
        for hunk in change.hunks:
            for begin in range(0, len(hunk.lines), BLOCK):
                lines = hunk.lines[begin : begin + BLOCK]
                tells = bisect_left(self.told, self.line) < bisect_left(self.told, self.line + len(lines))
                self.line += len(lines)
                self.block += 1
                if tells or self.block % self.step == 0:
                    yield unified_diff.Hunk(hunk.old_start, hunk.new_start, hunk.section, lines)
