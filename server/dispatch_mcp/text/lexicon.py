"""A hand-written net of what words of software work mean, in eight languages.

A lexicon file holds concepts: a line `# name > other:0.6 another:0.3` opens one and says which wider concepts it
implies and how much; the lines below list its terms between commas. A term may have several words, end in `*` to
match the beginning of a word, or carry `^0.4` when it often means something else. A line of `// …` is a remark.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dispatch_mcp.text import tokenizer

Meanings = tuple[tuple[int, float], ...]
"""Pairs of a concept's number and how strongly it is meant, 0 to 1."""

MAX_WORDS = 5
MIN_PREFIX = 4
_CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUN = re.compile(rf"(?<![A-Za-z])[A-Za-z]*+[{_CJK}][{_CJK}A-Za-z]*+")
"""A run of Chinese or Japanese characters, with the Latin letters that are written into it: `APIキー`."""
_LEAST_FOLDED = 6
_LEAST_IMPLIED = 0.1


@dataclass(frozen=True, slots=True)
class Match:
    """A place in a text that means something: the words from `first` to before `last`, and what they mean.

    Matches inside Chinese and Japanese runs have the range of characters as well; others have `start` -1.
    """

    first: int
    last: int
    meanings: Meanings
    start: int = -1
    end: int = -1


@dataclass(frozen=True)
class Lexicon:
    """Concepts and the terms that mean them.

    `phrases` is keyed by the stems of a term with single spaces, `folded` by the same without accents, `prefixes` by
    beginnings of words, `runs` by Chinese and Japanese terms. `longest` tells how many words a term may have that
    begins with a stem. `vectors` is the table of `routing.word_vectors`, as it lies in its file.
    """

    names: tuple[str, ...] = ()
    phrases: Mapping[str, Meanings] = field(default_factory=dict[str, Meanings])
    folded: Mapping[str, Meanings] = field(default_factory=dict[str, Meanings])
    prefixes: Mapping[str, Meanings] = field(default_factory=dict[str, Meanings])
    runs: Mapping[str, Meanings] = field(default_factory=dict[str, Meanings])
    longest: Mapping[str, int] = field(default_factory=dict[str, int])
    common: Mapping[str, int] = field(default_factory=dict[str, int])
    digest: str = ""
    vectors: bytes = field(default=b"", repr=False)

    def matches(self, words: Sequence[tokenizer.Word], source: str) -> Iterator[Match]:
        """Yields what the words of `source` mean, longest terms first from left to right, without overlaps."""
        whole = [word for word in words if not word.part]
        stems = [word.stem for word in whole]
        plain = [word.stem if word.form.isascii() else tokenizer.stem(tokenizer.fold(word.form)) for word in whole]
        at = 0
        while at < len(whole):
            match = self._match_at(stems, plain, at) or self._prefix_at(tokenizer.fold(whole[at].form), at)
            if match is not None:
                yield match
            at = match.last if match is not None else at + 1
        if not source.isascii():
            yield from self._run_matches(source)

    def cover(self, words: Sequence[tokenizer.Word], matches: Iterable[Match]) -> float:
        """Returns which share of a text's content words means something here, 0 to 1."""
        whole = [word for word in words if not word.part]
        content = [word for word in whole if word.stem not in tokenizer.STOP]
        meaningful = 0.0
        for match in matches:
            share = max(share for _, share in match.meanings)
            if match.first < 0:
                meaningful += share * (match.end - match.start)
            else:
                meaningful += share * sum(word.stem not in tokenizer.STOP for word in whole[match.first : match.last])
        return min(1.0, meaningful / max(len(content), 1))

    def _match_at(self, stems: Sequence[str], plain: Sequence[str], at: int) -> Match | None:
        most = max(self.longest.get(stems[at], 0), self.longest.get(plain[at], 0))
        for last in range(min(at + most, len(stems)), at, -1):
            key = stems[at] if last == at + 1 else " ".join(stems[at:last])
            meanings = self.phrases.get(key)
            if meanings is None and self.folded:
                meanings = self.folded.get(" ".join(plain[at:last]))
            if meanings is not None:
                return Match(at, last, meanings)
        return None

    def _prefix_at(self, form: str, at: int) -> Match | None:
        if form[:MIN_PREFIX] not in self._beginnings:
            return None
        for length in range(len(form), MIN_PREFIX - 1, -1):
            meanings = self.prefixes.get(form[:length])
            if meanings is not None:
                return Match(at, at + 1, meanings)
        return None

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        return frozenset(prefix[:MIN_PREFIX] for prefix in self.prefixes)

    @cached_property
    def _longest_run(self) -> int:
        return max(map(len, self.runs), default=0)

    def _run_matches(self, source: str) -> Iterator[Match]:
        for run in _RUN.finditer(source):
            at = run.start()
            while at < run.end():
                match = self._run_at(source, at, run.end())
                if match is not None:
                    yield match
                at = match.end if match is not None else at + 1

    def _run_at(self, source: str, at: int, stop: int) -> Match | None:
        for end in range(min(at + self._longest_run, stop), at, -1):
            meanings = self.runs.get(source[at:end].lower())
            if meanings is not None:
                return Match(-1, -1, meanings, at, end)
        return None


EMPTY = Lexicon()


@dataclass(slots=True)
class _Draft:
    names: list[str] = field(default_factory=list[str])
    wider: dict[str, dict[str, float]] = field(default_factory=dict[str, dict[str, float]])
    terms: list[tuple[str, str, float]] = field(default_factory=list[tuple[str, str, float]])


