"""A request in parts that could be tasks of their own, and whether it names code."""

from __future__ import annotations

import re
from typing import Final

from dispatch_mcp.text import tokenizer
from dispatch_mcp.text.reading import excerpts

MAX_PARTS: Final = 4
LEAST_WORDS: Final = 2
"""Words of a part, at least: fewer belong to no task."""

MAX_LENGTH: Final = 600
"""Characters of a request that is looked at: a longer one is a document, whose sentences are no tasks."""

# Words between two tasks: English, Vietnamese, German, Spanish, French, Portuguese.
_LINKS = (
    *("and then", "and also", "and", "then", "plus", "rồi", "và", "sowie", "und", "y luego", "y", "puis", "et", "e"),
)
_MARKS = re.compile(r"[;\n]|[.](?=\s)|,(?=\s)")
_LINK = re.compile(rf"\s(?:{'|'.join(_LINKS)})\s", re.IGNORECASE)

# What only code looks like: a call, snake_case, a path or file with its suffix, something in backticks.
_CALL = re.compile(r"\w\(\w*\)")
_SNAKE = re.compile(r"\b[a-z]+_[a-z_]+\b")
_PATH = re.compile(r"/[\w.-]+\.\w{1,5}\b")
_TICKS = re.compile(r"`[^`\n]+`")
_SUFFIXES = (
    *("py", "js", "ts", "tsx", "jsx", "go", "rs", "java", "rb", "php", "c", "h", "cc", "cpp", "cs", "kt", "swift"),
    *("sh", "sql", "md", "rst", "toml", "yml", "yaml", "json", "css", "html", "txt", "cfg", "ini"),
)
_FILE = re.compile(rf"(?<![\w-])[\w-]++\.(?:{'|'.join(_SUFFIXES)})\b")

# Things that only programming is about, in the words of the general agent's own description; stems as the tokenizer's.
SUBJECTS: Final = frozenset(
    stem
    for word in (
        *("function", "method", "class", "module", "script", "parse", "parser", "regex", "regexp", "csv", "json"),
        *("yaml", "xml", "cli", "variable", "decorator", "refactor", "refactoring", "rename", "docstring", "codebase"),
        *("code", "compile", "compiler", "algorithm", "iterator", "library", "bug", "exception", "traceback"),
        *("readme", "changelog", "hàm", "lớp", "funktion", "klasse", "función", "clase", "fonction", "classe"),
    )
    for stem in tokenizer.stems(word)
)


def parts(request: str) -> tuple[str, ...]:
    """Returns the parts of a request that could be tasks of their own, in their order; none of a long one."""
    if len(request) > MAX_LENGTH:
        return ()
    pieces = [piece.strip(" .") for clause in _MARKS.split(request) for piece in _LINK.split(f" {clause.strip()} ")]
    whole = tuple(piece for piece in map(_without_link, pieces) if len(piece.split()) >= LEAST_WORDS)
    return whole if len(whole) <= MAX_PARTS else ()


def names_code(request: str) -> bool:
    """Returns whether a request is about code by what it names: files, functions, or the words for them."""
    return names_places(request) or not SUBJECTS.isdisjoint(tokenizer.stems(excerpts.request(request)))


def names_places(request: str) -> bool:
    """Returns whether a request names places in code: files, paths, calls, or names as code writes them."""
    head = excerpts.request(request)
    return any(pattern.search(head) for pattern in (_CALL, _SNAKE, _PATH, _FILE, _TICKS))


def _without_link(piece: str) -> str:
    head, _, tail = piece.partition(" ")
    return tail.strip() if head.lower() in _LINKS else piece
