"""What a task says it needs to see (docs/rules.md#context-keys).

- `file:PATH`, `file:PATH#L10-80`, `file:PATH#Name` a file, lines or a definition of it; PATH may be a glob
- `file:PATH:10` a file of which line 10 matters most; `file:PATH::Name` is `file:PATH#Name`
- `symbol:Name` the definitions of that name
- `structure:FOLDER` what lies in a folder
- `pattern:name` the best definition for those words, and its best test as an example
- `rag:words` the best parts for those words; `rag:docs: words` looks in documents and tests
- `task:ID` the handoff of another task
- `rules:` the project's rules and what else guides the work; `rules:AGENTS.md` one source of them

Anything else is a path when it looks like one, and words to search for otherwise.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

Kind = Literal["file", "symbol", "structure", "pattern", "rag", "task", "rules"]

MAX_KEYS = 64
MAX_PATH = 1_000
"""Characters of a path; what is longer is a question, and no pattern is tried on it."""

_KEY = re.compile(r"\s*+(file|symbol|structure|pattern|rag|task|rules)\s*+:(.*+)", re.DOTALL | re.IGNORECASE)
_LINES = re.compile(r"L?(\d{1,7})(?:\s*-\s*L?(\d{1,7}))?", re.IGNORECASE)
# #L10-80, #Name, ::Name; :10, :10-80, and :10:5 of which the column says nothing
_PLACE = r"#\S+|::[^\W\d]\S*|:L?\d{1,7}(?:-L?\d{1,7}|:\d{1,7})?"
_PATH = re.compile(rf"(?:[^\s:#]*[\w*]\.[A-Za-z]\w{{0,9}}|[^\s:]+/[^\s:]*)(?:{_PLACE})?")
_PLACED = re.compile(r"([^#:]+)(?:::([^\W\d]\S*)|:(L?\d{1,7}(?:-L?\d{1,7})?)(?::\d{1,7})?)")
_QUOTES = "`'\""
_DOCS = re.compile(r"(?:docs?|documentation)\s*[:/]\s*", re.IGNORECASE)


class Requirement(NamedTuple):
    """One key. `key` is how it was written; `first` and `last` are lines from 1, 0 for none given.

    `is_place` is whether they only say where in the file to look, as `cart.py:12` of a trace does.
    """

    key: str
    kind: Kind
    subject: str
    symbol: str = ""
    first: int = 0
    last: int = 0
    docs: bool = False
    is_place: bool = False


def parse(key: str) -> Requirement:
    """Returns what a key means; every text means something."""
    match = _KEY.fullmatch(key)
    if not match:
        subject = key.strip().strip(_QUOTES)
        kind: Kind = "file" if len(subject) <= MAX_PATH and _PATH.fullmatch(subject) else "rag"
        return _file(key, subject) if kind == "file" else Requirement(key, kind, subject)
    name, subject = match[1].lower(), match[2].strip().strip(_QUOTES).removeprefix("file:")
    if name == "file":
        return _file(key, subject)
    if name == "rag":
        docs = _DOCS.match(subject)
        return Requirement(key, "rag", subject[docs.end() :] if docs else subject, docs=bool(docs))
    subject = _tidy(subject) if name == "structure" else subject.removesuffix("()")
    return Requirement(key, _PLAIN[name], subject)


_PLAIN: Mapping[str, Kind] = {
    "symbol": "symbol",
    "structure": "structure",
    "pattern": "pattern",
    "task": "task",
    "rules": "rules",
}


def parse_all(keys: Iterable[str]) -> list[Requirement]:
    """Returns the meaning of each distinct key, at most MAX_KEYS."""
    return [parse(key) for key in list(dict.fromkeys(key for key in keys if key.strip()))[:MAX_KEYS]]


def _file(key: str, subject: str) -> Requirement:
    path, _, anchor = subject.partition("#")
    place = _PLACED.fullmatch(subject)
    if place:
        path, anchor = place[1], (place[2] or place[3]).replace("::", ".")
    lines = _LINES.fullmatch(anchor.strip())
    if lines:
        first = max(1, int(lines[1]))
        last = int(lines[2] or first)
        span = min(first, last), max(first, last)
        return Requirement(key, "file", _tidy(path), first=span[0], last=span[1], is_place=place is not None)
    return Requirement(key, "file", _tidy(path), symbol=anchor.strip().removesuffix("()"))


def _tidy(path: str) -> str:
    """Returns a path as the index writes it; one that climbs stays as it is, and is refused by whoever reads it."""
    path = path.strip().replace("\\", "/")
    while path.startswith("./"):
        path = path[2:]
    return "" if path == "." else path.rstrip("/") or ("/" if path else "")


def answering(symbol: str, names: Iterable[str]) -> list[str]:
    """Returns which qualified names answer to a symbol: exactly, else in any case, else those that end with it."""
    distinct = dict.fromkeys(names)
    tail, low = f".{symbol}", symbol.lower()
    exact = [name for name in distinct if name == symbol] or [name for name in distinct if name.endswith(tail)]
    if exact:
        return exact
    lower_names = {name: name.lower() for name in distinct}
    same = [name for name, lower in lower_names.items() if lower == low]
    return same or [name for name, lower in lower_names.items() if lower.endswith(f".{low}")]


def nearest(name: str, candidates: Iterable[str], *, apart: str = "/", least: float = 0.6) -> str:
    """Returns which of the candidates was probably meant, or an empty text where none is as near as `least`.

    `apart` stands between the parts of names; the last part counts.
    """
    candidates, low = list(candidates), name.lower()
    lowers = [candidate.lower() for candidate in candidates]
    if low in lowers:
        return candidates[lowers.index(low)]
    base, bases = low.rpartition(apart)[2], [lower.rpartition(apart)[2] for lower in lowers]
    same = [candidate for candidate, other in zip(candidates, bases, strict=True) if other == base]
    if base and same:
        return min(same, key=lambda candidate: (-_alike(low, candidate.lower()), candidate))
    by_base = dict(zip(reversed(bases), reversed(candidates), strict=True))
    close = _closest(base, by_base, least)
    return by_base[close] if close else ""


def _closest(name: str, names: Iterable[str], least: float) -> str:
    """Returns what `difflib.get_close_matches` would put first, sooner: what can be nearest is compared first.

    An empty text where nothing is as near as `least`.
    """
    matcher, best = difflib.SequenceMatcher(None, "", name), ""
    for ceiling, other in sorted(_bounds(name, names, least), reverse=True):
        if ceiling < least:
            break  # nor can any of those behind it be as near as the best
        matcher.set_seq1(other)
        if matcher.quick_ratio() < least:
            continue
        ratio = matcher.ratio()
        if ratio > least or (ratio == least and other > best):
            best, least = other, ratio
    return best


def _bounds(name: str, names: Iterable[str], least: float) -> Iterator[tuple[float, str]]:
    """Yields the names that may be as near as `least` by their lengths and letters, each with the nearest it may be."""
    letters = frozenset(name)
    for other in names:
        size, other_letters = len(name) + len(other), frozenset(other)
        most = min(len(name) - len(letters - other_letters), len(other) - len(other_letters - letters))
        ceiling = 2.0 * most / size if size else 1.0
        if ceiling >= least:
            yield ceiling, other


def _alike(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, name, other).ratio()
