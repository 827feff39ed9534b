"""Cuts files into functions, class headers and the rest, with patterns and indentation instead of parsers.

A definition ends where its indentation does (or at its closing brace or `end`); that holds for formatted code in
every language here and costs a tenth of parsing it. What belongs to no definition stays as parts of the module.
"""

from __future__ import annotations

import bisect
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
BETWEEN_HEADINGS = " / "
"""Stands in the name of a part of a document that holds several short sections."""
_NAMES = 12
"""Constants of one part of a module that become its name."""


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

_MODIFIERS = (
    *("public", "private", "protected", "internal", "static", "final", "abstract", "override", "virtual", "async"),
    *("readonly", "sealed", "open"),
)
_JVM_MODIFIERS = (
    *("synchronized", "partial", "default", "native", "unsafe", "extern", "suspend", "inline", "data", "lateinit"),
    *("operator", "mutating", "fileprivate", "case", "implicit", "lazy", "new"),
)
_STATEMENTS = (
    *("if", "for", "while", "switch", "catch", "return", "else", "new", "throw", "do", "with", "match", "function"),
    *("await", "typeof", "sizeof"),
)


def _before(*more: str) -> str:
    """Returns the expression for words that may stand before a definition."""
    return rf"(?:(?:{'|'.join((*_MODIFIERS, *more))})[ ]+)*"


_NOT_A_NAME = rf"(?!(?:{'|'.join(_STATEMENTS)})\b)"
_INDENT = r"(?P<i>[ \t]*)"
_EXPORTED = r"(?:export[ ]+)?(?:default[ ]+)?(?:declare[ ]+)?"
# async (one) => …, one => …, function …, or a bracket that the line ends with
_JS_FUNCTION = r"(?:async[ ]+)?(?:function\b|\([^()\n]*\)[^=\n;]{0,60}=>|\w+[ ]*=>|\($)"
_JS_KIND = r"(?P<k>class|interface|enum|namespace|type|module)"
_JS_BODY = r"\([^;\n]*\{[ \t]*(?=\n)"
_RUST_VISIBLE = r"(?:pub(?:\([^)\n]*\))?[ ]+)?"
# async unsafe extern "C"
_RUST_MODIFIERS = r'(?:default[ ]+|async[ ]+|const[ ]+|unsafe[ ]+|extern[ ]+"[^"\n]*"[ ]+)*'
# fmt::Display for &'a mut Walker: what is implemented counts as part of what it is implemented for
_RUST_TARGET = r"(?:[^{\n]*?\bfor[ ]+)?(?:&?(?:'\w+[ ]+)?(?:mut[ ]+)?)(?:\w+::)*(?P<n3>\w+)"
# what Java, Kotlin, C#, Swift, Scala and Dart call their types
_TYPED_KIND = r"(?P<k>class|interface|enum|struct|record|object|trait|protocol|extension|namespace)"
_C_TEMPLATE = r"(?:template[ ]*<[^\n]*>[ ]*\n)?"
_C_KIND = r"(?:typedef[ ]+)?(?P<k>struct|class|union|enum|namespace)"

