"""What a task text asks the index for: its words, the names and paths in it, and words that stand together."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from dispatch_mcp.text import tokenizer
from dispatch_mcp.text.reading import excerpts

MAX_TERMS = 48
"""Distinct words of a task that are searched for; the first ones count."""
MAX_PAIRS = 16
"""Pairs of words that are searched for as phrases."""
ENOUGH = 4_000
"""Parts with the rarest words of a task from which on a commoner word brings no further ones. Ranking a part takes FTS5
a microsecond, a common word stands in tens of thousands, and of the 200 best parts 96 % are found so, of the 20 best
all (ADR 0015)."""
LEAST = 200
"""Parts that the rarest words must bring, however common the next one is."""
MOST = 10_000
"""Parts that hold a word above which it adds nothing to the scores of what rarer ones bring: FTS5 counts them all."""

_CAMEL = re.compile(r"[A-Z](?:(?<=[a-z0-9].)|(?<=[A-Z].)(?=[a-z]))")
_WORD = re.compile(r"[^\W_]+")
# `name`, ``name``, "a few words", 'a few words', but no apostrophe of don't
_QUOTED = re.compile(r"``?([^`\n]{1,80})``?|\"([^\"\n]{2,60})\"|(?<!\w)'([^'\n]{2,60})'(?!\w)")
_IDENTIFIERS = (
    r"(?<![\w$])[A-Za-z_$][\w$]*+(?:(?:\.|::|->|#)[A-Za-z_$][\w$]*+)+",  # Cart.total, std::move, $cart->total, A#b
    r"\b\w*[a-z0-9][A-Z]\w*",  # listOrders
    r"\b\w*\w_\w+",  # list_orders
    r"\b[A-Z]{2,}\w+",  # HTTPError
)
_IDENTIFIER = re.compile("|".join(_IDENTIFIERS))
_NAME = re.compile(r"[\w$.:#-]+(?:\(\))?")
_PATH_ENDINGS = (
    *(
        "py",
        "pyi",
        "jsx?",
        "tsx?",
        "mjs",
        "cjs",
        "go",
        "rs",
        "java",
        "kt",
        "rb",
        "php",
        "cs?",
        "cpp",
        "h",
        "hpp",
        "sql",
    ),
    *("sh", "vue", "swift"),
)
_PATH = re.compile(rf"(?<![\w.@-])[\w.@-]*+(?:/[\w.@-]++)+|(?<![\w-])[\w-]++\.(?:{'|'.join(_PATH_ENDINGS)})\b")
_STOPPED_TEXT = """
a an the and or but if of to in on at by for with from into onto as is are was were be been being it its this that
these those there here i we you he she they them their our your his her who whom which what when where why how do
does did has have had can could will would should shall may might must than then so too very just also only not no
nor e g ie eg etc via per we're it's don't doesn't isn't aren't i'm s t re ve ll d m
"""
_STOPPED = frozenset(_STOPPED_TEXT.split())


@dataclass(frozen=True, slots=True)
class Query:
    """A task text, read.

    `words` are its distinct words in lower case and order, `title` those of its first sentence; `pairs` stand next to
    each other; `names` are identifiers in it and what it quotes, `quote_words` the words of the latter; `paths` look
    like paths.
    """

    text: str
    words: tuple[str, ...] = ()
    title: frozenset[str] = frozenset()
    pairs: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()
    quote_words: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()

    @property
    def terms(self) -> tuple[str, ...]:
        """The distinct stems of the words."""
        return tuple(dict.fromkeys(map(stem, self.words)))

    def has_path(self, path: str) -> bool:
        """Returns whether the task has the path, or the end of it from a folder on."""
        return bool(self.paths_in((path,)))

    def paths_in(self, paths: Iterable[str]) -> list[str]:
        """Returns those of the paths that the task has, or ends of them from a folder on."""
        endings = _endings(self.paths)
        return [path for path in paths if f"/{path}".endswith(endings)] if endings else []

    def rarest(self, rarity: Mapping[str, float], most: int) -> list[str]:
        """Returns the `most` words that are rarest by the inverse document frequency of their stems."""
        return sorted(self.words, key=lambda word: -rarity.get(stem(word), 0.0))[:most]


class WordMatch(NamedTuple):
    """A full-text query in which each word counts as if it stood there so many `times`."""

    text: str
    times: int = 1


def match(words: Iterable[str], pairs: Iterable[tuple[str, str]], rows: Mapping[str, int]) -> WordMatch:
    """Returns the full-text query for any of the words, and for pairs as phrases; empty if nothing holds any.

    `rows` is by word how many parts hold it. Where rare words bring enough parts, common words only add to the scores
    of those that have a rare word or a pair.
    """
    rare, common, count = list[str](), list[str](), 0
    for word in sorted((word for word in words if rows.get(word)), key=lambda word: rows[word]):
        brings = count < LEAST or count + rows[word] <= ENOUGH
        if brings:
            rare.append(word)
        elif rows[word] <= MOST:
            common.append(word)
        count += rows[word]
    phrases = [f"{word} {follower}" for word, follower in pairs if rows.get(word) and rows.get(follower)]
    bringers = _any([*rare, *phrases])
    if not common:
        return WordMatch(bringers)
    # What stands on both sides counts twice, so the common words stand on theirs twice.
    return WordMatch(f"({bringers}) AND ({_any([*rare, *phrases, *common, *common])})", 2)


def _any(texts: Iterable[str]) -> str:
    return " OR ".join(f'"{text}"' for text in texts)


def read(text: str) -> Query:
    """Returns what of `text` is searched for."""
    text = excerpts.SEARCH.of(text)
    words, pairs = _words(text)
    title = frozenset(_words(_title(text))[0])
    quotes = [match[match.lastindex or 0] for match in _QUOTED.finditer(text)]
    identifiers = [match[0] for match in _IDENTIFIER.finditer(text)]
    names = dict.fromkeys([*identifiers, *(quote for quote in quotes if _NAME.fullmatch(quote))])
    return Query(
        text=text,
        words=tuple(words[:MAX_TERMS]),
        title=title,
        pairs=tuple(pairs[:MAX_PAIRS]),
        names=tuple(name.removesuffix("()").strip(".:#$") for name in names)[:30],
        quote_words=frozenset(word for quote in quotes for word in _words(quote)[0]),
        paths=tuple(dict.fromkeys(match[0].rstrip(".") for match in _PATH.finditer(text)))[:20],
    )


def _title(text: str) -> str:
    head = text.lstrip().split("\n", 1)[0]
    return re.split(r"(?<=[.!?])\s", head, maxsplit=1)[0][:200]


def _apart(match: re.Match[str]) -> str:
    return f" {match[0]}"


def split_names(text: str) -> str:
    """Returns `text` with the parts of camelCase names apart."""
    return _CAMEL.sub(_apart, text)


def _words(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Returns the distinct words in order, and the pairs of words with nothing but a blank or a dash between them."""
    words: dict[str, None] = {}
    pairs: dict[tuple[str, str], None] = {}
    before, end = "", -1
    separate = split_names(text)
    for match in _WORD.finditer(separate):
        word = match[0].lower()
        if word in _STOPPED or (len(word) < 2 and not word.isdigit()) or len(word) > 40:
            before = ""
            continue
        words[word] = None
        if before and match.start() - end == 1 and before != word:
            pairs[before, word] = None
        before, end = word, match.end()
    return list(words), list(pairs)


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Returns the form under which words of a task and of code count as the same."""
    return (
        tokenizer.stem(word)
        if len(word) > 3
        else word.removesuffix("s")
        if len(word) == 3 and word[-2:] != "ss"
        else word
    )


def stems(text: str) -> frozenset[str]:
    """Returns the stems of the words of a piece of code or prose."""
    return plain_stems(plain(text))


_LETTERS = re.compile(r"[^\W\d_]{2,}|\d+")
_ASCII = re.compile(r"[a-z]{2,}|\d+")


def plain(text: str) -> str:
    """Returns `text` in lower case, the parts of compound names apart."""
    return split_names(text).lower().replace("_", " ").replace("-", " ").replace(".", " ")


def plain_stems(text: str) -> frozenset[str]:
    """Returns the stems of the words of a plain text."""
    return frozenset(map(stem, set((_ASCII if text.isascii() else _LETTERS).findall(text))))


def terms_in(query: Query, text: str) -> frozenset[str]:
    """Returns which stems of the task a plain text has: those of `plain_stems(text)` that are among `query.terms`.

    Looking for each word of the task takes a fifth of the time that stemming each word of the text does.
    """
    return frozenset(
        [
            term
            for term, beginning, run in _beginnings(query.words)
            if beginning in text and _has(text, term, beginning, run)
        ]
    )


def _has(text: str, term: str, beginning: str, run: re.Pattern[str]) -> bool:
    at = text.find(beginning)
    while at >= 0:
        match = run.match(text, at)
        if match and not (at and run.match(text, at - 1)) and stem(match[0]) == term:
            return True
        at = text.find(beginning, at + 1)
    return False


@lru_cache(maxsize=64)
def _endings(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"/{path.lstrip('./')}" for path in paths)


_LETTER_RUN = re.compile(r"[^\W\d_]{2,}")
_DIGIT_RUN = re.compile(r"\d+")


@lru_cache(maxsize=64)
def _beginnings(words: tuple[str, ...]) -> tuple[tuple[str, str, re.Pattern[str]], ...]:
    """Returns for each stem of words what its forms begin with, and what such a form consists of."""
    return tuple(
        (term, beginning, run)
        for term in dict.fromkeys(map(stem, words))
        for run in (_LETTER_RUN, _DIGIT_RUN)
        if run.fullmatch(term)
        for beginning in tokenizer.beginnings(term)
    )


def phrases(query: Query, terms: Collection[str], text: str) -> int:
    """Returns how many of the pairs of words of the task stand together in a plain text that has these `terms`."""
    return sum(
        [pair in text for first, second, pair in _joined(query.pairs) if first in terms and second in terms],
    )


@lru_cache(maxsize=64)
def _joined(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str, str], ...]:
    """Returns pairs as their stems and as they stand in a plain text."""
    return tuple((stem(first), stem(second), f"{first} {second}") for first, second in pairs)