def parse(sources: Iterable[str], common: Sequence[str] = ()) -> Lexicon:
    """Returns the lexicon that these files describe; `common` are everyday English words, the commonest first.

    Raises:
        ValueError: a concept implies one that does not exist, or no word can ever begin with a term that ends in `*`.
    """
    files = list(sources)
    draft = _Draft()
    for source in files:
        _read(source, draft)
    ids = {name: place for place, name in enumerate(draft.names)}
    unknown = {other for wider in draft.wider.values() for other in wider} - ids.keys()
    if unknown:
        raise ValueError(f"concepts imply unknown ones: {sorted(unknown)!r}")
    implications = [_implied(name, draft.wider) for name in draft.names]
    tables = _Tables([{ids[name]: share for name, share in row.items()} for row in implications])
    for term, concept, weight in draft.terms:
        tables.add(term, (ids[concept], weight))
    digest = hashlib.sha256("\0".join([*files, *common]).encode()).hexdigest()
    return tables.lexicon(tuple(draft.names), {word: rank for rank, word in enumerate(common)}, digest)


def _read(source: str, draft: _Draft) -> None:
    concept = ""
    for line in source.splitlines():
        if line.startswith("# "):
            concept, _, wider = line[2:].partition(">")
            concept = concept.strip()
            if concept not in draft.wider:
                draft.names.append(concept)
            pairs = (pair.partition(":") for pair in wider.split())
            draft.wider.setdefault(concept, {}).update({name: float(share or 0.5) for name, _, share in pairs})
        elif not line.startswith("//"):
            for term in filter(None, (part.strip() for part in line.split(","))):
                name, _, weight = term.partition("^")
                draft.terms.append((name.strip(), concept, float(weight or 1)))


def _implied(name: str, wider: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Returns the concept itself with weight 1 and what it implies, one step after the other."""
    shares = {name: 1.0}
    waiting = [(name, 1.0)]
    while waiting:
        concept, share = waiting.pop()
        for other, step in wider[concept].items():
            if share * step >= _LEAST_IMPLIED and share * step > shares.get(other, 0.0):
                shares[other] = share * step
                waiting.append((other, share * step))
    return shares


_Meant = tuple[int, float]


class _Tables:
    """Collects terms under the keys by which they are looked up; the same term may mean several concepts."""

    def __init__(self, implications: Sequence[Mapping[int, float]]) -> None:
        self.implications = implications
        self.phrases: dict[str, tuple[_Meant, ...]] = {}
        self.folded: dict[str, tuple[_Meant, ...]] = {}
        self.prefixes: dict[str, tuple[_Meant, ...]] = {}
        self.runs: dict[str, tuple[_Meant, ...]] = {}
        self.longest: dict[str, int] = {}
        self.known: dict[tuple[_Meant, ...], Meanings] = {}

    def add(self, term: str, meaning: _Meant) -> None:
        if not term.isascii() and _RUN.search(term):
            _put(self.runs, term.lower(), meaning)
        elif term.endswith("*"):
            _put(self.prefixes, _prefix(term), meaning)
        else:
            self._add_phrase(term, meaning)

    def _add_phrase(self, term: str, meaning: _Meant) -> None:
        parts = _words(term)
        if not parts:
            return
        key = " ".join([word.stem for word in parts])
        _put(self.phrases, key, meaning)
        self._reach(parts[0].stem, len(parts))
        plain = key if term.isascii() else " ".join(tokenizer.stem(tokenizer.fold(word.form)) for word in parts)
        if plain != key and len(plain) >= _LEAST_FOLDED:
            _put(self.folded, plain, meaning)
            self._reach(plain.split(" ", 1)[0], len(parts))

    def _reach(self, stem: str, count: int) -> None:
        if count > self.longest.get(stem, 0):
            self.longest[stem] = count

    def lexicon(self, names: tuple[str, ...], common: Mapping[str, int], digest: str) -> Lexicon:
        return Lexicon(
            names,
            self._frozen(self.phrases),
            self._frozen(self.folded),
            self._frozen(self.prefixes),
            self._frozen(self.runs),
            self.longest,
            common,
            digest,
        )

    def _frozen(self, table: Mapping[str, tuple[_Meant, ...]]) -> dict[str, Meanings]:
        return {key: self._meanings(meanings) for key, meanings in table.items()}

    def _meanings(self, meanings: tuple[_Meant, ...]) -> Meanings:
        if meanings not in self.known:
            row: dict[int, float] = {}
            for concept, weight in meanings:
                for other, share in self.implications[concept].items():
                    row[other] = max(row.get(other, 0.0), weight * share)
            self.known[meanings] = tuple(sorted(row.items()))
        return self.known[meanings]


def _prefix(term: str) -> str:
    form = tokenizer.fold(tokenizer.normal(term[:-1]))
    if len(form) < MIN_PREFIX or len(_words(form)) != 1:
        raise ValueError(f"no word begins with {term!r}: give one beginning of {MIN_PREFIX} letters or more")
    return form


def _words(term: str) -> list[tokenizer.Word]:
    if term.isascii() and term.islower() and term.replace(" ", "").isalnum():
        return [tokenizer.Word(tokenizer.stem(form), form, 0, 0) for form in term.split()]
    return [word for word in tokenizer.words(term) if not word.part]


def _put(table: dict[str, tuple[_Meant, ...]], key: str, meaning: _Meant) -> None:
    table[key] = (*table[key], meaning) if key in table else (meaning,)