_DEFINITIONS: Mapping[str, tuple[str, ...]] = {
    # What a line with a definition begins with, and the forms of what follows, in verbose syntax. Groups: `i` the
    # indentation, `k` and `k2` what is defined where it is no function, `o` the owner of a Go method, `n`… its name.
    "python": (_INDENT, r"(?:async[ ]+)?(?P<k>def|class)[ ]+(?P<n>\w+)"),
    "script": (
        _INDENT,
        # export default async function main
        rf"{_EXPORTED}(?:async[ ]+)?function\b[*]?[ ]*(?P<n>\w+)",
        # export abstract class Router, declare namespace api.v1
        rf"{_EXPORTED}(?:abstract[ ]+)?{_JS_KIND}[ ]+(?P<n2>[\w.]+)",
        # const join = async (one, two) => …
        rf"(?:export[ ]+)?(?:const|let|var)[ ]+(?P<n3>[\w$]+)[ ]*(?::[^=\n]+)?=[ ]*{_JS_FUNCTION}",
        # Reply.prototype.send = function …
        rf"(?P<n4>[\w$]+(?:\.[\w$]+)+)[ ]*=[ ]*{_JS_FUNCTION}",
        r"(?P<n5>[\w$]+)[ ]*:[ ]*(?:async[ ]+)?function\b",
        # static of<T>(path: string): Router<T> {
        rf"{_before('get', 'set', 'accessor')}[*]?{_NOT_A_NAME}(?P<n6>[#\w$]+)[ ]*(?:<[^>\n]*>)?{_JS_BODY}",
    ),
    "go": (
        "(?P<i>)",
        # func (s *Server) Serve, func New
        r"func[ ]+(?:\([ ]*(?:\w+[ ]+)?[*]?(?P<o>\w+)[^)\n]*\)[ ]*)?(?P<n>\w+)",
        r"(?P<k>type)[ ]+(?P<n2>\w+)",
    ),
    "rust": (
        f"{_INDENT}{_RUST_VISIBLE}{_RUST_MODIFIERS}",
        r"fn[ ]+(?P<n>\w+)",
        r"(?P<k>struct|enum|trait|mod|union|type|macro_rules!)[ ]+(?P<n2>\w+)",
        # impl<'a> fmt::Display for Walker<'a>
        rf"(?P<k2>impl)\b(?:<[^{{\n]*?>)?[ ]*{_RUST_TARGET}",
    ),
    "typed": (
        rf"{_INDENT}(?:@\w+[ ]+)*{_before(*_JVM_MODIFIERS)}",
        rf"{_TYPED_KIND}[ ]+(?:class[ ]+)?(?P<n>\w[\w.]*)",
        r"(?:fun|func|def)[ ]+(?:<[^>\n]*>[ ]*)?(?P<n2>[\w.]+)",
        # List<Order> find(String name, int most)
        rf"(?:[\w<>\[\],.?]+[ ]+){{1,6}}{_NOT_A_NAME}(?P<n3>\w+)[ ]*\([^;\n]*(?:\n|\{{|=>)",
    ),
    "c": (
        "(?P<i>)",
        rf"{_C_KIND}[ ]+(?P<n>\w+)(?=[^;()\n]*(?:\{{|\n))",
        # static int add(int a, int b) {, but no declaration, which ends with a semicolon
        rf"{_C_TEMPLATE}(?:[\w:<>,]+[ \t*&]+){{1,6}}{_NOT_A_NAME}(?P<n2>[\w:~]+)[ ]*\((?![^\n]*;[ \t]*\n)",
    ),
    "ruby": (_INDENT, r"def[ ]+(?:self\.)?(?P<n>[\w?!=]+)", r"(?P<k>class|module)[ ]+(?P<n2>[\w:]+)"),
    "php": (
        f"{_INDENT}{_before()}",
        r"function[ ]+&?(?P<n>\w+)",
        r"(?P<k>class|interface|trait|enum)[ ]+(?P<n2>\w+)",
    ),
    "shell": (_INDENT, r"function[ ]+(?P<n>[\w:.-]+)", r"(?P<n2>[\w:.-]+)[ ]*\(\)"),
}
_SQL_KINDS = "table|view|function|procedure|trigger|index|type|schema"
_HEADINGS: Mapping[str, str] = {
    # CREATE OR REPLACE TEMPORARY VIEW IF NOT EXISTS "users"
    "sql": rf"(?i:\ncreate[ ]+(?:or[ ]+replace[ ]+)?(?:\w+[ ]+){{0,2}}?(?:{_SQL_KINDS})[ ]+"
    r"(?:if[ ]+not[ ]+exists[ ]+)?(?P<n>[\w.\"`\[\]]+))",
    "markdown": r"\n#{1,6}[ \t]+(?P<n>[^\n]{1,200})",
    "asciidoc": r"\n={1,6}[ \t]+(?P<n>[^\n]{1,200})",
    "rst": r"\n(?P<n>[^\s.][^\n]{1,120})\n(?P<u>[=\-~^\"'*+#`])(?P=u){2,}[ \t]*(?=\n)",
}
_FENCE = re.compile(r"\n[ \t]{0,3}+(`{3,}+|~{3,}+)([^\n]*+)")
_FENCING = frozenset({"markdown"})
_HEADINGS_NAMED = 3
"""Headings of short sections that one part is named by."""
_BRACES = frozenset({"script", "go", "rust", "typed", "c", "php", "shell"})
_GOES_ON = re.compile(r"[})\];, \t]*(?:else|catch|finally|while)\b")
_INNER_WORDS = (
    *("where", "public", "private", "protected", "signals", "case", "default", "rescue", "ensure", "else", "elsif"),
    *("when", "in"),
)
_WORDS_INSIDE = rf"(?!(?:{'|'.join(_INNER_WORDS)})\b)"
"""Words that stand as far left as the definition they are inside of: labels, branches, `where` clauses."""
_WORD = re.compile(r"[^\W\d_]{2}")
_WHOLE = frozenset({"function", "class", "test"})
_LEADS = ("@", "#", "/", "*", "[")
# LIMIT = 3, export const limit: number = 3, pub static LIMIT: u8 = 3; not LIMIT == 3
_ASSIGNED = re.compile(
    r"^[ \t]*(?:export |pub |const |let |var |static |final )*([A-Za-z_]\w+)[ \t]*(?::[^=\n]*)?=[^=]", re.MULTILINE
)


