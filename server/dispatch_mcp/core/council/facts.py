"""What a change looks like to those who choose reviewers: texts to search, by side and by kind of file."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Literal

from dispatch_mcp.core.council import diffs

Side = Literal["added", "removed"]
Place = Literal["code", "test", "config", "text"]

MAX_CHARS = 60_000
"""Characters of one side and kind that are searched; of more, blocks from all over and those with a telling word."""

BLOCK = 16
"""Lines of a block."""

_TELLING = (
    *(
        "shell=true",
        "innerhtml",
        "pickle.loads",
        "yaml.load(",
        "verify=false",
        "insecureskipverify",
        "rejectunauthorized",
    ),
    *("dangerously", "unserialize", "eval(", "os.system", "exec(", "md5", "private key", "password =", "secret"),
    *("csrf_exempt", "permitall", "fetchall", "select *", "objects.all", "drop column", "drop table", "drop_column"),
    *("remove_column", "alter table", "drop index", ".skip(", "xfail", "@ignore", "deprecated", "postinstall"),
    *("time.sleep", "readfilesync", "prefetch_related", "lru_cache", "deepcopy"),
)
"""Text that is looked for in all of a large change, so that what matters most is searched wherever it stands."""


MAX_LINE = 2_000
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


def place(change: diffs.FileChange) -> Place:
    """Returns what kind of file it is."""
    if is_test(change.path):
        return "test"
    if change.language == "text":
        return "text"
    return "config" if change.language in diffs.NOT_CODE else "code"


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a change: its lines by side."""

    change: diffs.FileChange
    place: Place
    added: str
    removed: str

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
        texts = _fair([source.added if side == "added" else source.removed for source in sources])
        self._starts = [0, *accumulate(len(text) + 1 for text in texts)]
        self.text = "\n".join(texts)
        lowered = self.text.lower()
        self._lowered = lowered if len(lowered) == len(self.text) else self.text.translate(_LOWER)

    @cached_property
    def words(self) -> Mapping[str, int]:
        """How often each word stands in it."""
        return Counter(WORD.findall(self.text))

    @cached_property
    def _known(self) -> frozenset[str]:
        """Words, their parts, and neighbouring parts together, all in lower case."""
        vocabulary = "\n".join(self.words)
        pieces = [*_PART.findall(vocabulary), *_PAIR.findall(vocabulary)]
        return frozenset([*map(str.lower, pieces), *map(str.lower, self.words)])

    def may_hold(self, hint: str) -> bool:
        """Whether `hint` is worth looking for: a word or part of one that is there, or no word at all."""
        return bool(self.text) and (hint in self._known or not hint.isidentifier())

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
        return self.corpus("added", SEARCHED).words

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """All paths that the change touches, unreviewed ones too."""
        return (*(source.path for source in self.sources), *self.unreviewed)

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all files, in lower case."""
        return frozenset(PurePosixPath(path).name.lower() for path in self.paths)

    @cached_property
    def languages(self) -> Mapping[str, int]:
        """Changed lines by language."""
        counts: dict[str, int] = {}
        for source in self.sources:
            if source.change.language:
                counts[source.change.language] = counts.get(source.change.language, 0) + source.change.size
        return counts

    def of(self, *places: Place) -> Iterator[Source]:
        """Yields the files of these kinds."""
        return (source for source in self.sources if source.place in places)


def of(diff: diffs.Diff, unreviewed: tuple[str, ...] = ()) -> Facts:
    """Returns the facts of a change; `unreviewed` are paths that nobody reviews but that say something (lock files)."""
    return Facts(tuple(_source(change) for change in diff.files), unreviewed)


def _source(change: diffs.FileChange) -> Source:
    lines = [line for hunk in change.hunks for line in hunk.lines]
    return Source(
        change,
        place(change),
        "\n".join([line[1:] for line in lines if line[0] == "+"]),
        "\n".join([line[1:] for line in lines if line[0] == "-"]),
    )


def _fair(texts: Sequence[str]) -> list[str]:
    """Returns the texts, or as much of each as its share of `MAX_CHARS` and its telling words make."""
    whole = sum(map(len, texts))
    if whole <= MAX_CHARS:
        return list(texts)
    step = -(-whole // MAX_CHARS)
    return [_thinned(text, step) for text in texts]


def _thinned(text: str, step: int) -> str:
    lines = text.split("\n")
    wanted = set(range(0, -(-len(lines) // BLOCK), step)) | set(_told(text))
    return "\n".join(["\n".join(lines[block * BLOCK : (block + 1) * BLOCK]) for block in sorted(wanted)])


def _told(text: str) -> Iterator[int]:
    """Yields the blocks that hold something telling, one for each."""
    lowered = text.lower()
    for word in _TELLING:
        at = lowered.find(word)
        if at >= 0:
            yield lowered.count("\n", 0, at) // BLOCK
