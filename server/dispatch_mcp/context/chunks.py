"""Cuts files into functions, class headers and the rest, with patterns and indentation instead of parsers.

A definition ends where its indentation does (or at its closing brace or `end`); that holds for formatted code in
every language here and costs a tenth of parsing it. What belongs to no definition stays as parts of the module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, NamedTuple

from dispatch_mcp.text import languages

Kind = Literal["function", "class", "module", "text", "test"]

WINDOW = 60
"""Lines of one part of a text that has no definitions, and of a definition that is too long."""
SHORTEST = 600
"""Characters of a section that is not joined with the next one."""
LONGEST = 110
"""Lines of a definition that stays whole."""
_NAMES = 12


class Chunk(NamedTuple):
    """One part of a file: `first` and `last` are lines from 1, `start` and `end` the characters of the text."""

    kind: Kind
    name: str
    first: int
    last: int
    start: int
    end: int


@dataclass(slots=True)
class _Definition:
    start: int
    end: int
    kind: str
    name: str
    parts: list[_Definition] = field(default_factory=list["_Definition"])


_CONTAINERS = frozenset(
    {
        *("class", "interface", "impl", "trait", "mod", "module", "namespace", "object"),
        *("extension", "protocol", "struct", "enum", "record", "union", "package"),
    }
)
_TYPES = _CONTAINERS | {"type", "typedef", "macro_rules!", "abstract class"}

_NOT_A_NAME = r"(?!(?:if|for|while|switch|catch|return|else|new|throw|do|with|match|function|await|typeof|sizeof)\b)"
_BEFORE = r"(?:(?:public|private|protected|internal|static|final|abstract|override|virtual|async|readonly|sealed|open"
_JS_FUNCTION = r"(?:async[ ]+)?(?:function\b|\([^()\n]*\)[^=\n;]{0,60}=>|\w+[ ]*=>|\($)"

_PATTERNS: Mapping[str, str] = {
    "python": r"\n(?P<i>[ \t]*)(?:async[ ]+)?(?P<k>def|class)[ ]+(?P<n>\w+)",
    "script": rf"""\n(?P<i>[ \t]*)(?:
        (?:export[ ]+)?(?:default[ ]+)?(?:declare[ ]+)?(?:async[ ]+)?function\b[*]?[ ]*(?P<n>\w+)
        | (?:export[ ]+)?(?:default[ ]+)?(?:declare[ ]+)?(?:abstract[ ]+)?
          (?P<k>class|interface|enum|namespace|type|module)[ ]+(?P<n2>[\w.]+)
        | (?:export[ ]+)?(?:const|let|var)[ ]+(?P<n3>[\w$]+)[ ]*(?::[^=\n]+)?=[ ]*{_JS_FUNCTION}
        | (?P<n4>[\w$]+(?:\.[\w$]+)+)[ ]*=[ ]*{_JS_FUNCTION}
        | (?P<n5>[\w$]+)[ ]*:[ ]*(?:async[ ]+)?function\b
        | (?:{_BEFORE[3:]}|get|set|accessor)[ ]+)*[*]?{_NOT_A_NAME}(?P<n6>[#\w$]+)[ ]*(?:<[^>\n]*>)?
          \([^;\n]*\{{[ \t]*(?=\n)
    )""",
    "go": r"""\n(?P<i>)(?:func[ ]+(?:\([ ]*(?:\w+[ ]+)?[*]?(?P<o>\w+)[^)\n]*\)[ ]*)?(?P<n>\w+)
        |(?P<k>type)[ ]+(?P<n2>\w+))""",
    "rust": r"""\n(?P<i>[ \t]*)(?:pub(?:\([^)\n]*\))?[ ]+)?
        (?:default[ ]+|async[ ]+|const[ ]+|unsafe[ ]+|extern[ ]+"[^"\n]*"[ ]+)*
        (?:fn[ ]+(?P<n>\w+)|(?P<k>struct|enum|trait|mod|union|type|macro_rules!)[ ]+(?P<n2>\w+)
        |(?P<k2>impl)\b(?:<[^{\n]*?>)?[ ]*(?:[^{\n]*?\bfor[ ]+)?
            (?:&?(?:'\w+[ ]+)?(?:mut[ ]+)?)(?:\w+::)*(?P<n3>\w+))""",
    "typed": rf"""\n(?P<i>[ \t]*)(?:@\w+[ ]+)*{_BEFORE}|synchronized|partial|default|native|unsafe|extern|suspend|inline
        |data|lateinit|operator|mutating|fileprivate|case|implicit|lazy|abstract|new|final)[ ]+)*(?:
        (?P<k>class|interface|enum|struct|record|object|trait|protocol|extension|namespace)[ ]+(?:class[ ]+)?
            (?P<n>\w[\w.]*)
        | (?:fun|func|def)[ ]+(?:<[^>\n]*>[ ]*)?(?P<n2>[\w.]+)
        | (?:[\w<>\[\],.?]+[ ]+){{1,6}}{_NOT_A_NAME}(?P<n3>\w+)[ ]*\([^;\n]*(?:\n|\{{|=>)
        )""",
    "c": rf"""\n(?P<i>)(?:(?:typedef[ ]+)?(?P<k>struct|class|union|enum|namespace)[ ]+(?P<n>\w+)(?=[^;()\n]*(?:\{{|\n))
        | (?:template[ ]*<[^\n]*>[ ]*\n)?(?:[\w:<>,]+[ \t*&]+){{1,6}}{_NOT_A_NAME}(?P<n2>[\w:~]+)[ ]*
            \((?![^\n]*;[ \t]*\n))""",
    "ruby": r"\n(?P<i>[ \t]*)(?:def[ ]+(?:self\.)?(?P<n>[\w?!=]+)|(?P<k>class|module)[ ]+(?P<n2>[\w:]+))",
    "php": rf"""\n(?P<i>[ \t]*){_BEFORE})[ ]+)*(?:function[ ]+&?(?P<n>\w+)
        |(?P<k>class|interface|trait|enum)[ ]+(?P<n2>\w+))""",
    "shell": r"\n(?P<i>[ \t]*)(?:function[ ]+(?P<n>[\w:.-]+)|(?P<n2>[\w:.-]+)[ ]*\(\))",
}
_HEADINGS: Mapping[str, str] = {
    "sql": r"(?i:\ncreate[ ]+(?:or[ ]+replace[ ]+)?(?:\w+[ ]+){0,2}?(?:table|view|function|procedure|trigger|index|type"
    r"|schema)[ ]+(?:if[ ]+not[ ]+exists[ ]+)?(?P<n>[\w.\"`\[\]]+))",
    "markdown": r"\n#{1,6}[ \t]+(?P<n>[^\n]{1,200})",
    "rst": r"\n(?P<n>[^\s.][^\n]{1,120})\n(?P<u>[=\-~^\"'*+#`])(?P=u){2,}[ \t]*(?=\n)",
}
_BRACES = frozenset({"script", "go", "rust", "typed", "c", "php", "shell"})
_GOES_ON = re.compile(r"[})\];, \t]*(?:else|catch|finally|while)\b")
_WORDS_INSIDE = r"(?!(?:where|public|private|protected|signals|case|default|rescue|ensure|else|elsif|when|in)\b)"
_WORD = re.compile(r"[^\W\d_]{2}")
_WHOLE = frozenset({"function", "class", "test"})
_LEADS = ("@", "#", "/", "*", "[")
_ASSIGNED = re.compile(
    r"^[ \t]*(?:export |pub |const |let |var |static |final )*([A-Za-z_]\w+)[ \t]*(?::[^=\n]*)?=[^=]", re.MULTILINE
)


@cache
def _pattern(language: str) -> re.Pattern[str]:
    return re.compile(_PATTERNS[language], re.VERBOSE)


@cache
def _heading(language: str) -> re.Pattern[str]:
    return re.compile(_HEADINGS[language])


@cache
def _edge(language: str, depth: int) -> re.Pattern[str]:
    """Returns what ends a definition that is indented by `depth` characters; group 1 is a closing word or brace."""
    lead = rf"\n[ \t]{{0,{depth}}}"
    if language == "ruby":
        return re.compile(rf"{lead}(?:(end\b)|{_WORDS_INSIDE}(?=[^\s#)\]}}]))")
    if language in _BRACES:
        return re.compile(rf"{lead}(?:(\}})|{_WORDS_INSIDE}(?=[^\s)\]}}{{#/*]))")
    return re.compile(rf"{lead}(?=[^\s#)\]}}])()")


def split(text: str, path: str) -> list[Chunk]:
    """Returns the parts of a file in order; together they hold every line that is not blank."""
    language = languages.language(path)
    padded = f"\n{text}\n"
    if language in _PATTERNS:
        found = _nested(_definitions(padded, language))
        spans = _parts(padded, found, _Span("module", "", 0, len(padded)))
    elif language in _HEADINGS:
        spans = _sections(padded, language)
    else:
        spans = iter([_Span("text", "", 0, len(padded))])
    return list(_cut(padded, spans))


def _definitions(text: str, language: str) -> list[_Definition]:
    pattern = _pattern(language)
    kinds = [group for name, group in pattern.groupindex.items() if name.startswith("k")]
    owner = pattern.groupindex.get("o")
    found: list[_Definition] = []
    for match in pattern.finditer(text):
        name = match[match.lastindex or 0]
        kind = next(filter(None, map(match.group, kinds)), "function")
        if owner and match[owner]:
            name = f"{match[owner]}.{name}"
        depth = len(match[1])
        found.append(_Definition(match.start() + 1, _end(text, match.end() - 1, depth, language), kind, name))
    return found


def _end(text: str, at: int, depth: int, language: str) -> int:
    edge = _edge(language, depth)
    while match := edge.search(text, at):
        if not match[1]:
            return match.start() + 1
        if not _GOES_ON.match(text, match.end()):
            stop = text.find("\n", match.end())
            return len(text) if stop < 0 else stop + 1
        at = match.end()
    return len(text)


def _nested(found: list[_Definition]) -> list[_Definition]:
    """Returns the outermost definitions, each with those inside it."""
    top: list[_Definition] = []
    around: list[_Definition] = []
    for one in found:
        while around and one.start >= around[-1].end:
            around.pop()
        if around:
            one.end = min(one.end, around[-1].end)
        (around[-1].parts if around else top).append(one)
        around.append(one)
    return top


class _Span(NamedTuple):
    kind: Kind
    name: str
    start: int
    end: int


def _parts(text: str, inside: list[_Definition], around: _Span) -> Iterator[_Span]:
    """Yields what a span consists of: the definitions, and what is around them under the span's own name and kind."""
    at = around.start
    for one in inside:
        begin = _lead(text, at, one.start)
        if begin > at:
            yield _Span(around.kind, around.name, at, begin)
        own = f"{around.name}.{one.name}" if around.name else one.name
        container = one.kind in _CONTAINERS
        span = _Span("class" if one.kind in _TYPES else "function", own, begin, one.end)
        if container or (one.parts and text.count("\n", begin, one.end) > LONGEST):
            tests = one.kind == "mod" and one.name in _TEST_MODULES
            spans = _parts(text, one.parts, span)
            yield from (part._replace(kind="test") for part in spans) if tests else spans
        else:
            yield span
        at = one.end
    if around.end > at:
        yield _Span(around.kind, around.name, at, around.end)


_TEST_MODULES = frozenset({"tests", "test"})


def _lead(text: str, at: int, start: int) -> int:
    """Returns where a definition begins with its comments and decorators, not before `at`."""
    gap = text[at:start]
    blank = gap.rfind("\n\n")
    begin = at + blank + 2 if blank >= 0 else at
    return begin if text[begin:start].lstrip().startswith(_LEADS) else start


def _sections(text: str, language: str) -> Iterator[_Span]:
    at, name = 0, ""
    for match in _heading(language).finditer(text):
        start = match.start() + 1
        if start - at < SHORTEST and name and language != "sql":
            continue
        if start > at:
            yield _Span("text", name, at, start)
        at, name = start, match["n"].strip()
    yield _Span("text", name, at, len(text))


def _cut(padded: str, spans: Iterable[_Span]) -> Iterator[Chunk]:
    """Yields the spans as chunks of the text inside `padded`, blank edges trimmed and long ones in windows."""
    line, at = 0, 0
    for kind, name, start, stop in spans:
        kept = padded[start:stop].strip()
        if not _WORD.search(kept):
            continue
        begin = padded.rfind("\n", 0, padded.find(kept[0], start)) + 1
        line += padded.count("\n", at, begin)
        at = begin
        end = padded.find(kept, begin) + len(kept)
        label = name or (_assigned(kept) if kind == "module" else "")
        last = line + kept.count("\n")
        if last - line < (LONGEST if kind in _WHOLE else WINDOW * 3 // 2):
            yield Chunk(kind, label, line, last, begin - 1, end - 1)
        else:
            yield from _windows(padded, Chunk(kind, label, line, last, begin, end))


def _windows(padded: str, chunk: Chunk) -> Iterator[Chunk]:
    """Yields the parts of a long chunk, whose places are those in `padded`."""
    start, first = chunk.start, chunk.first
    while first <= chunk.last:
        last = first + WINDOW - 1
        if chunk.last - last < WINDOW // 3:
            last, end = chunk.last, chunk.end
        else:
            end = start
            for _ in range(WINDOW):
                end = padded.index("\n", end) + 1
            end -= 1
        yield Chunk(chunk.kind, chunk.name, first, last, start - 1, end - 1)
        start, first = end + 1, last + 1


def _assigned(text: str) -> str:
    """Returns the names that a part of a module assigns, so that constants can be found by name."""
    return " ".join(dict.fromkeys(_ASSIGNED.findall(text)[:_NAMES]))