@cache
def _pattern(language: str) -> re.Pattern[str]:
    lead, *forms = _DEFINITIONS[language]
    return re.compile(rf"\n{lead}(?:{'|'.join(forms)})", re.VERBOSE)


@cache
def _heading(language: str) -> re.Pattern[str]:
    return re.compile(_HEADINGS[language])


@cache
def _edge(language: str, depth: int) -> re.Pattern[str]:
    """Returns what ends a definition that is indented by `depth` characters; group 1 is a closing word or brace.

    A line that is indented no further ends it, unless it only goes on with it: a closing bracket, a comment, a brace
    on a line of its own, or a word like `else`.
    """
    lead = rf"\n[ \t]{{0,{depth}}}"
    if language == "ruby":
        return re.compile(rf"{lead}(?:(end\b)|{_WORDS_INSIDE}(?=[^\s#)\]}}]))")
    if language in _BRACES:
        return re.compile(rf"{lead}(?:(\}})|{_WORDS_INSIDE}(?=[^\s)\]}}{{#/*]))")
    return re.compile(rf"{lead}(?=[^\s#)\]}}])()")


def divide(text: str, path: str) -> list[Chunk]:
    """Returns the parts of a file in order; together they hold every line that is not blank."""
    language = languages.language(path)
    body = f"\n{text}\n"
    if language in _DEFINITIONS:
        definitions = _nested(_definitions(body, language))
        spans = _parts(body, definitions, _Span("module", "", 0, len(body)))
    elif language in _HEADINGS:
        spans = _sections(body, language)
    else:
        spans = iter([_Span("text", "", 0, len(body))])
    return list(_cut(body, spans))


def _definitions(text: str, language: str) -> list[_Definition]:
    pattern = _pattern(language)
    kinds = [group for name, group in pattern.groupindex.items() if name.startswith("k")]
    owner = pattern.groupindex.get("o")
    definitions: list[_Definition] = []
    for match in pattern.finditer(text):
        name = match[match.lastindex or 0]
        kind = next(filter(None, map(match.group, kinds)), "function")
        if owner and match[owner]:
            name = f"{match[owner]}.{name}"
        depth = len(match[1])
        definitions.append(_Definition(match.start() + 1, _end(text, match.end() - 1, depth, language), kind, name))
    return definitions


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


def _nested(definitions: list[_Definition]) -> list[_Definition]:
    """Returns the outermost definitions, each with those inside it."""
    top: list[_Definition] = []
    around: list[_Definition] = []
    for definition in definitions:
        while around and definition.start >= around[-1].end:
            around.pop()
        if around:
            definition.end = min(definition.end, around[-1].end)
        (around[-1].parts if around else top).append(definition)
        around.append(definition)
    return top


