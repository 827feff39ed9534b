"""Words of a text with their places, for many languages and for names from code.

Rules: words are split at word boundaries only, so that "explain" never holds "ai"
(docs/rules.md#first-match); `snake_case`, `kebab-case` and `CamelCase` names also give their parts; runs of
Chinese and Japanese characters give pairs of characters.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LETTER = rf"[^\W_{_CJK}][\u0300-\u036f]*"  # with its accents: macOS and some keyboards write them apart
_WORD = re.compile(rf"[{_CJK}]+|(?:{_LETTER})+(?:['\u2019](?:{_LETTER})+)*(?:\+\+|#(?!\w))?")
_ASCII_WORD = re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z0-9]+)*(?:\+\+|#(?!\w))?")
_CJK_RUN = re.compile(rf"[{_CJK}]")
_PLAIN = re.compile(r"[a-z0-9]+(?:\+\+|#)?")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_INNER_CASE = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]{2}|[0-9][A-Z][a-z]")


class Word(NamedTuple):
    """One word of a text: its stem, its lower-case form and the half-open range it came from."""

    stem: str
    form: str
    start: int
    end: int
    part: bool = False


def words(text: str) -> list[Word]:
    """Returns the words of `text` in order; parts of compound names follow the name they are part of."""
    result: list[Word] = []
    for match in _pattern(text).finditer(text):
        raw = match[0]
        start, end = match.span()
        if _CJK_RUN.match(raw):
            result.extend(_pairs(raw, start))
            continue
        root, form, parts = _analysed(raw)
        result.append(Word(root, form, start, end))
        if parts:
            result.extend(Word(stem(part), part, start, end, part=True) for part in parts)
    return result


def stems(text: str) -> list[str]:
    """Returns the stems of the words of `text` in order."""
    return [root for raw in _pattern(text).findall(text) for root in _stems(raw)]


def _pattern(text: str) -> re.Pattern[str]:
    return _ASCII_WORD if text.isascii() else _WORD


@lru_cache(maxsize=32768)
def _stems(raw: str) -> tuple[str, ...]:
    if _CJK_RUN.match(raw):
        return tuple(pair.stem for pair in _pairs(raw, 0))
    root, _, parts = _analysed(raw)
    return (root, *map(stem, parts))


@lru_cache(maxsize=32768)
def _analysed(raw: str) -> tuple[str, str, tuple[str, ...]]:
    """Returns stem, form and the forms of the parts of a word."""
    form = normal(raw)
    return stem(form), form, tuple(_camel(raw, form)) if raw != form else ()


def content(source: str) -> list[str]:
    """Returns the content stems of a long text in order: as `stems` without stop words, faster where it is ASCII."""
    if not source.isascii():
        return [root for root in stems(source) if root not in STOP]
    return [root for root in map(_content, _PLAIN.findall(source.lower())) if root]


@lru_cache(maxsize=65536)
def _content(form: str) -> str:
    root = stem(form)
    return "" if root in STOP or len(form) < 2 else root


def normal(raw: str) -> str:
    """Returns the lower-case, compatibility-composed form of a word with straight apostrophes."""
    if raw.isascii():
        return raw.lower()
    return unicodedata.normalize("NFKC", raw).casefold().replace("\u2019", "'")


def fold(form: str) -> str:
    """Returns a word without its accents and tone marks."""
    if form.isascii():
        return form
    plain = unicodedata.normalize("NFD", form.replace("đ", "d"))
    return "".join(char for char in plain if unicodedata.category(char) != "Mn")


def key(text: str) -> str:
    """Returns the form under which two requests count as the same: its words, without case and punctuation."""
    if text.isascii():
        return " ".join(_ASCII_WORD.findall(text.lower()))
    return " ".join(map(normal, _WORD.findall(text)))


def _pairs(run: str, start: int) -> list[Word]:
    if len(run) == 1:
        return [Word(run, run, start, start + 1)]
    return [Word(run[i : i + 2], run[i : i + 2], start + i, start + i + 2) for i in range(len(run) - 1)]


def _camel(raw: str, form: str) -> list[str]:
    if len(raw) < 4 or raw.islower() or raw[1:].islower() or not _INNER_CASE.search(raw):
        return []
    parts = [part.lower() for part in _CAMEL.findall(raw)]
    return [part for part in parts if len(part) > 1 and part != form]


_VOWEL = re.compile(r"[aeiouy]")
_SUFFIXES = (
    ("ization", 3),
    ("isation", 3),
    ("ational", 3),
    ("ations", 3),
    ("ating", 3),
    ("ation", 3),
    ("ators", 3),
    ("ator", 3),
    ("ated", 3),
    ("ates", 3),
    ("ments", 4),
    ("ment", 4),
    ("izing", 3),
    ("ising", 4),
    ("izer", 3),
    ("ized", 3),
    ("ise", 4),
    ("ize", 3),
    ("ities", 4),
    ("ity", 4),
    ("able", 4),
    ("ible", 4),
    ("ance", 4),
    ("ence", 5),
    ("ness", 4),
    ("ings", 3),
    ("ing", 3),
    ("ers", 4),
    ("er", 4),
    ("ed", 3),
    ("ate", 3),
    ("ion", 4),
    ("ly", 4),
)
_KEPT = """
string strings thing things during bring king ring spring news always status bus this was has does is as us css
https dns aws sass less rails kubernetes redis jenkins analysis basis axis class access process express address
business press pass series species need needs feed seed speed embed server servers number order orders header
headers folder buffer cluster container docker user users layer paper proper under over never after other another
every very reply apply supply family only early daily station national rate rates date dates state states template
gate private plate update updates create creates created creating creation write
"""
_KEEP = frozenset(_KEPT.split())
_IRREGULAR = {
    "updates": "update",
    "needs": "need",
    "rates": "rate",
    "dates": "date",
    "states": "state",
    "strings": "string",
    "things": "thing",
    "servers": "server",
    "orders": "order",
    "headers": "header",
    "users": "user",
    "creates": "create",
    "created": "create",
    "creating": "create",
    "creation": "create",
    "wrote": "write",
    "written": "write",
    "writing": "write",
    "writes": "write",
    "writer": "write",
    "built": "build",
    "broke": "break",
    "broken": "break",
    "sent": "send",
    "ran": "run",
    "queries": "queri",
    "querying": "queri",
    "query": "queri",
    "indices": "index",
    "indexes": "index",
    "analyse": "analyz",
    "analysis": "analyz",
    "analyze": "analyz",
    "analyzing": "analyz",
    "analysing": "analyz",
    "analytics": "analyt",
    "people": "person",
    "authorize": "authoriz",
    "authorized": "authoriz",
    "authorise": "authoriz",
    "authorization": "authoriz",
    "authorisation": "authoriz",
    "authorizing": "authoriz",
    "notify": "notific",
    "notifies": "notific",
    "verify": "verific",
    "verifies": "verific",
    "verified": "verific",
    "classify": "classific",
    "specify": "specific",
    "modify": "modific",
    "auth": "auth",
    "slower": "slow",
    "slowly": "slow",
    "slowness": "slow",
}


@lru_cache(maxsize=65536)
def stem(form: str) -> str:
    """Returns the stem of a lower-case English word; words of other scripts come back unchanged."""
    if form in _IRREGULAR:
        return _IRREGULAR[form]
    if len(form) < 4 or not form.isascii() or form in _KEEP:
        return form
    base = form.removesuffix("'s")
    if not base.isalpha():
        return base
    base = _singular(base)
    if base in _KEEP:
        return _IRREGULAR.get(base, base)
    return _ending(_suffix(base))


def _singular(word: str) -> str:
    if len(word) < 4 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word.removesuffix("s")


_BY_LAST = {
    last: tuple(rule for rule in _SUFFIXES if rule[0][-1] == last) for last in {suffix[-1] for suffix, _ in _SUFFIXES}
}


def _suffix(word: str) -> str:
    for suffix, least in _BY_LAST.get(word[-1], ()):
        if word.endswith(suffix):
            rest = word[: -len(suffix)]
            if len(rest) >= least and _VOWEL.search(rest):
                return _single(rest) if suffix in {"ing", "ings", "ed", "er", "ers"} else rest
            if suffix not in {"ated", "ates", "ising", "ers"}:
                return word
    return word


def _single(rest: str) -> str:
    twice = len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "lsz"
    return rest[:-1] if twice else rest


def _ending(word: str) -> str:
    if len(word) > 3 and word.endswith("e"):
        return word[:-1]
    if len(word) > 3 and word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "i"
    return word


_IRREGULAR_FORMS = {
    root: tuple(form for form, its in _IRREGULAR.items() if its == root) for root in _IRREGULAR.values()
}


def beginnings(root: str) -> tuple[str, ...]:
    """Returns beginnings, one of which every lower-case word with a stem has.

    They are the stem itself, without an `i` that stands for a `y`, and irregular forms that begin otherwise.
    """
    usual = root.removesuffix("i") if len(root) > 3 else root
    return (usual, *(form for form in _IRREGULAR_FORMS.get(root, ()) if not form.startswith(usual)))


_STOPPED = """
a an the and or but if of to in on at by for with from into onto as is are was were be been being am do does did
done it its this that these those there here i me my mine we us our ours you your yours he she they them their his
her him who whom which what when where why how all any both each few more most other some such only own so than too
very can could will would should shall may might must have has had having not no nor up out about over again then
once just also please let let's i'm i've i'd i'll we're we've it's that's don't can't won't isn't doesn't didn't
aren't they're you're what's there's get got gets getting need needs want wants like make makes making use uses used
using e.g i.e etc via per within while during between through because since until now one two way ways thing things
something everything anything ensure ensures provide provides including include includes help helps helping work
works working able several various
"""
STOP = frozenset(map(stem, _STOPPED.split()))
"""Stems of words that say nothing about what a text is about."""