class _Span(NamedTuple):
    kind: Kind
    name: str
    start: int
    end: int


def _parts(text: str, inside: list[_Definition], around: _Span) -> Iterator[_Span]:
    """Yields what a span consists of: the definitions, and what is around them under the span's own name and kind."""
    at = around.start
    for definition in inside:
        begin = _lead(text, at, definition.start)
        if begin > at:
            yield _Span(around.kind, around.name, at, begin)
        own = f"{around.name}.{definition.name}" if around.name else definition.name
        container = definition.kind in _CONTAINERS
        span = _Span("class" if definition.kind in _TYPES else "function", own, begin, definition.end)
        if container or (definition.parts and text.count("\n", begin, definition.end) > LONGEST):
            tests = definition.kind == "mod" and definition.name in _TEST_MODULES
            spans = _parts(text, definition.parts, span)
            yield from (part._replace(kind="test") for part in spans) if tests else spans
        else:
            yield span
        at = definition.end
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
    """Yields the sections; a short one goes on into the next, and has the names of both."""
    at, names = 0, list[str]()
    blocks = _fenced(text) if language in _FENCING else []
    for match in _heading(language).finditer(text):
        start = match.start() + 1
        place = bisect.bisect(blocks, (start, 0)) - 1
        if place >= 0 and start < blocks[place][1]:
            continue
        if start - at >= SHORTEST or not names or language == "sql":
            if start > at:
                yield _Span("text", BETWEEN_HEADINGS.join(names), at, start)
            at, names = start, []
        if len(names) < _HEADINGS_NAMED:
            names.append(match["n"].strip())
    yield _Span("text", BETWEEN_HEADINGS.join(names), at, len(text))


def _fenced(text: str) -> list[tuple[int, int]]:
    """Returns where blocks of code begin and end, in which a number sign makes no heading."""
    blocks: list[tuple[int, int]] = []
    start, mark = 0, ""
    for match in _FENCE.finditer(text):
        if not mark:
            start, mark = match.start(), match[1]
        elif match[1].startswith(mark) and not match[2].strip():
            blocks.append((start, match.end()))
            mark = ""
    return [*blocks, (start, len(text))] if mark else blocks


def _cut(body: str, spans: Iterable[_Span]) -> Iterator[Chunk]:
    """Yields the spans as chunks of the text inside `padded`, blank edges trimmed and long ones in windows."""
    line, at = 0, 0
    for kind, name, start, stop in spans:
        content = body[start:stop].strip()
        if not _WORD.search(content):
            continue
        begin = body.rfind("\n", 0, body.find(content[0], start)) + 1
        line += body.count("\n", at, begin)
        at = begin
        end = body.find(content, begin) + len(content)
        label = name or (_assigned(content) if kind == "module" else "")
        last = line + content.count("\n")
        if last - line < (LONGEST if kind in _WHOLE else WINDOW * 3 // 2):
            yield Chunk(kind, label, line, last, begin - 1, end - 1)
        else:
            yield from _windows(body, Chunk(kind, label, line, last, begin, end))


def _windows(body: str, chunk: Chunk) -> Iterator[Chunk]:
    """Yields the parts of a long chunk, whose places are those in `padded`."""
    start, first = chunk.start, chunk.first
    while first <= chunk.last:
        last = first + WINDOW - 1
        if chunk.last - last < WINDOW // 3:
            last, end = chunk.last, chunk.end
        else:
            end = start
            for _ in range(WINDOW):
                end = body.index("\n", end) + 1
            end -= 1
        yield Chunk(chunk.kind, chunk.name, first, last, start - 1, end - 1)
        start, first = end + 1, last + 1


def _assigned(text: str) -> str:
    """Returns the names that a part of a module assigns, so that constants can be found by name."""
    return " ".join(dict.fromkeys(_ASSIGNED.findall(text)[:_NAMES]))
